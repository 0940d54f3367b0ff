"""The arrays that a sweep of a Keras model passes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError
from trainmap.integrations.sweeping import Sweeping

Array = NDArray[Any]
BATCH = 256  # examples that are predicted at once; what they need is less than what a training step needs


class SweptArrays:
    """Batches (ids, x, y) of the examples of a sweep.

    Args:
        sweeping: what was asked for.
        given: the arguments of ``fit``.
        ids: (N,) of the rows that ``fit`` is given; None: 0 to N - 1.
        check: of labels with ids, as ``KerasRecorder.with_ids``.

    Raises:
        TrainmapError: no arrays; labels, inputs and ids of different lengths.
    """

    def __init__(
        self, sweeping: Sweeping, given: Mapping[str, Any], ids: Array | None, check: Callable[..., Any]
    ) -> None:
        if sweeping.data is True:
            x, y = given["x"], given.get("y")
            y = y["y"] if isinstance(y, dict) and "trainmap_id" in y else y
        else:
            if not isinstance(sweeping.data, tuple | list) or len(sweeping.data) not in (2, 3):
                raise TrainmapError(f"sweep must be True, (x, y) or (x, y, ids), got {type(sweeping.data).__name__}")
            x, y, *own = sweeping.data
            ids = to_ids(own[0]) if own else ids
        if y is None:
            raise TrainmapError("fit was given no arrays to sweep over; say sweep=(x, y), or (x, y, ids)")
        lengths = {len(one) for one in [*_leaves(x), *_leaves(y), *([] if ids is None else [ids])]}
        if len(lengths) > 1:
            raise TrainmapError(f"inputs, labels and ids of a sweep must be of one length, got {sorted(lengths)}")
        self._x, self._y = x, y
        self._ids = np.arange(lengths.pop()) if ids is None else ids
        self._places = sweeping.places(self._ids)

    def __iter__(self) -> Iterator[tuple[Array, Any, Any]]:
        import keras

        for start in range(0, len(self._places), BATCH):
            at = self._places[start : start + BATCH]
            x, y = (keras.tree.map_structure(lambda part: part[at], whole) for whole in (self._x, self._y))  # noqa: B023
            yield self._ids[at], x, y


def _leaves(value: Any) -> list[Any]:
    import keras

    return list(keras.tree.flatten(value))
