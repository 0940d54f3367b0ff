"""Means with their intervals, and verdicts that follow from an interval, never from a mean.

Several rows of one table are several tests: at 95 %, one comparison in twenty without any real difference leaves
zero outside its interval. ``paired_difference`` judges one comparison by itself; ``holm_verdicts`` judges a family of
them together, so that the chance of even one false verdict in the family stays below 5 %. The report shows both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from trainmap.errors import TrainmapError

K = TypeVar("K")


class Verdict(Enum):
    """Where the interval of a difference lies: above zero, below it, or around it, where no difference is shown."""

    ABOVE = "above"
    NONE = "none"
    BELOW = "below"


# Values that agree to this share of their size differ by rounding only and say nothing about spread.
SAME = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` values and its interval; ``low`` and ``high`` are NaN where no interval can be had."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Distance from the mean to either end; NaN without an interval."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (n=1)"
        if math.isnan(self.low):
            return f"{self.mean:.4f} (n={self.n}, identical)"
        return f"{self.mean:.4f} ± {self.half_width:.4f} (n={self.n})"


@dataclass(frozen=True)
class Difference:
    """Mean of the ``n`` differences a - b of paired runs, its interval, the verdict, and the two-sided p-value."""

    mean: float
    low: float
    high: float
    n: int
    verdict: Verdict
    p: float


def interval(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Student's t interval of a mean: ``mean ± t(n - 1, (1 + level) / 2) * s / sqrt(n)``, s with n - 1 below.

    One value has no interval; nor have values that are all the same, because nothing can be said of a spread that
    was not seen (a width of zero would claim certainty). Both give NaN for ``low`` and ``high``.

    Args:
        values: (n,) finite numbers, n >= 1.
        level: share of such intervals that hold the true mean, in (0, 1).

    Raises:
        TrainmapError: no values, a NaN or an infinity among them, a level outside (0, 1).

    Source: Student 1908. Assumes independent values from one roughly normal distribution.
    """
    array = _checked(values)
    return _interval(array, float(np.abs(array).max()), level)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], level: float = 0.95) -> Difference:
    """Mean of ``a[seed] - b[seed]`` over the seeds that both have, with Student's t interval and a verdict.

    Pairing by seed removes what the two runs share (initial weights, order of the data), as the paired t-test does.
    The verdict is ``ABOVE`` when the whole interval lies above zero, ``BELOW`` when it lies below, ``NONE`` otherwise:
    no difference is shown, which is not the same as no difference. Fewer than two common seeds, or differences that
    are all the same, have no interval and hence show none; their p-value is NaN.

    Args:
        a: seed to value of the runs that are judged.
        b: seed to value of the runs they are judged against.
        level: confidence of the interval, in (0, 1).

    Raises:
        TrainmapError: NaN or infinite values at common seeds, a level outside (0, 1).
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return Difference(math.nan, math.nan, math.nan, 0, Verdict.NONE, math.nan)
    ours, theirs = _checked([a[seed] for seed in seeds]), _checked([b[seed] for seed in seeds])
    differences = ours - theirs
    estimate = _interval(differences, float(np.abs([ours, theirs]).max()), level)
    p = math.nan
    if not math.isnan(estimate.low):
        t = estimate.mean / (differences.std(ddof=1) / math.sqrt(estimate.n))
        p = float(2 * stdtr(estimate.n - 1, -abs(t)))
    verdict = verdict_of(estimate.low, estimate.high)
    return Difference(estimate.mean, estimate.low, estimate.high, estimate.n, verdict, p)


def verdict_of(low: float, high: float) -> Verdict:
    """The verdict of an interval; NaN is no interval and shows nothing."""
    if low > 0:
        return Verdict.ABOVE
    return Verdict.BELOW if high < 0 else Verdict.NONE


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p-values: the family's chance of any false rejection at ``adjusted <= alpha`` is below alpha.

    With p sorted upwards, ``adjusted_(k) = max over j <= k of min(1, (m - j + 1) * p_(j))``. A NaN (a comparison that
    could not be tested) counts as 1: it is never rejected and still makes the family larger.

    Args:
        p_values: (m,) in [0, 1] or NaN.

    Returns:
        (m,) float64 in [0, 1], in the order given.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure. Holds under any dependence, which
    matters here: every row of a table is compared with the same random runs.
    """
    p = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate((p.size - np.arange(p.size)) * p[order]))
    return adjusted


def holm_verdicts(differences: Sequence[Difference], level: float = 0.95) -> list[Verdict]:
    """The verdicts of a family of comparisons that hold together at ``level`` by Holm's correction.

    A verdict stays as it is when its adjusted p-value is below ``1 - level`` and becomes ``NONE`` otherwise; none is
    ever added.
    """
    adjusted = holm([difference.p for difference in differences])
    return [
        difference.verdict if p < 1 - level else Verdict.NONE
        for difference, p in zip(differences, adjusted, strict=True)
    ]


def firm_of(differences: Mapping[K, Difference], level: float = 0.95) -> dict[K, bool]:
    """Whether each verdict of a family is one and stays by Holm's correction; see ``holm_verdicts``."""
    held = holm_verdicts([*differences.values()], level)
    return {key: verdict is not Verdict.NONE for key, verdict in zip(differences, held, strict=True)}


def _checked(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise TrainmapError(f"an interval needs at least one value in one dimension, got shape {array.shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise TrainmapError(f"an interval needs finite values, got {bad} of {array.size} that are NaN or infinite")
    return array


def _interval(values: NDArray[np.float64], size: float, level: float) -> Estimate:
    """The t interval of checked values; ``size`` is the magnitude of the numbers that they were computed from."""
    if not 0 < level < 1:
        raise TrainmapError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    mean, n = float(values.mean()), values.size
    if n < 2 or np.ptp(values) <= SAME * size:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)
