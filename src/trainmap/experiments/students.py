"""The students' part of the graph: selection → student → compressed, teacher → logits → student, and their lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trainmap.distillation.settings import Distillation as TrainingDistillation
from trainmap.distillation.settings import settled
from trainmap.errors import TrainmapError
from trainmap.experiments.choosing import materials
from trainmap.experiments.file.fields import short
from trainmap.experiments.file.sections import Distillation, Map, Recipe, Student
from trainmap.experiments.file.ways import Compression
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.graph import Line
from trainmap.experiments.rehearsal import rehearse
from trainmap.experiments.rows import Draw, draws
from trainmap.experiments.schedules import proxy_flops
from trainmap.models.cost import inference_flops, training_flops
from trainmap.training.recipes import Recipe as TrainingRecipe

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner

CHECKPOINT_FLOPS = 10**12  # a run above this (a minute on one core, about) can go on after a kill


@dataclass(frozen=True)
class Column:
    """One way of training a student.

    Attributes:
        name: in the table.
        distillation: None trains without a teacher.
        where: the student's place in the file.
        place: of the distillation among its own.
    """

    name: str
    distillation: Distillation | None
    where: Where
    place: int


class Students:
    """Adds the runs of the students on one map of a dataset (``digest`` is "" without one)."""

    def __init__(self, planner: Planner, group: Mapping[str, Any], one: Map, digest: str) -> None:
        self.planner, self.experiment, self.one, self.map = planner, planner.experiment, one, digest
        self.wrong, self.data = planner.variant.wrong, planner.splits.train.name
        self.group = {"dataset": self.data, **group, **planner.variant.label}

    def plan(self) -> None:
        recipes = [
            self.planner.model(("students", at), one.model, one.epochs, one.recipe, "student")[0]
            for at, one in enumerate(self.experiment.students)
        ]
        rows = draws(
            *(self.experiment.subsets, self.experiment.sizes, self.planner.examples),
            *(max(recipe.epochs for recipe in recipes), self.one.scores, self.wrong, self.check),
        )
        if not self.map and any("map" in row.kind for row in rows):
            raise self.wrong(("subsets",), "subsets of a map need a teacher to make it; add one under teachers")
        for row in rows:
            selections = {seed: self.selection(row, seed) for seed in self.seeds(row)} if row.kind == "map" else {}
            for at, student in enumerate(self.experiment.students):
                for column in columns(student, ("students", at)):
                    self.runs(row, selections, student, column)

    def check(self, row: Draw) -> None:
        """Refuse a row that would fail when the map is there."""
        if self.map:
            rehearse(row, self.planner.epochs(self.one), self.planner.classes)

    def seeds(self, row: Draw) -> list[int]:
        """With which a row is run."""
        return list(self.experiment.seeds if row.seeds is None else row.seeds)

    def selection(self, row: Draw, seed: int) -> str:
        config: dict[str, Any] = {"map": self.map, "spec": row.spec, "rule": row.rule, "balance": row.balance}
        config["seed"] = seed if row.redrawn else 0
        config["ties"] = "hash"  # by the smaller id once: a folder of then must not mix the two in one table
        needs = {"map": self.map}
        if row.strategy is not None:
            needs |= (read := materials(self, row.strategy))
            config |= {"strategy": dict(row.strategy), "size": row.count, **read}
        if row.held_out and (teacher := self.judged_teacher()):
            needs["teacher"] = teacher
            config |= {"size": row.count, "held_out": True, "teacher": teacher}
        if row.without is not None:
            needs["teacher"] = self.planner.graph.nodes[self.map].task.config["teacher"]
            config |= {"without": dict(row.without), "teacher": needs["teacher"]}
        name = f"{row.name} of {self.planner.graph.nodes[self.map].task.name}"
        name += f", seed {seed}" if row.redrawn else ""
        return self.planner.add("selection", name, "nodes:selection_run", config, needs, size=20 * row.count)

    def judged_teacher(self) -> str:
        """The teacher that the map is of, where its accuracy is that of the map's network: not with a map of its first
        epochs; "" then."""
        return "" if self.one.epochs is not None else self.planner.graph.nodes[self.map].task.config["teacher"]

    def runs(self, row: Draw, selections: Mapping[int, str], student: Student, column: Column) -> None:
        """Each seed and budget of a row under one way of training, and what is compressed of them."""
        recipe, forward, count = self.planner.model(
            column.where, student.model, student.epochs, student.recipe, "student"
        )
        self.planner.check_patience(column.where, student.patience)
        teaching = self.teaching(column, recipe)
        taught = {key: teaching[key] for key in ("logits", "teacher") if key in teaching} if teaching else {}
        ways = _compressions(student, column, self.wrong)
        subset: dict[str, Any] = {"kind": row.kind, "count": row.count}
        subset |= {} if row.schedule is None else {"schedule": dict(row.schedule)}
        drawn_from: dict[str, str] = {}
        if row.kind == "map-repeated":
            drawn_from = {"map": self.map}
            if teacher := self.judged_teacher():
                drawn_from["judged"] = teacher
            subset |= drawn_from
        for steps, budgets in _budgets(row, list(row.budgets or self.experiment.budgets)):
            whole, part = (recipe.epochs * -(-size // recipe.batch) for size in (self.planner.examples, row.count))
            visits = row.count if steps == "own" else row.count * whole // part
            if row.steps == "subset":
                visits = self.planner.examples * part // whole
            seen = recipe.epochs * visits
            flops = training_flops(forward, seen) + self.proxy(row, recipe.epochs * visits)
            for seed in self.seeds(row):
                selection = selections.get(seed)
                config = self.config(student, recipe, seed, {**subset, "selection": selection}, teaching)
                config["steps"] = {"own": None, "subset": part, "full": whole}[steps]
                config |= {"keep": True} if any(way for _, way in ways) else {}
                chosen = drawn_from if selection is None else {"selection": selection}
                kind = " distilled" if teaching else ""
                name = f"{row.name}, {column.name}{kind} on {self.data}, {budgets[0]}, seed {seed}"
                size = 4000 + (4 * count if "keep" in config else 0)
                digest = self.planner.add(
                    *("student", name, "nodes:student_run", config, {**chosen, **taught}, student.model),
                    *(flops, seen, size, flops > CHECKPOINT_FLOPS),
                )
                labels = {
                    "distilled": teaching is not None,
                    "seed": seed,
                    "fraction": row.count / self.planner.examples,
                }
                for title, way in ways:
                    run = digest
                    if way is not None:
                        run = self.compressed(digest, f"{title}: {name}", way, chosen, (forward, count))
                    for budget in budgets:
                        told = {"subset": row.name, "student": title, **labels, "budget": budget}
                        self.planner.graph.lines.append(Line(run, self.group, told, self.map))

    def config(
        self,
        student: Student,
        recipe: TrainingRecipe,
        seed: int,
        subset: dict[str, Any],
        teaching: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The configuration of a student's run."""
        return {
            "data": self.planner.data,
            "model": student.model,
            "recipe": asdict(recipe),
            "seed": seed,
            "steps": None,
            "patience": student.patience,
            "device": self.experiment.device,
            "subset": subset,
            "evaluation": self.planner.evaluation,
            "teacher": teaching,
        }

    def compressed(
        self, student: str, name: str, way: Compression, chosen: Mapping[str, str], model: tuple[int, int]
    ) -> str:
        """What becomes of a student's network."""
        trained, how = self.planner.graph.nodes[student].task.config, way.settled()
        shared = ("data", "model", "recipe", "seed", "device", "subset", "evaluation")
        config = {key: trained[key] for key in shared} | {"student": student, "compress": how}
        fixed = trained["subset"]["kind"] in ("map", "random")
        seen = how.get("finetune_epochs", 0) * (trained["subset"]["count"] if fixed else self.planner.examples)
        return self.planner.add(
            *("compressed", name, "compressing:compressed_run", config, {"student": student, **chosen}),
            *(trained["model"], training_flops(model[0], seen), seen, 4 * model[1]),
        )

    def proxy(self, row: Draw, seen: int) -> int:
        """FLOPs of a row's proxy; its model is checked."""
        if row.schedule is None or row.schedule["name"] != "proxy":
            return 0
        at = next(n for n, s in enumerate(self.experiment.subsets) if s.schedule and s.schedule.name == "proxy")
        where = ("subsets", at, "schedule")
        _, forward, _ = self.planner.model(where, row.schedule["model"], None, Recipe(), "proxy")
        return proxy_flops(row.schedule, forward, seen)

    def teaching(self, column: Column, recipe: TrainingRecipe) -> dict[str, Any] | None:
        """What a student's configuration says of its teacher: every setting of the loss, and ``logits`` (their hash),
        or, where cached ones will not do, ``teacher`` (its hash), ``model`` and ``seed``; None without one."""
        how, planner = column.distillation, self.planner
        if how is None:
            return None
        where = (*column.where, "distillation", column.place)
        if not planner.teachers:
            raise self.wrong(where, "distillation needs a teacher; add one under teachers")
        name = how.teacher or next(iter(planner.teachers))
        teacher = planner.teacher(where, name, how.seed)
        try:
            loss = settled(TrainingDistillation(**how.model_dump(exclude={"teacher", "seed"})), planner.examples)
        except TrainmapError as error:
            raise self.wrong(where, error) from error
        told = {key: getattr(loss, key) for key in ("temperature", "weight", "gold", "warmup", "options")}
        told |= {"loss": loss.name}
        spec = planner.specs[name][0]
        network = {"model": spec.model, "seed": planner.graph.nodes[teacher].task.config["seed"]}
        if loss.loss.needs == "features" or recipe.crop:
            return told | network | {"teacher": teacher}
        return told | {"logits": self.logits(where, name, teacher, recipe.flips)}

    def logits(self, where: Where, name: str, teacher: str, flips: bool) -> str:
        """A teacher's logits on the training data, and on its mirror images with ``flips``."""
        planner = self.planner
        model, seed = planner.specs[name][0].model, planner.graph.nodes[teacher].task.config["seed"]
        _, forward, _ = planner.model(where, model, None, Recipe(), "teacher")
        passes = planner.examples * (2 if flips else 1)
        config = {"data": planner.data, "teacher": teacher, "model": model, "seed": seed, "flips": flips}
        return planner.add(
            *("teacher logits", f"logits of {name} on {self.data}", "nodes:logits_run"),
            *(config | {"device": self.experiment.device}, {"teacher": teacher}, model),
            *(inference_flops(forward, passes), passes, 2 * passes * planner.splits.train.classes),
        )


def _budgets(row: Draw, asked: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(how many steps: "own" epochs, those of a "subset", those of "full" data; the tables) of a row's runs."""
    if row.kind == "full" and row.steps == "own":
        yield "own", tuple(asked)
        return
    if "equal epochs" in asked:
        yield row.steps, ("equal epochs",)
    if "equal steps" in asked and row.kind != "full":
        yield "full", ("equal steps",)


def columns(student: Student, where: Where) -> list[Column]:
    """Each way of training a student, named by what tells its distillations apart, where there are several."""
    ways = [{} if way is None else way.model_dump() for way in student.distillation]
    given = [way for way in ways if way]
    differ = [key for key in Distillation.model_fields if any(way[key] != given[0][key] for way in given)]
    name = student.name or student.model
    found: list[Column] = []
    for place, (way, how) in enumerate(zip(ways, student.distillation, strict=True)):
        told = [f"{key} {short(way[key])}" for key in differ if way and way[key] not in (None, "", {})]
        found.append(Column(f"{name} ({', '.join(told)})" if told else name, how, where, place))
    return found


def _compressions(student: Student, column: Column, wrong: Any) -> list[tuple[str, Compression | None]]:
    """The columns that come of one: the student as it is, and each way of making it smaller."""
    found = [(f"{column.name}, {way.name or way.told()}" if way else column.name, way) for way in student.compress]
    twice = [name for at, (name, _) in enumerate(found) if name in {other for other, _ in found[:at]}]
    if twice:
        raise wrong((*column.where, "compress"), f"'{twice[0]}' stands twice; give one of them a name")
    return found
