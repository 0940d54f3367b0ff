"""Easy-to-learn, ambiguous, hard-to-learn: places in the plane of variability (v, 0 to 1/2) and confidence (c, 0 to 1).

The literature has two rules under the same names:

    quantile   ambiguous = highest variability, hard = lowest confidence, easy = highest confidence, a third of the
               examples each (Swayamdipta et al. 2020, arXiv:2009.10795, section 3)
    corner     nearest to a corner of the plane: ambiguous (1, 0.5), hard (0, 0), easy (0, 1) (the study that trainmap
               grew from)

The thirds overlap, and on data that a network fits a third by rank says little: most of the least confident examples
are then right in every epoch, and most of the most variable ones hardly vary. So in the column ``region`` the quantile
rule looks at the values as well, at the corners that they can reach, ambiguous (1/2, 1/2), hard (0, 0), easy (0, 1):

    ambiguous  v among the highest, and nearer to its corner than to that of certainty: v > abs(c - 1/2)
    hard       else, c among the lowest, and nearer to its corner than to the easy one: c < 1/2
    easy       else, c among the highest, and nearer to its corner than to the hard one: c > 1/2

An example in two thirds is thus where its values lie, whatever its ranks, and one that its values contradict (in the
lowest third with c = 0.9) is in no region. Equal values are in a third together: a region never rests on ties.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError, number, unknown

Array = NDArray[Any]
Rule = Literal["quantile", "corner"]

EASY, AMBIGUOUS, HARD = "easy-to-learn", "ambiguous", "hard-to-learn"
REGIONS = (EASY, AMBIGUOUS, HARD)
OR_NONE = (*REGIONS, None)
CORNERS = {AMBIGUOUS: (1.0, 0.5), HARD: (0.0, 0.0), EASY: (0.0, 1.0)}
"""Of the corner rule, (variability, confidence)."""


def check_rule(rule: str) -> None:
    if rule not in get_args(Rule):
        raise unknown("rule", rule, get_args(Rule))


def check_fraction(fraction: float) -> None:
    if not 0 < number(fraction, "fraction") <= 1:
        raise TrainmapError(f"fraction must be above 0 and at most 1, got {fraction}")


def depth(region: str, variability: Array, confidence: Array, rule: Rule) -> Array:
    """How far inside a region each example lies, (n,): the higher, the deeper. This is the order of selection."""
    check_rule(rule)
    if rule == "corner":
        x, y = CORNERS[region]
        return -np.hypot(variability - x, confidence - y)
    return {AMBIGUOUS: variability, HARD: -confidence, EASY: confidence}[region]


def unclear(variability: Array, confidence: Array, epochs: int, rule: Rule = "quantile") -> str:
    """Why nothing can be said about regions, in a few words; "" where it can.

    Over one epoch nothing varies. Thirds (the quantile rule) need examples that differ in both axes.
    """
    check_rule(rule)
    seen = _seen(variability, confidence)
    if not seen.any():
        return "no example was seen"
    if epochs < 2:
        return "over one epoch nothing varies"
    if rule == "corner":
        return ""
    if seen.sum() == 1:
        return "there is one example"
    for name, values in (("variability", variability), ("confidence", confidence)):
        low = values.min(where=seen, initial=np.inf)
        if low == values.max(where=seen, initial=-np.inf):
            return f"all examples have the same {name}, {low:.3g}"
    return ""


def assign(
    variability: Array,
    confidence: Array,
    epochs: int,
    rule: Rule = "quantile",
    fraction: float = 1 / 3,
    bounded: bool = True,
) -> Array:
    """The region of every example, (n,) of str or None; each example stands in at most one.

    Args:
        variability, confidence: (n,); NaN for an example that was never seen, which has no region.
        epochs: that they come from.
        rule: "quantile" (in a third, and near its corner, see above) or "corner" (nearest corner; at equal distance
            ambiguous goes before hard before easy).
        fraction: f of the quantile rule: a third holds the round(f n) deepest of the n examples that were seen, and
            all that are equal to the last of them.
        bounded: confidence lies in 0 to 1. Where it does not there are no corners: regions are thirds by rank, an
            example of two thirds being ambiguous before hard before easy.

    Returns:
        the same for equal values, whatever the order; None for all where ``unclear`` says why.
    """
    return np.array(OR_NONE, dtype=object)[region_numbers(variability, confidence, epochs, rule, fraction, bounded)]


def region_numbers(
    variability: Array, confidence: Array, epochs: int, rule: Rule, fraction: float, bounded: bool = True
) -> Array:
    """``assign`` as places in ``OR_NONE``, (n,) uint32."""
    check_rule(rule)
    if rule == "corner" and not bounded:
        raise TrainmapError("rule 'corner' needs a confidence from 0 to 1, which has corners; use rule='quantile'")
    check_fraction(fraction)
    numbers = np.full(len(variability), OR_NONE.index(None), dtype=np.uint32)
    if unclear(variability, confidence, epochs, rule):
        return numbers
    seen = _seen(variability, confidence)
    if rule == "corner":
        order = (AMBIGUOUS, HARD, EASY)
        nearest = np.stack([depth(name, variability, confidence, rule) for name in order])
        numbers[seen] = np.array([OR_NONE.index(name) for name in order])[nearest[:, seen].argmax(axis=0)]
        return numbers
    near = {EASY: confidence > 0.5, HARD: confidence < 0.5, AMBIGUOUS: variability > np.abs(confidence - 0.5)}
    if not bounded:
        near = dict.fromkeys(near, seen)
    thirds = _thirds(variability, confidence, seen, fraction)
    for name, there in near.items():  # the last that fits stays
        np.putmask(numbers, there & thirds[name], OR_NONE.index(name))
    return numbers


def deepest_first(values: Array, ids: Array) -> Array:
    """Positions from the highest value to the lowest, equals by the hash of their ids; NaN is left out."""
    order = rising(-values, ids)
    return order[~np.isnan(values[order])]


def _seen(variability: Array, confidence: Array) -> Array:
    return ~(np.isnan(variability) | np.isnan(confidence))


def _thirds(variability: Array, confidence: Array, seen: Array, fraction: float) -> dict[str, Array]:
    """Each region's third, (n,) bool: the ``fraction`` of all seen examples (rounded half up) that lie deepest, and
    their equals. Only the cuts are found, by partition: no order is asked for."""
    number = np.count_nonzero(seen)
    count = int(fraction * number + 0.5)
    if not count:
        return {name: np.zeros(len(seen), bool) for name in REGIONS}
    low, high = count - 1, int(number) - count
    confidences = np.partition(confidence[seen], np.array([low, high]))
    variabilities = np.partition(variability[seen], high)
    return {
        EASY: seen & (confidence >= confidences[high]),
        AMBIGUOUS: seen & (variability >= variabilities[high]),
        HARD: seen & (confidence <= confidences[low]),
    }


def overlap(variability: Array, confidence: Array, fraction: float = 1 / 3) -> dict[tuple[str, str], float]:
    """The share of one region's third that is in another's as well, before the values decide, for each pair.

    Typical, and worth a look before two selections are compared: with few epochs and a good model, seven tenths of the
    lowest confidences are among the highest variabilities.
    """
    check_fraction(fraction)
    thirds = _thirds(variability, confidence, _seen(variability, confidence), fraction)
    pairs = [(a, b) for i, a in enumerate(REGIONS) for b in REGIONS[i + 1 :]]
    return {(a, b): float((thirds[a] & thirds[b]).sum() / max(1, thirds[a].sum())) for a, b in pairs}
