"""A judge of trainmap's own networks: a cheap one, trained on what is handed over and judged on held-out data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, unknown, whole
from trainmap.models.budget import inference_flops, training_flops
from trainmap.models.build import build, check_model
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe, default_recipe

Array = NDArray[Any]
Metric = Literal["macro_f1", "accuracy"]
PARTS = 20
"""Parts of the held-out data: enough for an interval, and a part of them holds a few of each class."""


@dataclass(frozen=True, eq=False)
class Racer:
    """A judge for ``trainmap.race``: ``racer(ids or schedule, seed)`` -> (parts,) scores whose mean is the metric.

    Args:
        train: all the training examples; their ids are those of the map.
        held_out: examples to judge on, not the test data.
        model: the cheap network, by name.
        recipe: how it is trained; None for ``default_recipe``, and twice its epochs where the student is another
            network: a narrow one learns more slowly, and one that understands less than the student likes easy
            examples more (docs/race.md).
        student: the network whose training is to be saved, by name; None for ``model``.
        student_recipe: how that is trained; None for ``default_recipe``.
        metric: "macro_f1", as in the tables, or "accuracy".
        parts: of the held-out data.
        device: where to train; None for the processor.

    Raises:
        TrainmapError: an unknown network or metric, fewer held-out examples than parts, ids that are not in ``train``.
    """

    train: Dataset
    held_out: Dataset
    model: str
    recipe: Recipe | None = None
    student: str | None = None
    student_recipe: Recipe | None = None
    metric: Metric = "macro_f1"
    parts: int = PARTS
    device: str | None = None

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise unknown("metric", self.metric, get_args(Metric))
        for name in (self.model, self.student or self.model):
            check_model(name, self.train.inputs)
        if len(self.held_out) < whole(self.parts, "parts", 1):
            raise TrainmapError(f"parts must be 1 to {len(self.held_out)} (held-out examples), got {self.parts}")

    @property
    def used(self) -> Recipe:
        """How the cheap network is trained."""
        return self.recipe or racing_recipe(self.model, self.student or self.model, self.train.name, self.train.inputs)

    @property
    def told(self) -> str:
        """What it is, in a few words."""
        metric = self.metric.replace("_", " ").replace("f1", "F1")
        return f"{self.model}, {self.used.epochs} epochs, {metric} of {len(self.held_out):,} held-out examples"

    def cost(self, size: int) -> float:
        """One training on so many examples, the held-out predictions included, in trainings of the student on all."""
        student = self.student or self.model
        recipe = self.student_recipe or default_recipe(student, self.train.name, inputs=self.train.inputs)
        whole_run = training_flops(self._forward[student], recipe.epochs * len(self.train))
        return self.flops(size) / whole_run

    def flops(self, size: int) -> int:
        """One training on so many examples, with the held-out predictions."""
        forward = self._forward[self.model]
        return training_flops(forward, self.used.epochs * size) + inference_flops(forward, len(self.held_out))

    def __call__(self, examples: Any, seed: int) -> Array:
        model = build(self.model, self.train.classes, self.train.inputs, seed)
        if hasattr(examples, "plan"):
            fit(model, self.train, self.used, seed=seed, visits=examples, device=self.device)
        else:
            fit(model, self.train.subset(examples), self.used, seed=seed, device=self.device)
        predicted = predict(model, self.held_out, device=self.device).argmax(axis=1)
        return part_scores(self.metric, self.held_out.y, predicted, self._part)

    @cached_property
    def _forward(self) -> dict[str, int]:
        names = {self.model, self.student or self.model}
        made = {name: build(name, self.train.classes, self.train.inputs, 0, weights=False) for name in names}
        return {name: forward_flops(model, self.train.inputs) for name, model in made.items()}

    @cached_property
    def _part(self) -> Array:
        """(V,) int64: the part of each held-out example, every class dealt out round by round in a fixed order."""
        shuffled = np.random.default_rng(0).permutation(len(self.held_out))
        part = np.empty(len(self.held_out), np.int64)
        by_class = shuffled[np.argsort(self.held_out.y[shuffled], kind="stable")]
        part[by_class] = np.arange(len(by_class)) % self.parts
        return part


def racing_recipe(model: str, student: str, dataset: str, inputs: Inputs, epochs: int | None = None) -> Recipe:
    """How a network is trained to race for a student where nobody said how; ``epochs`` in place of its own."""
    recipe = default_recipe(model, dataset, epochs, inputs)
    return recipe if epochs is not None or model == student else replace(recipe, epochs=2 * recipe.epochs)


def part_scores(metric: Metric, labels: Array, predicted: Array, part: Array) -> Array:
    """(parts,) what each part says of a metric; the mean is the metric of all.

    The pseudo-values of the jackknife, ``G m - (G - 1) m_without_g``, moved so that their mean is m: for accuracy with
    parts of equal size the accuracy of each part.

    Source: Tukey 1958; Efron and Stein 1981.
    """
    count = int(part.max()) + 1
    if count == 1:
        return np.array([_metric(metric, labels, predicted)])
    all_of_it = _metric(metric, labels, predicted)
    without = np.array([_metric(metric, labels[part != one], predicted[part != one]) for one in range(count)])
    values = count * all_of_it - (count - 1) * without
    return values + all_of_it - values.mean()


def _metric(metric: Metric, labels: Array, predicted: Array) -> float:
    """Accuracy; or the mean F1 over the classes that occur among the labels or the predictions."""
    if metric == "accuracy":
        return float((labels == predicted).mean())
    classes = int(max(labels.max(), predicted.max())) + 1
    right = np.bincount(labels[labels == predicted], minlength=classes)
    either = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float((2 * right[either > 0] / either[either > 0]).mean())
