"""Keras 3: the ids go with the labels into the compiled step, and come out of it beside the predictions."""

from __future__ import annotations

import logging
import math
import os
from contextlib import nullcontext
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.refused import Refused
from trainmap.errors import TrainmapError, some
from trainmap.integrations.intake import Intake
from trainmap.integrations.jax_recorder import OneLate
from trainmap.integrations.keras_sweep import SweptArrays
from trainmap.integrations.sweeping import asked, source_of, unnoticed

Array = NDArray[Any]

ID, Y = "trainmap_id", "y"  # what ``y`` is made of, on its way through a step
TAKEN = "trainmap"  # where a step's logs carry what is recorded
LEAST = 1e-7  # Keras' own losses take a probability below it for this
METHODS = ("fit", "train_step", "compute_loss", "compute_metrics", "make_train_function")
INT32 = np.iinfo(np.int32)

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
            model's output, ``as_`` follows from the loss (``from_logits``) and ``on_error`` is "warn", if not said.

    Attributes:
        recorder: the recorder underneath; None between trainings, where ``place`` is a folder.
        refused: (batches, examples) that ``on_error="warn"`` has left out.

    An epoch is written before its validation begins; validation is not recorded. Labels are numbers or one-hot (the
    class of the largest share). A probability below 1e-7 is recorded as 1e-7, as Keras' losses take it. The first
    ``fit`` with ``initial_epoch=k`` goes on at epoch k of the recording; a later ``fit`` goes on after the one before.
    What breaks off in the middle of an epoch leaves the epochs before it.

    Batches that a loader makes (``keras.utils.PyDataset``, torch's ``DataLoader``, a generator) bring their ids with
    the labels: ``watch.with_ids(y, ids)``, or by hand ``{"trainmap_id": ids, "y": y}`` with integers of 32 bits.

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
        self._sure = _are_probabilities(model.loss, output)
        self._ids = None if ids is None else to_ids(ids)
        self._places = None if _fits(self._ids) else {name: at for at, name in enumerate(_names(self._ids))}
        self._sweeping = asked(sweep, every, sample)
        self._intake = Intake(place, **source_of(place, self._sweeping, options), **options)
        if isinstance(place, Recorder):
            self._of_classes = getattr(place, "kind", "classes") == "classes"
        else:
            self._of_classes = options.get("kind", "classes") == "classes"
            if self._of_classes and "classes" not in options:
                self._intake.default(classes=_classes(model, output))
            self._intake.default(ids=self._ids, as_="probabilities" if self._sure and self._of_classes else None)
        self._late = OneLate(self._take)
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
        rows = len(_first(y))
        if ids is None:
            ids = np.arange(rows) if self._ids is None else self._ids
            numbers = np.arange(rows) if self._places is not None else ids
        else:
            ids = to_ids(ids)
            numbers = self._numbers(ids)
        if len(ids) != rows:
            raise TrainmapError(f"{rows} labels need as many ids, got {len(ids)}")
        if self._of_classes:
            _check_gold(_part(y, self.output))
        return {ID: np.asarray(numbers, np.int32), Y: y}

    def _numbers(self, ids: Array) -> Array:
        """What stands for these ids in a step, which has integers of 32 bits alone."""
        if self._places is None:
            if not _fits(ids):
                raise TrainmapError(
                    f"ids must be integers of 32 bits, got {some(ids.tolist())}; pass all of them to the KerasRecorder "
                    "as ids=, then any will do"
                )
            return ids
        strange = [name for name in _names(ids) if name not in self._places]
        if strange:
            raise TrainmapError(f"{len(strange)} ids are none of the KerasRecorder's ids (first: {some(strange)})")
        return np.array([self._places[name] for name in _names(ids)])

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
        given = {"x": x, "y": _bare(y), "y_pred": y_pred, "sample_weight": _bare(sample_weight)}
        if "training" in signature(self._before["compute_loss"]).parameters:
            given["training"] = training
        return self._before["compute_loss"](**given)

    def _compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The logs of a step and, in training, what is recorded of it: under a compiler these are names of values."""
        logs = self._before["compute_metrics"](x, _bare(y), y_pred, sample_weight=_bare(sample_weight))
        if not self._training or self._sweeping is not None:
            return logs
        if not (isinstance(y, dict) and ID in y):
            self._complain("the batches have no ids; give the labels as watch.with_ids(y, ids)")
            return logs
        return {**logs, TAKEN: (y[ID], *self._read(y_pred, y[Y]))}

    def _read(self, y_pred: Any, y: Any) -> tuple[Any, Any]:
        """What is recorded of predictions and labels."""
        predicted, gold = _part(y_pred, self.output), _part(y, self.output)
        if self._of_classes:
            gold = self._number(gold)
            if self._sure:
                predicted = self._ops.clip(predicted, LEAST, 1 - LEAST if predicted.shape[-1] == 1 else 1.0)
        return predicted, gold

    def _number(self, gold: Any) -> Any:
        """(B,) class numbers of labels that may be a column, one-hot or floating."""
        if len(gold.shape) > 1 and gold.shape[-1] == 1:
            gold = self._ops.squeeze(gold, -1)
        elif len(gold.shape) > 1:
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
        ids = numbers if self._places is None else self._ids[to_numpy(numbers, "ids")]  # type: ignore[index]
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
        if given.get("y") is not None:
            given["y"] = self.with_ids(given["y"])
            if (weights := given.get("class_weight")) is not None and given.get("sample_weight") is None:
                _split(given)  # weights of classes are of the training alone, those of examples of the validation too
                given["sample_weight"] = _weights(_part(given["y"][Y], self.output), weights)
                given["class_weight"] = None  # Keras takes it for a plain array of labels alone
            if (weights := given.get("sample_weight")) is not None and _bare(weights) is weights:
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
                predicted, gold = self._read(self.model.predict_on_batch(x), y)
                self._intake.take(ids, *(self._ops.convert_to_numpy(one) for one in (predicted, gold)))
        self._intake.end_epoch()


# --- what a model and its labels tell ---


def _bare(y: Any) -> Any:
    """Labels, or weights, without what came with them."""
    return y[Y] if isinstance(y, dict) and ID in y else y


def _part(value: Any, output: str | int | None) -> Any:
    """One output of several."""
    if isinstance(value, dict | list | tuple):
        try:
            if output is not None:
                return value[output]  # type: ignore[index,call-overload]
        except (KeyError, IndexError, TypeError):
            pass
        names = list(value) if isinstance(value, dict) else range(len(value))
        raise TrainmapError(f"the model has several outputs: pass output=, one of {some(names)}; got {output!r}")
    return value


def _classes(model: Any, output: str | int | None) -> int:
    """How many classes the length of the output tells; one number is for two."""
    shape = getattr(model, "output_shape", None) if model.built else None
    if isinstance(shape, dict):
        shape = _part(shape, output)
    elif isinstance(shape, list | tuple) and shape and isinstance(shape[0], list | tuple):  # of several, in their order
        named = dict(zip(getattr(model, "output_names", ()), shape, strict=False))
        shape = tuple(_part(named if isinstance(output, str) or output is None else shape, output))
    if not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        raise TrainmapError("the model does not tell the length of its output; build it first, or pass classes=")
    return max(2, shape[-1])


def _are_probabilities(loss: Any, output: str | int | None) -> bool:
    """Whether the loss takes what the model predicts for probabilities: those of Keras say so, others do not tell."""
    if isinstance(loss, dict | list | tuple):
        loss = _part(loss, output)
    if isinstance(loss, str) or callable(loss):
        name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
        if "crossentropy" in name.replace("_", "").lower():
            return not getattr(loss, "from_logits", False)
    return False


def _first(y: Any) -> Any:
    """The first of the arrays that labels are made of."""
    import keras

    return next(iter(keras.tree.flatten(y) or ()))


def _fits(ids: Array | None) -> bool:
    """Whether a step can carry these ids as they are."""
    if ids is None or not len(ids):
        return True
    return ids.dtype.kind == "i" and bool(ids.min() >= INT32.min and ids.max() <= INT32.max)


def _names(ids: Array | None) -> list[Any]:
    return [] if ids is None else ids.tolist()


def _check_gold(y: Any) -> None:
    """Refuse labels that tell no class, while they are at hand."""
    gold = to_numpy(y, "labels")
    if gold.ndim == 2 and gold.shape[1] > 1:
        tied = ((gold == gold.max(axis=1, keepdims=True)).sum(axis=1) > 1).nonzero()[0]
        if len(tied):
            raise TrainmapError(f"{len(tied)} soft labels have no one largest share (first: row {tied[0]})")
    elif gold.dtype.kind == "f" and (strange := (gold != np.floor(gold)).reshape(-1).nonzero()[0]).size:
        raise TrainmapError(f"labels must be whole numbers or one-hot, got {gold.reshape(-1)[strange[0]]:g}")
    elif gold.dtype.kind not in "iufb":
        raise TrainmapError(f"labels must be numbers of classes, as Keras takes them, got {gold.dtype}")


def _split(given: dict[str, Any]) -> None:
    """Part the last examples off for validation, as ``validation_split`` does."""
    import keras

    share = given.pop("validation_split", 0.0)
    if not share or given.get("validation_data") is not None:
        return
    whole, rows = (given["x"], given["y"]), len(_first(given["y"]))
    last = math.floor(rows * (1.0 - share))
    given["x"], given["y"] = (keras.tree.map_structure(lambda part: part[:last], one) for one in whole)
    given["validation_data"] = keras.tree.map_structure(lambda part: part[last:], whole)


def _weights(y: Any, weights: dict[int, float]) -> Array:
    """(N,) the weight of each example's class, as Keras' ``class_weight`` means it: 1 for a class that is not named."""
    gold = to_numpy(y, "labels")
    gold = gold.argmax(axis=1) if gold.ndim == 2 and gold.shape[1] > 1 else gold.reshape(len(gold)).astype(np.int64)
    return np.array([weights.get(label, 1.0) for label in gold.tolist()], np.float32)
