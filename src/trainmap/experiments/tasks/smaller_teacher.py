"""A teacher that is made smaller: what is recorded is its training in the smaller form."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from trainmap.compression.compressed import Compressed, uncompressed
from trainmap.compression.network_files import load_graph, load_weights, save, suffix
from trainmap.compression.ways import Way, tuning_epochs, way_of
from trainmap.data.dataset import Dataset, Splits
from trainmap.experiments.file.fields import short
from trainmap.experiments.tasks.judge import costs, judged
from trainmap.experiments.tasks.learning import forget_checkpoint
from trainmap.experiments.tasks.place import EPOCHS, MODEL, Place, leave_held_out
from trainmap.experiments.tasks.task import Result
from trainmap.experiments.tasks.teacher import Teacher, swept
from trainmap.experiments.tasks.tracking import track
from trainmap.experiments.tasks.watch import Watch
from trainmap.models.build import build
from trainmap.training.watching import EpochRecorder, Watching

GRAPH = "model.pt2"  # of a quantised network


class SmallerTeacher(Teacher):
    """Make a network smaller by training it further, while recording that; leaves ``dynamics/`` and ``model.pt``, of a
    quantised network ``model.pt2``. Its seconds have what comes before and after that training in them, too.

    What is recorded are the logits of the smaller network: of a pruned one while it is tuned, with its zeros while they
    become more, with eight-bit rounding in the forward pass.

    Attributes:
        compress: the way, as ``method``, and all its options. Where it starts fresh its further training is the whole.
        original: the teacher as it is trained before, which this one needs and so costs as well; None: fresh weights.
    """

    kind: ClassVar = "smaller teacher/1"
    spelled: ClassVar = ""

    compress: dict[str, Any]
    original: Teacher | None = None

    def learns_from(self) -> str:
        options = ", ".join(f"{name} {short(value)}" for name, value in self.compress.items() if name != "method")
        before = "from fresh weights" if self.original is None else "after its training on all the data"
        return f"made smaller {before} by {self.compress['method']}{options and f' ({options})'}, on all the data"

    @property
    def way(self) -> Way:
        """How it is done."""
        return way_of(self.compress)

    @property
    def recorded(self) -> int:
        return tuning_epochs(self.way)

    @property
    def has_layers(self) -> bool:
        return self.compress["method"] != "int8-trained"

    def network(self, folder: Path, train: Dataset) -> nn.Module:
        if not self.has_layers:
            return load_graph(folder / GRAPH)
        fresh = build(self.model, train.classes, train.inputs, self.seed, weights=False)
        return load_weights(fresh, folder / MODEL)

    def run(self, place: Place) -> Result:
        data = self.data.load(place.data_root)
        before = self.build(data.train)
        if self.original is not None:
            before = self.original.network(place.of("original"), data.train)
        made, recorder, around = self._made(before, data, place)
        save(made, place.out / f"model{suffix(made.model)}", data.train.inputs)
        forget_checkpoint(place)
        device = "cpu" if isinstance(made.model, torch.fx.GraphModule) else self.device
        row = judged(made.model, data, place, self.evaluation, self.data, flips=self.recipe.flips, device=device)
        leave_held_out(place.out, row["validation_accuracy"] if len(data.validation) else None)
        assert made.tuning is not None
        row |= costs(made.tuning, made.model) | {"epochs": made.tuning.epochs}
        row |= swept(recorder, made.flops, made.tuning)
        row |= {name: row[name] + seconds for name, seconds in around.items()}
        return row | {"parameters": made.parameters, "nonzero": made.nonzero, "forward_flops": made.flops}

    def _made(
        self, before: nn.Module, data: Splits, place: Place
    ) -> tuple[Compressed, EpochRecorder, dict[str, float]]:
        """The smaller network, what recorded the training that made it, and the seconds before and after that training:
        of the pruning, of the export to a graph, of its conversion."""
        place.out.mkdir(parents=True, exist_ok=True)
        recorders: list[EpochRecorder] = []
        times: list[tuple[float, float]] = [_now()]
        name = place.name or place.out.name
        with ExitStack() as open_, track(name, self.identity(), place.logs or place.out, place.tracking) as log:

            def watching(model: nn.Module) -> Watching:
                recorders.append(self.recorder(open_, place, model, data.train, data.test))
                watch = Watch(place.out / EPOCHS, model, data.validation, None, self.device, log)

                def on_epoch(epoch: int, loss: float) -> None:
                    watch(epoch, loss)
                    times[2:] = [_now()]

                times[1:] = [_now(), _now()]
                return Watching(recorders[-1], on_epoch=on_epoch)

            original = uncompressed(before, data.train.inputs)
            how: dict[str, Any] = {"watching": watching, "checkpoint": place.checkpoint}
            made = self.way.make(original, data.train, self.recipe, self.seed, self.device, **how)
        (wall, cpu), (first_wall, first_cpu), (last_wall, last_cpu), (end_wall, end_cpu) = [*times, _now()]
        around = {"train_seconds": first_wall - wall + end_wall - last_wall}
        return made, recorders[-1], around | {"train_cpu_seconds": first_cpu - cpu + end_cpu - last_cpu}


def _now() -> tuple[float, float]:
    """Wall time and CPU time, in seconds."""
    return time.perf_counter(), time.process_time()
