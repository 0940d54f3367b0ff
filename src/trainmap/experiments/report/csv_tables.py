"""The runs, and the cells that they make, as CSV for other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainmap.cells import csv_text
from trainmap.experiments.report.overview_tables import Table
from trainmap.experiments.report.verdict_words import against
from trainmap.experiments.results.facts import NAMES
from trainmap.experiments.results.statistics import Verdict

if TYPE_CHECKING:
    from trainmap.experiments.report.apart_rows import Apart


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every row with every field, columns in the order in which they first appear, what a row is at the end."""
    facts = [name for name in NAMES if any(name in row for row in rows)]
    rest = dict.fromkeys(key for row in rows for key in row if key not in facts)
    return csv_text([{key: row.get(key, "") for key in (*rest, *facts)} for row in rows]) if rows else ""


def table_csv(tables: Sequence[Table], apart: Sequence[Apart] = ()) -> str:
    """The long table: one line for each cell, the group's labels first; an end that cannot be had is empty. Then a line
    for each row and opponent of what stands apart."""
    return rows_csv(
        [
            {**group.labels, **{key: _blank(value) for key, value in row.items()}, "verdict": _said(row)}
            for group, part in tables
            for row in part.iter_rows(named=True)
        ]
        + [{key: _blank(value) for key, value in one.flat().items()} for one in apart]
    )


def _said(row: Mapping[str, Any]) -> str:
    return against(row.get("opponent")).of(Verdict(row["verdict"]), row["firm"]) if row["verdict"] else ""


def _blank(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
