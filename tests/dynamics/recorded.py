"""A training run without training: logits that depend on nothing but the id and the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """N examples, C classes; ``ids`` in the order in which the caller knows them."""

    ids: Array
    labels: Array
    classes: int
    epochs: int = 3
    batch: int = 7

    def logits(self, epoch: int, rows: Any = slice(None)) -> Array:
        every = np.random.default_rng([epoch, 5]).normal(0, 3, (len(self.ids), self.classes)).astype(np.float32)
        return every[rows]

    def batches(self, epoch: int) -> Iterable[tuple[Array, Array, Array]]:
        order = np.random.default_rng([epoch, 6]).permutation(len(self.ids))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            yield self.ids[rows], self.logits(epoch, rows), self.labels[rows]

    def feed(self, recorder: Recorder, epoch: int) -> None:
        """Show one epoch to a recorder, without ending it."""
        for batch in self.batches(epoch):
            recorder.update(*batch)

    def record(self, path: Path, epochs: int | None = None, **options: Any) -> Dynamics:
        """Record what is missing of ``epochs`` epochs and open the result."""
        with self.recorder(path, **options) as recorder:
            for epoch in range(recorder.epoch, self.epochs if epochs is None else epochs):
                self.feed(recorder, epoch)
                recorder.end_epoch()
        return Dynamics.open(path)

    def recorder(self, path: Path, **options: Any) -> Recorder:
        """A recorder that goes on where there is something, unless ``overwrite`` is said."""
        about = {"classes": self.classes, "ids": self.ids, "labels": self.labels, "resume": "overwrite" not in options}
        return Recorder(path, **about | options)

    def as_killed(self, recorder: Recorder) -> None:
        """What the end of its process does to a recorder: nothing more is written, and the lock is free."""
        recorder._writer.close()

    def block(self) -> Block:
        """What a recording must hold, in the order of its rows."""
        order = np.argsort(self.ids, kind="stable")
        logits = np.stack([self.logits(epoch)[order] for epoch in range(self.epochs)])
        return Block.from_logits(logits, self.labels[order])

    def but(self, **changes: Any) -> Run:
        return replace(self, **changes)


def same(dynamics: Dynamics, block: Block) -> None:
    """A recording holds exactly these signals."""
    found = dynamics.block()
    np.testing.assert_array_equal(found.labels, block.labels)
    assert found.signals.keys() == block.signals.keys()
    for name, values in block.signals.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes(), name
