"""What a compiled Keras model and its labels tell of the kind of recording that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_numpy
from trainmap.errors import TrainmapError, some

Array = NDArray[Any]

ID, Y = "trainmap_id", "y"  # what ``y`` is made of, on its way through a step
SQUARES = {
    "mse", "meansquarederror", "mae", "meanabsoluteerror", "mape", "meanabsolutepercentageerror", "msle",
    "meansquaredlogarithmicerror", "huber", "logcosh",
}  # fmt: skip
"""Losses of numbers."""


def bare(y: Any) -> Any:
    """Labels, or weights, without what came with them."""
    return y[Y] if isinstance(y, dict) and ID in y else y


def keys_of(model: Any, output: str | int | None) -> tuple[str | int, ...]:
    """What one output of several may be found under: its name and its place, whichever was said."""
    names = list(getattr(model, "output_names", None) or ())
    if isinstance(output, str) and output in names:
        return output, names.index(output)
    if isinstance(output, int) and 0 <= output < len(names):
        return output, names[output]
    return () if output is None else (output,)


def part(value: Any, keys: tuple[str | int, ...]) -> Any:
    """One output of several.

    Raises:
        TrainmapError: there are several, and none was said, or another.
    """
    if not isinstance(value, dict | list | tuple):
        return value
    for key in keys:
        try:
            return value[key]  # type: ignore[index,call-overload]
        except (KeyError, IndexError, TypeError):
            continue
    names = list(value) if isinstance(value, dict) else range(len(value))
    got = repr(keys[0]) if keys else None
    raise TrainmapError(f"the model has several outputs: pass output=, one of {some(names)}; got {got}")


def shape_of(model: Any, keys: tuple[str | int, ...]) -> tuple[int | None, ...] | None:
    """The shape of an output; None where the model does not tell."""
    shape = getattr(model, "output_shape", None) if model.built else None
    if isinstance(shape, dict):
        shape = part(shape, keys)
    elif isinstance(shape, list | tuple) and shape and isinstance(shape[0], list | tuple):  # of several, in their order
        named = dict(zip(getattr(model, "output_names", ()), shape, strict=False))
        shape = part(named if not keys or isinstance(keys[0], str) else shape, keys)
    return tuple(shape) if isinstance(shape, list | tuple) else None


def length_of(shape: tuple[int | None, ...] | None) -> int:
    """How many numbers an output has for an example, or a token of it.

    Raises:
        TrainmapError: the model does not tell.
    """
    if shape is None or not isinstance(shape[-1], int):
        raise TrainmapError("the model does not tell the length of its output; build it first, or pass classes=")
    return shape[-1]


def kind_of(loss: Any, shape: tuple[int | None, ...] | None) -> str | None:
    """The kind of recording that a loss and the shape of what it is of make; None where they make none but classes.

    A binary cross-entropy of several outputs is of several labels; a cross-entropy of a sequence of classes is of
    tokens; a squared or absolute error of one output is of regression.
    """
    name = _name(loss)
    if shape is None or len(shape) < 2:
        return None
    if len(shape) == 2 and shape[-1] == 1 and name in SQUARES:
        return "regression"
    if len(shape) == 2 and name.startswith("binary") and "crossentropy" in name and shape[-1] != 1:
        return "multilabel"
    return "tokens" if len(shape) == 3 and "categorical" in name and "crossentropy" in name else None


def are_probabilities(loss: Any) -> bool:
    """Whether the loss takes what the model predicts for probabilities: those of Keras say so, others do not tell."""
    return "crossentropy" in _name(loss) and not getattr(loss, "from_logits", False)


def ignored_by(loss: Any) -> int | None:
    """The class whose examples a loss leaves out."""
    ignored = getattr(loss, "ignore_class", None)
    return None if ignored is None else int(ignored)


def _name(loss: Any) -> str:
    if not isinstance(loss, str) and not callable(loss):
        return ""
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    return {"bce": "binarycrossentropy"}.get(name, name.replace("_", "").lower())


def loss_of(loss: Any, keys: tuple[str | int, ...]) -> Any:
    """The loss of one output."""
    return part(loss, keys) if isinstance(loss, dict | list | tuple) else loss


def check_gold(y: Any, alone: bool) -> None:
    """Refuse labels that tell no class, while they are at hand.

    Args:
        y: of the training data.
        alone: the output is one number, which is for two classes.

    Raises:
        TrainmapError: says of which kind they may be.
    """
    gold = to_numpy(y, "labels")
    if gold.ndim == 2 and gold.shape[1] > 1:
        tied = ((gold == gold.max(axis=1, keepdims=True)).sum(axis=1) > 1).nonzero()[0]
        if len(tied):
            kind = "multilabel" if np.isin(gold, (0, 1)).all() else "tokens"
            raise TrainmapError(
                f"{len(tied)} soft labels have no one largest share (first: row {tied[0]}); where they are "
                f"{'several labels' if kind == 'multilabel' else 'tokens'} an example say kind={kind!r}"
            )
    elif gold.dtype.kind == "f" and (strange := (gold != np.floor(gold)).reshape(-1).nonzero()[0]).size:
        raise TrainmapError(
            f"labels must be whole numbers or one-hot, got {gold.reshape(-1)[strange[0]]:g}; where they are numbers "
            "say kind='regression'"
        )
    elif gold.dtype.kind not in "iufb":
        raise TrainmapError(f"labels must be numbers of classes, as Keras takes them, got {gold.dtype}")
    elif alone and gold.size and not (known := np.isin(gold, (0, 1))).all():
        raise TrainmapError(
            f"one output is for two classes, 0 and 1 (Keras' hinge losses take these too), got a label "
            f"{gold[~known].reshape(-1)[0]:g}; where labels are numbers say kind='regression'"
        )


def split(given: dict[str, Any]) -> None:
    """Part the last examples off for validation, as ``validation_split`` does."""
    import keras

    share = given.pop("validation_split", 0.0)
    if not share or given.get("validation_data") is not None:
        return
    whole, rows = (given["x"], given["y"]), len(first(given["y"]))
    last = math.floor(rows * (1.0 - share))
    given["x"], given["y"] = (keras.tree.map_structure(lambda part: part[:last], one) for one in whole)
    given["validation_data"] = keras.tree.map_structure(lambda part: part[last:], whole)


def weights_of(y: Any, weights: Mapping[int, float]) -> Array:
    """(N,) the weight of each example's class, as Keras' ``class_weight`` means it: 1 for a class that is not named."""
    gold = to_numpy(y, "labels")
    gold = gold.argmax(axis=1) if gold.ndim == 2 and gold.shape[1] > 1 else gold.reshape(len(gold)).astype(np.int64)
    return np.array([weights.get(label, 1.0) for label in gold.tolist()], np.float32)


def first(y: Any) -> Any:
    """The first of the arrays that labels are made of."""
    import keras

    return next(iter(keras.tree.flatten(y) or ()))
