"""The results of an experiment as values: reports for each group of tables, and one long table over all of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from trainmap.errors import counted
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.results.facts import NAMES, facts_of
from trainmap.experiments.results.map_pairs import map_costs
from trainmap.experiments.results.run_rows import CELL, Report, averaged, frame_of, mean_of
from trainmap.experiments.results.statistics import Difference, Verdict, holm_verdicts
from trainmap.experiments.results.versus_random import compare, unopposed
from trainmap.experiments.runs.folder import Entry, Study, made, tasks_of
from trainmap.experiments.tasks.place import PICTURE
from trainmap.experiments.tasks.task import Task


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
        rows = tuple(_row(line, entries, tasks[line.run], done) for line in lines if line.run in done)
        rest = [str(value) if key == "label" else f"{key} {value}" for key, value in labels.items() if key != "dataset"]
        title = ", ".join([str(labels["dataset"]), *rest])
        made_groups.append(Group(title, labels, rows, len(lines), entries.get(lines[0].map)))
    return made_groups


def chosen(task: Task, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a row says of its draw from a map: ``reads_map``, and what it cost besides; nothing of any other row."""
    from trainmap.experiments.tasks.compressed_student import CompressedStudent  # torch, which no report of given rows
    from trainmap.experiments.tasks.selection import Selection, choosing_cost  # needs
    from trainmap.experiments.tasks.student import Student

    student = task.student if isinstance(task, CompressedStudent) else task
    if not isinstance(student, Student) or not student.draw.by_map:
        return {}
    selection = student.drawn_from.get("selection")
    spent = choosing_cost(selection, done) if isinstance(selection, Selection) else {}
    return {"reads_map": student.draw.reads_map, **spent}


def _row(line: Line, entries: Mapping[str, Entry], task: Task, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    labels = {key: value for key, value in line.labels.items() if key not in NAMES}
    spent = chosen(task, done)
    return {**line.group, **labels, **done[line.run], **spent, **facts_of(line, entries)}


def report_of(study: Study, group: Group, done: Mapping[str, Mapping[str, Any]], folder: str | Path) -> Report:
    """The report of a group, as the demo writes it."""
    entries = {entry.hash: entry for entry in study.entries}
    costs: dict[str, Mapping[str, Any]] = {}
    picture = None
    notes: list[str] = []
    if group.map is not None and group.map.hash in done:
        scored, teachers = done[group.map.hash], [entries[one] for one in group.map.after]
        accuracy = mean_of([done[one.hash]["test_accuracy"] for one in teachers])
        models = ", ".join(
            model if count == 1 else f"{count} times {model}"
            for model, count in Counter(teacher.model for teacher in teachers).items()
        )
        costs["map"] = {
            **map_costs(group.map, entries, done),
            "note": f"training {models}, {scored['epochs']} of {counted(scored['recorded_epochs'], 'epoch')}",
        }
        costs["scoring"] = {
            "flops": 0,
            "seconds": scored["scoring_seconds"],
            "cpu_seconds": scored["scoring_cpu_seconds"],
            "note": "all scores and regions",
        }
        found = made(folder, group.map) / PICTURE
        picture = found if found.is_file() else None
        overlap = "; ".join(f"{pair} share {part:.0%}" for pair, part in scored["overlap"].items())
        seeds, record = [teacher.config["seed"] for teacher in teachers], teachers[0].config["record"]
        told = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
        reach = "which reaches" if len(seeds) == 1 else "which reach on average"
        notes.append(
            f"The map comes from {models} ({told}, {record} logits), {reach} {accuracy:.2%} test accuracy. "
            f"Of each third of this map {overlap}."
        )
        notes += [f"{name}: {reason}" for name, reason in _reasons(study, group.map, done).items()]
    missing = group.planned - len(group.rows)
    if missing:
        of = counted(group.planned, "run")
        notes.append(f"{missing} of {of} of these tables {'is' if missing == 1 else 'are'} not finished.")
    alone = unopposed(group.rows) if has_random(group) else []
    if alone:
        names = dict.fromkeys(row["subset"] for row in alone)
        notes.append(
            f"{len(alone)} of the finished runs are not compared, random of their size is not finished: "
            f"{', '.join(names)}."
        )
    networks = [model for model in study.models if model["dataset"] == group.labels["dataset"]]
    return Report(
        title=group.title,
        rows=[row for row in group.rows if row not in alone],
        costs=costs,
        models=networks,
        notes=notes,
        provenance={"map": done[group.map.hash]["fingerprint"]} if costs and group.map else {},
        picture=picture,
        level=study.level,
        clock="cpu" if study.device == "cpu" else "wall",
    )


def _reasons(study: Study, one: Entry, done: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What "auto" made of a map, by the name of the row; the seed is no part of it."""
    entries = {entry.hash: entry for entry in study.entries}
    found: dict[str, str] = {}
    for line in study.lines:
        selection = entries.get(entries[line.run].config["subset"].get("selection") or "")
        if selection is not None and one.hash in selection.after and "reason" in done.get(selection.hash, {}):
            found[line.labels["subset"]] = done[selection.hash]["reason"]
    return found


def has_random(group: Group) -> bool:
    """Whether a comparison can be made at all."""
    return any(row["draw"] == "random" for row in group.rows)


def long_table(group: Group, report: Report, metric: str = "test_macro_f1") -> pl.DataFrame:
    """The long table of a group: a line for each cell, which is one subset under one student over its seeds.

    Returns:
        ``budget``, ``subset``, ``student``, ``distilled``, ``examples``, ``fraction``: which runs.
        ``n``: seeds. ``macro_f1``, ``low``, ``high``: mean of ``metric`` and interval; NaN for ends that cannot be had.
        ``accuracy``: mean. ``difference``, ``difference_low``, ``difference_high``: from random of the same size,
        paired; NaN without. ``verdict``: the value of a ``Verdict``; "" for random itself, full data, without random.
        ``firm``: the verdict stays under Holm's correction over its table. ``flops``, ``seconds``: mean cost of the
        training. ``parameters``: of the student. ``nonzero``, ``forward_flops``, ``bytes``: of networks that were
        compressed and of their originals; NaN for others. ``role``, ``draw``, ``series``: see ``facts``.
    """
    there = has_random(group)
    comparisons = compare(report) if there and group.rows else []
    rows = list(unopposed(group.rows) if there else group.rows)
    rows += [row for one in comparisons for row in report.rows if row.get("budget", "") == one.budget]
    judged: dict[tuple[Any, ...], tuple[Difference, bool]] = {}
    for one in comparisons:
        differences = one.against_random(metric)
        for (key, difference), held in zip(
            differences.items(), holm_verdicts([*differences.values()], one.level), strict=True
        ):
            firm = held == difference.verdict != Verdict.NONE
            judged[(one.budget, key[0], *key[1])] = difference, firm
    if not rows:
        return pl.DataFrame()
    cells = averaged(frame_of(rows), metric, report.level)
    found = [judged.get(key) for key in cells.select(CELL).iter_rows()]
    ends = {
        f"difference{end}": [math.nan if one is None else getattr(one[0], name) for one in found]
        for end, name in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }
    return cells.select(
        *(*CELL, "examples", "fraction", "n"),
        *(pl.col("mean").alias("macro_f1"), "low", "high", pl.col("test_accuracy").alias("accuracy")),
        *(pl.Series(name, values, pl.Float64) for name, values in ends.items()),
        pl.Series("verdict", ["" if one is None else one[0].verdict.value for one in found], pl.String),
        pl.Series("firm", [one is not None and one[1] for one in found], pl.Boolean),
        *(pl.col("train_flops").alias("flops"), pl.col("train_seconds").alias("seconds"), "parameters"),
        *("nonzero", "forward_flops", "bytes", *NAMES),
    )
