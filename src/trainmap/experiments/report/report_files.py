"""The table that says what paid and what did not: results.csv, report.md and report.html from the rows of runs."""

from __future__ import annotations

import os
from pathlib import Path

from trainmap.experiments.report.csv_tables import rows_csv
from trainmap.experiments.report.html_page import html
from trainmap.experiments.report.markdown_page import markdown
from trainmap.experiments.report.page import page_of
from trainmap.experiments.results.run_rows import Report
from trainmap.files import writing

__all__ = ["Report", "write_report"]


def write_report(report: Report, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write ``report.md``, ``report.html`` (stands alone) and ``results.csv`` (every row) to ``folder``.

    The same report gives the same bytes: there is no time in it.

    Returns:
        ``{"markdown": path, "html": path, "rows": path}``.

    Raises:
        TrainmapError: what ``page_of`` raises; a picture that is not there.
    """
    place, page = Path(folder), page_of(report)
    texts = {
        "markdown": ("report.md", markdown(page, place)),
        "html": ("report.html", html(page)),
        "rows": ("results.csv", rows_csv(report.rows)),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts.values():
        with writing(place / name) as handle:
            handle.write(text.encode())
    return {kind: place / name for kind, (name, _) in texts.items()}
