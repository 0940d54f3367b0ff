"""How good an audit is, estimated from labels that were flipped on purpose: no list of the true errors is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from trainmap.errors import TrainmapError

Array = NDArray[Any]

LEVEL = 0.95
DELTA, GAMMA = 0.1, 0.01  # of the best bin: the confidence and the slack of Garg et al.


@dataclass(frozen=True)
class Quality:
    """What the planted flips say about an audit at its threshold; all shares are 0 to 1.

    Attributes:
        planted: how many labels were flipped.
        caught: how many of them are suspected.
        recall: caught / planted, with ``recall_low`` and ``recall_high``, its 95 % interval (Clopper and Pearson 1934).
        error_rate: estimated share of wrong labels among the others.
        precision: estimated share of wrong labels among the other suspected ones; NaN if there are none.
        suspected: how many of the others are suspected.
    """

    planted: int
    caught: int
    recall: float
    recall_low: float
    recall_high: float
    error_rate: float
    precision: float
    suspected: int

    def __str__(self) -> str:
        return (
            f"planted flips: {self.caught} of {self.planted} suspected; estimated recall {self.recall:.2f} "
            f"({self.recall_low:.2f} to {self.recall_high:.2f}), precision {self.precision:.2f}, "
            f"wrong labels {self.error_rate:.1%}"
        )


def estimate_quality(planted: Array, others: Array, threshold: float) -> Quality:
    """Precision and recall of "suspicion >= threshold" on the errors that were in the labels before.

    With G(t) and U(t) the shares of the planted flips and of the other examples at or above t, and a share pi of the
    others wrong: U = pi G + (1 - pi) H, where H is the clean examples' share. Where H is zero, U / G is pi, and nowhere
    is it less. So

        recall = G(threshold)    pi = U(t) / G(t) at the t where the bound on that ratio is lowest
        precision = pi G(threshold) / U(threshold), at most 1

    It takes the errors to be as suspicious as the flips. Where people err among look-alike classes and flips are
    uniform, real errors are harder to find: recall then is too high, and pi with precision too low; flips drawn with a
    ``confusion`` (``planted.plan_flips``) come closer. Few errors (below about 5 %) are overstated, by a point or two:
    the bound that chooses t is cautious. Figures in docs/audit.md.

    Args:
        planted: (m,) suspicion of the flipped examples.
        others: (n,) suspicion of the rest; NaN (cannot be told) is never suspected.

    Raises:
        TrainmapError: nothing planted, or no others.

    Source: the share of positives among unlabelled examples by the best bin, Garg et al. 2021, arXiv:2111.00980,
        algorithm 1 (delta = 0.1, gamma = 0.01).
    """
    m, n = len(planted), len(others)
    if not m or not n:
        raise TrainmapError(f"an estimate needs planted flips and other examples, got {m} and {n}")
    cuts = np.unique(planted[~np.isnan(planted)])
    caught_at = m - np.searchsorted(np.sort(np.nan_to_num(planted, nan=-math.inf)), cuts)
    flagged_at = n - np.searchsorted(np.sort(np.nan_to_num(others, nan=-math.inf)), cuts)
    g, u = caught_at / m, flagged_at / n
    slack = math.sqrt(math.log(4 / DELTA) / 2) * (1 / math.sqrt(m) + 1 / math.sqrt(n))
    rate = 0.0
    if len(cuts):
        best = np.argmin(u / g + (1 + GAMMA) * slack / g)
        rate = float(min(1.0, u[best] / g[best]))
    caught, suspected = int((planted >= threshold).sum()), int((others >= threshold).sum())
    recall = caught / m
    return Quality(
        planted=m,
        caught=caught,
        recall=recall,
        recall_low=float(betaincinv(caught, m - caught + 1, (1 - LEVEL) / 2)) if caught else 0.0,
        recall_high=float(betaincinv(caught + 1, m - caught, (1 + LEVEL) / 2)) if caught < m else 1.0,
        error_rate=rate,
        precision=min(1.0, rate * recall / (suspected / n)) if suspected else math.nan,
        suspected=suspected,
    )


def best_separation(planted: Array, others: Array) -> float:
    """The threshold at which "suspicion >= threshold" separates planted flips from the others best.

    Highest G(t) - U(t), the shares of each at or above t: what a detector on one score learns from as many flips as
    other examples (Swayamdipta et al. 2020, arXiv:2009.10795, section 5). The lowest such t among the flips' values.
    """
    cuts = np.unique(planted[~np.isnan(planted)])
    if not len(cuts):
        raise TrainmapError("a threshold from flips needs at least one flip with a suspicion, got none")
    g = len(planted) - np.searchsorted(np.sort(np.nan_to_num(planted, nan=-math.inf)), cuts)
    u = len(others) - np.searchsorted(np.sort(np.nan_to_num(others, nan=-math.inf)), cuts)
    return float(cuts[np.argmax(g / len(planted) - u / max(1, len(others)))])
