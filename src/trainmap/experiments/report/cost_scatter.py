"""The picture of accuracy against cost as a value: a mark for each row, with a label where there is room for it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainmap.errors import one_line
from trainmap.experiments.report.answer import Answer
from trainmap.experiments.report.forest import nice
from trainmap.experiments.report.verdict_words import Tone
from trainmap.views.amounts import show_flops, show_percent

LETTER, LINE = 7.2, 14.0  # width of a letter and height of a line of a label, generous
MARK = 7.0  # half of a mark with the room around it
WIDE, TALL = 640.0, 360.0
NARROW = 340.0
LEFT, RIGHT, TOP, BELOW = 44.0, 14.0, 12.0, 40.0
LOGARITHMIC = 8.0  # the largest cost over the smallest from which on the scale is logarithmic


@dataclass(frozen=True)
class Mark:
    """One row in the picture: its place in pixels, its label (nothing where there is no room) and where that stands."""

    x: float
    y: float
    name: str
    told: str
    kind: str
    tone: Tone
    firm: bool
    label: tuple[str, ...]
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Scatter:
    """The picture for one width."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    across: tuple[tuple[float, str], ...]
    upward: tuple[tuple[float, str], ...]
    whole: bool
    left: float = LEFT
    bottom: float = TALL - BELOW
    right: float = WIDE - RIGHT

    @property
    def unlabelled(self) -> int:
        return sum(not mark.label for mark in self.marks)


Box = tuple[float, float, float, float]  # left, top, right, bottom


def scatter_of(answer: Answer, width: float = WIDE) -> Scatter:
    """The picture of an answer's spots, for a page of this width.

    Random, all the data and the best row have their labels first, then the others from the top, each where it covers
    nothing.
    """
    letters = 26 if width > NARROW else 20
    right, bottom = width - RIGHT, TALL - BELOW
    whole = next((spot.cost for spot in answer.spots if spot.kind == "full data"), math.nan)
    across, costs = _costs([spot.cost for spot in answer.spots], whole, LEFT + MARK, right - MARK)
    upward, scores = _scores([spot.score for spot in answer.spots], bottom - MARK, TOP + MARK)
    places = list(zip(costs, scores, strict=True))
    taken: list[Box] = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in places]
    best = max(range(len(answer.spots)), key=lambda at: answer.spots[at].score)
    first = [at for at, spot in enumerate(answer.spots) if spot.kind != "row" or at == best]
    rest = sorted(set(range(len(answer.spots))) - set(first), key=lambda at: places[at][1])
    labels: dict[int, tuple[tuple[str, ...], float, float, str]] = {}
    for at in (*first, *rest):
        lines = tuple(textwrap.wrap(one_line(answer.spots[at].name), letters, max_lines=2, placeholder=" …") or [" "])
        wide, high = LETTER * max(map(len, lines)), LINE * len(lines)
        for box, anchor in _around(places[at], wide, high):
            inside = box[0] >= LEFT and box[2] <= right and box[1] >= 2 and box[3] <= bottom
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                x = {"start": box[0], "end": box[2], "middle": (box[0] + box[2]) / 2}[anchor]
                labels[at] = (lines, x, box[1] + 0.75 * LINE, anchor)
                break
    marks: list[Mark] = []
    for at, spot in enumerate(answer.spots):
        cost = show_flops(spot.cost) if math.isnan(whole) else f"{show_percent(spot.cost / whole)} of the cost"
        where = f" ({spot.where})" if spot.where else ""
        told = f"{spot.name}{where}: {100 * spot.score:.1f} %, {cost}"
        marks.append(
            Mark(
                *places[at], spot.name, told, spot.kind, spot.tone, spot.firm, *labels.get(at, ((), 0.0, 0.0, "start"))
            )
        )
    return Scatter(width, TALL, tuple(marks), across, upward, not math.isnan(whole), bottom=bottom, right=right)


def _around(place: tuple[float, float], wide: float, high: float) -> Iterator[tuple[Box, str]]:
    """Where a label may stand: right and left of its mark, level or a little higher or lower, above, below."""
    x, y = place
    for shift in (0.0, -LINE / 2, LINE / 2, -LINE, LINE):
        top = y - high / 2 + shift
        yield (x + MARK + 1, top, x + MARK + 1 + wide, top + high), "start"
        yield (x - MARK - 1 - wide, top, x - MARK - 1, top + high), "end"
    for top in (y - MARK - high, y + MARK):
        yield (x - wide / 2, top, x + wide / 2, top + high), "middle"


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _costs(
    values: Sequence[float], whole: float, start: float, end: float
) -> tuple[tuple[tuple[float, str], ...], list[float]]:
    """Ticks and places of costs, from zero or on a logarithmic scale; shares of all the data where that is known."""
    unit = 1.0 if math.isnan(whole) else whole / 100
    scaled = [value / unit for value in values]
    if max(scaled) > LOGARITHMIC * min(scaled):
        low, high = math.log10(min(scaled)) - 0.15, math.log10(max(scaled)) + 0.15
        powers = [10.0**at for at in range(math.ceil(low), math.floor(high) + 1)] or [max(scaled)]

        def place(value: float) -> float:
            return start + (end - start) * (math.log10(value) - low) / (high - low)
    else:
        top = 1.05 * max(scaled)
        step = nice(top / 5)
        powers = [step * at for at in range(math.floor(top / step) + 1)]

        def place(value: float) -> float:
            return start + (end - start) * value / top

    ticks = [(place(value), show_flops(value) if math.isnan(whole) else show_percent(value / 100)) for value in powers]
    return tuple(ticks), [place(value) for value in scaled]


def _scores(values: Sequence[float], start: float, end: float) -> tuple[tuple[tuple[float, str], ...], list[float]]:
    """Ticks and places of scores, in percent."""
    low, high = 100 * min(values), 100 * max(values)
    room = 0.06 * (high - low) or 1.0
    low, high = low - room, high + room
    step = nice((high - low) / 5)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))

    def place(value: float) -> float:
        return start + (end - start) * (value - low) / (high - low)

    ticks = [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return tuple((place(value), f"{value:.{digits}f}") for value in ticks), [place(100 * value) for value in values]
