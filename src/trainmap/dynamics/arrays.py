"""What a training loop hands over (torch, numpy, JAX, TensorFlow, lists) as numpy arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import RecordingError, cause, shown, some

Array = NDArray[Any]

INT64 = np.dtype(np.int64)
LONGEST_ID = 1000  # characters; numpy gives every id the room of the longest, 4 bytes a character


def on_accelerator(value: Any) -> bool:
    """A torch tensor that does not live in the CPU's memory; reading it would make the CPU wait for the device."""
    return not getattr(value, "is_cpu", True)


def to_numpy(value: Any, what: str) -> Array:
    """``value`` as a numpy array, without a copy where it can be had.

    Takes numpy, torch tensors on any device (with or without gradient; bfloat16 and narrower as float32), anything
    with ``__array__`` or DLPack, and plain sequences. ``what`` names it in the error.
    """
    if type(value) is np.ndarray:
        return value
    torch = sys.modules.get("torch")  # a tensor exists only where torch was imported
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(value, what)
    if np.ma.isMaskedArray(value):
        raise RecordingError(f"{what} must have no masked entries; leave those examples out of the batch")
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (ValueError, TypeError, BufferError, RuntimeError) as error:
        kind = type(value).__name__
        if isinstance(value, list | tuple) and any(type(item).__name__ == "Tensor" for item in value):
            raise RecordingError(
                f"{what} must be an array, got a {kind} of tensors that is none; pass torch.stack({what}) of one for "
                f"each example, torch.cat({what}) of batches, or the one that holds the {what}: output[0]"
            ) from error
        raise RecordingError(f"{what} must be an array; numpy cannot read this {kind}: {cause(error)}") from error


def _from_torch(tensor: Any, what: str) -> Array:
    try:
        return tensor.numpy(force=tensor.requires_grad)
    except (TypeError, RuntimeError):
        pass  # it lives elsewhere, or has a dtype that numpy lacks: bfloat16, float8
    try:
        wide = tensor.float() if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4 else tensor
        return wide.numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise RecordingError(
            f"{what} must be a dense tensor with values, got {tensor.dtype} on {tensor.device}: {cause(error)}"
        ) from error


def to_ids(value: Any) -> Array:
    """Ids as a one-dimensional array of int64 or of strings; anything else is refused, nothing is cast."""
    array = to_numpy(value, "ids")
    if array.ndim != 1:
        if array.dtype == object and isinstance(value, Iterable):
            raise RecordingError(f"ids must have one dimension, got a {type(value).__name__}; pass list(ids)")
        raise RecordingError(f"ids must have one dimension, got shape {array.shape}")
    kind = array.dtype.kind
    if array.dtype == INT64:
        return array
    if kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise RecordingError(f"ids must fit in 64-bit signed integers, got {array.max()}")
    if kind in "iu" or array.size == 0:
        return array.astype(np.int64)
    if kind in "UTO":
        return _to_names(array, value)
    cure = "an id is a name, never a measurement"
    if kind == "f" and _whole(array):
        cure += ": whole numbers come as integers, ids.astype('int64')"
    elif kind in "mMS":
        cure += ": as text, ids.astype(str)" if kind != "S" else ": bytes as text, np.asarray(ids).astype(str)"
    raise RecordingError(f"ids must be integers or strings, got {array.dtype}; {cure}")


def _whole(array: Array) -> bool:
    return bool(np.isfinite(array).all() and (array == np.floor(array)).all())


def _to_names(array: Array, value: Any) -> Array:
    """String ids; numpy drops NUL characters at the end of a string, so those could not be told apart."""
    if array.dtype.kind == "U" and not isinstance(value, list | tuple):
        return _storable(array)
    given = value if isinstance(value, list | tuple) else array.tolist()
    wrong = [name for name in given if not isinstance(name, str)]
    if wrong:
        raise RecordingError(
            f"ids must be an array of integers or of strings, got {shown(wrong[0])} among them; str() of each"
        )
    nul = [name for name in given if name.endswith("\0")]
    if nul:
        raise RecordingError(f"string ids must not end in a NUL character, got {some(nul)}")
    return _storable(np.array(given, dtype=np.str_))


def _storable(names: Array) -> Array:
    """Refuse what UTF-8 cannot write, and one long id that all the others would have to be as wide as."""
    if names.dtype.itemsize > 4 * LONGEST_ID and (length := np.strings.str_len(names)).max() > LONGEST_ID:
        long = str(names[length.argmax()])
        raise RecordingError(
            f"string ids must have at most {LONGEST_ID} characters, got {len(long)}: {shown(long[:20])}..."
        )
    codes = np.ascontiguousarray(names, names.dtype.newbyteorder("=")).view(np.uint32)
    if ((codes - 0xD800) < 0x800).any():  # unsigned: whatever is below is beyond
        bad = [name for name in names.tolist() if any("\ud800" <= letter <= "\udfff" for letter in name)]
        raise RecordingError(f"string ids must be text that UTF-8 can write, got {', '.join(map(ascii, bad[:3]))}")
    return names


def to_logits(value: Any) -> Array:
    """Logits as an array of real numbers, of any shape."""
    array = to_numpy(value, "logits")
    if array.dtype.kind in "fiu":
        return array
    if array.dtype.name.startswith(("bfloat16", "float8")):  # numpy has no such dtypes, JAX brings them
        return array.astype(np.float32)
    raise RecordingError(f"logits must be real numbers, got {_no_numbers(array, value)}")


def _no_numbers(array: Array, value: Any) -> str:
    """What came in place of logits, and what to do."""
    if hasattr(value, "logits"):
        return f"a {type(value).__name__}; pass output.logits"
    if isinstance(value, dict):
        return "a dict; pass its logits" + (", output['logits']" if "logits" in value else "")
    if array.dtype == object and array.ndim == 0:
        return f"a {type(value).__name__}"
    return str(array.dtype)


def to_labels(value: Any) -> Array:
    """Gold labels as a one-dimensional array of int64."""
    array = to_numpy(value, "labels")
    if array.ndim == 0:
        if array.dtype == object and isinstance(value, Iterable):
            raise RecordingError(f"labels must be a sequence, got a {type(value).__name__}; pass list(labels)")
        raise RecordingError(f"labels must be one class index for each example, got {shown(value)}; pass [label]")
    if array.ndim != 1:
        raise RecordingError(
            f"labels must be class indices with one dimension, got shape {array.shape}; {_flat_labels(array)}"
        )
    if array.dtype == INT64:
        return array
    if array.dtype.kind not in "iu" and array.size:
        raise RecordingError(f"labels must be integer class indices, got {_named_labels(array)}")
    return array.astype(np.int64)


def _flat_labels(array: Array) -> str:
    if array.ndim == 2 and array.shape[1] == 1:
        if array.dtype.kind == "f" and not _whole(array):
            return "numbers to be predicted go with Recorder(path, kind='regression')"
        return "take the column: labels[:, 0]"
    if array.ndim == 2 and array.dtype.kind in "iufb" and ((array == 0) | (array == 1)).all():
        if array.size and (array.sum(axis=1) == 1).all():
            return "one-hot labels need a column for each class; or hand over the index, labels.argmax(axis=1)"
        if array.size and array.sum(axis=1).max() > 1:
            return "several labels an example have no one gold class: Recorder(path, classes=L, kind='multilabel')"
    return "labels with a share for each class need a column for each; or hand over the index"


def _named_labels(array: Array) -> str:
    """What came in place of class indices, and what to do."""
    kind, first = array.dtype.kind, shown(array[0])
    unknown = [item for item in array.tolist() if item is None or item != item] if kind in "fO" else []
    if unknown:
        return f"{array.dtype} ({shown(unknown[0])}): {len(unknown)} of {len(array)} have no label; drop these rows"
    if kind == "O" and all(isinstance(name, str) for name in array.tolist()):
        kind = "U"
    if kind in "UT":
        return f"text ({first}); name the classes, Recorder(path, classes=[...their names in order])"
    if kind == "b":
        return "bool; hand over 0 and 1: labels.astype(int), labels.long() in torch"
    if kind == "f" and _whole(array):
        return f"{array.dtype}; cast them: labels.astype(int), labels.long() in torch"
    if kind == "f":
        return f"{array.dtype} ({first}); numbers to be predicted go with Recorder(path, kind='regression')"
    return f"{array.dtype} ({first})"


def check_shapes(size: int, classes: int, logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """A batch of ``size`` ids has (size, classes) logits and (size,) labels.

    Raises:
        RecordingError: it has not; says what to do where the shape tells what was meant.
    """
    if logits == (size, classes) and labels == (size,):
        return
    cure = ""
    if logits in ((size,), (size, 1)):
        cure = "; one logit an example is for classes=2"
    elif logits in ((size, classes, 1), (size, 1, classes)):
        cure = "; take the axis of length 1 away: logits.squeeze()"
    elif logits == (1, size, classes) and size > 1:
        cure = "; a list or tuple of one batch? pass that batch: output[0]"
    elif len(logits) > 2 and labels in (logits[:2], (size, logits[-1])):
        cure = "; labels of tokens go with kind='tokens', or with per='token' beside it, an example for each token"
    elif len(logits) > 3:
        cure = "; maps of labels (segmentation) are not recorded: hand over a loss for each image, kind='numbers'"
    elif len(logits) == 3 and classes in logits[1:]:
        cure = (
            "; one row for each example: a sequence with one label is pooled first; for a label a token kind='tokens'"
        )
    elif logits == (classes,) and size == 1:
        cure = "; a single example is a batch of one: logits[None]"
    elif logits == (classes, size):
        cure = "; turn them: logits.T"
    elif len(logits) == 2 and logits[0] == size and logits[1] != classes:
        cure = f"; the network has {logits[1]} outputs, the recorder classes={classes}: they must be the same"
    raise RecordingError(
        f"a batch of {size} ids needs logits of shape ({size}, {classes}) and labels of shape ({size},), "
        f"got {logits} and {labels}{cure}"
    )
