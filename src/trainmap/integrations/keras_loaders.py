"""torch's DataLoaders as Keras trains on them: the ids of a batch go beside its labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError, some
from trainmap.integrations.identified import is_plain_sequence
from trainmap.integrations.keras_told import ID, Y

Array = NDArray[Any]
INT32 = np.iinfo(np.int32)


class Numbers:
    """What stands for ids in a step, which has integers of 32 bits alone: they themselves, or places among all.

    Args:
        ids: (N,) of all examples; None: any integers of 32 bits.
    """

    def __init__(self, ids: Array | None) -> None:
        self.places = None if fits(ids) else {name: at for at, name in enumerate(_names(ids))}

    def __call__(self, ids: Array) -> Array:
        """(B,) integers.

        Raises:
            TrainmapError: strings or large numbers that are not among all ids.
        """
        if self.places is None:
            if not fits(ids):
                raise TrainmapError(
                    f"ids must be integers of 32 bits, got {some(ids.tolist())}; pass all of them to the KerasRecorder "
                    "as ids=, then any will do"
                )
            return ids
        strange = [name for name in _names(ids) if name not in self.places]
        if strange:
            raise TrainmapError(f"{len(strange)} ids are none of the KerasRecorder's ids (first: {some(strange)})")
        return np.array([self.places[name] for name in _names(ids)])


def fits(ids: Array | None) -> bool:
    """Whether a step can carry these ids as they are."""
    if ids is None or not len(ids):
        return True
    return ids.dtype.kind == "i" and bool(ids.min() >= INT32.min and ids.max() <= INT32.max)


def _names(ids: Array | None) -> list[Any]:
    return [] if ids is None else ids.tolist()


class Beside:
    """A collate function whose batches (x, y), or with weights, have the ids beside the labels.

    Args:
        collate: makes ``Named`` batches.
        numbers: what stands for the ids; None: the ids are dropped, of a validation.
    """

    def __init__(self, collate: Callable[[Any], Any], numbers: Numbers | None) -> None:
        self.collate, self.numbers = collate, numbers

    def __call__(self, items: Any) -> Any:
        import torch

        from trainmap.integrations.lightning_batches import Named

        named = self.collate(items)
        if not isinstance(named, Named):
            return named
        batch: Any = named.batch
        pair = is_plain_sequence(batch) and len(batch) > 1
        if self.numbers is None or not pair or (isinstance(batch[1], dict) and ID in batch[1]):
            return tuple(batch) if pair else batch
        x, y, weights = batch[0], batch[1], batch[2:]
        numbers = torch.from_numpy(np.asarray(self.numbers(to_ids(named.ids)), np.int32))  # Keras asks for tensors here
        return x, {ID: numbers, Y: y}, *({ID: torch.zeros(len(numbers)), Y: one} for one in weights)


def named_loader(loader: Any, ids: Any, training: bool) -> Any:
    """A loader whose batches are ``Named``; one that has no ids, where it is not that of the training, as it is.

    Raises:
        TrainmapError: a stream that several workers count; what ``with_ids`` refuses.
    """
    from torch.utils.data import IterableDataset

    from trainmap.integrations.lightning_batches import NamedCollate, like, named_already
    from trainmap.integrations.with_ids import with_ids

    dataset, collate = loader.dataset, loader.collate_fn
    if (named := named_already(loader)) is not None:
        return named
    if not training:
        return loader
    if isinstance(dataset, IterableDataset) and ids is None and loader.num_workers > 1:
        raise TrainmapError(
            "a stream that several workers read has no places to be ids; name its items, with_ids(stream, 'KEY')"
        )
    return like(with_ids(loader, ids), NamedCollate(collate))


def is_loader(value: Any) -> bool:
    """Whether a value is a ``DataLoader`` of torch; torch is not imported for it."""
    return any(base.__name__ == "DataLoader" and base.__module__.startswith("torch.") for base in type(value).__mro__)
