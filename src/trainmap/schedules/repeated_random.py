"""Repeated random: a fresh random subset in every epoch. There are two kinds, independent draws and disjoint parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trainmap.errors import TrainmapError, whole
from trainmap.schedules.memory import LearnsNothing
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit


class RepeatedRandom(LearnsNothing):
    """A fresh random subset in every epoch, of either kind; ``IndependentRandom`` and ``DisjointRandom`` say which.

    Without replacement the subsets of floor(N / size) successive epochs are disjoint parts of one permutation (the N
    mod size examples at its end wait for the next permutation); with replacement every epoch draws from all.

    Source: Okanovic et al. 2024, arXiv:2305.18424 (RS2), section 3.
    """

    def __init__(self, ids: Any, size: int, seed: int = 0, replacement: bool = False) -> None:
        self.ids, self.size, self.seed = ascending(ids), whole(size, "size", 1), whole(seed, "seed")
        if size > len(self.ids):
            raise TrainmapError(f"size must be 1 to {len(self.ids)} (the examples), got {size}")
        self.replacement = replacement

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        subsets = 1 if self.replacement else len(self.ids) // self.size
        order = np.random.default_rng([self.seed, epoch // subsets]).permutation(len(self.ids))
        start = self.size * (epoch % subsets)
        return Visit(self.ids[np.sort(order[start : start + self.size])])


class IndependentRandom(RepeatedRandom):
    """Every epoch draws ``size`` examples from all, whatever the others drew: ``RepeatedRandom`` with replacement."""

    def __init__(self, ids: Any, size: int, seed: int = 0) -> None:
        super().__init__(ids, size, seed, replacement=True)


class DisjointRandom(RepeatedRandom):
    """The epochs visit disjoint parts of ``size`` examples, all of them before any comes again: ``RepeatedRandom``
    without replacement."""

    def __init__(self, ids: Any, size: int, seed: int = 0) -> None:
        super().__init__(ids, size, seed, replacement=False)


@dataclass(frozen=True)
class IndependentRandomOptions(Options):
    """Of ``IndependentRandom``."""

    source: ClassVar[str] = "Okanovic et al. 2024, arXiv:2305.18424 (RS2), with replacement"

    size: float = option(..., "share of the examples in an epoch", gt=0, le=1)

    def share(self) -> float:
        return self.size

    def make(self, run: Run) -> RepeatedRandom:
        return IndependentRandom(run.ids, run.count(self.size), run.seed)


@dataclass(frozen=True)
class DisjointRandomOptions(IndependentRandomOptions):
    """Of ``DisjointRandom``."""

    source: ClassVar[str] = "Okanovic et al. 2024, arXiv:2305.18424 (RS2)"

    def make(self, run: Run) -> RepeatedRandom:
        return DisjointRandom(run.ids, run.count(self.size), run.seed)


@dataclass(frozen=True)
class RepeatedRandomOptions(DisjointRandomOptions):
    """Of ``RepeatedRandom``: the older name for both."""

    replacement: bool = option(False, "whether every epoch draws from all")

    def make(self, run: Run) -> RepeatedRandom:
        return RepeatedRandom(run.ids, run.count(self.size), run.seed, self.replacement)
