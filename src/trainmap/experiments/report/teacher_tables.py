"""The table of an experiment's teachers: a line for each, over its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainmap.experiments.report.formats import show_estimate
from trainmap.experiments.report.grid import Cell, Grid, GridLine
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import interval
from trainmap.experiments.results.titles import teacher_titles
from trainmap.experiments.runs.folder import Study
from trainmap.views.amounts import show_flops, show_seconds


def teachers_grids(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[Grid]:
    """The table, if a teacher is there."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for digest, title in teacher_titles(study).items():
        if digest in done:
            runs.setdefault(str(title), []).append(done[digest])
    if not runs:
        return []
    lines: list[GridLine] = []
    for name, part in runs.items():
        scores = [
            show_estimate(interval([run[key] for run in part], study.level), 2)
            for key in ("test_macro_f1", "test_accuracy")
        ]
        epochs = sorted({run["epochs"] for run in part})
        shown = " to ".join(map(str, dict.fromkeys((epochs[0], epochs[-1]))))
        flops, seconds = (mean_of([run[key] for run in part]) for key in ("train_flops", "train_cpu_seconds"))
        cost = Cell(show_flops(flops), show_seconds(seconds))
        lines.append(GridLine(name, (*map(Cell, [*scores, shown, f"{part[0]['parameters']:,}"]), cost)))
    heads = ("test macro F1", "test accuracy", "epochs", "parameters", "cost, CPU time")
    lead = "Trained on all the data; mean over seeds in percent."
    return [Grid("Teachers", lead, "teacher", heads, tuple(lines))]
