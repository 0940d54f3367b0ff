"""A page as GitHub Markdown that reads well raw, too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from trainmap.errors import one_line
from trainmap.experiments.report.grid import Cell, Grid
from trainmap.experiments.report.page import Page
from trainmap.experiments.report.student_columns import kind_of

PLAIN = kind_of("")
UNDERSCORE = r"(?<![^\W_])_|_(?![^\W_])"  # within a word it means nothing


def markdown(page: Page, folder: Path | None = None) -> str:
    """The page; ``folder`` is where it will stand (for the pictures)."""
    parts = [f"# {escape(page.title)}", *_opening(page)]
    if page.procedure:
        steps = "\n".join(f"{at}. {escape(step)}" for at, step in enumerate(page.procedure, 1))
        parts.append(f"## What was done\n\n{steps}")
    if page.map is not None:
        parts.append(picture("the data map", _beside(page.map, folder)))
    parts += _tables(page.grids)
    parts += [f"## {escape(name)}\n\n{picture(name, _beside(path, folder))}" for name, path in page.pictures]
    parts += [markdown(part, folder).strip() for part in page.parts]
    whole = " on the whole" if page.parts else ""
    if page.notes:
        parts.append(f"## Notes{whole}\n\n{listed(page.notes)}")
    if page.provenance:
        told = listed(f"{name}: {value}" for name, value in page.provenance.items())
        parts.append(f"## Provenance{' of the whole' if whole else ''}\n\n{told}")
    return "\n\n".join(parts) + "\n"


def _opening(page: Page) -> list[str]:
    """Each answer, then what the tables say and how much is done."""
    parts: list[str] = []
    for answer in page.answers:
        if len(page.answers) > 1:
            parts.append(f"## {escape(answer.about)}")
        parts.append("\n".join(f"- **{question}** {escape(text)}" for question, text in answer.sentences))
    if page.summary:
        parts += ["## In short", listed(page.summary)] if page.answers else [listed(page.summary)]
    if page.status:
        parts.append(escape(page.status))
    return parts


def _beside(path: Path, folder: Path | None) -> Path:
    return path if folder is None else Path(os.path.relpath(path, folder))


def _tables(tables: Sequence[Grid]) -> list[str]:
    """Tables with their headings, plain columns apart from those of each way of teaching."""
    parts: list[str] = []
    for grid in tables:
        parts.append(f"## {escape(grid.title)}\n\n{escape(grid.lead)}")
        kinds = sorted(dict.fromkeys(filter(None, grid.kinds)), key=lambda kind: kind != PLAIN) or [""]
        for kind in kinds:
            if len(kinds) > 1:
                parts.append("Plain training:" if kind == PLAIN else f"Taught {escape(kind)}:")
            shown = [position for position, own in enumerate(grid.kinds) if own in ("", kind)]
            head = [grid.corner, *(grid.heads[position] for position in shown)]
            body = [
                [
                    f"**{escape(line.name)}**" if line.reference else escape(line.name),
                    *(_cell(line.cells[position]) for position in shown),
                ]
                for line in grid.lines
            ]
            parts.append(_pipes([[escape(text) for text in head], *body]))
    return parts


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def _cell(cell: Cell) -> str:
    words = f"{cell.mark} {cell.words}".strip()
    return "; ".join(escape(text) for text in (cell.text, cell.detail, words) if text)


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
