"""How a recording of plain numbers, and one of regression, read a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_numpy
from trainmap.dynamics.class_reading import Batch
from trainmap.dynamics.manifest import Repeats
from trainmap.dynamics.plain_epoch import PlainEpoch, PlainMeans
from trainmap.dynamics.roster import Known, Learned, as_bits, as_targets
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.supervision import Signal, outside
from trainmap.errors import RecordingError, shown, some, unknown

Array = NDArray[Any]

LARGEST = float(np.finfo(np.float32).max)
ROUNDING = 1e-6  # above the ends of a range: what half precision or a mean leaves


class PlainReader:
    """What the kinds of plain columns have in common.

    Attributes:
        signals: the columns.
    """

    gold = 0
    by_name = False

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = list(signals)

    def epoch(self, rows: int, repeats: Repeats) -> PlainEpoch:
        return (PlainMeans if repeats == "mean" else PlainEpoch)(rows, [signal.name for signal in self.signals])

    def labels(self, labels: Any) -> Array:
        raise RecordingError("labels= go with classes and regression; hand the targets over with each batch")

    def on_device(self, outputs: Any) -> bool:
        return on_accelerator(outputs)

    def read(self, ids: Any, outputs: Any, targets: Any, roster: Known | Learned) -> Batch:
        """Both at once, for a batch in the CPU's memory."""
        ids = to_ids(ids)
        return self.settled(ids, self.measured(len(ids), outputs, targets), targets, roster)

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        raise NotImplementedError

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        raise NotImplementedError

    def batch(self, ids: Array, columns: Mapping[str, Array], labels: Array | None = None, ignored: int = 0) -> Batch:
        """Signals that can be kept, as a batch."""
        for signal in self.signals:
            check_values(ids, signal, columns[signal.name])
        values = np.stack([columns[signal.name] for signal in self.signals], axis=1)
        none = np.full(len(ids), UNKNOWN_LABEL) if labels is None else labels
        return Batch(ids, values, none, ignored)


def check_values(ids: Array, signal: Signal, values: Array) -> None:
    """Refuse what is no number of single precision, or lies beyond the ends of its signal.

    Raises:
        RecordingError: names the examples.
    """
    if len(values) and not (np.abs(values) <= LARGEST).all():
        bad = ~(np.abs(values) <= LARGEST)
        raise RecordingError(
            f"{signal.name} must be finite and within single precision; {bad.sum()} of {len(ids)} examples have "
            f"{values[bad][0]:.6g} (first: {some(ids[bad].tolist())}); has the training diverged?"
        )
    low, high = outside(signal)
    bad = (values < low - ROUNDING) | (values > high + ROUNDING)
    if bad.any():
        told = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"
        cure = "; a number of that name is a share: divide percentages by 100, or give it another name"
        raise RecordingError(
            f"{signal.name} must be {told}; {bad.sum()} of {len(ids)} examples have {values[bad][0]:.6g} (first: "
            f"{some(ids[bad].tolist())}){cure if signal.is_share else ''}"
        )


def one_each(value: Any, size: int, what: str) -> Any:
    """(B,) or (B, 1) real numbers as (B,) float64, or as a tensor where they lie on an accelerator.

    Raises:
        RecordingError: another shape, or no numbers.
    """
    if on_accelerator(value):
        kept = value.detach()
        _check_shape(tuple(kept.shape), size, what)
        if kept.dtype.is_complex:
            raise RecordingError(f"{what} must be real numbers, got {kept.dtype}")
        wide = kept.float() if kept.device.type == "mps" else kept.double()  # which knows no double precision
        return wide.reshape(-1).clone()
    array = to_numpy(value, what)
    if array.dtype.name.startswith(("bfloat16", "float8")):
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise RecordingError(f"{what} must be real numbers, one for each example, got {_kind_of(array, value)}")
    _check_shape(array.shape, size, what)
    return array.reshape(-1).astype(np.float64)


def _kind_of(array: Array, value: Any) -> str:
    return f"a {type(value).__name__}" if array.dtype == object and array.ndim == 0 else str(array.dtype)


def _check_shape(shape: tuple[int, ...], size: int, what: str) -> None:
    if shape in ((size,), (size, 1)):
        return
    cure = ""
    if shape == ():
        cure = (
            f"; a mean over a batch says nothing of an example: one value each (reduction='none'), or [{what}] of one"
        )
    elif len(shape) > 1 and shape[0] == size:
        cure = "; several numbers an example: name each as a signal of its own, kind='numbers'"
    raise RecordingError(f"a batch of {size} ids needs {what} of shape ({size},), got {shape}{cure}")


class NumberReader(PlainReader):
    """``update(ids, {"loss": (B,), ...})``, or each number by its name: ``update(ids, loss=..., reward=...)``."""

    by_name = True

    def on_device(self, outputs: Any) -> bool:
        values = outputs.values() if isinstance(outputs, Mapping) else [outputs]
        return any(on_accelerator(value) for value in values)

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        if targets is not None:
            raise RecordingError("a recording of plain numbers has no targets; hand over ids and numbers alone")
        names = [signal.name for signal in self.signals]
        if not isinstance(outputs, Mapping):
            if len(names) > 1 or outputs is None:
                raise RecordingError(
                    f"hand the numbers over by name, update(ids, {{{names[0]!r}: ...}}), or update(ids, "
                    f"{names[0]}=...); got a {type(outputs).__name__}"
                )
            outputs = {names[0]: outputs}
        if strange := [name for name in outputs if name not in names]:
            raise unknown_signal(strange[0], names)
        if lacking := [name for name in names if name not in outputs]:
            raise RecordingError(f"every signal is recorded with every batch; this one lacks {some(lacking, 9)}")
        return {name: one_each(outputs[name], size, name) for name in names}

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        del targets, roster
        return self.batch(to_ids(ids), values)


def unknown_signal(name: object, names: Sequence[str]) -> RecordingError:
    """The error for a number that this recording does not have."""
    said = unknown("signal", name, names) if isinstance(name, str) else f"a signal is named by text, got {shown(name)}"
    return RecordingError(f"{said}; signals are named when the Recorder is made")


class RegressionReader(PlainReader):
    """``update(ids, predictions, targets)``, (B,) or (B, 1) each.

    residual = prediction - target and loss = residual², from the numbers as they come, in double precision; a target is
    kept in single precision and does not change through a recording.
    """

    def labels(self, labels: Any) -> Array:
        """(N,) the bits of all targets, as they are given at the start."""
        array = to_numpy(labels, "labels")
        targets = one_each(array, array.shape[0] if array.ndim else 0, "labels")
        _check_targets(np.arange(len(targets)), targets)
        return as_bits(targets)

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        predictions = one_each(outputs, size, "predictions")
        if targets is None:
            return {"prediction": predictions}
        gold = one_each(targets, size, "targets")
        if on_accelerator(predictions) and not on_accelerator(gold):
            import torch

            gold = torch.as_tensor(gold, dtype=predictions.dtype).to(predictions.device, non_blocking=True)
        elif on_accelerator(gold):
            gold = gold.to(predictions.dtype) if on_accelerator(predictions) else one_each(gold.cpu(), size, "targets")
        return {"prediction": predictions, "target": gold, "residual": predictions - gold}

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        ids, prediction = to_ids(ids), np.asarray(values["prediction"], np.float64)
        if targets is None and "target" not in values:
            bits = roster.gold(ids)
            residual = prediction - as_targets(bits)
        else:
            gold = np.asarray(values["target"], np.float64)
            _check_targets(ids, gold)
            bits, residual = as_bits(gold), np.asarray(values["residual"], np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            columns = {"prediction": prediction, "residual": residual, "loss": residual * residual}
        return self.batch(ids, columns, bits)


def _check_targets(ids: Array, targets: Array) -> None:
    bad = ~(np.abs(targets) <= LARGEST)
    if bad.any():
        raise RecordingError(
            f"targets must be finite numbers of single precision; {bad.sum()} of {len(ids)} examples have "
            f"{targets[bad][0]:.6g} (first: {some(ids[bad].tolist())}); leave examples without a target out"
        )
