"""A map from anybody's table: by the columns' names, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from trainmap import DataMap, Dynamics, Recorder, map_from_table, select
from trainmap.errors import StoreError, TrainmapError
from trainmap.maps.exchange import export_metrics

TABLE: dict[str, list[Any]] = {
    "id": [3, 1, 2],
    "label": [0, 1, 1],
    "confidence": [0.9, 0.5, 0.1],
    "variability": [0.05, 0.4, 0.1],
    "correctness": [5.0, 3.0, 0.0],
    "mine": [1.0, 2.0, 3.0],
}


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: column for name, column in (TABLE | more).items() if name not in names}


@pytest.mark.parametrize("kind", ["dict", "polars", "lazy", "pandas", ".parquet", ".csv", ".jsonl"])
def test_every_kind_of_table_gives_the_same_map(kind: str, tmp_path: Path) -> None:
    frame, table = pl.DataFrame(TABLE), TABLE
    if kind in ("polars", "lazy"):
        table: Any = frame if kind == "polars" else frame.lazy()
    elif kind == "pandas":
        table = pd.DataFrame(TABLE)
    elif kind != "dict":
        table = tmp_path / f"table{kind}"
        {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}[kind](table)
    datamap = map_from_table(table, epochs=5)
    assert datamap.ids.tolist() == [1, 2, 3]
    assert datamap.labels.tolist() == [1, 1, 0]
    assert datamap.values("mine").tolist() == [2.0, 3.0, 1.0]
    assert select(datamap, "1 hard-to-learn").ids.tolist() == [2]
    datamap.save(tmp_path / "map.parquet")
    opened = DataMap.open(tmp_path / "map.parquet")
    assert opened.fingerprint == datamap.fingerprint
    assert opened.table.equals(datamap.table)


def test_the_metrics_that_trainmap_writes_come_back_as_its_map(tmp_path: Path) -> None:
    generator, ids = np.random.default_rng(0), [f"example {number}" for number in range(60)]
    with Recorder(tmp_path / "d", 4) as recorder:
        for _ in range(5):
            recorder.update(ids, generator.normal(size=(60, 4)), np.arange(60) % 4)
            recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    path = export_metrics(dynamics, tmp_path / "td_metrics.jsonl")
    names = ("threshold_closeness", "confidence", "variability", "correctness", "forgetting")
    ours = DataMap.from_dynamics(dynamics, scores=names)
    back = map_from_table(path, epochs=dynamics.epochs)
    for name in names:
        np.testing.assert_allclose(back.values(name), ours.values(name), rtol=1e-12)
    assert back.table["region"].to_list() == ours.table["region"].to_list()
    assert back.ids.tolist() == ours.ids.tolist()
    assert np.isinf(back.values("forgetting")).any()


def test_columns_are_named_and_a_label_may_lack(tmp_path: Path) -> None:
    table = {"image": ["b", "a"], "mean": [0.2, 0.8], "sd": [0.1, 0.2], "note": ["x", "y"], "index": [7, 8]}
    named = {"id": "image", "confidence": "mean", "variability": "sd"}
    datamap = map_from_table(table, epochs=3, columns=named, leave_out=["note"])
    assert datamap.ids.tolist() == ["a", "b"]
    assert datamap.labels.tolist() == [-1, -1]
    assert np.isnan(datamap.values("correctness")).all()
    assert datamap.scores == ["confidence", "variability", "correctness"]
    with pytest.raises(TrainmapError, match=r"these columns hold no numbers: .*leave_out=\['note'\]"):
        map_from_table(table, epochs=3, columns=named)


@pytest.mark.parametrize(
    ("table", "how", "why"),
    [
        (without("confidence"), {}, "a map needs id, confidence, variability; the table has no confidence"),
        (without("id", image=[1, 2, 3]), {}, "the table has no id: name the column"),
        (TABLE, {"columns": {"id": "imge"}}, "unknown column 'imge'"),
        (without(confidence=[0.1, 1.5, 0.2]), {}, "confidence must be 0 to 1, and is another for 1 example"),
        (without(correctness=[6.0, 1.0, 0.0]), {}, "correctness must be 0 to 5"),
        (without(confidence=["0.5", "high", "0.1"]), {}, "confidence must be numbers, row 1 has 'high'"),
        (without(id=[1, 1, 2]), {}, "ids must be distinct; 1 came more than once"),
        (without(label=["cat", "dog", "cat"]), {}, "label must be class indices, got '(cat|dog)'"),
        ({name: [] for name in TABLE}, {}, "the table has no rows"),
        (without(guid=[4, 5, 6]), {"columns": {"id": "guid"}}, "has a column 'id' besides 'guid'"),
        (without("id", guid=[4, 5, 6], trainmap_id=[1, 2, 3]), {}, "has a column 'trainmap_id' besides 'guid'"),
        (without(trainmap_id=[1, 2, 3]), {}, "has a column 'trainmap_id' besides 'id'"),
        (without(one=[1, 2, 3], guid=[1, 2, 3]), {"columns": {"id": "one"}}, "has a column 'id' besides 'one'"),
        (without(gold=[1, 2, 3]), {}, "has a column 'gold' besides 'label'"),
        (without(forgetfulness=["a", "b", "c"]), {}, "these columns hold no numbers: .*forgetting"),
        (TABLE, {"leave_out": ["mine"], "columns": {"score": "mine"}}, "to be read and left out"),
        (3, {}, "a table must be a polars or pandas data frame"),
        ("scores.xlsx", {}, "unknown kind of table '.xlsx'"),
    ],
)
def test_tables_that_are_no_maps_are_refused(table: Any, how: dict[str, Any], why: str) -> None:
    with pytest.raises(TrainmapError, match=why):
        map_from_table(table, epochs=5, **how)


@pytest.mark.parametrize("columns", [None, {"forgetting": "forgetfulness"}])
def test_a_forgetfulness_of_1000_is_never_however_the_column_is_found(columns: Any) -> None:
    datamap = map_from_table(without(forgetfulness=[0.0, 2.0, 1000.0]), epochs=5, columns=columns)
    assert datamap.values("forgetting").tolist() == [2.0, np.inf, 0.0]
    other = {"slope": "forgetfulness"}
    assert map_from_table(without(forgetfulness=[0, 2, 1000]), 5, columns=other).values("slope")[1] == 1000.0


def test_an_alias_that_is_taken_for_something_else_is_no_second_one() -> None:
    table = without("id", guid=[3, 1, 2], trainmap_id=[7, 8, 9])
    datamap = map_from_table(table, epochs=5, columns={"place": "trainmap_id"})
    assert datamap.ids.tolist() == [1, 2, 3]
    assert datamap.values("place").tolist() == [8.0, 9.0, 7.0]
    assert map_from_table(table, epochs=5, columns={"id": "trainmap_id"}, leave_out=["guid"]).ids.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (("7", "10", "-8"), [-8, 7, 10]),
        (("007", "10", "8"), ["007", "10", "8"]),
        (('"007"', '"010"', '"8"'), ["007", "010", "8"]),
        (("123456789012345678901", "1", "2"), ["1", "123456789012345678901", "2"]),
    ],
)
@pytest.mark.parametrize("name", ["id", "guid", "image"])
def test_ids_of_a_csv_file_stay_as_they_are_written(
    name: str, written: tuple[str, ...], ids: list[Any], tmp_path: Path
) -> None:
    lines = [f"0.{row},{one},0.1,01" for row, one in enumerate(written)]
    (tmp_path / "t.csv").write_text("\n".join([f"confidence,{name},variability,mine", *lines, ""]))
    datamap = map_from_table(tmp_path / "t.csv", epochs=5, columns={"id": "image"} if name == "image" else None)
    assert datamap.ids.tolist() == ids
    assert datamap.values("mine").tolist() == [1.0] * 3


@pytest.mark.parametrize("name", ["no.csv", "torn.parquet", "torn.jsonl"])
def test_files_that_cannot_be_read_say_so(name: str, tmp_path: Path) -> None:
    if name != "no.csv":
        (tmp_path / name).write_text(json.dumps(TABLE)[:40])
    with pytest.raises(StoreError):
        map_from_table(tmp_path / name, epochs=5)
