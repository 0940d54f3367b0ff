"""A page of a report as a value: what every format shows, in reading order. Renderers make files of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainmap.experiments.report.grid import Grid
from trainmap.experiments.report.in_short import summary
from trainmap.experiments.report.score_tables import grids
from trainmap.experiments.results.run_rows import Report


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: heading.
        procedure: what was done, step by step; nothing where no plan says it.
        summary: what the tables say, in sentences.
        grids: the tables.
        map: the picture of the map as a PNG file; None without one.
        pictures: caption and PNG file.
        parts: pages below it, such as those of the groups of an experiment.
        notes, provenance: at the end.
    """

    title: str
    summary: tuple[str, ...]
    grids: tuple[Grid, ...]
    map: Path | None = None
    pictures: tuple[tuple[str, Path], ...] = ()
    parts: tuple[Page, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    procedure: tuple[str, ...] = ()

    def folded(self) -> Page:
        """The page with its tables folded away at first."""
        return replace(self, grids=tuple(replace(grid, aside=True) for grid in self.grids))


def page_of(report: Report) -> Page:
    """The page of one set of runs.

    Raises:
        TrainmapError: no random row of the size of a subset, a missing field, a run given twice, a score outside
            0..1 or not finite, selections without the cost of their map.
    """
    return Page(
        report.title,
        tuple(summary(report)),
        tuple(grids(report)),
        map=report.picture,
        notes=tuple(report.notes),
        provenance=report.provenance,
    )
