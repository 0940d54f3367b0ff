"""What passes through a Trainer of Transformers, or of a library that derives from it: ids, inputs, outputs.

The Trainer's own loop hands a callback neither batches nor outputs. So the ids go with the batch, past the collator,
the device and the network, and the network's output is heard by a hook on the outermost module, which no compiler,
checkpointing of activations or mixed precision reaches into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

from trainmap.errors import RecordingError, TrainmapError
from trainmap.integrations.identified import one_array
from trainmap.integrations.identified_batches import Apart

ATTRIBUTE = "_trainmap_tap"


class Listener(Protocol):
    """What an attachment does at each moment of a training."""

    def begin(self, state: Any) -> None: ...
    def hear(self, ids: Any, inputs: Mapping[str, Any], output: Any) -> bool:
        """What a forward pass of a training step gave; whether it was wanted, else the step's next one is heard."""
        ...

    def lose(self, error: RecordingError) -> None:
        """A batch of the training came without ids."""
        ...

    def end_step(self, state: Any) -> None: ...
    def end_epoch(self, state: Any) -> None: ...
    def finish(self) -> None: ...


class IdsAside:
    """A collator that sees what it saw before; the ids come beside its batch, under ``column``.

    Args:
        collate: the Trainer's own.
        column: of the ids, in items that are mappings; other items come ``Apart`` from theirs.
        tensors: integers come as a tensor, for a loader that cuts batches up for several processes; else as an array,
            which stays where it is.
    """

    def __init__(self, collate: Callable[[Any], Any], column: str, tensors: bool) -> None:
        self.collate, self.column, self.tensors = collate, column, tensors

    def __call__(self, items: list[Any]) -> Any:
        named = [split(item, self.column) for item in items]
        batch = self.collate([item for _, item in named])
        names = [name for name, _ in named if name is not None]
        if len(names) != len(items):  # an evaluation set, which needs none; ``Tap`` asks for those of the training
            return batch
        ids = one_array(names)
        if self.tensors and ids.dtype.kind != "i":
            raise TrainmapError(
                "one process reads a stream for several and cuts its batches up, which strings do not bear: say "
                "accelerator_config={'dispatch_batches': False}, or give ids that are integers"
            )
        batch[self.column] = torch.from_numpy(ids) if self.tensors else ids
        return batch

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "collate" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.collate, name)  # a Trainer may ask its collator for the tokenizer


def split(item: Any, column: str) -> tuple[Any, Any]:
    """(id, item without it); None where it has none."""
    if isinstance(item, Apart):
        return item.name, item.item
    if (type(item) is dict or isinstance(item, Mapping)) and column in item:  # the first is soon said, for each item
        rest = dict(item)
        name = rest.pop(column)
        return name if type(name) is int else getattr(name, "item", lambda: name)(), rest
    return None, item


class Tap(TrainerCallback):
    """Installed on a Trainer once, for all that listen; see ``tap_of``."""

    def __init__(self, trainer: Any, column: str) -> None:
        self.trainer, self.column = trainer, column
        self.listeners: list[Listener] = []
        self._inputs: Mapping[str, Any] | None = None  # of the step under way, None outside of one and once heard
        self._ids: Any = None
        self._model: Any = None
        self._hook: Any = None
        self._undo: list[Callable[[], None]] = []

    # --- on and off -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        trainer = self.trainer
        for name, by in (
            ("training_step", self._training_step),
            ("prediction_step", self._prediction_step),
            ("train", self._train),
            ("_set_signature_columns_if_needed", self._signature),
        ):
            self._put(name, by)
        streams = isinstance(trainer.train_dataset, torch.utils.data.IterableDataset)
        tensors = streams and trainer.args.world_size > 1 and trainer.accelerator.dispatch_batches is not False
        self._put("data_collator", lambda before: IdsAside(before, self.column, tensors))
        before = trainer._signature_columns
        if before is not None:
            trainer._signature_columns = [*before, self.column]
        self._undo.append(self._forget_column)
        trainer.add_callback(self)
        self._undo.append(lambda: trainer.remove_callback(self))
        setattr(trainer, ATTRIBUTE, self)

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._unhook()
        delattr(self.trainer, ATTRIBUTE)

    def _put(self, name: str, make: Callable[[Any], Any]) -> None:
        """Have what ``make`` makes of an attribute of the Trainer in its place, until ``remove``."""
        trainer, own = self.trainer, name in vars(self.trainer)
        before = getattr(trainer, name)
        setattr(trainer, name, make(before))
        self._undo.append(lambda: setattr(trainer, name, before) if own else delattr(trainer, name))

    def _forget_column(self) -> None:
        columns = self.trainer._signature_columns
        if columns is not None and self.column in columns:
            self.trainer._signature_columns = [name for name in columns if name != self.column]

    def _unhook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._model = None

    # --- in the place of the Trainer's methods ----------------------------------------------------------------------

    def _signature(self, before: Callable[[], None]) -> Callable[[], None]:
        def set_signature_columns() -> None:
            before()
            if self.column not in self.trainer._signature_columns:
                self.trainer._signature_columns += [self.column]

        return set_signature_columns

    def _train(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def train(*args: Any, **kwargs: Any) -> Any:
            try:
                return before(*args, **kwargs)
            finally:
                self._unhook()
                for listener in self.listeners:
                    listener.finish()

        return train

    def _training_step(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def training_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self._ids = inputs.pop(self.column, None)
            if self._ids is None:
                for listener in self.listeners:
                    listener.lose(
                        RecordingError(
                            f"a batch of the training has no {self.column!r}: build the Trainer with "
                            "train_dataset=tm.with_ids(dataset), and attach after it has its dataset and collator"
                        )
                    )
                return before(model, inputs, *args, **kwargs)
            if model is not self._model:
                self._unhook()
                self._model, self._hook = model, model.register_forward_hook(self._heard)
            self._inputs = dict(inputs)  # a loss may take the labels out
            try:
                return before(model, inputs, *args, **kwargs)
            finally:
                self._inputs = None

        return training_step

    def _prediction_step(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def prediction_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            inputs.pop(self.column, None)
            return before(model, inputs, *args, **kwargs)

        return prediction_step

    def _heard(self, model: Any, args: Any, output: Any) -> None:
        if self._inputs is not None and model.training:
            inputs, wanted = self._inputs, True
            for listener in self.listeners:
                wanted = listener.hear(self._ids, inputs, output) and wanted
            if wanted:
                self._inputs = None

    # --- the Trainer's own events -----------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.begin(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.end_step(state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.end_epoch(state)


def tap_of(trainer: Any, column: str) -> Tap:
    """The tap that is on a Trainer, or a new one.

    Raises:
        TrainmapError: the one that is there takes the ids from another column.
    """
    there = getattr(trainer, ATTRIBUTE, None)
    if there is None:
        there = Tap(trainer, column)
        there.install()
    elif there.column != column:
        raise TrainmapError(
            f"something is attached to this trainer with column={there.column!r} already, now {column!r}: use one "
            "column of ids"
        )
    return there
