"""A fresh draw of ``auto`` in every epoch: what a map prefers, and in the end every example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trainmap.errors import TrainmapError, whole
from trainmap.maps.datamap import DataMap
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.protocol import Visit
from trainmap.schedules.repeated_random import RepeatedRandom
from trainmap.selection.auto import drawn, read_map, weighed
from trainmap.selection.quotas import Balance
from trainmap.selection.select import known_pool
from trainmap.selection.strategies import AUTO


class RepeatedAuto(RepeatedRandom):
    """A schedule: every epoch visits ``size`` examples that are drawn afresh by the rule of ``auto``.

    A fixed subset shows the same examples again; this shows others, the ambiguous ones more often. It costs what the
    subset costs to train on, and all the data must stay at hand. What ``auto`` cuts is never visited.

    Args:
        datamap: of the training data.
        size: how many examples an epoch visits, 1 to N.
        seed: of the draws, which depend on it and on the epoch alone.
        noise, distilled, held_out, balance, without: as in ``trainmap.advise``.

    Attributes:
        advice: what is done, and why (``advice.reason``).
        map: SHA-256 of the map.

    Raises:
        TrainmapError: as ``trainmap.advise``.

    It can be worse than repeated random, which needs no map: on SUBJ by 1.3 to 5.2 points (docs/selection.md).

    Source: ours, fitted on the validation parts of clinc150 and Fashion-MNIST (docs/selection.md); the fresh draws are
        those of Okanovic et al. 2024, arXiv:2305.18424 (RS2).
    """

    def __init__(
        self,
        datamap: DataMap,
        size: int,
        seed: int = 0,
        *,
        noise: float | None = None,
        distilled: bool = False,
        held_out: float | None = None,
        balance: Balance | None = None,
        without: Any = (),
    ) -> None:
        self._pool = known_pool(datamap, AUTO, size, balance, without)
        self.advice = read_map(self._pool, int(size), noise, distilled, held_out, balance, repeated=True)
        super().__init__(datamap.ids, int(size), seed)
        self.map = datamap.fingerprint  # a run that resumes must have the same
        self._weights = weighed(self._pool, self.advice)
        self._balance: Balance | None = balance

    def plan(self, epoch: int) -> Visit:
        generator = np.random.default_rng([self.seed, whole(epoch, "epoch")])
        return Visit(np.sort(self._pool.ids[drawn(self._pool, self.size, generator, self._weights, self._balance)]))


@dataclass(frozen=True)
class RepeatedAutoOptions(Options):
    """Of ``RepeatedAuto``."""

    source: ClassVar[str] = "ours: docs/selection.md"
    reads_map: ClassVar[bool] = True
    held_out: ClassVar[bool] = True

    size: float = option(..., "share of the examples in an epoch", gt=0, le=1)

    def share(self) -> float:
        return self.size

    def make(self, run: Run) -> RepeatedAuto:
        if run.datamap is None:
            raise TrainmapError("repeated auto draws by a map; there is none")
        return RepeatedAuto(run.datamap, run.count(self.size), run.seed, held_out=run.held_out)
