"""What changes when one network is put in another's place: which examples flip, where, and is that more than chance.

Two trainings of one network with two seeds disagree too. That churn is the baseline: what compression forgets is what
it flips beyond it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError
from trainmap.evaluation.predictions import Predictions, check_same_examples

__all__ = ["KINDS", "Flips", "Predictions", "entropy_bins", "flips", "paired_shares", "wilson"]

Array = NDArray[Any]
Verdict = Literal["more than another seed", "no difference shown", "less than another seed", ""]

KINDS = ("same", "right to wrong", "wrong to right", "wrong to other wrong")
NO_GROUP = "none"


@dataclass(frozen=True, eq=False)
class Flips:
    """Made by ``flips``.

    Attributes:
        examples: one row for each example: id, label, before, after, kind (of ``KINDS``), pie (whether before and
            after differ), and a column for each grouping.
        table: one row for each group: grouping, group, examples, the count of each kind, ``accuracy_before``,
            ``accuracy_after``; ``forgotten`` (right to wrong / examples) and ``churn`` (changed / examples) with the
            ends of their Wilson intervals; with a baseline ``baseline_churn``, ``excess`` (churn - baseline_churn)
            with its interval, and ``verdict``.
        trainings: K before and after.
        level: of the intervals.
    """

    examples: pl.DataFrame
    table: pl.DataFrame
    trainings: tuple[int, int]
    level: float


def flips(
    before: Predictions,
    after: Predictions,
    *,
    baseline: Predictions | None = None,
    groups: Mapping[str, Mapping[Any, str | None]] | None = None,
    level: float = 0.95,
) -> Flips:
    """Which examples change their predicted class, by kind and by group.

    With several trainings on a side its modal class counts; an example whose modal classes differ is a "PIE"
    (pruning-identified exemplar; with one training on each side, a disagreement that one seed can explain).

    Args:
        before, after: of the original and of the compressed network, on the same examples.
        baseline: of the original trained with other seeds, as many of them as there are in ``after``: the churn that
            no compression explains.
        groups: grouping → id → group, such as ``{"region": {...}}``; an id without a group counts as "none". The
            whole and the classes are always there.
        level: of the intervals, in (0, 1).

    Raises:
        TrainmapError: the sides have different ids or labels, or ``level`` is out of range.

    Source: Hooker et al. 2019, arXiv:1911.05248 (PIE; there 30 trainings a side); churn: Milani Fard et al. 2016,
    "Launch and Iterate: Reducing Prediction Churn". Intervals: see ``wilson`` and ``paired_shares``; each row of the
    table is a test by itself, so that of twenty groups one stands out by chance.
    """
    if not 0 < level < 1:
        raise TrainmapError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    check_same_examples(before, after, "before", "after")
    first, second, labels = before.modal, after.modal, before.labels
    changed = first != second
    kind = np.select(
        [~changed, first == labels, second == labels], [np.int8(0), np.int8(1), np.int8(2)], default=np.int8(3)
    )
    other = None
    if baseline is not None:
        check_same_examples(before, baseline, "before", "the baseline")
        other = baseline.modal != first
    named = {name: _column(before.ids, members) for name, members in (groups or {}).items()}
    columns = {"all": np.full(len(labels), "all"), "class": labels.astype(str)} | named
    rows = []
    for grouping, column in columns.items():
        for group, inside in _members(column).items():
            rows.append(
                {"grouping": grouping, "group": group}
                | _row(kind[inside], (first == labels)[inside], (second == labels)[inside], level)
                | _excess(changed[inside], None if other is None else other[inside], level)
            )
    examples = {"id": before.ids, "label": labels, "before": first, "after": second}
    examples |= {"kind": np.array(KINDS)[kind], "pie": changed} | named
    trainings = (len(before.predicted), len(after.predicted))
    return Flips(pl.DataFrame(examples), pl.DataFrame(rows), trainings, level)


def wilson(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share ``count / n``; (NaN, NaN) for n = 0.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    share, spread = count / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_shares(only_first: int, only_second: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """The difference of two shares over the same n examples, and its interval.

    Args:
        only_first, only_second: examples that count for one share and not for the other.
        n: all examples.
        level: of the interval.

    Returns:
        (only_first - only_second) / n, and the ends of the Wald interval of the counts + 0.5 over n + 2.

    Source: Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.
    """
    if n == 0:
        return math.nan, math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    b, c, m = only_first + 0.5, only_second + 0.5, n + 2
    middle, half = (b - c) / m, z * math.sqrt(b + c - (b - c) ** 2 / m) / m
    return (only_first - only_second) / n, max(-1.0, middle - half), min(1.0, middle + half)


def entropy_bins(ids: Any, counts: Any, edges: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)) -> dict[Any, str]:
    """Groups by how much people disagree about an example's label: the entropy (bits) of the labels that they gave.

    Args:
        ids: (N,).
        counts: (N, C): how many people chose each class, such as CIFAR-10H's.
        edges: ascending from 0. The first group is entropy 0 (all agree), then (0, 0.25], (0.25, 0.5], ..., above.

    Raises:
        TrainmapError: counts that are negative or of nobody, edges that do not ascend from 0.
    """
    counts, ids = np.asarray(counts, dtype=np.float64), to_ids(ids)
    if counts.ndim != 2 or len(counts) != len(ids) or not (counts >= 0).all() or not (counts.sum(axis=1) > 0).all():
        raise TrainmapError(f"counts must be (N, C), not negative, with a person in each row, got {counts.shape}")
    if edges[:1] != (0.0,) or list(edges) != sorted(set(edges)):
        raise TrainmapError(f"edges must ascend from 0, got {edges}")
    shares = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    names = ["0 bits", *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)), f"above {edges[-1]:g}"]
    place = np.searchsorted(np.asarray(edges), entropy, side="left")
    place = np.where(entropy <= 1e-12, 0, np.maximum(place, 1))
    return {example: names[at] for example, at in zip(ids.tolist(), place.tolist(), strict=True)}


def _row(kind: Array, right_before: Array, right_after: Array, level: float) -> dict[str, Any]:
    n = len(kind)
    counts = np.bincount(kind, minlength=len(KINDS)).tolist()
    churned = n - counts[0]
    forgotten, churn = wilson(counts[1], n, level), wilson(churned, n, level)
    return {
        "examples": n,
        **dict(zip(KINDS, counts, strict=True)),
        "accuracy_before": float(right_before.mean()),
        "accuracy_after": float(right_after.mean()),
        "forgotten": counts[1] / n,
        "forgotten_low": forgotten[0],
        "forgotten_high": forgotten[1],
        "churn": churned / n,
        "churn_low": churn[0],
        "churn_high": churn[1],
    }


def _excess(changed: Array, other: Array | None, level: float) -> dict[str, Any]:
    if other is None:
        return {"baseline_churn": None, "excess": None, "excess_low": None, "excess_high": None, "verdict": ""}
    excess, low, high = paired_shares(int((changed & ~other).sum()), int((other & ~changed).sum()), len(changed), level)
    verdict: Verdict = "no difference shown"
    if low > 0:
        verdict = "more than another seed"
    elif high < 0:
        verdict = "less than another seed"
    return {
        "baseline_churn": float(other.mean()),
        "excess": excess,
        "excess_low": low,
        "excess_high": high,
        "verdict": verdict,
    }


def _column(ids: Array, members: Mapping[Any, str | None]) -> Array:
    return np.array([members.get(example) or NO_GROUP for example in ids.tolist()])


def _members(column: Array) -> dict[str, Array]:
    """The rows of each group, found in one sort; groups by name, numbers by value; "none" last."""
    groups, place = np.unique(column, return_inverse=True)
    rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    found = dict(zip(groups.tolist(), rows, strict=True))
    names = sorted(found, key=lambda name: (name == NO_GROUP, not name.isdigit(), len(name) * name.isdigit(), name))
    return {name: found[name] for name in names}
