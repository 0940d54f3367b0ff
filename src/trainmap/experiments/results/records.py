"""The results of an experiment as values: reports for each group of tables, and one long table over all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from trainmap.errors import counted
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.results.facts import NAMES, facts_of
from trainmap.experiments.results.group_titles import group_key, group_titles
from trainmap.experiments.results.price import OF_A_MAP, ONCE, Key, Price, Spent, columns_of, price_of, total
from trainmap.experiments.results.run_rows import CELL, Report, averaged, frame_of, mean_of
from trainmap.experiments.results.statistics import Difference, firm_of
from trainmap.experiments.results.versus_random import compare, unopposed
from trainmap.experiments.runs.folder import Entry, Study, made
from trainmap.experiments.tasks.place import EXAMPLES, PICTURE
from trainmap.experiments.tasks.task import Task
from trainmap.findings.example_cards import RegionCards, read_cards


@dataclass(frozen=True)
class Group:
    """The runs that stand in the same tables.

    Attributes:
        title: "digits, map cnn-8, batch 32": see ``group_titles``.
        labels: all the values of the grid that its runs share.
        rows: of the finished runs.
        planned: how many rows there should be.
        map: the task that made the map, the first where each seed has its own; None without one.
        maps: how many maps its finished runs read.
        map_price: what the map cost; None until it is made.
        once: what was made for its finished runs, by task and part.
        told: what tells it from other groups, as phrases by their place in the file.
    """

    title: str
    labels: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    planned: int
    map: Entry | None
    maps: int = 0
    map_price: Price | None = None
    once: Mapping[Key, Spent] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)


def groups(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """The finished runs of a study by dataset, map and the grid's values, in the order of the plan.

    Args:
        study: the plan.
        done: results by hash, as ``completed`` gives them.
    """
    found: dict[str, list[Line]] = {}
    for line in study.lines:
        found.setdefault(group_key(line), []).append(line)
    titles = group_titles(study.lines)
    entries, tasks = {entry.hash: entry for entry in study.entries}, study.tasks
    made_groups = []
    for key, lines in found.items():
        labels, first = dict(lines[0].group), entries.get(lines[0].map)
        of_map = price_of([tasks[first.hash]], done) if first is not None and first.hash in done else None
        its = [line for line in lines if line.run in done]
        read = {line.run: one for line in its if (one := map_read(tasks[line.run])) is not None}
        own = {digest: price_of([one], done) for digest, one in {one.hash: one for one in read.values()}.items()}
        rows = tuple(
            _row(
                *(line, entries, tasks[line.run], done),
                columns_of(price_of([tasks[line.run]], done), own[read[line.run].hash] if line.run in read else of_map),
            )
            for line in its
        )
        everything = price_of([tasks[line.run] for line in its], done)
        title = titles[key]
        told = {"maps": len(own), "map_price": of_map, "once": everything.once, "told": title.told}
        made_groups.append(Group(title.whole, labels, rows, len(lines), first, **told))
    return made_groups


def map_read(task: Task) -> Task | None:
    """The map that a run is chosen from; None where it is not."""
    from trainmap.experiments.tasks.map import Map  # torch, which no report of given rows needs

    ahead = [*task.needs().items()]
    while ahead:
        role, one = ahead.pop()
        if role == "map" and isinstance(one, Map):
            return one
        if role in ("selection", "student"):
            ahead += one.needs().items()
    return None


def read_of(task: Task) -> dict[str, bool]:
    """``reads_map`` of a run that is drawn from a map: whether it has any use for it; nothing of any other."""
    draw: Any = getattr(getattr(task, "student", task), "draw", None)
    return {"reads_map": draw.reads_map} if draw is not None and draw.by_map else {}


def _row(
    line: Line, entries: Mapping[str, Entry], task: Task, done: Mapping[str, Mapping[str, Any]], spent: dict[str, Any]
) -> dict[str, Any]:
    labels, facts = {key: value for key, value in line.labels.items() if key not in NAMES}, facts_of(line, entries)
    labels["taught"] = facts.pop("taught")
    return {**line.group, **labels, **done[line.run], **read_of(task), **spent, **facts}


def once_of(group: Group) -> dict[str, Mapping[str, Any]]:
    """What is made once for the runs of a group, by the words of its part: its map first, then what the runs need
    besides; each task once."""
    of_map = {} if group.map_price is None else group.map_price.once
    found: dict[str, Mapping[str, Any]] = {}
    for part, note in ONCE.items():
        own = [spent for (_, its), spent in of_map.items() if its == part]
        rest = [spent for key, spent in group.once.items() if key[1] == part and key not in of_map]
        plain = part in OF_A_MAP
        for name, spent in (
            (part if plain else f"{part} of the map", own),
            (f"other {part}" if plain and own else part, rest),
        ):
            if spent:
                found[name] = {**vars(total(spent)), "note": note}
    return found


def report_of(study: Study, group: Group, done: Mapping[str, Mapping[str, Any]], folder: str | Path) -> Report:
    """The report of a group, as the demo writes it."""
    entries = {entry.hash: entry for entry in study.entries}
    costs = once_of(group)
    picture = None
    regions: tuple[RegionCards, ...] = ()
    notes: list[str] = []
    if group.map is not None and group.map.hash in done:
        scored, teachers = done[group.map.hash], [entries[one] for one in group.map.after]
        accuracy = mean_of([done[one.hash]["test_accuracy"] for one in teachers])
        models = ", ".join(
            model if count == 1 else f"{count} times {model}"
            for model, count in Counter(teacher.model for teacher in teachers).items()
        )
        told = f"training {models}, {scored['epochs']} of {counted(scored['recorded_epochs'], 'epoch')}"
        costs["map"] = {**costs["map"], "note": told}
        found = made(folder, group.map) / PICTURE
        picture = found if found.is_file() else None
        kept = made(folder, group.map) / EXAMPLES
        regions = read_cards(kept) if kept.is_file() else ()
        overlap = "; ".join(f"{pair} share {part:.0%}" for pair, part in scored["overlap"].items())
        seeds, record = [teacher.config["seed"] for teacher in teachers], teachers[0].config["record"]
        told = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
        reach = "which reaches" if len(seeds) == 1 else "which reach on average"
        notes.append(
            f"The map comes from {models} ({told}, {record} logits), {reach} {accuracy:.2%} test accuracy. "
            f"Of each third of this map {overlap}."
        )
        if group.maps > 1:
            notes.append(
                f"Each seed reads the map of its own training, {group.maps} in all; this is the first of them."
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
        provenance={"map": done[group.map.hash]["fingerprint"]} if group.map_price and group.map else {},
        picture=picture,
        regions=regions,
        level=study.level,
        clock="cpu" if study.device == "cpu" else "wall",
    )


def _reasons(study: Study, one: Entry, done: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What "auto" made of a map, and what a race chose, by the name of the row; the seed is no part of it."""
    entries = {entry.hash: entry for entry in study.entries}
    found: dict[str, str] = {}
    for line in study.lines:
        drawn = entries[line.run].config["subset"]
        selection = entries.get(drawn.get("selection") or drawn.get("race") or "")
        if selection is not None and one.hash in selection.after and "reason" in done.get(selection.hash, {}):
            found[line.labels["subset"]] = done[selection.hash]["reason"]
    return found


def has_random(group: Group) -> bool:
    """Whether a comparison can be made at all."""
    return any(row["draw"] == "random" for row in group.rows)


def long_table(group: Group, report: Report, metric: str = "test_macro_f1") -> pl.DataFrame:
    """The long table of a group: a line for each cell, which is one subset under one student over its seeds.

    Returns:
        ``budget``, ``subset``, ``student``, ``distilled``, ``taught``, ``examples``, ``fraction``: which runs.
        ``n``: seeds. ``macro_f1``, ``low``, ``high``: mean of ``metric`` and interval; NaN for ends that cannot be had.
        ``accuracy``: mean. ``difference``, ``difference_low``, ``difference_high``: from random of the same size,
        paired; NaN without. ``verdict``: the value of a ``Verdict``; "" for random itself, full data, without random.
        ``firm``: the verdict stays under Holm's correction over its table. ``flops``, ``seconds``: mean cost of the
        training; ``counted`` says what is in it, ``teacher_flops``, ``proxy_flops`` and ``compress_flops`` how much of
        it those are. ``once``, ``once_flops``, ``whole_flops``, ``whole_seconds``: see ``price.columns_of``.
        ``parameters``: of the student. ``nonzero``, ``forward_flops``, ``bytes``: of networks that were
        compressed and of their originals; NaN for others. ``role``, ``draw``, ``series``: see ``facts``. ``opponent``:
        the row that it is compared with in place of random of its size, where a row names one.
    """
    there = has_random(group)
    comparisons = compare(report) if there and group.rows else []
    rows = list(unopposed(group.rows) if there else group.rows)
    rows += [row for one in comparisons for row in report.rows if row.get("budget", "") == one.budget]
    judged: dict[tuple[Any, ...], tuple[Difference, bool]] = {}
    for one in comparisons:
        differences = one.against_random(metric)
        firm = firm_of(differences, one.level)
        judged |= {(one.budget, key[0], *key[1]): (its, firm[key]) for key, its in differences.items()}
    if not rows:
        return pl.DataFrame()
    cells = averaged(frame_of(rows), metric, report.level)
    found = [judged.get(key) for key in cells.select(CELL).iter_rows()]
    beside = [pl.col(name).fill_nan(0.0) for name in ("teacher_flops", "proxy_flops", "compress_flops")]
    ends = {
        f"difference{end}": [math.nan if one is None else getattr(one[0], name) for one in found]
        for end, name in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }
    return cells.select(
        *("budget", "subset", "student", "distilled", "taught", "examples", "fraction", "n"),
        *(pl.col("mean").alias("macro_f1"), "low", "high", pl.col("test_accuracy").alias("accuracy")),
        *(pl.Series(name, values, pl.Float64) for name, values in ends.items()),
        pl.Series("verdict", ["" if one is None else one[0].verdict.value for one in found], pl.String),
        pl.Series("firm", [one is not None and one[1] for one in found], pl.Boolean),
        *(pl.col("train_flops").alias("flops"), pl.col("train_seconds").alias("seconds"), "parameters"),
        *("nonzero", "forward_flops", "bytes", "counted", *beside),
        *("once", "once_flops", "whole_flops", "whole_seconds", *NAMES),
        *(["opponent"] if cells["opponent"].count() else []),
    )
