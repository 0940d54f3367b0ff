"""A teacher out of fold: K networks, each trained on all folds but one and recorded on that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from trainmap.data.dataset import Dataset, Splits
from trainmap.dynamics import CrossFit, Dynamics, Fold, Recorder
from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.judge import costs
from trainmap.experiments.tasks.learning import checkpoints, forget_checkpoint
from trainmap.experiments.tasks.place import DYNAMICS, Place, leave_held_out
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.models.budget import inference_flops, training_flops
from trainmap.models.cost import forward_flops
from trainmap.training.evaluation_pass import Sweep

SUMMED = ("steps", "examples_seen", "train_flops", "train_seconds", "train_cpu_seconds", "sweep_seconds", "sweep_flops")
"""Of the networks together; what else is told of a network is the mean over them."""


class CrossFitTeacher(Teacher):
    """Train K networks, network k on all folds but k with the seed ``seed + k``, and record what each says of its own
    fold after every epoch; leaves ``dynamics/``, of source "held-out", and no network: which of the K would it be?

    How good it is, is the mean of what its networks are, each by itself.

    Attributes:
        folds: K.
    """

    kind: ClassVar = "teacher out of fold/1"
    spelled: ClassVar = ""

    folds: int

    @property
    def has_network(self) -> bool:
        return False

    def learns_from(self) -> str:
        return f"{self.folds} networks, each on all of {self.folds} folds but one"

    def count(self, site: Site) -> int:
        """How many examples an epoch of all K trains on."""
        return (self.folds - 1) * site.examples

    def cost(self, site: Site) -> Cost:
        forward, seen = site.forward(self.model), self.recorded * self.count(site)
        asked = self.recorded * site.examples
        flops = training_flops(forward, seen) + inference_flops(forward, asked)
        kept = 2 * asked * self.example_bytes(site)  # parts, and their join
        return Cost(flops, seen, kept, self.model, checkpoint=True)

    def completed(self, result: Result, needs: Mapping[str, Result], forward: Callable[[str], int]) -> Result:
        return result

    def network(self, folder: Path, train: Dataset) -> nn.Module:
        raise TrainmapError(f"a teacher that is recorded held-out has {self.folds} networks, and none of its own")

    def run(self, place: Place) -> Result:
        data = self.data.load(place.data_root)
        cross = CrossFit(data.train.ids, data.train.y, self.folds, self.seed)
        places = [_of_fold(place, fold.number) for fold in cross]
        resume = any(path.exists() for one in places for path in checkpoints(one))
        rows = [self._one(fold, data, place, at, resume) for fold, at in zip(cross, places, strict=True)]
        for one in places:
            forget_checkpoint(one)
        made = Dynamics.open(place.out / DYNAMICS)  # joins the folds
        row = _together(rows) | {"epochs": made.epochs, "folds": self.folds}
        leave_held_out(place.out, row["validation_accuracy"] if len(data.validation) else None)
        return row

    def _one(self, fold: Fold, data: Splits, place: Place, at: Place, resume: bool) -> Result:
        """The network of a fold: trained, recorded, judged."""
        own = self.model_copy(update={"seed": self.seed + fold.number})
        train, asked = data.train.subset(fold.train), data.train.subset(fold.held)
        model = own.build(train)
        folder = place.out / DYNAMICS
        how: dict[str, Any] = {"level": self.level, "fold": fold, "resume": resume, "overwrite": not resume}
        with Recorder(folder, train.classes, **how) as recorder:
            sweep = Sweep(recorder, model, asked, self.device)
            result = own.train(model, data, train, at, recorder=sweep)
        flops = inference_flops(forward_flops(model, train.inputs), result.epochs * len(asked))
        row = own.judge(model, data, at) | costs(result, model)
        return row | {"sweep_seconds": sweep.seconds, "sweep_flops": flops}


def _of_fold(place: Place, number: int) -> Place:
    """Where the training of a fold's network keeps what is its own: its epochs, its checkpoint."""
    name, checkpoint = f"fold-{number}", place.checkpoint
    return replace(
        place,
        out=place.out / name,
        name=f"{place.name or place.out.name}, fold {number}",
        checkpoint=None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-{name}{checkpoint.suffix}"),
    )


def _together(rows: Sequence[Result]) -> Result:
    """What is told of K networks: sums of what they took, means of how good they are."""
    told: Result = {}
    for name, first in rows[0].items():
        values: list[Any] = [row[name] for row in rows]
        if name in SUMMED:
            told[name] = sum(values)
        elif isinstance(first, int) and len(set(values)) == 1:
            told[name] = first
        else:
            told[name] = float(np.mean(values))
    return told
