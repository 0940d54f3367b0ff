"""Strategies over the distribution of a score: bands, strata (CCS), Beta sampling (DUAL), trajectory clusters (S2L).

A strategy is a pure function (pool, size, generator, options) -> (size,) rows of the pool. It is handed only examples
that have what it needs, at least ``size`` of them, in the order of their ids; see ``trainmap.selection.strategies``.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from trainmap.dynamics.given import check_flag
from trainmap.errors import TrainmapError, shown, whole
from trainmap.scores.table import score_named
from trainmap.selection.option_limits import check_hard, check_number
from trainmap.selection.pool import Candidates, Pool
from trainmap.selection.quotas import smallest_first

Array = NDArray[Any]
Generator = np.random.Generator

CCS_CUTS = {0.1: 0.3}
"""Kept fraction -> hardest share cut, as published for CIFAR-10 with AUM (the repository's example)."""

MOST_STRATA = 2**53
"""Above that a float does not count one by one, and no dataset has as many examples."""

TOTAL = 16.0
"""a + b of the Beta distributions, as DUAL has it."""


def band(pool: Pool, size: int, generator: Generator, *, score: str = "loss", centre: float = 0.5) -> Array:
    """The examples whose values of a score lie next to each other in rank.

    Sorted from the lowest value to the highest (equals by the hash of
    their ids), ``size`` of n are taken from position
    ``floor((n - size) centre)`` on: 0 is the bottom, 1 the top, 0.5 the middle band.

    Source: with the teacher's cross entropy and the middle, the medium-difficulty selection for distillation of Chen
    et al. 2025 (ICLR, "Medium-Difficulty Samples Constitute Smoothed Decision Boundary for Knowledge Distillation on
    Pruned Datasets"); the strategy "medium" is that.
    """
    check_band(Candidates(len(pool)), size, score=score, centre=centre)
    start = int((len(pool) - size) * centre)
    return pool.rising(pool.scores[score])[start : start + size]


def ccs(
    pool: Pool,
    size: int,
    generator: Generator,
    *,
    score: str = "aum",
    cut: float = 0.0,
    strata: int = 50,
    hard: Literal["high", "low"] | None = None,
) -> Array:
    """Coverage-centric selection: cut the hardest, then take equal numbers from every stratum of the score.

    The ``floor(cut n)`` hardest of n are dropped. The range of what is left is split into ``strata`` strata of equal
    width; the budget goes round from the smallest stratum to the largest (``quotas.smallest_first``), and within a
    stratum examples are taken at random.

    Args:
        score: any score of the map with finite values.
        cut: the share that is dropped, 0 to below 1. The paper searches it for each dataset and budget (``CCS_CUTS``);
            0 cuts nothing, and with many wrong labels cutting by suspicion (``without``) is the more precise way.
        hard: which end is hard, for a score that trainmap does not know.

    Raises:
        TrainmapError: infinite values, a cut that leaves fewer than ``size`` examples.

    Source: Zheng et al. 2023, arXiv:2210.15809, algorithm 1. Differs: the highest value belongs to the last stratum
    (their code widens the range by a factor 1.0001 of the highest value, which for a negative one loses it).
    """
    check_ccs(Candidates(len(pool)), size, score=score, cut=cut, strata=strata, hard=hard)
    values = _finite(pool, score)
    dropped = int(cut * len(pool))
    easy_first = pool.rising(values if direction(score, hard) == "high" else -values)
    left = np.sort(easy_first[: len(pool) - dropped])
    return left[_spread(_strata(values[left], strata), size, generator)]


def s2l(pool: Pool, size: int, generator: Generator) -> Array:
    """Equal numbers from every cluster of loss trajectories, at random within a cluster, the smallest cluster first.

    Needs ``clusters`` (``trainmap.scores.trajectories.cluster``); an example without a cluster is never taken.

    Source: Yang et al. 2024 (S2L), arXiv:2403.07384, algorithm 1.
    """
    assert pool.clusters is not None
    return _spread(pool.clusters, size, generator)


def dual_beta(
    pool: Pool, size: int, generator: Generator, *, c: float = 4.0, anchors: int = 10, floor: float = 2.0**-24
) -> Array:
    """Random examples without replacement, with weights DUAL score times a Beta density of confidence.

    With r the share of the dataset that is pruned and m the mean confidence of the ``anchors`` examples with the
    highest DUAL scores: ``b = 15 (1 - m) (1 - r^c)``, ``a = 16 - b``, and an example's weight is
    ``Beta(confidence; a, b) dual``. Light pruning samples around the undecided, heavy pruning moves to the easy.

    Args:
        c: how late the density moves; 4 for CIFAR in the paper.
        floor: confidence is taken as no nearer to 0 and 1 than this, where the density has no finite logarithm.

    Returns:
        rows; examples of weight 0 (a DUAL score of 0) only when all others are taken, then at random.

    Source: Cho et al. 2025 (DUAL), arXiv:2502.06905, section 3.3, and its code. Differs: confidence is the map's, over
    all of its epochs.
    """
    check_dual_beta(Candidates(len(pool)), size, c=c, anchors=anchors, floor=floor)
    dual, confidence = pool.scores["dual"], pool.scores["confidence"]
    hardest = pool.rising(-dual)[:anchors]
    a, b = beta_parameters(pool.kept, float(confidence[hardest].mean()), c)
    with np.errstate(divide="ignore"):
        weights = log_beta(np.clip(confidence, floor, 1 - floor), a, b) + np.log(dual)
    return weighted_sample(weights, size, generator)


def beta(
    pool: Pool,
    size: int,
    generator: Generator,
    *,
    score: str = "confidence",
    distilled: bool = False,
    anchor: float | None = None,
    c: float = 4.0,
    hard: Literal["high", "low"] | None = None,
) -> Array:
    """Random examples without replacement, weighted by a Beta density of how easy they rank, which follows the budget.

    An example's ease is its rank from the hardest, ``(position + 1/2) / n`` in (0, 1), and its weight is
    ``Beta(ease; a, b)`` with DUAL's parameters for the kept fraction (``beta_parameters``).

    Args:
        score: of difficulty.
        distilled: whether the student learns from a teacher, for which middle to easy examples serve better: moves the
            anchor from 0.25 to 0.5.
        anchor: the ease around which a light pruning samples, in place of these.
        c: how late the density moves to the easy end.
        hard: which end of the score is hard, for one that trainmap does not know.

    Source: sampling ranks from a Beta distribution is Wu et al. 2026 (IF-Beta), arXiv:2606.25488, who learn a and b on
    a proxy student. Differs: a and b are Cho et al.'s function of the kept fraction, and the two anchors are ours,
    fitted on nothing.
    """
    check_beta(Candidates(len(pool)), size, score=score, distilled=distilled, anchor=anchor, c=c, hard=hard)
    anchor = (0.5 if distilled else 0.25) if anchor is None else anchor
    values = pool.scores[score]
    hard_first = pool.rising(-values if direction(score, hard) == "high" else values)
    ease = np.empty(len(pool))
    ease[hard_first] = (np.arange(len(pool)) + 0.5) / len(pool)
    return weighted_sample(log_beta(ease, *beta_parameters(pool.kept, anchor, c)), size, generator)


def beta_parameters(kept: float, anchor: float, c: float = 4.0) -> tuple[float, float]:
    """(a, b) of the Beta distribution for a kept fraction: ``b = 15 (1 - anchor) (1 - (1 - kept)^c)``, ``a = 16 - b``.

    All kept: mean ``(1 + 15 anchor) / 16``; next to nothing kept: the easy end. Source: Cho et al. 2025.
    """
    _check_c(c)
    b = (TOTAL - 1) * (1 - anchor) * (1 - (1 - kept) ** c)
    return TOTAL - b, b


def log_beta(x: Array, a: float, b: float) -> Array:
    """The logarithm of the Beta density up to a constant, for x in (0, 1)."""
    return xlogy(a - 1, x) + xlog1py(b - 1, -x)


def weighted_sample(log_weights: Array, size: int, generator: Generator) -> Array:
    """Rows drawn one after the other without replacement, each with probability in proportion to its weight.

    The ``size`` highest of ``log_weights + Gumbel noise``, which has that distribution (Efraimidis and Spirakis 2006).
    Weight 0 (-inf) comes after all others, at random.
    """
    noise = generator.gumbel(size=len(log_weights))
    none = np.isneginf(log_weights)
    keys = np.where(none, noise, log_weights + noise)
    return np.lexsort((-keys, none))[:size]


def direction(score: str, hard: Literal["high", "low"] | None) -> str:
    """The end of a score that is hard: as told, or as trainmap knows it."""
    check_hard(score, hard)
    known = hard or score_named(score).direction
    if known is None:
        raise TrainmapError(f"{score} has no hard end; say which it is: hard='high' or hard='low'")
    return known


def check_band(candidates: Candidates, size: int, *, score: str, centre: float) -> None:
    """Refuse options that ``band`` cannot take."""
    check_number(centre, "centre must be 0 (lowest values) to 1 (highest)", lambda x: 0 <= x <= 1)


def check_ccs(candidates: Candidates, size: int, *, score: str, cut: float, strata: int, hard: Any) -> None:
    """Refuse options that ``ccs`` cannot take."""
    check_number(cut, "cut must be 0 to below 1", lambda x: 0 <= x < 1)
    if whole(strata, "strata", 1) > MOST_STRATA:
        raise TrainmapError(f"strata must be at most {MOST_STRATA}, got {shown(strata)}")
    left = candidates.count - int(cut * candidates.count)
    if left < size:
        raise TrainmapError(
            f"ccs with cut={cut} leaves {left} of {candidates.count} examples, fewer than the {size} asked for; use a "
            "smaller cut"
        )
    check_hard(score, hard)


def check_dual_beta(candidates: Candidates, size: int, *, c: float, anchors: int, floor: float) -> None:
    """Refuse options that ``dual_beta`` cannot take."""
    whole(anchors, "anchors", 1)
    check_number(floor, "floor must be above 0 and below 0.5", lambda x: 0 < x < 0.5)
    _check_c(c)


def check_beta(
    candidates: Candidates, size: int, *, score: str, distilled: bool, anchor: float | None, c: float, hard: Any
) -> None:
    """Refuse options that ``beta`` cannot take."""
    check_flag(distilled, "distilled")
    if anchor is not None:
        check_number(anchor, "anchor must be 0 (hardest) to 1 (easiest)", lambda x: 0 <= x <= 1)
    _check_c(c)
    check_hard(score, hard)


def _check_c(c: float) -> None:
    check_number(c, "c must be above 0", lambda x: x > 0)


def teacher_loss(logits: Array, labels: Array) -> Array:
    """Cross entropy of a teacher's logits, (N,) float64: the column that the strategy "medium" takes its band of.

    Args:
        logits: (N, C), of any floating type.
        labels: (N,) class indices.
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]


def _strata(values: Array, strata: int) -> Array:
    """(n,) which of ``strata`` intervals of equal width each value lies in."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(values), np.int64)
    return np.minimum(((values - low) / (high - low) * strata).astype(np.int64), strata - 1)


def _spread(groups: Array, size: int, generator: Generator) -> Array:
    """Rows: equal numbers from every group, at random within it."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    quotas = smallest_first(sizes, size)
    order = generator.permutation(len(groups))
    by_group = order[np.argsort(group[order], kind="stable")]
    place = np.empty(len(groups), np.int64)  # of an example within its shuffled group
    place[by_group] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.flatnonzero(place < quotas[group])


def _finite(pool: Pool, score: str) -> Array:
    values = pool.scores[score]
    if infinite := int(np.isinf(values).sum()):
        raise TrainmapError(
            f"strata of equal width need finite values; {infinite} of {len(values)} of {score} are infinite; use "
            "another score, or a convention of it with a finite value"
        )
    return values
