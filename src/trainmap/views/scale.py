"""A score as an axis: its values, the range that it is drawn over, and what is written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown
from trainmap.views.style import lettering

Array = NDArray[Any]

PAD = 0.012  # of an axis, on both sides: a point on the edge is a whole point


@dataclass(frozen=True)
class Scale:
    """One score: its finite values, the range of its axis, and what is written beside it."""

    name: str
    label: str
    values: Array
    low: float
    high: float

    def fraction(self, values: Array | float) -> Array:
        """Where values lie between the two ends of the axis, 0..1."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)

    def limits(self) -> tuple[float, float]:
        """The ends of the axis with its pads."""
        pad = PAD * (self.high - self.low)
        return self.low - pad, self.high + pad

    def bins(self, count: int) -> Array:
        """(n,) the bin, 0..count - 1, of every value."""
        return np.clip((self.fraction(self.values) * count).astype(np.int64), 0, count - 1)


def column_of(table: pl.DataFrame, name: str) -> Array:
    """A column of numbers, (N,) float64; null is NaN.

    Raises:
        TrainmapError: no such column, or not of numbers.
    """
    numbers = [column for column, dtype in table.schema.items() if dtype.is_numeric()]
    if name not in numbers:
        raise unknown("column of numbers", name, numbers)
    return table[name].cast(pl.Float64).to_numpy()


def scale_of(name: str, values: Array, epochs: int, label: str | None = None) -> Scale:
    """The axis of a score: the whole possible range where it is known, the range of its finite values elsewhere.

    Args:
        label: what is written beside it, where that is not the usual; its range is then that of its values, if they
            leave the usual one.

    Raises:
        TrainmapError: a correctness below 0 or above ``epochs``.
    """
    if name == "correctness":
        if values.min() < 0 or values.max() > epochs:
            raise TrainmapError(f"correctness must be 0 to {epochs} (epochs), got {values.min():g} to {values.max():g}")
        return Scale(name, "correctness", values, 0.0, float(epochs))
    low, high, usual = RANGES.get(name, (math.inf, -math.inf, lettering(name.replace("_", " "))))
    label = usual if label is None else label
    if values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
        pad = 0.02 * (high - low) or max(1.0, abs(high)) * 0.5  # all the same: the value in the middle of its axis
        low, high = low - pad, high + pad
    return Scale(name, label, values, low, high)


RANGES = {
    "variability": (0.0, 0.5, "variability  (standard deviation of p(gold) over the epochs)"),
    "confidence": (0.0, 1.0, "confidence  (mean of p(gold) over the epochs)"),
}
