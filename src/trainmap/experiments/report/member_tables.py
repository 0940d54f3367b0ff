"""How many recordings a map's ranking needs: the table of each ensemble, its rows for a file, and the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainmap.experiments.report.formats import show_between
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.results.titles import map_titles
from trainmap.experiments.runs.folder import Study
from trainmap.views.result_plots import Panel, Point, Series, plot_members

Done = Mapping[str, Mapping[str, Any]]


def member_grids(study: Study, done: Done) -> tuple[list[Grid], list[dict[str, Any]]]:
    """A table for each finished map of several recordings, and a row for each score and number of members."""
    grids: list[Grid] = []
    rows: list[dict[str, Any]] = []
    for name, dataset, found in _ensembles(study, done):
        grids.append(_grid(f"{name}, {dataset}", found))
        rows += [{"dataset": dataset, "map": name, **row} for row in found["agreement"]]
    return grids, rows


def member_pictures(study: Study, done: Done, folder: Path) -> list[tuple[str, Path]]:
    """Caption and file: agreement against members, where some ensemble is large enough for a line."""
    panels = [
        Panel(f"{name}, {dataset}", tuple(_series(score, rows) for score, rows in _by_score(found).items()))
        for name, dataset, found in _ensembles(study, done)
        if max(row["members"] for row in found["agreement"]) > 1
    ]
    if not panels:
        return []
    return [("Agreement of ensembles against their members", plot_members(panels, folder / "members.png"))]


def _ensembles(study: Study, done: Done) -> list[tuple[str, str, Mapping[str, Any]]]:
    titles = map_titles(study)
    return [
        (str(titles[entry.hash]), entry.dataset, done[entry.hash])
        for entry in study.entries
        if entry.kind == "ensemble" and entry.hash in done
    ]


def _by_score(found: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["agreement"]:
        rows.setdefault(row["score"], []).append(row)
    return rows


def _series(score: str, rows: list[Mapping[str, Any]]) -> Series:
    points = [
        (row["members"], *(math.nan if row[key] is None else row[key] for key in KEYS["spearman"])) for row in rows
    ]
    return Series(score, tuple(Point(*point) for point in points if not math.isnan(point[1])))


KEYS = {"spearman": ("spearman", "low", "high"), "top": ("top", "top_low", "top_high")}


def _grid(name: str, found: Mapping[str, Any]) -> Grid:
    by_score = _by_score(found)
    cells = {
        (score, row["members"]): [_cell(*(row[key] for key in keys)) for keys in KEYS.values()]
        for score, rows in by_score.items()
        for row in rows
    }
    sizes = sorted({size for _, size in cells})
    lines = tuple(
        GridLine(
            str(size), tuple(cell for score in by_score for cell in cells.get((score, size), [NOTHING] * len(KEYS)))
        )
        for size in sizes
    )
    heads = tuple(f"{score}, {what}" for score in by_score for what in ("Spearman", "hardest 10 %"))
    lead = (
        f"Of the {found['members']} recordings, two ensembles of so many members and without a common one: correlation "
        "of their ranks, and the share of the hardest 10 % that is the same (10 % is chance); mean over pairs of "
        "ensembles with its interval over recordings (jackknife). No interval where leaving one out leaves no pair."
    )
    return Grid(f"How many members a ranking needs, {name}", lead, "members", heads, lines)


def _cell(value: float | None, low: float | None, high: float | None) -> Cell:
    if value is None:
        return NOTHING
    return Cell(show_between(value, low, high))
