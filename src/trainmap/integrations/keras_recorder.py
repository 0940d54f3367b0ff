"""Keras 3: the ids go with the labels into the compiled step, and come out of it beside the predictions."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from functools import partial
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.refused import Refused
from trainmap.errors import TrainmapError
from trainmap.integrations.intake import Intake
from trainmap.integrations.jax_recorder import OneLate
from trainmap.integrations.keras_loaders import Beside, Numbers, is_loader, named_loader
from trainmap.integrations.keras_sweep import SweptArrays
from trainmap.integrations.keras_told import (
    ID,
    Y,
    are_probabilities,
    bare,
    check_gold,
    first,
    ignored_by,
    keys_of,
    kind_of,
    length_of,
    loss_of,
    part,
    shape_of,
    split,
    weights_of,
)
from trainmap.integrations.sweeping import asked, source_of, undrawn, unnoticed

Array = NDArray[Any]

TAKEN = "trainmap"  # where a step's logs carry what is recorded
PREDICTED = ("classes", "multilabel", "tokens")  # from logits or probabilities
LEAST = 1e-7  # Keras' own losses take a probability below it for this
METHODS = ("fit", "train_step", "compute_loss", "compute_metrics", "make_train_function")

log = logging.getLogger("trainmap")


class KerasRecorder:
    """Records what a Keras model predicts in its training steps; ``fit`` is called as before.

    ::

        watch = tm.KerasRecorder(model, "dynamics")    # after model.compile
        model.fit(x, y, epochs=10, validation_data=held)

    Args:
        model: a compiled ``keras.Model``, backend torch or jax.
        place: a ``Recorder``, or the folder that one is made for, with as many classes as the model has outputs.
        ids: (N,) of the rows of ``x`` and ``y``, integers or strings; None: 0 to N - 1.
        output: which output (and which part of ``y``), a name or a place, where the model has several.
        sweep: True: predictions for the arrays that ``fit`` is given are recorded in place of the training steps; or
            the data to pass over, ``(x, y)`` or ``(x, y, ids)``.
        every: when a sweep is made: after each "epoch", or after so many steps.
        sample: of how many examples a sweep is made, the same in each, chosen by a hash of the id; None: all.
        options: any other argument of ``Recorder``, where ``place`` is a folder. ``classes`` is the length of the
            model's output, ``as_`` follows from the loss (``from_logits``), ``ignore_index`` too (``ignore_class``),
            and ``on_error`` is "warn", if not said. ``kind`` follows from the loss where neither it nor ``classes`` is
            said: a binary cross-entropy of several outputs is "multilabel", a cross-entropy of a sequence "tokens", a
            squared or absolute error of one output "regression".

    Attributes:
        recorder: the recorder underneath; None between trainings, where ``place`` is a folder.
        refused: (batches, examples) that ``on_error="warn"`` has left out.

    An epoch is written before its validation begins; validation is not recorded. Labels are numbers or one-hot (the
    class of the largest share). A probability below 1e-7 is recorded as 1e-7, as Keras' losses take it. The first
    ``fit`` with ``initial_epoch=k`` goes on at epoch k of the recording; a later ``fit`` goes on after the one before.
    What breaks off in the middle of an epoch leaves the epochs before it.

    A ``DataLoader`` of torch with batches (x, y) is recorded as it is, by the positions in its dataset, or by the ids
    that ``with_ids`` gave it. Batches of a ``keras.utils.PyDataset`` or a generator bring their ids with the labels:
    ``watch.with_ids(y, ids)``, or by hand ``{"trainmap_id": ids, "y": y}`` with integers of 32 bits.

    Raises:
        TrainmapError: a model that is not compiled, whose loss or output does not tell what is needed (it says what to
            pass), that runs several steps in one call, or is watched already.
    """

    def __init__(
        self,
        model: Any,
        place: Recorder | str | os.PathLike[str],
        *,
        ids: Any = None,
        output: str | int | None = None,
        sweep: Any = False,
        every: Literal["epoch"] | int = "epoch",
        sample: int | None = None,
        **options: Any,
    ) -> None:
        if not getattr(model, "compiled", False) or not callable(getattr(model, "compute_metrics", None)):
            raise TrainmapError(
                f"a compiled keras.Model is needed, got {type(model).__name__}; call model.compile first"
            )
        if getattr(model.fit, "__func__", None) is KerasRecorder._fit:
            raise TrainmapError("this model is watched already; call detach() of that KerasRecorder first")
        import keras

        self._backend = keras.backend.backend()
        if self._backend not in ("torch", "jax"):
            raise TrainmapError(f"KerasRecorder records on the backends torch and jax, this is {self._backend}")
        if model.steps_per_execution != 1:
            raise TrainmapError(f"steps_per_execution must be 1 to be recorded, got {model.steps_per_execution}")
        self.model, self.output, self._ops = model, output, keras.ops
        self._keys = keys_of(model, output)
        loss, shape = loss_of(model.loss, self._keys), shape_of(model, self._keys)
        self._sure, self._alone = are_probabilities(loss), shape is not None and shape[-1] == 1
        self._ids = None if ids is None else to_ids(ids)
        self._numbers = Numbers(self._ids)
        self._sweeping = asked(sweep, every, sample)
        self._intake = Intake(place, **source_of(place, self._sweeping, options), **options)
        if isinstance(place, Recorder):
            self._kind = place.kind
            if self._sure and self._kind in PREDICTED and place.as_ is None:
                raise TrainmapError(
                    "the loss takes what the model predicts for probabilities: Recorder(..., as_='probabilities')"
                )
        else:
            if not {"kind", "classes", "signals"} & set(options):
                self._intake.default(kind=kind_of(loss, shape))
            self._kind = self._intake.kind
            if self._intake.needs_classes:
                self._intake.default(classes=_classes(self._kind, length_of(shape)))
            if self._kind in PREDICTED:
                self._intake.default(ignore_index=ignored_by(loss), as_="probabilities" if self._sure else None)
            self._intake.default(ids=self._ids)
        self._ignores = "ignore_index" in options or ignored_by(loss) is not None
        self._late = OneLate(self._take, self._intake.refuse)
        self._swept: Any = ()
        self._steps = 0
        self._began = self._trained = False
        self._training = self._open = self._complained = False
        self._attach()

    @property
    def recorder(self) -> Recorder | None:
        """The recorder underneath; None between trainings, where ``place`` is a folder."""
        return self._intake.recorder

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out."""
        return self._intake.refused

    def with_ids(self, y: Any, ids: Any = None) -> Any:
        """``y`` with the ids of its rows beside it, for ``fit`` or as the second of a batch that a loader makes.

        Args:
            y: (N,) or (N, C) labels, or a list or dict of several outputs'.
            ids: (N,) of its rows; None: those of this object.

        Raises:
            TrainmapError: as many ids as labels are needed; strings and large numbers must be among ``ids`` of the
                ``KerasRecorder``; soft labels whose largest share is none of one class.
        """
        if isinstance(y, dict) and ID in y:
            return y
        rows = len(first(y))
        if ids is None:
            ids = np.arange(rows) if self._ids is None else self._ids
            numbers = ids if self._numbers.places is None else np.arange(rows)
        else:
            ids = to_ids(ids)
            numbers = self._numbers(ids)
        if len(ids) != rows:
            raise TrainmapError(f"{rows} labels need as many ids, got {len(ids)}")
        if self._kind == "classes":
            check_gold(part(y, self._keys), self._alone and not self._ignores)
        return {ID: np.asarray(numbers, np.int32), Y: y}

    # --- on the way through a step ---

    def _attach(self) -> None:
        self._before = {name: getattr(self.model, name) for name in METHODS}
        for name in METHODS:
            setattr(self.model, name, getattr(self, f"_{name}"))
        self.model.train_function = None  # one that was compiled before knows nothing of this

    def detach(self) -> None:
        """Let the model be as it was before."""
        for name in METHODS:
            self.model.__dict__.pop(name, None)
        self.model.train_function = None

    def __enter__(self) -> KerasRecorder:
        return self

    def __exit__(self, *_: Any) -> None:
        self.detach()

    def _train_step(self, *arguments: Any) -> Any:
        self._training = True
        try:
            return self._before["train_step"](*arguments)
        finally:
            self._training = False

    def _compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        given = {"x": x, "y": bare(y), "y_pred": y_pred, "sample_weight": bare(sample_weight)}
        if "training" in signature(self._before["compute_loss"]).parameters:
            given["training"] = training
        return self._before["compute_loss"](**given)

    def _compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The logs of a step and, in training, what is recorded of it: under a compiler these are names of values."""
        logs = self._before["compute_metrics"](x, bare(y), y_pred, sample_weight=bare(sample_weight))
        if not self._training or self._sweeping is not None:
            return logs
        if not (isinstance(y, dict) and ID in y):
            self._complain("the batches have no ids; give the labels as watch.with_ids(y, ids)")
            return logs
        return {**logs, TAKEN: (y[ID], *self._read(y_pred, y[Y]))}

    def _read(self, y_pred: Any, y: Any) -> tuple[Any, Any]:
        """What is recorded of predictions and labels."""
        ops, predicted, gold = self._ops, part(y_pred, self._keys), part(y, self._keys)
        if self._kind in ("classes", "tokens"):
            gold = self._number(gold, max(1, len(predicted.shape) - 1))
        if self._sure and self._kind in PREDICTED:
            each = self._kind == "multilabel" or predicted.shape[-1] == 1  # a probability by itself, not a share
            predicted = ops.clip(ops.cast(predicted, "float32"), LEAST, 1 - LEAST if each else 1.0)
            if self._kind == "tokens":
                predicted = predicted / ops.sum(predicted, axis=-1, keepdims=True)
        return predicted, gold

    def _number(self, gold: Any, axes: int) -> Any:
        """(B,) class numbers, (B, T) of tokens, of labels that may be a column, one-hot or floating."""
        if len(gold.shape) > axes and gold.shape[-1] == 1:
            gold = self._ops.squeeze(gold, -1)
        elif len(gold.shape) > axes:
            gold = self._ops.argmax(gold, axis=-1)
        return self._ops.cast(gold, "int32")

    def _make_train_function(self, force: bool = False) -> Any:
        known = self.model.train_function
        made = self._before["make_train_function"](force)
        if self.model.train_function is not known:
            self._step = self.model.train_function
            self.model.train_function = self._recorded_step
        return made

    def _recorded_step(self, *arguments: Any) -> Any:
        done = self._step(*arguments)
        logs = done[0] if isinstance(done, tuple) else done
        if (taken := logs.pop(TAKEN, None)) is not None:
            numbers, predicted, gold = taken
            if self._backend == "torch":
                predicted = predicted.detach()
                self._take(numbers, predicted, gold)
            else:
                self._late.put(numbers, predicted, gold)
        return done

    def _take(self, numbers: Any, predicted: Any, gold: Any) -> None:
        ids = numbers if self._numbers.places is None else self._ids[to_numpy(numbers, "ids")]  # type: ignore[index]
        if self._open:  # train_on_batch by itself has no epochs
            self._intake.take(ids, predicted, gold)

    def _complain(self, what: str) -> None:
        if not self._complained:
            log.warning("nothing is recorded: %s", what)
            self._complained = True

    # --- epochs ---

    def _fit(self, *arguments: Any, **named: Any) -> Any:
        import keras

        bound = signature(self._before["fit"]).bind(*arguments, **named)
        given = bound.arguments
        for name, training in (("x", True), ("validation_data", False)):
            if is_loader(given.get(name)):
                given[name] = self._loader(given[name], training)
        if given.get("y") is not None:
            given["y"] = self.with_ids(given["y"])
            if (weights := given.get("class_weight")) is not None and given.get("sample_weight") is None:
                split(given)  # weights of classes are of the training alone, those of examples of the validation too
                given["sample_weight"] = weights_of(part(given["y"][Y], self._keys), weights)
                given["class_weight"] = None  # Keras takes it for a plain array of labels alone
            if (weights := given.get("sample_weight")) is not None and bare(weights) is weights:
                given["sample_weight"] = {ID: np.zeros(len(given["y"][ID]), np.float32), Y: weights}
        if self._sweeping is not None:
            self._swept = SweptArrays(self._sweeping, given, self._ids, self.with_ids)
        each: dict[str, Any] = {"on_train_batch_end": self._end_step} if self._sweeping is not None else {}
        turns = keras.callbacks.LambdaCallback(
            on_epoch_begin=self._begin_epoch, on_epoch_end=self._end_epoch, on_test_begin=self._end_epoch, **each
        )
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            turns.set_model(self.model)
            callbacks.callbacks.insert(0, turns)
        else:
            given["callbacks"] = [
                turns,
                *(callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []),
            ]
        self._began = False
        try:
            return self._before["fit"](*bound.args, **bound.kwargs)
        finally:
            self._open = False
            self._late.drop()
            if self._began:
                self._intake.finish()

    @undrawn()
    def _loader(self, loader: Any, training: bool) -> Any:
        """A DataLoader whose batches bring their ids with the labels; of a validation without."""
        from trainmap.integrations.identified_batches import ids_of
        from trainmap.integrations.lightning_batches import like

        try:
            named = named_loader(loader, self._ids, training)
        except TrainmapError as error:
            self._complain(str(error))
            return loader
        if training and self._ids is None and (ids := ids_of(named.dataset)) is not None:
            self._numbers = Numbers(ids)
            self._ids = None if self._numbers.places is None else ids
        return named if named is loader else like(named, Beside(named.collate_fn, self._numbers if training else None))

    def _begin_epoch(self, epoch: int, logs: Any = None) -> None:
        if not self._began:
            again = epoch > 0 and not self._trained
            self._steps = int(self.model.optimizer.iterations) if again else 0
            ended = epoch if self._sweeping is None else self._sweeping.epoch(epoch, self._steps)
            self._intake.begin(ended, again=again)
            self._began = self._trained = True
        self._open = True

    def _end_step(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        if self._sweeping is not None and self._sweeping.due(self._steps):
            self._sweep()

    def _end_epoch(self, *_: Any) -> None:
        """Before the validation, where there is one, and else at the end."""
        if not self._open:
            return
        self._late.flush()
        self._open = False
        if self._sweeping is None:
            self._intake.end_epoch()
        elif self._sweeping.every is None:
            self._sweep()

    def _sweep(self) -> None:
        """Predictions for the examples of a sweep, by the weights as they stand."""
        if self._backend == "jax":
            self.model.jax_state_sync()  # within an epoch the weights are not the model's
        with unnoticed(self.model) if self._backend == "torch" else nullcontext():
            for ids, x, y in self._swept:
                found = self._intake.read(ids, "predict_on_batch in a sweep", partial(self._predicted, x, y))
                if found is not None:
                    self._intake.take(ids, *found)
        self._intake.end_epoch()

    def _predicted(self, x: Any, y: Any) -> tuple[Any, ...]:
        return tuple(self._ops.convert_to_numpy(one) for one in self._read(self.model.predict_on_batch(x), y))


def _classes(kind: str, outputs: int) -> int:
    """How many classes, or labels, so many outputs are for; one number is for two classes."""
    return outputs if kind == "multilabel" else max(2, outputs)
