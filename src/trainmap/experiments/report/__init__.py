"""Results for people: pages, tables, pictures.

Its files, in reading order::

    formats.py     numbers as people read them
    page.py        the page over all of it
    grid_cells.py  the tables of a report, as values
    longtable.py   all cells as CSV and LaTeX
    report.py      the table of one experiment
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.report.formats import (
        MINUS,
        show_difference,
        show_estimate,
        show_flops,
        show_percent,
        show_seconds,
    )
    from trainmap.experiments.report.grid_cells import VERDICTS, Cell, Grid, Lines
    from trainmap.experiments.report.page import write_study
    from trainmap.experiments.report.report import write_report
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "formats": "MINUS show_difference show_estimate show_flops show_percent show_seconds",
            "grid_cells": "VERDICTS Cell Grid Lines",
            "page": "write_study",
            "report": "write_report",
        },
    )

# fmt: off
__all__ = [
    "MINUS", "VERDICTS", "Cell", "Grid", "Lines", "show_difference", "show_estimate", "show_flops", "show_percent",
    "show_seconds", "write_report", "write_study",
]
# fmt: on
