"""The picture of differences from an opponent as a value: a row for each comparison, its interval on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainmap.experiments.report.answer import Answer, Compared
from trainmap.experiments.report.formats import MINUS, show_difference
from trainmap.experiments.report.verdict_words import Tone, symbol_of, versus

HIGHEST, LOWEST = 16, 8
"""Rows that stand open where there are more than both together; the others fold."""
TICKS = 6  # between the ends of the scale, about
ROOM = 1.15  # how far the scale goes beyond what it has to show


@dataclass(frozen=True)
class Strip:
    """One row of the picture; places go from 0 (left) to 100 (right).

    Attributes:
        name, where, opponent: as in ``Compared``; the opponent only where rows have several.
        low, mean, high: places; None without an interval or a mean.
        beyond: whether the interval goes on beyond the left and the right end.
        text: the difference with its interval.
        n: "n=3", where rows have several; "" where all have the same.
        words, tone, mark: of the verdict.
    """

    name: str
    where: str
    opponent: str
    low: float | None
    mean: float | None
    high: float | None
    beyond: tuple[bool, bool]
    text: str
    n: str
    words: str
    tone: Tone
    firm: bool

    @property
    def mark(self) -> str:
        return symbol_of(self.tone, self.firm)


@dataclass(frozen=True)
class Forest:
    """The picture.

    Attributes:
        title, lead: what it shows.
        rows: from the highest mean difference to the lowest; without one at the end.
        folded: those between the highest and the lowest, where there are many.
        ticks: place and label, in points.
        against: the opponent.
    """

    title: str
    lead: str
    rows: tuple[Strip, ...]
    folded: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]
    against: str


def forest_of(answer: Answer) -> Forest:
    """The picture of an answer's comparisons."""
    ordered = sorted(answer.compared, key=lambda one: (math.isnan(one.difference.mean), -one.difference.mean))
    low, high = _ends(ordered)
    opponents = list(dict.fromkeys(one.opponent for one in ordered))
    same = len({one.difference.n for one in ordered}) == 1
    strips = [_strip(one, (low, high), len(opponents) > 1, same) for one in ordered]
    many = len(strips) > HIGHEST + LOWEST
    against = opponents[0] if len(opponents) == 1 else "the opponent"
    against = "random of the same size" if against == "random" else against
    beyond = " An arrow goes on beyond the scale." if any(any(strip.beyond) for strip in strips) else ""
    return Forest(
        f"How far from {against}",
        f"{answer.measure[0].upper()}{answer.measure[1:]}, difference in points: mean over {_runs(ordered)} and its "
        f"interval, the highest first.{beyond}",
        tuple([*strips[:HIGHEST], *strips[-LOWEST:]] if many else strips),
        tuple(strips[HIGHEST:-LOWEST] if many else ()),
        _ticks(low, high),
        against,
    )


def _runs(compared: Sequence[Compared]) -> str:
    """``n = 3 seeds``."""
    counts = sorted({one.difference.n for one in compared})
    return f"n = {counts[0]} seeds" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]} seeds"


def _ends(compared: Sequence[Compared]) -> tuple[float, float]:
    """The ends of the scale in points: all means and zero are on it, intervals up to twice the largest mean beyond."""
    means = [100 * one.difference.mean for one in compared if not math.isnan(one.difference.mean)]
    reach = 2 * max((abs(mean) for mean in means), default=1.0) or 1.0
    ends = [100 * end for one in compared for end in (one.difference.low, one.difference.high) if not math.isnan(end)]
    low = min(0.0, *means, *(max(end, -reach) for end in ends), -0.05 * reach)
    high = max(0.0, *means, *(min(end, reach) for end in ends), 0.05 * reach)
    middle, half = (low + high) / 2, ROOM * (high - low) / 2
    return middle - half, middle + half


def _strip(one: Compared, ends: tuple[float, float], told: bool, same: bool) -> Strip:
    """A row; ``told`` is whether it says its opponent, ``same`` whether all have as many runs."""
    low, high = ends

    def place(value: float) -> float | None:
        at = 100 * (100 * value - low) / (high - low)
        return None if math.isnan(value) else max(0.0, min(100.0, at))

    found = one.difference
    return Strip(
        one.name,
        one.where,
        one.opponent if told else "",
        place(found.low),
        place(found.mean),
        place(found.high),
        (100 * found.low < low, 100 * found.high > high),
        show_difference(found, 1, found.n),
        "" if same else f"n={found.n}",
        versus(one.opponent).of(found.verdict, one.firm),
        one.tone,
        one.firm,
    )


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Round values within the ends, zero among them."""
    step = nice((high - low) / TICKS)
    values = [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple((100 * (value - low) / (high - low), _signed(value, digits)) for value in values)


def nice(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten, upwards."""
    size = 10.0 ** math.floor(math.log10(step))
    return next(size * times for times in (1, 2, 5, 10) if size * times >= step * (1 - 1e-9))


def _signed(value: float, digits: int) -> str:
    if round(value, digits) == 0:
        return "0"
    return f"{value:+.{digits}f}".replace("-", MINUS)
