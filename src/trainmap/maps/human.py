"""Do people and networks find the same examples hard? Scores of a map beside how much people disagree on the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.index import rows_of
from trainmap.errors import TrainmapError, unknown
from trainmap.maps.agreement import spearman
from trainmap.maps.datamap import DataMap
from trainmap.scores.table import hard_end

Array = NDArray[Any]

FEWEST = 3
"""Examples that a correlation with an interval needs at least."""


@dataclass(frozen=True)
class HumanAgreement:
    """How far the hard end of a score is where people disagree.

    Attributes:
        score: its column's name.
        examples: with a value of the score and a judgement of people.
        spearman: rank correlation with the disagreement, in [-1, 1]; the score is turned so that its hard end is high.
            NaN where one side is constant.
        low, high: interval over examples; NaN without a correlation.
        disputed: how many examples are among those on which people disagree most.
        auroc: how well the score tells these from the others, in [0, 1]: the chance that a disputed example is harder
            than another one, equal ones counting half. NaN where there are none of either.
        auroc_low, auroc_high: interval over examples.
    """

    score: str
    examples: int
    spearman: float
    low: float
    high: float
    disputed: int
    auroc: float
    auroc_low: float
    auroc_high: float


def label_entropy(counts: Any) -> Array:
    """How much people disagree about each label: ``-sum_c p_c log2 p_c`` with ``p = counts / sum(counts)``.

    Args:
        counts: (N, C): how many people chose each class, such as CIFAR-10H's.

    Returns:
        (N,) float64, bits, in [0, log2 C]; 0 where all agree.

    Raises:
        TrainmapError: counts that are negative, not finite, or of nobody.
    """
    votes = np.asarray(counts, dtype=np.float64)
    if votes.ndim != 2 or not np.isfinite(votes).all() or (votes < 0).any() or not (votes.sum(axis=1) > 0).all():
        raise TrainmapError(f"counts must be (N, C), not negative, with a person in each row, got {votes.shape}")
    shares = votes / votes.sum(axis=1, keepdims=True)
    return np.abs((shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1))


def human_agreement(
    datamap: DataMap,
    ids: Any,
    disagreement: Any,
    scores: Sequence[str] | None = None,
    *,
    top: float = 0.1,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[HumanAgreement]:
    """Spearman's correlation of each score of a map with how much people disagree, how well it finds the examples on
    which they disagree most, and the intervals of both.

    Most labels are clear to everybody, so one side has many equal values: they share the mean of their ranks, and the
    interval is the percentile bootstrap over examples (Efron 1979), because the usual formula for the variance of
    Spearman's correlation assumes that there are no ties. The same examples are drawn for every score.

    Args:
        datamap: of the examples that people judged; others in the map are left out. Its recording must be a sweep, or
            come from a training that did not see other views of the examples than people did.
        ids: (N,) the examples that people judged.
        disagreement: (N,) float, high where they disagree: ``label_entropy(counts)``.
        scores: names; None for all of the map. A column that trainmap does not know is taken as it is.
        top: share of the examples that count as disputed; those that are equal to the last of them do, too.
        draws: of the bootstrap.
        seed: of the draws.
        level: of the interval, in (0, 1).

    Returns:
        One entry for each score, in the order of ``scores``.

    Raises:
        TrainmapError: shapes that do not fit, ids that repeat or are not in the map, an unknown score.
    """
    chosen, values = to_ids(ids), np.asarray(disagreement, dtype=np.float64)
    if values.shape != chosen.shape or not np.isfinite(values).all():
        raise TrainmapError(f"disagreement must be finite, one for each id, got {values.shape} for {chosen.shape} ids")
    if not (0 < level < 1 and 0 < top < 1) or draws < 1:
        raise TrainmapError(
            f"level and top must lie between 0 and 1 and draws be at least 1, got {level}, {top} and {draws}"
        )
    rows = rows_of(datamap.ids, chosen, "the map", "map all that people judged", distinct=True)
    order = np.argsort(rows)  # the bootstrap draws places by id, whatever the order that they came in
    rows, values = rows[order], values[order]
    names = datamap.scores if scores is None else list(scores)
    for name in names:
        if name not in datamap.scores:
            raise unknown("score in this map", name, datamap.scores)
    disputed = values >= np.partition(values, -(k := max(1, round(top * len(values)))))[-k]
    return [_agreement(name, datamap.values(name)[rows], values, disputed, (draws, seed, level)) for name in names]


def _agreement(
    name: str, score: Array, disagreement: Array, disputed: Array, how: tuple[int, int, float]
) -> HumanAgreement:
    hard = -score if hard_end(name) == "low" else score
    both = ~np.isnan(hard)
    hard, disagreement, disputed = hard[both], disagreement[both], disputed[both]
    n, found = len(hard), spearman(hard, disagreement)
    draws, seed, level = how
    if n < FEWEST:
        return HumanAgreement(name, n, found, np.nan, np.nan, int(disputed.sum()), *[np.nan] * 3)
    (_, a), (_, b) = (np.unique(side, return_inverse=True) for side in (hard, disagreement))
    generator = np.random.default_rng(seed)
    drawn = np.array([_of_ranks(a, b, disputed, generator.integers(n, size=n)) for _ in range(draws)])
    ends = [(1 - level) / 2, (1 + level) / 2]
    (low, high), (auroc_low, auroc_high) = (
        np.nanquantile(column, ends) if not np.isnan(column).all() else (np.nan,) * 2 for column in drawn.T
    )
    auroc = _of_ranks(a, b, disputed, np.arange(n))[1]
    of_rank = (name, n, found, float(low), float(high))
    return HumanAgreement(*of_rank, int(disputed.sum()), auroc, float(auroc_low), float(auroc_high))


def _of_ranks(a: Array, b: Array, disputed: Array, rows: Array) -> tuple[float, float]:
    """Spearman's correlation and the AUROC of the drawn rows, without sorting.

    ``a`` and ``b`` are (n,) int, dense ranks from 0. The AUROC is 1/2 plus the ranks of the disputed, less their mean,
    over the number of pairs (Mann and Whitney 1947).
    """
    x, y = (_mean_ranks(side[rows]) for side in (a, b))
    scale, of_them = float(np.sqrt((x @ x) * (y @ y))), disputed[rows]
    pairs = int(of_them.sum()) * int((~of_them).sum())
    return (
        float(x @ y) / scale if scale else np.nan,
        0.5 + float(x[of_them].sum()) / pairs if pairs else np.nan,
    )


def _mean_ranks(codes: Array) -> Array:
    """Mean ranks of dense codes, minus their mean."""
    counts = np.bincount(codes)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return ranks - ranks.mean()
