"""Which numbers can be logits, and in what precision they are worked on and kept.

softmax(z) = softmax(z - max z), and single precision has no room for both 1e8 and z beside it: whatever is wider than
float32 (float64, longdouble, integers) is taken less the largest logit of its row, in its own type, before it is cast.

A **masked** class has the logit -inf, or the least number of its type (bfloat16, float16, float32, float64), and
probability 0. It counts in no signal. The margin of an example whose other classes are all masked has no opponent
and would be infinite: it is ``MASKED_GAP``, which a logit of -1e9 in their place gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import RecordingError, some

Array = NDArray[Any]

LIMIT = 1.7e38  # the difference of two logits within it is a float32
LEAST = (-np.inf, -3.3895313892515355e38, *(float(np.finfo(kind).min) for kind in (np.float32, np.float64)))
UNMASKED = -3.38e38  # above all of ``LEAST``, of which the second is bfloat16's
MASKED_GAP = 1e9
HALF_LIMIT = float(np.finfo(np.float16).max)
HALF_FAR = 64.0  # up to here half precision rounds a logit by at most 1/64
SURELY_SMALL = 4e4  # no two numbers whose squares sum to less than its square differ by more than HALF_LIMIT
WHOLE = 2.0**53  # integers up to it are float64


def widened(logits: Array) -> Array:
    """(..., C) logits of any real type as floats of single precision or wider, none of them rounded.

    Floats that are wide enough are returned as they are. The least number of half precision becomes -inf, which it
    stands for. Integers beyond 2^53 are taken less the largest of their row, exactly.
    """
    if logits.dtype.kind in "iu":
        if logits.dtype.itemsize <= 2:
            return logits.astype(np.float32)
        wide = logits.astype(np.float64)
        if not logits.size or np.abs(wide).max() < WHOLE:
            return wide
        unsigned = logits.astype(np.uint64)  # differences modulo 2^64 are exact for signed and unsigned alike
        return -(logits.max(axis=-1, keepdims=True).astype(np.uint64) - unsigned).astype(np.float64)
    if logits.dtype.itemsize >= 4:
        return logits
    wide = logits.astype(np.float32)
    if wide.size and wide.min() <= -HALF_LIMIT:
        wide[wide <= -HALF_LIMIT] = -np.inf
    return wide


def masks(logits: Array) -> Array:
    """Which of (..., C) floats of ``widened`` are masked classes."""
    with np.errstate(over="ignore"):  # float64's least as a float32
        return np.isin(logits, np.array(LEAST).astype(logits.dtype))


def narrowed(logits: Array) -> Array:
    """(..., C) floats of ``widened`` as float32 with the same softmax, margins and ties, and no mask among them.

    float32 without masks is returned as it is; everything else less the largest logit of its row. A masked class is
    ``MASKED_GAP`` below that, or as far below as the lowest class that is not masked.
    """
    lowest = logits.min(initial=np.inf)
    if logits.dtype == np.float32 and lowest > UNMASKED:
        return logits
    top = logits.max(axis=-1, keepdims=True)
    if lowest > UNMASKED:
        return (logits - top).astype(np.float32)
    masked = masks(logits)
    z = np.where(masked, top, logits) - top
    return np.where(masked, np.minimum(z.min(axis=-1, keepdims=True), -MASKED_GAP), z).astype(np.float32)


def halved(logits: Array) -> Array:
    """(..., C) floats of ``widened`` as float16; see ``near``."""
    return near(logits).astype(np.float16)


def near(logits: Array) -> Array:
    """(..., C) floats of ``widened`` as half precision can keep them: -inf where masked, otherwise as they are, or less
    the largest of a row where that lies beyond ±``HALF_FAR``, for half precision knows one number in 0.06 at 64 and one
    in 1 at 1,024."""
    if np.abs(logits).max(initial=0) <= HALF_FAR:
        return logits
    masked = masks(logits)
    return np.where(masked, -np.inf, _near(logits, masked))


def _near(logits: Array, masked: Array) -> Array:
    """What ``halved`` rounds; for a masked class that of the largest."""
    top = logits.max(axis=-1, keepdims=True)
    return np.where(masked, top, logits) - np.where(np.abs(top) > HALF_FAR, top, 0)


def check_logits(ids: Array, logits: Array, labels: Array, half: bool = False) -> Array:
    """(B, C) logits that can be recorded, as ``widened`` gives them; masks are left in their place.

    Args:
        ids: (B,) the names of the rows, for the message.
        labels: (B,) gold classes; one outside [0, C) is not looked at here.
        half: they are to be kept in half precision as well.

    Raises:
        RecordingError: NaN, +inf, a gold class that is masked, or numbers so large that a signal would overflow.
    """
    logits = widened(logits)
    # For a batch the sum of squares costs a quarter of a maximum. Above 10,000 numbers BLAS would wake its threads.
    if logits.size <= 8192 and np.vdot(logits, logits) <= SURELY_SMALL**2:
        return logits
    if logits.size and not np.abs(logits).max() <= (SURELY_SMALL / 2 if half else LIMIT):
        _look_closer(ids, logits, labels, half)
    return logits


def _look_closer(ids: Array, logits: Array, labels: Array, half: bool) -> None:
    masked = masks(logits)
    bad = (np.isnan(logits) | (logits == np.inf)).any(axis=1)
    if bad.any():
        raise RecordingError(
            f"logits must be finite; {bad.sum()} of {len(ids)} examples have NaN or infinity "
            f"(first: {some(ids[bad].tolist())}); has the training diverged?"
        )
    inside = (labels >= 0) & (labels < logits.shape[1])
    bad = inside & masked[np.arange(len(ids)), np.where(inside, labels, 0)]
    if bad.any():
        raise RecordingError(
            f"the gold class must not be masked; its logit is -inf, probability 0, in {bad.sum()} of {len(ids)} "
            f"examples (first: {some(ids[bad].tolist())}): unmask an example's own class or leave the example out; "
            "raise the zeros of a forest first: log(max(p, 1e-6))"
        )
    there = np.where(masked, 0, logits)
    bad = ~(np.abs(there) <= LIMIT).all(axis=1)
    if bad.any():
        raise RecordingError(
            f"logits must lie within ±{LIMIT:g} in single precision; {bad.sum()} of {len(ids)} examples do not "
            f"(first: {some(ids[bad].tolist())}); a masked class is -inf"
        )
    if half:
        bad = (_near(logits, masked) < -HALF_LIMIT).any(axis=1)
        if bad.any():
            raise RecordingError(
                f"logits less the largest of their row must lie within ±{HALF_LIMIT:g} to be kept in half precision; "
                f"use level='signals', or -inf for a masked class; {bad.sum()} of {len(ids)} examples do not "
                f"(first: {some(ids[bad].tolist())})"
            )
