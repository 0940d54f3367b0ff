"""Who the examples are, which gold label each has, and who was seen in the epoch under way.

A roster takes the ids and labels of a batch and gives the rows where its numbers belong, or refuses the batch and is
then as it was. ``Known`` has a fixed set of examples (and may take newcomers behind it); ``Learned`` makes one of
whatever comes in one epoch. Of an example that comes again in an epoch ``repeats`` says what is recorded: nothing is
(the batch is refused), the first visit, or all of them.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import build_index, sort_ids
from trainmap.dynamics.manifest import Repeats
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.errors import RecordingError, shown, some

Array = NDArray[Any]
Taken = tuple[Array, Array | None]  # rows, and which of the batch they are; None for all of it

NOT_YET = -1


class Known:
    """The examples are these: (N,) ids, ascending, and their labels, ``UNKNOWN_LABEL`` where still to be learned.

    Without classes (0) a label is any number that must not change, such as the bits of a target; ``UNKNOWN_LABEL``
    stands for none.

    Attributes:
        seen: how many were seen in this epoch.
        came: how many visits this epoch had, those of one example again included.
        new_labels: labels were learned since this was last set to False.
        given: the ids were given, not learned; so they are all that there are.
        held: they are those of a fold, of whom alone its network may be asked.
        grows: unknown ids are newcomers, in rows behind the N until ``settle`` sorts them in; otherwise an error.
    """

    def __init__(
        self, ids: Array, labels: Array | None, classes: int, repeats: Repeats = "refuse", given: bool = False
    ) -> None:
        self.ids, self.classes, self.given, self.grows = ids, classes, given, False
        self.held = False
        self.repeats: Repeats = repeats
        self._index = build_index(ids)
        # Both end with an entry for ids that are not known, row -1: it is always seen, so no batch with one passes.
        self._labels = np.full(len(ids) + 1, UNKNOWN_LABEL, np.int64)
        if labels is not None:
            self._labels[:-1] = labels
        self._arrival = np.empty(len(ids) + 1, np.int64)
        self._newcomers: dict[int | str, int] = {}
        self.new_labels = False
        self.start_epoch()

    def __len__(self) -> int:
        return len(self.ids) + len(self._newcomers)

    @property
    def labels(self) -> Array:
        return self._labels[: len(self)]

    @property
    def arrival(self) -> Array:
        """(N,) int64: which visit of this epoch was an example's first, from 0; ``NOT_YET`` for those still to come."""
        return self._arrival[: len(self)]

    def start_epoch(self) -> None:
        self.seen = self.came = 0
        self._arrival[:] = NOT_YET
        self._arrival[-1] = 0
        self._labels_known = not self.classes or bool((self.labels != UNKNOWN_LABEL).all())

    def take(self, ids: Array, labels: Array) -> Taken:
        """Rows of a batch, now seen.

        Raises:
            RecordingError: an unknown id, one that was already seen, a label that is no class or changed.
        """
        if ids.dtype.kind != self.ids.dtype.kind:
            _refuse_kind(ids, self.ids.dtype.kind)
        rows = self._index.rows(ids)
        # Arrays are compared by their bytes: for a batch that costs a tenth of (a == b).all().
        if (
            self._labels_known
            and self._labels[rows].tobytes() == labels.tobytes()
            and self._arrival[rows].tobytes() == b"\xff" * (8 * len(rows))  # that many times -1, NOT_YET
        ):
            arrival = np.arange(self.came, self.came + len(rows))
            self._arrival[rows] = arrival
            if self._arrival[rows].tobytes() == arrival.tobytes():
                self.seen += len(rows)
                self.came += len(rows)
                return rows, None
            self._arrival[rows] = NOT_YET  # an id twice in the batch
        return self._look_closely(ids, rows, labels)

    def _look_closely(self, ids: Array, rows: Array, labels: Array) -> Taken:
        """The same for a batch with something new in it: labels, newcomers, copies, or a mistake."""
        new: dict[int | str, int] = {}
        if (rows < 0).any():
            rows, new = self._make_room(ids, rows)
        check_classes(ids, labels, self.classes)
        _, places, of = np.unique(rows, return_index=True, return_inverse=True)
        first = np.zeros(len(rows), bool)
        first[places] = True
        known = self._labels[rows]
        _check_labels(ids, np.where(known == UNKNOWN_LABEL, labels[places][of], known), labels, self.classes)
        before = self._arrival[rows] != NOT_YET
        fresh = first & ~before
        if self.repeats == "refuse" and not fresh.all():
            _refuse_twice(ids, before)
        self._newcomers |= new
        self._arrival[rows[fresh]] = self.came + np.flatnonzero(fresh)
        if ((known == UNKNOWN_LABEL) & (labels != UNKNOWN_LABEL)).any():
            self.new_labels = True
            self._labels[rows] = labels
        self.seen += int(fresh.sum())
        self.came += len(rows)
        if self.repeats == "mean" or fresh.all():
            return rows, None
        return rows[fresh], np.flatnonzero(fresh)

    def _make_room(self, ids: Array, rows: Array) -> tuple[Array, dict[int | str, int]]:
        """Rows behind the others for ids that are unknown: (rows of the batch, those that nobody has had before)."""
        if not self.grows:
            bad = ids[rows < 0].tolist()
            if self.held:
                raise RecordingError(
                    f"{len(bad)} of {len(ids)} ids are not held out of this fold (first: {some(bad)}): record what its "
                    "network says of fold.held, and train it on fold.train alone"
                )
            how = (
                "given with ids=: give those of all examples there"
                if self.given
                else "fixed by the first epoch: give the Recorder ids= of all examples, or allow_missing=True to take "
                "newcomers as not seen before"
            )
            raise RecordingError(
                f"{len(bad)} of {len(ids)} ids are unknown (first: {some(bad)}); the {len(self)} examples were {how}"
            )
        rows, new = rows.copy(), dict[int | str, int]()
        for place in np.flatnonzero(rows < 0).tolist():
            name = ids[place].item()
            row = self._newcomers.get(name)
            rows[place] = new.setdefault(name, len(self) + len(new)) if row is None else row
        short = len(self) + len(new) + 1 - len(self._arrival)
        if short > 0:
            short = max(short, len(self) // 8, 1024)
            last = np.full(short, NOT_YET)
            last[-1] = 0
            self._labels = np.concatenate([self._labels, np.full(short, UNKNOWN_LABEL)])
            self._arrival = np.concatenate([self._arrival[:-1], [NOT_YET], last])
        return rows, new

    def gold(self, ids: Array) -> Array:
        """The labels of a batch, where its examples and their labels are known; (B,) int64.

        Raises:
            RecordingError: an id or a label that is not.
        """
        if ids.dtype.kind != self.ids.dtype.kind:
            _refuse_kind(ids, self.ids.dtype.kind)
        rows = self._index.rows(ids)
        if (rows < 0).any() and not self.grows:
            self._make_room(ids, rows)  # says so
        labels = self._labels[rows]
        if (labels == UNKNOWN_LABEL).any():
            raise no_labels(ids[labels == UNKNOWN_LABEL])
        return labels

    def settle(self) -> tuple[Known, Array | None]:
        """The roster with its newcomers sorted in, and the order that sorts the rows; as it is, and None, without."""
        if not self._newcomers:
            return self, None
        ids, order = sort_ids(np.concatenate([self.ids, np.array(list(self._newcomers))]))
        roster = Known(ids, self.labels[order], self.classes, self.repeats)
        roster.grows = self.grows
        roster.arrival[:] = self.arrival[order]
        roster.seen, roster.came, roster.new_labels = self.seen, self.came, True
        return roster, order

    def anew(self) -> Known:
        """The same examples and labels with nothing seen, whatever state this one was left in."""
        roster = Known(self.ids, self._labels[: len(self.ids)], self.classes, self.repeats, self.given)
        roster.grows, roster.new_labels, roster.held = self.grows, self.new_labels, self.held
        return roster

    def missing(self) -> Array:
        """The ids that this epoch has not seen yet; newcomers were seen."""
        return self.ids[self._arrival[: len(self.ids)] == NOT_YET]


class Learned:
    """The examples are whoever comes in this epoch: rows in the order of arrival, until ``settle``."""

    def __init__(self, classes: int, repeats: Repeats = "refuse") -> None:
        self.classes = classes
        self.repeats: Repeats = repeats
        self.seen = self.came = 0
        self._row_of: dict[int | str, int] = {}
        self._ids: list[Array] = []
        self._labels = self._arrival = np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.seen

    def take(self, ids: Array, labels: Array) -> Taken:
        """Rows of a batch, now seen.

        Raises:
            RecordingError: an id that was already seen, a label that is no class or changed, integers and strings
                mixed.
        """
        if self._ids and ids.dtype.kind != self._ids[0].dtype.kind:
            _refuse_kind(ids, self._ids[0].dtype.kind)
        check_classes(ids, labels, self.classes)
        names = ids.tolist()
        if len(set(names)) == len(names) and self._row_of.keys().isdisjoint(names):
            rows = np.arange(self.seen, self.seen + len(names))
            self._add(names, ids, labels, np.arange(self.came, self.came + len(names)))
            self.came += len(names)
            return rows, None
        if self.repeats == "refuse":
            _refuse_twice(ids, np.array([name in self._row_of for name in names], bool))
        return self._take_copies(names, ids, labels)

    def _take_copies(self, names: list[int | str], ids: Array, labels: Array) -> Taken:
        new: dict[int | str, int] = {}
        places: list[int] = []
        rows = np.empty(len(names), np.int64)
        for place, name in enumerate(names):
            row = self._row_of.get(name)
            if row is None:
                row = new.setdefault(name, self.seen + len(new))
                if row == self.seen + len(places):
                    places.append(place)
            rows[place] = row
        fresh = np.array(places, np.int64)
        gold = np.concatenate([self._labels[: self.seen], labels[fresh]])[rows]
        _check_labels(ids, gold, labels, self.classes)
        self._add(list(new), ids[fresh], labels[fresh], self.came + fresh)
        self.came += len(names)
        return (rows, None) if self.repeats == "mean" else (rows[fresh], fresh)

    def gold(self, ids: Array) -> Array:
        """No label is known yet."""
        raise no_labels(ids)

    def _add(self, names: list[int | str], ids: Array, labels: Array, arrival: Array) -> None:
        if not names:
            return
        stop = self.seen + len(names)
        if stop > len(self._labels):
            more = np.empty(max(stop, 2 * len(self._labels), 1024) - len(self._labels), np.int64)
            self._labels = np.concatenate([self._labels, more])
            self._arrival = np.concatenate([self._arrival, more])
        self._labels[self.seen : stop], self._arrival[self.seen : stop] = labels, arrival
        self._row_of.update(zip(names, range(self.seen, stop), strict=True))
        self._ids.append(ids.copy())
        self.seen = stop

    def settle(self) -> tuple[Known, Array]:
        """From now on the examples are these, sorted by id: (their roster, all of them seen; the order that sorts)."""
        ids, order = sort_ids(np.concatenate(self._ids))
        roster = Known(ids, self._labels[: self.seen][order], self.classes, self.repeats)
        roster.arrival[:] = self._arrival[: self.seen][order]
        roster.seen, roster.came, roster.new_labels = self.seen, self.came, True
        return roster, order


def check_classes(ids: Array, labels: Array, classes: int) -> None:
    """Every label is a class, where there are classes."""
    if not classes:
        return
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise RecordingError(
            f"labels must be 0 to {classes - 1}, got {some(labels[outside].tolist())} "
            f"(ids {some(ids[outside].tolist())}){_label_cure(labels, classes)}"
        )


def _label_cure(labels: Array, classes: int) -> str:
    low, high = labels.min(), labels.max()
    if low == -100:
        return "; is that an ignore_index? give the Recorder ignore_index=-100, or drop these rows"
    if low == -1:
        return (
            "; labels of -1 and 1 become 0 and 1: (labels + 1) // 2"
            if high == 1 and not (labels == 0).any()
            else "; -1 is no class: drop these rows"
        )
    if low >= 1 and high == classes:
        return f"; where labels start at 1 name the classes, classes=range(1, {classes + 1}), or subtract 1"
    return ""


def _check_labels(ids: Array, gold: Array, labels: Array, classes: int) -> None:
    """``labels`` of a batch are those that its examples have."""
    changed = gold != labels
    if changed.any():
        first = int(np.flatnonzero(changed)[0])
        what, before, now = "gold label", gold[first], labels[first]
        if not classes:
            what, before, now = "target", *(f"{told:.6g}" for told in as_targets(np.array([before, now])))
        raise RecordingError(
            f"{changed.sum()} {what.split()[-1]}s changed (id {shown(ids[first])}: {before}, now {now}); "
            f"an example keeps its {what} through a recording"
        )


def as_bits(targets: Array) -> Array:
    """(n,) targets as numbers that a roster keeps and compares, int64: the bits of each in single precision, which is
    what is recorded of it, widened; NaN, for none, is ``UNKNOWN_LABEL``."""
    plain = targets.astype(np.float32).astype(np.float64) + 0.0  # one zero
    return np.where(np.isnan(plain), UNKNOWN_LABEL, plain.view(np.int64))


def as_targets(bits: Array) -> Array:
    """(n,) float64: the targets that ``as_bits`` made numbers of; NaN where there is none."""
    return np.where(bits == UNKNOWN_LABEL, np.nan, np.ascontiguousarray(bits, np.int64).view(np.float64))


def no_labels(ids: Array) -> RecordingError:
    """The error for a batch that came without labels."""
    return RecordingError(
        f"the labels of {len(ids)} ids are not known (first: {some(ids.tolist())}): hand them over, update(ids, "
        "outputs, labels), or give the Recorder ids= and labels= of all examples"
    )


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
        "end_epoch() between epochs and use a sampler without replacement, or give the Recorder repeats='first' or "
        "repeats='mean'"
    )
