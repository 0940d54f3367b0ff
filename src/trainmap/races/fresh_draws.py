"""Fresh draws by a candidate: each epoch other examples, each as often as its weight says, spread evenly."""

from __future__ import annotations

import numpy as np

from trainmap.dynamics.store import fingerprint
from trainmap.errors import TrainmapError, whole
from trainmap.races.candidates import Candidate, Contender, drawn
from trainmap.schedules.covering import CoveringDraws
from trainmap.schedules.memory import LearnsNothing
from trainmap.schedules.protocol import Schedule, Visit
from trainmap.schedules.repeated_random import DisjointRandom
from trainmap.selection.entry import Strategy
from trainmap.selection.pool import Pool


class Preferring(LearnsNothing):
    """A schedule: every epoch visits ``size`` examples, each example as often as its weight says, rounded.

    Over the epochs the visits are spread evenly (``trainmap.schedules.covering``), the classes by the candidate's
    balance.

    Args:
        one: whose weights.
        pool: the examples.
        size: how many examples an epoch visits.
        seed: of the phases.

    Attributes:
        weights: SHA-256 of the examples and their weights; a run that resumes must have the same.
    """

    def __init__(self, one: Candidate, pool: Pool, size: int, seed: int = 0) -> None:
        weights = one.of(pool)
        kept = np.flatnonzero(np.isfinite(weights))
        self.ids, self.size, self.seed = pool.ids[kept], whole(size, "size", 1), whole(seed, "seed")
        if size > len(kept):
            raise TrainmapError(f"size must be 1 to {len(kept)} (the examples of any weight), got {size}")
        self.weights = fingerprint(self.ids, weights[kept].view(np.int64))
        self._draws = CoveringDraws(weights[kept], pool.labels[kept], self.size, one.balance, self.seed)

    def plan(self, epoch: int) -> Visit:
        return Visit(self.ids[self._draws.rows(whole(epoch, "epoch"))])


class Redrawn(LearnsNothing):
    """A schedule: every epoch visits what a strategy that returns rows draws afresh."""

    def __init__(self, one: Strategy, pool: Pool, size: int, seed: int = 0) -> None:
        self._one, self._pool, self.size, self.seed = one, pool, size, seed
        self.ids = pool.ids

    def plan(self, epoch: int) -> Visit:
        seed = np.random.SeedSequence([self.seed, whole(epoch, "epoch")]).generate_state(1)[0]
        return Visit(drawn(self._one, self._pool, self.size, int(seed)))


def schedule_of(one: Contender | None, pool: Pool, size: int, seed: int) -> Schedule:
    """The fresh draws of a candidate; None draws evenly, which is repeated random without replacement."""
    if one is None:
        return DisjointRandom(pool.ids, size, seed)
    if isinstance(one, Strategy):
        return Redrawn(one, pool, size, seed)
    return Preferring(one, pool, size, seed)
