"""The tables of one comparison: scores beside random, against full data, what distillation adds, what it all cost.

One line per subset, one column per student, plain and distilled apart. A cell is the mean over seeds with its interval
and n, the difference from random selection of the same size (paired by seed) with its interval, and the verdict that
follows from that interval. What it cost stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from trainmap.experiments.report.cost_tables import cost_beside, cost_grid, models_grid, once_grid, whole_grid
from trainmap.experiments.report.formats import bar_for, digits_for, scale_for, show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid
from trainmap.experiments.report.student_columns import students_grid
from trainmap.experiments.report.verdict_words import DISTILLED, VERSUS_FULL, VERSUS_PRICED, Words, against
from trainmap.experiments.results.run_rows import METRICS, Report
from trainmap.experiments.results.statistics import Difference, firm_of, interval
from trainmap.experiments.results.versus_random import Column, Comparison, compare

Place = tuple[str, Column]  # name of the subset, column


def grids(report: Report) -> list[Grid]:
    """Every table of the report, in reading order."""
    found: list[Grid] = []
    for comparison in compare(report):
        found.append(_score_grid(comparison, "test_macro_f1"))
        found.append(cost_grid(comparison, report.costs))
        found += [grid for grid in [whole_grid(comparison)] if grid is not None]
        if comparison.against_full("test_macro_f1"):
            found.append(_full_grid(comparison, "test_macro_f1"))
        if comparison.against_price("test_macro_f1"):
            found.append(_price_grid(comparison, "test_macro_f1"))
        if comparison.from_distillation("test_macro_f1"):
            found.append(_distillation_grid(comparison, "test_macro_f1"))
        found.append(replace(_score_grid(comparison, "test_accuracy"), aside=True))
    if report.costs:
        found.append(once_grid(report.costs, report.clock))
    if report.models:
        found.append(models_grid(report.models))
    return found


def _score_grid(comparison: Comparison, metric: str) -> Grid:
    differences = comparison.against_random(metric)
    digits = digits_for(differences)
    judged = _judged(differences, comparison.level, lambda name: against(comparison.rival(name)))

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.cells:
            return NOTHING
        estimate = interval(list(comparison.values(name, column, metric).values()), comparison.level)
        if (name, column) not in differences:
            words = "the opponent" if comparison.draw(name) == "random" else ""
            return Cell(show_estimate(estimate, digits), words=words)
        told = show_difference(differences[name, column], digits, estimate.n)
        return judged(Cell(show_estimate(estimate, digits), told), (name, column))

    lead = (
        f"Mean over n seeds in percent ± half of the {100 * comparison.level:g} % interval; the difference from random "
        "selection of the same size (of full data at equal steps: of the same steps) in points, paired by seed, with "
        "its interval and verdict; a hollow symbol does not stay under Holm's correction over the table. Cost: one "
        "run, with its live teacher and its proxy, relative to full data."
    )
    rivals = dict.fromkeys(filter(None, map(comparison.rival, comparison.names)))
    for rival in rivals:
        its = ", ".join(name for name in comparison.names if comparison.rival(name) == rival)
        lead += f" The difference from {rival} in place of random: {its}."
    grid = students_grid(METRICS[metric], lead, comparison, cell)
    return grid.with_columns({"cost": lambda name: cost_beside(comparison, name)})


def _full_grid(comparison: Comparison, metric: str) -> Grid:
    lead = f"{METRICS[metric]} minus that of a training on all the data, in points, paired by seed."
    shown = replace(comparison, names=tuple(name for name in comparison.names if name != comparison.full))
    grid = _differences_grid("Against full data", lead, shown, comparison.against_full(metric), VERSUS_FULL)
    return replace(grid.with_columns({"cost": lambda name: cost_beside(comparison, name)}), aside=True)


def _price_grid(comparison: Comparison, metric: str) -> Grid:
    lead = (
        f"{METRICS[metric]} minus that of random that may spend what the subset and the whole map cost together (more "
        "examples, then more steps), in points, paired by seed: the map is used once. Runs that share a map share its "
        "price; see after how many it has paid."
    )
    differences = comparison.against_price(metric)
    shown = replace(comparison, names=tuple(dict.fromkeys(name for name, _ in differences)))
    return _differences_grid("Against random at the map's cost", lead, shown, differences, VERSUS_PRICED)


def _distillation_grid(comparison: Comparison, metric: str) -> Grid:
    lead = (
        f"{METRICS[metric]} with distillation minus without, in points, same subset, student and seed. A column is "
        "named by the loss."
    )
    shown = replace(comparison, columns=tuple(column for column in comparison.columns if column[1]))
    return _differences_grid("What distillation adds", lead, shown, comparison.from_distillation(metric), DISTILLED)


def _differences_grid(
    title: str, lead: str, comparison: Comparison, differences: Mapping[Place, Difference], words: Words
) -> Grid:
    digits, judged = digits_for(differences), _judged(differences, comparison.level, lambda _: words)

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in differences:
            return NOTHING
        return judged(Cell(show_difference(differences[name, column], digits)), (name, column))

    return students_grid(title, lead, comparison, cell)


def _judged(
    differences: Mapping[Place, Difference], level: float, words: Callable[[str], Words]
) -> Callable[[Cell, Place], Cell]:
    """What puts the verdict of a place into its cell, with its bar, and whether it stays beside all others; ``words``
    are by the name of the row."""
    firm = firm_of(differences, level)
    scale = scale_for(differences)

    def judged(cell: Cell, place: Place) -> Cell:
        difference = differences[place]
        return replace(cell.judged(difference.verdict, words(place[0]), firm[place]), bar=bar_for(difference, scale))

    return judged
