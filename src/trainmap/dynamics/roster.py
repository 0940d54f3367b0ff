"""Who the examples are, which gold label each has, and who was seen in the epoch under way.

A roster takes the ids and labels of a batch and gives the rows where its numbers belong, or refuses the batch and is
then as it was. ``Known`` has a fixed set of examples; ``Learned`` makes one of whatever comes in one epoch.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import build_index, sort_ids
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.errors import RecordingError, shown, some

Array = NDArray[Any]

NOT_YET = -1


class Known:
    """The examples are these: (N,) ids, ascending, and their labels, ``UNKNOWN_LABEL`` where still to be learned.

    Attributes:
        seen: how many were seen in this epoch.
        new_labels: labels were learned since this was last set to False.
    """

    def __init__(self, ids: Array, labels: Array | None, classes: int) -> None:
        self.ids, self.classes = ids, classes
        self._index = build_index(ids)
        # Both end with an entry for ids that are not known, row -1: it is always seen, so no batch with one passes.
        self._labels = np.full(len(ids) + 1, UNKNOWN_LABEL, np.int64)
        if labels is not None:
            self._labels[:-1] = labels
        self._arrival = np.empty(len(ids) + 1, np.int64)
        self.new_labels = False
        self.start_epoch()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> Array:
        return self._labels[:-1]

    @property
    def arrival(self) -> Array:
        """(N,) int64: the how-manieth of this epoch an example was; ``NOT_YET`` for those still to come."""
        return self._arrival[:-1]

    def start_epoch(self) -> None:
        self.seen = 0
        self._arrival[:] = NOT_YET
        self._arrival[-1] = 0
        self._labels_known = bool((self.labels != UNKNOWN_LABEL).all())

    def take(self, ids: Array, labels: Array) -> Array:
        """Rows of a batch, now seen.

        Raises:
            RecordingError: an unknown id, one that was already seen, a label that is no class or changed.
        """
        if ids.dtype.kind != self.ids.dtype.kind:
            _refuse_kind(ids, self.ids.dtype.kind)
        rows = self._index.rows(ids)
        # Arrays are compared by their bytes: for a batch that costs a tenth of (a == b).all().
        known = self._labels[rows]
        if not self._labels_known or known.tobytes() != labels.tobytes():
            self._check_labels(ids, rows, known, labels)
        if self._arrival[rows].tobytes() != b"\xff" * (8 * len(rows)):  # that many times -1, NOT_YET
            self._refuse(ids, rows)
        arrival = np.arange(self.seen, self.seen + len(rows))
        self._arrival[rows] = arrival
        if self._arrival[rows].tobytes() != arrival.tobytes():
            self._arrival[rows] = NOT_YET
            self._refuse(ids, rows)
        if not self._labels_known:
            self._labels[rows] = labels
            self.new_labels = self.new_labels or bool((known == UNKNOWN_LABEL).any())
        self.seen += len(rows)
        return rows

    def missing(self) -> Array:
        """The ids that this epoch has not seen yet."""
        return self.ids[self.arrival == NOT_YET]

    def _check_labels(self, ids: Array, rows: Array, known: Array, labels: Array) -> None:
        if (rows < 0).any():
            self._refuse(ids, rows)
        check_classes(ids, labels, self.classes)
        changed = (known != UNKNOWN_LABEL) & (known != labels)
        if changed.any():
            first = int(np.flatnonzero(changed)[0])
            raise RecordingError(
                f"{changed.sum()} labels changed (id {shown(ids[first])}: {known[first]}, now {labels[first]}); "
                "an example keeps its gold label through a recording"
            )

    def _refuse(self, ids: Array, rows: Array) -> NoReturn:
        if (rows < 0).any():
            bad = ids[rows < 0].tolist()
            raise RecordingError(
                f"{len(bad)} of {len(ids)} ids are unknown (first: {some(bad)}); the {len(self.ids)} examples were "
                "fixed by ids=, or by the first epoch"
            )
        _refuse_twice(ids, self._arrival[rows] != NOT_YET)


class Learned:
    """The examples are whoever comes in this epoch: rows in the order of arrival, until ``settle``."""

    def __init__(self, classes: int) -> None:
        self.classes, self.seen = classes, 0
        self._names: set[int | str] = set()
        self._batches: list[tuple[Array, Array]] = []

    def __len__(self) -> int:
        return self.seen

    def take(self, ids: Array, labels: Array) -> Array:
        """Rows of a batch, now seen.

        Raises:
            RecordingError: an id that was already seen, a label that is no class, integers and strings mixed.
        """
        if self._batches and ids.dtype.kind != self._batches[0][0].dtype.kind:
            _refuse_kind(ids, self._batches[0][0].dtype.kind)
        check_classes(ids, labels, self.classes)
        names = set(ids.tolist())
        if len(names) < len(ids) or not self._names.isdisjoint(names):
            _refuse_twice(ids, np.array([name in self._names for name in ids.tolist()], bool))
        self._names |= names
        if len(ids):
            self._batches.append((ids.copy(), labels.copy()))
        self.seen += len(ids)
        return np.arange(self.seen - len(ids), self.seen)

    def examples(self) -> tuple[Array, Array]:
        """(ids, labels) in the order of arrival."""
        ids, labels = zip(*self._batches, strict=True)
        return np.concatenate(ids), np.concatenate(labels)

    def settle(self) -> tuple[Known, Array]:
        """From now on the examples are these, sorted by id: (their roster, all of them seen; the order that sorts)."""
        ids, labels = self.examples()
        ordered, order = sort_ids(ids)
        roster = Known(ordered, labels[order], self.classes)
        roster.arrival[:] = order
        roster.seen, roster.new_labels = len(order), True
        return roster, order


def check_classes(ids: Array, labels: Array, classes: int) -> None:
    """Every label is a class."""
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise RecordingError(
            f"labels must be 0 to {classes - 1}, got {some(labels[outside].tolist())} "
            f"(ids {some(ids[outside].tolist())}){_label_cure(labels, classes)}"
        )


def _label_cure(labels: Array, classes: int) -> str:
    low, high = labels.min(), labels.max()
    if low == -100:
        return "; -100 is an ignore_index: drop these rows, of ids, logits and labels alike"
    if low == -1:
        return (
            "; labels of -1 and 1 become 0 and 1: (labels + 1) // 2"
            if high == 1 and not (labels == 0).any()
            else "; -1 is no class: drop these rows"
        )
    if low >= 1 and high == classes:
        return "; where labels start at 1: subtract 1"
    return ""


def _refuse_kind(ids: Array, kind: str) -> None:
    """Integers where strings are known, or the other way round. An empty batch has no kind."""
    if len(ids):
        want, got = ("strings", "integers") if kind == "U" else ("integers", "strings")
        raise RecordingError(f"ids must be all integers or all strings: they were {want}, now came {got}")


def _refuse_twice(ids: Array, before: Array) -> NoReturn:
    """``before`` marks those that an earlier batch brought; otherwise the batch itself repeats an id."""
    names, counts = np.unique(ids, return_counts=True)
    again = ids[before].tolist() or names[counts > 1].tolist()
    raise RecordingError(
        f"{len(again)} ids came twice (first: {some(again)}); each example is recorded once an epoch: call "
        "end_epoch() between epochs, and use a sampler without replacement"
    )
