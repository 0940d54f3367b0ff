"""The pictures of an experiment: what accuracy costs, and how it grows with the size of the subset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trainmap.experiments.report.overview_tables import Record, Table, by_budget, heads_of
from trainmap.experiments.results.facts import REFERENCES
from trainmap.views.result_plots import Panel, Point, Series, plot_costs, plot_sizes


def pictures(tables: Sequence[Table], folder: Path) -> list[tuple[str, Path]]:
    """Caption and file of each picture, drawn into ``folder``."""
    found = []
    for budget in dict.fromkeys(budget for _, budget, _ in by_budget(tables)):
        costs = _panels(tables, budget, lambda row: row["flops"])
        path = folder / f"cost-{budget.replace(' ', '-')}.png"
        if costs:
            found.append((f"Accuracy against cost, {budget}", plot_costs(costs, path)))
        sizes = _panels(tables, budget, lambda row: 100 * row["fraction"])
        if any(len(series.points) > 1 for panel in sizes for series in panel.series):
            path = folder / f"sizes-{budget.replace(' ', '-')}.png"
            found.append((f"Accuracy against the size of the subset, {budget}", plot_sizes(sizes, path)))
    return found


def _panels(tables: Sequence[Table], budget: str, x: Callable[[Record], float]) -> list[Panel]:
    panels = []
    several = len(tables) > 1
    for group, its, part in by_budget(tables):
        columns: dict[str, dict[tuple[str, bool], list[Record]]] = {}
        heads = heads_of(part, group.title if several else "")
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
