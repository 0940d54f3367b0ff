"""A loader whose batches say who they are of; the ids travel with their batch, so nothing can get out of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from trainmap.errors import TrainmapError
from trainmap.integrations.identified import Identified, known_ids, naming_of
from trainmap.integrations.identified_streams import IdentifiedStream


class Apart:
    """An item of a loader's dataset and its id, on their way to ``Collated``."""

    __slots__ = ("item", "name")

    def __init__(self, name: Any, item: Any) -> None:
        self.name, self.item = name, item


class Pairs:
    """The dataset of a loader, each item ``Apart`` from its id."""

    def __init__(self, dataset: Identified) -> None:
        self.named = dataset

    def __len__(self) -> int:
        return len(self.named)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, list | tuple | np.ndarray):  # a loader with batch_size=None and a sampler of batches
            names = self.named.ids[np.asarray(place, np.int64)]
            return Apart(names, self.named.dataset[place])
        item = self.named.dataset[place]
        return Apart(self.named.name(int(place), item), item)

    def __getitems__(self, places: list[Any]) -> list[Apart]:
        return [Apart(self.named.name(at, item), item) for at, item in self.named.items([int(at) for at in places])]


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
        if isinstance(items, Apart):  # no batch was made of it, or the sampler made one
            return with_names(np.atleast_1d(np.asarray(items.name)), self.collate(items.item), self.column)
        return with_names(np.array([one.name for one in items]), self.collate([one.item for one in items]), self.column)


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
    return (names, *batch) if isinstance(batch, tuple | list) else (names, batch)


def loader_with_ids(loader: DataLoader[Any], ids: Any, column: str) -> DataLoader[Any]:
    """A loader that draws what ``loader`` draws; see ``trainmap.with_ids``."""
    dataset: Any = loader.dataset
    collate = loader.collate_fn
    if isinstance(collate, Collated) or known_ids(dataset) is not None or isinstance(dataset, IdentifiedStream):
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
