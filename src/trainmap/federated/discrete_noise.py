"""Whole-number noise of the discrete Gaussian, drawn exactly.

No floating-point number takes part, whose gaps would tell more than the mechanism allows (Mironov 2012, "On
significance of the least significant bits for differential privacy").

P(x) is proportional to exp(-x^2 / (2 variance)) over the integers. Counts stay whole numbers, so that they can be added
by secure aggregation, and the privacy is that of the Gaussian mechanism with the same variance: its Renyi divergence is
at most alpha / (2 variance) for counts that differ by 1.

Source: Canonne, Kamath, Steinke 2020, arXiv:2004.00010, algorithms 1 to 3 and theorem 4.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray


def discrete_gaussian(variance: Fraction, count: int, source: random.Random) -> NDArray[Any]:
    """Draw from the discrete Gaussian.

    Args:
        variance: its parameter, above 0; from 1 on the variance of what is drawn is the same to 7 digits.
        count: how many.
        source: of randomness: ``random.SystemRandom()``, or a ``random.Random`` with a seed.

    Returns:
        (count,) int64.
    """
    return np.array([_gaussian(variance, source) for _ in range(count)], dtype=np.int64)


def _gaussian(variance: Fraction, source: random.Random) -> int:
    """Algorithm 3: rejection from a discrete Laplace of the scale floor(sigma) + 1."""
    over, under = variance.numerator, variance.denominator
    scale = math.isqrt(over // under) + 1
    while True:
        value = _laplace(scale, source)
        off = abs(value) * scale * under - over  # (|value| - variance / scale) in units of 1 / (scale under)
        if _exponential(off * off, 2 * over * under * scale * scale, source):
            return value


def _laplace(scale: int, source: random.Random) -> int:
    """Algorithm 2."""
    while True:
        below = source.randrange(scale)
        if not _exponential(below, scale, source):
            continue
        whole = 0
        while _exponential(1, 1, source):
            whole += 1
        size, negative = below + scale * whole, source.getrandbits(1)
        if size or not negative:
            return -size if negative else size


def _exponential(over: int, under: int, source: random.Random) -> bool:
    """Algorithm 1: true with probability exp(-over / under)."""
    while over > under:
        if not _exponential(1, 1, source):
            return False
        over -= under
    tries = 1
    while source.randrange(under * tries) < over:
        tries += 1
    return tries % 2 == 1
