"""One map of several teachers' recordings, and how many of them its ranking needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from trainmap.dynamics.store import Dynamics
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.place import DYNAMICS, Place, held_out, leave_held_out
from trainmap.experiments.tasks.task import Result, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.maps.agreement import plain
from trainmap.maps.datamap import DataMap
from trainmap.maps.over_seeds import agreement_by_members

FOLLOWED = ("confidence", "variability", "disagreement")
"""The columns whose agreement between disjoint ensembles is told."""


class Ensemble(Map):
    """A map of several recordings (``trainmap.maps.ensemble``); leaves what ``Map`` does, and the mean of its members'
    accuracies on the validation data. The order of the members is no part of it.

    Attributes:
        teacher: the first member, by its hash.
        others: the rest, each once.
    """

    kind: ClassVar = "ensemble/1"
    spelled: ClassVar = ""

    others: tuple[Teacher, ...]

    @classmethod
    def made_of(cls, teachers: Sequence[Teacher], **told: Any) -> Self:
        """The ensemble of these, in any order."""
        first, *others = sorted(teachers, key=lambda one: one.hash)
        return cls(teacher=first, others=tuple(others), **told)

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        told = dict(identity)
        first, *others = (tasks[one] for one in told.pop("teachers"))
        return cls.model_validate(told | {"teacher": first, "others": tuple(others)}, strict=False)

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        del told["teacher"], told["others"]
        return told | {"teachers": [one.hash for one in self.members]}

    def needs(self) -> dict[str, Task]:
        return {f"member {at}": one for at, one in enumerate(self.members)}

    @property
    def members(self) -> tuple[Teacher, ...]:
        return (self.teacher, *self.others)

    @property
    def judged(self) -> Task:
        return self

    def share_of(self, role: str, result: Mapping[str, Any]) -> float:
        """Of the epochs that a member recorded those that the map is made of."""
        recorded = dict(zip(self.needs(), result["member_epochs"], strict=True))
        return result["epochs"] / recorded[role]

    def run(self, place: Place) -> Result:
        """Returns what ``Map.run`` does, ``members`` (how many), and ``agreement``: for each of ``FOLLOWED`` the rows
        of ``trainmap.maps.over_seeds.agreement_by_members``. Its time is no part of the map's cost."""
        result = super().run(place)
        judged = [held_out(place.of(role)) for role in self.needs()]
        known = [accuracy for accuracy in judged if accuracy is not None]
        leave_held_out(place.out, sum(known) / len(known) if len(known) == len(judged) else None)
        opened = (Dynamics.open(place.of(role, DYNAMICS)) for role in self.needs())
        maps = [DataMap.from_dynamics(one, [], epochs=result["epochs"], workers=1) for one in opened]
        asked = FOLLOWED if len(maps) >= 4 else FOLLOWED[:2]  # two disjoint pairs are the least of disagreement
        rows = itertools.chain.from_iterable(
            ({"score": score, **row} for row in agreement_by_members(maps, score).to_dicts()) for score in asked
        )
        return result | {"members": len(maps), "agreement": plain(list(rows))}
