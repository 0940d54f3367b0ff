"""with_ids: whatever kind of dataset or loader it is, an item says which example it is."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

import trainmap as tm
from trainmap.errors import TrainmapError

N = 23
NAMES = [f"n{number}" for number in np.random.default_rng(0).permutation(N)]
X = torch.arange(N, dtype=torch.float32)[:, None] * torch.ones(3)


class Dicts(Dataset[Any]):
    def __init__(self, **more: Any) -> None:
        self.more = more

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> Any:
        if place >= N:
            raise IndexError(place)
        return {"x": X[place], "place": place, **{name: values[place] for name, values in self.more.items()}}


class Stream(IterableDataset[Any]):
    def __init__(self, named: bool = False, sharded: bool = False) -> None:
        self.named, self.sharded, self.epoch = named, sharded, 0

    def __iter__(self) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        mine = range(N) if info is None or not self.sharded else range(info.id, N, info.num_workers)
        for place in mine:
            yield {"uid": NAMES[place], "x": X[place]} if self.named else (X[place], place)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def named(item: Any) -> str:
    return item["uid"]


def hub() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"x": X.tolist(), "place": list(range(N))})


@pytest.mark.parametrize(
    ("dataset", "item"),
    [
        (TensorDataset(X, torch.arange(N)), lambda at: (X[at], at)),
        (X.numpy(), lambda at: X[at]),
        ([f"text {at}" for at in range(N)], lambda at: f"text {at}"),
        ([[at, at + 1] for at in range(N)], lambda at: (at, at + 1)),
    ],
)
@pytest.mark.parametrize("ids", [None, NAMES])
def test_an_item_comes_with_its_id_in_front(dataset: Any, item: Callable[[int], Any], ids: Any) -> None:
    made = tm.with_ids(dataset, ids)
    assert len(made) == N
    for at in (0, 7, N - 1):
        wanted = item(at)
        name, *rest = made[at]
        assert name == (at if ids is None else NAMES[at])
        assert type(name) is (int if ids is None else str)
        rest_wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        assert all(np.array_equal(one, other) for one, other in zip(rest, rest_wanted, strict=True))
    assert made[-1][0] == made[N - 1][0]
    assert made.__getitems__([3, 1])[1][0] == made[1][0]
    assert pickle.loads(pickle.dumps(made))[4][0] == made[4][0]
    assert [one[0] for one in made] == made.ids.tolist()


def test_a_mapping_has_one_key_more_and_keeps_what_it_has_where_that_is_the_id() -> None:
    assert tm.with_ids(Dicts())[5]["id"] == 5
    assert tm.with_ids(Dicts(), NAMES, column="name")[5]["name"] == NAMES[5]
    assert tm.with_ids(Dicts(id=torch.arange(N)))[5]["id"] == 5
    with pytest.raises(TrainmapError, match=r"has 'id' already, 6, and its id is 5: with_ids\(dataset, ids='id'\)"):
        tm.with_ids(Dicts(id=np.arange(N) + 1))[5]
    made = tm.with_ids(Dicts(id=np.arange(N) + 1), ids="id")
    assert made[5]["id"] == 6
    assert made.ids.tolist() == list(range(1, N + 1))
    made = tm.with_ids(Dicts(uid=NAMES), ids=named)
    assert made[5]["id"] == NAMES[5]
    assert made.ids.tolist() == NAMES


def test_the_ids_of_a_subset_are_places_in_the_dataset_that_it_is_of() -> None:
    data = TensorDataset(X, torch.arange(N))
    train, _ = random_split(data, [15, 8], torch.Generator().manual_seed(0))
    for subset in (train, Subset(train, [4, 2, 9])):
        for name, _, place in tm.with_ids(subset):
            assert name == place
        for ids, _, place in tm.with_ids(DataLoader(subset, batch_size=4)):
            assert ids.tolist() == place.tolist()
    with pytest.raises(TrainmapError, match=r"1 of them came more than once \(first: 3"):
        tm.with_ids(Subset(data, [1, 3, 3]))
    assert tm.with_ids(ConcatDataset([data, data])).ids.tolist() == list(range(2 * N))


LOADERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "shuffled": {"shuffle": True},
    "two persistent workers": {"shuffle": True, "num_workers": 2, "persistent_workers": True, "prefetch_factor": 4},
    "workers out of order": {"shuffle": True, "num_workers": 2, "in_order": False},
    "drop_last": {"drop_last": True},
    "batches from a sampler": {"batch_size": 1, "batch_sampler": BatchSampler(SequentialSampler(X), 5, False)},
    "with replacement": {"sampler": WeightedRandomSampler([1.0] * N, 50)},
    "one at a time": {"batch_size": None},
    "batches of an array": {"batch_size": None, "sampler": BatchSampler(SequentialSampler(X), 5, False)},
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_hands_out_the_ids_of_the_batches_that_it_draws(name: str) -> None:
    how = {"batch_size": 4, **LOADERS[name]}
    loader = DataLoader(TensorDataset(X, torch.arange(N)), generator=torch.Generator().manual_seed(0), **how)
    drawn = tm.with_ids(loader, np.arange(N) + 100)
    for _ in range(2):
        places = []
        for ids, x, place in drawn:
            assert isinstance(ids, np.ndarray)
            assert (ids - 100).tolist() == np.atleast_1d(place).tolist() == x.reshape(-1, 3)[:, 0].tolist()
            places += ids.tolist()
        assert len(places) == {"drop_last": 20, "with replacement": 50}.get(name, N)
    assert len(drawn) == len(loader)
    if "num_workers" not in how:
        assert len(next(iter(loader))) == 2  # the loader that was there goes on as before


@pytest.mark.parametrize("ids", [None, NAMES])
def test_any_collate_function_sees_what_it_saw_before(ids: Any) -> None:
    def collate(items: list[Any]) -> Any:
        assert all(set(item) == {"x", "place"} for item in items)
        return {"x": torch.stack([item["x"] for item in items]), "place": [item["place"] for item in items]}

    for batch in tm.with_ids(DataLoader(Dicts(), 4, collate_fn=collate), ids):
        assert batch["id"].tolist() == [at if ids is None else NAMES[at] for at in batch["place"]]
    with pytest.raises(TrainmapError, match="a batch has 'x' already"):
        next(iter(tm.with_ids(DataLoader(Dicts(), 4), column="x")))


def test_a_stream_counts_or_takes_the_id_from_the_item() -> None:
    assert [name for name, _, place in tm.with_ids(Stream()) if name == place] == list(range(N))
    assert [item[0] for item in tm.with_ids(Stream(), NAMES)] == NAMES
    assert [item["id"] for item in tm.with_ids(Stream(named=True), "uid")] == NAMES
    with pytest.raises(TrainmapError, match="the stream has more items than the 3 ids"):
        list(tm.with_ids(Stream(), NAMES[:3]))
    with pytest.raises(TrainmapError, match="an item has no 'uid' to be its id: it is a tuple"):
        next(iter(tm.with_ids(Stream(), "uid")))
    made = tm.with_ids(Stream())
    made.set_epoch(3)
    assert made.dataset.epoch == 3
    names = [ids for ids, *_ in tm.with_ids(DataLoader(Stream(), 4))]
    assert np.concatenate(names).tolist() == list(range(N))


@pytest.mark.parametrize("way", ["dataset", "loader"])
def test_several_workers_do_not_count_a_stream(way: str) -> None:
    def loader(stream: Stream, ids: Any) -> DataLoader[Any]:
        if way == "dataset":
            return DataLoader(tm.with_ids(stream, ids), 4, num_workers=2)
        return tm.with_ids(DataLoader(stream, 4, num_workers=2), ids)

    with pytest.raises(TrainmapError, match="each of 2 workers would count the stream from 0"):
        list(loader(Stream(sharded=True), None))
    batches = list(loader(Stream(named=True, sharded=True), "uid"))
    assert sorted(name for batch in batches for name in batch["id"]) == sorted(NAMES)
    for batch in batches:
        assert list(batch["id"]) == list(batch["uid"])


class Doubled:
    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, Any]:
        assert "id" not in rows
        return {"twice": [2 * place for place in rows["place"]]}


FORMATS: dict[str, Callable[[datasets.Dataset], datasets.Dataset]] = {
    "plain": lambda data: data,
    "torch": lambda data: data.with_format("torch"),
    "numpy": lambda data: data.with_format("numpy"),
    "some columns": lambda data: data.with_format("torch", columns=["place"]),
    "the others as they are": lambda data: data.with_format("torch", columns=["place"], output_all_columns=True),
    "transform": lambda data: data.with_transform(Doubled()),
    "shuffled": lambda data: data.shuffle(seed=0).select(range(20)),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("strings", [False, True])
def test_a_hugging_face_dataset_gets_a_column_in_its_format(kind: str, strings: bool) -> None:
    data = FORMATS[kind](hub())
    ids = NAMES[: len(data)] if strings else list(range(len(data)))
    made = tm.with_ids(data, ids if strings else None)
    before, after = data[:6], made[:6]
    assert list(after["id"]) == ids[:6]
    assert set(after) == {*before, "id"}
    for name in before:
        assert type(after[name]) is type(before[name])
        assert str(after[name]) == str(before[name])
    assert type(made[2]["id"]) is type(made[:2]["id"][0]) or kind != "plain"
    seen = [name for batch in DataLoader(made, 4) for name in batch["id"]] if kind != "numpy" or not strings else ids
    assert [getattr(name, "item", lambda name=name: name)() for name in seen] == ids
    assert tm.with_ids(made, "id")[:6]["id"] == pytest.approx(after["id"]) or strings
    with pytest.raises(TrainmapError, match="has a column 'id' with other values"):
        tm.with_ids(made, [f"x{at}" for at in range(len(made))])


def test_columns_and_functions_name_rows_of_hugging_face() -> None:
    data = hub().add_column("uid", NAMES)
    assert tm.with_ids(data, "uid")["id"][:] == NAMES
    assert tm.with_ids(data, named)["id"][:] == NAMES
    stream = data.to_iterable_dataset()
    assert [row["id"] for row in tm.with_ids(stream)] == list(range(N))
    assert [row["id"] for row in tm.with_ids(stream, "uid")] == NAMES
    assert [row["id"] for row in tm.with_ids(stream.with_format("torch"), "uid")] == NAMES
    with pytest.raises(TrainmapError, match=r"takes one split, this has 'train': with_ids\(dataset\['train'\]\)"):
        tm.with_ids(datasets.DatasetDict({"train": data}))
    with pytest.raises(TrainmapError, match="has a column 'uid' with other values"):
        list(tm.with_ids(stream, column="uid"))
    with pytest.raises(TrainmapError, match="2 of them came more than once"):
        tm.with_ids(hub(), [*NAMES[2:], NAMES[3], NAMES[4]])


@pytest.mark.parametrize(
    ("dataset", "ids", "message"),
    [
        (X, np.arange(N - 1), "one for each of the dataset's 23 items, got 22"),
        (X, np.arange(N) // 2, "ids must be distinct; 11 of them came more than once"),
        (X, np.arange(N) / 2, "ids must be integers or strings"),
        (pd.DataFrame({"a": range(N)}), None, "got DataFrame"),
        ({"train": X}, None, "got dict"),
        (5, None, "got int"),
        ("text", None, "got str"),
        ((X, np.arange(N)), None, r"got tuple of arrays \(TensorDataset\(x, y\)"),
        (zip(X, range(N), strict=True), None, r"got zip \(list\(...\) of it is one\)"),
        (X, [Path(name) for name in NAMES], r"got PosixPath\(.*among them; str\(\) of each"),
    ],
)
def test_what_cannot_be_right_is_refused(dataset: Any, ids: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        tm.with_ids(dataset, ids)


def test_ids_are_given_once() -> None:
    made = tm.with_ids(TensorDataset(X))
    stream = tm.with_ids(Stream(), NAMES)
    joint = [ConcatDataset([made, TensorDataset(X)]), ChainDataset([stream, Stream()]), stream]
    parts = [DataLoader(one) for one in (made, *joint)]
    for again in (made, Subset(made, [1, 2]), tm.with_ids(DataLoader(TensorDataset(X))), *joint, *parts):
        with pytest.raises(TrainmapError, match="has ids already"):
            tm.with_ids(again)
    with pytest.raises(TrainmapError, match="column must be a name"):
        tm.with_ids(X, column=3)  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match=r"one at a time; .* name the loader: with_ids\(DataLoader"):
        made[1:3]
    with pytest.raises(TrainmapError, match=r"an id must be an integer or a string, the item's 'x' gave tensor"):
        tm.with_ids(Dicts(), "x")[0]
    with pytest.raises(TrainmapError, match="its keys are 'x', 'place'; give ids="):
        tm.with_ids(Dicts(), "uid")[0]


@pytest.mark.parametrize("strings", [False, True])
def test_a_selection_finds_its_examples_in_a_dataset_with_ids(strings: bool, tmp_path: Path, make_map: Any) -> None:
    ids = NAMES if strings else (np.random.default_rng(1).permutation(N) + 50).tolist()
    chosen = tm.select(make_map(N, ids=ids), "7 ambiguous")
    data = tm.with_ids(TensorDataset(X), ids)
    for found in (
        chosen.subset(data),
        chosen.subset(Subset(data, range(N - 1, -1, -1))),
        chosen.subset(tm.with_ids(hub(), ids).shuffle(seed=3)),
    ):
        assert [item["id"] if isinstance(item, dict) else item[0] for item in found] == chosen.ids.tolist()
    with pytest.raises(TrainmapError, match=r"pass ids, the id of every item.* as with_ids\(dataset, ids\) does too"):
        chosen.subset(TensorDataset(X))
    with pytest.raises(TrainmapError, match="selected ids are not in the dataset"):
        chosen.subset(Subset(data, range(5)))


def test_of_datasets_behind_one_another_each_keeps_its_ids(make_map: Any) -> None:
    chosen = tm.select(make_map(N), "7 ambiguous")
    data = TensorDataset(X, torch.arange(N))
    parts = [tm.with_ids(Subset(data, range(N - 1, 11, -1))), tm.with_ids(Subset(data, range(12)))]
    joint = ConcatDataset(parts)
    assert [int(ids) for ids, _, _ in DataLoader(joint, batch_size=1)] == [*range(N - 1, 11, -1), *range(12)]
    assert [int(place) for _, _, place in chosen.subset(joint)] == chosen.ids.tolist()
    with pytest.raises(TrainmapError, match="12 of them came more than once"):
        chosen.subset(ConcatDataset([parts[1], parts[1]]))
    with pytest.raises(TrainmapError, match="of 2 datasets in one 1 have ids, from with_ids, and the others none"):
        chosen.subset(ConcatDataset([parts[0], Subset(data, range(12))]))
    with pytest.raises(TrainmapError, match="some have integers as ids and others strings"):
        chosen.subset(ConcatDataset([parts[0], tm.with_ids(Subset(data, range(12)), NAMES[:12])]))
    with pytest.raises(TrainmapError, match=r"a dataset must have a length .* got IdentifiedStream"):
        chosen.subset(tm.with_ids(Stream()))


class Pair(NamedTuple):
    """An item, or a batch, whose parts have names."""

    x: Any
    place: Any


def test_a_named_tuple_keeps_its_names() -> None:
    items: Any = [Pair(X[at], at) for at in range(N)]
    assert tm.with_ids(items)[5] == (5, items[5])
    for ids, batch in (next(iter(DataLoader(tm.with_ids(items), 4))), next(iter(tm.with_ids(DataLoader(items, 4))))):
        assert isinstance(batch, Pair)
        assert list(ids) == batch.place.tolist() == [0, 1, 2, 3]


def test_a_column_with_the_numbers_of_the_rows_in_another_order_is_not_guessed_about(make_map: Any) -> None:
    chosen = tm.select(make_map(N), "7 ambiguous")
    data = tm.with_ids(hub())
    assert chosen.subset(data)["place"][:] == chosen.ids.tolist()
    shuffled = data.shuffle(seed=0)
    with pytest.raises(TrainmapError, match=r"in another order than its rows: pass ids=dataset\['id'\]"):
        chosen.subset(shuffled)
    assert chosen.subset(shuffled, shuffled["id"][:])["place"][:] == chosen.ids.tolist()


def test_accelerate_prepares_a_loader_with_ids_before_or_after() -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    loader = DataLoader(TensorDataset(X, torch.arange(N)), 4, shuffle=True)
    for made in (tm.with_ids(accelerator.prepare(loader)), accelerator.prepare(tm.with_ids(loader))):
        for skipped in (0, 2):
            places = []
            for ids, _, place in accelerator.skip_first_batches(made, skipped):
                assert ids.tolist() == place.tolist()
                places += ids.tolist()
            assert len(places) == N - 4 * skipped
    accelerator.free_memory()


class Listed(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def how_many(items: list[Any]) -> Any:
    return {"x": len(items)}


def test_numbers_beside_texts_stay_what_they_are() -> None:
    items = [{"x": 0.0, "key": 1}, {"x": 1.0, "key": "1"}]
    for data in (items, Listed(items)):
        loader: Any = DataLoader(data, batch_size=2, collate_fn=how_many)  # type: ignore[arg-type]
        assert next(iter(tm.with_ids(loader, "key")))["id"].tolist() == [1, "1"]
