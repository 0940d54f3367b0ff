"""How far the maps of one dataset agree, two by two: the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainmap.errors import counted
from trainmap.experiments.report.formats import MINUS
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.results.map_pairs import Pair
from trainmap.experiments.results.statistics import interval
from trainmap.views.amounts import show_flops, show_percent, show_seconds

FOLDED = 15  # pairs from which on the table is folded at first


def agreement_grids(found: Sequence[Pair], level: float = 0.95) -> list[Grid]:
    """Two tables for each dataset: over the seeds of each two kinds of maps, and a line for each pair."""
    grids: list[Grid] = []
    for dataset in dict.fromkeys(pair.dataset for pair in found):
        own = [pair for pair in found if pair.dataset == dataset]
        grids += [*_over_seeds(dataset, own, level), _grid(dataset, own)]
    return grids


def _over_seeds(dataset: str, found: Sequence[Pair], level: float) -> list[Grid]:
    """A line for each two kinds of maps: of the same seed, where no two pairs share a map, and of other seeds. Nothing
    where each kind has one seed."""
    groups: dict[tuple[str, str, bool], list[Pair]] = {}
    for pair in found:
        if pair.first_seed is None or pair.second_seed is None:  # of several trainings, whichever
            continue
        key = (str(pair.first_maker), str(pair.second_maker), pair.first_seed == pair.second_seed)
        groups.setdefault(key, []).append(pair)
    if all(len(pairs) == 1 for pairs in groups.values()):
        return []
    lines: list[GridLine] = []
    for (first, second, same), pairs in groups.items():
        name = f"{first} | {second}, {'the same seed' if same else 'other seeds'}"
        values = [[getattr(pair, key) for pair in pairs] for key in ("confidence", "variability", "ambiguous", "hard")]
        lines.append(GridLine(name, tuple(_mean(own, same, level, rank=at < 2) for at, own in enumerate(values))))
    heads = ("Spearman, confidence", "Spearman, variability", "same ambiguous", "same hard-to-learn")
    lead = (
        "The mean over pairs of maps; of the same seed over n independent ones, ± half of the interval. Pairs of other "
        "seeds share maps, and have no interval: two seeds of one network show how much chance does. Thirds in percent."
    )
    return [Grid(f"Agreement of maps over seeds, {dataset}", lead, "maps", heads, tuple(lines))]


def _mean(values: Sequence[float], same: bool, level: float, rank: bool) -> Cell:
    if any(math.isnan(value) for value in values):
        return NOTHING
    if same and len(values) > 1:
        found = interval(values, level)
        scale, digits = (1, 2) if rank else (100, 0)
        half = "" if math.isnan(found.low) else f" ± {scale * found.half_width:.{digits}f}"
        return Cell(f"{scale * found.mean:.{digits}f}{half} (n={found.n})".replace("-", MINUS))
    mean = sum(values) / len(values)
    return Cell(f"{mean:.2f}".replace("-", MINUS) if rank else f"{100 * mean:.0f}", counted(len(values), "pair"))


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
