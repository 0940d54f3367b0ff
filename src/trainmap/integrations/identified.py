"""A dataset whose items say who they are, and the ids of a dataset that was given some."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError, counted, shown, some

Array = NDArray[Any]
Naming = str | Callable[[Any], Any]

PLAIN = (bool, int, float, complex, str, bytes, np.ndarray, np.generic)


def check_indexed(dataset: Any) -> None:
    """Refuse what has no items at positions: a stream, a mapping, a table (whose index is a column or a label).

    Raises:
        TrainmapError: says what it is.
    """
    stream = _is_torch(dataset, "IterableDataset")
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not stream
    a_table = hasattr(dataset, "iloc") or (hasattr(dataset, "columns") and hasattr(dataset, "shape"))
    rows = {_rows(part) for part in dataset} if isinstance(dataset, tuple) else set()
    arrays = len(rows) == 1 and None not in rows and len(dataset) > 1  # (x, y), whose two items nobody means
    if sized and not a_table and not arrays and not isinstance(dataset, Mapping | str | bytes):
        return
    cure = ""
    if a_table:
        cure = " (of a table take the rows by selection.mask(ids))"
    elif arrays:
        cure = " of arrays (TensorDataset(x, y) and list(zip(x, y)) have an item for every row)"
    elif _is_torch(dataset, "DataLoader"):
        cure = " (its dataset is loader.dataset)"
    elif hasattr(dataset, "__next__"):
        cure = " (list(...) of it is one)"
    raise TrainmapError(
        "a dataset must have a length and an item for every position, as a map-style PyTorch dataset has; got "
        f"{type(dataset).__name__}{cure}"
    )


def _rows(part: Any) -> int | None:
    """How many rows an array of torch or numpy has; None of anything else."""
    return len(part) if hasattr(part, "shape") and hasattr(part, "dtype") and len(part.shape) else None


def joined(name: int | str, item: Any, column: str) -> Any:
    """An item with its id: a mapping with the key ``column``, a tuple or list with the id in front, else (id, item);
    so also a named tuple, whose names would be lost.

    Raises:
        TrainmapError: the mapping has another value at this key.
    """
    if type(item) is dict or isinstance(item, Mapping):  # the first is soon said, for each item
        if column in item and plain_id(item[column]) != name:
            raise TrainmapError(
                f"an item has {column!r} already, {shown(plain_id(item[column]))}, and its id is {shown(name)}: "
                f"with_ids(dataset, ids={column!r}) takes what it has, column= calls the ids otherwise"
            )
        return {**item, column: name}
    return (name, *item) if is_plain_sequence(item) else (name, item)


def is_plain_sequence(value: Any) -> bool:
    """Whether a value is a tuple or list without names of its own."""
    return isinstance(value, tuple | list) and not hasattr(value, "_fields")


def plain_id(value: Any) -> Any:
    """An id as Python's own int or str, where it came as a number of numpy or a tensor of one."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def id_of(item: Any, naming: Naming) -> int | str:
    """The id that an item says it has: at a key of a mapping, or by a function.

    Raises:
        TrainmapError: no such key; what is there is no integer and no string.
    """
    if callable(naming):
        name, where = naming(item), f"the function ids= of an item of type {type(item).__name__}"
    elif isinstance(item, Mapping) and naming in item:
        name, where = item[naming], f"the item's {naming!r}"
    else:
        has = f"its keys are {some(item, 10)}" if isinstance(item, Mapping) else f"it is a {type(item).__name__}"
        raise TrainmapError(f"an item has no {naming!r} to be its id: {has}; give ids= an array or a function of it")
    name = plain_id(name)
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise TrainmapError(f"an id must be an integer or a string, {where} gave {shown(name)}")
    return name


def one_array(names: Sequence[Any]) -> Array:
    """(B,) the ids of a batch, each as it is. numpy makes texts of numbers that stand beside texts, and these would be
    other examples; such a batch stays one of both, which a recorder refuses."""
    made = np.array(names)
    if made.dtype.kind == "U" and any(not isinstance(name, str) for name in names):
        made = np.array(names, object)
    return made


def checked_ids(ids: Any, count: int | None) -> Array:
    """(N,) ids, all different; of ``count`` items where that is known.

    Raises:
        TrainmapError: another length, an id that comes twice, neither integers nor strings.
    """
    names = to_ids(ids)
    if count is not None and len(names) != count:
        raise TrainmapError(f"ids must be one for each of the dataset's {count:,} items, got {len(names):,}")
    found, times = np.unique(names, return_counts=True)
    if len(found) < len(names):
        twice = found[times > 1].tolist()
        raise TrainmapError(
            f"ids must be distinct; {counted(len(twice), 'of them came', 'of them came')} more than once (first: "
            f"{some(twice)})"
        )
    return names


class Identified:
    """A dataset that is indexed by position, each item with its id; made by ``trainmap.with_ids``.

    Args:
        dataset: of N items.
        names: (N,) their ids; None: 0 to N - 1; or how an item names itself.
        column: the key of the id in an item that is a mapping.
    """

    hands_out_ids = True

    def __init__(self, dataset: Any, names: Array | Naming | None, column: str) -> None:
        self.dataset, self.names, self.column = dataset, names, column

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Any) -> Any:
        place = _place(place)
        return joined(self.name(place, item := self.dataset[place]), item, self.column)

    def __getitems__(self, places: Sequence[Any]) -> list[Any]:
        places = [_place(place) for place in places]
        items = self.items(places)
        return [joined(self.name(place, item), item, self.column) for place, item in zip(places, items, strict=True)]

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def items(self, places: list[int]) -> Any:
        """The dataset's own items at some places.

        Raises:
            TrainmapError: it gave more or fewer.
        """
        several: Any = getattr(self.dataset, "__getitems__", None)
        if several is None:
            return [self.dataset[at] for at in places]
        items = several(places)
        if len(items) != len(places):
            raise TrainmapError(
                f"__getitems__ of {type(self.dataset).__name__} must give an item for each of {len(places)} positions, "
                f"got {len(items)}"
            )
        return items

    def all_names(self, places: list[int], items: Any) -> Array:
        """(B,) what ``name`` says of each."""
        if self.names is None:
            at = np.array(places, np.int64)
            return np.where(at < 0, at + len(self.dataset), at)
        if isinstance(self.names, np.ndarray):
            return self.names[places]
        while hasattr(items, "names"):  # of two recorders the inner one has named them
            items = items.items
        return one_array([id_of(item, self.names) for item in items])

    def name(self, place: int, item: Any) -> int | str:
        if self.names is None:
            return place if place >= 0 else len(self.dataset) + place
        return self.names[place].item() if isinstance(self.names, np.ndarray) else id_of(item, self.names)

    @property
    def ids(self) -> Array:
        """(N,) in the order of the items; where they name themselves each is loaded for it."""
        if self.names is None:
            return np.arange(len(self.dataset))
        if isinstance(self.names, np.ndarray):
            return self.names
        return checked_ids([id_of(self.dataset[at], self.names) for at in range(len(self.dataset))], len(self.dataset))


def _place(place: Any) -> int:
    try:
        return operator.index(place)
    except TypeError:
        raise TrainmapError(
            f"a dataset with ids has an item for every position, one at a time; got [{shown(place)}] (where a sampler "
            "draws whole batches name the loader: with_ids(DataLoader(dataset, ...)))"
        ) from None


def positions_of(subset: Any) -> Array:
    """(k,) the places of a ``Subset``'s items in the dataset that it is of, however many ``Subset`` lie between."""
    places = np.asarray(subset.indices, np.int64)
    return positions_of(subset.dataset)[places] if is_subset(subset.dataset) else places


def naming_of(ids: Any, dataset: Any, count: int | None = None) -> Array | Naming | None:
    """``ids`` of a dataset as a user gave them, checked: an array (of ``count`` where that is known);
    None for places; how an item names itself."""
    if isinstance(ids, str) or callable(ids):
        return ids
    if ids is None:
        return checked_ids(positions_of(dataset), None) if is_subset(dataset) else None
    return checked_ids(ids, count)


def known_ids(dataset: Any) -> Array | None:
    """(N,) the ids that a dataset was given by ``with_ids``, also where it is a ``Subset`` of such a one, or several of
    them in a ``ConcatDataset``; else None.

    Raises:
        TrainmapError: of several in one some have ids and others not, or an id stands in two of them.
    """
    if isinstance(dataset, Identified):
        return dataset.ids
    if is_subset(dataset):
        ids = known_ids(dataset.dataset)
        return None if ids is None else ids[np.asarray(dataset.indices, np.int64)]
    return joined_ids([known_ids(part) for part in parts_of(dataset)])


def joined_ids(parts: list[Array | None]) -> Array | None:
    """(N,) the ids of all parts of a dataset; None where there are no parts, or none has ids.

    Raises:
        TrainmapError: some have ids and others not, an id comes twice, numbers beside strings.
    """
    known = [ids for ids in parts if ids is not None]
    if not known:
        return None
    if len(known) < len(parts):
        raise TrainmapError(
            f"of {len(parts)} datasets in one {len(known)} have ids, from with_ids, and the others none: name each, or "
            "none of them and with_ids(ConcatDataset([...]), ids) the whole"
        )
    if len({ids.dtype.kind for ids in known}) > 1:
        raise TrainmapError("of several datasets in one some have integers as ids and others strings; give one kind")
    return checked_ids(np.concatenate(known), None)


def has_ids(dataset: Any) -> bool:
    """Whether ``with_ids`` made a dataset, the one that it is a part of, or one of its parts."""
    if is_subset(dataset):
        return has_ids(dataset.dataset)
    return bool(getattr(dataset, "hands_out_ids", False)) or any(map(has_ids, parts_of(dataset)))


def parts_of(dataset: Any) -> list[Any]:
    """The datasets that a ``ConcatDataset``, or a ``ChainDataset`` of streams, puts one behind another."""
    behind = _is_torch(dataset, "ConcatDataset") or _is_torch(dataset, "ChainDataset")
    return list(dataset.datasets) if behind else []


def is_subset(dataset: Any) -> bool:
    """A ``torch.utils.data.Subset``, or what looks like one; torch is not imported for it."""
    return _is_torch(dataset, "Subset")


def _is_torch(value: Any, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith("torch.") for base in type(value).__mro__)
