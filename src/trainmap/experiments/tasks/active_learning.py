"""Active learning: a network that asks for the labels of a pool, round after round, and is judged after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch

from trainmap.data.dataset import Dataset
from trainmap.evaluation.metrics import evaluate
from trainmap.experiments.tasks.learning import Learning
from trainmap.experiments.tasks.place import ROUNDS, Place
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.experiments.tasks.tracking import track
from trainmap.models.budget import inference_flops, training_flops
from trainmap.models.build import build
from trainmap.models.cost import parameters
from trainmap.models.predict import predict
from trainmap.selection.acquisitions import acquisition_of
from trainmap.selection.guesses import Guesses
from trainmap.training.active import PoolWatch, Round, looks, rounds
from trainmap.training.fit import even_batches, fit
from trainmap.training.watching import Watching

SPENT = ("train_flops", "train_seconds", "train_cpu_seconds", "pool_flops")


class ActiveLearning(Learning):
    """Rounds of training from scratch on what is labelled so far; leaves ``rounds.json``: which labels were asked for.

    A killed one goes on after its last finished round. The training data are the pool; the labels of the validation
    data are not used.

    Attributes:
        strategy: a key of ``ACQUISITIONS``.
        sizes: how many labels each round has.
        steps: of each training; None for the recipe's epochs.
        sweeps: how often a strategy that reads the epochs looks at the pool in a training.
    """

    kind: ClassVar = "active/1"

    strategy: str
    sizes: tuple[int, ...]
    steps: int | None
    sweeps: int

    def epochs(self, labels: int) -> int:
        """That a round with so many labels takes."""
        return self.recipe.epochs if self.steps is None else -(-self.steps // self._batches(labels))

    def _batches(self, labels: int) -> int:
        return len(even_batches(torch.arange(labels), self.recipe.batch))

    def told(self) -> str:
        length = "" if self.steps is None else f" ({self.steps:,} steps each)"
        sizes = ", ".join(f"{size:,}" for size in self.sizes)
        return f"{super().told()}{length}, by {self.strategy}, on {sizes} labels"

    def cost(self, site: Site) -> Cost:
        forward, way = site.forward(self.model), acquisition_of(self.strategy)
        seen = sum(
            size * self.recipe.epochs if self.steps is None else self.steps * size // self._batches(size)
            for size in self.sizes
        )
        passes = sum(len(looks(way, self.epochs(size), self.sweeps)) + way.features for size in self.sizes[:-1])
        kept = 60 * self.sizes[-1]
        flops = training_flops(forward, seen) + inference_flops(forward, passes * site.examples)
        return Cost(flops, seen, kept, self.model)

    def run(self, place: Place) -> Result:
        """Returns ``rounds``: ``labels``, ``test_accuracy``, ``test_macro_f1`` and what each took; the last one's
        metrics, and the sums of what was spent, looking at the pool and choosing included."""
        self.check_weights()
        data = self.data.load(place.data_root)
        train = data.train
        pool = replace(train, y=np.zeros_like(train.y))  # what looks at the pool has no labels to look at
        place.out.mkdir(parents=True, exist_ok=True)
        told: list[dict[str, Any]] = []
        asked: dict[str, Any] = {"strategy": self.strategy, "seed": self.seed, "file": place.out / ROUNDS}
        with track(place.name or place.out.name, self.identity(), place.logs or place.out, place.tracking) as log:
            for one in rounds(
                train.ids,
                self.sizes,
                lambda one: self._learn(one, pool, data.test),
                lambda ids: train.y[train.rows(ids)],
                **asked,
            ):
                row = {"labels": len(one.ids), **one.told}
                row["train_seconds"] += one.choosing_seconds
                row["train_cpu_seconds"] += one.choosing_cpu_seconds
                log(one.number, {name: float(row[name]) for name in ("labels", "test_accuracy", "test_macro_f1")})
                told.append(row)
        spent = {name: sum(row[name] for row in told) for name in SPENT}
        last = {name: value for name, value in told[-1].items() if name.startswith("test_")}
        return {**last, **spent, "parameters": told[-1]["parameters"], "rounds": told}

    def _learn(self, one: Round, pool: Dataset, test: Dataset) -> tuple[Guesses | None, Mapping[str, Any]]:
        """Train on what is labelled, look at the pool as far as the strategy reads it, and judge."""
        labelled = replace(pool.subset(one.ids), y=one.labels)
        seed = int(np.random.SeedSequence([self.seed, one.number]).generate_state(1)[0])
        model = build(self.model, pool.classes, pool.inputs, seed)
        way = acquisition_of(self.strategy)
        watch = PoolWatch(model, pool, way, self.epochs(len(labelled)), self.sweeps, self.device)
        looking = None if one.last else Watching(on_epoch=watch)
        result = fit(model, labelled, self.recipe, seed=seed, steps=self.steps, watching=looking, device=self.device)
        metrics = asdict(evaluate(predict(model, test, self.recipe.flips, self.device), test.y))
        return watch.guesses if watch.guesses.epochs else None, {
            **{f"test_{name}": value for name, value in metrics.items()},
            "steps": result.steps,
            "examples_seen": result.examples_seen,
            "train_flops": result.flops + watch.flops,
            "train_seconds": result.seconds + watch.seconds,
            "train_cpu_seconds": result.cpu_seconds + watch.cpu_seconds,
            "pool_flops": watch.flops,
            "parameters": parameters(model),
        }
