"""A loader whose batches say who they are of; the ids travel with their batch, so nothing can get out of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from trainmap.errors import TrainmapError
from trainmap.integrations.identified import (
    Identified,
    has_ids,
    is_plain_sequence,
    is_subset,
    joined_ids,
    known_ids,
    naming_of,
    one_array,
    parts_of,
)
from trainmap.integrations.identified_streams import IdentifiedStream

Array = NDArray[Any]


class Apart:
    """An item of a loader's dataset and its id, on their way to ``Collated``."""

    __slots__ = ("item", "name")

    def __init__(self, name: Any, item: Any) -> None:
        self.name, self.item = name, item


class Together:
    """The items of a batch and their (B,) ids, on their way to ``Collated``; named one by one they cost 1 us each."""

    __slots__ = ("items", "names")

    def __init__(self, names: Any, items: Any) -> None:
        self.names, self.items = names, items  # the items may be ``Together`` themselves, where two recorders listen

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        """One by one, for a collate function that goes over its items before this one's."""
        return (Apart(name, item) for name, item in zip(self.names.tolist(), self.items, strict=True))


class Pairs:
    """The dataset of a loader, each item ``Apart`` from its id."""

    def __init__(self, dataset: Identified) -> None:
        self.named = dataset

    def __len__(self) -> int:
        return len(self.named)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, list | tuple | np.ndarray):  # a loader with batch_size=None and a sampler of batches
            at = np.asarray(place, np.int64)
            return Apart(at if self.named.names is None else self._ids[at], self.named.dataset[place])
        item = self.named.dataset[place]
        return Apart(self.named.name(int(place), item), item)

    @cached_property
    def _ids(self) -> Array:
        return self.named.ids  # each item is loaded for it, where they name themselves

    def __getitems__(self, places: list[Any]) -> Together:
        places = [int(at) for at in places]
        items = self.named.items(places)
        return Together(self.named.all_names(places, items), items)


class StreamPairs(IterableDataset[Any]):
    """The same of a stream."""

    def __init__(self, dataset: IdentifiedStream) -> None:
        self.named = dataset

    def __iter__(self) -> Iterator[Apart]:
        self.named.check_workers()
        for place, item in enumerate(self.named.dataset):
            yield Apart(self.named.name(place, item), item)

    def __len__(self) -> int:
        return len(self.named)

    def set_epoch(self, epoch: int) -> None:
        self.named.set_epoch(epoch)


class Collated:
    """A loader's own collate function, and the ids beside what it makes."""

    def __init__(self, collate: Callable[[Any], Any], column: str) -> None:
        self.collate, self.column = collate, column

    def __call__(self, items: Any) -> Any:
        return with_names(*apart(items, self.collate), self.column)


def apart(items: Any, collate: Callable[[Any], Any]) -> tuple[Any, Any]:
    """(B,) ids and what ``collate`` makes of the items without them."""
    if isinstance(items, Together):
        return items.names, collate(items.items)
    if isinstance(items, list):
        return one_array([one.name for one in items]), collate([one.item for one in items])
    names = np.atleast_1d(np.asarray(items.name))  # no batch was made of it, or the sampler made one
    return names, collate(items.item)


def ids_of(dataset: Any) -> Array | None:
    """(N,) the ids of the items of a dataset that ``with_ids`` made, of the ``Pairs`` of a loader, or of a part of one;
    None where it has none."""
    if isinstance(dataset, Pairs):
        return dataset.named.ids
    if is_subset(dataset):
        ids = ids_of(dataset.dataset)
        return None if ids is None else ids[np.asarray(dataset.indices, np.int64)]
    return joined_ids([ids_of(part) for part in parts_of(dataset)]) if parts_of(dataset) else known_ids(dataset)


def with_names(names: Any, batch: Any, column: str) -> Any:
    """A batch with its (B,) ids: a mapping with one key more, a tuple or list with the ids in front, else (ids, batch).

    Raises:
        TrainmapError: the mapping has this key already.
    """
    if isinstance(batch, Mapping):
        if column in batch:
            raise TrainmapError(f"a batch has {column!r} already: with_ids(loader, column=...) calls the ids otherwise")
        if hasattr(batch, "to"):  # a BatchEncoding, which moves itself to a device: it stays one
            made: Any = copy(batch)
            made[column] = names
            return made
        return {**batch, column: names}
    return (names, *batch) if is_plain_sequence(batch) else (names, batch)


def loader_with_ids(loader: DataLoader[Any], ids: Any, column: str) -> DataLoader[Any]:
    """A loader that draws what ``loader`` draws; see ``trainmap.with_ids``."""
    dataset: Any = loader.dataset
    collate = loader.collate_fn
    if isinstance(collate, Collated) or has_ids(dataset):
        raise TrainmapError("this loader's dataset has ids already, from with_ids; use the loader as it is")
    if isinstance(dataset, IterableDataset):
        pairs: Any = StreamPairs(IdentifiedStream(dataset, naming_of(ids, dataset), column))
    else:
        pairs = Pairs(Identified(dataset, naming_of(ids, dataset, len(dataset)), column))
    return _like(loader, pairs, Collated(collate, column))


def _like(loader: Any, dataset: Any, collate: Any) -> Any:
    """A copy that shares all but the dataset, the collate function and the workers; past the guard of a DataLoader,
    which refuses that a dataset is set, because its own sampler was made for it: this one has the same positions."""
    made = object.__new__(type(loader))
    made.__dict__.update(loader.__dict__)
    if "base_dataloader" in loader.__dict__:  # one that Accelerate has prepared keeps the loader proper inside
        made.__dict__["base_dataloader"] = _like(loader.base_dataloader, dataset, collate)
    else:
        made.__dict__.update(dataset=dataset, collate_fn=collate, _iterator=None)
    return made
