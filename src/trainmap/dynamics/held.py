"""Batches that wait on an accelerator, so that no training step waits for it: one transfer brings many over."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_logits

Array = NDArray[Any]


class Held:
    """Batches (ids, logits, labels) whose logits lie on a device.

    Attributes:
        bytes: what their logits take there.
        examples: how many there are.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Any, Any, Any]] = []
        self.bytes = self.examples = 0

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, ids: Any, logits: Any, labels: Any) -> None:
        """Keep a batch that nobody else will change; the copy of its logits is queued there and nothing waits."""
        self.bytes += logits.numel() * logits.element_size()
        self.examples += len(ids)
        self._batches.append((ids, logits.detach().clone(), labels))

    def fetch(self) -> list[tuple[Any, Array, Any]]:
        """The batches with their logits in the caller's memory, after one transfer.

        Raises:
            RecordingError: the logits have no values.
        """
        import torch

        rows, batches = to_logits(torch.cat([logits for _, logits, _ in self._batches])), []
        for ids, logits, labels in self._batches:
            batches.append((ids, rows[: len(logits)], labels))
            rows = rows[len(logits) :]
        return batches


def own_ids(ids: Any) -> Any:
    """A copy of ids, where they are."""
    return ids.clone() if on_accelerator(ids) else to_ids(ids).copy()


def own_labels(labels: Any) -> Any:
    """A copy of labels, where they are."""
    return labels.clone() if on_accelerator(labels) else to_labels(labels).copy()
