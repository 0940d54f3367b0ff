"""Map-guided: a curriculum from the map so far."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import whole
from trainmap.schedules.memory import Memory, Remembers
from trainmap.schedules.options import Options, Run, option, whole_ends
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit

Axis = Literal["variability", "hard", "easy"]


@dataclass(frozen=True)
class MapGuidedOptions(Options):
    """Of ``MapGuided``."""

    source: ClassVar[str] = "the map of Swayamdipta et al. 2020, arXiv:2009.10795"

    axis: Literal["variability", "hard", "easy"] = option("variability", "who comes first: ambiguous, hard, easy")
    start: float = option(0.5, "share that is visited at first", gt=0, le=1)
    end: float = option(0.5, "share that is visited in the last epoch", gt=0, le=1)
    warmup: int = option(2, "epochs at the start that visit everything", ge=2)
    explore: float = option(0.2, "share of the visited that is random", ge=0, le=1)
    cut: float = option(0.0, "share of the examples that never come from the top", ge=0, lt=1)
    anneal: float = option(1.0, "from this share of the epochs on everything is visited", newer=True, ge=0, le=1)

    def share(self) -> float:
        return (self.start + self.end) / 2

    def whole_epochs(self, epochs: int) -> int:
        return whole_ends(self.warmup, self.anneal, epochs)

    def make(self, run: Run) -> MapGuided:
        return MapGuided(run.ids, run.epochs, **asdict(self), seed=run.seed)


class MapGuided(Remembers):
    """A curriculum from the map so far: the epoch visits the examples that the dynamics up to now put first.

    The first ``warmup`` epochs visit everything. Then an epoch visits ``size(epoch)`` examples: a share ``explore`` at
    random, so that what the map thinks of the others does not grow old, the rest from the top of the axis. The size
    goes linearly from ``start`` to ``end`` times N over the epochs after the warm-up and before ``anneal``.

    Args:
        ids: the examples.
        epochs: of the whole training.
        axis: "variability" (ambiguous first), "hard" (low mean p(gold) first) or "easy" (high first).
        start, end: share of the examples in the first and the last epoch after the warm-up, above 0 to 1.
        warmup: at least 2 (a spread needs two visits).
        explore: share of the visited examples that is random, 0 to 1.
        cut: share of the examples, those of lowest mean p(gold), that is never taken from the top: labels that may be
            wrong. They still come up at random.
        anneal: from this share of the epochs on everything is visited, 0 to 1; 1 is never.
        seed: of the draws.

    Source: the map of Swayamdipta et al. 2020, arXiv:2009.10795, on the epochs so far.
    """

    def __init__(
        self,
        ids: Any,
        epochs: int,
        axis: Axis = "variability",
        start: float = 0.5,
        end: float = 0.5,
        warmup: int = 2,
        explore: float = 0.2,
        cut: float = 0.0,
        seed: int = 0,
        anneal: float = 1.0,
    ) -> None:
        MapGuidedOptions(axis, start, end, warmup, explore, cut, anneal)
        self.ids, self.axis, self.start, self.end = ascending(ids), axis, start, end
        self.epochs, self.warmup = whole(epochs, "epochs", 1), whole(warmup, "warmup", 2)
        self.explore, self.cut, self.anneal, self.seed = explore, cut, anneal, whole(seed, "seed")
        self.memory = Memory(self.ids)

    def size(self, epoch: int) -> int:
        """How many examples an epoch visits."""
        if epoch < self.warmup or epoch >= self.anneal * self.epochs:
            return len(self.ids)
        last = min(self.epochs, math.ceil(self.anneal * self.epochs)) - 1  # of those that are not whole
        done = (epoch - self.warmup) / max(1, last - self.warmup)
        share = self.start + (self.end - self.start) * min(1.0, done)
        return max(1, round(share * len(self.ids)))

    def ranking(self) -> NDArray[Any]:
        """(N,) places of the examples, the first to visit first; the cut and the unseen come last."""
        mean = np.where(self.memory.visits > 0, self.memory.mean, np.nan)
        value = {"variability": self.memory.spread, "hard": -mean, "easy": mean}[self.axis]
        value = np.where(np.isnan(value), -np.inf, value)
        value[rising(mean, self.ids)[: math.floor(self.cut * len(mean))]] = -np.inf
        return rising(-value, self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        size = self.size(epoch)
        if size == len(self.ids):
            return Visit(self.ids)
        order = self.ranking()
        top = size - round(self.explore * size)
        others = np.random.default_rng([self.seed, epoch]).permutation(order[top:])[: size - top]
        return Visit(self.ids[np.sort(np.concatenate([order[:top], others]))])
