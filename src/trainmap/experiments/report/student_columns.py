"""The frame of a table with one line per subset and one column per student, plain and distilled apart."""

from __future__ import annotations

from collections.abc import Callable

from trainmap.experiments.report.grid import Cell, Grid, GridLine
from trainmap.experiments.results.facts import REFERENCES
from trainmap.experiments.results.versus_random import Column, Comparison


def column_name(student: str, distilled: bool) -> str:
    """A student as the head of a column."""
    return f"{student} + KD" if distilled else student


def students_grid(title: str, lead: str, comparison: Comparison, cell: Callable[[str, Column], Cell]) -> Grid:
    """A table whose cells are made by the name of the subset and the column."""
    lines = tuple(
        GridLine(name, tuple(cell(name, column) for column in comparison.columns), comparison.draw(name) in REFERENCES)
        for name in comparison.names
    )
    return Grid(
        f"{title}, {comparison.budget}" if comparison.budget else title,
        *(lead, "subset", tuple(column_name(*column) for column in comparison.columns), lines),
        kinds=tuple("distilled" if distilled else "plain" for _, distilled in comparison.columns),
    )
