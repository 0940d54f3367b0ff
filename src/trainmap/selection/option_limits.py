"""What the options of a strategy must be: one line of error for whatever else comes."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from trainmap.errors import TrainmapError, shown
from trainmap.scores.table import score_named


def check_number(value: Any, must: str, fits: Callable[[float], bool]) -> None:
    """Refuse what is no number (text, a boolean, NaN, an integer beyond every float) and one that does not fit."""
    try:
        plain = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        plain = math.nan
    if math.isnan(plain) or not fits(plain):
        raise TrainmapError(f"{must}, got {shown(value)}")


def check_hard(score: Any, hard: Any) -> None:
    """Refuse an end that is none, and a score that says none of its own."""
    if hard is not None:
        if not isinstance(hard, str) or hard not in ("high", "low"):
            raise TrainmapError(f"hard must be 'high' or 'low', got {shown(hard)}")
        return
    try:
        score_named(score)
    except TrainmapError as error:
        raise TrainmapError(
            f"trainmap does not know which end of {score} is hard; pass hard='high' or hard='low'"
        ) from error
