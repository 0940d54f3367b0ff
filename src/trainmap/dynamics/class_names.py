"""How the labels of a recording of classes are read: class numbers, names of classes, rows to be ignored, shares.

A gold label is one class. Where shares come in its place (one-hot rows, soft labels, mixup) gold is the class with the
largest share; an example whose largest share two classes have has none, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_labels, to_numpy
from trainmap.errors import RecordingError, shown, some, unknown

Array = NDArray[Any]

SUM_TOLERANCE = 1e-2  # of shares in half precision


@dataclass(frozen=True)
class ClassLabels:
    """Labels as a caller has them.

    Attributes:
        classes: C.
        names: of the classes, C texts or C whole numbers; a class's number is its place. Labels are then looked up:
            texts among texts, whole numbers among whole numbers; whole numbers beside texts are class numbers. None:
            they are class numbers.
        ignore: the label of rows that are left out.
    """

    classes: int
    names: tuple[str | int, ...] | None = None
    ignore: int | None = None

    @property
    def plain(self) -> bool:
        """Class numbers alone, none of them to be ignored."""
        return self.names is None and self.ignore is None

    @cached_property
    def place(self) -> dict[str | int, int]:
        return {name: place for place, name in enumerate(self.names or ())}

    def read(self, labels: Any) -> tuple[Array, Array | None]:
        """(B,) int64 class numbers, and which rows they are of, (B,) bool; None for all.

        Raises:
            RecordingError: names that no class has, shares without a largest one, what cannot be labels.
        """
        array = to_numpy(labels, "labels")
        if array.ndim == 2 and array.shape[1] == self.classes and array.dtype.kind in "fiub":
            return _largest_share(array), None
        return (to_labels(array if array.ndim else labels), None) if self.plain else self._looked_up(array)

    def _looked_up(self, array: Array) -> tuple[Array, Array | None]:
        keep = None
        if self.ignore is not None and array.ndim == 1 and array.dtype.kind in "iu":
            kept = array != self.ignore
            if not kept.all():
                array, keep = array[kept], kept
        if self.names is None or array.ndim != 1 or not array.size:
            return to_labels(array), keep
        texts = isinstance(self.names[0], str)
        if texts and array.dtype.kind in "iu":
            return to_labels(array), keep
        found, number_of = np.empty(len(array), np.int64), self.place
        for position, name in enumerate(array.tolist()):
            number = number_of.get(name) if type(name) in (str, int) else None
            if number is None:
                raise self._no_name(name)
            found[position] = number
        return found, keep

    def _no_name(self, name: object) -> RecordingError:
        known = list(self.names or ())
        if isinstance(name, str) and isinstance(known[0], str):
            return RecordingError(str(unknown("class", name, (str(one) for one in known))))
        return RecordingError(f"labels must be among the names of the classes, {some(known, 9)}; got {shown(name)}")


def check_classes_said(classes: Any) -> tuple[Any, tuple[str | int, ...] | None]:
    """What a caller says of the classes: their number, or their names.

    Returns:
        (the number as it came, to be checked further; the names or None).

    Raises:
        RecordingError: names that are not all texts or all whole numbers, that repeat, or fewer than two.
    """
    if isinstance(classes, str | bytes | Integral) or classes is None or not isinstance(classes, Iterable):
        return classes, None
    array = classes if isinstance(classes, list | tuple | range) else to_numpy(classes, "classes")
    names = array.tolist() if isinstance(array, np.ndarray) else list(array)
    names = [str(name) if isinstance(name, str) else name for name in names]  # numpy's texts and numbers are plain ones
    names = [int(name) if isinstance(name, Integral) and not isinstance(name, bool) else name for name in names]
    kinds = {type(name) for name in names}
    if kinds - {str} and kinds - {int}:
        odd = next(name for name in names if type(name) not in (str, int)) if kinds - {str, int} else names
        raise RecordingError(f"names of classes must be all texts or all whole numbers, got {shown(odd)}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise RecordingError(f"classes must be at least two distinct names, got {some(names, 9)}")
    return len(names), tuple(names)


def _largest_share(shares: Array) -> Array:
    """(B,) int64: of (B, C) shares the class with the largest."""
    values = shares.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise RecordingError("labels with a share for each class must be finite numbers from 0 up")
    if not values.size:
        return np.empty(len(values), np.int64)
    top = values.max(axis=1, keepdims=True)
    several = np.flatnonzero((values == top).sum(axis=1) > 1)
    if several.size:
        ones = bool(((values == 0) | (values == 1)).all())
        cure = "for several labels an example: kind='multilabel'" if ones else "leave it out, or record a sweep"
        raise RecordingError(
            f"{several.size} of {len(values)} rows have no largest share (first: row {several[0]}, "
            f"{shown(values[several[0]].tolist(), 60)}), and so no gold class; {cure}"
        )
    off = np.abs(values.sum(axis=1) - 1)
    if (bad := np.flatnonzero(off > SUM_TOLERANCE)).size:
        raise RecordingError(
            f"labels with a share for each class must sum to 1 in each row; row {bad[0]} sums to "
            f"{values[bad[0]].sum():.6g}; are these logits?"
        )
    return values.argmax(axis=1)
