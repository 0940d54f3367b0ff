"""The whole of an experiment in one table: a line for each subset, a column for each student of each group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from trainmap.errors import counted
from trainmap.experiments.report.formats import show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.judged_cells import tally_of
from trainmap.experiments.report.student_columns import column_name, column_names, kind_of
from trainmap.experiments.report.verdict_words import against
from trainmap.experiments.results.facts import REFERENCES
from trainmap.experiments.results.records import Group, long_table
from trainmap.experiments.results.run_rows import Report
from trainmap.experiments.results.statistics import Estimate, Verdict
from trainmap.experiments.results.versus_random import Column
from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.result_fields import MAPS
from trainmap.views.amounts import show_percent

OPPONENTS = {"opponent": "the opponent", "priced opponent": "may spend the map's cost"}

Done = Mapping[str, Mapping[str, Any]]
Record = Mapping[str, Any]  # a line of a long table
Table = tuple[Group, pl.DataFrame]  # with its long table
Place = tuple[int, str, str]  # number of a group, head of a column, what its student is taught by


def by_budget(tables: Iterable[Table]) -> Iterator[tuple[Group, str, list[Record]]]:
    """The cells of each group by training budget."""
    for group, frame in tables:
        rows = list(frame.iter_rows(named=True))
        for budget in dict.fromkeys(row["budget"] for row in rows):
            yield group, budget, [row for row in rows if row["budget"] == budget]


def overview(tables: Sequence[Table]) -> list[Grid]:
    """One table for each budget."""
    return [
        _grid(f"The whole in one table, {budget}", _lead("Test macro F1", its), its)
        for budget, its in _budgets(tables).items()
    ]


ELSEWHERE = {
    "_macro_f1": ("Shifted data ({})", "macro F1"),
    "_consistency": ("Pairs ({})", "consistency, right on an example and on all of its revisions"),
    "_auroc": ("Unknown examples ({})", "AUROC of telling them from the test data"),
}
"""How the fields of results end that are of another set -> what the set is, and what is told of it."""


def elsewhere(found: Sequence[tuple[Group, Report]]) -> list[Grid]:
    """A table for each set besides the test set, and budget: corruptions together, each other set by itself."""
    keys = dict.fromkeys(key for group, _ in found for row in group.rows for key in row)
    grids: list[Grid] = []
    for key in keys:
        ending = next((ending for ending in ELSEWHERE if key.endswith(ending)), None)
        if ending is None or (name := key[: -len(ending)]) in ("test", "validation"):
            continue
        shared = [(group, report) for group, report in found if group.rows and all(key in row for row in group.rows)]
        tables = [(group, long_table(group, report, key)) for group, report in shared]
        what, measure = ELSEWHERE[ending]
        what = "Corrupted test data" if name == "corrupted" else what.format(name)
        for budget, its in _budgets(tables).items():
            grids.append(_grid(f"{what}, {budget}", _lead(f"{what}, {measure}", its), its))
    return grids


def overlaps(study: Study, done: Done) -> list[Grid]:
    """How far the regions of each map are the same examples."""
    maps = [entry for entry in study.entries if entry.kind in MAPS and entry.hash in done]
    if not maps:
        return []
    pairs = list(dict.fromkeys(pair for entry in maps for pair in done[entry.hash]["overlap"]))
    lines = tuple(
        GridLine(entry.name, tuple(Cell(show_percent(done[entry.hash]["overlap"][pair])) for pair in pairs))
        for entry in maps
    )
    lead = (
        "The share of the first region's third that is in the second's too (quantile rule, before the values decide)."
    )
    return [Grid("Overlap of regions", lead, "map", tuple(pairs), lines)]


def in_all(study: Study, done: Done, tables: Sequence[Table], failed: Mapping[str, str]) -> list[str]:
    """How far an experiment is and what its tables say, in sentences."""
    of = counted(len(study.entries), "task")
    said = [f"{len(done):,} of {of} {'is' if len(study.entries) == 1 else 'are'} done, {len(failed)} failed."]
    for group, budget, part in by_budget(tables):
        judged = [row for row in part if row["verdict"]]
        if not judged:
            continue
        others = " or another opponent" if any(row.get("opponent") for row in judged) else ""
        verdicts = tally_of([(Verdict(row["verdict"]), row["firm"]) for row in judged])
        best = max(judged, key=lambda row: -math.inf if math.isnan(row["difference"]) else row["difference"])
        words = against(best.get("opponent")).of(Verdict(best["verdict"]), best["firm"])
        said.append(
            f"{group.title}, {budget}: of {counted(len(judged), 'comparison')} {verdicts.firm_above} beat random of "
            f"the same size{others}, {verdicts.firm_below} are worse, {verdicts.none} show no difference"
            f"{verdicts.leaning}. Largest mean difference: {best['subset']} "
            f"({column_name(best['student'], best['taught'])}), {100 * best['difference']:+.1f} points, {words}."
        )
    return said


def heads_of(tables: Sequence[tuple[Group, str, Sequence[Record]]]) -> list[dict[Column, str]]:
    """The heads of the columns of each group and budget: what tells the group from others in front, unless the student
    of every group says it itself."""
    students = {id(group): {row["student"] for row in part} for group, _, part in tables}
    several, everyone = len(students) > 1, [name for names in students.values() for name in names]
    says = [
        key
        for key in (tables[0][0].told if tables and len(set(everyone)) == len(everyone) else {})
        if all(group.told.get(key) in students[id(group)] for group, _, _ in tables)
    ]
    found: list[dict[Column, str]] = []
    for group, _, part in tables:
        names = column_names(dict.fromkeys((row["student"], row["taught"]) for row in part))
        told = ", ".join(phrase for key, phrase in group.told.items() if key not in says) if several else ""
        found.append({column: f"{told}: {name}" if told else name for column, name in names.items()})
    return found


def _lead(what: str, its: Sequence[tuple[Place, Record]]) -> str:
    """What a table has in its cells, and which rows meet another one than random."""
    lead = f"{what}: mean over n seeds in percent ± half of the interval, and the verdict against random"
    met = dict.fromkeys((row["subset"], row["opponent"]) for _, row in its if row.get("opponent"))
    return f"{lead}{''.join(f'; of {name} against {opponent}' for name, opponent in met)}."


def _budgets(tables: Sequence[Table]) -> dict[str, list[tuple[Place, Record]]]:
    """The cells of each budget with their columns: the number of the group, the head, what the student is taught by."""
    flat, numbers = list(by_budget(tables)), {id(group): at for at, (group, _) in enumerate(tables)}
    found: dict[str, list[tuple[Place, Record]]] = {}
    for (group, budget, part), heads in zip(flat, heads_of(flat), strict=True):
        for row in part:
            head = heads[row["student"], row["taught"]]
            found.setdefault(budget, []).append(((numbers[id(group)], head, row["taught"]), row))
    return found


def _grid(title: str, lead: str, its: Sequence[tuple[Place, Record]]) -> Grid:
    cells = {(row["subset"], place): row for place, row in its}
    columns = list(dict.fromkeys(place for _, place in cells))
    references = {row["subset"]: row["draw"] in REFERENCES for _, row in reversed(its)}
    lines = tuple(
        GridLine(name, tuple(_cell(cells.get((name, place))) for place in columns), references[name])
        for name in dict.fromkeys(name for name, _ in cells)
    )
    heads, kinds = tuple(head for _, head, _ in columns), tuple(kind_of(taught) for _, _, taught in columns)
    return Grid(title, lead, "subset", heads, lines, kinds=kinds)


def _cell(row: Record | None) -> Cell:
    if row is None:
        return NOTHING
    shown = Cell(show_estimate(Estimate(row["macro_f1"], row["low"], row["high"], row["n"]), 1))
    if not row["verdict"]:
        return replace(shown, words=OPPONENTS.get(row["role"], ""))
    return shown.judged(Verdict(row["verdict"]), against(row.get("opponent")), row["firm"])
