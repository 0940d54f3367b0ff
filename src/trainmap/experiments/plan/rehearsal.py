"""What only doing it can tell, done in small before anything is planned: networks that saw one batch are taught by
features, and made smaller. A way that does not fit a network fails here, and not after a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from trainmap.compression.compressed import uncompressed
from trainmap.compression.ways import tuning_epochs, way_of
from trainmap.data.dataset import Dataset
from trainmap.distillation.settings import Distillation
from trainmap.errors import TrainmapError, cause
from trainmap.models.build import build
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.step import Teaching

EXAMPLES = 16


class Rehearsal:
    """Of the networks of one dataset; each question is asked once.

    Args:
        train: its training part; None for data that are not there, of which nothing is tried.
        asked: the questions that were asked, at all points of a grid; further ones are added.
    """

    def __init__(self, train: Dataset | None, asked: set[str]) -> None:
        self.train, self._asked = train, asked

    def teach(self, model: str, recipe: Recipe, teacher: str, how: Distillation) -> None:
        """One step of a student beside its teacher.

        Raises:
            TrainmapError: a loss that these two networks cannot have, or options of it that are no such values.
        """
        if self._new("teach", model, recipe, teacher, vars(how)):
            try:
                self._trained(model, recipe, Teaching(self._network(teacher), how))
            except (TypeError, RuntimeError) as error:
                raise TrainmapError(f"{how.loss} cannot be computed so: {cause(error)}") from error

    def shrink(self, model: str, recipe: Recipe, settled: Mapping[str, Any]) -> None:
        """One way of compression, with its options, of a network.

        Raises:
            TrainmapError: a way that this network cannot go.
        """
        if self._new("shrink", model, recipe, settled):
            way: Any = way_of(settled)
            if tuning_epochs(way) > 1:
                way = replace(way, finetune_epochs=1)
            made = uncompressed(self._trained(model, recipe, None), self.few.inputs)
            way.make(made, self.few, self._short(recipe), 0, "cpu")

    @cached_property
    def few(self) -> Dataset:
        """Some of the training examples."""
        assert self.train is not None
        return self.train.subset(self.train.ids[:EXAMPLES])

    def _new(self, *question: Any) -> bool:
        if self.train is None:
            return False
        asked = repr((self.train.name, self.train.classes, self.train.inputs, *question))
        new = asked not in self._asked
        self._asked.add(asked)
        return new

    def _network(self, model: str) -> torch.nn.Module:
        return build(model, self.few.classes, self.few.inputs, 0, weights=False)

    def _trained(self, model: str, recipe: Recipe, teaching: Teaching | None) -> torch.nn.Module:
        network = self._network(model)
        fit(network, self.few, self._short(recipe), seed=0, steps=1, device="cpu", teaching=teaching)
        return network

    def _short(self, recipe: Recipe) -> Recipe:
        return replace(recipe, epochs=1, batch=min(recipe.batch, len(self.few)))
