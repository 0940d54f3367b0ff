"""The graph of an experiment: its tasks, each after those that it needs, and where their runs stand in the reports.

Each task is made once, whoever needs it: random and full data do not depend on the map and are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainmap.experiments.file.variants import Variant
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Cost, Task


@dataclass(frozen=True)
class Node:
    """A task with what a plan says of it.

    Attributes:
        name: what people call it.
        task: what is done.
        place: where.
        dataset: of its data.
        cost: expected.
        called, point, target: see ``Entry``.
    """

    name: str
    task: Task
    place: Place
    dataset: str
    cost: Cost
    called: str = ""
    point: str = ""
    target: float | None = None

    @property
    def kind(self) -> str:
        return self.task.what

    @property
    def after(self) -> tuple[str, ...]:
        """Hashes of the tasks that must be finished first."""
        return tuple(dict.fromkeys(task.hash for task in self.task.needs().values()))


@dataclass(frozen=True)
class Line:
    """A run's place in a report.

    Attributes:
        run: hash of the student's run.
        group: what its tables are of: dataset, map, the grid's values.
        labels: ``subset``, ``student``, ``distilled``, ``taught``, ``seed``, ``fraction``, ``budget``; and what the row
            is, whatever it is called: ``role``, ``draw``, ``series`` (its name without a size);
            where there are such, its ``opponent`` by name, ``answers`` (of a priced opponent), ``teacher`` and ``way``.
        map: hash of the map of the group; "" without one.
    """

    run: str
    group: Mapping[str, Any]
    labels: Mapping[str, Any]
    map: str


@dataclass
class Graph:
    """The tasks in an order in which each comes after those that it needs, the lines of the reports, the models, and of
    each task the points of the grid that have it.

    Attributes:
        rehearsed: the questions that a ``Rehearsal`` has asked.
        outlines: whether datasets whose files are not there are planned from their known sizes: to look at, not to run.
        absent: what was not there.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    points: dict[str, list[Variant]] = field(default_factory=dict)
    rehearsed: set[str] = field(default_factory=set)
    outlines: bool = False
    absent: list[str] = field(default_factory=list)

    def lacks(self, what: str) -> None:
        """Note something that is not there, once."""
        if what not in self.absent:
            self.absent.append(what)


def made_at(out: Path, kind: str, digest: str) -> Path:
    """The folder of what a task makes."""
    return out / "made" / f"{kind.replace(' ', '-')}-{digest[:16]}"
