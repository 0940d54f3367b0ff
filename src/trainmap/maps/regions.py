"""Easy-to-learn, ambiguous, hard-to-learn.

The literature has two rules under the same names:

    quantile   ambiguous = highest variability, hard = lowest confidence, easy = highest confidence
               (Swayamdipta et al. 2020, arXiv:2009.10795, section 3)
    corner     nearest to a corner of the (variability, confidence) plane: ambiguous (1, 0.5), hard (0, 0),
               easy (0, 1) (the study that trainmap grew from)
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError, unknown

Array = NDArray[Any]
Rule = Literal["quantile", "corner"]

EASY, AMBIGUOUS, HARD = "easy-to-learn", "ambiguous", "hard-to-learn"
REGIONS = (EASY, AMBIGUOUS, HARD)
CORNERS = {AMBIGUOUS: (1.0, 0.5), HARD: (0.0, 0.0), EASY: (0.0, 1.0)}


def check_rule(rule: str) -> None:
    if rule not in get_args(Rule):
        raise unknown("rule", str(rule), get_args(Rule))


def check_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise TrainmapError(f"fraction must be above 0 and at most 1, got {fraction}")


def depth(region: str, variability: Array, confidence: Array, rule: Rule) -> Array:
    """How far inside a region each example lies, (n,): the higher, the deeper. This is the order of selection."""
    check_rule(rule)
    if rule == "corner":
        x, y = CORNERS[region]
        return -np.hypot(variability - x, confidence - y)
    return {AMBIGUOUS: variability, HARD: -confidence, EASY: confidence}[region]


def assign(
    variability: Array, confidence: Array, ids: Array, rule: Rule = "quantile", fraction: float = 1 / 3
) -> Array:
    """The region of every example, (n,) of str or None; each example stands in at most one.

    With the quantile rule the three sets overlap (typically most of the hard third is ambiguous as well), so the
    column gives precedence to ambiguous, then hard, then easy; an example in no set has no region. ``fraction`` is
    the share of examples of each set before precedence; ties go to the smaller id. With the corner rule every
    example belongs to its nearest corner (ties in the same precedence) and ``fraction`` has no meaning. An example
    that was never seen (NaN) has no region.
    """
    check_rule(rule)
    check_fraction(fraction)
    seen = ~(np.isnan(variability) | np.isnan(confidence))
    region = np.full(len(ids), None, dtype=object)
    if rule == "corner":
        nearest = np.stack([depth(name, variability, confidence, rule) for name in (AMBIGUOUS, HARD, EASY)])
        names = np.array([AMBIGUOUS, HARD, EASY], dtype=object)
        region[seen] = names[nearest[:, seen].argmax(axis=0)]
        return region
    for name in (EASY, HARD, AMBIGUOUS):
        region[_deepest(name, variability, confidence, ids, fraction)] = name
    return region


def deepest_first(values: Array, ids: Array) -> Array:
    """Positions from the highest value to the lowest, equals by the hash of their ids; NaN is left out."""
    order = rising(-values, ids)
    return order[~np.isnan(values[order])]


def _deepest(region: str, variability: Array, confidence: Array, ids: Array, fraction: float) -> Array:
    """Positions of the ``fraction`` of all seen examples (rounded half up) that lie deepest in a quantile region."""
    seen = ~(np.isnan(variability) | np.isnan(confidence))
    values = np.where(seen, depth(region, variability, confidence, "quantile"), np.nan)
    return deepest_first(values, ids)[: int(fraction * seen.sum() + 0.5)]


def overlap(variability: Array, confidence: Array, ids: Array, fraction: float = 1 / 3) -> dict[tuple[str, str], float]:
    """The share of one quantile region's examples that also belong to another, before precedence, for each pair.

    Typical, and worth a look before two regions are compared: with few epochs and a good model, seven tenths of the
    hard third are ambiguous as well.
    """
    check_fraction(fraction)
    members: dict[str, Array] = {}
    for name in REGIONS:
        members[name] = np.zeros(len(ids), bool)
        members[name][_deepest(name, variability, confidence, ids, fraction)] = True
    pairs = [(a, b) for i, a in enumerate(REGIONS) for b in REGIONS[i + 1 :]]
    return {(a, b): float((members[a] & members[b]).sum() / max(1, members[a].sum())) for a, b in pairs}
