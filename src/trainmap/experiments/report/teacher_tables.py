"""The table of an experiment's teachers: a line for each, over its seeds; and those of their students, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainmap.experiments.report.formats import digits_for, show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.verdict_words import VERSUS_RANDOM
from trainmap.experiments.results.price import price_of
from trainmap.experiments.results.run_rows import METRICS, mean_of
from trainmap.experiments.results.statistics import firm_of, interval
from trainmap.experiments.results.taught import Lessons, lessons, trained_on
from trainmap.experiments.results.titles import teacher_titles
from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.views.amounts import show_flops, show_seconds

Done = Mapping[str, Mapping[str, Any]]


def teachers_grids(study: Study, done: Done) -> list[Grid]:
    """The table, if a teacher is there, and one for each kind of student that several teachers have."""
    found: dict[str, list[Teacher]] = {}
    titles = teacher_titles(study)
    tasks = study.tasks
    for digest, title in titles.items():
        if digest in done and isinstance(task := tasks[digest], Teacher):
            found.setdefault(str(title), []).append(task)
    if not found:
        return []
    lines = tuple(GridLine(name, _line(study, done, runs)) for name, runs in found.items())
    heads = ("trained on", "test macro F1", "test accuracy", "epochs", "parameters", "cost, CPU time", "the whole cost")
    lead = (
        "Mean over seeds in percent. The whole cost has in it what a teacher is made of: the map and its teacher, or "
        "the training before it was made smaller."
    )
    grids = [Grid("Teachers", lead, "teacher", heads, lines)]
    return grids + [_students(one, study, done) for one in lessons(study, tasks, done)]


def _line(study: Study, done: Done, runs: Sequence[Teacher]) -> tuple[Cell, ...]:
    results = [done[run.hash] for run in runs]
    scores = [show_estimate(interval([one[key] for one in results], study.level), 2) for key in METRICS]
    epochs = sorted({one["epochs"] for one in results})
    shown = " to ".join(map(str, dict.fromkeys((epochs[0], epochs[-1]))))
    own = [mean_of([one[key] for one in results]) for key in ("train_flops", "train_cpu_seconds")]
    whole = [price_of([run], done).whole for run in runs]
    costs = [own, [mean_of([getattr(one, key) for one in whole]) for key in ("flops", "cpu_seconds")]]
    return (
        Cell(trained_on(study, done, runs[0])),
        *map(Cell, [*scores, shown, f"{results[0]['parameters']:,}"]),
        *(Cell(show_flops(flops), show_seconds(seconds)) for flops, seconds in costs),
    )


def _students(one: Lessons, study: Study, done: Done) -> Grid:
    """The students of each teacher: a line for each, a column for what the students were trained on."""
    differences = one.against_random(study.level)
    digits = digits_for(differences)
    firm = firm_of(differences, study.level)
    metric, shown = next(iter(METRICS.items()))

    def cell(place: tuple[str, str]) -> Cell:
        if place not in one.runs:
            return NOTHING
        runs = one.runs[place]
        text = show_estimate(interval([run[metric] for run in runs.values()], study.level), digits)
        if place not in differences:
            return Cell(text, words="the opponent" if place[0] in one.opponents.values() else "")
        judged = Cell(text, show_difference(differences[place], digits, len(runs)))
        return judged.judged(differences[place].verdict, VERSUS_RANDOM, firm[place])

    lines = tuple(
        GridLine(
            name,
            (Cell(trained_on(study, done, teacher)), *(cell((name, subset)) for subset in one.subsets)),
            reference=name not in one.opponents,
        )
        for name, teacher in one.teachers.items()
    )
    lead = (
        f"{shown} of the students, mean over n seeds in percent ± half of the interval. With it the difference from "
        "the students of the teacher on as many random examples, paired by seed, its interval and the verdict; a "
        "hollow symbol does not stay under "
        "Holm's correction over the table."
    )
    return Grid(f"Students by their teacher, {one.title}", lead, "teacher", ("trained on", *one.subsets), lines)
