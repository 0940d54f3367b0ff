"""What tells the points of a grid apart where they meet: in the names of tasks, in tables, in a cell of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import written
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.plan.graph import Graph, Line


def name_tasks(graph: Graph) -> None:
    """Add to the names of tasks that are called alike what tells their points apart; a task that no other is called
    like, such as a teacher that all points share, keeps its name."""
    alike: dict[str, dict[str, list[Variant]]] = {}
    for digest, node in graph.nodes.items():
        alike.setdefault(node.name, {})[digest] = graph.points[digest]
    for name, points in alike.items():
        for digest, values in told_apart(points).items():
            if values:
                node, longer = graph.nodes[digest], f"{name} ({said(values)})"
                place = replace(node.place, name=longer) if node.place.name else node.place
                graph.nodes[digest] = replace(node, name=longer, place=place, point=said(values))


def part_tables(graph: Graph, owners: Sequence[Variant]) -> None:
    """Put what tells their points apart into the groups of lines that share one and not their map; then no two runs
    may stand in one cell.

    Args:
        owners: of each line, its point.

    Raises:
        TrainmapError: names two points that meet in a cell.
    """
    alike: dict[str, dict[str, list[Variant]]] = {}
    groups = [json.dumps(dict(line.group)) for line in graph.lines]
    for line, group, owner in zip(graph.lines, groups, owners, strict=True):
        alike.setdefault(group, {}).setdefault(line.map, []).append(owner)
    told = {group: told_apart(maps) for group, maps in alike.items()}
    seen: dict[str, Variant] = {}
    for at, (line, group, owner) in enumerate(zip(graph.lines, groups, owners, strict=True)):
        line = graph.lines[at] = replace(line, group={**line.group, **told[group][line.map]})
        place = json.dumps([line.group, line.map, line.labels])
        if place in seen:
            raise _meeting(line, seen[place], owner)
        seen[place] = owner


def told_apart(points: Mapping[str, Sequence[Variant]]) -> dict[str, dict[str, Any]]:
    """Of things that are called alike, each with the points that it is part of: as few values of the grid as tell them
    apart, the shortest first. Only values that all points of a thing have are told."""
    shared = {one: _shared(its) for one, its in points.items()}
    keys = dict.fromkeys(key for values in shared.values() for key in values)
    told: list[str] = []
    for key in sorted(keys, key=lambda key: max(len(str(values.get(key))) for values in shared.values())):
        if _kinds(shared, [*told, key]) > _kinds(shared, told):
            told.append(key)
    return {one: {key: values[key] for key in keys if key in told and key in values} for one, values in shared.items()}


def said(values: Mapping[str, Any]) -> str:
    """Values in one phrase: "batch=32, label_noise=0.2"."""
    return ", ".join(f"{key}={written(value)}" for key, value in values.items())


def _shared(points: Sequence[Variant]) -> dict[str, Any]:
    first, *rest = (point.label | point.values for point in points)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}


def _kinds(shared: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> int:
    return len({json.dumps([values.get(key) for key in keys]) for values in shared.values()})


def _meeting(line: Line, first: Variant, second: Variant) -> TrainmapError:
    """The error for two runs in one cell."""
    labels = line.labels
    column = f"{labels['student']} + {labels['taught']}" if labels["taught"] else labels["student"]
    cell = f"two runs would stand in one cell ({labels['subset']}, {column}, seed {labels['seed']})"
    if first is second:
        return second.wrong(("students",), f"{cell}; give the students names of their own")
    a, b = (said(values) for values in told_apart({"first": [first], "second": [second]}).values())
    how = "leave label out, so that each point has a table of its own, or name the students apart"
    return second.wrong(("label",), f"{cell}, of the points {a} and {b}; {how}")
