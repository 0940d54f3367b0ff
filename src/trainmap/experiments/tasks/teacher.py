"""A teacher: trained while it is recorded, on all the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Literal

from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.judge import costs
from trainmap.experiments.tasks.learning import Learning, checkpoints, forget_checkpoint, leave_network
from trainmap.experiments.tasks.place import DYNAMICS, TEST_DYNAMICS, Place, leave_held_out
from trainmap.experiments.tasks.sweeps import Beside
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.models.budget import inference_flops, training_flops
from trainmap.models.cost import forward_flops
from trainmap.scores.compute import lacking_at
from trainmap.training.evaluation_pass import Sweep
from trainmap.training.fit import FitResult
from trainmap.training.watching import EpochRecorder

SIGNAL_BYTES = 22  # a recording keeps for each example and epoch
LOGIT_BYTES = 2  # and for each class where it keeps logits
UNSAID: Mapping[str, Any] = {"record_test": False, "level": "signals"}
"""Fields that are no part of an identity at these values: what was run before there were such is found again."""
RECORDED = {
    "train": "its training steps",
    "sweep": "an evaluation pass after each epoch",
    "held-out": "what each says of its own fold after each epoch",
}


class Teacher(Learning):
    """Train a network on all the data while recording it; leaves ``dynamics/`` and ``model.pt``.

    Attributes:
        record: the logits of the training steps, or of a sweep after each epoch ("held-out": see ``CrossFitTeacher``).
        record_test: whether the test data are recorded as well (``test-dynamics/``, always a sweep).
        level: whether the recordings keep the logits of each example besides what is computed of them.
    """

    kind: ClassVar = "teacher/1"
    spelled: ClassVar = "trainmap.experiments.nodes:teacher_run"
    part: ClassVar = "teacher"
    spends: ClassVar = ("train", "sweep")
    on_all: ClassVar[bool] = True
    """Whether it is trained on all the data, so that its map is of all of them."""

    record: Literal["train", "sweep", "held-out"]
    record_test: bool = False
    level: Literal["signals", "logits"] = "signals"

    def identity(self) -> dict[str, Any]:
        told = super().identity().items()
        return {name: value for name, value in told if name not in UNSAID or value != UNSAID[name]}

    @property
    def least(self) -> int:
        """Epochs that it records at least: the first, and as many as it waits for a better one."""
        return self.recorded if self.patience is None else min(self.recorded, self.patience + 1)

    @property
    def stops(self) -> str:
        """What to add to an error about too few epochs, where it may stop early."""
        if self.least == self.recorded:
            return ""
        return f" (with patience {self.patience} the teacher may stop after {self.least})"

    def network_identity(self) -> dict[str, Any]:
        """What those that run its network say of it besides its hash."""
        return {"model": self.model, "seed": self.seed}

    def told(self) -> str:
        recorded = RECORDED[self.record] + " and the test data" * self.record_test
        logits = ", with all logits" * (self.level == "logits")
        return f"{super().told()}, {self.learns_from()}; recorded: {recorded}{logits}"

    def learns_from(self) -> str:
        """What it is trained on, in a phrase."""
        return "on all the data"

    @property
    def recorded(self) -> int:
        """Epochs that are recorded; early stopping is not foreseen."""
        return self.recipe.epochs

    @property
    def has_layers(self) -> bool:
        """Whether its network is one in plain torch, with layers to look into."""
        return True

    @property
    def has_network(self) -> bool:
        """Whether it leaves a network, for others to learn from."""
        return True

    def count(self, site: Site) -> int:
        """How many examples an epoch trains on."""
        return site.examples

    def examples(self, place: Place, train: Dataset) -> Dataset:
        """What it is trained on, of all the examples."""
        return train

    def example_bytes(self, site: Site) -> int:
        """What a recording keeps for each example and epoch."""
        return SIGNAL_BYTES + (LOGIT_BYTES * site.classes if self.level == "logits" else 0)

    def cost(self, site: Site) -> Cost:
        forward = site.forward(self.model)
        seen = self.recorded * self.count(site)
        tests = self.recorded * site.tests if self.record_test else 0
        sweep = inference_flops(forward, tests + (seen if self.record == "sweep" else 0))
        kept = (seen + tests) * self.example_bytes(site) + 4 * site.parameters(self.model)
        return Cost(training_flops(forward, seen) + sweep, seen, kept, self.model, checkpoint=True)

    def completed(self, result: Result, needs: Mapping[str, Result], forward: Callable[[str], int]) -> Result:
        """Version 0.2 did not count the FLOPs of the sweeps that record; each sees the examples of an epoch."""
        if self.record != "sweep" or "sweep_flops" in result:
            return result
        return {**result, "sweep_flops": inference_flops(forward(self.model), result["examples_seen"])}

    def run(self, place: Place) -> Result:
        data = self.data.load(place.data_root)
        train = self.examples(place, data.train)
        model = self.build(train)
        with ExitStack() as open_:
            recorder = self.recorder(open_, place, model, train, data.test)
            result = self.train(model, data, train, place, recorder=recorder)
        leave_network(model, place.out)
        forget_checkpoint(place)
        row = self.judge(model, data, place)
        leave_held_out(place.out, row["validation_accuracy"] if len(data.validation) else None)
        row |= {} if self.on_all else {"examples": len(train), "fraction": len(train) / len(data.train)}
        row |= costs(result, model) | {"epochs": result.epochs}
        return row | swept(recorder, forward_flops(model, train.inputs), result)

    def recorder(
        self, open_: ExitStack, place: Place, model: nn.Module, train: Dataset, test: Dataset
    ) -> EpochRecorder:
        """What records the training of ``model``, closed with ``open_``.

        A task that was killed goes on with its checkpoint; without one, what an earlier try recorded is of no use.
        """
        resume = any(path.exists() for path in checkpoints(place))
        shared: dict[str, Any] = {"rank": 0, "world_size": 1, "resume": resume, "overwrite": not resume}
        shared["level"] = self.level
        of: dict[str, Any] = {"classes": train.classes, "ids": train.ids, "labels": train.y, "source": self.record}
        own = open_.enter_context(Recorder(place.out / DYNAMICS, **of, **shared))
        watched = Sweep(own, model, train, self.device) if self.record == "sweep" else own
        if not self.record_test:
            return watched
        beside = Recorder(place.out / TEST_DYNAMICS, test.classes, test.ids, test.y, "sweep", **shared)
        return Beside(watched, Sweep(open_.enter_context(beside), model, test, self.device))


def check_recorded(columns: Iterable[str], teachers: Iterable[Teacher]) -> None:
    """Refuse a column of a map, or a score, that needs what one of these teachers does not record.

    Raises:
        TrainmapError: says which teacher must record it, and by which key.
    """
    teachers = tuple(teachers)
    for column in columns:
        for one in teachers:
            if lacking := lacking_at(column, one.level):
                raise TrainmapError(
                    f"{column} needs {', '.join(lacking)} of every epoch, which the teacher {one.model} does not "
                    "record; write level: logits under that teacher"
                )


def swept(recorder: EpochRecorder, forward: int, result: FitResult) -> dict[str, Any]:
    """What evaluation passes over what a teacher is trained on took, by its recorder; ``forward`` FLOPs an example."""
    watched = recorder.recorder if isinstance(recorder, Beside) else recorder
    if not isinstance(watched, Sweep):
        return {"sweep_seconds": 0.0}
    return {"sweep_seconds": watched.seconds, "sweep_flops": inference_flops(forward, result.examples_seen)}
