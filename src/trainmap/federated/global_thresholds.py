"""Thresholds of all clients together, from the sum of their histograms of confidence and variability.

A part of a spec that ranks by one of the two axes becomes a cut: an example is kept where it is beyond any of them. A
part takes from what earlier parts left, as in ``trainmap.selection.select``.

The sum may be noised, and have counts below 0. They stay as they are: what is added up along an axis is then right in
the mean, and raising them to 0 would count examples where there are none. Only where no example can be
(``histograms.possible``) counts are set to 0. How many examples lie beyond a place on the axis cannot fall from bin to
bin, so these sums become the nearest ones that do not (isotonic regression, least squares), and at least 0.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from trainmap.errors import TrainmapError
from trainmap.federated.histograms import EDGES, SHAPE, possible
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD
from trainmap.scores.table import hard_end
from trainmap.selection.words import Part, Plan
from trainmap.typed import as_type

Array = NDArray[Any]
Axis = Literal["confidence", "variability"]
Side = Literal["high", "low"]
_REGIONS: dict[str, tuple[Axis, Side]] = {
    AMBIGUOUS: ("variability", "high"),
    EASY: ("confidence", "high"),
    HARD: ("confidence", "low"),
}
"""As ``trainmap.maps.regions.depth`` orders them by the rule of quantiles, which clients' maps have."""


@dataclass(frozen=True)
class Cut:
    """A threshold on one axis: kept is what lies there or beyond.

    Attributes:
        score: the axis.
        side: which values are beyond, the high or the low ones.
        at: where.
    """

    score: Axis
    side: Side
    at: float


@dataclass(frozen=True)
class Thresholds:
    """What is kept of any client's map: the examples beyond any of the cuts, one for each part of a spec."""

    cuts: tuple[Cut, ...]

    def beyond(self, datamap: DataMap) -> Array:
        """The ids of a map that are kept, ascending; an example that was never seen (NaN) is not."""
        kept = np.zeros(len(datamap), bool)
        for cut in self.cuts:
            values = datamap.values(cut.score)
            kept |= values >= cut.at if cut.side == "high" else values <= cut.at
        return np.sort(datamap.ids[kept])

    def to_json(self) -> str:
        """As text, for a message."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Thresholds:
        """From such a text.

        Raises:
            StoreError: it is none.
        """
        return as_type(Thresholds, json.loads(text), "thresholds", "send them as to_json() has them")


def axis_of(part: Part) -> tuple[Axis, Side]:
    """The axis that a part of a spec ranks by, and the end of it that it takes first.

    Raises:
        TrainmapError: it goes by something else.
    """
    if part.what in _REGIONS:
        return _REGIONS[part.what]
    for axis in ("confidence", "variability"):
        if part.what == axis and part.end in ("top", "bottom"):
            return axis, "high" if part.end == "top" else "low"
        if part.what == axis and part.end in ("hardest", "easiest"):
            hard = hard_end(axis) == "high"
            return axis, "high" if hard == (part.end == "hardest") else "low"
    raise TrainmapError(
        f"'{part}' has no threshold that clients could share: these are read from histograms of confidence and "
        "variability; take a region, an end of one of the two ('bottom 33% confidence'), or local bounds"
    )


def thresholds(counts: Array, plan: Plan) -> Thresholds | None:
    """Read the thresholds of a plan from the clients' histograms, added up.

    Args:
        counts: ``histograms.SHAPE``, of any kind of number; with noise or without.
        plan: each part with a percentage; of all the examples that are counted.

    Returns:
        a cut for each part; within the bin that it falls into, the examples are taken to lie evenly. None where the
        counts add up to nothing, as noise alone may.

    Raises:
        TrainmapError: a part that has no threshold (``axis_of``), counts of another shape or not finite.
    """
    if counts.shape != SHAPE or not np.isfinite(counts).all():
        raise TrainmapError(f"counts must be {SHAPE} numbers, got {counts.shape}, or values that are not finite")
    left = np.where(possible(), counts, 0).astype(np.float64)
    total = left.sum()
    if total <= 0:
        return None
    cuts = []
    for part in plan.parts:
        axis, side = axis_of(part)
        if part.percent is None:
            raise TrainmapError(f"'{part}' must say a percentage")
        cut, taken = _cut(left, axis, side, total * float(part.percent) / 100)
        cuts.append(cut)
        left *= 1 - (taken[:, None] if axis == "confidence" else taken[None, :])
    return Thresholds(tuple(cuts))


def _cut(left: Array, axis: Axis, side: Side, wanted: float) -> tuple[Cut, Array]:
    """The place on an axis beyond which ``wanted`` examples lie, and the share of every bin that is beyond it."""
    outward = slice(None, None, -1 if side == "high" else 1)  # deepest bin first
    edges, counts = EDGES[axis][outward], left.sum(1 if axis == "confidence" else 0)[outward]
    sums = np.maximum(isotonic_regression(np.cumsum(counts)).x, 0)
    at = min(int(np.searchsorted(sums, wanted)), len(sums) - 1)  # the bin that it falls into; too many: all
    before = sums[at - 1] if at else 0.0
    inside = min(1.0, (wanted - before) / (sums[at] - before)) if sums[at] > before else 1.0
    taken = np.where(np.arange(len(sums)) < at, 1.0, 0.0)
    taken[at] = inside
    place = float(edges[at] + inside * (edges[at + 1] - edges[at]))
    return Cut(axis, side, place), taken[outward]
