"""Cells with the verdict of a difference, and whether it stays beside the others of its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainmap.experiments.report.grid import Cell
from trainmap.experiments.report.verdict_words import Words
from trainmap.experiments.results.statistics import Difference, firm_of

Judged = Mapping[Any, tuple[Difference, bool]]
"""Differences by their place, with whether the verdict stays under Holm's correction over all of them."""


def judged_of(differences: Mapping[Any, Difference], level: float) -> Judged:
    """A family of differences."""
    firm = firm_of(differences, level)
    return {key: (difference, firm[key]) for key, difference in differences.items()}


def with_verdict(cell: Cell, found: tuple[Difference, bool] | None, words: Words) -> Cell:
    """The cell with its verdict; without one where nothing could be compared."""
    if found is None or not found[0].n:
        return cell
    return replace(cell.judged(found[0].verdict, words), firm=found[1])
