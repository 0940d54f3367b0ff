"""The tables of the searches for hyperparameters: what was found beside what the network had, the best trials, and what
a search on less data finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainmap.experiments.report.formats import show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.judged_cells import Judged, judged_of, with_verdict
from trainmap.experiments.report.verdict_words import CHANGED, VERSUS_ALL, Words
from trainmap.experiments.results.searched import Arm, Searched, arms_of
from trainmap.experiments.results.statistics import Difference, Verdict, interval
from trainmap.experiments.runs.folder import Study
from trainmap.views.amounts import show_flops, show_percent, show_seconds

Done = Mapping[str, Mapping[str, Any]]

SHOWN = 10  # trials in the report; all of them are in trials.csv
CALLED = {
    "peak_lr": "learning rate",
    "temperature": "temperature",
    "weight": "weight",
    "weight_decay": "weight decay",
}


def search_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables of every search, what each says in a sentence, and a row for each trial; all empty without one."""
    arms = arms_of(study, done)
    gains = gains_of(arms, study.level)
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    for way in dict.fromkeys(arm.way for arm in arms):
        its = [arm for arm in arms if arm.way == way]
        if len(its) > 1:
            grids.append(_parts_grid(its, gains, study.level))
            said += _parts_said(its, study.level)
    for arm in arms:
        grids.append(_found_grid(arm, gains[arm.name], study.level))
        if arm.planned == 1:
            grids.append(_trials_grid(arm))
        said.append(_sentence(arm, gains[arm.name]))
        rows += [
            {"search": arm.name, "seed": seed, "rank": at + 1, **trial}
            for seed, one in arm.searches.items()
            for at, trial in enumerate(one.result["trials"])
        ]
    return grids, said, rows


def _found_grid(arm: Arm, gain: tuple[Difference, bool], level: float) -> Grid:
    first, several = next(iter(arm.searches.values())), arm.planned > 1
    keys = list(first.entry.config["start"])
    lines = [
        GridLine("start", (*_values(first, keys, first.entry.config["start"], first.start, level), Cell(""), NOTHING))
    ]
    for seed, one in arm.searches.items():
        cells = _values(one, keys, one.result["found"], one.found, level)
        judged = Cell("") if several else _judged(gain, CHANGED)
        spent = Cell(show_flops(one.result["train_flops"]), show_seconds(one.result["train_cpu_seconds"]))
        lines.append(GridLine(f"found by search {seed}" if several else "found", (*cells, judged, spent)))
    if several:
        scores = list(arm.scores("found").values())
        test = Cell(show_estimate(interval(scores, level), 2)) if scores else NOTHING
        nothing = [Cell("")] * (len(keys) + 1)
        lines.append(GridLine("found, over searches", (*nothing, test, _judged(gain, CHANGED), _cost(arm))))
    heads = ("validation macro F1", "test macro F1", "found minus start", "cost of the search, CPU time")
    lead = (
        f"The best of {len(first.result['trials'])} trials on the validation data (the mean over the seeds of the "
        "trials) and the values that the network had; then both on all the data and the test data, in percent, under "
        "seeds that the search did not use, in points. The search's validation score is the best of many and for that "
        f"too high. Differences are paired by {'search, the mean over its runs' if several else 'seed'}."
    )
    return Grid(
        f"Hyperparameters of {arm.name}", lead, "values", (*(CALLED[key] for key in keys), *heads), tuple(lines)
    )


def _values(
    one: Searched, keys: Sequence[str], chosen: Mapping[str, float], scores: Mapping[int, float], level: float
) -> list[Cell]:
    """The values, and what they gave on the validation and the test data."""
    validated = {tuple(trial[key] for key in keys): trial for trial in one.result["trials"]}
    values = tuple(chosen[key] for key in keys)
    on_validation = validated[values]["validation_macro_f1"]
    test = list(scores.values())
    return [
        *(Cell(f"{value:.3g}") for value in values),
        Cell(f"{100 * on_validation:.2f} (n={len(one.entry.config['seeds'])})"),
        Cell(show_estimate(interval(test, level), 2)) if test else NOTHING,
    ]


def _judged(found: tuple[Difference, bool], words: Words) -> Cell:
    if not found[0].n:
        return Cell("")
    return with_verdict(Cell(show_difference(found[0], 2, found[0].n)), found, words)


def gains_of(arms: Sequence[Arm], level: float) -> Judged:
    """What each search found minus what the network had, a family by the names of the searches."""
    return judged_of({arm.name: arm.minus_start(level) for arm in arms}, level)


def _cost(arm: Arm) -> Cell:
    return Cell(show_flops(arm.spent("train_flops")), show_seconds(arm.spent("train_cpu_seconds")))


def _parts_grid(arms: Sequence[Arm], gains: Judged, level: float) -> Grid:
    """What searches of one way on several parts of the data find, beside each other."""
    whole = next((arm for arm in arms if arm.whole), None)
    others = _beside_whole(arms, level)
    lines: list[GridLine] = []
    for arm in arms:
        scores = list(arm.scores("found").values())
        cells = [Cell(show_estimate(interval(scores, level), 2)) if scores else NOTHING]
        cells.append(_judged(gains[arm.name], CHANGED))
        cells.append(_judged(others[arm.name], VERSUS_ALL) if arm.name in others else NOTHING)
        flops, seconds = arm.prepared("flops"), arm.prepared("cpu_seconds")
        cells += [_cost(arm), Cell(show_flops(flops), show_seconds(seconds)) if seconds else NOTHING]
        if whole is not None:
            of = whole.spent("train_flops")
            alone, both = arm.spent("train_flops") / of, (arm.spent("train_flops") + flops) / of
            cells.append(Cell(show_percent(both), f"{show_percent(alone)} without the map" if flops else ""))
        lines.append(GridLine(arm.name, tuple(cells), arm is whole))
    heads = ["test macro F1 of what was found", "minus the start", "minus the search on all"]
    heads += ["cost of a search, CPU time", "of its map", *([] if whole is None else ["of the search on all"])]
    lead = (
        "Each search had as many trials of as many epochs; on less data an epoch has fewer steps. What each found is "
        f"trained on all the data; test macro F1 in percent, differences in points, paired by {arms[0].unit}; a "
        "hollow symbol does not stay under Holm's correction over its column. A map is counted whole for each search, "
        "unless the search on all the data needs its teachers as well."
    )
    return Grid(f"What a search on less data finds, {arms[0].name}", lead, "search", tuple(heads), tuple(lines))


def _beside_whole(arms: Sequence[Arm], level: float) -> Judged:
    """What each search found minus what the one on all the data found, a family by the names of the searches."""
    whole = next((arm for arm in arms if arm.whole), None)
    if whole is None:
        return {}
    return judged_of({arm.name: arm.minus(whole, level) for arm in arms if arm is not whole}, level)


def _parts_said(arms: Sequence[Arm], level: float) -> list[str]:
    whole = next((arm for arm in arms if arm.whole), None)
    others = _beside_whole(arms, level)
    said: list[str] = []
    for arm in arms:
        if whole is None or arm.name not in others or not (difference := others[arm.name][0]).n:
            continue
        verdict = difference.verdict, others[arm.name][1]
        part = (arm.spent("train_flops") + arm.prepared("flops")) / whole.spent("train_flops")
        said.append(
            f"{arm.name}: what it found minus what the search on all the data found: "
            f"{show_difference(difference, 2, difference.n)} points (n={difference.n} {arm.unit}), "
            f"{VERSUS_ALL.of(*verdict)}, at {show_percent(part)} of its FLOPs, its map included."
        )
    return said


def _trials_grid(arm: Arm) -> Grid:
    (one,) = arm.searches.values()
    keys = list(one.entry.config["start"])
    lines = tuple(
        GridLine(
            str(at + 1),
            (*(Cell(f"{trial[key]:.3g}") for key in keys), Cell(f"{100 * trial['validation_macro_f1']:.2f}")),
        )
        for at, trial in enumerate(one.result["trials"][:SHOWN])
    )
    heads = (*(CALLED[key] for key in keys), "validation macro F1")
    title = f"The best trials for {arm.name}"
    return Grid(title, "All of them are in trials.csv.", "rank", heads, lines, aside=True)


def _sentence(arm: Arm, found: tuple[Difference, bool]) -> str:
    difference, firm = found
    first = next(iter(arm.searches.values()))
    keys = list(first.entry.config["start"])

    def told(chosen: Mapping[str, Any]) -> str:
        return ", ".join(f"{CALLED[key]} {chosen[key]:.3g}" for key in keys)

    better = firm and difference.verdict == Verdict.ABOVE
    verdict = "not judged yet"
    if difference.n:
        shown = show_difference(difference, 2, difference.n)
        verdict = f"{shown} points (n={difference.n}{f' {arm.unit}' if arm.planned > 1 else ''}), "
        verdict += CHANGED.of(difference.verdict, firm)
    if arm.planned > 1:
        return f"{arm.name}: the best trial of each search minus the start on the test data: {verdict}."
    kept = first.result["found"] if better else first.entry.config["start"]
    return (
        f"{arm.name}: the best trial ({told(first.result['found'])}) minus the start on the test data: {verdict}. "
        f"Defaults from here on: {told(kept)}{'' if better else ', as before'}."
    )
