"""A map of a teacher's recording, and which examples are chosen from it."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from trainmap.dynamics.store import Dynamics
from trainmap.experiments.tasks.place import DYNAMICS, MAP, PICTURE, TEST_DYNAMICS, TEST_MAP, Place
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.maps.datamap import DataMap
from trainmap.views.plot import plot_map


class Map(Task):
    """Score a recording; leaves ``map.parquet`` and ``map.png``.

    Attributes:
        teacher: whose recording.
        epochs: the first so many; None for all.
        scores: besides the axes; None for all that the recording gives.
        fraction: share of each region.
        test: whether the test data that the teacher recorded have a map as well (``test-map.parquet``).
    """

    kind: ClassVar = "map/1"
    spelled: ClassVar = "trainmap.experiments.nodes:map_run"

    teacher: Teacher
    epochs: int | None
    scores: tuple[str, ...] | None
    fraction: float
    test: bool = False

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        return told if self.test else {name: value for name, value in told.items() if name != "test"}

    @property
    def recorded(self) -> int:
        """Epochs that it is made of at least: a teacher that may stop early is not counted on to go on."""
        return min(self.epochs or self.teacher.recipe.epochs, self.teacher.recorded)

    @property
    def whole(self) -> bool:
        """Whether it is a map of all that the teacher's training took."""
        return self.epochs in (None, self.teacher.recipe.epochs)

    def cost(self, site: Site) -> Cost:
        columns = 16 if self.scores is None else len(self.scores) + 5
        return Cost(bytes=site.examples * 8 * columns + 400_000)

    def run(self, place: Place) -> Result:
        dynamics = Dynamics.open(place.of("teacher", DYNAMICS))
        start, cpu = time.perf_counter(), time.process_time()
        epochs = None if self.epochs is None else min(self.epochs, dynamics.epochs)  # it may have stopped early
        how: dict[str, Any] = {"fraction": self.fraction, "epochs": epochs, "workers": 1}
        datamap = DataMap.from_dynamics(dynamics, None if self.scores is None else list(self.scores), **how)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        datamap.save(place.out / MAP)
        plot_map(datamap, place.out / PICTURE)
        if self.test:
            beside = Dynamics.open(place.of("teacher", TEST_DYNAMICS))
            DataMap.from_dynamics(beside, [], **how).save(place.out / TEST_MAP)
        return {
            "fingerprint": datamap.fingerprint,
            "dataset": datamap.dataset,
            "epochs": datamap.epochs,
            "recorded_epochs": dynamics.epochs,
            "scores": datamap.scores,
            "scoring_seconds": seconds,
            "scoring_cpu_seconds": cpu_seconds,
            "overlap": {f"{a} and {b}": share for (a, b), share in datamap.overlap().items()},
        }
