"""Probabilities where logits belong: told apart by the rule below, and turned into logits where that is asked for.

softmax(p) of a probability p is another distribution, nearly uniform, and nothing of it looks wrong. So rows that are
all from 0 up and all sum to 1 (percentages: to 100) within ``SUM_TOLERANCE`` are refused, when there are enough of
them. That real logits do so by chance is the product over the rows of how near to 1 they come: with a sum within d
of 1, a row has odds of about d (two classes; each further class halves them, for it must not be negative), so that n
rows are refused where d^n is at most 1e-12: 2 rows of single precision, 6 rows of half precision or of a few digits
(0.25, 1, as hand-made examples have). Rows are counted over an unbroken run of batches, so that batches of one example
add up. Votes that are not divided by their number cannot be told from logits.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.precision import widened
from trainmap.errors import RecordingError

Array = NDArray[Any]

As = Literal["logits", "probabilities"]

SUM_TOLERANCE = 1e-2  # what half precision, and clipping at 1e-4, do to a sum
DIGITS = 12  # of evidence: one wrong refusal in 1e12 batches
FINE, COARSE = 1e-7, 1e-2  # what a sum that is right tells at most, in single precision and in half
LOW_BITS = 0x1FFF  # of a float32, empty in what half precision and bfloat16 can hold

CURE = (
    "hand over the logits before the softmax, or log p (softmax(log p) = p), or pass as_='probabilities'; "
    "as_='logits' if they are logits all the same"
)


class Doubt:
    """Whether what comes in as logits are probabilities, over an unbroken run of batches."""

    def __init__(self) -> None:
        self.evidence = 0.0

    def look(self, logits: Array, cure: str = CURE) -> None:
        """See (B, C) numbers.

        Raises:
            RecordingError: they, with those before them, are probabilities.
        """
        total = _total(logits)
        if total is None:
            self.evidence = 0.0
            return
        off = _off(logits, total)
        self.evidence = self.evidence - len(logits) * math.log10(off) if off <= SUM_TOLERANCE else 0.0
        if self.evidence >= DIGITS:
            self.evidence = 0.0
            kind = "probabilities" if total == 1 else "percentages"
            raise RecordingError(f"these are {kind}, no logits: every row is from 0 up and sums to {total}; {cure}")


def refuse_probabilities(logits: Array, cure: str = CURE) -> None:
    """Raises RecordingError where (n, C) numbers that should be logits are probabilities."""
    Doubt().look(logits, cure)


def _total(logits: Array) -> Literal[1, 100] | None:
    """What the first row sums to, where it may be one of probabilities or of percentages.

    A look at a few numbers as Python has them: it costs a microsecond, for most batches of logits less.
    """
    if not logits.size or logits.item(-1) < 0 or min(logits[0, :8].tolist()) < 0:
        return None
    first = sum(logits[0].tolist())
    if abs(first - 1) <= SUM_TOLERANCE:
        return 1
    return 100 if abs(first / 100 - 1) <= SUM_TOLERANCE else None


def _off(logits: Array, total: int) -> float:
    """How far off the sums of the rows are at most, no less than their digits tell; infinity where one is negative."""
    if not logits.min() >= 0:
        return math.inf
    off = float(np.abs(logits.sum(axis=1, dtype=np.float64) / total - 1).max())
    return max(off, COARSE if is_coarse(logits) else FINE)


def is_coarse(values: Array) -> bool:
    """Whether half precision or bfloat16 can hold them all: what came in such a type, or has a few digits."""
    single = np.ascontiguousarray(values, np.float32)
    return bool((single == values).all() and not (single.view(np.uint32) & LOW_BITS).any())


def from_probabilities(p: Array) -> Array:
    """log p, (n, C) float64: logits whose softmax is p; 0 becomes -inf, a masked class.

    Rows must be from 0 up and sum to 1 within 1e-3 (1e-2 in half precision); the softmax scales them to sum to 1.

    Raises:
        RecordingError: rows that are no probabilities.
    """
    p = widened(p).astype(np.float64)
    tolerance = SUM_TOLERANCE if is_coarse(p) else SUM_TOLERANCE / 10
    bad = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= tolerance))
    if bad.any():
        row = int(bad.argmax())
        raise RecordingError(
            f"probabilities must be 0 to 1 and sum to 1 within {tolerance:g} in each row; {bad.sum()} of {len(p)} rows "
            f"do not (first: row {row}, {p[row].min():.6g} to {p[row].max():.6g}, sum {p[row].sum():.6g}); are these "
            "logits, or votes to be divided by their number?"
        )
    with np.errstate(divide="ignore"):
        return np.log(p)


def as_logits(values: Array, as_: As | None, doubt: Doubt | None = None) -> Array:
    """What came in as logits or as probabilities, as logits; with None they are logits that must not look like
    probabilities."""
    if as_ == "probabilities":
        return from_probabilities(values)
    if as_ is None:
        (doubt or Doubt()).look(values)
    return values
