"""How sure a score is over several recordings: intervals of every example, agreement between every two maps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from trainmap.dynamics.index import find_rows, ids_to_arrow, of_one_kind
from trainmap.errors import TrainmapError, number
from trainmap.maps.agreement import Allow, check_alike, spearman
from trainmap.maps.datamap import DataMap

Array = NDArray[Any]


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
