"""What is made of a teacher besides its map: its logits, its features, clusters of its recording; once for all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trainmap.array_files import read_npz
from trainmap.distillation.cache import teacher_logits
from trainmap.distillation.kept_logits import read_card
from trainmap.dynamics.store import Dynamics
from trainmap.experiments.tasks.place import CLUSTERS, DYNAMICS, FEATURES, LOGITS, Place
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.files import writing
from trainmap.models.budget import inference_flops
from trainmap.models.cost import forward_flops
from trainmap.scores.trajectories import Clusters, cluster
from trainmap.selection.pool import Features as FeatureTable
from trainmap.training.features import features_of


class OfTeacher(Task):
    """Something that is computed with a teacher's network."""

    teacher: Teacher

    def identity(self) -> dict[str, Any]:
        made = self.teacher
        told = super().identity() | made.network_identity()
        return told | {"data": made.data.model_dump(), "device": made.device}


class Logits(OfTeacher):
    """A teacher's logits on the training data: ``logits.npy``.

    Attributes:
        flips: those of the mirror images as well.
    """

    kind: ClassVar = "teacher logits/1"
    spelled: ClassVar = "trainmap.experiments.nodes:logits_run"
    part: ClassVar = "teacher logits"
    spends: ClassVar = ("inference",)

    flips: bool

    def told(self) -> str:
        return f"of {self.teacher.model} on the training data{' and its mirror images' * self.flips}, once"

    def cost(self, site: Site) -> Cost:
        passes = site.examples * (2 if self.flips else 1)
        flops = inference_flops(site.forward(self.teacher.model), passes)
        return Cost(flops, passes, 2 * passes * site.classes, self.teacher.model)

    def run(self, place: Place) -> Result:
        train = self.teacher.data.load(place.data_root).train
        model = self.teacher.network(place.of("teacher"), train)
        path = place.out / LOGITS
        teacher_logits(model, train, path, flips=self.flips, device=self.teacher.device)
        card = read_card(path)
        return {
            "teacher": card.teacher,
            "inference_flops": card.flops,
            "inference_seconds": card.seconds,
            "inference_cpu_seconds": card.cpu_seconds,
        }


class Features(OfTeacher):
    """The last hidden layer of a teacher on the training data: ``features.npz``."""

    kind: ClassVar = "features/1"
    spelled: ClassVar = "trainmap.experiments.choosing:features_run"
    part: ClassVar = "choosing"
    spends: ClassVar = ("inference",)

    def told(self) -> str:
        return f"what goes into the last layer of {self.teacher.model}, on the training data, once"

    def cost(self, site: Site) -> Cost:
        flops = inference_flops(site.forward(self.teacher.model), site.examples)
        return Cost(flops, site.examples, 4 * 64 * site.examples, self.teacher.model)

    def run(self, place: Place) -> Result:
        train = self.teacher.data.load(place.data_root).train
        model = self.teacher.network(place.of("teacher"), train)
        start, cpu = time.perf_counter(), time.process_time()
        values = features_of(model, train, device=self.teacher.device)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        place.out.mkdir(parents=True, exist_ok=True)
        with writing(place.out / FEATURES) as handle:
            np.savez(handle, ids=train.ids, values=values)
        return {
            "width": values.shape[1],
            "inference_flops": inference_flops(forward_flops(model, train.inputs), len(train)),
            "inference_seconds": seconds,
            "inference_cpu_seconds": cpu_seconds,
        }


class ClustersOf(Task):
    """Clusters of the loss trajectories of a teacher's recording: ``clusters.npz``.

    Attributes:
        epochs: the first so many; None for all.
        clusters: how many.
        seed: of the clustering.
    """

    kind: ClassVar = "clusters/1"
    spelled: ClassVar = "trainmap.experiments.choosing:clusters_run"
    part: ClassVar = "choosing"
    spends: ClassVar = ("clustering",)

    teacher: Teacher
    epochs: int | None
    clusters: int
    seed: int = 0

    def told(self) -> str:
        return f"{self.clusters} of the loss trajectories that {self.teacher.model} recorded, once"

    def cost(self, site: Site) -> Cost:
        return Cost(bytes=16 * site.examples)

    def run(self, place: Place) -> Result:
        dynamics = Dynamics.open(place.of("teacher", DYNAMICS))
        epochs = None if self.epochs is None else min(self.epochs, dynamics.epochs)
        start, cpu = time.perf_counter(), time.process_time()
        found = cluster(dynamics, self.clusters, epochs=epochs, seed=self.seed)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        place.out.mkdir(parents=True, exist_ok=True)
        with writing(place.out / CLUSTERS) as handle:
            np.savez(handle, ids=found.ids, labels=found.labels, centres=found.centres)
        return {"sizes": found.sizes.tolist(), "clustering_seconds": seconds, "clustering_cpu_seconds": cpu_seconds}


def features_in(folder: Path) -> FeatureTable:
    """What ``Features`` left. Raises StoreError."""
    return FeatureTable(*_arrays(folder / FEATURES, "ids", "values"))


def clusters_in(folder: Path) -> Clusters:
    """What ``ClustersOf`` left. Raises StoreError."""
    return Clusters(*_arrays(folder / CLUSTERS, "ids", "labels", "centres"))


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an .npz file, each compared with its checksum there."""
    found = read_npz(path, names, what="file of arrays")
    return [found[name] for name in names]
