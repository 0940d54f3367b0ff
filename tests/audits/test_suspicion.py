from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.audits.audit import audit
from trainmap.audits.suspicion import RULES, combined, epoch_weights, mixture, persistent
from trainmap.dynamics.exchange.whole_folder import write_dynamics
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError

EVEN = np.ones(3) / 3


def voted(
    predicted: np.ndarray, labels: np.ndarray, classes: int, weights: np.ndarray
) -> list[tuple[int, float, float]]:
    """``persistent`` as plain loops."""
    rows = []
    for column, label in zip(predicted.T, labels, strict=True):
        votes, seen = np.zeros(classes), 0.0
        for answer, weight in zip(column, weights, strict=True):
            seen += weight * (answer >= 0)
            if 0 <= answer < classes:
                votes[answer] += weight
        gold = votes[label] if label < classes else 0.0
        votes[label : label + 1] = 0
        best = int(votes.argmax()) if votes.max() > 1e-12 else -1
        rows.append((best, votes.max() / seen if seen else math.nan, gold / seen if seen else math.nan))
    return rows


@given(st.integers(1, 6), st.integers(1, 8), st.integers(2, 5), st.integers(0, 99))
def test_the_persistent_class_is_the_one_counted_by_hand(epochs: int, n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(-1, classes + 1, (epochs, n)).astype(np.int16)  # the last one is the extra class
    labels, weights = rng.integers(0, classes, n), rng.integers(1, 4, epochs) / 8
    best, share, label_share = persistent(predicted, labels, classes, weights)
    expected = voted(predicted, labels, classes, weights)
    assert best.tolist() == [row[0] for row in expected]
    np.testing.assert_allclose(share, [row[1] for row in expected])
    np.testing.assert_allclose(label_share, [row[2] for row in expected])


def test_the_smaller_class_wins_a_tie_and_nothing_but_the_label_is_no_answer() -> None:
    predicted = np.array([[2, 0, -1], [1, 0, -1]], dtype=np.int16)
    best, share, label_share = persistent(predicted, np.array([0, 0, 0]), 3, np.array([0.5, 0.5]))
    assert best.tolist() == [1, -1, -1]
    np.testing.assert_array_equal(share, [0.5, 0, np.nan])
    np.testing.assert_array_equal(label_share, [0, 1, np.nan])


def test_combined_is_the_weighted_margin_of_square_roots() -> None:
    p = np.array([[[0.64, 0.36], [0.36, 0.64]], [[0.04, 0.96], [0.25, 0.75]], [[0.5, 0.5], [0.01, 0.99]]])
    block = Block.from_logits(np.log(p), np.array([0, 1]))
    weights = np.array([0.5, 0.5, 0.0])
    root = np.sqrt(p)
    gap = np.stack([root[:, 0, 1] - root[:, 0, 0], root[:, 1, 0] - root[:, 1, 1]], axis=1)
    np.testing.assert_allclose(combined(block, weights), weights @ gap, rtol=1e-6)


@given(st.integers(1, 5), st.integers(0, 50))
def test_every_rule_is_more_suspicious_of_a_label_that_another_class_beats(epochs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    margins = rng.uniform(0.5, 6, epochs)
    logits = np.zeros((epochs, 2, 4))
    logits[:, 0, 0] = margins  # agrees with its label 0
    logits[:, 1, 1] = margins  # prefers class 1
    block = Block.from_logits(logits, np.array([0, 0]))
    for name, rule in RULES.items():
        low, high = rule.function(block, np.full(epochs, 1 / epochs))
        assert low < high, name


def test_every_rule_ignores_epochs_in_which_an_example_was_not_seen() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 2, 4))
    logits[1, 1] = np.nan
    part = Block.from_logits(logits, np.array([0, 1]))
    kept = Block.from_logits(logits[[0, 2]][:, 1:], np.array([1]))
    for name, rule in RULES.items():
        mine, alone = rule.function(part, EVEN)[1], rule.function(kept, EVEN[:2])[0]
        assert mine == pytest.approx(alone), name


def test_every_rule_leaves_an_example_that_was_never_seen_as_nan() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4, 3))
    logits[:, 2] = np.nan
    block = Block.from_logits(logits, np.array([0, 1, 2, 0]))
    for name, rule in RULES.items():
        values = rule.function(block, EVEN)
        if rule.whole:
            values = rule.whole(values)
        assert np.isnan(values).tolist() == [False, False, True, False], name


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_where_it_comes_from_and_reads_what_it_needs(rule: str) -> None:
    entry = RULES[rule]
    block = Block.from_logits(np.random.default_rng(0).normal(size=(3, 5, 3)), np.zeros(5, int))
    only = Block(block.labels, 3, {name: block[name] for name in entry.needs})
    np.testing.assert_array_equal(entry.function(only, EVEN), entry.function(block, EVEN))
    assert entry.source


def test_epochs_count_by_what_was_learned_and_not_yet_known_by_heart(record: Any) -> None:
    labels = np.array([0, 1] * 5)

    def epoch(right: int) -> np.ndarray:
        logits = np.zeros((10, 2))
        logits[np.arange(10), np.where(np.arange(10) < right, labels, 1 - labels)] = 2
        return logits

    dynamics = record(np.stack([epoch(right) for right in (5, 7, 9, 10, 2)]), labels)
    raw = np.array([0, 0.2**2 * 0.3, 0.4**2 * 0.1, 0, 0])  # half of the labels are the largest class
    np.testing.assert_allclose(epoch_weights(dynamics), raw / raw.sum())
    np.testing.assert_allclose(epoch_weights(dynamics, 2), [0, 1])
    np.testing.assert_allclose(epoch_weights(dynamics, 1), [1])  # nothing was learned: all the same
    with pytest.raises(TrainmapError, match="epochs must be 1 to 5"):
        epoch_weights(dynamics, 6)


def test_the_mixture_tells_two_heaps_of_losses_apart() -> None:
    rng = np.random.default_rng(0)
    loss = np.concatenate([rng.normal(0.3, 0.1, 900), rng.normal(3, 0.5, 100), [np.nan]])
    posterior = mixture(loss)
    assert (posterior[:900] < 0.5).mean() > 0.99
    assert (posterior[900:1000] > 0.5).mean() > 0.99
    assert np.isnan(posterior[1000])
    assert posterior[np.argmin(loss[:1000])] < 0.5  # the wide component does not win at the low end


@pytest.mark.parametrize("loss", [[], [1.0], [2.0, 2.0, 2.0], [np.nan, 2.0]])
def test_a_mixture_of_nothing_of_one_and_of_equals_suspects_nobody(loss: list[float]) -> None:
    values = np.array(loss)
    np.testing.assert_array_equal(mixture(values), np.where(np.isnan(values), np.nan, 0.0))


def test_the_mixture_of_many_losses_is_fitted_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainmap.audits.suspicion.MIXTURE_SAMPLE", 200)
    rng = np.random.default_rng(0)
    loss = np.concatenate([rng.normal(0.3, 0.1, 900), rng.normal(3, 0.5, 100)])
    posterior = mixture(loss)
    assert ((posterior > 0.5) == (loss > 1.5)).mean() > 0.98
    order = rng.permutation(1000)
    np.testing.assert_array_equal(mixture(loss[order]), posterior[order])


def test_examples_without_a_label_that_were_never_seen_say_nothing_of_an_epoch(tmp_path: Path) -> None:
    rng, found = np.random.default_rng(0), []
    logits, labels = rng.normal(size=(2, 40, 3)), np.arange(40) % 3
    logits[1, np.arange(40), labels] += 1
    for never in (0, 60):
        with Recorder(tmp_path / f"{never}", 3, ids=range(40 + never), allow_missing=True) as recorder:
            for epoch in range(2):
                recorder.update(np.arange(40), logits[epoch], labels)
                recorder.end_epoch()
        found.append(epoch_weights(Dynamics.open(tmp_path / f"{never}")))
    np.testing.assert_array_equal(found[0], found[1])
    assert 0 < found[0][1] <= 1


def test_an_audit_says_what_a_recording_lacks_for_it(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"p_gold": np.full(4, 0.5, np.float32)}
    about = {"imported_from": "a test"}
    bare = write_dynamics(tmp_path / "a", np.arange(4), np.arange(4) % 2, 2, "sweep", [(columns, 4)], about)
    with pytest.raises(TrainmapError, match=r"an audit needs predicted; .*a holds p_gold alone"):
        audit(bare)
    columns["predicted"] = np.zeros(4, np.int16)
    nameless = write_dynamics(tmp_path / "b", np.arange(4), np.full(4, -1), 2, "sweep", [(columns, 4)], about)
    with pytest.raises(TrainmapError, match=r"an audit needs labels to look at; .*b knows none"):
        audit(nameless)


def test_no_share_of_the_epochs_is_above_one() -> None:
    draws = np.random.default_rng(0)
    for epochs in range(1, 40):
        weights = draws.random(epochs)
        predicted = np.where(draws.random((epochs, 60)) < 0.3, -1, draws.integers(0, 2, 60))
        labels = draws.integers(-1, 3, 60)
        with np.errstate(invalid="ignore"):
            _, share, own = persistent(predicted, labels, 3, weights)
        seen = (predicted >= 0).any(axis=0)
        assert (share[seen] <= 1).all()
        assert (own[seen] <= 1).all()
        assert (np.maximum(share, own)[seen & (predicted.max(axis=0) < 3)] >= 0).all()
        alone = seen & (predicted.max(axis=0) != labels)  # one other class in every epoch: exactly all of them
        assert (share[alone] == 1).all()
