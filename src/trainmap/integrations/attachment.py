"""What ``attach`` puts on a Trainer: a recording of its steps, or of sweeps over its data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import RecordingError, TrainmapError, number, some
from trainmap.integrations.grpo_rewards import Rewards
from trainmap.integrations.identified import Identified
from trainmap.integrations.identified_batches import Pairs
from trainmap.integrations.identified_streams import IdentifiedStream
from trainmap.integrations.intake import Intake
from trainmap.integrations.sweeping import Sweeping, source_of, undrawn, unnoticed
from trainmap.integrations.trainer_outputs import Reading, is_a, reading_of
from trainmap.integrations.trainer_tap import Tap, tap_of
from trainmap.integrations.with_ids import with_ids


class Attachment:
    """A recording that is attached to a Trainer; made by ``trainmap.attach``.

    Attributes:
        path: the folder of the recording.
        intake: the way into it.
    """

    def __init__(self, tap: Tap, intake: Intake, path: Path, reading: Reading) -> None:
        self._tap, self.intake, self.path, self._reading = tap, intake, path, reading
        tap.listeners.append(self)

    @property
    def recorder(self) -> Recorder | None:
        """The ``Recorder``; None before the training and after it, where ``attach`` was given a folder."""
        return self.intake.recorder

    def detach(self) -> None:
        """Take it off: the recording is closed, and the Trainer as it was when nothing else is attached."""
        if self in self._tap.listeners:
            self.finish()
            self._tap.listeners.remove(self)
            if not self._tap.listeners:
                self._tap.remove()

    def begin(self, state: Any) -> None:
        epoch = int((state.epoch or 0) + 1e-6)  # ended ones are whole numbers but for rounding
        self.intake.begin(epoch, again=state.global_step > 0)

    def hear(self, ids: Any, inputs: Mapping[str, Any], output: Any) -> bool:
        return True

    def end_step(self, state: Any) -> None:
        pass

    def end_epoch(self, state: Any) -> None:
        pass

    def finish(self) -> None:
        self.intake.finish()

    def lose(self, error: RecordingError) -> None:
        pass

    def _take(self, ids: Any, inputs: Mapping[str, Any], output: Callable[[], Any]) -> None:
        """A batch; one whose output has no logits, or that has no labels, is left out."""

        def find() -> tuple[Any, Any]:
            outputs, targets = self._reading.read(inputs, output())
            if targets is None and not self.intake.knows_labels:
                raise TrainmapError(
                    "a batch has no labels under the names that the Trainer knows, its keys are "
                    f"{some(inputs, 10)}; say TrainingArguments(label_names=['...'])"
                )
            return outputs, targets

        found = self.intake.read(ids, "reading what the network says", find)
        if found is not None:
            self.intake.take(ids, *found)


class Steps(Attachment):
    """The outputs of the training steps."""

    def hear(self, ids: Any, inputs: Mapping[str, Any], output: Any) -> bool:
        if not self._reading.wanted(output):
            return False
        self._take(ids, inputs, lambda: output)
        return True

    def lose(self, error: RecordingError) -> None:
        self.intake.refuse((), error)

    def end_epoch(self, state: Any) -> None:
        self.intake.end_epoch()


class Sweeps(Attachment):
    """Evaluation passes over the training data."""

    def __init__(
        self, tap: Tap, intake: Intake, path: Path, reading: Reading, dataset: Any, sweeping: Sweeping
    ) -> None:
        super().__init__(tap, intake, path, reading)
        self._dataset, self._sweeping = dataset, sweeping

    def begin(self, state: Any) -> None:
        epoch = int((state.epoch or 0) + 1e-6)
        self.intake.begin(self._sweeping.epoch(epoch, state.global_step), again=state.global_step > 0)

    def end_step(self, state: Any) -> None:
        if self._sweeping.due(state.global_step):
            self._sweep()

    def end_epoch(self, state: Any) -> None:
        if self._sweeping.every is None:
            self._sweep()

    def _sweep(self) -> None:
        """One pass, after which the training goes on as if there had been none."""
        trainer, column = self._tap.trainer, self._tap.column
        with unnoticed(trainer.model_wrapped):
            for batch in self._loader():
                ids = batch.pop(column)
                inputs = trainer._prepare_inputs(batch)
                self._take(ids, inputs, partial(self._output, inputs))
        self.intake.end_epoch()

    def _loader(self) -> Any:
        """Of all examples, also where those of the training leave the last batch out."""
        args = self._tap.trainer.args
        kept, args.dataloader_drop_last = args.dataloader_drop_last, False
        try:
            return self._tap.trainer.get_test_dataloader(self._dataset)
        finally:
            args.dataloader_drop_last = kept

    def _output(self, inputs: Mapping[str, Any]) -> Any:
        more = {"fused_lm_head": True} if self._reading.log_probs else {}
        with self._tap.trainer.compute_loss_context_manager():
            return self._tap.trainer.model_wrapped(**inputs, **more)


@undrawn()
def attached(
    trainer: Any,
    target: Recorder | str | os.PathLike[str],
    ids: Any,
    column: str,
    sweeping: Sweeping | None,
    passes: float,
    how: dict[str, Any],
) -> Attachment | Rewards:
    """See ``trainmap.attach``. (To look at an item may be to draw it at random.)"""
    if hasattr(trainer, "reward_funcs"):
        swept = sweeping is not None
        return _rewards(trainer, Intake(target, **how), target, ids, column, (swept, number(passes, "passes")))
    refuse_packing(trainer)
    intake = Intake(target, **source_of(target, sweeping, how), **how)
    reading = reading_of(trainer, how.get("per"))
    intake.default(**reading.recorder)
    path = target.path if isinstance(target, Recorder) else Path(target)
    trainer.train_dataset = identified(trainer, trainer.train_dataset, ids, column)
    tap = tap_of(trainer, column)
    if sweeping is None:
        return Steps(tap, intake, path, reading)
    data = trainer.train_dataset if sweeping.data is True else identified(trainer, sweeping.data, None, column)
    return Sweeps(tap, intake, path, reading, sampled(data, sweeping, column), sweeping)


def _rewards(trainer: Any, intake: Intake, target: Any, ids: Any, column: str, asked: tuple[bool, float]) -> Rewards:
    swept, passes = asked
    if swept:
        raise TrainmapError("what a trainer generates cannot be swept: leave sweep= out")
    trainer.train_dataset = identified(trainer, trainer.train_dataset, ids, column)
    return Rewards(trainer, intake, target.path if isinstance(target, Recorder) else Path(target), column, passes)


def refuse_packing(trainer: Any) -> None:
    if getattr(trainer.args, "packing", False):
        raise TrainmapError(
            "with packing=True several examples share a row and their ids are gone; say packing=False "
            "(padding_free=True saves the padding as well, and keeps the examples apart)"
        )


def identified(trainer: Any, dataset: Any, ids: Any, column: str) -> Any:
    """The training data with ids that its collator will find."""
    if dataset is None:
        raise TrainmapError("this trainer has no training data to attach to: Trainer(..., train_dataset=dataset)")
    if isinstance(dataset, Pairs | IdentifiedStream) or (ids is None and _has(dataset, column)):
        return dataset
    if isinstance(dataset, Identified):
        return dataset if isinstance(dataset[0], Mapping) else Pairs(dataset)
    if is_a(trainer, "SFTTrainer"):
        raise TrainmapError(
            f"the data has no column {column!r}, and SFTTrainer may have filtered and shuffled it: build the trainer "
            "with train_dataset=tm.with_ids(dataset)"
        )
    named = with_ids(dataset, ids, column=column)
    if isinstance(named, Identified) and not isinstance(named[0], Mapping):
        return Pairs(named)
    return named


def _has(dataset: Any, column: str) -> bool:
    """Whether items have this key already: a table's column, or what the first item of a dataset says."""
    if getattr(dataset, "column_names", None) is not None:
        return column in dataset.column_names
    if hasattr(dataset, "column_names"):  # a stream of Hugging Face that has not been read yet
        return column in next(iter(dataset), {})
    if hasattr(dataset, "__len__") and len(dataset) and not isinstance(dataset, torch.utils.data.IterableDataset):
        item = dataset[0]
        return isinstance(item, Mapping) and column in item
    return False


def sampled(dataset: Any, sweeping: Sweeping, column: str) -> Any:
    """The examples of a sweep."""
    if sweeping.sample is None:
        return dataset
    if not hasattr(dataset, "__len__"):
        raise TrainmapError(
            "a stream cannot be sampled; leave sample= out, or give the data to sweep over: sweep=dataset"
        )
    ids = dataset.with_format(None)[column][:] if hasattr(dataset, "column_names") else _ids(dataset, column)
    places = sweeping.places(ids)
    if hasattr(dataset, "select"):
        return dataset.select(places)
    return torch.utils.data.Subset(dataset, places.tolist())


def _ids(dataset: Any, column: str) -> Any:
    if isinstance(dataset, Pairs):
        return dataset.named.ids
    return dataset.ids if isinstance(dataset, Identified) else [item[column] for item in dataset]
