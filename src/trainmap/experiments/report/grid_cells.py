"""The tables of a report, as values: what stands in each cell, and the sentences that follow from the main table.

One line per subset, one column per student, plain and distilled apart. A cell is the mean over seeds with its interval
and n, the difference from random selection of the same size (paired by seed) with its interval, and the verdict that
follows from that interval. What it cost stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainmap.errors import TrainmapError, counted
from trainmap.experiments.report.formats import (
    bar_for,
    digits_for,
    scale_for,
    show_difference,
    show_estimate,
    show_flops,
    show_percent,
    show_reuses,
    show_seconds,
)
from trainmap.experiments.results.statistics import Difference, holm_verdicts, interval
from trainmap.experiments.results.versus_random import (
    CLOCKS,
    METRICS,
    UNITS,
    Column,
    Comparison,
    Report,
    Role,
    compare,
    role,
)
from trainmap.models.budget import break_even

Verdict = Literal["better", "same", "worse", ""]

PAID_BACK = ("map", "scoring")  # the costs that a subset has to earn; a teacher serves full data just as well
OPPONENTS: tuple[Role, ...] = ("full data", "full data, equal steps", "random", "repeated random")
VERDICTS: dict[str, Verdict] = {"beats random": "better", "no difference shown": "same", "worse": "worse"}
TIME = {"wall": "time", "cpu": "CPU time (all cores)"}
SENTENCES = {
    "beats random": "Beats random of the same size",
    "no difference shown": "No difference from random shown",
    "worse": "Worse than random of the same size",
}


@dataclass(frozen=True)
class Cell:
    """What stands in one cell: a value, what belongs to it, and a verdict in words."""

    text: str
    detail: str = ""
    words: str = ""
    verdict: Verdict = ""
    firm: bool = False  # the verdict stays under Holm's correction over its table
    bar: tuple[float, float, float] | None = None  # low, mean, high of the difference; -1..1 is the width of the bar


Lines = tuple[tuple[str, Role, tuple[Cell, ...]], ...]  # name, its part in the comparison, cells


@dataclass(frozen=True)
class Grid:
    """A table for people: one line per subset (or model, or cost), cells in the order of ``heads``."""

    title: str
    lead: str
    corner: str
    heads: tuple[str, ...]
    kinds: tuple[str, ...]  # for every head: "plain", "distilled" or "" (belongs to both)
    lines: Lines
    aside: bool = False  # folded away at first


def grids(report: Report) -> list[Grid]:
    """Every table of the report, in reading order."""
    comparisons = compare(report)
    found = []
    for comparison in comparisons:
        found.append(_score_grid(comparison, "test_macro_f1"))
        found.append(_cost_grid(comparison, report.costs))
        if comparison.against_full("test_macro_f1"):
            found.append(_full_grid(comparison, "test_macro_f1"))
        if comparison.from_distillation("test_macro_f1"):
            found.append(_distillation_grid(comparison, "test_macro_f1"))
        found.append(replace(_score_grid(comparison, "test_accuracy"), aside=True))
    if report.costs:
        found.append(_once_grid(report.costs, report.clock))
    if report.models:
        found.append(_models_grid(report.models))
    return found


def _score_grid(comparison: Comparison, metric: str) -> Grid:
    differences = comparison.against_random(metric)
    firm = dict(zip(differences, holm_verdicts(list(differences.values()), comparison.level)))
    digits, scale = digits_for(differences), scale_for(differences)

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.runs:
            return Cell("–")
        estimate = interval(list(comparison.values(name, column, metric).values()), comparison.level)
        if (name, column) not in differences:
            return Cell(show_estimate(estimate, digits), words="the opponent" if role(name) == "random" else "")
        difference = differences[name, column]
        return Cell(
            show_estimate(estimate, digits),
            show_difference(difference, digits, estimate.n),
            difference.verdict,
            VERDICTS[difference.verdict],
            firm[name, column] == difference.verdict != "no difference shown",
            bar_for(difference, scale),
        )

    lead = (
        f"Mean over n seeds in percent ± half of the {100 * comparison.level:g} % interval; the difference from random "
        "selection of the same size (of full data at equal steps: of the same steps) in points, paired by seed, with "
        "its interval and verdict. Cost: training relative to full data."
    )
    grid = _students_grid(METRICS[metric], lead, comparison, cell)
    return _with_columns(grid, {"cost": lambda name: _cost(comparison, name)})


def _full_grid(comparison: Comparison, metric: str) -> Grid:
    differences = comparison.against_full(metric)
    lead = f"{METRICS[metric]} minus that of a training on all the data, in points, paired by seed."
    shown = replace(comparison, names=tuple(name for name in comparison.names if name != comparison.full))
    grid = _differences_grid("Against full data", lead, shown, differences, "beats full data", "worse")
    return replace(_with_columns(grid, {"cost": lambda name: _cost(comparison, name)}), aside=True)


def _distillation_grid(comparison: Comparison, metric: str) -> Grid:
    gains = comparison.from_distillation(metric)
    lead = f"{METRICS[metric]} with distillation minus without, in points, same subset, student and seed."
    shown = replace(comparison, columns=tuple(column for column in comparison.columns if column[1]))
    return _differences_grid("What distillation adds", lead, shown, gains, "helps", "hurts")


def _differences_grid(
    title: str,
    lead: str,
    comparison: Comparison,
    differences: Mapping[tuple[str, Column], Difference],
    above: str,
    below: str,
) -> Grid:
    """Differences with their verdicts, in the words for an interval above zero and one below."""
    firm = dict(zip(differences, holm_verdicts(list(differences.values()), comparison.level)))
    digits, scale = digits_for(differences), scale_for(differences)
    words = {"beats random": above, "no difference shown": "no difference shown", "worse": below}

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in differences:
            return Cell("–")
        difference = differences[name, column]
        verdict, said = VERDICTS[difference.verdict], words[difference.verdict]
        stays = firm[name, column] == difference.verdict != "no difference shown"
        return Cell(show_difference(difference, digits), "", said, verdict, stays, bar_for(difference, scale))

    return _students_grid(title, lead, comparison, cell)


def _cost_grid(comparison: Comparison, costs: Mapping[str, Mapping[str, Any]]) -> Grid:
    if "map" not in costs and any(role(name) == "selection" for name in comparison.names):
        raise TrainmapError("cost is counted whole: costs must have 'map' (flops, seconds) where subsets come from one")
    fields = {"flops": "flops", "seconds": CLOCKS[comparison.clock]}
    made = {unit: sum(costs[part][field] for part in PAID_BACK if part in costs) for unit, field in fields.items()}

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.runs:
            return Cell("–")
        spent, whole = comparison.cost(name, column), comparison.cost(comparison.full, column)
        text, detail = show_flops(spent["flops"]), show_seconds(spent["seconds"])
        if not math.isnan(whole["flops"]):
            text = f"{text} ({show_percent(spent['flops'] / whole['flops'])})"
            detail = f"{detail} ({show_percent(spent['seconds'] / whole['seconds'])})"
        pays = role(name) == "selection" and comparison.first(name).get("reads_map", True)
        if not pays or math.isnan(whole["flops"]):
            return Cell(text, detail)
        chosen = comparison.choosing(name, column)
        by_flops, by_seconds = (break_even(made[unit] + chosen[unit], whole[unit], spent[unit]) for unit in UNITS)
        return Cell(text, detail, show_reuses(by_flops, by_seconds))

    lead = f"Training of one student in FLOPs and {TIME[comparison.clock]}, mean over seeds"
    lead += ", in brackets relative to full data" if comparison.full else "; full data was not run here"
    if made["flops"]:
        lead += (
            f"; the map with its scores ({show_flops(made['flops'])}, {show_seconds(made['seconds'])}) is paid back "
            "after map / (full run − subset run) runs, with it what a subset needs besides (features, clusters, the "
            "teacher's loss). Random selection needs no map"
        )
    sizes = {
        "examples": lambda name: Cell(
            f"{comparison.first(name)['examples']:,}", show_percent(comparison.first(name)["fraction"])
        ),
        "steps": lambda name: Cell(_range(comparison, name, "steps")),
    }
    return _with_columns(_students_grid("Cost", f"{lead}.", comparison, cell), sizes)


def _cost(comparison: Comparison, name: str) -> Cell:
    """What a subset costs to train on, relative to full data, over all students that ran both."""
    columns = [c for c in comparison.columns if {(name, c), (comparison.full, c)} <= comparison.runs.keys()]
    if not columns:
        return Cell("–")
    spent, whole = (
        {unit: sum(comparison.cost(which, column)[unit] for column in columns) for unit in UNITS}
        for which in (name, comparison.full)
    )
    flops, seconds = (show_percent(spent[unit] / whole[unit]) for unit in UNITS)
    return Cell(f"{flops} FLOPs", f"{seconds} {'CPU time' if comparison.clock == 'cpu' else 'time'}")


def _range(comparison: Comparison, name: str, key: str) -> str:
    values = [row[key] for (other, _), runs in comparison.runs.items() if other == name for row in runs.values()]
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _once_grid(costs: Mapping[str, Mapping[str, Any]], clock: Literal["wall", "cpu"]) -> Grid:
    lines: Lines = tuple(
        (
            name,
            "",
            (Cell(show_flops(cost["flops"])), Cell(show_seconds(cost[CLOCKS[clock]])), Cell(cost.get("note", ""))),
        )
        for name, cost in costs.items()
    )
    return Grid("Made once", "Shared by every run above.", "what", ("FLOPs", TIME[clock], "note"), ("",) * 3, lines)


def _models_grid(models: Sequence[Mapping[str, Any]]) -> Grid:
    lines: Lines = tuple(
        (
            model["name"],
            "",
            (Cell(model.get("role", "")), Cell(f"{model['parameters']:,}"), Cell(show_flops(model["flops"]))),
        )
        for model in models
    )
    lead = "FLOPs of one forward pass of one example; training is counted as three of them."
    return Grid("Models", lead, "model", ("part", "parameters", "FLOPs per example"), ("",) * 3, lines)


def _students_grid(title: str, lead: str, comparison: Comparison, cell: Callable[[str, Column], Cell]) -> Grid:
    heads = tuple(f"{student} + KD" if distilled else student for student, distilled in comparison.columns)
    kinds = tuple("distilled" if distilled else "plain" for _, distilled in comparison.columns)
    lines: Lines = tuple(
        (name, role(name), tuple(cell(name, column) for column in comparison.columns)) for name in comparison.names
    )
    title = f"{title}, {comparison.budget}" if comparison.budget else title
    return Grid(title, lead, "subset", heads, kinds, lines)


def _with_columns(grid: Grid, columns: Mapping[str, Callable[[str], Cell]]) -> Grid:
    """The grid with columns before those of the students, filled by the name of the subset."""
    lines: Lines = tuple(
        (name, part, (*(make(name) for make in columns.values()), *cells)) for name, part, cells in grid.lines
    )
    kinds = ("",) * len(columns) + grid.kinds
    return replace(grid, heads=(*columns, *grid.heads), kinds=kinds, lines=lines)


def summary(report: Report) -> list[str]:
    """What the main table says, in sentences that follow from its verdicts."""
    said = []
    for comparison in compare(report):
        where = f"{comparison.budget}: " if comparison.budget else ""
        differences = comparison.against_random("test_macro_f1")
        for verdict, words in SENTENCES.items() if differences else ():
            keys = [key for key, difference in differences.items() if difference.verdict == verdict]
            said.append(f"{where}{words}: {_named(keys, comparison) or 'nothing'}.")
        gains = [gain.verdict for gain in comparison.from_distillation("test_macro_f1").values()]
        if gains:
            said.append(
                f"{where}Distillation helps in {gains.count('beats random')} of {counted(len(gains), 'comparison')}, "
                f"hurts in {gains.count('worse')}, no difference shown in {gains.count('no difference shown')}."
            )
        stay = sum(
            verdict != "no difference shown" for verdict in holm_verdicts(list(differences.values()), comparison.level)
        )
        called = sum(difference.verdict != "no difference shown" for difference in differences.values())
        if differences:
            said.append(
                f"{where}{counted(len(differences), 'comparison')} at {100 * comparison.level:g} %: about "
                f"{(1 - comparison.level) * len(differences):.1f} would show a difference by chance alone. {called} "
                f"do; {stay} of them stay under Holm's correction (doubled symbol)."
            )
    present = {role(name) for comparison in compare(report) for name in comparison.names}
    if any("equal steps" in comparison.budget for comparison in compare(report)):
        present.add("full data, equal steps")
    absent = [part for part in OPPONENTS if part not in present]
    if absent:
        said.append(f"Not in this comparison: {', '.join(absent)}.")
    return said


def _named(keys: Sequence[tuple[str, Column]], comparison: Comparison) -> str:
    by_name: dict[str, list[str]] = {}
    for name, (student, distilled) in keys:
        by_name.setdefault(name, []).append(f"{student} + KD" if distilled else student)
    everywhere = len(comparison.columns)
    return ", ".join(
        name if len(students) == everywhere > 1 else f"{name} ({', '.join(students)})"
        for name, students in by_name.items()
    )
