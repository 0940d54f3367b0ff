"""A student: trained on what its row draws, taught or not, and judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from trainmap.compression.compressed import copy_of, uncompressed
from trainmap.data.dataset import Dataset
from trainmap.distillation.kept_logits import open_logits
from trainmap.distillation.settings import Distillation
from trainmap.experiments.file.fields import Section, short
from trainmap.experiments.tasks.draws import Draw, Full, drawn_of, subset_of
from trainmap.experiments.tasks.judge import costs, weighs
from trainmap.experiments.tasks.learning import CHECKPOINT_FLOPS, Learning, forget_checkpoint, leave_network
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.place import LOGITS, Place, found_in, leave_row
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.experiments.tasks.tuning import recipe_with, values_of
from trainmap.models.budget import inference_flops, training_flops
from trainmap.training.step import Teaching as FitTeaching

Number = int | float


class Teaching(Section):
    """How a student is taught: every setting of the loss, and where the teacher's word comes from.

    Attributes:
        source: the teacher's cached logits, or the teacher itself, where cached ones will not do.
    """

    loss: str
    temperature: Number | None
    weight: Number
    gold: Number
    warmup: Number
    options: dict[str, Any]
    source: Logits | Teacher

    @property
    def role(self) -> str:
        return "logits" if isinstance(self.source, Logits) else "teacher"

    def told(self) -> str:
        """The loss and its settings, for a reader."""
        live = "which runs at every step" if isinstance(self.source, Teacher) else "by its cached logits"
        model = self.source.model if isinstance(self.source, Teacher) else self.source.teacher.model
        settings = {name: getattr(self, name) for name in ("temperature", "weight", "gold", "warmup", "options")}
        told = [f"{name} {short(value)}" for name, value in settings.items() if value not in (None, {})]
        return f"taught with {self.loss} ({', '.join(told)}) by {model}, {live}"

    def identity(self) -> dict[str, Any]:
        told = self.model_dump(exclude={"source"}) | {self.role: self.source.hash}
        return told if isinstance(self.source, Logits) else told | self.source.network_identity()

    def how(self, place: Place, train: Dataset, ids: np.ndarray | None) -> FitTeaching:
        """What ``fit`` is told.

        Args:
            place: has the folder of the source.
            train: all the examples.
            ids: those that are trained on; None for all.
        """
        how = Distillation(**self.model_dump(exclude={"source"}))
        if isinstance(self.source, Teacher):
            return FitTeaching(self.source.network(place.of("teacher"), train), how)
        logits = open_logits(place.of("logits", LOGITS))
        return FitTeaching(logits if ids is None else logits[train.rows(ids)], how)


class Student(Learning):
    """Train a network on what a row draws and judge it.

    Attributes:
        draw: what it is trained on.
        steps: for so many; None for the recipe's epochs.
        teaching: None trains without a teacher.
        keep: whether something is made of the network: then it leaves ``model.pt``, ``predictions/``, ``row.json``.
        drawn_from: the tasks that the draw needs, by name.
    """

    kind: ClassVar = "student/1"
    spelled: ClassVar = "trainmap.experiments.nodes:student_run"
    part: ClassVar = "training"
    spends: ClassVar = ("train",)

    draw: Draw
    steps: int | None = None
    teaching: Teaching | None = None
    keep: bool = False
    drawn_from: dict[str, Task] = {}  # noqa: RUF012

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        for name in ("draw", "teaching", "keep", "drawn_from"):
            del told[name]
        return told | {
            "subset": self.subset(),
            "teacher": None if self.teaching is None else self.teaching.identity(),
            **({"keep": True} if self.keep else {}),
        }

    def told(self) -> str:
        return f"{super().told()}, {'by the labels alone' if self.teaching is None else self.teaching.told()}"

    def subset(self) -> dict[str, Any]:
        """The draw as an identity has it."""
        return subset_of(self.draw, self.drawn_from)

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        told = dict(identity)
        subset, taught = told.pop("subset"), told.pop("teacher")
        told |= {**drawn_of(subset, tasks), "teaching": None}
        if taught is not None:
            source = tasks[taught["logits"] if "logits" in taught else taught["teacher"]]
            settings = {name: taught[name] for name in Teaching.model_fields if name != "source"}
            told["teaching"] = Teaching.model_validate(settings | {"source": source}, strict=False)
        return super().of(told, {}) if cls is Student else super().of(told, tasks)

    def needs(self) -> dict[str, Task]:
        taught = {} if self.teaching is None else {self.teaching.role: self.teaching.source}
        return {**self.drawn_from, **taught}

    @property
    def drawn(self) -> str:
        """What it is trained on, in a word of the results."""
        return self.draw.drawn(self.steps)

    def cost(self, site: Site) -> Cost:
        count = site.examples if isinstance(self.draw, Full) else self.draw.count
        own = self.recipe.epochs * -(-count // self.recipe.batch)
        seen = self.recipe.epochs * (count if self.steps is None else count * self.steps // own)
        own, beside = training_flops(site.forward(self.model), seen), Counter(self.draw.beside(site, seen))
        if self.live is not None:
            beside[self.live.model] += inference_flops(site.forward(self.live.model), seen)
        kept, flops = 4000 + (4 * site.parameters(self.model) if self.keep else 0), own + beside.total()
        return Cost(flops, seen, kept, self.model, checkpoint=flops > CHECKPOINT_FLOPS, beside=dict(beside))

    @property
    def live(self) -> Teacher | None:
        """The teacher that runs at every step; None without one, and where its cached logits do."""
        source = None if self.teaching is None else self.teaching.source
        return source if isinstance(source, Teacher) else None

    def completed(self, result: Result, needs: Mapping[str, Result], forward: Callable[[str], int]) -> Result:
        """Versions up to 0.2 left the live teacher out: its forward pass of every example of every step."""
        if self.live is None or "teacher_flops" in result:
            return result
        flops = inference_flops(forward(self.live.model), result["examples_seen"])
        return {**result, "train_flops": result["train_flops"] + flops, "teacher_flops": flops}

    def ids(self, place: Place, train: Dataset) -> np.ndarray | None:
        """The examples of a draw that stays the same during training; None for all of them."""
        visits = self.draw.visits(place, train, self.seed, self.epochs) if self.draw.fixed else None
        return visits if isinstance(visits, np.ndarray) else None

    @property
    def epochs(self) -> int:
        """That the training is expected to take."""
        if self.steps is None:
            return self.recipe.epochs
        return math.ceil(self.steps / math.ceil(self.draw.count / self.recipe.batch))

    def run(self, place: Place) -> Result:
        data = self.data.load(place.data_root)
        visits = self.draw.visits(place, data.train, self.seed, self.epochs)
        ids = visits if isinstance(visits, np.ndarray) else None
        teaching = None if self.teaching is None else self.teaching.how(place, data.train, ids)
        train = data.train if ids is None else data.train.subset(ids)
        model = self.build(train)
        changing = None if ids is not None else visits
        result = self.train(model, data, train, place, steps=self.steps, teaching=teaching, visits=changing)
        forget_checkpoint(place)
        row = self.judge(model, data, place, self.keep) | costs(result, model)
        row["examples"] = self.draw.count if callable(visits) else len(train)
        if not callable(visits) and ids is None and visits is not None:  # a schedule: known only now
            row["examples"] = round(result.examples_seen / result.epochs)  # what an epoch visited, on average
            row["fraction"] = row["examples"] / len(train)
        if self.keep:
            copy = copy_of(model)
            row |= weighs(uncompressed(copy, train.inputs), train.inputs)
            leave_network(copy, place.out)
            leave_row(place.out, row)
        return row


class Tuned(Student):
    """A student with what a search found in place of its rate, temperature and weight, or of its rate and weight decay.

    Attributes:
        search: what found them.
    """

    kind: ClassVar = "tuned/1"
    spelled: ClassVar = "trainmap.experiments.searches:tuned_run"

    search: Search

    def needs(self) -> dict[str, Task]:
        return {**super().needs(), "search": self.search}

    def told(self) -> str:
        found = "peak_lr and weight_decay" if self.teaching is None else "peak_lr, temperature and weight"
        return f"{super().told()}; {found} as the search found them"

    def run(self, place: Place) -> Result:
        found = found_in(place.of("search"))
        changed: dict[str, Any] = {"recipe": recipe_with(self.recipe, values_of(found.values))}
        if self.teaching is not None:
            told = {"temperature": found.temperature, "weight": found.weight, "gold": found.gold}
            changed["teaching"] = self.teaching.model_copy(update=told)
        return Student.run(self.model_copy(update=changed), place)
