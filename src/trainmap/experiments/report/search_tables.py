"""The tables of a search for hyperparameters: what was found beside what the student had, and the best trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainmap.experiments.report.formats import show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.verdict_words import CHANGED
from trainmap.experiments.results.statistics import Difference, Verdict, interval, paired_difference
from trainmap.experiments.results.titles import search_titles
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.views.amounts import show_flops, show_seconds

Done = Mapping[str, Mapping[str, Any]]

SHOWN = 10  # trials in the report; all of them are in trials.csv


def search_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables of every search, what each says in a sentence, and a row for each trial; all empty without one."""
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    entries = {entry.hash: entry for entry in study.entries}
    for digest, title in search_titles(study).items():
        if digest not in done:
            continue
        entry, result, name = entries[digest], done[digest], str(title)
        scores = _scores(study, entry, done)
        difference = paired_difference(scores["found"], scores["start"], study.level)
        grids += [_found_grid(name, entry, result, scores, difference, study.level), _trials_grid(name, result)]
        said.append(_sentence(name, entry, result, difference))
        rows += [{"search": name, "rank": at + 1, **trial} for at, trial in enumerate(result["trials"])]
    return grids, said, rows


def _scores(study: Study, entry: Entry, done: Done) -> dict[str, dict[int, float]]:
    """Test macro F1 by seed of what was found and of the start: the same runs but for the search."""
    tuned = [other for other in study.entries if other.kind == "tuned" and other.config["search"] == entry.hash]
    starts = [{key: value for key, value in other.config.items() if key != "search"} for other in tuned]
    plain = [other for other in study.entries if other.kind == "student" and other.config in starts]
    return {
        name: {run.config["seed"]: done[run.hash]["test_macro_f1"] for run in runs if run.hash in done}
        for name, runs in (("start", plain), ("found", tuned))
    }


def _found_grid(
    name: str,
    entry: Entry,
    result: Mapping[str, Any],
    scores: Mapping[str, Mapping[int, float]],
    difference: Difference,
    level: float,
) -> Grid:
    validated = {tuple(trial[key] for key in entry.config["start"]): trial for trial in result["trials"]}
    lines: list[GridLine] = []
    for which, chosen in (("start", entry.config["start"]), ("found", result["found"])):
        values = tuple(chosen[key] for key in entry.config["start"])
        on_validation = validated[values]["validation_macro_f1"]
        test = list(scores[which].values())
        cells = [Cell(f"{value:.3g}") for value in values]
        cells.append(Cell(f"{100 * on_validation:.2f} (n={len(entry.config['seeds'])})"))
        cells.append(Cell(show_estimate(interval(test, level), 2)) if test else NOTHING)
        judged = Cell("")
        if which == "found" and difference.n:
            judged = Cell(show_difference(difference, 2, difference.n)).judged(difference.verdict, CHANGED)
        spent = Cell(show_flops(result["train_flops"]), show_seconds(result["train_cpu_seconds"]))
        lines.append(GridLine(which, (*cells, judged, spent if which == "found" else NOTHING)))
    heads = ("learning rate", "temperature", "weight", "validation macro F1", "test macro F1", "found minus start")
    lead = (
        f"The best of {len(result['trials'])} trials on the validation data (the mean over the seeds of the trials) "
        "and the values that the student had; then both on the test data, in percent, under seeds that the search did "
        "not use, paired by seed, in points. The search's validation score is the best of many and for that too high."
    )
    heads = (*heads, "cost of the search, CPU time")
    return Grid(f"Hyperparameters of {name}", lead, "values", heads, tuple(lines))


def _trials_grid(name: str, result: Mapping[str, Any]) -> Grid:
    keys = ("peak_lr", "temperature", "weight")
    lines = tuple(
        GridLine(
            str(at + 1),
            (*(Cell(f"{trial[key]:.3g}") for key in keys), Cell(f"{100 * trial['validation_macro_f1']:.2f}")),
        )
        for at, trial in enumerate(result["trials"][:SHOWN])
    )
    heads = ("learning rate", "temperature", "weight", "validation macro F1")
    title = f"The best trials for {name}"
    return Grid(title, "All of them are in trials.csv.", "rank", heads, lines, aside=True)


def _sentence(name: str, entry: Entry, result: Mapping[str, Any], difference: Difference) -> str:
    def told(chosen: Mapping[str, Any]) -> str:
        rate, temperature, weight = (f"{chosen[key]:.3g}" for key in ("peak_lr", "temperature", "weight"))
        return f"learning rate {rate}, temperature {temperature}, weight {weight}"

    better = difference.verdict == Verdict.ABOVE
    verdict = "not judged yet"
    if difference.n:
        shown = show_difference(difference, 2, difference.n)
        verdict = f"{shown} points (n={difference.n}), {CHANGED.of(difference.verdict)}"
    kept = result["found"] if better else entry.config["start"]
    return (
        f"{name}: the best trial ({told(result['found'])}) minus the start on the test data: {verdict}. "
        f"Defaults from here on: {told(kept)}{'' if better else ', as before'}."
    )
