"""Numbers as people read them: scores and differences in percent and points, FLOPs, seconds, shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainmap.experiments.results.statistics import Difference, Estimate, Verdict

MINUS = "\N{MINUS SIGN}"


def digits_for(differences: Mapping[Any, Difference]) -> int:
    """Digits behind the point: two where intervals are narrow (typically below a point) or where one digit would show
    the end that decides a verdict as zero, otherwise one."""
    shown = [d for d in differences.values() if not math.isnan(d.low)]
    widths = sorted(d.high - d.low for d in shown)
    close = any(d.verdict != Verdict.NONE and min(abs(d.low), abs(d.high)) < 0.0005 for d in shown)
    return 2 if close or (widths and widths[len(widths) // 2] < 0.01) else 1


def scale_for(differences: Mapping[Any, Difference]) -> float:
    """The difference at the end of a bar: the largest end of an interval, but at most thrice the largest mean."""
    ends = [abs(end) for d in differences.values() for end in (d.low, d.high) if not math.isnan(end)]
    means = [abs(d.mean) for d in differences.values() if not math.isnan(d.mean)]
    return min(max(ends), 3 * max(means)) if ends else 0.0


def bar_for(difference: Difference, scale: float) -> tuple[float, float, float] | None:
    """Low, mean and high of a difference as fractions of ``scale``, cut off at -1 and 1; None without an interval."""
    if math.isnan(difference.low) or scale == 0:
        return None
    low, mean, high = (
        max(-1.0, min(1.0, value / scale)) for value in (difference.low, difference.mean, difference.high)
    )
    return low, mean, high


def show_estimate(estimate: Estimate, digits: int) -> str:
    """``91.2 ± 0.4 (n=4)``."""
    mean = f"{100 * estimate.mean:.{digits}f}"
    if estimate.n == 1:
        return f"{mean} (n=1)"
    if math.isnan(estimate.low):
        return f"{mean} (n={estimate.n}, identical)"
    return f"{mean} ± {100 * estimate.half_width:.{digits}f} (n={estimate.n})"


def show_difference(difference: Difference, digits: int, n: int | None = None, unit: str = "") -> str:
    """``+0.5 [−0.1, +1.1]``, and n where it is not ``n``; ``unit`` stands behind the mean."""
    if difference.n == 0:
        return "no common seed"
    mean = f"{_signed(difference.mean, digits)}{unit}"
    if math.isnan(difference.low):
        return f"{mean} (n=1, no interval)" if difference.n == 1 else f"{mean} (n={difference.n}, identical)"
    ends = f"{mean} [{_signed(difference.low, digits)}, {_signed(difference.high, digits)}]"
    return ends if n == difference.n else f"{ends} (n={difference.n})"


def whole_numbers(values: Sequence[int]) -> str:
    """``0 to 4``, ``1000``, ``0, 2, 5``: a row without gaps by its ends."""
    ordered = sorted(set(values))
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))


def _signed(value: float, digits: int) -> str:
    text = f"{100 * value:+.{digits}f}"
    return text[1:] if not text.strip("+-0.") else text.replace("-", MINUS)


def show_number(value: float) -> str:
    """Three digits behind the point."""
    return f"{value:.3f}".replace("-", MINUS)


def show_between(value: float, low: float | None, high: float | None) -> str:
    """The same, with its interval where there is one."""
    ends = "" if low is None or high is None else f" [{show_number(low)}, {show_number(high)}]"
    return f"{show_number(value)}{ends}"


def show_reuses(by_flops: float, by_seconds: float) -> str:
    """``map pays after 4 runs (3 by time)``; infinity is never."""
    if math.isinf(by_flops) and math.isinf(by_seconds):
        return "map never pays"
    flops, seconds = ("never" if math.isinf(runs) else f"{runs:.0f}" for runs in (by_flops, by_seconds))
    told = "map never pays" if math.isinf(by_flops) else f"map pays after {flops} run{'s' * (by_flops != 1)}"
    return told if flops == seconds else f"{told} ({seconds} by time)"
