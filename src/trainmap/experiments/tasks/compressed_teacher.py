"""What becomes of a trained teacher when it is made smaller, beside the teacher as it was."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, ClassVar

from trainmap.compression.compressed import uncompressed
from trainmap.compression.measure import measure
from trainmap.compression.network_files import save, suffix
from trainmap.compression.ways import Way, tuning_epochs, way_of
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.tasks.place import CARD, COMPRESSED, Place
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.models.budget import training_flops
from trainmap.models.predict import predict
from trainmap.selection.card import Selection as Card

SIDES = ("before", "after")


class CompressedTeacher(Task):
    """Make a teacher smaller and measure both; leaves ``compressed.pt`` (``.pt2``, ``.onnx``) and the predictions of
    both on the test data, ``before.parquet`` and ``after.parquet``.

    Attributes:
        teacher: whose network.
        compress: the way, as ``method``, and all its options.
        selection: the examples that it is tuned or calibrated on; None for all.
        seed: of everything random.
    """

    kind: ClassVar = "compressed teacher/1"
    part: ClassVar = "teacher"
    spends: ClassVar = ("compress",)

    teacher: Teacher
    compress: dict[str, Any]
    selection: Selection | None = None
    seed: int = 0

    @property
    def way(self) -> Way:
        """How it is done."""
        return way_of(self.compress)

    def cost(self, site: Site) -> Cost:
        count = site.examples if self.selection is None else self.selection.size or 0
        seen = tuning_epochs(self.way) * count
        model = self.teacher.model
        return Cost(training_flops(site.forward(model), seen), seen, 4 * site.parameters(model), model)

    def run(self, place: Place) -> Result:
        data = self.teacher.data.load(place.data_root)
        train = data.train
        network = self.teacher.network(place.of("teacher"), train)
        if self.selection is not None:
            card = Card.open(place.of("selection", CARD))
            card.verify(train)
            train = train.subset(card.ids)
        original = uncompressed(network, train.inputs, "teacher")
        start, cpu = time.perf_counter(), time.process_time()
        made = self.way.make(original, train, self.teacher.recipe, self.seed, self.teacher.device)
        spent = {"compress_seconds": time.perf_counter() - start, "compress_cpu_seconds": time.process_time() - cpu}
        rows = measure({"teacher": original, "smaller": made}, data.test)
        place.out.mkdir(parents=True, exist_ok=True)
        kept = save(made, place.out / f"{COMPRESSED}{suffix(made.model)}", train.inputs)
        for name, one in zip(SIDES, (original, made), strict=True):
            predicted = predict(one.model, data.test).argmax(axis=1)
            Predictions.of(data.test.ids, data.test.y, predicted).save(place.out / f"{name}.parquet")
        told = {"file": kept.name, "numbers": dict(made.numbers), "rows": [asdict(row) for row in rows]}
        return told | {"compress_flops": made.training_flops, **spent}
