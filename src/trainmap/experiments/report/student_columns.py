"""The frame of a table with one line per subset and one column per student and way of teaching it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from trainmap.experiments.report.grid import Cell, Grid, GridLine
from trainmap.experiments.results.facts import REFERENCES
from trainmap.experiments.results.versus_random import Column, Comparison


def column_name(student: str, taught: str) -> str:
    """A student as the head of a column: "cnn-8", "cnn-8 + lsp"."""
    return f"{student} + {taught}" if taught else student


def column_names(columns: Iterable[Column]) -> dict[Column, str]:
    """The heads of columns, each another one: where a student is named like another one that is taught, they also say
    which is which."""
    found = {column: column_name(*column) for column in columns}
    for number in (False, True):
        twice = {name for name, count in Counter(found.values()).items() if count > 1}
        for at, (column, name) in enumerate(found.items(), 1):
            if name in twice:
                found[column] = f"{name} [{at}]" if number else f"{name} ({'taught' if column[1] else 'plain'})"
    return found


def kind_of(taught: str) -> str:
    """The kind of a column, by which a long table is cut into several."""
    return f"with {taught}" if taught else "plain"


def students_grid(title: str, lead: str, comparison: Comparison, cell: Callable[[str, Column], Cell]) -> Grid:
    """A table whose cells are made by the name of the subset and the column."""
    lines = tuple(
        GridLine(name, tuple(cell(name, column) for column in comparison.columns), comparison.draw(name) in REFERENCES)
        for name in comparison.names
    )
    return Grid(
        f"{title}, {comparison.budget}" if comparison.budget else title,
        *(lead, "subset", tuple(column_names(comparison.columns).values()), lines),
        kinds=tuple(kind_of(taught) for _, taught in comparison.columns),
    )
