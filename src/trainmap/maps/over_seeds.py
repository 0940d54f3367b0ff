"""How sure a score is over several recordings: intervals of every example, agreement between every two maps, and how
many recordings a ranking needs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from trainmap.dynamics.index import find_rows, ids_to_arrow, of_one_kind
from trainmap.errors import TrainmapError, number, whole
from trainmap.maps.agreement import Allow, check_alike, spearman, top_overlap
from trainmap.maps.datamap import DataMap
from trainmap.scores.table import OF_SEVERAL

Array = NDArray[Any]

PAIRS = 200
"""Pairs of ensembles that are looked at for each number of members."""
SAMPLE = 20_000
"""Examples that a ranking is followed on: the standard error of a Spearman of 0.95 is then 0.0008."""


def intervals(
    maps: Sequence[DataMap], score: str, level: float = 0.95, allow: Collection[Allow] = ("rule",)
) -> pl.DataFrame:
    """Mean and interval of a score of every example over several recordings (seeds): mean +- t(n - 1) s / sqrt(n).

    Args:
        maps: K maps of one dataset and source.
        score: a score that all of them have.
        level: share of such intervals that hold the true mean, in (0, 1).
        allow: what may differ, see ``agreement.compare``; with ``"dataset"`` every id of any map is listed.

    Returns:
        ``id``, ``mean``, ``low``, ``high``, ``n`` (maps that have a value), by id. Where n is 1, where a value is
        infinite and where all values are the same there is no interval (null): a spread that was not seen says nothing.
        An example without any value has a null mean.

    Source: Student 1908; the values of an example over seeds are taken as roughly normal, which scores near an end of
        their range are not.
    """
    if not 0 < number(level, "level") < 1:
        raise TrainmapError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    ids, values = _stack(maps, score, allow)
    present = ~np.isnan(values)
    n = present.sum(axis=0)
    finite = np.isfinite(values) | ~present
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0).sum(axis=0) / n
        deviation = np.where(present & finite, values - mean, 0)
        spread = np.sqrt((deviation**2).sum(axis=0) / (n - 1))
        half = stdtrit(n - 1, (1 + level) / 2) * spread / np.sqrt(n)
        low, high = mean - half, mean + half
    first = np.where(present, values, np.inf).min(axis=0)
    last = np.where(present, values, -np.inf).max(axis=0)
    known = (n > 1) & finite.all(axis=0) & (last > first)
    return pl.DataFrame(
        {
            "id": pl.Series(ids_to_arrow(ids)),
            "mean": pl.Series(mean).fill_nan(None),
            "low": pl.Series(np.where(known, low, np.nan)).fill_nan(None),
            "high": pl.Series(np.where(known, high, np.nan)).fill_nan(None),
            "n": pl.Series(n.astype(np.int64)),
        }
    )


def agreement_matrix(maps: Sequence[DataMap], score: str, allow: Collection[Allow] = ("rule",)) -> Array:
    """(K, K) float64: Spearman's correlation of a score between every two of K maps; the diagonal is 1."""
    _, values = _stack(maps, score, allow)
    matrix = np.eye(len(maps))
    for i in range(len(maps)):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = spearman(values[i], values[j])
    return matrix


def agreement_by_members(
    maps: Sequence[DataMap],
    score: str = "confidence",
    *,
    sizes: Sequence[int] | None = None,
    fraction: float = 0.1,
    level: float = 0.95,
    pairs: int = PAIRS,
    sample: int | None = SAMPLE,
    seed: int = 0,
    allow: Collection[Allow] = ("rule",),
) -> pl.DataFrame:
    """How far two ensembles of k members each, none of them in both, agree: how many members a ranking needs.

    For each k, pairs of disjoint ensembles are made of the K maps, all of them or ``pairs`` at random; each ensemble's
    score is the mean over its members (of ``"disagreement"`` the standard deviation of their confidences). The figure
    is the mean over the pairs.

    The interval is over the trainings, not over pairs, which share members: the jackknife that leaves out one map at a
    time (all pairs that it is part of), with Student's t (K - 1), of Spearman on Fisher's z. Where the pairs are a
    sample it is a little too wide.

    Args:
        maps: K maps of one recording each, of one dataset and source.
        score: that all of them have; or ``"disagreement"``, from two members on.
        sizes: the numbers of members; None for all from 1 (of disagreement 2) to K / 2.
        fraction: of the hard end, which is compared as well, in (0, 1].
        level: of the intervals, in (0, 1).
        pairs: at most so many for each k.
        sample: compare on so many examples, drawn once; None: all.
        seed: of what is drawn.
        allow: what may differ, see ``agreement.compare``.

    Returns:
        One row for each k: ``members`` (k), ``spearman``, ``low``, ``high``, ``top`` (the share of the hardest
        ``fraction`` of one ensemble that is in the other's), ``top_low``, ``top_high``, ``pairs``, ``maps`` (K). Null
        ends where there is no interval: 2 k maps are all there are, so that leaving one out leaves no pair, or all
        pairs agree fully; a null figure where a ranking is constant.

    Raises:
        TrainmapError: fewer than two maps, sizes that no two disjoint ensembles have, an unknown score.

    Source: Quenouille 1956 and Tukey 1958 (jackknife), of a U-statistic: Arvesen 1969.
    """
    for name, value in (("fraction", fraction), ("level", level)):
        if not 0 < number(value, name) <= 1 or (name == "level" and value == 1):
            raise TrainmapError(f"{name} must lie between 0 and 1, got {value}")
    whole(pairs, "pairs", 1)
    least = 2 if score == "disagreement" else 1
    if score in OF_SEVERAL and score != "disagreement":
        raise TrainmapError(
            f"{score} of an ensemble needs its recordings; ask for disagreement, or a score of the maps"
        )
    for one in maps:
        if isinstance(one, DataMap) and one.members > 1:
            raise TrainmapError(f"the maps must be of one recording each, got one of {one.members}")
    _, values = _stack(maps, "confidence" if score == "disagreement" else score, allow)
    count, rng = len(maps), np.random.default_rng([whole(seed, "seed"), 0])
    if sample is not None and whole(sample, "sample", 2) < values.shape[1]:
        values = values[:, np.sort(rng.choice(values.shape[1], sample, replace=False))]
    asked = range(least, count // 2 + 1) if sizes is None else [whole(size, "sizes", least) for size in sizes]
    if not asked or max(asked) > count // 2:
        what = f"{score} with {max(asked, default=least)} members"
        raise TrainmapError(
            f"{what} needs two ensembles without a common map, of {2 * max(asked, default=least)} maps; got {count}"
        )
    merged = _spread_over if score == "disagreement" else _mean_over
    sign = -1 if maps[0].hard_end(score) == "low" else 1
    rows: list[tuple[Any, ...]] = []
    for size in asked:
        drawn = list(_disjoint(count, size, pairs, np.random.default_rng([seed, size])))
        found = np.array([_agree(sign * merged(values[a]), sign * merged(values[b]), fraction) for a, b in drawn])
        apart = np.array([[i not in a and i not in b for i in range(count)] for a, b in drawn])
        ends = [_jackknife(found[:, 0], apart, level, np.arctanh, np.tanh), _jackknife(found[:, 1], apart, level)]
        rows.append((size, *ends[0], *ends[1], len(drawn), count))
    names = ("members", "spearman", "low", "high", "top", "top_low", "top_high", "pairs", "maps")
    types = [pl.Int64, *[pl.Float64] * 6, pl.Int64, pl.Int64]
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row").fill_nan(None)


def _disjoint(count: int, size: int, most: int, rng: np.random.Generator) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of disjoint sets of ``size`` of the first numbers: all of them where they are few, else some at random."""
    if math.comb(count, size) * math.comb(count - size, size) // 2 <= most:
        for both in itertools.combinations(range(count), 2 * size):
            for rest in itertools.combinations(both[1:], size - 1):
                first = [both[0], *rest]
                yield first, [i for i in both if i not in first]
        return
    for _ in range(most):
        both = rng.permutation(count)[: 2 * size].tolist()
        yield sorted(both[:size]), sorted(both[size:])


def _agree(a: Array, b: Array, fraction: float) -> tuple[float, float]:
    return spearman(a, b), top_overlap(a, b, fraction).share


def _mean_over(values: Array) -> Array:
    """The mean over the members (k, N) that have a value; NaN where none has."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        total = np.where(there, values, 0.0).sum(axis=0)
    count = there.sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _spread_over(values: Array) -> Array:
    """The population standard deviation over the members (k, N); NaN where fewer than two have a value."""
    away = np.where(np.isnan(values), 0.0, values - _mean_over(values))
    count = (~np.isnan(values)).sum(axis=0)
    return np.sqrt(np.divide((away**2).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 1))


def _jackknife(
    found: Array,
    apart: Array,
    level: float,
    there: Callable[[Any], Any] = lambda value: value,
    back: Callable[[Any], Any] = lambda value: value,
) -> tuple[float, float, float]:
    """The mean over pairs, and its interval over maps; ``apart`` (pairs, maps) says which pairs are without a map."""
    mean, maps = float(found.mean()), apart.shape[1]
    if math.isnan(mean) or not apart.any(axis=0).all():
        return mean, math.nan, math.nan
    without = np.array([found[column].mean() for column in apart.T])
    if np.ptp(found) == 0 or (there is np.arctanh and np.abs([*without, mean]).max() >= 1):
        return mean, math.nan, math.nan
    away = there(without) - there(without).mean()
    half = float(stdtrit(maps - 1, (1 + level) / 2)) * math.sqrt((maps - 1) / maps * float(away @ away))
    return mean, float(back(there(mean) - half)), float(back(there(mean) + half))


def _stack(maps: Sequence[DataMap], score: str, allow: Collection[Allow]) -> tuple[Array, Array]:
    """All ids (N,), and the score in every map (K, N), NaN where a map has no value."""
    if isinstance(maps, str) or not isinstance(maps, Sequence):
        raise TrainmapError(f"maps must be a list of maps, got a {type(maps).__name__}; one map goes in a list")
    if not maps:
        raise TrainmapError("at least one map is needed, got none")
    check_alike(maps, allow)
    if not all(of_one_kind(maps[0].ids, one.ids) for one in maps):
        raise TrainmapError("the maps have no id in common: some have integer ids and some strings")
    ids = maps[0].ids if len(maps) == 1 else np.unique(np.concatenate([m.ids for m in maps]))
    values = np.full((len(maps), len(ids)), np.nan)
    for row, datamap in zip(values, maps, strict=True):
        row[find_rows(ids, datamap.ids)] = datamap.values(score)
    return ids, values
