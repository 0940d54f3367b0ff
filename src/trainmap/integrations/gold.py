"""Labels as a framework has them, numbers or words, as the class numbers that are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, shown, some

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Gold:
    """Class numbers and what they are called.

    Attributes:
        labels: (N,) int64, 0 to C - 1.
        classes: (C,) their names, as the model has them.
    """

    labels: NDArray[np.int64]
    classes: Array


def gold_of(y: Any, classes: Any) -> Gold:
    """The number of each label among the classes of a model.

    Args:
        y: (N,) labels; a column of N x 1 is one of N.
        classes: (C,) distinct, at least 2, in the order of the model's predictions.

    Raises:
        TrainmapError: labels of several columns, fewer than two classes, a label that is none of them.
    """
    given, names = np.asarray(y), np.asarray(classes)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1:
        raise TrainmapError(f"labels must be (N,), one class for each example, got shape {given.shape}")
    if len(names) < 2:
        raise TrainmapError(f"the model knows {len(names)} class ({some(names.tolist())}); at least two are needed")
    number = {name: place for place, name in enumerate(names.tolist())}
    places = [number.get(label, -1) for label in given.tolist()]
    if -1 in places:
        strange = given[places.index(-1)]
        raise TrainmapError(
            f"label {shown(strange.item() if hasattr(strange, 'item') else strange)} is none of the model's classes: "
            f"{some(names.tolist(), 10)}"
        )
    return Gold(np.array(places, np.int64), names)
