"""Selected examples in a dataset that is indexed by position: the right ones whatever its ids, or an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.selection.card import Selection
from trainmap.selection.select import select, select_by

MakeMap = Callable[..., DataMap]
N = 40
IDS: dict[str, Any] = {
    "from 0": np.arange(N),
    "from 1": np.arange(1, N + 1),
    "shuffled": np.random.default_rng(0).permutation(N),
    "with gaps": np.random.default_rng(1).permutation(1000)[:N],
    "negative": np.arange(N) - 20,
    "names": np.array([f"n{i}" for i in range(N)]),
}


class Items(Dataset[Any]):
    """Item j is the id of item j, as a plain dataset in the order of its files."""

    def __init__(self, ids: Any) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> Any:
        return self.ids[place]


@pytest.mark.parametrize("name", IDS)
def test_positions_lead_from_the_datasets_order_to_the_selection(make_map: MakeMap, name: str) -> None:
    ids = IDS[name]
    chosen = select(make_map(N, ids=ids), "30% ambiguous + 10% random")
    positions = chosen.positions(ids)
    assert positions.dtype == np.int64
    assert ids[positions].tolist() == chosen.ids.tolist()
    assert np.sort(positions).tolist() == np.flatnonzero(chosen.mask(ids)).tolist()
    assert chosen.positions(ids.tolist()).tolist() == positions.tolist()
    if name != "names":
        assert chosen.positions(torch.from_numpy(ids)).tolist() == positions.tolist()
        assert chosen.positions(ids.astype(np.int32)).tolist() == positions.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30, unique=True), st.data())
def test_positions_of_any_ids_in_any_order(make_map: MakeMap, ids: list[int], data: st.DataObject) -> None:
    chosen = Selection.of(make_map(len(ids), ids=ids), ids[: len(ids) // 2], "by hand")
    order = data.draw(st.permutations(ids))
    assert [order[place] for place in chosen.positions(order)] == sorted(ids[: len(ids) // 2])


KINDS: dict[str, Callable[[Any], Any]] = {
    "a dataset": Items,
    "a list": lambda ids: ids.tolist(),
    "an array": lambda ids: ids,
    "hugging face": lambda ids: datasets.Dataset.from_dict({"id": ids.tolist()}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", IDS)
def test_a_subset_holds_the_selected_items_of_any_kind_of_dataset(make_map: MakeMap, name: str, kind: str) -> None:
    ids = IDS[name]
    chosen = select(make_map(N, ids=ids), "30% ambiguous")
    found = chosen.subset(KINDS[kind](ids), ids)
    got = [item["id"] if kind == "hugging face" else item for item in found]
    assert got == chosen.ids.tolist()
    assert isinstance(found, {"an array": np.ndarray, "hugging face": datasets.Dataset}.get(kind, Subset))


def test_a_loader_takes_a_subset(make_map: MakeMap) -> None:
    ids = IDS["with gaps"]
    chosen = select(make_map(N, ids=ids), "30% ambiguous")
    loader = DataLoader(chosen.subset(TensorDataset(torch.from_numpy(ids)), ids), batch_size=5, shuffle=True)
    assert sorted(torch.cat([batch for (batch,) in loader]).tolist()) == chosen.ids.tolist()


@pytest.mark.parametrize("way", ["select", "select_by", "of"])
def test_without_ids_an_id_is_a_position_where_the_maps_ids_were_0_to_n_alone(make_map: MakeMap, way: str) -> None:
    make: dict[str, Callable[[DataMap], Selection]] = {
        "select": lambda m: select(m, "5 ambiguous"),
        "select_by": lambda m: select_by(m, "band", 5, score="aum"),
        "of": lambda m: Selection.of(m, m.ids[1:6], "by hand"),
    }
    for name, ids in IDS.items():
        chosen = make[way](make_map(N, ids=ids))
        if name in ("from 0", "shuffled"):
            assert list(chosen.subset(Items(np.arange(N)))) == chosen.ids.tolist()
            with pytest.raises(TrainmapError, match="the dataset has 41 items; pass ids"):
                chosen.subset(Items(np.arange(N + 1)))
        else:
            with pytest.raises(TrainmapError, match="the map's ids were others, or are not known; pass ids"):
                chosen.subset(Items(ids))


def test_a_card_keeps_whether_its_ids_can_be_positions_and_one_of_an_earlier_version_does_not_know(
    make_map: MakeMap, tmp_path: Path
) -> None:
    chosen = select(make_map(N), "5 ambiguous")
    path = chosen.save(tmp_path / "card.json")
    assert list(Selection.open(path).subset(Items(np.arange(N)))) == chosen.ids.tolist()
    about = json.loads(path.read_text())
    del about["numbered"], about["checksum"]
    path.write_text(json.dumps(about | {"version": 1}))
    old = Selection.open(path)
    with pytest.raises(TrainmapError, match="or are not known; pass ids"):
        old.subset(Items(np.arange(N)))
    assert list(old.subset(Items(np.arange(N)), np.arange(N))) == chosen.ids.tolist()


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(N))


@pytest.mark.parametrize(
    ("dataset", "ids", "message"),
    [
        (Items(np.arange(N)), np.arange(N - 1), "one for each of the dataset's 40 items, got 39"),
        (Items(np.arange(N)), np.arange(N) // 2, "ids must be distinct; 20 came more than once"),
        (Items(np.arange(N)), np.arange(N) + 1000, "5 selected ids are not in the dataset"),
        (
            Items(np.arange(N)),
            [f"{i}" for i in range(N)],
            "the selection's ids are integers, the dataset's are strings",
        ),
        (Items(np.arange(N)), np.arange(N) / 1, "ids must be integers or strings"),
        (Stream(), np.arange(N), "must have a length and an item for every position.*got Stream"),
        (pd.DataFrame({"a": range(N)}), np.arange(N), "got DataFrame .of a table take the rows by selection.mask"),
        (pd.Series(range(N)), np.arange(N), "got Series"),
        (pl.DataFrame({"a": range(N)}), np.arange(N), "got DataFrame"),
        ({"train": [1]}, np.arange(1), "got dict"),
        (datasets.DatasetDict(), np.arange(1), "got DatasetDict"),
        (5, np.arange(1), "got int"),
    ],
)
def test_what_cannot_be_right_is_refused(make_map: MakeMap, dataset: Any, ids: Any, message: str) -> None:
    chosen = select(make_map(N), "5 ambiguous")
    with pytest.raises(TrainmapError, match=message):
        chosen.subset(dataset, ids)
