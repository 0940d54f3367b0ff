"""Teachers by what they were trained on, what each cost with all that it is made of, and their students beside those of
a teacher on as many random examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainmap.experiments.results.run_rows import METRICS
from trainmap.experiments.results.statistics import Difference, paired_difference
from trainmap.experiments.results.titles import map_titles
from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
from trainmap.experiments.tasks.part_teacher import PartTeacher
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.teacher import Teacher

Done = Mapping[str, Mapping[str, Any]]
Place = tuple[str, str]  # teacher, subset


@dataclass
class Lessons:
    """Students that differ in their teacher and in nothing else.

    Attributes:
        title: of the students: "digits: mlp-256, equal epochs".
        teachers: name -> one of its runs.
        subsets: that the students were trained on.
        runs: seed -> result of a student, by teacher and subset.
    """

    title: str
    teachers: dict[str, Teacher] = field(default_factory=dict)
    subsets: dict[str, None] = field(default_factory=dict)
    runs: dict[Place, dict[int, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def opponents(self) -> dict[str, str]:
        """Teacher on a chosen part -> the teacher on as many random examples."""
        parts = {name: one for name, one in self.teachers.items() if isinstance(one, PartTeacher)}
        return {
            name: opponent
            for name, one in parts.items()
            for opponent in [other for other, random in parts.items() if random.opposes(one)][:1]
        }

    def against_random(self, level: float, metric: str = next(iter(METRICS))) -> dict[Place, Difference]:
        """The students of each teacher on a chosen part less those of the one on random examples, paired by seed."""
        found: dict[Place, Difference] = {}
        for (name, subset), runs in self.runs.items():
            if (opponent := self.opponents.get(name)) and (opponent, subset) in self.runs:
                theirs = self.runs[opponent, subset]
                ours, random = ({seed: run[metric] for seed, run in one.items()} for one in (runs, theirs))
                found[name, subset] = paired_difference(ours, random, level)
        return found


def lessons(study: Study, tasks: Mapping[str, Task], done: Done) -> list[Lessons]:
    """The finished students by their teachers, where one of these was trained on a part of the data."""
    found: dict[str, Lessons] = {}
    used: set[tuple[str, str]] = set()  # what does not depend on the map stands in the tables of each
    for line in study.lines:
        told = line.labels
        if "teacher" not in told or line.run not in done or (line.run, told["budget"]) in used:
            continue
        used.add((line.run, told["budget"]))
        rest = {key: value for key, value in line.group.items() if key != "dataset"}
        head = ", ".join([str(line.group["dataset"]), *(f"{key} {value}" for key, value in rest.items())])
        key = json.dumps([head, told["way"], told["budget"]])
        one = found.setdefault(key, Lessons(f"{head}: {told['way']}, {told['budget']}"))
        one.teachers.setdefault(told["teacher"], next(_teachers(tasks[line.run])))
        one.subsets.setdefault(told["subset"])
        one.runs.setdefault((told["teacher"], told["subset"]), {})[told["seed"]] = done[line.run]
    return [one for one in found.values() if any(isinstance(teacher, PartTeacher) for teacher in one.teachers.values())]


def trained_on(study: Study, done: Done, teacher: Teacher) -> str:
    """What a teacher was trained on, and in which form, in words."""
    if isinstance(teacher, SmallerTeacher):
        rest = [f"{name} {value:g}" for name, value in teacher.compress.items() if name in ("ratio", "sparsity")]
        how = (
            "from the start"
            if teacher.original is None
            else f"recorded in {teacher.recorded} epochs of further training"
        )
        return f"all the data; {', '.join([teacher.compress['method'], *rest])}, {how}"
    if isinstance(teacher, CrossFitTeacher):
        return f"{teacher.folds} networks, each on all of {teacher.folds} folds but one; means of the networks"
    if not isinstance(teacher, PartTeacher):
        return "all the data"
    chosen = teacher.drawn_from.get("selection")
    if not isinstance(chosen, Selection):
        return f"{teacher.draw.called} {100 * done[teacher.hash]['fraction']:.3g} %"
    called = {entry.hash: entry.called for entry in study.entries}
    return f"{called[chosen.hash]} of the map of {map_titles(study, seeds=False)[chosen.map.hash]}"


def _teachers(task: Task) -> Iterator[Teacher]:
    """The teacher of a student, behind its logits or what became of it."""
    for role in ("teacher", "logits", "student"):
        if (other := task.needs().get(role)) is not None:
            if isinstance(other, Teacher):
                yield other
            yield from _teachers(other)
