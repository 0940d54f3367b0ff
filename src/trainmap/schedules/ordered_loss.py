"""Ordered loss: of a random pool those with the highest last loss."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError, whole
from trainmap.schedules.memory import Memory, Remembers
from trainmap.schedules.options import Options, Run, option, whole_ends
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit


@dataclass(frozen=True)
class OrderedLossOptions(Options):
    """Of ``OrderedLoss``."""

    source: ClassVar[str] = "Kawaguchi and Lu 2020, arXiv:1907.04371"

    pool: float = option(0.5, "share of the examples that is drawn", gt=0, le=1)
    keep: float = option(0.6, "share of the pool that is trained on", gt=0, le=1)
    warmup: int = option(1, "epochs at the start that visit everything", ge=0)
    anneal: float = option(1.0, "from this share of the epochs on everything is visited", newer=True, ge=0, le=1)

    def share(self) -> float:
        return self.pool * self.keep

    def whole_epochs(self, epochs: int) -> int:
        return whole_ends(self.warmup, self.anneal, epochs)

    def make(self, run: Run) -> OrderedLoss:
        return OrderedLoss(run.ids, **asdict(self), epochs=run.epochs, seed=run.seed)


class OrderedLoss(Remembers):
    """A uniform pool, and of it the examples with the highest last loss.

    The pool is round(pool N) examples drawn for each epoch; round(keep pool) of them with the highest last loss are
    visited (one that was never seen counts as the highest). Visits need no weights: the pool is uniform, so that each
    epoch minimises the same average over the top of the losses.

    Args:
        ids: the examples.
        pool: share of the examples that is drawn, above 0 to 1.
        keep: share of the pool that is visited, above 0 to 1.
        warmup: epochs at the start that visit everything, so that every example has a loss.
        anneal: from this share of ``epochs`` on everything is visited, 0 to 1; 1 is never.
        epochs: of the whole training, which ``anneal`` below 1 needs.
        seed: of the draws.

    Source: ordered SGD, Kawaguchi and Lu 2020, arXiv:1907.04371, as OrderDP uses it for epochs (pool 0.5, keep 0.6).
    Differs: the last loss that training saw in place of a fresh forward pass over the pool, which would cost a third
        of training on it; ``anneal``, which is InfoBatch's.
    """

    def __init__(
        self,
        ids: Any,
        pool: float = 0.5,
        keep: float = 0.6,
        warmup: int = 1,
        seed: int = 0,
        anneal: float = 1.0,
        epochs: int | None = None,
    ) -> None:
        OrderedLossOptions(pool, keep, warmup, anneal)
        if epochs is None and anneal < 1:
            raise TrainmapError(f"anneal {anneal:g} needs the epochs of the training: OrderedLoss(..., epochs=)")
        self.whole_from = math.inf if epochs is None else anneal * whole(epochs, "epochs", 1)
        self.ids, self.pool, self.keep = ascending(ids), pool, keep
        self.warmup, self.seed = whole(warmup, "warmup"), whole(seed, "seed")
        self.memory = Memory(self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        if epoch < self.warmup or epoch >= self.whole_from:
            return Visit(self.ids)
        count = max(1, round(self.pool * len(self.ids)))
        pool = np.sort(np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))[:count])
        last = np.where(np.isnan(self.memory.last), np.inf, self.memory.last)[pool]
        top = rising(-last, self.ids[pool])[: max(1, round(self.keep * count))]
        return Visit(self.ids[np.sort(pool[top])])
