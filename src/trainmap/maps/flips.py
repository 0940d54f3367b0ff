"""What changes when one network is put in another's place: which examples flip, where, and is that more than chance.

Two trainings of one network with two seeds disagree too. That churn is the baseline: what compression forgets is what
it flips beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, some
from trainmap.files import write_atomically

Array = NDArray[Any]
Verdict = Literal["more than another seed", "no difference shown", "less than another seed", ""]

KINDS = ("same", "right to wrong", "wrong to right", "wrong to other wrong")
NO_GROUP = "none"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes that K trainings of one network predict, rows in order of id.

    Attributes:
        ids: (N,) distinct, ascending.
        labels: (N,) int.
        predicted: (K, N) int: one row for each training (seed).
    """

    ids: Array
    labels: Array
    predicted: Array

    @staticmethod
    def of(ids: Any, labels: Any, predicted: Any) -> Predictions:
        """Predictions in any order of the rows.

        Args:
            ids: (N,) distinct integers or strings.
            labels: (N,) gold labels.
            predicted: (N,) or (K, N) classes.

        Raises:
            TrainmapError: shapes that do not fit, ids that repeat, values that are no classes.
        """
        ids, labels, predicted = to_ids(ids), to_labels(labels), np.atleast_2d(np.asarray(predicted))
        if labels.shape != ids.shape or predicted.ndim != 2 or predicted.shape[1:] != ids.shape or not len(ids):
            raise TrainmapError(
                f"predictions need ids (N,), labels (N,) and classes (N,) or (K, N) with N > 0, "
                f"got {ids.shape}, {labels.shape}, {predicted.shape}"
            )
        if not np.issubdtype(predicted.dtype, np.integer) or predicted.min() < 0:
            raise TrainmapError(f"predicted classes must be integers from 0 on, got {predicted.dtype}; take the argmax")
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        if (repeated := ids[1:][ids[1:] == ids[:-1]]).size:
            raise TrainmapError(f"ids must be unique, {repeated.size} repeat (first: {some(repeated.tolist())})")
        return Predictions(ids, labels[order], predicted[:, order].astype(np.int64))

    @staticmethod
    def from_dynamics(dynamics: Dynamics, epoch: int | None = None) -> Predictions:
        """What a recording's network predicted in one epoch (the last unless told), for the examples seen in it.

        Raises:
            TrainmapError: no such epoch, or no ``predicted`` was recorded.
        """
        at = dynamics.epochs - 1 if epoch is None else epoch
        if not 0 <= at < dynamics.epochs:
            raise TrainmapError(f"epoch must be 0 to {dynamics.epochs - 1}, got {at}")
        if "predicted" not in dynamics.signals:
            raise TrainmapError("this recording has no 'predicted'; record it with level 'signals' or 'logits'")
        predicted = np.asarray(dynamics.column(at, "predicted"), dtype=np.float64)
        seen = np.isfinite(predicted) & (predicted >= 0)
        return Predictions.of(dynamics.ids[seen], dynamics.labels[seen], predicted[seen].astype(np.int64))

    @property
    def modal(self) -> Array:
        """(N,) the class that most trainings predict, the smaller one winning a tie."""
        classes = int(self.predicted.max()) + 1
        votes = np.zeros((len(self.ids), classes), np.int64)
        for row in self.predicted:
            votes[np.arange(len(self.ids)), row] += 1
        return votes.argmax(axis=1)

    def save(self, path: str | Path) -> Path:
        """Write a table (.parquet): id, label, and ``predicted_0``, ``predicted_1``, ..."""
        target = Path(path)
        if target.suffix != ".parquet":
            raise TrainmapError(f"predictions are kept in a .parquet file, got {target.name}")
        columns = {"id": self.ids, "label": self.labels}
        columns |= {f"predicted_{number}": row for number, row in enumerate(self.predicted)}
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as handle:
            pl.DataFrame(columns).write_parquet(handle)
        return target

    @staticmethod
    def open(path: str | Path) -> Predictions:
        """A table of ``save``, or the last epoch of a dynamics folder.

        Raises:
            TrainmapError: neither of them.
        """
        if Path(path).is_dir():
            return Predictions.from_dynamics(Dynamics.open(path))
        try:
            table = pl.read_parquet(path)
            columns = [name for name in table.columns if name.startswith("predicted_")]
            ids, labels = table["id"].to_numpy(), table["label"].to_numpy()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StoreError(f"{path} holds no predictions: {str(error).splitlines()[0]}") from error
        if not columns:
            raise StoreError(f"{path} holds no predictions: it needs columns id, label, predicted_0, ...")
        return Predictions.of(ids, labels, np.stack([table[name].to_numpy() for name in columns]))


@dataclass(frozen=True, eq=False)
class Flips:
    """Made by ``flips``.

    Attributes:
        examples: one row for each example: id, label, before, after, kind (of ``KINDS``), pie (whether before and
            after differ), and a column for each grouping.
        table: one row for each group: grouping, group, examples, the count of each kind, ``accuracy_before``,
            ``accuracy_after``; ``forgotten`` (right to wrong / examples) and ``churn`` (changed / examples) with the ends
            of their Wilson intervals; with a baseline ``baseline_churn``, ``excess`` (churn - baseline_churn) with its
            interval, and ``verdict``.
        trainings: K before and after.
        level: of the intervals.
    """

    examples: pl.DataFrame
    table: pl.DataFrame
    trainings: tuple[int, int]
    level: float


def flips(
    before: Predictions,
    after: Predictions,
    *,
    baseline: Predictions | None = None,
    groups: Mapping[str, Mapping[Any, str | None]] | None = None,
    level: float = 0.95,
) -> Flips:
    """Which examples change their predicted class, by kind and by group.

    With several trainings on a side its modal class counts; an example whose modal classes differ is a "PIE"
    (pruning-identified exemplar; with one training on each side, a disagreement that one seed can explain).

    Args:
        before, after: of the original and of the compressed network, on the same examples.
        baseline: of the original trained with other seeds, as many of them as there are in ``after``: the churn that
            no compression explains.
        groups: grouping → id → group, such as ``{"region": {...}}``; an id without a group counts as "none". The
            whole and the classes are always there.
        level: of the intervals, in (0, 1).

    Raises:
        TrainmapError: the sides have different ids or labels, or ``level`` is out of range.

    Source: Hooker et al. 2019, arXiv:1911.05248, section 3 (PIE; there 30 trainings a side); churn: Milani Fard et
    al. 2016, "Launch and Iterate: Reducing Prediction Churn". Wilson 1927 for a share; for the difference of two shares
    over the same examples the Wald interval from the discordant counts, with Agresti and Min's (2005) half a count added
    to each of the four cells, so that it has a width even where no example differs.
    """
    if not 0 < level < 1:
        raise TrainmapError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    _same_examples(before, after, "before", "after")
    first, second, labels = before.modal, after.modal, before.labels
    changed = first != second
    kind = np.select(
        [~changed, first == labels, second == labels], [np.int8(0), np.int8(1), np.int8(2)], default=np.int8(3)
    )
    other = None
    if baseline is not None:
        _same_examples(before, baseline, "before", "the baseline")
        other = baseline.modal != first
    named = {name: _column(before.ids, members) for name, members in (groups or {}).items()}
    columns = {"all": np.full(len(labels), "all"), "class": labels.astype(str)} | named
    rows = []
    for grouping, column in columns.items():
        for group in _in_order(column):
            inside = column == group
            rows.append(
                {"grouping": grouping, "group": group}
                | _row(kind[inside], (first == labels)[inside], (second == labels)[inside], level)
                | _excess(changed[inside], None if other is None else other[inside], level)
            )
    examples = {"id": before.ids, "label": labels, "before": first, "after": second}
    examples |= {"kind": np.array(KINDS)[kind], "pie": changed} | named
    trainings = (len(before.predicted), len(after.predicted))
    return Flips(pl.DataFrame(examples), pl.DataFrame(rows), trainings, level)


def wilson(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share ``count / n``; (NaN, NaN) for n = 0.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    share, spread = count / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_shares(only_first: int, only_second: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """The difference of two shares over the same n examples, and its interval.

    Args:
        only_first, only_second: examples that count for one share and not for the other.
        n: all examples.
        level: of the interval.

    Returns:
        (only_first - only_second) / n, and the ends of the Wald interval of the counts + 0.5 over n + 2.

    Source: Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.
    """
    if n == 0:
        return math.nan, math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    b, c, m = only_first + 0.5, only_second + 0.5, n + 2
    middle, half = (b - c) / m, z * math.sqrt(b + c - (b - c) ** 2 / m) / m
    return (only_first - only_second) / n, max(-1.0, middle - half), min(1.0, middle + half)


def entropy_bins(ids: Any, counts: Any, edges: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)) -> dict[Any, str]:
    """Groups by how much people disagree about an example's label: the entropy (bits) of the labels that they gave.

    Args:
        ids: (N,).
        counts: (N, C): how many people chose each class, such as CIFAR-10H's.
        edges: ascending from 0. The first group is entropy 0 (all agree), then (0, 0.25], (0.25, 0.5], ..., above.

    Raises:
        TrainmapError: counts that are negative or of nobody, edges that do not ascend from 0.
    """
    counts, ids = np.asarray(counts, dtype=np.float64), to_ids(ids)
    if counts.ndim != 2 or len(counts) != len(ids) or not (counts >= 0).all() or not (counts.sum(axis=1) > 0).all():
        raise TrainmapError(f"counts must be (N, C), not negative, with a person in each row, got {counts.shape}")
    if edges[:1] != (0.0,) or list(edges) != sorted(set(edges)):
        raise TrainmapError(f"edges must ascend from 0, got {edges}")
    shares = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    names = ["0 bits", *(f"{a:g} to {b:g}" for a, b in zip(edges, edges[1:])), f"above {edges[-1]:g}"]
    place = np.searchsorted(np.asarray(edges), entropy, side="left")
    place = np.where(entropy <= 1e-12, 0, np.maximum(place, 1))
    return {example: names[at] for example, at in zip(ids.tolist(), place.tolist(), strict=True)}


def _row(kind: Array, right_before: Array, right_after: Array, level: float) -> dict[str, Any]:
    n = len(kind)
    counts = np.bincount(kind, minlength=len(KINDS)).tolist()
    churned = n - counts[0]
    forgotten, churn = wilson(counts[1], n, level), wilson(churned, n, level)
    return {
        "examples": n,
        **dict(zip(KINDS, counts, strict=True)),
        "accuracy_before": float(right_before.mean()),
        "accuracy_after": float(right_after.mean()),
        "forgotten": counts[1] / n,
        "forgotten_low": forgotten[0],
        "forgotten_high": forgotten[1],
        "churn": churned / n,
        "churn_low": churn[0],
        "churn_high": churn[1],
    }


def _excess(changed: Array, other: Array | None, level: float) -> dict[str, Any]:
    if other is None:
        return {"baseline_churn": None, "excess": None, "excess_low": None, "excess_high": None, "verdict": ""}
    excess, low, high = paired_shares(int((changed & ~other).sum()), int((other & ~changed).sum()), len(changed), level)
    verdict: Verdict = "no difference shown"
    if low > 0:
        verdict = "more than another seed"
    elif high < 0:
        verdict = "less than another seed"
    return {
        "baseline_churn": float(other.mean()),
        "excess": excess,
        "excess_low": low,
        "excess_high": high,
        "verdict": verdict,
    }


def _same_examples(a: Predictions, b: Predictions, first: str, second: str) -> None:
    if len(a.ids) != len(b.ids) or a.ids.dtype.kind != b.ids.dtype.kind or not np.array_equal(a.ids, b.ids):
        lost, new = np.setdiff1d(a.ids, b.ids).tolist(), np.setdiff1d(b.ids, a.ids).tolist()
        raise TrainmapError(
            f"{first} and {second} must be predictions of the same examples: {len(lost)} ids are in {first} alone "
            f"({some(lost)}), {len(new)} in {second} alone ({some(new)})"
        )
    if (wrong := np.flatnonzero(a.labels != b.labels)).size:
        raise TrainmapError(
            f"{first} and {second} have other labels for {wrong.size} examples (first: id {a.ids[wrong[0]]}): "
            "they are not of one dataset"
        )


def _column(ids: Array, members: Mapping[Any, str | None]) -> Array:
    return np.array([members.get(example) or NO_GROUP for example in ids.tolist()])


def _in_order(column: Array) -> list[str]:
    """Groups by name, numbers by value; "none" last."""
    names = sorted(set(column.tolist()), key=lambda name: (name == NO_GROUP, not name.isdigit(), len(name) * name.isdigit(), name))
    return [str(name) for name in names]
