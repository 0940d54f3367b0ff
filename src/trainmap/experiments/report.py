"""The table that says what paid and what did not: results.csv, report.md and report.html from the rows of runs.

One row per subset, one column per student, plain and distilled apart. A cell is the mean over seeds with its interval
and n, the difference from random selection of the same size (paired by seed) with its interval, and the verdict that
follows from that interval. What it cost stands beside it.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from trainmap.errors import TrainmapError
from trainmap.experiments.compare import Report, Row
from trainmap.experiments.grids import OPPONENTS, Cell, Grid, grids, summary
from trainmap.files import writing

if TYPE_CHECKING:
    from trainmap.experiments.page import Page

__all__ = ["Report", "html", "html_page", "markdown", "markdown_grids", "rows_csv", "write_report"]

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
    parts = [f"# {_escape(report.title)}", "\n".join(f"- {_escape(sentence)}" for sentence in summary(report))]
    if report.picture is not None:
        place = report.picture if folder is None else Path(os.path.relpath(report.picture, folder))
        parts.append(f"![the data map]({place.as_posix()})")
    parts += markdown_grids(grids(report))
    if report.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {_escape(note)}" for note in report.notes))
    if report.provenance:
        told = "\n".join(f"- {_escape(name)}: {_escape(str(value))}" for name, value in report.provenance.items())
        parts.append(f"## Provenance\n\n{told}")
    return "\n\n".join(parts) + "\n"


def markdown_grids(tables: Sequence[Grid]) -> list[str]:
    """Tables with their headings, plain and distilled columns apart."""
    parts: list[str] = []
    for grid in tables:
        parts.append(f"## {_escape(grid.title)}\n\n{_escape(grid.lead)}")
        kinds = sorted(set(grid.kinds) - {""}, reverse=True) or [""]
        for kind in kinds:
            if len(kinds) > 1:
                parts.append("With distillation (KD):" if kind == "distilled" else "Plain training:")
            shown = [position for position, own in enumerate(grid.kinds) if own in ("", kind)]
            head = [grid.corner, *(grid.heads[position] for position in shown)]
            body = [
                [f"**{_escape(name)}**" if part in OPPONENTS else _escape(name), *(_line(cells[i]) for i in shown)]
                for name, part, cells in grid.lines
            ]
            parts.append(_pipes([[_escape(text) for text in head], *body]))
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
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def rows_csv(rows: Sequence[Row]) -> str:
    """Every row with every field, columns in the order in which they first appear."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def _line(cell: Cell) -> str:
    words = f"{_symbol(cell)} {cell.words}".strip()
    return "; ".join(_escape(text) for text in (cell.text, cell.detail, words) if text)


def _symbol(cell: Cell) -> str:
    return SYMBOLS[cell.verdict] * (2 if cell.firm else 1)


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table as well: no markup, no links, one line."""
    quoted = re.sub(r"([\\|*`]|\](?=\())", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"\s+", " ", quoted)
