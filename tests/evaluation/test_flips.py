from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import trainmap as tm
from trainmap.errors import StoreError, TrainmapError
from trainmap.evaluation.flips import KINDS, Predictions, entropy_bins, flips, paired_shares, wilson

LABELS = [0, 0, 0, 1, 1, 2]
BEFORE = [0, 0, 1, 1, 0, 0]
AFTER = [0, 1, 0, 1, 0, 1]  # same, right→wrong, wrong→right, same, same (wrong), wrong→other wrong
IDS = [10, 11, 12, 13, 14, 15]


def rows(found: object, grouping: str) -> dict[str, dict[str, object]]:
    return {row["group"]: row for row in found.table.iter_rows(named=True) if row["grouping"] == grouping}  # type: ignore[attr-defined]


def test_kinds_and_counts_by_hand() -> None:
    found = flips(Predictions.of(IDS, LABELS, BEFORE), Predictions.of(IDS, LABELS, AFTER))
    assert found.examples["kind"].to_list() == [KINDS[i] for i in (0, 1, 2, 0, 0, 3)]
    assert found.examples["pie"].to_list() == [False, True, True, False, False, True]
    whole = rows(found, "all")["all"]
    assert [whole[kind] for kind in KINDS] == [3, 1, 1, 1]
    assert (whole["churn"], whole["forgotten"]) == (0.5, 1 / 6)
    assert (whole["accuracy_before"], whole["accuracy_after"]) == (3 / 6, 3 / 6)
    assert whole["verdict"] == ""
    assert [row["examples"] for row in rows(found, "class").values()] == [3, 2, 1]


def test_groups_are_counted_each_by_itself_and_strangers_stand_under_none() -> None:
    regions = {10: "easy-to-learn", 11: "ambiguous", 12: "ambiguous", 13: "easy-to-learn", 14: None, 99: "ambiguous"}
    found = flips(Predictions.of(IDS, LABELS, BEFORE), Predictions.of(IDS, LABELS, AFTER), groups={"region": regions})
    by = rows(found, "region")
    assert list(by) == ["ambiguous", "easy-to-learn", "none"]
    assert [(row["examples"], row["churn"]) for row in by.values()] == [(2, 1.0), (2, 0.0), (2, 0.5)]


def test_groups_are_found_whatever_their_number_and_order() -> None:
    rng, n = np.random.default_rng(0), 2000
    labels, before, after = rng.integers(0, 500, n), rng.integers(0, 3, n), rng.integers(0, 3, n)
    found = flips(Predictions.of(np.arange(n), labels, before), Predictions.of(np.arange(n), labels, after))
    by = rows(found, "class")
    assert list(by) == [str(label) for label in np.unique(labels)]
    for label in np.unique(labels)[::50]:
        inside = labels == label
        row = by[str(label)]
        assert (row["examples"], row["churn"]) == (inside.sum(), (before != after)[inside].mean())


def test_the_modal_class_counts_and_the_smaller_wins_a_tie() -> None:
    side = Predictions.of([1, 2], [0, 0], [[2, 3], [2, 1], [0, 1]])
    assert side.modal.tolist() == [2, 1]
    assert Predictions.of([1], [0], [[3], [1]]).modal.tolist() == [1]


@given(st.permutations(range(6)))
def test_the_order_of_the_rows_changes_nothing(order: list[int]) -> None:
    before, after = Predictions.of(IDS, LABELS, BEFORE), Predictions.of(IDS, LABELS, AFTER)
    moved = Predictions.of(*(np.array(column)[order] for column in (IDS, LABELS, AFTER)))
    one, other = flips(before, after), flips(before, moved)
    assert one.table.equals(other.table)
    assert one.examples.equals(other.examples)


def test_other_examples_or_labels_are_refused_loudly() -> None:
    before = Predictions.of(IDS, LABELS, BEFORE)
    with pytest.raises(
        TrainmapError, match=r"same examples: 1 ids are in before alone \(15\), 1 in after alone \(16\)"
    ):
        flips(before, Predictions.of([*IDS[:-1], 16], LABELS, AFTER))
    with pytest.raises(TrainmapError, match="in the baseline alone"):
        flips(before, before, baseline=Predictions.of([*IDS, 16], [*LABELS, 0], [*AFTER, 0]))
    with pytest.raises(TrainmapError, match="other labels for 1 examples"):
        flips(before, Predictions.of(IDS, [1, *LABELS[1:]], AFTER))
    with pytest.raises(TrainmapError, match="same examples"):
        flips(before, Predictions.of([str(name) for name in IDS], LABELS, AFTER))


def test_the_baseline_is_the_churn_of_another_seed_on_the_same_examples() -> None:
    before, after = Predictions.of(IDS, LABELS, BEFORE), Predictions.of(IDS, LABELS, AFTER)
    same = rows(flips(before, after, baseline=after), "all")["all"]
    assert (same["baseline_churn"], same["excess"], same["verdict"]) == (0.5, 0.0, "no difference shown")
    n = 1000
    labels = np.zeros(n, np.int64)
    broken = np.where(np.arange(n) < 100, 1, 0)
    many = Predictions.of(np.arange(n), labels, labels), Predictions.of(np.arange(n), labels, broken)
    more = rows(flips(*many, baseline=many[0]), "all")["all"]
    assert more["verdict"] == "more than another seed"
    less = rows(flips(many[0], many[0], baseline=many[1]), "all")["all"]
    assert less["verdict"] == "less than another seed"
    assert less["excess"] == -0.1


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_wilsons_interval_is_scipys(pair: tuple[int, int], level: float) -> None:
    found, expected = wilson(*pair, level), binomtest(*pair).proportion_ci(level, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_intervals_of_nothing_are_nan() -> None:
    assert all(math.isnan(end) for end in (*wilson(0, 0), *paired_shares(0, 0, 0)))


def test_the_difference_of_paired_shares_by_hand() -> None:
    """b = 12, c = 2, n = 50: middle 10/52, half 1.96 sqrt(15 - 100/52)/52."""
    share, low, high = paired_shares(12, 2, 50)
    half = 1.959964 * math.sqrt(15 - 100 / 52) / 52
    assert (share, low, high) == pytest.approx((0.2, 10 / 52 - half, 10 / 52 + half), abs=1e-6)


def test_the_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0)
    cells = draws.multinomial(300, [0.06, 0.03, 0.91], size=4000)
    covered = np.mean([low <= 0.03 <= high for low, high in (paired_shares(b, c, 300)[1:] for b, c, _ in cells)])
    assert 0.935 < covered < 0.97


def test_entropy_bins_by_hand() -> None:
    counts = [[50, 0, 0, 0], [25, 25, 0, 0], [1, 49, 0, 0], [10, 10, 10, 10], [45, 5, 0, 0]]
    assert list(entropy_bins([5, 6, 7, 8, 9], counts).items()) == [
        (5, "0 bits"), (6, "0.5 to 1"), (7, "0 to 0.25"), (8, "above 1"), (9, "0.25 to 0.5"),
    ]  # fmt: skip
    with pytest.raises(TrainmapError, match="a person in each row"):
        entropy_bins([1], [[0, 0]])
    with pytest.raises(TrainmapError, match="ascend from 0"):
        entropy_bins([1], [[1, 0]], edges=(0.5, 0.1))


def test_predictions_are_kept_and_read_back_and_come_from_a_recording(tmp_path: Path) -> None:
    side = Predictions.of([3, 1, 2], [0, 1, 1], [[0, 1, 0], [1, 1, 1]])
    again = Predictions.open(side.save(tmp_path / "side.parquet"))
    assert again.ids.tolist() == [1, 2, 3]
    assert again.predicted.tolist() == side.predicted.tolist() == [[1, 0, 0], [1, 1, 1]]
    with tm.Recorder(tmp_path / "dynamics", classes=2, ids=[1, 2, 3], labels=[0, 1, 1]) as recorder:
        for logits in ([[1, 0], [1, 0], [1, 0]], [[1, 0], [0, 1], [1, 0]]):
            recorder.update([1, 2, 3], 5 * np.array(logits, np.float32), [0, 1, 1])
            recorder.end_epoch()
    assert Predictions.open(tmp_path / "dynamics").predicted.tolist() == [[0, 1, 0]]
    recording = tm.Dynamics.open(tmp_path / "dynamics")
    assert Predictions.from_dynamics(recording, epoch=0).predicted.tolist() == [[0, 0, 0]]
    with pytest.raises(TrainmapError, match="epoch must be 0 to 1"):
        Predictions.from_dynamics(recording, epoch=2)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="N > 0"):
        Predictions.of([], [], [])
    with pytest.raises(TrainmapError, match="take the argmax"):
        Predictions.of([1], [0], [0.5])
    with pytest.raises(TrainmapError, match="1 repeat"):
        Predictions.of([1, 1], [0, 0], [0, 0])
    with pytest.raises(TrainmapError, match="level"):
        flips(Predictions.of([1], [0], [0]), Predictions.of([1], [0], [0]), level=1.0)
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(StoreError, match="is not a table of predictions"):
        Predictions.open(tmp_path / "x.parquet")
    with pytest.raises(TrainmapError, match=r"\.parquet"):
        Predictions.of([1], [0], [0]).save(tmp_path / "x.csv")
