"""Do people find the same examples hard? A map of the test data beside people's judgement.

The test data are passive probes: the teacher records them after each epoch and never learns from them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trainmap.array_files import read_npz
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.place import MAP, PICTURE, TEST_DYNAMICS, Place
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.files import as_it_stands_or_under
from trainmap.maps.agreement import plain
from trainmap.maps.datamap import DataMap
from trainmap.maps.human import human_agreement, label_entropy
from trainmap.maps.regions import REGIONS
from trainmap.views.plot import plot_map


class People(Task):
    """A map of the test data that a teacher recorded, beside people's judgement; leaves ``map.parquet``, ``map.png``.

    Attributes:
        teacher: whose recording.
        counts: fingerprint of the judgements; the file is ``place.files["counts"]``.
        scores: which are compared.
        top: share of the examples that count as disputed.
        level: of the intervals.
    """

    kind: ClassVar = "people/1"
    spelled: ClassVar = "trainmap.experiments.people:people_run"

    teacher: Teacher
    counts: str
    scores: tuple[str, ...]
    top: float
    level: float

    def told(self) -> str:
        return f"a map of the test data of {self.teacher.model} beside people's choices: {', '.join(self.scores)}"

    def cost(self, site: Site) -> Cost:
        return Cost(bytes=site.tests * 8 * (len(self.scores) + 5) + 400_000)

    def run(self, place: Place) -> Result:
        """Returns ``scores``: what ``human_agreement`` says of each (null where there is no number); ``regions``: the
        mean label entropy in bits and the number of examples of each region."""
        counts = read_counts(place.files["counts"])
        if fingerprint(counts) != self.counts:
            raise TrainmapError(f"{place.files['counts']} changed since the experiment was planned; plan it again")
        dynamics = Dynamics.open(place.of("teacher", TEST_DYNAMICS))
        datamap = DataMap.from_dynamics(dynamics, list(self.scores), workers=1)
        datamap.save(place.out / MAP)
        plot_map(datamap, place.out / PICTURE)
        entropy = label_entropy(counts)
        how: dict[str, Any] = {"top": self.top, "level": self.level}
        found = human_agreement(datamap, datamap.ids, entropy, list(self.scores), **how)
        regions = datamap.table["region"].fill_null("none").to_numpy()
        parts = {name: entropy[regions == name] for name in (*REGIONS, "none")}
        return {
            "scores": [plain(vars(one)) for one in found],
            "regions": {
                name: {"entropy": float(part.mean()), "examples": len(part)}
                for name, part in parts.items()
                if len(part)
            },
        }


def counts_path(name: str, root: str | None) -> Path:
    """Where the judgements lie: as the name stands, or else under the root of the data."""
    return as_it_stands_or_under(Path("data" if root is None else root), name).resolve()


def read_counts(path: Path) -> np.ndarray:
    """(examples, classes): how many people chose each class.

    Raises:
        StoreError: no such file, or one without ``counts``.
    """
    return read_npz(path, ("counts",), what="readable .npz file with an array 'counts'")["counts"]


def check_counts(counts: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Refuse judgements of another dataset, or in another order: the class that most people chose is the label of no
    more examples than one class for all would be.

    Args:
        counts: (examples, classes).
        labels: (examples,) of the test set called ``name``.

    Raises:
        TrainmapError: they are refused, or no judgements.
    """
    label_entropy(counts)  # refuses what are no judgements
    agree, most = float((counts.argmax(axis=1) == labels).mean()), float(np.bincount(labels).max() / len(labels))
    if agree <= most < 1:
        raise TrainmapError(
            f"most people agree with the labels of {name} on {agree:.0%} of the examples, no more than with one class "
            "for all; these are judgements of other data, or in another order"
        )


def fingerprint(counts: np.ndarray) -> str:
    """SHA-256 (hex) of the judgements, whatever the type of their numbers."""
    return hashlib.sha256(f"{counts.shape}".encode() + counts.astype("<f8").tobytes()).hexdigest()
