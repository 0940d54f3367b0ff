"""The pictures of an experiment: what accuracy costs, and how it grows with the size of the subset."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from trainmap.experiments.report.overview_tables import Record, Table, by_budget, heads_of
from trainmap.experiments.results.facts import REFERENCES
from trainmap.experiments.results.price import IN_A_RUN, ONCE
from trainmap.views.result_plots import Panel, Point, Series, plot_costs, plot_sizes

CAPTIONS = {"cost": "Accuracy against cost", "whole": "Accuracy against the whole cost"}


def pictures(tables: Sequence[Table], folder: Path) -> list[tuple[str, Path]]:
    """Caption and file of each picture, drawn into ``folder``."""
    found = []
    for budget in dict.fromkeys(budget for _, budget, _ in by_budget(tables)):
        its = [row for _, own, part in by_budget(tables) if own == budget for row in part]
        for name, field, what in (("cost", "flops", "one run"), ("whole", "whole_flops", "with what it needs once")):
            there = all(row[field] is not None and not math.isnan(row[field]) for row in its)
            costs = _panels(tables, budget, lambda row, field=field: row[field]) if there else []
            if costs and (name == "cost" or any(row["once"] for row in its)):
                path = folder / f"{name}-{budget.replace(' ', '-')}.png"
                found.append((f"{CAPTIONS[name]}, {budget}: {_parts(its, name)}", plot_costs(costs, path, what)))
        sizes = _panels(tables, budget, lambda row: 100 * row["fraction"])
        if any(len(series.points) > 1 for panel in sizes for series in panel.series):
            path = folder / f"sizes-{budget.replace(' ', '-')}.png"
            found.append((f"Accuracy against the size of the subset, {budget}", plot_sizes(sizes, path)))
    return found


def _parts(its: Sequence[Record], name: str) -> str:
    """The parts that are in the numbers of a picture, in the order in which tables have them."""
    of_runs, once = ({part for row in its for part in (row[key] or "").split(" + ")} for key in ("counted", "once"))
    in_runs = ", ".join(part for part in IN_A_RUN if part in of_runs) or "training"
    before = ", ".join(part for part in ONCE if part in once)
    if name == "whole":
        return f"a run ({in_runs}) and all that must be made before the first one ({before})"
    return f"one run ({in_runs})" + (f"; what is made once ({before}) is not in it" if before else "")


def _panels(tables: Sequence[Table], budget: str, x: Callable[[Record], float]) -> list[Panel]:
    panels = []
    flat = list(by_budget(tables))
    for (_, its, part), heads in zip(flat, heads_of(flat), strict=True):
        columns: dict[str, dict[tuple[str, bool], list[Record]]] = {}
        for row in part if its == budget else ():
            series = columns.setdefault(heads[row["student"], row["taught"]], {})
            series.setdefault((row["series"], row["draw"] in REFERENCES), []).append(row)
        for column, series in columns.items():
            drawn = tuple(
                Series(
                    name if reference or (name, True) not in series else f"{name}, judged",
                    tuple(Point(x(row), row["macro_f1"], row["low"], row["high"]) for row in members),
                    reference,
                )
                for (name, reference), members in series.items()
            )
            panels.append(Panel(column, drawn))
    return panels
