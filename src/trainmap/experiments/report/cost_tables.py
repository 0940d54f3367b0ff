"""What it cost: the training of a student beside full data, when a map has paid, what was made once, the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from trainmap.errors import TrainmapError
from trainmap.experiments.report.formats import show_reuses
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.student_columns import students_grid
from trainmap.experiments.results.facts import reads_map
from trainmap.experiments.results.price import BESIDE, IN_A_RUN, OF_A_MAP, ONCE, part_column
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.versus_random import CLOCKS, UNITS, Column, Comparison
from trainmap.models.budget import break_even
from trainmap.views.amounts import show_flops, show_percent, show_seconds

Costs = Mapping[str, Mapping[str, Any]]

PART_OF = {**BESIDE, "compression": "compress_flops"}
"""The parts of a run's cost besides its training, and the field of a row that says how much of it."""
OF_THE_MAP = (*OF_A_MAP, *(f"{part} of the map" for part in ONCE))  # the costs of the map of a table
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
    made = {unit: sum(costs[part][field] for part in OF_THE_MAP if part in costs) for unit, field in fields.items()}

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
        chosen, full = comparison.choosing(name, column), comparison.choosing(comparison.full, column)
        by_flops, by_seconds = (
            break_even(made[unit] + max(0.0, chosen[unit] - full[unit]), whole[unit], spent[unit]) for unit in UNITS
        )
        return Cell(text, detail, show_reuses(by_flops, by_seconds))

    lead = f"One run in FLOPs and {TIME[comparison.clock]}, mean over seeds"
    lead += ", in brackets relative to full data" if comparison.full else "; full data was not run here"
    lead += f". {counted_in(comparison)}"
    if made["flops"]:
        lead += (
            f" The map with its scores ({show_flops(made['flops'])}, {show_seconds(made['seconds'])}) is paid back "
            "after map / (full run − subset run) runs, with it what a subset needs besides (features, clusters, the "
            "teacher's loss). Random selection needs no map."
        )
    return students_grid("Cost", lead, comparison, cell).with_columns(
        {
            "examples": lambda name: Cell(
                f"{comparison.first(name, 'examples'):,}", show_percent(comparison.first(name, "fraction"))
            ),
            "steps": lambda name: Cell(_range(comparison.all(name, "steps"))),
        }
    )


def counted_in(comparison: Comparison) -> str:
    """Which parts are in the cost of a run, of which of them, and which are not; in sentences."""
    live = dict.fromkeys(taught for (_, (_, taught)), cell in comparison.cells.items() if any(cell["teacher_flops"]))
    proxies = dict.fromkeys(name for (name, _), cell in comparison.cells.items() if any(cell["proxy_flops"]))
    smaller = any(any(cell["compress_flops"]) for cell in comparison.cells.values())
    told = ["training"]
    told += [f"the live teacher's forward passes ({', '.join(live)})"] if live else []
    told += [f"the proxy ({', '.join(proxies)})"] if proxies else []
    told += ["what makes a student smaller"] if smaller else []
    absent = [name for name, there in (("a live teacher", live), ("a proxy", proxies)) if not there]
    none = f"; no run has {' or '.join(absent)}" if absent else ""
    said = f"In the number: {', '.join(told)}{none}."
    once = {part for cell in comparison.cells.values() for part in (cell["once"][0] or "").split(" + ")}
    there = [part for part in ONCE if part in once]
    return f"{said} Made once, and not in it: {', '.join(there)} (see The whole cost)." if there else said


def whole_grid(comparison: Comparison) -> Grid | None:
    """What a run costs with all that was made before it, and what that is made of; None where rows do not say it."""
    if not any(cell["whole_flops"][0] is not None for cell in comparison.cells.values()):
        return None
    clock = CLOCKS[comparison.clock]

    def cell(name: str, column: Column) -> Cell:
        def mean(key: str) -> float:
            return mean_of([value or 0.0 for value in comparison.values(name, column, key).values()])

        if (name, column) not in comparison.cells:
            return NOTHING
        besides = {part: mean(field) for part, field in PART_OF.items()}
        run = {"training": mean("train_flops") - sum(besides.values())} | besides
        once = {part: mean(part_column(part)) for part in ONCE}
        parts = [_summed(run)]
        parts += [f"once: {_summed(once)}"] if any(once.values()) else []
        return Cell(show_flops(mean("whole_flops")), "; ".join([*parts, show_seconds(mean(f"whole_{clock}"))]))

    lead = (
        f"What one run takes in FLOPs and {TIME[comparison.clock]} when nothing is there yet: the run itself "
        f"({', '.join(IN_A_RUN)}), and once all that must be made before it, each task once ({', '.join(ONCE)}). "
        "Further runs pay nothing for what is made once."
    )
    return replace(students_grid("The whole cost", lead, comparison, cell), aside=True)


def _summed(parts: Mapping[str, float]) -> str:
    return " + ".join(f"{name} {show_flops(flops)}" for name, flops in parts.items() if flops)


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
    lead = "Shared by the runs above that need it; in no number above but those of the whole cost."
    return Grid("Made once", lead, "what", ("FLOPs", TIME[clock], "note"), lines)


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
