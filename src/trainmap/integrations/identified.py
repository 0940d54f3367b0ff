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
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    a_table = hasattr(dataset, "iloc") or (hasattr(dataset, "columns") and hasattr(dataset, "shape"))
    if not sized or a_table or isinstance(dataset, Mapping | str | bytes):
        raise TrainmapError(
            "a dataset must have a length and an item for every position, as a map-style PyTorch dataset has; got "
            f"{type(dataset).__name__} (of a table take the rows by selection.mask(ids))"
        )


def joined(name: int | str, item: Any, column: str) -> Any:
    """An item with its id: a mapping with the key ``column``, a tuple or list with the id in front, else (id, item).

    Raises:
        TrainmapError: the mapping has another value at this key.
    """
    if isinstance(item, Mapping):
        if column in item and plain_id(item[column]) != name:
            raise TrainmapError(
                f"an item has {column!r} already, {shown(plain_id(item[column]))}, and its id is {shown(name)}: "
                f"with_ids(dataset, ids={column!r}) takes what it has, column= calls the ids otherwise"
            )
        return {**item, column: name}
    return (name, *item) if isinstance(item, tuple | list) else (name, item)


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
        return np.array([id_of(item, self.names) for item in items])

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
            f"a dataset with ids has an item for every position, one at a time; got [{shown(place)}]"
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
    """(N,) the ids that a dataset was given by ``with_ids``, also where it is a ``Subset`` of such a one; else None."""
    if isinstance(dataset, Identified):
        return dataset.ids
    if is_subset(dataset):
        ids = known_ids(dataset.dataset)
        return None if ids is None else ids[np.asarray(dataset.indices, np.int64)]
    return None


def is_subset(dataset: Any) -> bool:
    """A ``torch.utils.data.Subset``, or what looks like one; torch is not imported for it."""
    return any(base.__name__ == "Subset" and base.__module__.startswith("torch.") for base in type(dataset).__mro__)
