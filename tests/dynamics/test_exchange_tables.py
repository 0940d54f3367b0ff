"""The long table: a row for each epoch and example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from trainmap.dynamics.exchange import long_table as tables
from trainmap.dynamics.exchange.long_table import export_long, trajectories
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError


def record(path: Path, names: bool = False) -> Dynamics:
    rng = np.random.default_rng(0)
    ids = np.array([f"n{i:03}" for i in range(40)]) if names else np.arange(40) * 2
    with Recorder(path, 5, ids=ids, labels=np.arange(40) % 5, level="logits", allow_missing=True) as recorder:
        for epoch in range(3):
            here = rng.permutation(40)[: 40 - epoch]
            recorder.update(ids[here], rng.normal(size=(len(here), 5)), here % 5)
            recorder.end_epoch()
    return Dynamics.open(path)


@pytest.mark.parametrize("names", [False, True])
def test_every_number_of_every_epoch_is_in_the_table(tmp_path: Path, names: bool) -> None:
    dynamics = record(tmp_path / "d", names)
    table = pl.read_parquet(export_long(dynamics, tmp_path / "long.parquet"))
    assert table.columns == ["epoch", "id", "label", *(name for name in dynamics.signals if name != "logits")]
    assert table["epoch"].to_list() == [epoch for epoch in range(3) for _ in range(40)]
    assert table["id"].to_list() == dynamics.ids.tolist() * 3
    assert table["label"].to_list() == dynamics.labels.tolist() * 3
    block = dynamics.block()
    for name, values in block.signals.items():
        np.testing.assert_array_equal(table[name].fill_null(-1), np.where(block.seen, values, -1).ravel())
        assert table[name].null_count() == 0 + 1 + 2


def test_logits_come_as_lists_when_asked_for(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    table = pl.read_parquet(export_long(dynamics, tmp_path / "long.parquet", ["logits", "p_gold"]))
    assert table.columns == ["epoch", "id", "label", "logits", "p_gold"]
    np.testing.assert_array_equal(np.array(table["logits"][:40].to_list()), dynamics.column(0, "logits"))
    assert table["logits"].is_null().to_list() == table["p_gold"].is_null().to_list()


def test_the_table_does_not_depend_on_the_size_of_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dynamics = record(tmp_path / "d")
    whole = pl.read_parquet(export_long(dynamics, tmp_path / "whole.parquet"))
    monkeypatch.setattr(tables, "ROWS", 7)
    pieces = export_long(dynamics, tmp_path / "pieces.parquet")
    assert pq.ParquetFile(pieces).num_row_groups == 18
    assert pl.read_parquet(pieces).equals(whole)


def test_progress_counts_epochs_and_mistakes_leave_no_file(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    steps: list[int] = []
    export_long(dynamics, tmp_path / "long.parquet", on_progress=steps.append)
    assert steps == [1, 1, 1]
    with pytest.raises(TrainmapError, match="unknown signal 'p_god'; did you mean 'p_gold'"):
        export_long(dynamics, tmp_path / "x.parquet", ["p_god"])
    with pytest.raises(TrainmapError, match=r"must end in .parquet, got x.csv"):
        export_long(dynamics, tmp_path / "x.csv")
    assert not list(tmp_path.glob("*x*"))


def test_trajectories_are_one_row_for_each_example(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    np.testing.assert_array_equal(trajectories(dynamics, "margin"), dynamics.block()["margin"].T)
    with pytest.raises(TrainmapError, match="logits are C of them"):
        trajectories(dynamics, "logits")


def test_a_table_without_a_signal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"signals must name at least one of p_gold, .*, got none"):
        export_long(record(tmp_path / "d"), tmp_path / "x.parquet", [])
    with Recorder(tmp_path / "s", 2, level="stats") as recorder:
        recorder.update([0, 1], np.zeros((2, 2)), [0, 1])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match=r"level 'stats' keeps sums and no epochs; record with level='signals'"):
        export_long(Dynamics.open(tmp_path / "s"), tmp_path / "x.parquet")
    assert not list(tmp_path.glob("*x*"))
