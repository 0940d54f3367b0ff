"""What becomes of a trained student when it is made smaller.

It is tuned and calibrated on the examples that the student was trained on: a subset chosen by a map stays the whole
training set of all that comes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch

from trainmap.compression.compressed import uncompressed
from trainmap.compression.network_files import save, suffix
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.compression.ways import Way, tuning_epochs, way_of
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.file.fields import short
from trainmap.experiments.tasks.judge import judged, prediction_path, weighs
from trainmap.experiments.tasks.place import COMPRESSED, Place, row_of
from trainmap.experiments.tasks.student import Student
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.models.budget import training_flops

TAKEN = ("examples", "steps", "train_loss", "examples_seen", "train_flops", "train_seconds", "train_cpu_seconds")


class CompressedStudent(Task):
    """Make a student smaller and judge it; leaves ``compressed.pt`` (``.pt2``, ``.onnx``) and ``predictions/``.

    Attributes:
        student: whose network.
        compress: the way, as ``method``, and all its options.
    """

    kind: ClassVar = "compressed/1"
    spelled: ClassVar = "trainmap.experiments.compressing:compressed_run"
    part: ClassVar = "compression"
    spends: ClassVar = ("compress",)

    student: Student
    compress: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        told = self.student.identity()
        shared = ("data", "model", "recipe", "seed", "device", "subset", "evaluation")
        return {name: told[name] for name in shared} | super().identity()

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        return cls.model_validate(
            {"student": tasks[identity["student"]], "compress": identity["compress"]}, strict=False
        )

    def needs(self) -> dict[str, Task]:
        return {"student": self.student, **self.student.drawn_from}

    @property
    def way(self) -> Way:
        """How it is done."""
        return way_of(self.compress)

    def told(self) -> str:
        return ", ".join(key if value is True else f"{key} {short(value)}" for key, value in self.compress.items())

    def cost(self, site: Site) -> Cost:
        draw = self.student.draw
        seen = tuning_epochs(self.way) * (draw.count if draw.fixed else site.examples)
        forward, size = site.forward(self.student.model), 4 * site.parameters(self.student.model)
        return Cost(training_flops(forward, seen), seen, size, self.student.model)

    def completed(self, result: Result, needs: Mapping[str, Result], forward: Callable[[str], int]) -> Result:
        """What was left out of its student's result was left out of this one."""
        flops = needs.get("student", {}).get("teacher_flops", 0)
        if not flops or "teacher_flops" in result:
            return result
        return {**result, "train_flops": result["train_flops"] + flops, "teacher_flops": flops}

    def run(self, place: Place) -> Result:
        student, folder = self.student, place.of("student")
        data = student.data.load(place.data_root)
        ids = student.ids(place, data.train)
        train = data.train if ids is None else data.train.subset(ids)
        original = uncompressed(student.network(folder, train), train.inputs)
        start, cpu = time.perf_counter(), time.process_time()
        made = self.way.make(original, train, student.recipe, student.seed, student.device)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        save(made, place.out / f"{COMPRESSED}{suffix(made.model)}", train.inputs)
        fixed = isinstance(made.model, OnnxNetwork | torch.fx.GraphModule)  # computed on the CPU
        device = "cpu" if fixed else student.device
        how: dict[str, Any] = {"flips": student.recipe.flips, "device": device, "keep": True}
        row = judged(made.model, data, place, student.evaluation, **how)
        before, after = (Predictions.open(prediction_path(where, "test")).predicted for where in (folder, place.out))
        trained = row_of(folder, TAKEN)
        kept = ("examples", "steps", "train_loss", "fraction", "teacher_flops", "proxy_flops")
        row |= {name: trained[name] for name in kept if name in trained}
        return row | {
            "examples_seen": trained["examples_seen"] + tuning_epochs(self.way) * len(train),
            "train_flops": trained["train_flops"] + made.training_flops,
            "train_seconds": trained["train_seconds"] + seconds,
            "train_cpu_seconds": trained["train_cpu_seconds"] + cpu_seconds,
            "compress_flops": made.training_flops,
            "compress_seconds": seconds,
            "compress_cpu_seconds": cpu_seconds,
            "agreement": float((before == after).mean()),
            **weighs(made, train.inputs),
        }
