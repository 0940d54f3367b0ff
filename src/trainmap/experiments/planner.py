"""From a configuration to its graph of tasks: every field of the file goes into a task, or is a located error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.data.dataset import Splits
from trainmap.errors import TrainmapError, counted, unknown
from trainmap.evaluation.corruptions import CORRUPTIONS
from trainmap.evaluation.shifts import load_shift
from trainmap.experiments.file.sections import Map, Recipe, Teacher
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.graph import Graph, Node, made_at
from trainmap.experiments.nodes import load
from trainmap.experiments.people import plan_people
from trainmap.experiments.points import name_tasks, part_tables
from trainmap.experiments.searches import plan_searches
from trainmap.experiments.students import Students
from trainmap.experiments.task import Task
from trainmap.models.build import build, check_model
from trainmap.models.cost import forward_flops, inference_flops, parameters, training_flops
from trainmap.models.zoo import PRETRAINED
from trainmap.scores.table import score_named
from trainmap.selection.strategies import check_epochs
from trainmap.training.fit import default_recipe
from trainmap.training.recipes import Recipe as TrainingRecipe

SIGNAL_BYTES = 22  # a recording keeps for each example and epoch


def plan_graph(variants: list[Variant], out: str | Path) -> Graph:
    """Every task of an experiment. Loads the datasets and builds each network once, to count.

    Raises:
        TrainmapError: names file, line and field of what cannot be.
    """
    graph = Graph()
    owners: list[Variant] = []
    for variant in variants:
        for at, name in enumerate(names := variant.experiment.data.names):
            if name in names[:at]:
                raise variant.wrong(("data", "names", at), f"'{name}' stands twice; keep one of them")
            Planner(variant, graph, Path(out).resolve(), at, name).plan()
        owners += [variant] * (len(graph.lines) - len(owners))
    name_tasks(graph)
    part_tables(graph, owners)
    return graph


class Planner:
    """Adds the tasks of one variant on one dataset to a graph."""

    def __init__(self, variant: Variant, graph: Graph, out: Path, at: int, name: str) -> None:
        self.variant, self.graph, self.out, self.name = variant, graph, out, name
        self.experiment = variant.experiment
        data = self.experiment.data
        settings = data.model_dump(exclude={"names", "root"}) | {"name": name}
        for place, read in ((("names", at), {"labels": "", "label_noise": 0.0}), (("labels",), {})):
            try:
                self.splits: Splits = load(root=data.root, **settings | read)
            except TrainmapError as error:
                raise variant.wrong(("data", *place), error) from error
        self.data = settings | {"fingerprint": self.splits.fingerprint()}
        self.examples = len(self.splits.train)
        self.classes = tuple(int(count) for count in np.bincount(self.splits.train.y) if count)
        self.evaluation = self.check_evaluation()
        self.compresses = any(way for student in self.experiment.students for way in student.compress)
        self.records_test = self.compresses or self.experiment.human is not None
        self.teachers: dict[str, list[tuple[int, str]]] = {}
        self.specs: dict[str, tuple[Teacher, TrainingRecipe]] = {}

    def plan(self) -> None:
        for at, subset in enumerate(self.experiment.subsets):
            for field in ("seeds", "budgets"):
                own, all_ = getattr(subset, field) or [], getattr(self.experiment, field)
                if len(set(own)) < len(own) or not set(own) <= set(all_):
                    message = f"must be some of the experiment's, {all_}, each once, got {own}"
                    raise self.variant.wrong(("subsets", at, field), message)
        for at, teacher in enumerate(self.experiment.teachers):
            self.add_teacher(at, teacher)
        maps = self.experiment.maps
        if maps is None:
            maps = [Map(teacher=name) for name in self.teachers]
        named: dict[str, tuple[Map, str]] = {}
        for at, one in enumerate(maps):
            name = one.name or one.teacher + _first(one.epochs)
            if name in named:
                raise self.variant.wrong(("maps", at), f"'{name}' stands twice; give one of them another name")
            named[name] = one, self.add_map(at, one)
        plan_people(self)
        plan_searches(self)
        if not self.experiment.students:
            return
        for name, (one, digest) in (named or {"": (Map(teacher="-"), "")}).items():
            Students(self, {"map": name} if len(named) > 1 else {}, one, digest).plan()

    def add_teacher(self, at: int, teacher: Teacher) -> None:
        name, where = teacher.name or teacher.model, ("teachers", at)
        if name in self.teachers:
            raise self.variant.wrong(where, f"'{name}' stands twice; give one of them a name of its own")
        if self.experiment.students and (shared := set(teacher.seeds) & set(self.experiment.seeds)):
            raise self.variant.wrong(
                (*where, "seeds"),
                f"a map must come from another seed than the runs that it helps; {shared} is among the students' seeds",
            )
        recipe, forward, count = self.model(where, teacher.model, teacher.epochs, teacher.recipe, "teacher")
        self.check_patience(where, teacher.patience)
        seen = recipe.epochs * self.examples
        test = recipe.epochs * len(self.splits.test) if self.records_test else 0
        sweep = inference_flops(forward, test + (seen if teacher.record == "sweep" else 0))
        self.specs[name] = teacher, recipe
        self.teachers[name] = []
        for seed in teacher.seeds:
            config = {
                "data": self.data,
                "model": teacher.model,
                "recipe": asdict(recipe),
                "seed": seed,
                "record": teacher.record,
                "patience": teacher.patience,
                "device": self.experiment.device,
                "evaluation": self.evaluation,
            }
            config |= {"record_test": True} if self.records_test else {}
            flops = training_flops(forward, seen)
            digest = self.add(
                *(
                    "teacher",
                    f"teacher {name} on {self.splits.train.name}, seed {seed}",
                    "nodes:teacher_run",
                    config,
                    {},
                ),
                *(teacher.model, flops + sweep, seen, (seen + test) * SIGNAL_BYTES + 4 * count, True),
            )
            self.teachers[name].append((seed, digest))

    def add_map(self, at: int, one: Map) -> str:
        teacher = self.teacher(("maps", at), one.teacher, one.seed)
        recipe = self.specs[one.teacher][1]
        if one.epochs is not None and one.epochs > recipe.epochs:
            message = f"must be at most {recipe.epochs}, the epochs of {one.teacher}, got {one.epochs}"
            raise self.variant.wrong(("maps", at, "epochs"), message)
        for place, score in enumerate(one.scores or []):
            try:
                check_epochs(score, score_named(score).epochs, self.epochs(one))
            except TrainmapError as error:
                raise self.variant.wrong(("maps", at, "scores", place), error) from error
        config = {"teacher": teacher, "epochs": one.epochs, "scores": one.scores, "fraction": one.fraction}
        config |= {"test": True} if self.compresses else {}
        name = f"map of {one.teacher} on {self.splits.train.name}" + (
            f", {counted(one.epochs, 'epoch')}" if one.epochs else ""
        )
        if len(self.teachers[one.teacher]) > 1:
            name += f", seed {self.graph.nodes[teacher].task.config['seed']}"
        size = self.examples * 8 * (16 if one.scores is None else len(one.scores) + 5) + 400_000
        return self.add("map", name, "nodes:map_run", config, {"teacher": teacher}, "", 0, 0, size)

    def epochs(self, one: Map) -> int:
        """Of a map; early stopping is not foreseen."""
        return one.epochs or self.specs[one.teacher][1].epochs

    def add(
        self,
        kind: str,
        name: str,
        function: str,
        config: dict[str, Any],
        needs: Mapping[str, str],
        model: str = "",
        flops: int = 0,
        seen: int = 0,
        size: int = 0,
        checkpoint: bool = False,
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Put a task into the graph, unless it is there; its hash. ``files`` are read besides what others made."""
        task = Task(name, f"trainmap.experiments.{function}", config)
        points = self.graph.points.setdefault(task.hash, [])
        if not points or points[-1] is not self.variant:
            points.append(self.variant)
        if task.hash in self.graph.nodes:
            return task.hash
        out = made_at(self.out, kind, task.hash)
        where = {"out": str(out), **(files or {})} | {role: str(self.place(digest)) for role, digest in needs.items()}
        if "data" in config and self.experiment.data.root is not None:
            where["data_root"] = str(Path(self.experiment.data.root).resolve())
        if kind in ("teacher", "student", "tuned"):
            where |= {"name": task.name, "logs": str(self.out)}
            where["tracking"] = json.dumps(self.experiment.tracking.model_dump())
            where |= {"checkpoint": str(out / "checkpoint.pt")} if checkpoint else {}
        task = replace(task, where=where, after=tuple(dict.fromkeys(needs.values())))
        self.graph.nodes[task.hash] = Node(kind, task, self.splits.train.name, model, flops, seen, size)
        return task.hash

    def place(self, digest: str) -> Path:
        return made_at(self.out, self.graph.nodes[digest].kind, digest)

    def teacher(self, where: Where, name: str, seed: int | None) -> str:
        """The hash of one of a teacher's runs."""
        if name not in self.teachers:
            known = ", ".join(self.teachers) or "none"
            raise self.variant.wrong((*where, "teacher"), f"there is no teacher '{name}'. Known: {known}")
        runs = dict(self.teachers[name])
        if seed is not None and seed not in runs:
            raise self.variant.wrong((*where, "seed"), f"{name} has the seeds {', '.join(map(str, runs))}, got {seed}")
        return runs[next(iter(runs)) if seed is None else seed]

    def model(
        self, where: Where, name: str, epochs: int | None, changes: Recipe, role: str
    ) -> tuple[TrainingRecipe, int, int]:
        """The recipe of a model, its FLOPs for one example, its parameters; the model goes to the report's table."""
        train = self.splits.train
        known = next((m for m in self.graph.models if (m["name"], m["dataset"]) == (name, train.name)), None)
        try:
            recipe = replace(
                default_recipe(name, self.name, epochs, train.inputs), **changes.model_dump(exclude_none=True)
            )
            if known is None:
                check_model(name, train.inputs)
                network = build(
                    name.removesuffix(PRETRAINED), train.classes, train.inputs, 0
                )  # no download for a count
                known = {"name": name, "dataset": train.name, "role": role, "parameters": parameters(network)}
                known["flops"] = forward_flops(network, train.inputs)
                self.graph.models.append(known)
        except TrainmapError as error:
            raise self.variant.wrong((*where, "model"), error) from error
        return recipe, known["flops"], known["parameters"]

    def check_evaluation(self) -> dict[str, Any]:
        """What runs are judged on besides their test set; shifts with the fingerprint of their data."""
        asked = self.experiment.evaluation
        shifts: dict[str, str] = {}
        for at, name in enumerate(asked.corruptions):
            if name not in CORRUPTIONS:
                raise self.variant.wrong(("evaluation", "corruptions", at), unknown("corruption", name, CORRUPTIONS))
        for at, name in enumerate(asked.shifts):
            try:
                shifts[name] = load_shift(name, self.experiment.data.root or "data").fingerprint()
            except TrainmapError as error:
                raise self.variant.wrong(("evaluation", "shifts", at), error) from error
        told = {"corruptions": list(asked.corruptions), "severities": list(asked.severities), "shifts": shifts}
        return told if asked.corruptions or shifts else {}

    def check_patience(self, where: Where, patience: int | None) -> None:
        if patience is not None and not len(self.splits.validation):
            raise self.variant.wrong((*where, "patience"), "early stopping needs validation data; see data.validation")


def _first(epochs: int | None) -> str:
    return f", {counted(epochs, 'epoch')}" if epochs else ""
