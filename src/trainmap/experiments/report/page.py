"""A page of a report as a value: what every format shows, in reading order. Renderers make files of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainmap.experiments.report.answer import Answer
from trainmap.experiments.report.choice_answer import choice_answer
from trainmap.experiments.report.grid import Grid
from trainmap.experiments.report.in_short import summary
from trainmap.experiments.report.score_tables import grids
from trainmap.experiments.results.run_rows import Report
from trainmap.experiments.results.versus_random import compare
from trainmap.findings.example_cards import RegionCards


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: heading.
        procedure: what was done, step by step; nothing where no plan says it.
        summary: what the tables say, in sentences.
        answers: what it opens with, one for each matter that it is about.
        status: how much of it is done; "" where it is whole by itself.
        grids: the tables.
        map: the picture of the map as a PNG file; None without one.
        regions: examples of each region of the map.
        pictures: caption and PNG file.
        parts: pages below it, such as those of the groups of an experiment.
        notes, provenance: at the end.
    """

    title: str
    summary: tuple[str, ...]
    grids: tuple[Grid, ...]
    map: Path | None = None
    regions: tuple[RegionCards, ...] = ()
    pictures: tuple[tuple[str, Path], ...] = ()
    parts: tuple[Page, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    procedure: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    status: str = ""

    def beside(self, others: Sequence[Page]) -> Page:
        """The page as a part among others: alone it does not say again what the page above it says."""
        return self if len(others) > 1 else replace(self, answers=(), map=None, regions=())


def page_of(report: Report) -> Page:
    """The page of one set of runs.

    Raises:
        TrainmapError: no random row of the size of a subset, a missing field, a run given twice, a score outside
            0..1 or not finite, selections without the cost of their map.
    """
    answer = choice_answer([("", comparison) for comparison in compare(report)])
    return Page(
        report.title,
        tuple(summary(report)),
        tuple(grids(report)),
        map=report.picture,
        regions=report.regions,
        notes=tuple(report.notes),
        provenance=report.provenance,
        answers=() if answer is None else (answer,),
    )
