"""The search for hyperparameters of an experiment: teacher logits → search → tuned students, and its tables.

What was found is trained under the experiment's seeds beside what the student had, the start, on all the data; the two
meet on the test data, paired by seed. The search has seen neither those seeds nor the test data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trainmap.errors import TrainmapError
from trainmap.experiments.report.formats import show_difference, show_estimate, show_flops, show_seconds
from trainmap.experiments.report.grid_cells import VERDICTS, Cell, Grid
from trainmap.experiments.results.statistics import Difference, interval, paired_difference
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.students import Column, Students, columns
from trainmap.experiments.tasks.draws import Full
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.student import Student, Tuned
from trainmap.experiments.tasks.tuning import Hyperparameters, check_search

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner

Done = Mapping[str, Mapping[str, Any]]

SHOWN = 10  # trials in the report; all of them are in trials.csv
WORDS = {"beats random": "better", "no difference shown": "no difference shown", "worse": "worse"}


def plan_searches(planner: Planner) -> None:
    """Add a search and the runs that judge it for every way in which a student is distilled."""
    tuning, wrong = planner.experiment.tuning, planner.variant.wrong
    if tuning is None:
        return
    if find_spec("optuna") is None:
        raise wrong(("tuning",), "the search needs Optuna: pip install 'trainmap[grid]'")
    taken = {*planner.experiment.seeds, *(seed for runs in planner.teachers.values() for seed in runs)}
    if shared := taken & set(tuning.seeds):
        message = f"must be other seeds than those of teachers and of the students that judge; {shared} is among them"
        raise wrong(("tuning", "seeds"), message)
    students = Students(planner, {}, None)
    ways = [
        column
        for at, student in enumerate(planner.experiment.students)
        for column in columns(student, ("students", at))
        if column.distillation is not None
    ]
    if not ways:
        raise wrong(("tuning",), "there is nothing to search for: no student has a distillation")
    for column in ways:
        _plan(students, column)


def _plan(students: Students, column: Column) -> None:
    planner, tuning = students.planner, students.experiment.tuning
    assert tuning is not None
    assert column.distillation is not None
    if column.student.patience is not None:
        raise students.wrong((*column.where, "patience"), "the trials of a search go to their end; leave patience out")
    base = students.student(column, Full(count=planner.examples))
    teaching = base.teaching
    assert teaching is not None
    where = (*column.where, "distillation", column.place)
    if not isinstance(teaching.source, Logits) or teaching.temperature is None:
        cached = isinstance(teaching.source, Logits)
        what = "a temperature" if cached else "cached teacher logits (no features, no crops)"
        raise students.wrong(where, f"a search needs a loss with {what}")
    start = Hyperparameters(base.recipe.peak_lr, teaching.temperature, teaching.weight)
    ranges = {"peak_lr": tuning.peak_lr, "temperature": tuning.temperature, "weight": tuning.weight}
    try:
        check_search(len(planner.splits.validation), start, {name: (low, high) for name, (low, high) in ranges.items()})
    except TrainmapError as error:
        raise students.wrong(("tuning",), error) from error
    search = Search(
        data=base.data,
        model=base.model,
        recipe=base.recipe,
        device=base.device,
        distillation=column.distillation.model_dump(exclude={"teacher", "seed"}),
        logits=teaching.source,
        start=asdict(start),
        ranges=ranges,
        trials=tuning.trials,
        seeds=tuple(tuning.seeds),
        seed=tuning.seed,
    )
    what = f"{column.name} + KD on {students.data}"
    planner.add(search, f"search for {what}", what)
    for seed in students.experiment.seeds:
        started = base.model_copy(update={"seed": seed})
        planner.add(started, f"{what}, start of the search, seed {seed}")
        tuned = Tuned(**{name: getattr(started, name) for name in Student.model_fields}, search=search)
        planner.add(tuned, f"{what}, found, seed {seed}")


def search_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables of every search, what each says in a sentence, and a row for each trial; all empty without one."""
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    for entry in study.entries:
        if entry.kind != "search" or entry.hash not in done:
            continue
        result, name = done[entry.hash], entry.name.removeprefix("search for ")
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
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = []
    for which, chosen in (("start", entry.config["start"]), ("found", result["found"])):
        values = tuple(chosen[key] for key in entry.config["start"])
        on_validation = validated[values]["validation_macro_f1"]
        test = list(scores[which].values())
        cells = [Cell(f"{value:.3g}") for value in values]
        cells.append(Cell(f"{100 * on_validation:.2f} (n={len(entry.config['seeds'])})"))
        cells.append(Cell(show_estimate(interval(test, level), 2) if test else "–"))
        judged = which == "found" and difference.n
        words = WORDS[difference.verdict] if judged else ""
        told = show_difference(difference, 2, difference.n) if judged else ""
        cells.append(Cell(told, "", words, VERDICTS[difference.verdict] if judged else ""))
        spent = Cell(show_flops(result["train_flops"]), show_seconds(result["train_cpu_seconds"]))
        lines.append((which, "", (*cells, spent if which == "found" else Cell("–"))))
    heads = ("learning rate", "temperature", "weight", "validation macro F1", "test macro F1", "found minus start")
    lead = (
        f"The best of {len(result['trials'])} trials on the validation data (the mean over the seeds of the trials) "
        "and the values that the student had; then both on the test data, in percent, under seeds that the search did "
        "not use, paired by seed, in points. The search's validation score is the best of many and for that too high."
    )
    heads = (*heads, "cost of the search, CPU time")
    return Grid(f"Hyperparameters of {name}", lead, "values", heads, ("",) * len(heads), tuple(lines))


def _trials_grid(name: str, result: Mapping[str, Any]) -> Grid:
    keys = ("peak_lr", "temperature", "weight")
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = [
        (
            str(at + 1),
            "",
            (*(Cell(f"{trial[key]:.3g}") for key in keys), Cell(f"{100 * trial['validation_macro_f1']:.2f}")),
        )
        for at, trial in enumerate(result["trials"][:SHOWN])
    ]
    heads = ("learning rate", "temperature", "weight", "validation macro F1")
    title = f"The best trials for {name}"
    return Grid(title, "All of them are in trials.csv.", "rank", heads, ("",) * 4, tuple(lines), aside=True)


def _sentence(name: str, entry: Entry, result: Mapping[str, Any], difference: Difference) -> str:
    def told(chosen: Mapping[str, Any]) -> str:
        rate, temperature, weight = (f"{chosen[key]:.3g}" for key in ("peak_lr", "temperature", "weight"))
        return f"learning rate {rate}, temperature {temperature}, weight {weight}"

    better = difference.verdict == "beats random"
    verdict = "not judged yet"
    if difference.n:
        verdict = (
            f"{show_difference(difference, 2, difference.n)} points (n={difference.n}), {WORDS[difference.verdict]}"
        )
    kept = result["found"] if better else entry.config["start"]
    return (
        f"{name}: the best trial ({told(result['found'])}) minus the start on the test data: {verdict}. "
        f"Defaults from here on: {told(kept)}{'' if better else ', as before'}."
    )
