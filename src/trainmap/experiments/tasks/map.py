"""A map of a teacher's recording."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, counted
from trainmap.experiments.tasks.place import DYNAMICS, EXAMPLES, MAP, PICTURE, TEST_DYNAMICS, TEST_MAP, Place
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.explorer.example_sources import examples_of
from trainmap.findings.example_cards import region_cards, write_cards
from trainmap.maps.datamap import DataMap
from trainmap.views.plot import plot_map

SHOWN = 6  # examples of each region

log = logging.getLogger("trainmap")


class Map(Task):
    """Score a recording; leaves ``map.parquet``, ``map.png`` and, where they can be shown, the examples that are
    furthest in each region (``examples.json``), for a report to show.

    Attributes:
        teacher: whose recording.
        epochs: the first so many; None for all.
        scores: besides the axes; None for all that the recording gives.
        fraction: share of each region.
        test: whether the test data that the teacher recorded have a map as well (``test-map.parquet``).
    """

    kind: ClassVar = "map/1"
    spelled: ClassVar = "trainmap.experiments.nodes:map_run"
    part: ClassVar = "scoring"
    makes: ClassVar = "map"
    spends: ClassVar = ("scoring",)

    teacher: Teacher
    epochs: int | None
    scores: tuple[str, ...] | None
    fraction: float
    test: bool = False

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        return told if self.test else {name: value for name, value in told.items() if name != "test"}

    @property
    def members(self) -> tuple[Teacher, ...]:
        """The teachers whose recordings it is of."""
        return (self.teacher,)

    @property
    def judged(self) -> Task:
        """The task whose folder says how good the map's network is on the validation data (``place.held_out``)."""
        return self.teacher

    @property
    def recorded(self) -> int:
        """Epochs that it is made of; early stopping is not foreseen."""
        return self.epochs or self.teacher.recorded

    @property
    def least(self) -> int:
        """Epochs that it is made of at least: a teacher that may stop early is not counted on to go on."""
        return min(self.recorded, *(one.least for one in self.members))

    @property
    def stops(self) -> str:
        """What to add to an error about too few epochs, where one of its teachers may stop before they are there."""
        return next((one.stops for one in self.members if one.least < self.recorded), "")

    @property
    def whole(self) -> bool:
        """Whether it is a map of all that the teacher's training took."""
        return self.epochs in (None, self.teacher.recorded)

    def told(self) -> str:
        epochs = "all epochs" if self.epochs is None else f"the first {counted(self.epochs, 'epoch')}"
        scores = (
            "every score that it gives" if self.scores is None else ", ".join(("confidence, variability", *self.scores))
        )
        models = " and ".join(dict.fromkeys(one.model for one in self.members))
        what = "the recording" if len(self.members) == 1 else f"{len(self.members)} recordings"
        return f"of {what} of {models}, {epochs}: {scores}; a region has {self.fraction:.0%} of the examples"

    def cost(self, site: Site) -> Cost:
        columns = 16 if self.scores is None else len(self.scores) + 5
        return Cost(bytes=site.examples * 8 * columns + 400_000)

    def price(self, site: Site, besides: Collection[Task] = ()) -> int:
        """FLOPs that it takes until there is a map: the epochs of its members' trainings that it is made of, and all
        that these need themselves.

        Args:
            besides: tasks that are there anyway, such as a student's own teacher.
        """
        whole = {made for one in self.members for made in needed_by(one)}
        flops = sum(made.cost(site).flops for made in whole if made not in besides)
        for one in self.members:
            if one not in besides:  # passes over the test data are no part of a map
                spent = one.model_copy(update={"record_test": False}).cost(site).flops
                flops += spent * self.recorded // one.recorded
        return flops

    def share_of(self, role: str, result: Mapping[str, Any]) -> float:
        """Of the recorded epochs those that it is made of."""
        return result["epochs"] / result["recorded_epochs"] if role == "teacher" else 1.0

    def run(self, place: Place) -> Result:
        opened = [Dynamics.open(place.of(role, DYNAMICS)) for role in self.needs()]
        start, cpu = time.perf_counter(), time.process_time()
        recorded = [one.epochs for one in opened]  # each may have stopped early
        epochs = None if self.epochs is None and len(set(recorded)) == 1 else min(self.recorded, *recorded)
        how: dict[str, Any] = {"fraction": self.fraction, "epochs": epochs, "workers": 1}
        datamap = _map_of(opened, None if self.scores is None else list(self.scores), **how)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        datamap.save(place.out / MAP)
        plot_map(datamap, place.out / PICTURE)
        self._leave_examples(datamap, place)
        if self.test:
            beside = [Dynamics.open(place.of(role, TEST_DYNAMICS)) for role in self.needs()]
            _map_of(beside, [], **how).save(place.out / TEST_MAP)
        return {
            "fingerprint": datamap.fingerprint,
            "dataset": datamap.dataset,
            "epochs": datamap.epochs,
            "recorded_epochs": max(recorded),
            **({"member_epochs": recorded} if len(recorded) > 1 else {}),
            "scores": datamap.scores,
            "scoring_seconds": seconds,
            "scoring_cpu_seconds": cpu_seconds,
            "overlap": {f"{a} and {b}": share for (a, b), share in datamap.overlap().items()},
        }

    def _leave_examples(self, datamap: DataMap, place: Place) -> None:
        name = self.teacher.data.name
        try:
            examples = examples_of(name, datamap.ids, place.data_root)
        except TrainmapError as error:
            log.info("%s: its examples are not in the report: %s", name, error)
            return
        names = examples.class_names
        cards = region_cards(datamap, examples, lambda label: names[label] if label < len(names) else str(label), SHOWN)
        write_cards(cards, place.out / EXAMPLES)


def needed_by(task: Task) -> set[Task]:
    """All tasks that one needs, and that those need."""
    own = set(task.needs().values())
    return own.union(*map(needed_by, own))


def _map_of(opened: Sequence[Dynamics], scores: list[str] | None, **how: Any) -> DataMap:
    return DataMap.from_dynamics(opened if len(opened) > 1 else opened[0], scores, **how)
