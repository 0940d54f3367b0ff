"""Active learning: accuracy by number of labels, what the labels bought and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.report.formats import digits_for, show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.judged_cells import judged_of, tally_of, with_verdict
from trainmap.experiments.report.verdict_words import VERSUS_ENTROPY, VERSUS_RANDOM
from trainmap.experiments.results.label_curves import ENTROPY, RANDOM, Curves, curves_of
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import firm_of, interval
from trainmap.experiments.runs.folder import Study
from trainmap.views.amounts import show_flops, show_percent, show_seconds
from trainmap.views.result_plots import Panel, Point, Series, plot_labels

Done = Mapping[str, Mapping[str, Any]]

TOLD = ("labels", "test_accuracy", "test_macro_f1", "train_flops", "pool_flops", "train_cpu_seconds")


def active_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables of each network and dataset, what they say in a sentence, a row for each run and round; empty without
    active learning."""
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    for curves in curves_of(study, done):
        grids += [_by_labels(curves, study.level), _bought(curves, study.level)]
        said += _sentence(curves, study.level)
        rows += [
            {"network": curves.title, "strategy": strategy, "seed": seed, **{name: row[name] for name in TOLD}}
            for strategy, runs in curves.runs.items()
            for seed, run in runs.items()
            for row in run["rounds"]
        ]
    return grids, said, rows


def active_pictures(study: Study, done: Done, folder: Path) -> list[tuple[str, Path]]:
    """Caption and file of the curves, drawn into ``folder``."""
    panels = [
        Panel(curves.title, tuple(_series(curves, strategy, study.level) for strategy in curves.runs))
        for curves in curves_of(study, done)
    ]
    if not panels:
        return []
    return [("Active learning: accuracy by number of labels", plot_labels(panels, folder / "labels.png"))]


def _series(curves: Curves, strategy: str, level: float) -> Series:
    points: list[Point] = []
    for place, labels in enumerate(curves.labels):
        found = interval(list(curves.accuracy(strategy, place).values()), level)
        points.append(Point(labels, found.mean, found.low, found.high))
    return Series(strategy, tuple(points), strategy == RANDOM)


def _by_labels(curves: Curves, level: float) -> Grid:
    others = [strategy for strategy in curves.runs if strategy != RANDOM]
    places = range(1, len(curves.labels))
    judged = judged_of(
        {(strategy, place): curves.against(RANDOM, strategy, level, place) for strategy in others for place in places},
        level,
    )

    def cell(strategy: str, place: int) -> Cell:
        shown = Cell(show_estimate(interval(list(curves.accuracy(strategy, place).values()), level), 1))
        return with_verdict(shown, judged.get((strategy, place)), VERSUS_RANDOM)

    lines = tuple(
        GridLine(strategy, tuple(cell(strategy, place) for place in range(len(curves.labels))), strategy == RANDOM)
        for strategy in curves.runs
    )
    lead = (
        "Test accuracy in percent, mean over seeds ± half of the interval, by the number of labels, and the verdict "
        "against random with as many, paired by seed. All strategies of a seed begin with the same random labels and "
        "the same weights; each round trains anew. A hollow symbol does not stay under Holm's correction over the "
        "table."
    )
    heads = tuple(f"{labels:,} labels" for labels in curves.labels)
    return Grid(f"Accuracy by labels, {curves.title}", lead, "strategy", heads, lines)


def _bought(curves: Curves, level: float) -> Grid:
    against = {
        other: judged_of(
            {one: curves.against(other, one, level) for one in curves.runs if one not in (other, RANDOM)}, level
        )
        for other in (RANDOM, ENTROPY)
    }
    digits = {other: digits_for({one: found for one, (found, _) in part.items()}) for other, part in against.items()}
    lines: list[GridLine] = []
    for strategy, runs in curves.runs.items():
        cells = [Cell(show_estimate(interval(list(curves.areas(strategy).values()), level), 1))]
        for other, words in ((RANDOM, VERSUS_RANDOM), (ENTROPY, VERSUS_ENTROPY)):
            found = against[other].get(strategy)
            shown = NOTHING if found is None else Cell(show_difference(found[0], digits[other]))
            cells.append(with_verdict(shown, found, words))
        cells.append(_needed(curves, strategy, level))
        spent = {name: mean_of([run[name] for run in runs.values()]) for name in TOLD[3:]}
        cells.append(Cell(show_flops(spent["train_flops"]), show_seconds(spent["train_cpu_seconds"])))
        cells.append(Cell(show_percent(spent["pool_flops"] / spent["train_flops"])))
        lines.append(GridLine(strategy, tuple(cells), strategy == RANDOM))
    target = "" if curves.target is None else f" ({100 * curves.target:.1f} %)"
    lead = (
        "The area under each curve as its mean accuracy between the first and the last round, in percent; differences "
        "of areas in points, paired by seed, a hollow symbol where the verdict does not stay under Holm's correction "
        "over "
        f"the column; the labels to random's last mean accuracy{target}, where ≥ says that some seeds do not get "
        "there and "
        "count with all the labels; the cost of all rounds, and the share of its FLOPs that went into looking at the "
        "pool."
    )
    heads = ("area", "minus random", "minus entropy", "labels to random's last", "cost, CPU time", "looking")
    return Grid(f"What the labels bought, {curves.title}", lead, "strategy", heads, tuple(lines))


def _needed(curves: Curves, strategy: str, level: float) -> Cell:
    found = curves.needed(strategy, level)
    if found is None:
        return NOTHING
    labels = found.labels
    half = "" if labels.low != labels.low else f" ± {labels.half_width:.0f}"
    bound = "≥ " if found.reached < labels.n else ""
    return Cell(f"{bound}{labels.mean:.0f}{half} ({found.reached} of {labels.n} get there)")


def _sentence(curves: Curves, level: float) -> Sequence[str]:
    areas = {one: curves.against(RANDOM, one, level) for one in curves.runs if one != RANDOM}
    areas = {one: found for one, found in areas.items() if found.n}
    if not areas:
        return []
    firm = firm_of(areas, level)
    verdicts = tally_of([(found.verdict, firm[one]) for one, found in areas.items()])
    best = max(areas, key=lambda one: areas[one].mean)
    words = VERSUS_RANDOM.of(areas[best].verdict, firm[best])
    largest = f"{show_difference(areas[best], digits_for(areas))} points, {words}"
    return [
        f"{curves.title}, {curves.labels[0]:,} to {curves.labels[-1]:,} labels: of "
        f"{counted(len(areas), 'strategy', 'strategies')} {verdicts.firm_above} beat random by the area under the "
        f"curve, {verdicts.firm_below} are worse, {verdicts.none} show no difference{verdicts.leaning}. Largest mean "
        f"difference: {best}, {largest}."
    ]
