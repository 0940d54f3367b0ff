"""What a training loop hands over (torch, numpy, JAX, TensorFlow, lists) as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import RecordingError

Array = NDArray[Any]


def on_accelerator(value: Any) -> bool:
    """A torch tensor that does not live in the CPU's memory; reading it would make the CPU wait for the device."""
    return hasattr(value, "detach") and value.device.type != "cpu"


def to_numpy(value: Any, what: str) -> Array:
    """``value`` as a numpy array, without a copy where it can be had.

    Takes numpy, torch tensors on any device (with or without gradient, bfloat16 as float32), anything with
    ``__array__`` or DLPack, and plain sequences. ``what`` names it in the error.
    """
    if type(value) is np.ndarray:
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return value.numpy()
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise RecordingError(f"{what} must be an array, got a ragged {type(value).__name__}: {error}") from error
    if array.dtype == object:
        raise RecordingError(f"{what} must be an array of numbers or strings, got {type(value).__name__} of objects")
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    return array


def to_ids(value: Any) -> Array:
    """Ids as a one-dimensional array of int64 or of strings; anything else is refused, nothing is cast."""
    array = to_numpy(value, "ids")
    if array.ndim != 1:
        raise RecordingError(f"ids must have one dimension, got shape {array.shape}")
    if array.dtype == np.int64 or array.dtype.kind == "U":
        return array
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise RecordingError(f"ids must fit in 64-bit signed integers, got {array.max()}")
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "T":
        return array.astype(str)
    if array.size == 0:
        return array.astype(np.int64)
    raise RecordingError(f"ids must be integers or strings, got {array.dtype}; an id is a name, never a measurement")


def to_labels(value: Any) -> Array:
    """Gold labels as a one-dimensional array of integers."""
    array = to_numpy(value, "labels")
    if array.ndim != 1:
        raise RecordingError(
            f"labels must be class indices with one dimension, got shape {array.shape}; "
            "soft or one-hot labels have no gold class: hand over the index"
        )
    if array.dtype.kind not in "iu" and array.size:
        raise RecordingError(f"labels must be integer class indices, got {array.dtype}")
    return array
