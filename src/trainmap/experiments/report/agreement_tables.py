"""How far the maps of one dataset agree, two by two: the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainmap.errors import counted
from trainmap.experiments.report.formats import MINUS
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.results.map_pairs import Pair
from trainmap.views.amounts import show_flops, show_percent, show_seconds

FOLDED = 15  # pairs from which on the table is folded at first


def agreement_grids(found: Sequence[Pair]) -> list[Grid]:
    """One table for each dataset, a line for each pair."""
    datasets = dict.fromkeys(pair.dataset for pair in found)
    return [_grid(dataset, [pair for pair in found if pair.dataset == dataset]) for dataset in datasets]


def _grid(dataset: str, found: Sequence[Pair]) -> Grid:
    lines: list[GridLine] = []
    one_point = len({title.point for pair in found for title in (pair.first, pair.second)}) == 1
    for pair in found:
        first, second = (title.name if one_point else str(title) for title in (pair.first, pair.second))
        mixed = "" if " and " not in pair.sources else f", {pair.sources}"
        cells = [
            *(_rank(value) for value in (pair.confidence, pair.variability)),
            *(Cell(show_percent(share)) for share in (pair.ambiguous, pair.hard)),
            Cell(f"{100 * pair.first_accuracy:.1f} and {100 * pair.second_accuracy:.1f}"),
            Cell(
                f"{show_flops(pair.first_flops)} and {show_flops(pair.second_flops)}",
                f"{show_seconds(pair.first_cpu_seconds)} and {show_seconds(pair.second_cpu_seconds)}",
            ),
        ]
        lines.append(GridLine(f"{first} | {second}{mixed}", tuple(cells)))
    heads = (
        *("Spearman, confidence", "Spearman, variability", "same ambiguous", "same hard-to-learn"),
        *("teachers' test accuracy", "cost of the maps, CPU time"),
    )
    lead = (
        f"Two maps of the same {counted(found[0].examples, 'example')}: correlation of the ranks, and the share of one "
        "map's ambiguous (hard-to-learn) third that is in the other's; 33 % would be chance. Accuracy in percent; "
        "cost: the training that was recorded, and scoring. Each is one pair, n=1: two seeds of one network show how "
        "much chance does. Networks of one seed meet the examples in one order, which makes their maps more alike."
    )
    title = f"Agreement of maps, {dataset}"
    return Grid(title, lead, "maps", heads, tuple(lines), aside=len(lines) > FOLDED)


def _rank(value: float) -> Cell:
    return NOTHING if math.isnan(value) else Cell(f"{value:.2f}".replace("-", MINUS))
