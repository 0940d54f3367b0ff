"""A race on the validation data for the subset of a student: which preference of the map helps?"""

from __future__ import annotations

from typing import Any, ClassVar

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, counted
from trainmap.experiments.tasks.datasets import Data
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.of_model import OfModel
from trainmap.experiments.tasks.place import MAP, RACE, Place
from trainmap.experiments.tasks.recipe import RecipeValue, recipe_told
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.maps.datamap import DataMap
from trainmap.models.budget import inference_flops, training_flops
from trainmap.races.candidates import CANDIDATES
from trainmap.races.heats import within
from trainmap.races.race import CONFIRM, SEEDS, race

JUDGES = {"pixels": ("cnn-4", ""), "features": ("mlp-32", "mlp-64"), "tokens": ("text-bag-8", "text-bag-16")}
"""Form -> the network that races, and the wider one that is asked about the winner. The bound has no room for a
second one of images."""


class Racing(OfModel):
    """Race for a subset of a student, or for fresh draws; leaves ``race.json``, from which a killed race goes on.

    Attributes:
        model, recipe: the cheap network that races.
        map: what the candidates read.
        data, device: of both.
        student, student_recipe: whose training is to be saved.
        size: how many examples are kept.
        fresh: whether every epoch visits others.
        limit: the bound, as a share of what one training of the student on so many saves.
        seed: of the race.
        wider, wider_recipe: the network that is asked about the winner; "" and None for a race without, and then no
            part of its identity.
    """

    kind: ClassVar = "race/1"
    part: ClassVar = "choosing"
    makes: ClassVar = ""
    spends: ClassVar = ("train",)

    map: Map
    data: Data
    recipe: RecipeValue
    device: str
    student: str
    student_recipe: RecipeValue
    size: int
    fresh: bool
    limit: float
    seed: int = 0
    wider: str = ""
    wider_recipe: RecipeValue | None = None

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        return told if self.wider else {name: value for name, value in told.items() if not name.startswith("wider")}

    def told(self) -> str:
        what = "fresh draws" if self.fresh else "a subset"
        least, too = counted(self.size, "example"), f" and by {self.wider}" if self.wider else ""
        return (
            f"{self.model}, {recipe_told(self.recipe)}, for {what} of {least} of {self.student}, judged on the "
            f"validation data{too}, for at most {self.limit:.0%} of what one training on them saves"
        )

    def cost(self, site: Site) -> Cost:
        """Of the largest plan within the bound; the validation data are taken to be as many as the test data."""
        one, wide = self._one(site, self.model, self.recipe), 0
        if self.wider_recipe is not None:
            wide = self._one(site, self.wider, self.wider_recipe)
        student = training_flops(site.forward(self.student), self.student_recipe.epochs)
        most = self.limit * student * (site.examples - self.size)
        plan = within(most, len(CANDIDATES), SEEDS, CONFIRM, one, wide)
        if plan is None:
            return Cost(bytes=20_000, model=self.model)
        more = 2 * plan.confirm if wide else 0
        seen = self.size * (self.recipe.epochs * plan.trainings + (self.wider_recipe or self.recipe).epochs * more)
        beside = {self.wider: wide * more} if wide else {}
        flops, size = one * plan.trainings + wide * more, 20_000 + 500 * (plan.trainings + more)
        return Cost(flops, seen, size, self.model, beside=beside)

    def _one(self, site: Site, model: str, recipe: RecipeValue) -> int:
        """FLOPs of a training of a network that races, with the held-out predictions."""
        forward = site.forward(model)
        return training_flops(forward, recipe.epochs * self.size) + inference_flops(forward, site.tests)

    def run(self, place: Place) -> Result:
        from trainmap.races.racer import PARTS, Racer

        self.check_weights()
        data = self.data.load(place.data_root)
        if not len(data.validation):
            raise TrainmapError("a race is judged on validation data, and there are none; see data.validation")
        judges = [
            Racer(
                *(data.train, data.validation, model, recipe, self.student, self.student_recipe),
                parts=min(PARTS, len(data.validation)),
                device=self.device,
            )
            for model, recipe in ((self.model, self.recipe), (self.wider, self.wider_recipe))
            if model
        ]
        judge, wider = judges[0], (judges[1] if self.wider else None)
        kind: Any = "fresh" if self.fresh else "subset"
        datamap, journal = DataMap.open(place.of("map", MAP)), place.out / RACE
        found = race(
            *(datamap, self.size, judge),
            kind=kind,
            limit=self.limit,
            wider=wider,
            seed=self.seed,
            journal=journal,
        )
        found.save(journal)
        by_judge = {"wider": wider or judge}
        return {
            "winner": found.winner,
            "reason": found.reason,
            "trainings": len(found.trainings),
            "train_flops": sum(by_judge.get(one.stage, judge).flops(self.size) for one in found.trainings),
            "train_seconds": sum(one.seconds for one in found.trainings),
            "train_cpu_seconds": sum(one.cpu_seconds for one in found.trainings),
        }


def racing_networks(inputs: Inputs) -> tuple[str, str]:
    """Which network races where none is named, the smallest for inputs of this form, and which wider one is asked about
    the winner; "" for none."""
    return JUDGES[inputs.form]
