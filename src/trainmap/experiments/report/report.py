"""The table that says what paid and what did not: results.csv, report.md and report.html from the rows of runs.

One row per subset, one column per student, plain and distilled apart. A cell is the mean over seeds with its interval
and n, the difference from random selection of the same size (paired by seed) with its interval, and the verdict that
follows from that interval. What it cost stands beside it.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import jinja2

from trainmap.cells import csv_text
from trainmap.errors import TrainmapError, one_line, printable
from trainmap.experiments.report.grid_cells import OPPONENTS, Cell, Grid, grids, summary
from trainmap.experiments.results.versus_random import Report, Row
from trainmap.files import writing

if TYPE_CHECKING:
    from trainmap.experiments.report.page import Page

__all__ = [
    "Report",
    "escape",
    "html",
    "html_page",
    "listed",
    "markdown",
    "markdown_grids",
    "picture",
    "rows_csv",
    "write_report",
]

UNDERSCORE = r"(?<![^\W_])_|_(?![^\W_])"  # within a word it means nothing
SYMBOLS = {"better": "▲", "same": "○", "worse": "▼", "": ""}


def write_report(report: Report, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write ``report.md``, ``report.html`` (stands alone) and ``results.csv`` (every row) to ``folder``.

    The same report gives the same bytes: there is no time in it.

    Returns:
        ``{"markdown": path, "html": path, "rows": path}``.

    Raises:
        TrainmapError: no random row of the size of a subset, a missing field, a run given twice, a score outside
            0..1 or not finite, selections without the cost of their map.
    """
    place = Path(folder)
    texts = {
        "markdown": ("report.md", markdown(report, place)),
        "html": ("report.html", html(report)),
        "rows": ("results.csv", rows_csv(report.rows)),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts.values():
        with writing(place / name) as handle:
            handle.write(text.encode())
    return {kind: place / name for kind, (name, _) in texts.items()}


def markdown(report: Report, folder: Path | None = None) -> str:
    """The report as GitHub Markdown that reads well raw, too; ``folder`` is where it will stand (for the picture)."""
    parts = [f"# {escape(report.title)}", listed(summary(report))]
    if report.picture is not None:
        place = report.picture if folder is None else Path(os.path.relpath(report.picture, folder))
        parts.append(picture("the data map", place))
    parts += markdown_grids(grids(report))
    if report.notes:
        parts.append(f"## Notes\n\n{listed(report.notes)}")
    if report.provenance:
        told = listed(f"{name}: {value}" for name, value in report.provenance.items())
        parts.append(f"## Provenance\n\n{told}")
    return "\n\n".join(parts) + "\n"


def markdown_grids(tables: Sequence[Grid]) -> list[str]:
    """Tables with their headings, plain and distilled columns apart."""
    parts: list[str] = []
    for grid in tables:
        parts.append(f"## {escape(grid.title)}\n\n{escape(grid.lead)}")
        kinds = sorted(set(grid.kinds) - {""}, reverse=True) or [""]
        for kind in kinds:
            if len(kinds) > 1:
                parts.append("With distillation (KD):" if kind == "distilled" else "Plain training:")
            shown = [position for position, own in enumerate(grid.kinds) if own in ("", kind)]
            head = [grid.corner, *(grid.heads[position] for position in shown)]
            body = [
                [f"**{escape(name)}**" if part in OPPONENTS else escape(name), *(_line(cells[i]) for i in shown)]
                for name, part, cells in grid.lines
            ]
            parts.append(_pipes([[escape(text) for text in head], *body]))
    return parts


def html(report: Report) -> str:
    """The report as one HTML file: its style and its picture inside, no script, nothing fetched."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            grids=grids(report),
            summary=summary(report),
            picture=_picture(report.picture),
            symbols=SYMBOLS,
        )
    )


def html_page(page: Page) -> str:
    """The page of an experiment as one HTML file, made like ``html``."""
    sections = [
        {
            "report": report,
            "grids": [replace(grid, aside=True) for grid in grids(report)],
            "summary": summary(report),
            "picture": _picture(report.picture),
        }
        for report in page.reports
    ]
    pictures = [(caption, _picture(path)) for caption, path in page.pictures]
    template = _environment().get_template("page.html.j2")
    return template.render(page=page, sections=sections, pictures=pictures, symbols=SYMBOLS)


def _picture(path: Path | None) -> str:
    if path is None:
        return ""
    if not path.is_file():
        raise TrainmapError(f"picture must be a PNG file, got {path}, which is not there")
    return base64.b64encode(path.read_bytes()).decode()


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["unbroken"] = _unbroken
    return made


def _unbroken(text: str) -> str:
    """A cell that may be broken where it is narrow, but no number from its unit, nor an interval."""
    within = r"(?<=\d) (?=[%±]|\w*FLOPs|k?B\b|s\b|min\b|h\b)|(?<=[±%]) (?![(])|(?<=\d,) (?=[+−\d])"
    return re.sub(within, "\u00a0", text)


def rows_csv(rows: Sequence[Row]) -> str:
    """Every row with every field, columns in the order in which they first appear."""
    return csv_text(rows)


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def _line(cell: Cell) -> str:
    words = f"{_symbol(cell)} {cell.words}".strip()
    return "; ".join(escape(text) for text in (cell.text, cell.detail, words) if text)


def _symbol(cell: Cell) -> str:
    return SYMBOLS[cell.verdict] * (2 if cell.firm else 1)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, within a line, a cell or a heading: no markup, no links, one line.

    Only what would mean something where it stands gets a backslash, so that the file reads well raw, too.
    """
    line = " ".join(one_line(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(rf"[\\`*~|#$]|{UNDERSCORE}|\](?=[(\[:])|(?<=\bwww)\.|:(?=//)", r"\\\g<0>", line)


def listed(items: Iterable[str]) -> str:
    """A list; no item is a list, a quotation or a box to tick by its beginning."""
    lines = (re.sub(r"^([-+=>]|\[)", r"\\\1", escape(item)) for item in items)
    return "\n".join("- " + re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line) for line in lines)


def picture(caption: str, path: Path) -> str:
    """A picture beside the file, under any name."""
    return f"![{escape(caption)}]({quote(path.as_posix())})"
