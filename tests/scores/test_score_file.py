"""Scores as a file, and the promise about memory, block by block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.machine import parse_bytes
from trainmap.scores.compute import compute, estimate, resolve
from trainmap.scores.score_file import check_scores_name, write_scores


@pytest.fixture
def dynamics(tmp_path: Path) -> tm.Dynamics:
    """1,000 examples with names, three epochs; the example n0003 was never seen."""
    rng = np.random.default_rng(0)
    ids = np.array([f"n{i:04d}" for i in range(1000)])
    labels = rng.integers(0, 4, 1000)
    with tm.Recorder(tmp_path / "d", classes=4, ids=ids, labels=labels, allow_missing=True) as recorder:
        for _ in range(3):
            seen = np.delete(np.arange(1000), 3)
            recorder.update(ids[seen], rng.normal(size=(999, 4)), labels[seen])
            recorder.end_epoch()
    return tm.Dynamics.open(tmp_path / "d")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("rows", [1, 256, 333, 100_000])
def test_a_file_of_scores_holds_what_compute_gives_whatever_the_blocks(
    dynamics: tm.Dynamics, tmp_path: Path, suffix: str, rows: int
) -> None:
    chosen = resolve(dynamics, ["confidence", "forgetting"])
    plan = replace(estimate(dynamics, chosen, collect=False), rows=rows)
    done: list[int] = []
    path = write_scores(dynamics, chosen, plan, tmp_path / "deep" / f"s.{suffix}", on_progress=done.append)
    table = pl.read_csv(path) if suffix == "csv" else pl.read_parquet(path)
    assert table.columns == ["id", "label", "confidence", "forgetting"]
    assert table["id"].to_list() == dynamics.ids.tolist()
    assert table["label"].to_list() == dynamics.labels.tolist()
    for name, values in compute(dynamics, ["confidence", "forgetting"]).items():
        assert np.array_equal(table[name].to_numpy(), values, equal_nan=True)
    assert sum(done) == 1000


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"scores are written as \.parquet or \.csv, got scores\.txt"):
        check_scores_name(tmp_path / "scores.txt")


def test_a_bound_that_is_too_small_says_what_would_do(dynamics: tm.Dynamics) -> None:
    chosen = resolve(dynamics, None)
    with pytest.raises(TrainmapError, match=r"max_memory must be at least .* for this recording, got 1 kB"):
        estimate(dynamics, chosen, max_memory=1000)
    needed = estimate(dynamics, chosen).memory_bytes
    assert estimate(dynamics, chosen, max_memory=2 * needed).memory_bytes <= 2 * needed


def test_workers_must_be_positive_and_epochs_recorded(dynamics: tm.Dynamics) -> None:
    with pytest.raises(TrainmapError, match="workers must be a whole number of at least 1, got 0"):
        compute(dynamics, workers=0)
    with pytest.raises(TrainmapError, match=r"epochs must be 1 to 3 \(those recorded\), got 4"):
        compute(dynamics, epochs=4)


def test_the_first_epochs_alone_give_the_scores_that_they_can_give(dynamics: tm.Dynamics) -> None:
    assert "slope" not in compute(dynamics, epochs=1)
    with pytest.raises(TrainmapError, match="slope needs at least 2 epochs, got 1"):
        compute(dynamics, ["slope"], epochs=1)


def test_an_own_score_of_the_wrong_shape_is_refused(dynamics: tm.Dynamics) -> None:
    def short(block: tm.Block) -> np.ndarray:
        return block.p_gold[0][:-1]

    with pytest.raises(TrainmapError, match=r"score 'short' must return \(\d+,\) numbers .* got float32"):
        compute(dynamics, [short])


def test_a_score_object_keeps_its_own_name(dynamics: tm.Dynamics) -> None:
    assert list(compute(dynamics, [tm.score("forgetting", "toneva")])) == ["forgetting_toneva"]


@pytest.mark.parametrize(
    ("text", "size"), [("1GB", 10**9), ("500 MB", 5 * 10**8), ("1.5gb", 1_500_000_000), ("42", 42), ("7kB", 7000)]
)
def test_amounts_of_memory_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


def test_an_amount_of_memory_without_a_number_is_refused() -> None:
    with pytest.raises(TrainmapError, match="for example 1GB or 500MB; got 'much'"):
        parse_bytes("much")


def test_scores_that_cannot_be_written_are_a_mistake_in_one_line(dynamics: tm.Dynamics, tmp_path: Path) -> None:
    chosen = resolve(dynamics, ["confidence"])
    plan = estimate(dynamics, chosen, collect=False)
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(TrainmapError, match=r"s\.csv cannot be written: Is a directory$"):
        write_scores(dynamics, chosen, plan, tmp_path / "s.csv")
