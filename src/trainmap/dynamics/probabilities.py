"""Probabilities where logits belong: told apart by the rule below, and turned into logits where that is asked for.

softmax(p) of a probability p is another distribution, nearly uniform, and nothing of it looks wrong. So rows that are
from 0 up and sum to 1 (percentages: to 100) within ``SUM_TOLERANCE`` are refused, when there are enough of them. That
real logits do so by chance is the product over the rows of how near to 1 they come: with a sum within d of 1, a row has
odds of about d (two classes; each further class halves them, for it must not be negative), so that n rows are refused
where d^n is at most 1e-12: 2 rows of single precision, 6 rows of half precision or of a few digits (0.25, 1, as
hand-made examples have). One row in ten may be odd (padding, a sum that rounding spoiled): k of n rows are there by
chance with odds of at most (n over k) d^k. Rows are counted over an unbroken run of batches, so that batches of one
example add up. Votes that are not divided by their number (and grey levels, 0 to 255) cannot be told from logits; nor
can rows of which more than one in ten is off by more than ``SUM_TOLERANCE``, as with two digits and 20 classes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.logit_precision import widened
from trainmap.errors import RecordingError

Array = NDArray[Any]

As = Literal["logits", "probabilities", "log_probs"]

SUM_TOLERANCE = 1e-2  # what half precision, and clipping at 1e-4, do to a sum
ALIKE = 1.001 * SUM_TOLERANCE  # 0.99 is off by a little more than 0.01
AFTERWARDS = 5.005e-2  # of those behind a refusal: what two digits do to a sum of ten
BELOW = 1e-6  # how far below 0 rounding takes a probability
SHARE = 0.9  # of a batch's rows, the least that are probabilities
DIGITS = 12  # of evidence: one wrong refusal in 1e12 batches
FINE, COARSE = 1e-7, 1e-2  # what a sum that is right tells at most, in single precision and in half
LOW_BITS = 0x1FFF  # of a float32, empty in what half precision and bfloat16 can hold

CURE = (
    "hand over the logits before the softmax, or log p (softmax(log p) = p), or pass as_='probabilities'; "
    "as_='logits' if they are logits all the same"
)


class LookAlikes(RecordingError):
    """What came in as logits are probabilities, and so were ``taken`` rows before them, which were not refused."""

    def __init__(self, message: object = "", taken: int = 0) -> None:
        super().__init__(message)
        self.taken = taken


class Doubt:
    """Whether what comes in as logits are probabilities, over an unbroken run of batches.

    Once they are, whatever looks like probabilities is refused, until a batch comes of which more than half does not.
    """

    def __init__(self) -> None:
        self.evidence = 0.0
        self.taken = 0  # rows of this run that passed

    def look(self, logits: Array, cure: str = CURE) -> None:
        """See (B, C) numbers.

        Raises:
            LookAlikes: they, with those before them, are probabilities.
        """
        found = self.evidence >= DIGITS
        tolerance = AFTERWARDS if found else ALIKE
        total = _total(logits, tolerance)
        if total is None:
            self._begin()
            return
        off = _off(logits, total)
        alike = off <= tolerance
        count, size = int(alike.sum()), len(off)
        if count < (size / 2 if found else SHARE * size):
            self._begin()
            return
        if not found:
            self.evidence += _evidence(logits[alike], float(off[alike].max()), size)
        if self.evidence < DIGITS:
            self.taken += size
            return
        taken, self.taken = self.taken, 0
        kind = "probabilities" if total == 1 else "percentages"
        rows = "every row is" if count == size else f"{count} of {size} rows are"
        before = f"; so are the {taken} rows before them" if taken else ""
        raise LookAlikes(f"these are {kind}, no logits: {rows} from 0 up and sums to {total}{before}; {cure}", taken)

    def _begin(self) -> None:
        self.evidence, self.taken = 0.0, 0


def refuse_probabilities(logits: Array, cure: str = CURE) -> None:
    """Raises RecordingError where (n, C) numbers that should be logits are probabilities."""
    Doubt().look(logits, cure)


def _total(logits: Array, tolerance: float) -> Literal[1, 100] | None:
    """What the first row sums to, or the last, or the middle one, where it may be one of probabilities or percentages.

    A look at a few numbers as Python has them: it costs a microsecond or two.
    """
    if not logits.size:
        return None
    size = len(logits)
    for place in {0, size - 1, size // 2}:
        row = logits[place]
        if min(row[:8].tolist()) < -100 * BELOW:
            continue
        total = sum(row.tolist())
        if abs(total - 1) <= tolerance:
            return 1
        if abs(total / 100 - 1) <= tolerance:
            return 100
    return None


def _off(logits: Array, total: int) -> Array:
    """(B,) how far off the sum of each row is; infinity where a number is negative or none."""
    with np.errstate(invalid="ignore"):
        off = np.abs(logits.sum(axis=1, dtype=np.float64) / total - 1)
        return np.where(logits.min(axis=1) >= -BELOW * total, off, np.inf)


def _evidence(alike: Array, off: float, size: int) -> float:
    """Digits of evidence that rows give, of ``size`` in the batch, of which the sums are ``off`` at most, no less than
    their digits tell."""
    off = max(off, COARSE if is_coarse(alike) else FINE)
    return -len(alike) * math.log10(off) - math.log10(math.comb(size, len(alike)))


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
