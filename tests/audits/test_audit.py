from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.audits.audit import Audit, audit, audit_threshold_samples
from trainmap.audits.planted import plan_flips, plan_threshold_samples
from trainmap.audits.suspicion import RULES
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.errors import TrainmapError

Learn = Callable[..., Dynamics]


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """learn(truth, labels, name, classes, epochs, hard): a network that learns the truth, then some labels by heart."""

    def learn(
        truth: np.ndarray,
        labels: np.ndarray,
        name: str = "dynamics",
        classes: int = 4,
        epochs: int = 8,
        heart: float = 0.0,
        ids: np.ndarray | None = None,
        source: Any = "train",
    ) -> Dynamics:
        rng = np.random.default_rng(0)
        n = len(truth)
        names = np.arange(n) if ids is None else ids
        skill = rng.uniform(0.7, 2, n)
        with Recorder(tmp_path / name, classes, names, labels, source=source, rank=0, world_size=1) as recorder:
            for epoch in range(epochs):
                logits = rng.normal(0, 0.7, (n, classes))
                logits[np.arange(n), truth] += skill * min(epoch, 3)
                logits[np.arange(n), labels] += heart * epoch
                recorder.update(names, logits, labels)
                recorder.end_epoch()
        return Dynamics.open(tmp_path / name)

    return learn


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, 600)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_planted_errors_and_what_they_were(learn: Learn, truth: np.ndarray, rule: str) -> None:
    wrong = np.arange(600) % 10 == 0
    labels = np.where(wrong, (truth + 1) % 4, truth)
    found = audit(learn(truth, labels), rule)
    assert found.rule == rule
    assert found.table.columns == ["id", "label", "suspicion", "suspected", "suggested", "support"]
    errors = np.flatnonzero(wrong)
    assert set(found.table["id"][:50]) <= set(errors)  # on top of the list
    assert np.isin(errors, found.suspected).mean() > 0.9
    assert np.isin(found.suspected, errors).mean() > 0.6
    caught = found.table.filter(pl.col("suspected") & pl.col("id").is_in(errors.tolist()))
    assert (caught["suggested"].to_numpy() == truth[caught["id"].to_numpy()]).mean() > 0.95
    assert (caught["support"].to_numpy() > 0.5).mean() > 0.9


def test_errors_learned_by_heart_are_found_by_the_default_and_no_longer_by_the_plain_margin(
    learn: Learn, truth: np.ndarray
) -> None:
    wrong = np.arange(600) % 10 == 0
    dynamics = learn(truth, np.where(wrong, (truth + 1) % 4, truth), epochs=24, heart=0.6)
    assert (dynamics.column(23, "predicted") == dynamics.labels).mean() > 0.99
    assert np.isin(np.flatnonzero(wrong), audit(dynamics).suspected).mean() > 0.7
    assert len(audit(dynamics, "aum").suspected) < 10


def test_the_order_of_the_table_is_the_suspicion_and_ties_go_by_the_hash_of_the_id(record: Any) -> None:
    logits = np.tile([[2.0, 0.0]], (3, 5, 1))
    found = audit(record(logits, [0, 1, 0, 1, 0], ids=[5, 9, 3, 7, 1]))
    assert found.table["id"].to_list() == [7, 9, 3, 5, 1]
    assert found.suspected.tolist() == [7, 9]
    assert found.table["suggested"].to_list() == [0, 0, None, None, None]
    assert found.table["support"].to_list() == [1.0, 1.0, None, None, None]


def test_one_epoch_and_one_example_and_string_ids(record: Any) -> None:
    found = audit(record([[[0.0, 3.0]]], [0], ids=["a"]))
    assert found.suspected.tolist() == ["a"]
    assert found.table.row(0, named=True)["suggested"] == 1
    for rule in RULES:
        assert len(audit(record([[[3.0, 0.0]]], [0], ids=["a"], name=rule), rule).suspected) == 0, rule


def test_an_example_that_was_never_seen_is_last_and_not_suspected(record: Any) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4, 3))
    logits[:, 1] = np.nan
    for rule in RULES:
        row = audit(record(logits, [0, 1, 2, 0], name=rule), rule).table.row(-1, named=True)
        assert row == {
            "id": 1, "label": 1, "suspicion": None, "suspected": False, "suggested": None, "support": None
        }  # fmt: skip


def test_the_blocks_do_not_change_the_answer(learn: Learn, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    dynamics = learn(truth, np.roll(truth, 1))
    whole = audit(dynamics).table
    monkeypatch.setattr("trainmap.audits.audit.BLOCK_BYTES", 1)
    assert audit(dynamics).table.equals(whole)


def test_epochs_and_threshold_are_what_was_asked_for(learn: Learn, truth: np.ndarray) -> None:
    dynamics = learn(truth, truth)
    assert audit(dynamics, epochs=2).epochs == 2
    assert not audit(dynamics, epochs=2).table.equals(audit(dynamics).table)
    assert len(audit(dynamics, threshold=math.inf).suspected) == 0
    assert len(audit(dynamics, threshold=-1).suspected) == 600


# --- planted flips ---


def test_flips_estimate_the_precision_and_recall_and_leave_the_table(learn: Learn, truth: np.ndarray) -> None:
    truth = np.tile(truth, 4)
    wrong = np.arange(2400) % 8 == 0
    labels = np.where(wrong, (truth + 1) % 4, truth)
    flips = plan_flips(labels, 0.1, seed=3)
    found = audit(learn(truth, flips.apply(np.arange(2400), labels)), flips=flips)
    table = found.table.sort("id")
    np.testing.assert_array_equal(table["label"], labels)
    planted = np.isin(np.arange(2400), flips.ids)
    assert table["suspicion"].is_null().to_numpy().tolist() == planted.tolist()
    suspected = table["suspected"].to_numpy()
    assert not suspected[planted].any()
    assert found.quality is not None
    recall = (suspected & wrong & ~planted).sum() / (wrong & ~planted).sum()
    assert found.quality.recall == pytest.approx(recall, abs=0.08)
    assert found.quality.precision == pytest.approx((suspected & wrong).sum() / suspected.sum(), abs=0.15)
    assert found.quality.error_rate == pytest.approx(0.125, abs=0.04)
    assert found.dataset == fingerprint(np.arange(2400), labels)
    assert audit(learn(truth, labels, name="plain")).quality is None


def test_flips_can_set_the_threshold(learn: Learn, truth: np.ndarray) -> None:
    flips = plan_flips(truth, 0.1)
    dynamics = learn(truth, flips.apply(np.arange(600), truth))
    found = audit(dynamics, "confidence", threshold="flips", flips=flips)
    assert found.threshold != RULES["confidence"].threshold
    assert found.quality is not None
    assert found.quality.recall > 0.9
    with pytest.raises(TrainmapError, match="needs the flips"):
        audit(dynamics, threshold="flips")


def test_flips_of_another_recording_are_refused(learn: Learn, truth: np.ndarray) -> None:
    with pytest.raises(TrainmapError, match="not planted in this recording"):
        audit(learn(truth, truth), flips=plan_flips(truth, 0.1))
    with pytest.raises(TrainmapError, match="not planted in this recording"):
        audit(learn(truth, truth, name="other"), flips=plan_flips(truth, 0.1, ids=np.arange(600) + 900))


def test_the_confusion_counts_suspected_labels_by_their_suggestion(record: Any) -> None:
    logits = np.zeros((2, 4, 3))
    logits[:, [0, 1, 2, 3], [2, 2, 1, 0]] = 5
    found = audit(record(logits, [0, 0, 0, 0]))
    assert found.confusion(3).tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(TrainmapError, match="above 2, got 2"):
        found.confusion(2)
    assert audit(record(logits, [2, 2, 1, 0], name="clean")).confusion(3).sum() == 0


# --- threshold samples ---


def test_threshold_samples_find_errors_in_two_runs(learn: Learn, truth: np.ndarray) -> None:
    wrong = np.arange(600) % 10 == 0
    labels = np.where(wrong, (truth + 1) % 4, truth)
    plan = plan_threshold_samples(labels, classes=4)
    ids = np.arange(600)
    first, second = (learn(truth, plan.apply(run, ids, labels), name=f"run{run}", classes=5) for run in (0, 1))
    found = audit_threshold_samples(first, second)
    table = found.table.sort("id")
    np.testing.assert_array_equal(table["label"], labels)
    assert table["suspicion"].null_count() == 0
    assert np.isin(ids[wrong], found.suspected).mean() > 0.9
    assert set(found.table["id"][:40]) <= set(ids[wrong])
    assert found.table["suggested"].drop_nulls().max() == 3  # never the class that does not exist
    assert len(audit_threshold_samples(first, second, percentile=0.5).suspected) < len(found.suspected)
    assert found.dataset == fingerprint(ids, labels)


def test_threshold_samples_by_hand(record: Any) -> None:
    # Classes 0, 1 and the extra one, 2; margins in the two runs, a 2 where the example is a threshold sample.
    margins = np.array([[-3.0, 4, 1, -2], [5, -1, 3, -4]])
    samples = [0, 1]
    runs = []
    for run, row in enumerate(margins):
        logits = np.full((1, 4, 3), -9.0)
        labels = np.array([0, 0, 1, 1])
        labels[samples[run]] = 2
        logits[0, np.arange(4), labels] = row
        logits[0, np.arange(4), (labels + 1) % 3] = 0
        runs.append(record(logits, labels, name=f"run{run}"))
    table = audit_threshold_samples(*runs).table.sort("id")
    # alpha is -3 in run 0 and -1 in run 1
    np.testing.assert_allclose(
        table["suspicion"], [-1 - 5, -3 - 4, ((-3 - 1) + (-1 - 3)) / 2, ((-3 + 2) + (-1 + 4)) / 2]
    )
    assert table["suspected"].to_list() == [False, False, False, True]
    assert table["label"].to_list() == [0, 0, 1, 1]


def test_runs_that_do_not_belong_together_are_refused(learn: Learn, truth: np.ndarray) -> None:
    plan, ids = plan_threshold_samples(truth, classes=4), np.arange(600)
    first = learn(truth, plan.apply(0, ids, truth), name="first", classes=5)
    second = plan.apply(1, ids, truth)

    def other(name: str, labels: np.ndarray = second, **changes: Any) -> Dynamics:
        return learn(truth, labels, name=name, **{"classes": 5, **changes})

    changed = second.copy()
    changed[np.setdiff1d(ids, np.concatenate([plan.first, plan.second]))[0]] += 1
    changed %= 4
    changed[plan.second] = 4
    for run, message in (
        (first, "in both runs"),
        (other("classes", classes=6), "same classes, got 5 and 6"),
        (other("source", source="sweep"), "same source"),
        (other("ids", ids=ids + 1), "same ids"),
        (other("plain", truth), "needs threshold samples"),
        (other("changed", changed), "differ for 1 ids that are no threshold samples"),
    ):
        with pytest.raises(TrainmapError, match=message):
            audit_threshold_samples(first, run)
    with pytest.raises(TrainmapError, match="percentile must lie"):
        audit_threshold_samples(first, other("second"), percentile=99)


# --- files and mistakes ---


def test_an_audit_is_saved_as_parquet_and_csv(learn: Learn, truth: np.ndarray, tmp_path: Path) -> None:
    found = audit(learn(truth, np.roll(truth, 1)))
    assert isinstance(found, Audit)
    assert pl.read_parquet(found.save(tmp_path / "deep" / "a.parquet")).equals(found.table)
    read = pl.read_csv(found.save(tmp_path / "a.csv"))
    assert read.columns == found.table.columns
    assert read["id"].to_list() == found.table["id"].to_list()
    with pytest.raises(TrainmapError, match=r"\.parquet or \.csv"):
        found.save(tmp_path / "a.txt")


def test_mistakes_say_what_to_do(record: Any, tmp_path: Path) -> None:
    dynamics = record(np.zeros((1, 2, 2)), [0, 1])
    with pytest.raises(TrainmapError, match="unknown rule 'combine'; did you mean 'combined'"):
        audit(dynamics, "combine")
    with pytest.raises(TrainmapError, match="epochs must be 1 to 1"):
        audit(dynamics, epochs=5)
    with pytest.raises(TrainmapError, match="level='signals'"):
        audit(record(np.zeros((1, 2, 2)), [0, 1], level="stats", name="stats"))
