"""What a demo does: the dataset, the networks, the rows and how often, and every run that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from trainmap.data.dataset import Splits
from trainmap.data.inputs import Inputs
from trainmap.data.names import check_name
from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.results.facts import ROLES, drawn
from trainmap.experiments.student import ids_hash
from trainmap.experiments.subsets import SUBSETS, Subset, chosen, percent
from trainmap.experiments.task import Task
from trainmap.maps.datamap import DataMap
from trainmap.models.build import known_models
from trainmap.training.fit import default_recipe

Distillation = Literal["both", "only", "never"]

SPLIT_SEED = 42
TEACHER_SEED = 1000  # the map never comes from the seed of a run that it helps


@dataclass(frozen=True)
class DemoPlan:
    """What a demo does; see ``plan_demo`` for the defaults."""

    data: str
    data_root: str | None
    teacher: str
    teacher_epochs: int | None
    teacher_threads: int | None
    students: tuple[str, ...]
    epochs: dict[str, int | None]
    fraction: float
    seeds: int
    subsets: tuple[Subset, ...]
    distillation: Distillation
    temperature: float
    weight: float
    device: str

    def settled(self, inputs: Inputs) -> DemoPlan:
        """The plan with the recipes' own numbers of epochs where none were given, now that the data are known."""

        def own(model: str, epochs: int | None) -> int:
            return default_recipe(model, self.data, epochs, inputs).epochs

        epochs = {model: own(model, count) for model, count in self.epochs.items()}
        return replace(self, epochs=epochs, teacher_epochs=own(self.teacher, self.teacher_epochs))


@dataclass(frozen=True)
class Size:
    """What fits a dataset: which networks, how long, how often."""

    teacher: str
    teacher_epochs: int | None  # None: the recipe's, here and below
    students: tuple[str, ...]
    seeds: int
    distillation: Distillation
    epochs: int | None = None  # of students
    teacher_threads: int | None = None  # on 8 x 8 images a second thread waits more than it works


SIZES: dict[str, Size] = {
    "digits": Size("resnet14-16", 20, ("cnn-8", "resnet8-8", "effnet-8"), 3, "both", epochs=10, teacher_threads=1),
    "mnist": Size("cnn-32", 8, ("cnn-16",), 3, "both"),
    "fashion-mnist": Size("cnn-32", 8, ("cnn-16",), 3, "both"),
    "cifar10": Size("resnet14-32", 15, ("resnet8-16",), 3, "both"),
    "cifar100": Size("resnet14-32", 15, ("resnet8-16",), 3, "both"),
    **dict.fromkeys(("fsdd", "speech-commands"), Size("spec-16", None, ("spec-8",), 3, "both")),
    **dict.fromkeys(("clinc150", "sst2"), Size("text-bag-64", None, ("text-bag-64",), 3, "both")),
    **dict.fromkeys(
        ("adult", "breast-cancer", "wine", "covtype", "clinc150+embeddings", "sst2+embeddings"),
        Size("mlp-256", None, ("mlp-256", "linear"), 3, "both"),
    ),
}
LONG = ("full", "random", "repeated-random", "ambiguous", "hard", "easy")  # the rows of the table at equal steps


def plan_demo(
    data: str | Path = "digits",
    *,
    data_root: str | Path | None = None,
    teacher: str | None = None,
    students: list[str] | None = None,
    fraction: float = 0.33,
    seeds: int | None = None,
    epochs: int | None = None,
    teacher_epochs: int | None = None,
    subsets: list[str] | None = None,
    distillation: str = "both",
    temperature: float = 4.0,
    weight: float = 0.5,
    device: str = "cpu",
) -> DemoPlan:
    """Fill in what was not said by what fits the dataset, and check all of it before any work starts.

    Args:
        data: any name that ``load_splits`` takes.
        fraction: the size of every subset.
        seeds: how many runs of each cell, with seeds 0, 1, ...
        epochs: of every student; by default what fits the dataset, or the recipe's.
        subsets: keys of ``SUBSETS``; all for None.
        distillation: train each student plainly and distilled ("both"), "only" distilled, or "never".
        temperature, weight: of the distillation.
    """
    data = check_name(data)
    size = SIZES.get(data, replace(SIZES["cifar10"], teacher_epochs=None))
    teacher = teacher or size.teacher
    names = tuple(students or size.students)
    for name in (teacher, *names):
        if name not in known_models():
            raise unknown("model", name, known_models())
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise TrainmapError(f"students: '{twice[0]}' stands twice; keep one of them")
    if not 0 < fraction < 1:
        raise TrainmapError(f"fraction must be above 0 and below 1, got {fraction}")
    if distillation not in get_args(Distillation):
        raise unknown("distillation", distillation, get_args(Distillation))
    seeds = size.seeds if seeds is None else seeds
    epochs = size.epochs if epochs is None else epochs
    if seeds < 1:
        raise TrainmapError(f"seeds must be at least 1, got {seeds}; 3 or more give an interval")
    return DemoPlan(
        data=data,
        data_root=None if data_root is None else str(data_root),
        teacher=teacher,
        teacher_epochs=size.teacher_epochs if teacher_epochs is None else teacher_epochs,
        teacher_threads=size.teacher_threads,
        students=names,
        epochs=dict.fromkeys(names, epochs),
        fraction=fraction,
        seeds=seeds,
        subsets=tuple(chosen(subsets)),
        distillation=distillation,  # type: ignore[arg-type]
        temperature=temperature,
        weight=weight,
        device=device,
    )


@dataclass(frozen=True)
class Run:
    """One training run and where it stands in the report.

    Attributes:
        task: what is done; its configuration is the identity of the run.
        labels: what the report adds to the result: subset, student, distilled, seed, fraction.
        facts: ``role``, ``draw``, ``series`` of its row.
        budgets: the tables in which it is a row. Equal epochs: a subset is visited as often as all the data, so a
            third of the data takes a third of the steps. Equal steps: it is trained for as many steps as all the data.
    """

    task: Task
    labels: dict[str, Any]
    facts: dict[str, str]
    budgets: tuple[str, ...]


@dataclass(frozen=True)
class Teaching:
    """What a student needs of its teacher."""

    logits: Path
    fingerprint: str


def runs(plan: DemoPlan, splits: Splits, datamap: DataMap, cards: Path, teacher: Teaching) -> list[Run]:
    """Every run of the plan; the cards of its selections are written to the folder ``cards``."""
    distilled = {"both": (False, True), "only": (True,), "never": (False,)}[plan.distillation]
    found: list[Run] = []
    for seed, subset in product(range(plan.seeds), plan.subsets):
        data = _examples(plan, subset, datamap, cards, seed)
        draw = drawn(subset.kind, subset.steps == "own")
        cells = [(s, kd, *budget) for s in plan.students for kd in distilled for budget in _budgets(subset)]
        for student, kd, steps, budgets in cells:
            recipe = default_recipe(student, plan.data, plan.epochs[student], splits.train.inputs)
            batch, epochs = recipe.batch, recipe.epochs
            whole, part = (epochs * -(-size // batch) for size in (len(splits.train), data["count"]))
            config = {
                "data": plan.data,
                "split_seed": SPLIT_SEED,
                "dataset": splits.fingerprint(),
                "model": student,
                "epochs": epochs,
                "steps": {"own": None, "subset": part, "full": whole}[steps],
                "seed": seed,
                "device": plan.device,
                "ids": data["ids"],
                "repeated": data["count"] if subset.kind == "repeated" else None,
                "teacher": _teaching(plan, teacher) if kd else None,
            }
            paths = {
                "data_root": plan.data_root,
                "card": data["card"],
                "logits": str(teacher.logits.resolve()) if kd else None,
            }
            where = {name: path for name, path in paths.items() if path is not None}
            title = subset.title(plan.fraction)
            name = f"{title}, {student}{' distilled' if kd else ''}, {budgets[0]}, seed {seed}"
            weight = whole if steps == "full" or (subset.kind == "full" and steps == "own") else part
            found.append(
                Run(
                    Task(name, "trainmap.experiments.student:student_run", config, float(weight), where=where),
                    {"subset": title, "student": student, "distilled": kd, "seed": seed},
                    {"role": ROLES[draw], "draw": draw, "series": subset.what},
                    budgets,
                )
            )
    return found


def _budgets(subset: Subset) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(how many steps: "own" epochs, those of a "subset", those of "full" data; the tables) of a subset's runs."""
    if subset.kind == "full":
        yield subset.steps, ("equal epochs", "equal steps") if subset.steps == "own" else ("equal epochs",)
        return
    yield "own", ("equal epochs",)
    if subset.key in LONG:
        yield "full", ("equal steps",)


def _examples(plan: DemoPlan, subset: Subset, datamap: DataMap, cards: Path, seed: int) -> dict[str, Any]:
    """The card of a row (None for all the data), the hash of its ids, and the size of a subset."""
    selection = subset.selection(datamap, plan.fraction, seed)
    if subset.kind in ("map", "random"):
        name = f"{subset.key}-{percent(plan.fraction)}" + (f"-seed{seed}" if subset.kind == "random" else "")
        card = selection.save(cards / f"{name}.json")
        return {"card": str(card.resolve()), "ids": ids_hash(selection.ids), "count": len(selection)}
    count = len(SUBSETS["random"].selection(datamap, plan.fraction, seed))
    return {"card": None, "ids": None, "count": count}


def _teaching(plan: DemoPlan, teacher: Teaching) -> dict[str, Any]:
    return {"fingerprint": teacher.fingerprint, "temperature": plan.temperature, "weight": plan.weight}
