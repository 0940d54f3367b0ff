"""The tasks of one point of an experiment on one dataset, as they are put into the graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.data.dataset import Splits
from trainmap.data.known_sizes import is_missing
from trainmap.errors import TrainmapError
from trainmap.experiments.file.federated_sections import Federated
from trainmap.experiments.file.sections import Active, Student
from trainmap.experiments.file.teacher_sections import Recipe
from trainmap.experiments.file.teacher_sections import Teacher as TeacherSection
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.plan.elsewhere_sets import evaluation_of
from trainmap.experiments.plan.graph import Graph, Node, made_at
from trainmap.experiments.plan.rehearsal import Rehearsal
from trainmap.experiments.tasks.datasets import Data, load
from trainmap.experiments.tasks.learning import Learning
from trainmap.experiments.tasks.materials import ClustersOf, Features, Logits
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.teacher import Teacher, check_recorded
from trainmap.models.build import check_model
from trainmap.models.catalogue import count
from trainmap.models.encoders import encoder_weights
from trainmap.scores.compute import check_score
from trainmap.training.fit import check_recipe
from trainmap.training.recipes import Recipe as TrainingRecipe
from trainmap.training.recipes import default_recipe


class Draft:
    """Adds the tasks of one variant on one dataset to a graph; knows what its networks cost, for ``Task.cost``."""

    def __init__(self, variant: Variant, graph: Graph, out: Path, at: int, name: str) -> None:
        self.variant, self.graph, self.out, self.name = variant, graph, out, name
        self.experiment = variant.experiment
        data = self.experiment.data
        settings: dict[str, Any] = data.model_dump(exclude={"names", "root"}) | {"name": name}
        for field in ("limit", "leave_out"):
            section = getattr(data, field)
            settings[field] = None if section is None else section.made()
        outlined = graph.outlines and is_missing(name, data.root or "data")
        asked: dict[str, Any] = {"root": data.root, "outlined": outlined, **settings}
        try:
            self.splits: Splits = load(**asked)
        except TrainmapError as error:
            field = _to_blame(asked)
            where = ("data", "names", at) if field == "names" else ("data", field)
            raise variant.wrong(where, error) from error
        train = self.splits.train
        self.data = Data(**settings, fingerprint="" if outlined else self.splits.fingerprint())
        if outlined:
            graph.lacks(name)
        self.examples, self.tests, self.classes = len(train), len(self.splits.test), train.classes
        self.class_sizes = tuple(int(count) for count in np.bincount(train.y) if count)
        self.evaluation = evaluation_of(variant, self.data, self.splits.test, graph)
        self.rehearsal = Rehearsal(None if outlined else train, graph.rehearsed)
        self.compresses = any(way for student in self.experiment.students for way in student.compress)
        self.names: dict[str, str] = {}
        self.teachers: dict[str, dict[int, Teacher]] = {}

    def add(
        self,
        task: Task,
        name: str,
        called: str = "",
        files: dict[str, Path] | None = None,
        target: float | None = None,
    ) -> str:
        """Put a task into the graph, after those that it needs, unless it is there; its hash.

        Args:
            name: what people call it.
            called: the same without what its kind, the dataset and a seed add.
            files: that are read besides what others made.
            target: see ``Entry``.
        """
        points = self.graph.points.setdefault(task.hash, [])
        if points and points[-1] is self.variant and task.hash in self.names:
            return task.hash
        points.append(self.variant)
        for need in task.needs().values():
            self.add(need, self.names.get(need.hash) or self.named(need))
        self.names[task.hash] = name
        if task.hash not in self.graph.nodes:
            cost = task.cost(self)
            place = self.place(task, name, cost.checkpoint, files or {})
            self.graph.nodes[task.hash] = Node(name, task, place, self.splits.train.name, cost, called, target=target)
        return task.hash

    def place(self, task: Task, name: str, checkpoint: bool, files: dict[str, Path]) -> Place:
        """Where a task works."""
        out = made_at(self.out, task.what, task.hash)
        root = self.experiment.data.root
        told = {"name": name, "logs": self.out, "tracking": self.experiment.tracking.model_dump()}
        return Place(
            out=out,
            others={role: made_at(self.out, other.what, other.hash) for role, other in task.needs().items()},
            files=files,
            data_root=None if root is None else str(Path(root).resolve()),
            checkpoint=out / "checkpoint.pt" if checkpoint else None,
            **(told if isinstance(task, Learning) else {}),
        )

    def named(self, task: Task) -> str:
        """What people call a thing that is made of a teacher for others."""
        if not isinstance(task, Logits | Features | ClustersOf):
            raise TypeError(f"{task.kind} is planned under a name of its own")
        name = next(name for name, runs in self.teachers.items() if task.teacher in runs.values())
        what = "logits" if isinstance(task, Logits) else "features"
        what = f"{task.clusters} clusters" if isinstance(task, ClustersOf) else what
        first = next(iter(self.teachers[name].values()))
        seed = "" if task.teacher == first else f", seed {task.teacher.seed}"
        return f"{what} of {name} on {self.splits.train.name}{seed}"

    def teacher(self, where: Where, name: str, seed: int | None) -> Teacher:
        """One of a teacher's runs."""
        runs = self.runs(where, name)
        if seed is not None and seed not in runs:
            raise self.variant.wrong((*where, "seed"), f"{name} has the seeds {', '.join(map(str, runs))}, got {seed}")
        return runs[next(iter(runs)) if seed is None else seed]

    def paired(self, where: Where, name: str) -> dict[int, Teacher]:
        """A teacher's runs by the seeds of the students that go with them: the first with the first, ..."""
        runs, seeds = self.runs(where, name), self.experiment.seeds
        if len(runs) != len(seeds):
            message = f"paired needs as many seeds of {name} as the experiment has, {len(seeds)}, got {len(runs)}"
            raise self.variant.wrong((*where, "seed"), message)
        return dict(zip(seeds, runs.values(), strict=True))

    def runs(self, where: Where, name: str) -> dict[int, Teacher]:
        """A teacher's runs by their seeds."""
        if name not in self.teachers:
            known = ", ".join(self.teachers) or "none"
            raise self.variant.wrong((*where, "teacher"), f"there is no teacher '{name}'. Known: {known}")
        return self.teachers[name]

    def recipe(self, where: Where, section: TeacherSection | Student | Active | Federated, role: str) -> TrainingRecipe:
        """The recipe of a model, which goes to the report's table."""
        changes: Recipe = section.recipe
        try:
            recipe = default_recipe(section.model, self.name, section.epochs, self.splits.train.inputs)
            recipe = replace(recipe, **changes.model_dump(exclude_none=True))
        except TrainmapError as error:
            raise self.variant.wrong((*where, "model"), error) from error
        self.known(where, section.model, role)
        try:
            check_recipe(recipe, self.splits.train)
        except TrainmapError as error:
            raise self.variant.wrong((*where, "recipe"), error) from error
        return recipe

    def known(self, where: Where, model: str, role: str) -> None:
        """Put a network into the report's table of models; it must be one that fits the data."""
        try:
            self.network(model, role)
        except TrainmapError as error:
            raise self.variant.wrong((*where, "model"), error) from error

    def forward(self, model: str) -> int:
        """FLOPs of a network for one example."""
        return self.network(model)["flops"]

    def parameters(self, model: str) -> int:
        return self.network(model)["parameters"]

    def network(self, name: str, role: str = "") -> dict[str, int]:
        """What a network costs; it must be one that fits the data. It goes to the report's table of models."""
        train = self.splits.train
        known = next((m for m in self.graph.models if (m["name"], m["dataset"]) == (name, train.name)), None)
        if known is None:
            check_model(name, train.inputs)
            encoder_weights(name)  # that a pretrained text encoder has some
            weighs, flops = count(name, train.classes, train.inputs)
            known = {"name": name, "dataset": train.name, "role": role, "parameters": weighs, "flops": flops}
            self.graph.models.append(known)
        return known

    def check_scores(
        self, where: Where, scores: Sequence[str], epochs: int, teachers: Collection[Teacher], why: str = ""
    ) -> None:
        """Refuse scores that so many epochs of the recordings of these teachers cannot give, or that stand twice.

        Args:
            why: there may be so few epochs.
        """
        for at, score in enumerate(scores):
            try:
                if score in scores[:at]:
                    raise TrainmapError(f"'{score}' stands twice; keep one of them")
                check_score(score, epochs, "logits")
            except TrainmapError as error:
                raise self.variant.wrong((*where, at), f"{error}{why}") from error
            try:
                check_recorded([score], teachers)
            except TrainmapError as error:
                raise self.variant.wrong((*where, at), error) from error

    def check_patience(self, where: Where, patience: int | None) -> None:
        if patience is not None and not len(self.splits.validation):
            raise self.variant.wrong((*where, "patience"), "early stopping needs validation data; see data.validation")


def _to_blame(asked: dict[str, Any]) -> str:
    """The field of ``data`` without which, and without those that come after it, the data can be loaded."""
    without: dict[str, Any] = {"leave_out": None, "limit": None, "labels": "", "label_noise": 0.0}
    left = dict(without)
    for field in ("names", *without):
        left.pop(field, None)
        try:
            load(**asked | left)
        except TrainmapError:
            return field
    raise AssertionError("the last of these is what failed before")
