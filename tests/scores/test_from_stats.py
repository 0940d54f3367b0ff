"""Scores from running sums equal the scores from the epochs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.dynamics.signals import Block
from trainmap.dynamics.stats import EARLY, Stats, add_epoch, empty_stats
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.scores.compute import available, compute, estimate, resolve
from trainmap.scores.from_stats import FROM_STATS
from trainmap.scores.table import SCORES, Score

ROUNDED = {"variability", "slope", "aleatoric"}  # computed otherwise than the score does; the rest add in order


def sums_of(block: Block) -> Stats:
    stats = empty_stats(len(block))
    for epoch in range(block.epochs):
        stats = add_epoch(stats, {name: column[epoch] for name, column in block.signals.items()}, block.labels)
    return stats


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 25),
    st.integers(1, 30),
    st.sampled_from([0, 0.3, 0.95]),
    st.sampled_from([1, 30]),
)
def test_every_score_from_sums_is_the_score_from_epochs(
    seed: int, epochs: int, n: int, missing: float, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, scale, (epochs, n, 3))
    logits[generator.random((epochs, n)) < missing] = np.nan
    block = Block.from_logits(logits, generator.integers(0, 3, n))
    stats = sums_of(block)
    for name, function in FROM_STATS.items():
        expected, found = SCORES[name](block), function(stats)
        assert found.dtype == np.float64
        if name in ROUNDED:
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=name)


def test_the_early_epochs_of_the_sums_are_those_of_el2n() -> None:
    assert inspect.signature(SCORES["el2n"].function).parameters["window"].default == (0, EARLY)


def test_the_table_has_the_names_of_scores_and_no_others() -> None:
    assert set(FROM_STATS) < set(SCORES)


Record = Callable[..., Dynamics]


@pytest.fixture
def recorded(record: Record) -> tuple[Dynamics, Dynamics]:
    """The same run as sums and as epochs."""
    generator = np.random.default_rng(4)
    logits, labels = generator.normal(0, 3, (4, 300, 5)), generator.integers(0, 5, 300)
    return record(logits, labels, level="stats", name="sums"), record(logits, labels, name="epochs")


def test_a_recording_of_sums_gives_its_scores_through_compute(recorded: tuple[Dynamics, Dynamics]) -> None:
    sums, epochs = recorded
    assert available(sums) == [name for name in SCORES if name in FROM_STATS]
    for chosen in (None, ["variability", "aum"]):
        found = compute(sums, chosen)
        expected = compute(epochs, list(found))
        for name, column in found.items():
            np.testing.assert_allclose(column, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_blocks_change_no_bit(recorded: tuple[Dynamics, Dynamics], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(recorded[0])
    monkeypatch.setattr("trainmap.scores.compute.BLOCK_BYTES", 1)
    monkeypatch.setattr("trainmap.scores.compute.LEAST_ROWS", 7)
    cut = compute(recorded[0], workers=2)
    assert all(cut[name].tobytes() == whole[name].tobytes() for name in whole)


def test_a_map_is_drawn_from_sums(recorded: tuple[Dynamics, Dynamics]) -> None:
    sums, epochs = (
        DataMap.from_dynamics(dynamics, ["confidence", "variability", "correctness"]) for dynamics in recorded
    )
    assert sums.table["region"].to_list() == epochs.table["region"].to_list()
    assert sums.epochs == 4


def test_the_estimate_counts_the_sums(recorded: tuple[Dynamics, Dynamics]) -> None:
    assert estimate(recorded[0], resolve(recorded[0], None)).read_bytes == 104 * 300


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (["tdds"], {}, "needs"),
        (
            ["forgetting_allenai"],
            {},
            "forgetting_allenai needs the epochs, and level 'stats' keeps running sums; record",
        ),
        (["learning_time_maini"], {}, "learning_time_maini needs the epochs"),
        ([lambda block: block.p_gold[0]], {}, "needs the epochs, and level 'stats' keeps running sums"),
        (["confidence"], {"epochs": 2}, "running sums are over all 4 epochs, not over 2; record level='signals'"),
        (["confidense"], {}, "did you mean 'confidence'"),
    ],
)
def test_a_score_that_needs_the_epochs_is_a_clear_error(
    scores: Any, options: Any, message: str, recorded: tuple[Dynamics, Dynamics]
) -> None:
    with pytest.raises(TrainmapError, match=message):
        compute(recorded[0], scores, **options)


def test_a_function_or_a_convention_with_a_known_name_is_not_taken_for_the_score(record: Any) -> None:
    def confidence(block: Any) -> Any:
        return np.zeros(len(block))

    dynamics = record(np.zeros((2, 4, 2)), np.zeros(4, int), level="stats")
    mine = Score("confidence", confidence, "high", (), "", "mine")
    for own in (confidence, mine, "aum_ccs"):
        with pytest.raises(TrainmapError, match=r"needs the epochs, and level 'stats' keeps running sums"):
            compute(dynamics, [own])
    assert compute(dynamics, [SCORES["confidence"]])["confidence"].tolist() == [0.5] * 4
