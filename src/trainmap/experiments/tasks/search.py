"""The search for the hyperparameters of a student or a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Self

import numpy as np

from trainmap.distillation.kept_logits import open_logits
from trainmap.distillation.settings import Distillation, settled
from trainmap.errors import counted
from trainmap.experiments.file.fields import short
from trainmap.experiments.tasks.datasets import Data
from trainmap.experiments.tasks.draws import Draw, drawn_of, subset_of
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.of_model import OfModel
from trainmap.experiments.tasks.place import LOGITS, TRIALS, Place, leave_found
from trainmap.experiments.tasks.recipe import RecipeValue
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.tuning import Lesson, Trial, search, values_of
from trainmap.models.budget import training_flops

Number = int | float


class Search(OfModel):
    """Search for the hyperparameters of a network; leaves ``trials.db``, from which a killed search goes on.

    Attributes:
        data, recipe, device: of the student.
        distillation: as the file has it; None without a teacher.
        logits: of its teacher; None without.
        start: ``peak_lr``, ``temperature``, ``weight`` that the student had, or ``peak_lr``, ``weight_decay`` without
            a teacher: the first trial.
        ranges: the two ends of each.
        trials: how many.
        seeds: of the students of every trial.
        seed: of the search.
        draw: what the trials train on, for the epochs of the recipe; None for all the data.
        drawn_from: the tasks that the draw needs, by name.
    """

    kind: ClassVar = "search/1"
    spelled: ClassVar = "trainmap.experiments.searches:search_run"
    part: ClassVar = "search"
    spends: ClassVar = ("train",)

    data: Data
    recipe: RecipeValue
    device: str
    distillation: dict[str, Any] | None
    logits: Logits | None
    start: dict[str, Number]
    ranges: dict[str, list[Number]]
    trials: int
    seeds: tuple[int, ...]
    seed: int
    draw: Draw | None = None
    drawn_from: dict[str, Task] = {}  # noqa: RUF012

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        del told["draw"], told["drawn_from"]
        return told if self.draw is None else told | {"subset": subset_of(self.draw, self.drawn_from)}

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        told = dict(identity)
        if (subset := told.pop("subset", None)) is not None:
            told |= drawn_of(subset, tasks)
        if told["logits"] is not None:
            told["logits"] = tasks[told["logits"]]
        return cls.model_validate(told, strict=False)

    def needs(self) -> dict[str, Task]:
        return {**super().needs(), **self.drawn_from}

    def told(self) -> str:
        ends = ", ".join(f"{name} {short(low)} to {short(high)}" for name, (low, high) in self.ranges.items())
        on = "all the data" if self.draw is None else f"{self.draw.count:,} examples, {self.draw.told()}"
        told = f"{counted(self.trials, 'trial')} of {self.model} by Optuna, trained on {on}"
        return f"{told}, judged on the validation data: {ends}"

    def cost(self, site: Site) -> Cost:
        examples = site.examples if self.draw is None else self.draw.count
        trained = self.trials * len(self.seeds) * self.recipe.epochs * examples
        return Cost(training_flops(site.forward(self.model), trained), trained, 200_000, self.model)

    def run(self, place: Place) -> Result:
        self.check_weights()
        data = self.data.load(place.data_root)
        logits = None if self.logits is None else open_logits(place.of("logits", LOGITS))
        how = Distillation(**self.distillation or {})
        ids = None
        if self.draw is not None:
            visits = self.draw.visits(place, data.train, self.seed, self.recipe.epochs)
            assert isinstance(visits, np.ndarray)
            ids = visits
        lesson = Lesson(self.model, self.recipe, data, logits, how, self.device, ids)
        place.out.mkdir(parents=True, exist_ok=True)
        trials = search(
            *(lesson, values_of(self.start), self.trials, list(self.seeds)),
            ranges={name: (low, high) for name, (low, high) in self.ranges.items()},
            seed=self.seed,
            storage=place.out / TRIALS,
        )
        best = asdict(trials[0].chosen)
        found = best
        if self.distillation is not None:
            chosen = self.distillation | {"temperature": best["temperature"], "weight": best["weight"]}
            found = best | {"gold": float(settled(Distillation(**chosen), len(data.train)).gold)}  # pyright: ignore[reportArgumentType]
        leave_found(place.out, found)
        tried = [asdict(trial.chosen) | {"validation_macro_f1": trial.macro_f1} for trial in trials]
        return {"found": found, "trials": tried, **_costs(trials)}


def _costs(trials: Sequence[Trial]) -> Mapping[str, float]:
    return {
        "train_flops": sum(trial.flops for trial in trials),
        "train_seconds": sum(trial.seconds for trial in trials),
        "train_cpu_seconds": sum(trial.cpu_seconds for trial in trials),
    }
