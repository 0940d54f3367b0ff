"""A teacher that is trained on a part of the data: chosen from another teacher's map, or at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from trainmap.data.dataset import Dataset
from trainmap.experiments.tasks.draws import SAME_SIZE, Draw, draw_of
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Site, Task
from trainmap.experiments.tasks.teacher import Teacher


class PartTeacher(Teacher):
    """Train a network on what is drawn, while recording it.

    Its recording, and a map of it, are of these examples alone. Its logits and features are made for all the data, as
    those of any network: they are what students learn from.

    Attributes:
        draw: what it is trained on; stays the same during training.
        drawn_from: the tasks that the draw needs, by name: the choice, and with it the map and the map's teacher.
    """

    kind: ClassVar = "teacher on a part/1"
    spelled: ClassVar = ""
    on_all: ClassVar[bool] = False

    draw: Draw
    drawn_from: dict[str, Task] = {}  # noqa: RUF012

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        del told["draw"], told["drawn_from"]
        return told | {"subset": self.draw.identity() | {name: task.hash for name, task in self.drawn_from.items()}}

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        told = dict(identity)
        subset = told.pop("subset")
        given = {name: tasks[subset[name]] for name in ("selection",) if name in subset}
        return super().of(told | {"draw": draw_of(subset, given), "drawn_from": given}, tasks)

    def learns_from(self) -> str:
        return f"on {self.draw.count:,} examples, {self.draw.told()}"

    def opposes(self, other: PartTeacher) -> bool:
        """Whether it is the one on random examples that another, on as many chosen ones, is held against."""
        near = abs(self.draw.count - other.draw.count) <= SAME_SIZE * other.draw.count
        same = (self.data, self.model, self.recipe) == (other.data, other.model, other.recipe)
        return self.draw.role == "opponent" and other.draw.role == "judged" and near and same

    def needs(self) -> dict[str, Task]:
        return {**super().needs(), **self.drawn_from}

    def count(self, site: Site) -> int:
        return self.draw.count

    def examples(self, place: Place, train: Dataset) -> Dataset:
        ids = self.draw.visits(place, train, self.seed, self.recipe.epochs)
        assert isinstance(ids, np.ndarray)
        return train.subset(ids)
