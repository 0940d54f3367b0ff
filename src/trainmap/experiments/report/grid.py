"""A table for people as a value: what stands in each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trainmap.experiments.report.verdict_words import Tone, Words, symbol_of
from trainmap.experiments.results.statistics import Verdict


@dataclass(frozen=True)
class Cell:
    """What stands in one cell: a value, what belongs to it, and a verdict in words."""

    text: str
    detail: str = ""
    words: str = ""
    tone: Tone = ""
    firm: bool = False  # the verdict stays under Holm's correction over its table
    bar: tuple[float, float, float] | None = None  # low, mean, high of the difference; -1..1 is the width of the bar

    def judged(self, verdict: Verdict, words: Words, firm: bool) -> Cell:
        """The cell with a verdict; ``firm`` is whether it stays under Holm's correction over its table."""
        return replace(self, words=words.of(verdict, firm), tone=words.tone(verdict), firm=firm)

    @property
    def mark(self) -> str:
        """The symbol of its verdict; "" without one."""
        return symbol_of(self.tone, self.firm)


NOTHING = Cell("–")


@dataclass(frozen=True)
class GridLine:
    """A line of a table; ``reference`` for what the others are held against, which stands out."""

    name: str
    cells: tuple[Cell, ...]
    reference: bool = False


@dataclass(frozen=True)
class Grid:
    """A table for people: one line per subset (or model, or cost), cells in the order of ``heads``."""

    title: str
    lead: str
    corner: str
    heads: tuple[str, ...]
    lines: tuple[GridLine, ...]
    kinds: tuple[str, ...] = ()  # for every head: "plain", "with hinton" or "" (belongs to all); () is all of them
    aside: bool = False  # folded away at first

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", self.kinds or ("",) * len(self.heads))

    def with_columns(self, columns: Mapping[str, Callable[[str], Cell]]) -> Grid:
        """The grid with columns before those that it has, filled by the name of the line."""
        lines = tuple(
            replace(line, cells=(*(make(line.name) for make in columns.values()), *line.cells)) for line in self.lines
        )
        kinds = ("",) * len(columns) + self.kinds
        return replace(self, heads=(*columns, *self.heads), kinds=kinds, lines=lines)
