"""Cross-fitting: the examples in K folds, each to be recorded by a network that trained on the others.

What a network says about an example that it trained on mixes what it understood with what it memorised. Here every
example is told of by a network that never saw it, at the cost of K trainings on (K - 1) / K of the data: out of fold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.index import id_hash, sort_ids
from trainmap.dynamics.manifest import Folds, Source
from trainmap.errors import RecordingError, counted, shown, some, whole
from trainmap.told import Lines, Told

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Fold(Told):
    """One of the K folds of a ``CrossFit``: what its network trains on, and what that network is asked about.

    Attributes:
        number: k, 0 to K - 1.
        folds: K.
        train: (N - n,) ids to train on, ascending.
        held: (n,) ids that its network must not see, ascending; they are what is recorded.
        labels: (n,) of ``held``, as the ``CrossFit`` was given them; None where it had none.
        split: a fingerprint of the whole division; recordings of two divisions are never mixed.
    """

    number: int
    folds: int
    train: Array
    held: Array
    labels: Array | None
    split: str

    def told(self) -> Lines:
        """What it is in a few lines."""
        return "Fold", {
            "fold": f"{self.number} of {self.folds}",
            "trains on": counted(len(self.train), "example"),
            "records": f"the other {counted(len(self.held), 'example')}",
            "look": "tm.Recorder(path, classes, fold=fold), fold.train, fold.held",
        }


class CrossFit(Sequence[Fold], Told):
    """Every example told of by a network that did not train on it: a recording of ``source="held-out"``.

    ::

        for fold in tm.CrossFit(ids, labels, folds=2, seed=0):
            model = ...                                          # a new network for each fold
            with tm.Recorder("dynamics", classes=10, fold=fold) as recorder:
                for epoch in range(epochs):
                    ...                                          # train on fold.train, on nothing else
                    recorder.update(fold.held, logits, labels)   # what it says of fold.held, in eval mode
                    recorder.end_epoch()

        dynamics = tm.Dynamics.open("dynamics")                  # E epochs of every example

    Args:
        ids: (N,) of all examples, integers or strings.
        labels: (N,) their classes, whole numbers or names: each fold gets its share of each class. None: the folds are
            of equal size, whatever the classes (recordings that are not of classes).
        folds: K, at least 2. More folds: networks that saw more of the data, for K - 1 times the cost of a training.
        seed: another seed, another division.
        groups: (N,) what an example belongs to (a speaker, a document, copies of one picture), whole numbers or names:
            a group stays in one fold, so that no network trains on the twin of what it is asked about.

    A fold has its share of each class, rounded, and of all examples; with groups as nearly as groups allow (largest
    first, each to where its classes lack most). Which fold an example is in depends on ids, labels and seed alone, not
    on their order.

    Raises:
        RecordingError: fewer than ``folds`` examples (or groups) of a class, ids that repeat, shapes that differ.
    """

    def __init__(self, ids: Any, labels: Any = None, folds: int = 2, seed: int = 0, groups: Any = None) -> None:
        self.folds, self.seed = whole(folds, "folds", 2), whole(seed, "seed")
        given = to_ids(ids)
        self.ids, order = sort_ids(given)
        self.labels = None if labels is None else _beside(labels, "labels", len(given))[order]
        names = np.zeros(1, np.int64) if self.labels is None else np.unique(self.labels)
        classes = np.zeros(len(given), np.int64) if self.labels is None else np.searchsorted(names, self.labels)
        told = None if groups is None else _beside(groups, "groups", len(given))[order]
        of = np.arange(len(given)) if told is None else np.unique(told, return_inverse=True)[1]
        unit = "example" if told is None else "group"
        _check_enough(classes, of, None if self.labels is None else names, self.folds, unit)
        self.fold_of = _dealt(classes, of, _turn(self.ids, self.seed), self.folds)
        """(N,) int64: which fold holds each of ``ids``, which ascend."""
        _check_dealt(classes, self.fold_of, None if self.labels is None else names, self.folds)
        self.split = _split(self.ids, self.fold_of)

    def __len__(self) -> int:
        return self.folds

    @overload
    def __getitem__(self, number: int) -> Fold: ...
    @overload
    def __getitem__(self, number: slice) -> list[Fold]: ...
    def __getitem__(self, number: int | slice) -> Fold | list[Fold]:
        if isinstance(number, slice):
            return [self[place] for place in range(self.folds)[number]]
        number = range(self.folds)[number]
        held = self.fold_of == number
        labels = None if self.labels is None else self.labels[held]
        return Fold(number, self.folds, self.ids[~held], self.ids[held], labels, self.split)

    def told(self) -> Lines:
        """What it is in a few lines."""
        sizes = np.bincount(self.fold_of, minlength=self.folds)
        return "CrossFit", {
            "examples": f"{len(self.ids):,}, in {self.folds} folds of {some(sizes.tolist(), 9)}",
            "seed": self.seed,
            "look": "for fold in cross: fold.train, fold.held, tm.Recorder(path, classes, fold=fold)",
        }


@dataclass(frozen=True)
class OfFold:
    """What a ``Recorder`` records, as said to it and as its fold says."""

    source: Source
    ids: Any
    labels: Any
    rank: int | None
    world_size: int | None
    folds: Folds | None


def of_fold(fold: object, kind: object, per: object, said: OfFold, source: Source | None) -> OfFold:
    """What is recorded of a fold: its own ids, as one of K parts; without a fold, what was said.

    Raises:
        RecordingError: no fold, or something said that a fold decides.
    """
    if fold is None:
        return said
    if not isinstance(fold, Fold):
        raise RecordingError(
            f"fold must be one of a CrossFit (for fold in tm.CrossFit(ids, labels)), got a {type(fold).__name__}"
        )
    if source not in (None, "held-out"):
        raise RecordingError(f"a fold is recorded with source='held-out', got {shown(source)}: leave source= out")
    for name in ("ids", "rank", "world_size"):
        if getattr(said, name) is not None:
            raise RecordingError(
                f"a fold knows its {name}: leave {name}= out"
                + (", and record from one process (the first of several)" if name != "ids" else "")
            )
    if per is not None:
        raise RecordingError(f"a fold is recorded by whole examples: leave per={shown(per)} out")
    own = fold.labels if said.labels is None and kind == "classes" else said.labels
    folds = Folds(count=fold.folds, split=fold.split)
    return OfFold("held-out", fold.held, own, fold.number, fold.folds, folds)


def _beside(value: Any, what: str, count: int) -> Array:
    """(N,) whole numbers or names, one for each example."""
    array = to_numpy(value, what)
    if array.dtype == object and array.ndim == 1 and all(isinstance(name, str) for name in array.tolist()):
        array = array.astype(np.str_)
    if array.dtype.kind not in "iuUb" or array.ndim != 1:
        raise RecordingError(
            f"{what} must be one whole number or name for each example, got {array.dtype} of shape {array.shape}"
            + ("; leave them out where they are no classes" if what == "labels" else "")
        )
    if len(array) != count:
        raise RecordingError(f"{count} ids need {count} {what}, got {len(array)}")
    return array


def _turn(ids: Array, seed: int) -> Array:
    """(N,) the order in which examples are dealt out: by a hash of id and seed."""
    key = id_hash(ids) ^ id_hash(np.array([f"fold {seed}"]))
    return np.lexsort((ids, id_hash(key.view(np.int64))))


def _check_enough(classes: Array, of: Array, names: Array | None, folds: int, unit: str) -> None:
    """Whether each class can be in every fold."""
    pairs = np.unique(np.column_stack([classes, of]), axis=0) if unit == "group" else classes[:, None]
    have = np.bincount(pairs[:, 0])
    few = np.flatnonzero(have < folds)
    if few.size:
        have_it = counted(int(have[few[0]]), unit)
        if names is None:
            raise RecordingError(f"{folds} folds need at least {folds} {unit}s, got {have_it}")
        more = f", as have too few {len(few) - 1} more" if len(few) > 1 else ""
        cure = f"{'fewer folds, or ' * (folds > 2)}leave out what is so rare"
        raise RecordingError(
            f"{folds} folds need at least {folds} {unit}s of each class, but class {shown(names[few[0]])} has "
            f"{have_it}{more}: {cure}"
        )


def _dealt(classes: Array, of: Array, turn: Array, folds: int) -> Array:
    """(N,) int64: the fold of each example. Groups of several go first, the largest ahead; single ones fill up."""
    fold = np.full(len(classes), -1)
    counts = np.zeros((int(classes.max()) + 1, folds))
    sizes, totals = np.bincount(of), np.bincount(classes)
    place = np.empty(len(turn), np.int64)
    place[turn] = np.arange(len(turn))
    first = np.full(len(sizes), len(turn))
    np.minimum.at(first, of, place)
    by_group = np.argsort(of, kind="stable")
    ends = np.cumsum(sizes)
    several = np.flatnonzero(sizes > 1)
    for group in several[np.lexsort((first[several], -sizes[several]))].tolist():
        rows = by_group[ends[group] - sizes[group] : ends[group]]
        its, number = np.unique(classes[rows], return_counts=True)
        before = counts[its]
        more = ((2 * before + number[:, None]) * number[:, None] / totals[its][:, None]).sum(axis=0)
        chosen = int(np.lexsort((counts.sum(axis=0), more))[0])
        fold[rows] = chosen
        counts[its, chosen] += number
    single = turn[fold[turn] < 0]
    single = single[np.argsort(classes[single], kind="stable")]
    for rows in np.split(single, np.flatnonzero(np.diff(classes[single])) + 1):
        if not len(rows):
            continue
        its = int(classes[rows[0]])
        before, size = counts[its], counts.sum(axis=0)
        most = -(-len(rows) // folds) + int(before.max() - before.min()) + 1
        level = before[:, None] + np.arange(most)  # a fold's places in this class, the emptiest first
        smallest = np.repeat(np.argsort(np.argsort(size, kind="stable")), most)
        chosen = np.lexsort((smallest, level.ravel()))[: len(rows)] // most
        fold[rows] = chosen
        counts[its] += np.bincount(chosen, minlength=folds)
    return fold


def _check_dealt(classes: Array, fold: Array, names: Array | None, folds: int) -> None:
    """Whether every fold holds something, and its network sees every class; groups can make that impossible."""
    counts = np.zeros((int(classes.max()) + 1, folds), np.int64)
    np.add.at(counts, (classes, fold), 1)
    if not counts.sum(axis=0).all():
        raise RecordingError(f"the groups do not divide into {folds} folds: fewer folds, or smaller groups")
    if (lone := np.flatnonzero((counts == counts.sum(axis=1, keepdims=True)).any(axis=1))).size and names is not None:
        raise RecordingError(
            f"the groups put all of class {shown(names[lone[0]])} into one fold, whose network would never see it: "
            "smaller groups, or leave the class out"
        )


def _split(ids: Array, fold: Array) -> str:
    """SHA-256 (hex) of which fold each example is in."""
    digest = hashlib.sha256("\0".join(ids.tolist()).encode() if ids.dtype.kind == "U" else ids.astype("<i8").tobytes())
    digest.update(fold.astype("<i8").tobytes())
    return digest.hexdigest()
