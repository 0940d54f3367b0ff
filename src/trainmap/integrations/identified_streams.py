"""A stream whose items say who they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from trainmap.errors import TrainmapError
from trainmap.integrations.identified import Naming, id_of, joined

Array = NDArray[Any]


class IdentifiedStream(IterableDataset[Any]):
    """A PyTorch stream, each item with its id; made by ``trainmap.with_ids``.

    Args:
        dataset: the stream.
        names: the ids in its order, or how an item names itself; None: it is counted from 0.
        column: the key of the id in an item that is a mapping.

    Raises:
        TrainmapError: while it is read: more items than ids; counted in several workers.
    """

    hands_out_ids = True

    def __init__(self, dataset: Any, names: Array | Naming | None, column: str) -> None:
        self.dataset, self.names, self.column = dataset, names, column

    def __iter__(self) -> Iterator[Any]:
        self.check_workers()
        for place, item in enumerate(self.dataset):
            yield joined(self.name(place, item), item, self.column)

    def check_workers(self) -> None:
        if self.names is None or isinstance(self.names, np.ndarray):
            refuse_workers()

    def name(self, place: int, item: Any) -> int | str:
        return name_in_stream(self.names, place, item)

    def __len__(self) -> int:
        return len(self.dataset)  # raises TypeError where a stream has no length, as len() of it does

    def set_epoch(self, epoch: int) -> None:
        """What the stream does in a new epoch; nothing where it has no such method."""
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)


def name_in_stream(names: Array | Naming | None, place: int, item: Any) -> int | str:
    """The id of the item at a place of a stream."""
    if names is None:
        return place
    if not isinstance(names, np.ndarray):
        return id_of(item, names)
    if place >= len(names):
        raise TrainmapError(f"the stream has more items than the {len(names):,} ids that it was given")
    return names[place].item()


def refuse_workers() -> None:
    """Places in a stream mean the same in one worker alone: each of several begins to count at 0."""
    info = get_worker_info()
    if info is not None and info.num_workers > 1:
        raise TrainmapError(
            f"each of {info.num_workers} workers would count the stream from 0, so that ids repeat: "
            "with_ids(dataset, ids='KEY') or ids=FUNCTION takes the id from the item; or say num_workers=1"
        )
