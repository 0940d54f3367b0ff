"""A map's columns beside the rows of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.exchange import add_columns

datasets = pytest.importorskip("datasets")
FORMATS = [None, "torch", "numpy", "arrow", "pandas", "polars"]


def record(path: Path, names: bool = False, **options: Any) -> Dynamics:
    rng = np.random.default_rng(0)
    ids = np.array([f"n{i:03}" for i in range(60)]) if names else np.arange(60)
    labels = np.arange(60) % 3
    with Recorder(path, 3, ids=ids, labels=labels, **options) as recorder:
        for epoch in range(4):
            logits = rng.normal(size=(60, 3))
            logits[np.arange(60), labels] += epoch * (np.arange(60) % 7 - 1)
            recorder.update(ids, logits, labels)
            recorder.end_epoch()
    return Dynamics.open(path)


class Table:
    """The least that ``add_columns`` asks of a dataset."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns = columns
        self.column_names = list(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def add_column(self, name: str, values: list[Any]) -> Table:
        assert len(values) == len(self)
        return Table(**self.columns, **{name: values})


def test_columns_follow_the_ids_whatever_the_order_of_the_dataset(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d", names=True), ["confidence"])
    order = np.random.default_rng(1).permutation(60)[:30]
    dataset = Table(key=datamap.ids[order].tolist())
    got = add_columns(dataset, datamap, "key")
    assert got.column_names == ["key", *datamap.scores, "region"]
    assert got["confidence"] == datamap.values("confidence")[order].tolist()
    assert got["region"] == [datamap.table["region"][int(row)] for row in order]
    assert dataset.column_names == ["key"]


def test_rows_that_the_map_does_not_know_are_an_error_or_none(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    dataset = Table(key=[5, 999, 7])
    with pytest.raises(TrainmapError, match=r"1 of 3 ids are not in the map \(first: 999; the map has 0, 1, 2"):
        add_columns(dataset, datamap, "key")
    got = add_columns(dataset, datamap, "key", ["confidence"], allow_missing=True)
    assert got["confidence"] == [datamap.values("confidence")[5], None, datamap.values("confidence")[7]]


def test_integer_ids_and_their_names_are_not_the_same(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    with pytest.raises(TrainmapError, match=r"first: '5'; the map has 0, 1, 2"):
        add_columns(Table(key=["5"]), datamap, "key")


def test_row_numbers_serve_as_ids_only_when_they_are_all_there(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    got = add_columns(Table(x=[0] * 60), datamap, columns=["confidence"], prefix="map_")
    assert got["map_confidence"] == datamap.values("confidence").tolist()
    with pytest.raises(TrainmapError, match="without id_column the map's ids must be the row numbers 0 to 58"):
        add_columns(Table(x=[0] * 59), datamap)


def test_columns_are_not_replaced_and_ids_come_once(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    with pytest.raises(TrainmapError, match="has a column 'confidence' already; pass prefix="):
        add_columns(Table(key=[1], confidence=[0.0]), datamap, "key")
    with pytest.raises(TrainmapError, match=r"must name each row once; 1 rows repeat an id \(first: 1\)"):
        add_columns(Table(key=[1, 2, 1]), datamap, "key")
    with pytest.raises(TrainmapError, match="column 'aum' is not in this map"):
        add_columns(Table(key=[1]), datamap, "key", ["aum"])


def test_hugging_face_datasets_take_the_columns(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d", names=True), ["confidence", "forgetting"])
    order = np.random.default_rng(1).permutation(60)[:30]
    dataset = datasets.Dataset.from_dict({"guid": [*datamap.ids[order].tolist(), "strange"]})
    got = add_columns(dataset, datamap, "guid", allow_missing=True)
    assert got.column_names == ["guid", *datamap.scores, "region"]
    assert list(got["confidence"]) == [*datamap.values("confidence")[order].tolist(), None]
    assert list(got["forgetting"])[:30] == datamap.values("forgetting")[order].tolist()


def hugging(datamap: DataMap, order: Any) -> Any:
    return datasets.Dataset.from_dict({"guid": datamap.ids[order].tolist(), "x": [0.5] * len(order)})


@pytest.mark.parametrize("names", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize("form", FORMATS)
def test_ids_are_found_whatever_the_format_and_the_format_stays(tmp_path: Path, form: str | None, names: bool) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d", names=names), ["confidence"])
    order = np.random.default_rng(1).permutation(60)[:30]
    dataset = hugging(datamap, order).with_format(form)
    got = add_columns(dataset, datamap, "guid", allow_missing=True)
    assert got.format["type"] == form
    assert got.with_format(None)["confidence"][:] == datamap.values("confidence")[order].tolist()
    assert got.format["columns"] == [*dataset.column_names, *datamap.scores, "region"], "the new ones are shown as well"
    assert dataset.format["columns"] == dataset.column_names
    twice = datasets.concatenate_datasets([dataset, dataset]).with_format(form)
    with pytest.raises(TrainmapError, match="30 rows repeat an id"):
        add_columns(twice, datamap, "guid", allow_missing=True)


def test_a_format_with_chosen_columns_and_a_transform_hide_no_ids(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    order = np.arange(60)[::-1]
    chosen = hugging(datamap, order).with_format("torch", columns=["x"], output_all_columns=True)
    got = add_columns(chosen, datamap, "guid", ["confidence"])
    assert got.format == chosen.format | {"columns": ["confidence", "x"]}
    np.testing.assert_allclose(torch.stack(list(got["confidence"])), datamap.values("confidence")[order], rtol=1e-6)
    changed = hugging(datamap, order).with_transform(lambda rows: {"guid": ["?"] * len(next(iter(rows.values())))})
    got = add_columns(changed, datamap, "guid", ["confidence"])
    assert got.format["type"] == "custom"
    assert got.with_format(None)["confidence"][:] == datamap.values("confidence")[order].tolist()


@pytest.mark.parametrize("key", [np.arange(60), torch.arange(60), list(torch.arange(60)), list(np.arange(60))])
def test_numbers_of_other_libraries_are_the_same_ids(tmp_path: Path, key: Any) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    assert add_columns(Table(key=key), datamap, "key")["confidence"] == datamap.values("confidence").tolist()


@pytest.mark.parametrize("strange", [1.0, True, None, [1], b"1"])
def test_what_is_no_id_is_refused_and_not_taken_for_one(tmp_path: Path, strange: Any) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    with pytest.raises(
        TrainmapError, match=r"column 'key' must hold a whole number or a text in every row, got .* row 1"
    ):
        add_columns(Table(key=[0, strange]), datamap, "key", allow_missing=True)


def test_a_map_of_other_examples_is_refused_even_where_rows_may_be_missing(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    with pytest.raises(TrainmapError, match=r"2 of 2 ids are not in the map .*is this its id column"):
        add_columns(Table(key=[1000, 1001]), datamap, "key", allow_missing=True)


def test_streams_parts_and_unknown_columns_are_named(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    whole = hugging(datamap, np.arange(60))
    with pytest.raises(TrainmapError, match="IterableDataset has not; load it without streaming"):
        add_columns(whole.to_iterable_dataset(), datamap, "guid")
    with pytest.raises(TrainmapError, match="one part of a dataset, got its parts 'train', 'test'; pass one"):
        add_columns(datasets.DatasetDict(train=whole, test=whole), datamap, "guid")
    with pytest.raises(TrainmapError, match="unknown column of the dataset 'gid'; did you mean 'guid'"):
        add_columns(whole, datamap, "gid")
