"""How the share of the examples that a curriculum uses grows during training: the published pacing functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

Pacing = Literal["linear", "quadratic", "root", "step", "exponential", "log"]

STEEP = 10
"""How steep the exponential and the logarithm are, as published."""

PACINGS: Mapping[Pacing, Callable[[float], float]] = {
    "linear": lambda way: way,
    "quadratic": lambda way: way**2,
    "root": lambda way: way**0.5,
    "step": lambda way: math.floor(way),
    "exponential": lambda way: math.expm1(STEEP * way) / math.expm1(STEEP),
    "log": lambda way: 1 + math.log(way + math.exp(-STEEP)) / STEEP,
}
"""How much of what was missing at the start is there, 0 to 1, when a part ``way`` of the way is done, 0 to 1."""


def paced(pacing: Pacing, done: float, start: float, until: float) -> float:
    """The share of the examples that is in use: ``start + (1 - start) * PACINGS[pacing](done / until)``, at most 1.

    Args:
        pacing: a key of ``PACINGS``.
        done: t / T, how much of the training is behind, 0 or more.
        start: b, the share at the start, above 0 to 1.
        until: a, the share of the training after which all of them are in use; above 1: they never are.

    Returns:
        Above 0 to 1; never less than at an earlier ``done``.

    Source: Wu, Dyer and Neyshabur 2021, arXiv:2012.03107, section 3 and appendix B. Their "step" is the single step of
        Hacohen and Weinshall 2019, arXiv:1904.03626, and the two stages of Bengio et al. 2009; Hacohen and Weinshall
        let the exponential one climb in stairs.
    """
    grown = PACINGS[pacing](min(1.0, done / until))
    return start + (1 - start) * min(1.0, max(0.0, grown))  # the logarithm is off by rounding at both ends
