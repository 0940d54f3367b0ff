"""What a race may conclude: a one-sided interval of a mean over seeds and held-out examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[Any]


@dataclass(frozen=True)
class Lead:
    """By how much one leads another: the mean of ``n`` paired differences and the lower end of its one-sided interval;
    NaN where there is none."""

    mean: float
    low: float
    n: int

    @property
    def shown(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


def lead(differences: Array, confidence: float) -> Lead:
    """``mean - t(f, confidence) sqrt(v)`` of differences over seeds and parts of the held-out data.

    Two things are a sample: the seeds (draws, initial weights, orders) and the held-out data, which is the same for
    all seeds. With a = s^2 of the means of the S seeds / S, b = s^2 of the means of the V parts / V and
    c = s^2 of what neither explains / (S V), ``v = max(a, b, a + b - c)``, of which the first two count c each;
    ``f = v^2 / (a^2 / (S - 1) + b^2 / (V - 1))``, at least S - 1. With one part, b = c = 0: Student's interval.

    Args:
        differences: (S, V) paired differences of scores; V = 1 where a judge gives one number.
        confidence: in (0, 1), one-sided.

    Returns:
        low is NaN with one seed, and where all are the same: nothing can be said of a spread that was not seen.

    Source: the variance of a mean over two crossed samples, Searle, Casella and McCulloch 1992, chapter 4; degrees of
    freedom by Satterthwaite 1946.
    """
    seeds, parts = differences.shape
    mean = float(differences.mean())
    by_seed, by_part = differences.mean(axis=1), differences.mean(axis=0)
    if seeds < 2 or np.ptp(by_seed) <= 1e-12 * max(1.0, float(np.abs(by_seed).max())):
        return Lead(mean, math.nan, seeds)
    a = float(by_seed.var(ddof=1)) / seeds
    b = c = 0.0
    if parts > 1:
        rest = differences - by_seed[:, None] - by_part + mean
        b = float(by_part.var(ddof=1)) / parts
        c = float((rest**2).sum()) / ((seeds - 1) * (parts - 1)) / (seeds * parts)
    variance = max(a, b, a + b - c)
    freedom = variance**2 / (a**2 / (seeds - 1) + (b**2 / (parts - 1) if parts > 1 else 0.0))
    return Lead(mean, mean - float(stdtrit(max(freedom, seeds - 1), confidence)) * math.sqrt(variance), seeds)
