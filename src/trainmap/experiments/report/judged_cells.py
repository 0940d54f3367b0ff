"""Cells with the verdict of a difference, and whether it stays beside the others of its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainmap.experiments.report.grid import Cell
from trainmap.experiments.report.verdict_words import Words
from trainmap.experiments.results.statistics import Difference, Verdict, firm_of

Judged = Mapping[Any, tuple[Difference, bool]]
"""Differences by their place, with whether the verdict stays under Holm's correction over all of them."""


@dataclass(frozen=True)
class Tally:
    """How many comparisons of a family came out how; ``firm_...`` stay under Holm's correction, ``weak_...`` do not."""

    firm_above: int
    weak_above: int
    none: int
    weak_below: int
    firm_below: int

    @property
    def leaning(self) -> str:
        """Of the verdicts that do not stay, as the end of a sentence; "" where there is none."""
        if not self.weak_above + self.weak_below:
            return ""
        return f"; {self.weak_above} look better and {self.weak_below} worse, but not after correction"


def tally_of(verdicts: Iterable[tuple[Verdict, bool]]) -> Tally:
    """Of verdicts with whether each stays."""
    found = Counter(verdicts)
    above, below = ([found[verdict, firm] for firm in (True, False)] for verdict in (Verdict.ABOVE, Verdict.BELOW))
    return Tally(above[0], above[1], found[Verdict.NONE, False], below[1], below[0])


def judged_of(differences: Mapping[Any, Difference], level: float) -> Judged:
    """A family of differences."""
    firm = firm_of(differences, level)
    return {key: (difference, firm[key]) for key, difference in differences.items()}


def with_verdict(cell: Cell, found: tuple[Difference, bool] | None, words: Words) -> Cell:
    """The cell with its verdict; without one where nothing could be compared."""
    if found is None or not found[0].n:
        return cell
    return cell.judged(found[0].verdict, words, found[1])
