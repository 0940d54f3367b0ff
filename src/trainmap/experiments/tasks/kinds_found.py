"""Which score finds which kind of example: a teacher's recording of synthetic data, whose kinds are known."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from trainmap.audits.audit import audit
from trainmap.audits.suspicion import RULES
from trainmap.data.synthetic import KINDS, Synthetic, best_accuracy, truth_of
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.place import DYNAMICS, MAP, Place
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.maps.agreement import plain
from trainmap.maps.datamap import DataMap
from trainmap.maps.found_kinds import GUESSING, find_kinds
from trainmap.maps.regions import REGIONS


class KindsFound(Task):
    """Every score of a recording, and every suspicion of an audit, against the kinds; leaves ``map.parquet`` with all
    of them as columns.

    Attributes:
        teacher: whose recording; of synthetic data.
    """

    kind: ClassVar = "kinds/1"

    teacher: Teacher

    def told(self) -> str:
        return f"every score and every rule of the audit, of {self.teacher.model}'s recording"

    def cost(self, site: Site) -> Cost:
        return Cost(bytes=site.examples * 8 * 24)

    def run(self, place: Place) -> Result:
        """Returns ``settings`` (the data's name without its seed), ``data_seed``, ``best_accuracy``; ``found``: what
        ``find_kinds`` says of each score and kind; ``regions``: of each region how many examples it has of each kind.
        """
        settings = Synthetic.of(self.teacher.data.name)
        truth = truth_of(settings).filter(part="train")
        dynamics = Dynamics.open(place.of("teacher", DYNAMICS))
        if not (np.array_equal(dynamics.ids, truth["id"]) and np.array_equal(dynamics.labels, truth["label"])):
            raise TrainmapError(f"the recording is not of {settings.name} as it is made here; train the teacher again")
        datamap = DataMap.from_dynamics(dynamics, workers=1)
        beside: dict[str, Any] = {}
        for rule in RULES:
            table = audit(dynamics, rule).table.sort("id")
            beside[f"suspicion, {rule}"] = table["suspicion"].to_numpy()
        beside[GUESSING] = np.random.default_rng([settings.seed, self.teacher.seed]).random(len(datamap))
        datamap = datamap.with_scores(datamap.ids, beside)
        datamap.save(place.out / MAP)
        kinds, regions = truth["kind"].to_numpy(), datamap.table["region"].fill_null("none").to_numpy()
        there = [kind for kind in KINDS if kind in kinds]
        found = find_kinds({name: datamap.values(name) for name in datamap.scores}, kinds, there[1:])
        return {
            "settings": settings.without_seed,
            "data_seed": settings.seed,
            "best_accuracy": best_accuracy(settings),
            "found": [plain(vars(one)) for one in found],
            "regions": {
                name: {kind: int(np.count_nonzero((regions == name) & (kinds == kind))) for kind in there}
                for name in (*REGIONS, "none")
                if (regions == name).any()
            },
        }
