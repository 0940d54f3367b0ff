"""Another part in every epoch by the rule of ``auto``: what a map prefers more often, and in the end every example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trainmap.errors import TrainmapError, whole
from trainmap.maps.datamap import DataMap
from trainmap.schedules.covering import CoveringDraws
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.protocol import Visit
from trainmap.schedules.repeated_random import DisjointRandom
from trainmap.selection.auto import weighed
from trainmap.selection.auto_rule import read_map
from trainmap.selection.quotas import Balance
from trainmap.selection.select import known_pool
from trainmap.selection.strategies import AUTO


class RepeatedAuto(DisjointRandom):
    """A schedule: every epoch visits ``size`` examples, each as often as the rule of ``auto`` says.

    A fixed subset shows the same examples again; this shows others. Where the rule prefers none and cuts none, it is
    ``DisjointRandom`` of the same seed. Otherwise an example is to be visited ``size exp(tilt rank) / sum of the same``
    times in an epoch, within its class, at most once, and over the epochs it is, to within one visit
    (``CoveringDraws``); what is cut never is. It costs what the subset costs to train on, and all the data must stay at
    hand.

    Args:
        datamap: of the training data.
        size: how many examples an epoch visits, 1 to N.
        seed: of the draws, which depend on it and on the epoch alone. Epochs that are asked for in order take one pass
            over the examples each; the first that is asked for takes as many as its number.
        noise, distilled, held_out, balance, without: as in ``trainmap.advise``.

    Attributes:
        advice: what is done, and why (``advice.reason``).
        map: SHA-256 of the map.

    Raises:
        TrainmapError: as ``trainmap.advise``.

    Source: ours (docs/selection.md); the fresh draws are those of Okanovic et al. 2024, arXiv:2305.18424 (RS2), the
        spreading is systematic sampling (Madow 1949, Annals of Mathematical Statistics 20).
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
        pool = known_pool(datamap, AUTO, size, balance, without)
        self.advice = read_map(pool, int(size), noise, distilled, held_out, balance, repeated=True)
        super().__init__(pool.ids, int(size), seed)
        self.map = datamap.fingerprint  # a run that resumes must have the same
        self._draws: CoveringDraws | None = None
        if not self.advice.nothing or balance is not None:
            kept, log_weights = weighed(pool, self.advice)
            self.ids = pool.ids[kept]
            self._draws = CoveringDraws(log_weights, pool.labels[kept], self.size, balance or "proportional", self.seed)

    def plan(self, epoch: int) -> Visit:
        if self._draws is None:
            return super().plan(epoch)
        return Visit(self.ids[self._draws.rows(whole(epoch, "epoch"))])


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
