"""Whole trajectories, their clusters, and second-split forgetting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.second_split import second_split
from trainmap.scores import trajectories as trajectories_module
from trainmap.scores.trajectories import Clusters, cluster, trajectories

Array = NDArray[Any]
Record = Callable[..., Dynamics]


def three_kinds(n: int = 90, epochs: int = 6, seed: int = 0) -> tuple[Array, Array]:
    """(logits, kind): learned at once (2), learned late (1), never learned (0); two classes, gold label 0."""
    generator = np.random.default_rng(seed)
    kind = generator.permutation(np.arange(n) % 3)
    steps = np.arange(epochs)[:, None]
    gold = np.where(kind == 2, 4.0, np.where(kind == 1, np.where(steps < 3, -3.0, 4.0), -3.0))
    gold = gold + generator.normal(0, 0.1, (epochs, n))
    return np.stack([gold, np.zeros_like(gold)], axis=2), kind


def test_a_trajectory_is_the_signal_of_an_example_over_the_epochs() -> None:
    logits, _ = three_kinds(5)
    block = Block.from_logits(logits, np.zeros(5, int))
    for signal in ("loss", "p_gold", "margin"):
        features = trajectories(block, signal)
        assert (features.dtype, features.shape) == (np.float32, (5, 6))
        assert np.array_equal(features, block[signal].T)
    with pytest.raises(TrainmapError, match="unknown signal 'los'; did you mean 'loss'"):
        trajectories(block, "los")


def test_examples_that_are_learned_alike_share_a_cluster_and_the_hardest_is_cluster_0(record: Record) -> None:
    logits, kind = three_kinds()
    found = cluster(record(logits, np.zeros(90, int)), 3)
    assert found.labels.tolist() == kind.tolist()
    assert found.sizes.tolist() == [30, 30, 30]
    assert found.centres.shape == (3, 6)
    assert (np.diff(found.centres.mean(axis=1)) < 0).all()
    block = Block.from_logits(logits, np.zeros(90, int))
    for label in range(3):
        mean = block["loss"][:, kind == label].mean(axis=1, dtype=np.float64)
        np.testing.assert_allclose(found.centres[label], mean, atol=1e-5)


def alike(one: Clusters, other: Clusters) -> bool:
    return one.labels.tolist() == other.labels.tolist() and np.array_equal(one.centres, other.centres)


def test_clusters_depend_on_the_recording_and_the_seed_and_on_nothing_else(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 3, (5, 400, 3))
    labels = generator.integers(0, 3, 400)
    dynamics = record(logits, labels)
    found = cluster(dynamics, 12, seed=1)
    shuffled = record(logits, labels, order=generator.permutation(400), name="shuffled")
    assert alike(cluster(shuffled, 12, seed=1), found)
    sampled = cluster(dynamics, 12, seed=1, sample=150)
    assert not alike(sampled, found)
    monkeypatch.setattr(trajectories_module, "BLOCK_BYTES", 4 * 5 * 37)  # blocks of 37 rows
    assert alike(cluster(dynamics, 12, seed=1), found)
    assert alike(cluster(dynamics, 12, seed=1, sample=150), sampled)
    assert not alike(cluster(dynamics, 12, seed=2), found)
    assert cluster(dynamics, 12, epochs=3).centres.shape == (12, 3)


def test_the_centres_are_fitted_on_a_sample_and_every_example_finds_its_nearest(record: Record) -> None:
    logits, kind = three_kinds(300)
    found = cluster(record(logits, np.zeros(300, int)), 3, sample=40)
    assert found.labels.tolist() == kind.tolist()
    features = trajectories(Block.from_logits(logits, np.zeros(300, int)))
    distance = ((features[:, None] - found.centres[None]) ** 2).sum(axis=2)
    assert found.labels.tolist() == distance.argmin(axis=1).tolist()


def test_an_example_that_missed_an_epoch_is_in_no_cluster(record: Record) -> None:
    logits, kind = three_kinds()
    logits[2, [4, 7]] = np.nan
    found = cluster(record(logits, np.zeros(90, int)), 3)
    assert found.labels[[4, 7]].tolist() == [-1, -1]
    assert np.delete(found.labels, [4, 7]).tolist() == np.delete(kind, [4, 7]).tolist()
    assert found.sizes.sum() == 88


def test_more_clusters_than_trajectories_is_an_error(record: Record) -> None:
    logits = np.zeros((3, 20, 2))
    logits[:, :4, 0] = np.arange(4)
    dynamics = record(logits, np.zeros(20, int))
    assert cluster(dynamics, 4).sizes.tolist() == [17, 1, 1, 1]
    with pytest.raises(TrainmapError, match=r"clusters must be 1 to 4 \(the distinct trajectories\), got 5"):
        cluster(dynamics, 5)
    with pytest.raises(TrainmapError, match="clusters must be 1 to sample=100000, got 0"):
        cluster(dynamics, 0)
    with pytest.raises(TrainmapError, match="unknown signal"):
        cluster(dynamics, 2, signal="predicted")


def test_the_scores_are_imported_without_scikit_learn() -> None:
    code = (
        "import sys, trainmap.scores.table, trainmap.scores.trajectories, trainmap.maps.second_split, "
        "trainmap.selection.select; print(sorted({'sklearn', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# --- second split ---------------------------------------------------------------------------------------------------


def events(words: list[str]) -> Array:
    """(E, N, 2) logits: right (1), wrong (0), not seen (.)."""
    point = {"1": (2.0, 0.0), "0": (0.0, 2.0), ".": (np.nan, np.nan)}
    return np.array([[point[letter] for letter in word] for word in words]).transpose(1, 0, 2)


def literal_time(word: str, state: str) -> float:
    """The first epoch from which on the word has nothing but ``state``, by trying each one."""
    for epoch in range(len(word)):
        if set(word[epoch:]) == {state}:
            return epoch
    return np.inf


def test_the_two_times_are_joined_by_id_whatever_the_second_recording_holds_besides(record: Record) -> None:
    first = {"a": "0111", "b": "0101", "c": "1111", "d": "0000", "e": "0010"}
    second = {"X": "01", "e": "00", "c": "11", "b": "10", "a": "00", "d": "01", "y": "11"}
    labels = dict.fromkeys((*first, *second), 0)
    one = record(events(list(first.values())), [labels[n] for n in first], ids=list(first))
    other = record(events(list(second.values())), [labels[n] for n in second], ids=list(second), name="second")
    table = second_split(one, other)
    assert table.columns == ["id", "label", "learning_time", "forgetting_time"]
    assert table["id"].to_list() == list(first)
    assert table["learning_time"].to_list() == [literal_time(word, "1") for word in first.values()]
    assert table["forgetting_time"].to_list() == [literal_time(second[name], "0") for name in first]


def test_the_times_are_those_of_the_published_code_counted_from_0(record: Record) -> None:
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(["0", "1"], 5)) for _ in range(60)]
    logits, labels = events(words), np.zeros(60, int)
    table = second_split(record(logits, labels), record(logits, labels, name="second"))
    for state, column in (("1", "learning_time"), ("0", "forgetting_time")):
        mask = np.array([[letter == state for letter in word] for word in words]).T  # (E, N)
        padded = np.concatenate([np.zeros((1, 60)), mask, np.ones((1, 60))])
        published = len(padded) - padded[::-1].argmin(axis=0)  # 1 to E, and E + 1 for never
        ours = table[column].to_numpy()
        assert np.where(np.isinf(ours), 5, ours).tolist() == (published - 1).tolist()


def test_an_example_that_was_never_seen_again_has_no_time(record: Record) -> None:
    one = record(events(["01", "11"]), [0, 0])
    other = record(events(["..", "10"]), [0, 0], name="second")
    times = second_split(one, other)["forgetting_time"].to_list()
    assert np.isnan(times[0])
    assert times[1] == 1


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        ([0, 1, 9], [0, 0, 0], r"1 ids are not in .* \(first: 2\); the second recording must show"),
        ([0, 1, 2], [0, 1, 0], r"1 examples have another label in .* \(first: 1\)"),
        (["a", "b", "c"], [0, 0, 0], r"ids must be of the kind of .*second's, <U1, got int64"),
    ],
)
def test_a_second_recording_of_other_examples_is_refused(record: Record, ids: Any, labels: Any, message: str) -> None:
    words = ["01", "11", "10"]
    one = record(events(words), [0, 0, 0])
    with pytest.raises(TrainmapError, match=message):
        second_split(one, record(events(words), labels, ids=ids, name="second"))
