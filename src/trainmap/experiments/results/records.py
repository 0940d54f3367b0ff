"""The results of an experiment as values: reports for each group of tables, and one long table over all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.results.map_pairs import map_costs
from trainmap.experiments.results.statistics import Difference, holm_verdicts, interval
from trainmap.experiments.results.versus_random import Report, compare, role, subset_name, unopposed
from trainmap.experiments.runs.folder import Entry, Study, made, tasks_of
from trainmap.experiments.tasks.selection import Selection, choosing_cost
from trainmap.experiments.tasks.task import Task


@dataclass(frozen=True)
class Record:
    """A cell of the long table: one subset under one student, over its seeds.

    Attributes:
        group: dataset, map, values of the grid.
        budget, subset, student, distilled, examples, fraction: which runs.
        n: seeds.
        macro_f1, low, high: mean and interval; NaN for the ends where no interval can be had.
        accuracy: mean.
        difference, difference_low, difference_high: from random of the same size, paired; NaN without.
        verdict: "beats random", "no difference shown", "worse", or "" for random itself, full data and without random.
        firm: the verdict stays under Holm's correction over its table.
        flops, seconds: mean cost of the training.
        parameters: of the student.
        nonzero, forward_flops, bytes: of networks that were compressed and of their originals; NaN for others.
    """

    group: Mapping[str, Any]
    budget: str
    subset: str
    student: str
    distilled: bool
    examples: int
    fraction: float
    n: int
    macro_f1: float
    low: float
    high: float
    accuracy: float
    difference: float
    difference_low: float
    difference_high: float
    verdict: str
    firm: bool
    flops: float
    seconds: float
    parameters: int
    nonzero: float
    forward_flops: float
    bytes: float

    @property
    def column(self) -> str:
        return f"{self.student} + KD" if self.distilled else self.student


@dataclass(frozen=True)
class Group:
    """The runs that stand in the same tables.

    Attributes:
        title: "digits, map cnn-8, epochs=3": what differs between the groups.
        labels: the same as a dict.
        rows: of the finished runs.
        planned: how many rows there should be.
        map: the task that made the map; None without one.
    """

    title: str
    labels: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    planned: int
    map: Entry | None


def groups(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """The finished runs of a study by dataset, map and the grid's values, in the order of the plan."""
    found: dict[str, list[Any]] = {}
    for line in study.lines:
        found.setdefault(json.dumps([dict(line.group), line.map]), []).append(line)
    entries, tasks = {entry.hash: entry for entry in study.entries}, tasks_of(study)
    made_groups = []
    for lines in found.values():
        labels = dict(lines[0].group)
        rows = tuple(
            {**line.group, **line.labels, **done[line.run], **chosen(tasks[line.run], done)}
            for line in lines
            if line.run in done
        )
        rest = [str(value) if key == "label" else f"{key} {value}" for key, value in labels.items() if key != "dataset"]
        title = ", ".join([str(labels["dataset"]), *rest])
        made_groups.append(Group(title, labels, rows, len(lines), entries.get(lines[0].map)))
    return made_groups


def chosen(task: Task, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a row says of its selection; nothing without one."""
    selection = task.needs().get("selection")
    return choosing_cost(selection, done) if isinstance(selection, Selection) else {}


def report_of(study: Study, group: Group, done: Mapping[str, Mapping[str, Any]], folder: str | Path) -> Report:
    """The report of a group, as the demo writes it."""
    entries = {entry.hash: entry for entry in study.entries}
    costs: dict[str, Mapping[str, Any]] = {}
    picture = None
    notes: list[str] = []
    if group.map is not None and group.map.hash in done:
        scored, teacher = done[group.map.hash], entries[group.map.after[0]]
        trained = done[teacher.hash]
        costs["map"] = {
            **map_costs(group.map, entries, done),
            "note": f"training {teacher.model}, {scored['epochs']} of {counted(scored['recorded_epochs'], 'epoch')}",
        }
        costs["scoring"] = {
            "flops": 0,
            "seconds": scored["scoring_seconds"],
            "cpu_seconds": scored["scoring_cpu_seconds"],
            "note": "all scores and regions",
        }
        found = made(folder, group.map) / "map.png"
        picture = found if found.is_file() else None
        overlap = "; ".join(f"{pair} share {part:.0%}" for pair, part in scored["overlap"].items())
        notes.append(
            f"The map comes from {teacher.model} (seed {teacher.config['seed']}, {teacher.config['record']} logits), "
            f"which reaches {trained['test_accuracy']:.2%} test accuracy. Of each third of this map {overlap}."
        )
        notes += [f"{name}: {reason}" for name, reason in _reasons(study, group.map, done).items()]
    missing = group.planned - len(group.rows)
    if missing:
        of = counted(group.planned, "run")
        notes.append(f"{missing} of {of} of these tables {'is' if missing == 1 else 'are'} not finished.")
    alone = unopposed(group.rows) if has_random(group) else []
    if alone:
        names = dict.fromkeys(subset_name(row["subset"]) for row in alone)
        notes.append(
            f"{len(alone)} of the finished runs are not compared, random of their size is not finished: "
            f"{', '.join(names)}."
        )
    models = [model for model in study.models if model["dataset"] == group.labels["dataset"]]
    return Report(
        title=group.title,
        rows=[row for row in group.rows if row not in alone],
        costs=costs,
        models=models,
        notes=notes,
        provenance={"map": done[group.map.hash]["fingerprint"]} if costs and group.map else {},
        picture=picture,
        level=study.level,
        clock="cpu" if study.device == "cpu" else "wall",
    )


def _reasons(study: Study, one: Entry, done: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What "auto" made of a map, by the name of the row; the seed is no part of it."""
    return {
        entry.name.partition(f" of {one.name}")[0]: done[entry.hash]["reason"]
        for entry in study.entries
        if entry.kind == "selection" and one.hash in entry.after and "reason" in done.get(entry.hash, {})
    }


def has_random(group: Group) -> bool:
    """Whether a comparison can be made at all."""
    return any(role(row["subset"]) == "random" for row in group.rows)


def records(group: Group, report: Report, metric: str = "test_macro_f1") -> list[Record]:
    """The long table of a group; without a random row there are no differences and no verdicts. ``macro_f1`` and its
    difference are of ``metric``."""
    if not group.rows:
        return []
    if not has_random(group):
        return [_record(group, key, rows, report.level, None, metric) for key, rows in _cells(group.rows).items()]
    alone = unopposed(group.rows)
    found = [_record(group, key, rows, report.level, None, metric) for key, rows in _cells(alone).items()]
    for comparison in compare(report):
        differences = comparison.against_random(metric)
        firm = dict(zip(differences, holm_verdicts(list(differences.values()), comparison.level)))
        for (name, column), runs in comparison.runs.items():
            difference = differences.get((name, column))
            key = (comparison.budget, name, *column)
            stays = difference is not None and firm[name, column] == difference.verdict != "no difference shown"
            found.append(_record(group, key, list(runs.values()), report.level, difference, metric, stays))
    return found


def _cells(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str, bool], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str, str, bool], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["budget"], row["subset"], row["student"], row["distilled"]), []).append(row)
    return found


def _record(
    group: Group,
    key: tuple[str, str, str, bool],
    rows: Sequence[Mapping[str, Any]],
    level: float,
    difference: Difference | None,
    metric: str,
    firm: bool = False,
) -> Record:
    estimate = interval([row[metric] for row in rows], level)

    def mean(name: str) -> float:
        return sum(row[name] for row in rows) / len(rows)

    def weight(name: str) -> float:
        return mean(name) if all(name in row for row in rows) else math.nan

    budget, subset, student, distilled = key
    return Record(
        group=group.labels,
        budget=budget,
        subset=subset,
        student=student,
        distilled=distilled,
        examples=rows[0]["examples"],
        fraction=rows[0]["fraction"],
        n=len(rows),
        macro_f1=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        accuracy=mean("test_accuracy"),
        difference=math.nan if difference is None else difference.mean,
        difference_low=math.nan if difference is None else difference.low,
        difference_high=math.nan if difference is None else difference.high,
        verdict="" if difference is None else difference.verdict,
        firm=firm,
        flops=mean("train_flops"),
        seconds=mean("train_seconds"),
        parameters=rows[0]["parameters"],
        nonzero=weight("nonzero"),
        forward_flops=weight("forward_flops"),
        bytes=weight("bytes"),
    )
