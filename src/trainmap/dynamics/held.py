"""Batches that wait on an accelerator, so that no training step waits for it: one transfer brings many over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_logits, to_numpy

Array = NDArray[Any]


class Held:
    """Batches (ids, what was measured of them, targets) whose numbers lie on a device.

    Attributes:
        bytes: what they take there.
        examples: how many there are.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Any, Mapping[str, Any], Any]] = []
        self.bytes = self.examples = 0

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, ids: Any, values: Mapping[str, Any], targets: Any) -> None:
        """Keep a batch that nobody else will change; the copies of its numbers are queued there and nothing waits."""
        for value in values.values():
            if on_accelerator(value):
                self.bytes += value.numel() * value.element_size()
        self.examples += len(ids)
        kept = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in values.items()}
        self._batches.append((ids, kept, targets))

    def fetch(self) -> list[tuple[Any, dict[str, Array], Any]]:
        """The batches with their numbers in the caller's memory, after one transfer of each.

        Raises:
            RecordingError: they have no values.
        """
        names = list(dict.fromkeys(name for _, values, _ in self._batches for name in values))
        whole = {name: _brought([values[name] for _, values, _ in self._batches if name in values]) for name in names}
        batches = []
        for ids, values, targets in self._batches:
            here = {}
            for name, value in values.items():
                size = value.shape[0]
                here[name], whole[name] = whole[name][:size], whole[name][size:]
            batches.append((ids, here, targets))
        return batches


def _brought(parts: Sequence[Any]) -> Array:
    """Numbers of several batches, one behind the other, in the CPU's memory."""
    if not any(isinstance(part, np.ndarray) for part in parts):
        import torch

        return to_logits(torch.cat(list(parts)))
    return np.concatenate([to_logits(part) for part in parts])


def own_ids(ids: Any) -> Any:
    """A copy of ids, where they are."""
    return ids.clone() if on_accelerator(ids) else to_ids(ids).copy()


def own_targets(targets: Any) -> Any:
    """A copy of labels or targets, where they are; None where none came."""
    if targets is None:
        return None
    return targets.clone() if on_accelerator(targets) else to_numpy(targets, "labels").copy()
