"""From a configuration to a graph of tasks: teacher → map → selection → student, teacher → logits → student →
compressed.

A task's configuration holds the hashes of the tasks that it takes from, so that its own hash stands for everything that
it came from. Each task is made once, whoever needs it: random and full data do not depend on the map and are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainmap.experiments.file.variants import Variant
from trainmap.experiments.task import Task


@dataclass(frozen=True)
class Node:
    """A task with what a plan says of it.

    Attributes:
        kind: "teacher", "map", "selection", "teacher logits", "student" or "compressed".
        task: what is done.
        model, dataset: of a training run; "" otherwise.
        flops: expected.
        examples: that a training run or an inference is expected to see.
        bytes: expected on disk.
        called, point: see ``Entry``.
    """

    kind: str
    task: Task
    dataset: str
    model: str = ""
    flops: int = 0
    examples: int = 0
    bytes: int = 0
    called: str = ""
    point: str = ""


@dataclass(frozen=True)
class Line:
    """A run's place in a report.

    Attributes:
        run: hash of the student's run.
        group: what its tables are of: dataset, map, the grid's values.
        labels: ``subset``, ``student``, ``distilled``, ``seed``, ``budget``, ``fraction``; ``role``, ``draw``,
            ``series`` (see ``results.facts``).
        map: hash of the map of the group; "" without one.
    """

    run: str
    group: Mapping[str, Any]
    labels: Mapping[str, Any]
    map: str


@dataclass
class Graph:
    """The tasks in an order in which each comes after those that it needs, the lines of the reports, the models, and of
    each task the points of the grid that have it."""

    nodes: dict[str, Node] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    points: dict[str, list[Variant]] = field(default_factory=dict)

    def tasks(self) -> list[Task]:
        """The tasks; each is as heavy as the longest way from it to the end, so that such ways start first."""
        heavy: dict[str, float] = {}
        for digest, node in reversed(self.nodes.items()):
            heavy[digest] = node.flops + heavy.get(digest, 0.0) + 1
            for other in node.task.after:
                heavy[other] = max(heavy.get(other, 0.0), heavy[digest])
        return [replace(node.task, weight=heavy[digest]) for digest, node in self.nodes.items()]


def made_at(out: Path, kind: str, digest: str) -> Path:
    """The folder of what a task makes."""
    return out / "made" / f"{kind.replace(' ', '-')}-{digest[:16]}"
