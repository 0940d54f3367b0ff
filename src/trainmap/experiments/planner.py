"""From a configuration to its graph of tasks: every field of the file goes into a task, or is a located error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.config import Variant
from trainmap.experiments.graph import Graph, Line, Node, made_at
from trainmap.experiments.nodes import load
from trainmap.experiments.rows import Draw, draws
from trainmap.experiments.sections import Distillation, Map, Recipe, Student, Teacher
from trainmap.experiments.task import Task
from trainmap.experiments.yamlfile import Where
from trainmap.training.corruptions import CORRUPTIONS
from trainmap.training.cost import forward_flops, inference_flops, parameters, training_flops
from trainmap.training.data import Splits
from trainmap.training.fit import default_recipe
from trainmap.training.models import build
from trainmap.training.recipes import Recipe as TrainingRecipe
from trainmap.training.shifts import load_shift
from trainmap.training.teaching import Distillation as TrainingDistillation
from trainmap.training.teaching import settled

NODES = "trainmap.experiments.nodes"
CHECKPOINT_FLOPS = 10**12  # a run above this (a minute on one core, about) can go on after a kill
SIGNAL_BYTES = 22  # a recording keeps for each example and epoch


def plan_graph(variants: list[Variant], out: str | Path) -> Graph:
    """Every task of an experiment. Loads the datasets and builds each network once, to count.

    Raises:
        TrainmapError: names file, line and field of what cannot be.
    """
    graph = Graph()
    for variant in variants:
        for at, name in enumerate(variant.experiment.data.names):
            Planner(variant, graph, Path(out).resolve(), at, name).plan()
    return graph


class Planner:
    """Adds the tasks of one variant on one dataset to a graph."""

    def __init__(self, variant: Variant, graph: Graph, out: Path, at: int, name: str) -> None:
        self.variant, self.graph, self.out, self.name = variant, graph, out, name
        self.experiment = variant.experiment
        data = self.experiment.data
        settings = data.model_dump(exclude={"names", "root"}) | {"name": name}
        try:
            self.splits: Splits = load(root=data.root, **settings)
        except TrainmapError as error:
            raise variant.wrong(("data", "names", at), error) from error
        self.data = settings | {"fingerprint": self.splits.fingerprint()}
        self.examples = len(self.splits.train)
        self.evaluation = self.check_evaluation()
        self.teachers: dict[str, list[tuple[int, str]]] = {}
        self.specs: dict[str, tuple[Teacher, TrainingRecipe]] = {}

    def plan(self) -> None:
        for at, teacher in enumerate(self.experiment.teachers):
            self.add_teacher(at, teacher)
        maps = self.experiment.maps
        if maps is None:
            maps = [Map(teacher=name) for name in self.teachers]
        named: dict[str, tuple[Map, str]] = {}
        for at, one in enumerate(maps):
            name = one.name or one.teacher + (f", {one.epochs} epochs" if one.epochs else "")
            if name in named:
                raise self.variant.wrong(("maps", at), f"'{name}' stands twice; give one of them another name")
            named[name] = one, self.add_map(at, one)
        if not self.experiment.students:
            return
        for name, (one, digest) in (named or {"": (Map(teacher="-"), "")}).items():
            self.add_students({"map": name} if len(named) > 1 else {}, one, digest)

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
        sweep = inference_flops(forward, seen) if teacher.record == "sweep" else 0
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
            flops = training_flops(forward, seen)
            digest = self.add(
                *("teacher", f"teacher {name} on {self.splits.train.name}, seed {seed}", "teacher_run", config, {}),
                *(teacher.model, flops + sweep, seen, seen * SIGNAL_BYTES + 4 * count, True),
            )
            self.teachers[name].append((seed, digest))

    def add_map(self, at: int, one: Map) -> str:
        teacher = self.teacher(("maps", at), one.teacher, one.seed)
        recipe = self.specs[one.teacher][1]
        if one.epochs is not None and one.epochs > recipe.epochs:
            message = f"must be at most {recipe.epochs}, the epochs of {one.teacher}, got {one.epochs}"
            raise self.variant.wrong(("maps", at, "epochs"), message)
        config = {"teacher": teacher, "epochs": one.epochs, "scores": one.scores, "fraction": one.fraction}
        name = f"map of {one.teacher} on {self.splits.train.name}" + (f", {one.epochs} epochs" if one.epochs else "")
        size = self.examples * 8 * (16 if one.scores is None else len(one.scores) + 5) + 400_000
        return self.add("map", name, "map_run", config, {"teacher": teacher}, "", 0, 0, size)

    def add_students(self, group: dict[str, Any], one: Map, map_digest: str) -> None:
        rows = draws(self.experiment.subsets, self.experiment.sizes, self.examples, one.scores, self.variant.wrong)
        if not map_digest and any(row.kind == "map" for row in rows):
            raise self.variant.wrong(("subsets",), "subsets of a map need a teacher to make it; add one under teachers")
        group = {"dataset": self.splits.train.name, **group, **self.variant.label}
        for row in rows:
            selections: dict[int, str] = {}
            for seed in self.experiment.seeds if row.kind == "map" else ():
                config = {"map": map_digest, "spec": row.spec, "rule": row.rule, "balance": row.balance}
                config["seed"] = seed if row.redrawn else 0
                name = f"{row.name} of {self.graph.nodes[map_digest].task.name}"
                name += f", seed {seed}" if row.redrawn else ""
                needs = {"map": map_digest}
                selections[seed] = self.add("selection", name, "selection_run", config, needs, size=20 * row.count)
            for at, student in enumerate(self.experiment.students):
                for way, (column, how) in enumerate(_columns(student)):
                    self.add_runs(group, map_digest, row, selections, (at, student), (way, how), column)

    def add_runs(
        self,
        group: Mapping[str, Any],
        map_digest: str,
        row: Draw,
        selections: Mapping[int, str],
        student: tuple[int, Student],
        how: tuple[int, Distillation | None],
        column: str,
    ) -> None:
        where, spec = ("students", student[0]), student[1]
        recipe, forward, _ = self.model(where, spec.model, spec.epochs, spec.recipe, "student")
        self.check_patience(where, spec.patience)
        teaching = None
        if how[1] is not None:
            teaching = self.teaching((*where, "distillation", how[0]), how[1], recipe)
        taught = {} if teaching is None else {key: teaching[key] for key in ("logits", "teacher") if key in teaching}
        for steps, budgets in _budgets(row, list(self.experiment.budgets)):
            whole, part = (recipe.epochs * -(-size // recipe.batch) for size in (self.examples, row.count))
            visits = row.count if steps == "own" else row.count * whole // part
            if row.steps == "subset":
                visits = self.examples * part // whole
            for seed in self.experiment.seeds:
                selection = selections.get(seed)
                needs = taught if selection is None else {"selection": selection, **taught}
                config = {
                    "data": self.data,
                    "model": spec.model,
                    "recipe": asdict(recipe),
                    "seed": seed,
                    "steps": {"own": None, "subset": part, "full": whole}[steps],
                    "patience": spec.patience,
                    "device": self.experiment.device,
                    "subset": {"kind": row.kind, "count": row.count, "selection": selection},
                    "evaluation": self.evaluation,
                    "teacher": teaching,
                }
                kind = " distilled" if teaching else ""
                name = f"{row.name}, {column}{kind} on {self.splits.train.name}, {budgets[0]}, seed {seed}"
                seen = recipe.epochs * visits
                flops = training_flops(forward, seen)
                digest = self.add(
                    "student",
                    name,
                    "student_run",
                    config,
                    needs,
                    spec.model,
                    flops,
                    seen,
                    4000,
                    flops > CHECKPOINT_FLOPS,
                )
                labels = {"subset": row.name, "student": column, "distilled": teaching is not None, "seed": seed}
                labels |= {"fraction": row.count / self.examples}
                for budget in budgets:
                    self.graph.lines.append(Line(digest, group, labels | {"budget": budget}, map_digest))

    def teaching(self, where: Where, how: Distillation, recipe: TrainingRecipe) -> dict[str, Any]:
        """What a student's configuration says of its teacher: every setting of the loss, and ``logits`` (their hash),
        or, where cached ones will not do, ``teacher`` (its hash), ``model`` and ``seed``."""
        if not self.teachers:
            raise self.variant.wrong(where, "distillation needs a teacher; add one under teachers")
        name = how.teacher or next(iter(self.teachers))
        teacher = self.teacher(where, name, how.seed)
        try:
            loss = settled(TrainingDistillation(**how.model_dump(exclude={"teacher", "seed"})), self.examples)
        except TrainmapError as error:
            raise self.variant.wrong(where, error) from error
        told = {key: getattr(loss, key) for key in ("temperature", "weight", "gold", "warmup", "options")}
        told |= {"loss": loss.name}
        spec = self.specs[name][0]
        network = {"model": spec.model, "seed": self.graph.nodes[teacher].task.config["seed"]}
        if loss.loss.needs == "features" or recipe.crop:
            return told | network | {"teacher": teacher}
        _, forward, _ = self.model(where, spec.model, None, Recipe(), "teacher")
        passes = self.examples * (2 if recipe.flips else 1)
        config = {"data": self.data, "teacher": teacher, **network, "flips": recipe.flips}
        logits = self.add(
            *("teacher logits", f"logits of {name} on {self.splits.train.name}", "logits_run"),
            *(config | {"device": self.experiment.device}, {"teacher": teacher}, spec.model),
            *(inference_flops(forward, passes), passes, 2 * passes * self.splits.train.classes),
        )
        return told | {"logits": logits}

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
    ) -> str:
        """Put a task into the graph, unless it is there; its hash."""
        label = ", ".join(f"{key}={value}" for key, value in self.variant.label.items())
        task = Task(f"{name} ({label})" if label else name, f"{NODES}:{function}", config)
        if task.hash in self.graph.nodes:
            return task.hash
        out = made_at(self.out, kind, task.hash)
        where = {"out": str(out)} | {role: str(self.place(digest)) for role, digest in needs.items()}
        if "data" in config and self.experiment.data.root is not None:
            where["data_root"] = str(Path(self.experiment.data.root).resolve())
        if kind in ("teacher", "student"):
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
                network = build(name, train.classes, train.inputs, 0)
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


def _budgets(row: Draw, asked: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(how many steps: "own" epochs, those of a "subset", those of "full" data; the tables) of a row's runs."""
    if row.kind == "full" and row.steps == "own":
        yield "own", tuple(asked)
        return
    if "equal epochs" in asked:
        yield row.steps, ("equal epochs",)
    if "equal steps" in asked and row.kind != "full":
        yield "full", ("equal steps",)


def _columns(student: Student) -> list[tuple[str, Distillation | None]]:
    """The name of each way of training a student: what tells its distillations apart, where there are several."""
    ways = [{} if way is None else way.model_dump() for way in student.distillation]
    given = [way for way in ways if way]
    differ = [key for key in Distillation.model_fields if any(way[key] != given[0][key] for way in given)]
    name = student.name or student.model
    found: list[tuple[str, Distillation | None]] = []
    for way, how in zip(ways, student.distillation, strict=True):
        told = [f"{key} {_short(way[key])}" for key in differ if way and way[key] not in (None, "", {})]
        found.append((f"{name} ({', '.join(told)})" if told else name, how))
    return found


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
