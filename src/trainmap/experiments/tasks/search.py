"""The search for the hyperparameters of a distilled student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from trainmap.distillation.kept_logits import open_logits
from trainmap.distillation.settings import Distillation, settled
from trainmap.experiments.tasks.datasets import Data
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.of_model import OfModel
from trainmap.experiments.tasks.place import LOGITS, TRIALS, Place, leave_found
from trainmap.experiments.tasks.recipe import RecipeValue
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.experiments.tasks.tuning import Hyperparameters, Lesson, Trial, search
from trainmap.models.budget import training_flops

Number = int | float


class Search(OfModel):
    """Search for the hyperparameters of a student; leaves ``trials.db``, from which a killed search goes on.

    Attributes:
        data, recipe, device: of the student.
        distillation: as the file has it.
        logits: of its teacher.
        start: ``peak_lr``, ``temperature``, ``weight`` that the student had: the first trial.
        ranges: the two ends of each.
        trials: how many.
        seeds: of the students of every trial.
        seed: of the search.
    """

    kind: ClassVar = "search/1"
    spelled: ClassVar = "trainmap.experiments.searches:search_run"
    part: ClassVar = "search"
    spends: ClassVar = ("train",)

    data: Data
    recipe: RecipeValue
    device: str
    distillation: dict[str, Any]
    logits: Logits
    start: dict[str, Number]
    ranges: dict[str, list[Number]]
    trials: int
    seeds: tuple[int, ...]
    seed: int

    def cost(self, site: Site) -> Cost:
        trained = self.trials * len(self.seeds) * self.recipe.epochs * site.examples
        return Cost(training_flops(site.forward(self.model), trained), trained, 200_000, self.model)

    def run(self, place: Place) -> Result:
        self.check_weights()
        data = self.data.load(place.data_root)
        logits = open_logits(place.of("logits", LOGITS))
        lesson = Lesson(self.model, self.recipe, data, logits, Distillation(**self.distillation), self.device)
        place.out.mkdir(parents=True, exist_ok=True)
        trials = search(
            *(lesson, Hyperparameters(**self.start), self.trials, list(self.seeds)),
            ranges={name: (low, high) for name, (low, high) in self.ranges.items()},
            seed=self.seed,
            storage=place.out / TRIALS,
        )
        best = asdict(trials[0].chosen)
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
