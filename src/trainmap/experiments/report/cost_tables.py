"""What it cost: the training of a student beside full data, when a map has paid, what was made once, the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trainmap.errors import TrainmapError
from trainmap.experiments.report.formats import show_reuses
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.student_columns import students_grid
from trainmap.experiments.results.facts import reads_map
from trainmap.experiments.results.versus_random import CLOCKS, UNITS, Column, Comparison
from trainmap.models.budget import break_even
from trainmap.views.amounts import show_flops, show_percent, show_seconds

Costs = Mapping[str, Mapping[str, Any]]

PAID_BACK = ("map", "scoring")  # the costs that a subset has to earn; a teacher serves full data just as well
TIME = {"wall": "time", "cpu": "CPU time (all cores)"}


def cost_grid(comparison: Comparison, costs: Costs) -> Grid:
    """Training of one student by subset, and after how many runs the map has paid for itself.

    Raises:
        TrainmapError: subsets of a map whose cost is not told.
    """
    pays = {name for name in comparison.names if reads_map(comparison.draw(name), comparison.first(name, "reads_map"))}
    if "map" not in costs and pays:
        raise TrainmapError("cost is counted whole: costs must have 'map' (flops, seconds) where subsets come from one")
    fields = {"flops": "flops", "seconds": CLOCKS[comparison.clock]}
    made = {unit: sum(costs[part][field] for part in PAID_BACK if part in costs) for unit, field in fields.items()}

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.cells:
            return NOTHING
        spent, whole = comparison.cost(name, column), comparison.cost(comparison.full, column)
        text, detail = show_flops(spent["flops"]), show_seconds(spent["seconds"])
        if math.isnan(whole["flops"]):
            return Cell(text, detail)
        text = f"{text} ({show_percent(spent['flops'] / whole['flops'])})"
        detail = f"{detail} ({show_percent(spent['seconds'] / whole['seconds'])})"
        if name not in pays:
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
    return students_grid("Cost", f"{lead}.", comparison, cell).with_columns(
        {
            "examples": lambda name: Cell(
                f"{comparison.first(name, 'examples'):,}", show_percent(comparison.first(name, "fraction"))
            ),
            "steps": lambda name: Cell(_range(comparison.all(name, "steps"))),
        }
    )


def cost_beside(comparison: Comparison, name: str) -> Cell:
    """What a subset costs to train on, relative to full data, over all students that ran both."""
    columns = [c for c in comparison.columns if {(name, c), (comparison.full, c)} <= comparison.cells.keys()]
    if not columns:
        return NOTHING
    spent, whole = (
        {unit: sum(comparison.cost(which, column)[unit] for column in columns) for unit in UNITS}
        for which in (name, comparison.full)
    )
    flops, seconds = (show_percent(spent[unit] / whole[unit]) for unit in UNITS)
    return Cell(f"{flops} FLOPs", f"{seconds} {'CPU time' if comparison.clock == 'cpu' else 'time'}")


def once_grid(costs: Costs, clock: Literal["wall", "cpu"]) -> Grid:
    """What is made once and shared by the runs."""
    lines = tuple(
        GridLine(
            name,
            (Cell(show_flops(cost["flops"])), Cell(show_seconds(cost[CLOCKS[clock]])), Cell(cost.get("note", ""))),
        )
        for name, cost in costs.items()
    )
    return Grid("Made once", "Shared by every run above.", "what", ("FLOPs", TIME[clock], "note"), lines)


def models_grid(models: Sequence[Mapping[str, Any]]) -> Grid:
    """The networks and what one example costs them."""
    lines = tuple(
        GridLine(
            model["name"],
            (Cell(model.get("role", "")), Cell(f"{model['parameters']:,}"), Cell(show_flops(model["flops"]))),
        )
        for model in models
    )
    lead = "FLOPs of one forward pass of one example; training is counted as three of them."
    return Grid("Models", lead, "model", ("part", "parameters", "FLOPs per example"), lines)


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
