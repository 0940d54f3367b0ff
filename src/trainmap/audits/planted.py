"""Labels changed on purpose before a recording, so that an audit of it can be calibrated.

    threshold samples   examples that get a class which does not exist; nobody can learn them but by heart, so their
                        margins say where mislabelled examples lie (Pleiss et al. 2020, arXiv:2001.10528, section 3.2)
    flips               a few labels exchanged for another class; where an audit puts them estimates its precision and
                        recall on the errors that were there before

A plan is made from ids and labels, applied by your own training code, and kept as a small JSON file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainmap.checksums import KEY, sealed, unsealed, without_checksum
from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.index import MISSING, find_rows
from trainmap.dynamics.manifest import MOST_CLASSES
from trainmap.dynamics.store import fingerprint
from trainmap.errors import RecordingError, StoreError, TrainmapError, number, shown, some, whole
from trainmap.files import as_json, read_json, writing
from trainmap.typed import of_type

Array = NDArray[Any]

VERSION = 2
KINDS: dict[str, type] = {"classes": int, "seed": int, "dataset": str}  # of a plan's entries; the others are lists
IDS = ("ids", "first", "second")


@dataclass(frozen=True, eq=False)
class ThresholdSamples:
    """Which examples get the extra class in each of two runs; made by ``plan_threshold_samples``.

    Attributes:
        first, second: (k,) ids, ascending, disjoint: the threshold samples of the first and of the second run.
        classes: C, without the extra class. Build the network and the Recorder with ``classes + 1``.
        seed: of the draw.
        dataset: fingerprint of the ids and labels that the plan was made from.
    """

    first: Array
    second: Array
    classes: int
    seed: int
    dataset: str

    def apply(self, run: int, ids: ArrayLike, labels: ArrayLike) -> Array:
        """The labels to train run 0 or 1 with, (N,) int64: ``classes`` (the extra one) for its threshold samples."""
        if run not in (0, 1):
            raise TrainmapError(f"there are two runs, 0 and 1, got {run}")
        samples = (self.first, self.second)[run]
        names, gold = _same_data(ids, labels, self.dataset)
        return np.where(np.isin(names, samples), self.classes, gold)

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON."""
        return _save(path, "threshold-samples", self)

    @staticmethod
    def open(path: str | Path) -> ThresholdSamples:
        """Open a saved plan."""
        return ThresholdSamples(**_open(path, "threshold-samples", ThresholdSamples))


@dataclass(frozen=True, eq=False)
class Flips:
    """Labels that were exchanged on purpose; made by ``plan_flips``.

    Attributes:
        ids: (m,) ascending.
        original, planted: (m,) int64, the label before and after; they differ everywhere.
        classes: C.
        seed: of the draw.
        dataset: fingerprint of the ids and labels before.
    """

    ids: Array
    original: Array
    planted: Array
    classes: int
    seed: int
    dataset: str

    def __len__(self) -> int:
        return len(self.ids)

    def apply(self, ids: ArrayLike, labels: ArrayLike) -> Array:
        """The labels to train with, (N,) int64: yours, with the flips in."""
        names, gold = _same_data(ids, labels, self.dataset)
        changed, rows = gold.copy(), find_rows(names, self.ids)
        if (rows == MISSING).any():
            raise TrainmapError("this plan was changed: it flips ids that its dataset does not have; make it again")
        changed[rows] = self.planted
        return changed

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON."""
        return _save(path, "flips", self)

    @staticmethod
    def open(path: str | Path) -> Flips:
        """Open a saved plan."""
        return Flips(**_open(path, "flips", Flips))


def plan_threshold_samples(
    labels: ArrayLike, seed: int = 0, *, ids: ArrayLike | None = None, classes: int | None = None
) -> ThresholdSamples:
    """Draw the threshold samples of two runs: round(N / (C + 1)) ids each (at most N / 2), at random, no id in both.

    That many, because the extra class then is as large as the others on average. Every example is scored in at least
    one run in which it has its own label::

        plan = plan_threshold_samples(labels, seed=0)
        for run in (0, 1):
            with Recorder(f"run{run}", classes=plan.classes + 1) as recorder:
                train(your_model(classes=plan.classes + 1), ids, plan.apply(run, ids, labels), recorder)
        audit_threshold_samples(Dynamics.open("run0"), Dynamics.open("run1"))

    Args:
        labels: (N,) class indices.
        seed: of the draw; with the same ids, labels and seed the plan is the same whatever their order.
        ids: (N,) int or str; 0 to N - 1 by default.
        classes: C; by default the highest label + 1.

    Raises:
        TrainmapError: fewer than two examples, ids that repeat, labels out of range.

    Source: Pleiss et al. 2020, arXiv:2001.10528, section 3.2.
    """
    names, gold, classes = _examples(labels, ids, classes)
    k = min(max(1, round(len(names) / (classes + 1))), len(names) // 2)
    if not k:
        raise TrainmapError(f"two runs need at least 2 examples for threshold samples, got {len(names)}")
    drawn = np.random.default_rng(whole(seed, "seed")).choice(len(names), 2 * k, replace=False)
    return ThresholdSamples(
        np.sort(names[drawn[:k]]), np.sort(names[drawn[k:]]), classes, seed, fingerprint(names, gold)
    )


def plan_flips(
    labels: ArrayLike,
    fraction: float = 0.02,
    seed: int = 0,
    *,
    ids: ArrayLike | None = None,
    classes: int | None = None,
    confusion: ArrayLike | None = None,
) -> Flips:
    """Draw labels to flip: round(fraction N) examples at random (at least 1), each to another class.

    Args:
        labels: (N,) class indices.
        fraction: how many. Enough for a narrow interval (200 flips give a recall of 0.8 within 0.06), few enough to
            leave the training as it was.
        seed: of the draw; with the same ids, labels and seed the plan is the same whatever their order.
        ids: (N,) int or str; 0 to N - 1 by default.
        classes: C; by default that of ``confusion``, or the highest label + 1.
        confusion: (C, C) non-negative: row y weighs which class a label y is flipped to (the diagonal is ignored).
            Uniform by default. Flips that look like the errors that people make (cat and dog rather than cat and ship)
            are harder to find, and estimate the precision on such errors better: ``audit(...).confusion(classes) + 1``
            of an earlier recording (a row of zeros, no suspected label, names no class). Measured on CIFAR-10N
            (docs/audit.md).

    Raises:
        TrainmapError: a fraction outside (0, 0.5], fewer than two classes, ids that repeat, labels out of range, a
            class that ``confusion`` sends nowhere.
    """
    if not 0 < number(fraction, "fraction of labels to flip") <= 0.5:
        raise TrainmapError(f"fraction of labels to flip must be above 0 and at most 0.5, got {fraction}")
    weights = None if confusion is None else _checked_confusion(confusion, classes)
    names, gold, classes = _examples(labels, ids, classes if weights is None else len(weights))
    if classes < 2:
        raise TrainmapError(f"a label can be flipped among at least 2 classes, got {classes}")
    random = np.random.default_rng(whole(seed, "seed"))
    chosen = np.sort(random.choice(len(names), max(1, int(fraction * len(names) + 0.5)), replace=False))
    original, uniform = gold[chosen], random.random(len(chosen))
    if weights is None:
        place = (uniform * (classes - 1)).astype(np.int64)  # among the other classes: no matrix of all pairs
        planted = place + (place >= original)
    else:
        planted = _drawn_from(weights, original, uniform)
    return Flips(names[chosen], original, planted, classes, seed, fingerprint(names, gold))


def _count_of(classes: object) -> int:
    if (count := whole(classes, "classes", 1)) > MOST_CLASSES:
        raise TrainmapError(f"classes must be at most {MOST_CLASSES}, got {shown(count)}")
    return count


def _checked_confusion(confusion: ArrayLike, classes: int | None) -> Array:
    """(C, C) float, with C its own size unless ``classes`` says it."""
    try:
        weights = np.asarray(confusion, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TrainmapError(f"confusion must be (C, C) numbers, got {shown(confusion)}") from error
    size = max(weights.shape, default=0) if classes is None else _count_of(classes)
    if weights.shape != (size, size) or not np.isfinite(weights).all() or (weights < 0).any():
        raise TrainmapError(f"confusion must be ({size}, {size}), finite and not negative, got {weights.shape}")
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum(axis=1)).all():
            raise TrainmapError("the rows of confusion must have finite sums; divide it by its largest entry")
    return weights


def _drawn_from(weights: Array, original: Array, uniform: Array) -> Array:
    """(m,) int64: a class for each label, drawn by the label's row of weights; one row at a time."""
    planted = np.empty(len(original), np.int64)
    nowhere = []
    order = np.argsort(original, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(original[order])) + 1):
        label = original[places[0]]
        row = weights[label].copy()
        row[label] = 0
        steps = row.cumsum()
        if steps[-1] == 0:
            nowhere.append(int(label))
        planted[places] = np.searchsorted(steps, uniform[places] * steps[-1], side="right")
    if nowhere:
        raise TrainmapError(f"confusion has no class to flip to for the classes {some(nowhere)}")
    return planted


def _examples(labels: ArrayLike, ids: ArrayLike | None, classes: int | None) -> tuple[Array, Array, int]:
    """Sorted ids, their labels, and the number of classes, checked."""
    try:
        gold = np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise TrainmapError(f"labels must be (N,) class indices, got {shown(labels)}") from error
    names = np.arange(gold.size) if ids is None else to_ids(ids)
    if gold.ndim != 1 or names.shape != gold.shape or not len(gold) or gold.dtype.kind not in "iu":
        raise TrainmapError(
            f"labels must be (N,) class indices with N > 0 and ids alike, got {gold.dtype} {gold.shape}, {names.shape}"
        )
    order = np.argsort(names, kind="stable")
    names, gold = names[order], gold[order].astype(np.int64)
    if (again := names[1:][names[1:] == names[:-1]]).size:
        raise TrainmapError(f"ids must be distinct; {again.size} came more than once (first: {some(again.tolist())})")
    classes = int(gold.max()) + 1 if classes is None else _count_of(classes)
    if gold.min() < 0 or gold.max() >= classes:
        raise TrainmapError(f"labels must be 0 to {classes - 1}, got {gold.min()} to {gold.max()}")
    return names, gold, classes


def _same_data(ids: ArrayLike, labels: ArrayLike, dataset: str) -> tuple[Array, Array]:
    names, gold = to_ids(ids), to_labels(labels)
    if fingerprint(names, gold) != dataset:
        raise TrainmapError("this plan was made for other ids or labels; apply it to the ones that it was made from")
    return names, gold


def _save(path: str | Path, kind: str, plan: Any) -> Path:
    target = Path(path)
    if target.suffix != ".json":
        raise TrainmapError(f"a plan is JSON: its name must end in .json, got {target.name}")
    plain = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in vars(plan).items()}
    with writing(target) as handle:
        handle.write(as_json(sealed({"format": f"trainmap-{kind}", "version": VERSION, **plain})))
    return target


def _open(path: str | Path, kind: str, plan: type) -> dict[str, Any]:
    """The attributes of a saved plan, all of them there."""
    written: Any = read_json(path, "plan", "make it again")
    about = without_checksum(written) if isinstance(written, dict) else written
    if not isinstance(about, dict) or about.pop("format", None) != f"trainmap-{kind}":
        raise StoreError(f"{path} is not a plan of {kind.replace('-', ' ')} that trainmap wrote")
    wanted = [field.name for field in fields(plan)]
    try:
        if (version := of_type(about.pop("version", None), int, "version")) > VERSION:
            raise StoreError(f"{path} was written by a newer trainmap: upgrade it")
        lacking = {KEY} if version > 1 and KEY not in written else set()
        if wrong := set(wanted).symmetric_difference(about) | lacking:
            raise StoreError(f"{path} was changed: {some(sorted(wrong))} is missing or does not belong; make it again")
        for name in wanted:
            value = of_type(about[name], KINDS.get(name, list), name)
            if isinstance(value, list):
                about[name] = (to_ids if name in IDS else to_labels)(value)
        if not (2 <= about["classes"] <= MOST_CLASSES and 0 <= about["seed"] < 1 << 64):
            raise StoreError(f"{path} was changed: 'classes' and 'seed' must be those of a plan; make it again")
    except (TypeError, RecordingError) as error:
        raise StoreError(f"{path} was changed: it cannot be read ({error}); make it again") from error
    if {len(about[name]) for name in ("ids", "original", "planted") if name in about} - {len(about.get("ids", ()))}:
        raise StoreError(f"{path} was changed: ids, original and planted must be equally long; make it again")
    unsealed(written, Path(path), "make it again")
    return about
