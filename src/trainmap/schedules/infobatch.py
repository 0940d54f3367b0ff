"""InfoBatch: half of what is easy is skipped, the rest of it weighed up."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import whole
from trainmap.schedules.memory import Memory, Remembers
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit


@dataclass(frozen=True)
class InfoBatchOptions(Options):
    """Of ``InfoBatch``."""

    source: ClassVar[str] = "Qin et al. 2024, arXiv:2303.04947"
    guessed: ClassVar[bool] = True
    easy: ClassVar[float] = 0.65
    """Share of the examples below the mean loss, a guess: measured on digits, 4 epochs of cnn-8."""

    ratio: float = option(0.5, "share of the easy ones that is skipped", ge=0, lt=1)
    anneal: float = option(0.875, "from this share of the epochs on everything is visited", ge=0, le=1)

    def share(self) -> float:
        return 1 - self.easy * self.ratio

    def whole_epochs(self, epochs: int) -> int:
        return 1 + epochs - math.ceil(self.anneal * epochs)

    def make(self, run: Run) -> InfoBatch:
        return InfoBatch(run.ids, run.epochs, **asdict(self), seed=run.seed)


class InfoBatch(Remembers):
    """Skip half of what is already easy, and weigh the rest of it up, so that the expected gradient stays.

    Of the n examples whose last loss lies below the mean of all, round((1 - ratio) n) are kept, drawn anew for each
    epoch, with weight n / kept; the others are all visited with weight 1. The first epoch and those from ``anneal``
    times the epochs on are whole.

    Args:
        ids: the examples.
        epochs: of the whole training.
        ratio: r, the share of the easy ones that is skipped, 0 to below 1.
        anneal: delta, 0 to 1.
        seed: of the draws.

    Source: Qin et al. 2024, arXiv:2303.04947, sections 2.2 and 2.3 (r = 0.5, delta = 0.875).
    Differs: the weight is n / kept where the paper has 1 / (1 - r): the same but for rounding, and exactly unbiased.
    """

    def __init__(self, ids: Any, epochs: int, ratio: float = 0.5, anneal: float = 0.875, seed: int = 0) -> None:
        InfoBatchOptions(ratio, anneal)
        self.ids, self.ratio, self.anneal = ascending(ids), ratio, anneal
        self.epochs, self.seed = whole(epochs, "epochs", 1), whole(seed, "seed")
        self.memory = Memory(self.ids)

    def scores(self) -> NDArray[np.float64]:
        """(N,) what is held against its mean: the last losses; NaN where there is none yet."""
        return self.memory.last

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        scores = self.scores()
        if epoch >= self.anneal * self.epochs or np.isnan(scores).all():
            return Visit(self.ids)
        easy = np.flatnonzero(scores < np.nanmean(scores))  # what was never seen is not easy
        kept = max(1, round((1 - self.ratio) * len(easy))) if len(easy) else 0
        drawn = np.random.default_rng([self.seed, epoch]).permutation(easy)[:kept]
        weights = np.ones(len(self.ids))
        weights[easy] = 0
        weights[drawn] = len(easy) / max(1, kept)
        visited = np.flatnonzero(weights)
        return Visit(self.ids[visited], weights[visited])
