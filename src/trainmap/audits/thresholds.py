"""From which suspicion on a label is suspected, class by class.

A class that is rarer than the one it is taken for is learned later and less surely: while it is, the other class is
preferred to most of its labels, right or wrong. One threshold for all classes then suspects it wholesale. Here a label
of such a class must stand out among the labels of its own class:

- two heaps: where the suspicions of a class fall into two heaps, one of them below the rule's threshold, the upper
  heap is suspected: the rule's threshold holds;
- outliers: otherwise above median + 2.5 (1.4826 MAD) of the class; or, in a class that was learned, where the label
  is as suspicious as half of the labels of the other class would be if they were exchanged;
- small: classes below ``FEWEST`` examples are judged together; where they are fewer together, none is suspected.

A class that is as frequent as the ones it is taken for keeps the rule's threshold, so that balanced data are judged as
by one threshold for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.errors import some

Array = NDArray[Any]

FEWEST = 20
"""Examples below which a class cannot tell what is usual in it."""
OUTLIER = 2.5
"""Robust standard deviations above the median. 2 finds 2 to 6 points more of the wrong labels, for 1 point more of the
right ones of rare classes; 3 the other way (development recordings, docs/audit.md)."""
TWO_HEAPS = 0.85
"""Share of the variance that lies between two heaps (Otsu 1979). One even heap has 0.75, a bell 0.64. Two heaps of
right and wrong labels have 0.82 to 0.99, a class that was learned late 0.68 to 0.84, once 0.89."""
MANY, MOST = 0.25, 0.5
"""Shares of a class from which on a warning says so: that the rule alone would suspect, or that is suspected of a rare
class; and that is suspected of any."""
LEARNED = 0.2
"""How much of its epochs (by weight) a class must be predicted in: below it the epochs tell nothing of the class."""
RARER, RARE = 0.2, 0.7
"""Log of how much more frequent the other class is, less its standard error: up to the first the rule's own threshold
holds, from the second (twice as frequent) on that of the class, and a mixture of them between."""


@dataclass(frozen=True)
class Thresholds:
    """Of the classes that have a label, ascending; (K,) each.

    Attributes:
        classes, examples: their numbers, and of how many labels each has a suspicion.
        values: suspected from there on; infinite where nothing can be told.
        small: rarer than the largest class, and too small to tell.
        rare: rarer than the classes that its labels are taken for.
    """

    classes: Array
    examples: Array
    values: Array
    small: Array
    rare: Array

    def of(self, labels: Array) -> Array:
        """(N,) float64: the threshold of each label; infinite for a label that is not known."""
        if not len(self.classes):
            return np.full(len(labels), np.inf)
        place = np.minimum(np.searchsorted(self.classes, labels), len(self.classes) - 1)
        return np.where(self.classes[place] == labels, self.values[place], np.inf)


NOTES = ("too small to tell", "learned late or mostly wrong", "mostly suspected", "many suspected")


def told(thresholds: Thresholds, labels: Array, above_rule: Array, suspected: Array) -> pl.DataFrame:
    """A row for each class with a label that was judged.

    Its columns: ``label``, ``examples``, ``threshold``, ``preferred`` (how many labels the rule's own threshold would
    suspect), ``suspected``, ``note`` (of ``NOTES``, or null).

    Args:
        labels: (N,), below 0 where none was judged; above_rule, suspected: (N,) bool.
    """
    place = np.minimum(np.searchsorted(thresholds.classes, labels), max(0, len(thresholds.classes) - 1))
    mine = thresholds.classes[place] == labels if len(thresholds.classes) else np.zeros(len(labels), bool)
    n, preferred, found = (
        np.bincount(place[mine & which], minlength=len(thresholds.classes))
        for which in (np.ones(len(labels), bool), above_rule, suspected)
    )
    kind = np.select(
        [
            thresholds.small,
            (preferred > found) & (preferred >= MANY * n),
            found >= MOST * n,
            thresholds.rare & (found >= MANY * n),
        ],
        [0, 1, 2, 3],
        default=-1,
    )
    rows = pl.DataFrame(
        {
            "label": thresholds.classes,
            "examples": n,
            "threshold": thresholds.values,
            "preferred": preferred,
            "suspected": found,
            "note": pl.Series([NOTES[k] if k >= 0 else None for k in kind.tolist()], dtype=pl.String),
        }
    )
    return rows.filter(pl.col("examples") > 0)


def warnings_of(by_class: pl.DataFrame) -> list[str]:
    """A line for each kind of class that an audit cannot judge."""
    small, late, most, many = (by_class.filter(pl.col("note") == note) for note in NOTES)
    lines = []
    if small.height:
        lines.append(
            f"{_classes(small)} fewer than {FEWEST} labels and much fewer than others: too small to tell a wrong label "
            "from a rare class, so that few or none are suspected; look at the labels themselves"
        )
    if late.height:
        lines.append(
            f"{_classes(late)} many labels to which another class is preferred ({late['preferred'].sum():,} of "
            f"{late['examples'].sum():,}, {late['suspected'].sum():,} suspected): it was learned late, or many of its "
            "labels are wrong, and the recording cannot tell which; look at some, or train longer"
        )
    if most.height:
        lines.append(
            f"{_classes(most)} most of its labels suspected ({most['suspected'].sum():,} of "
            f"{most['examples'].sum():,}): look at some before leaving them all out"
        )
    if many.height:
        lines.append(
            f"{_classes(many)} fewer labels than others, and many of them suspected ({many['suspected'].sum():,} of "
            f"{many['examples'].sum():,}): a rare class that is learned slowly, or by a model whose epochs are alike, "
            "looks so with right labels as well; look at some before leaving them all out"
        )
    return lines


def _classes(rows: pl.DataFrame) -> str:
    labels = rows["label"].to_list()
    return f"class {labels[0]} has" if len(labels) == 1 else f"{len(labels)} classes ({some(labels)}) have"


def same_for_all(suspicion: Array, labels: Array, threshold: float) -> Thresholds:
    """One threshold, told from outside."""
    classes, examples = np.unique(labels[~np.isnan(suspicion) & (labels >= 0)], return_counts=True)
    return Thresholds(classes, examples, np.full(len(classes), float(threshold)), *np.zeros((2, len(classes)), bool))


def by_class(
    suspicion: Array, labels: Array, other: Array, label_share: Array, threshold: float, centre: float | None
) -> Thresholds:
    """A threshold for each class, at least the rule's.

    Args:
        suspicion: (N,), NaN where it cannot be told.
        labels: (N,) that the recording tested; below 0 where none is known.
        other: (N,) the class that was predicted most beside the label, -1 for none.
        label_share: (N,) the share of the epochs in which the label was predicted.
        threshold: of the rule.
        centre: where the suspicion of a label and that of the label exchanged for the other class meet; None where
            the exchange says nothing.
    """
    known = np.flatnonzero(~np.isnan(suspicion) & (labels >= 0))
    classes, place, examples = np.unique(labels[known], return_inverse=True, return_counts=True)
    found = Thresholds(classes, examples, np.full(len(classes), float(threshold)), *np.zeros((2, len(classes)), bool))
    if not len(classes):
        return found
    found.small[:] = (examples < FEWEST) & (_rarity(examples, examples.max()) > RARER)
    rows = np.split(known[np.argsort(place, kind="stable")], np.cumsum(examples)[:-1])
    middles: dict[int, float] = {}  # of the classes that are preferred: a frequent one is, to many others
    pool = known[found.small[place]]
    together = _own(suspicion[pool], label_share[pool], threshold)
    for k in np.unique(place[suspicion[known] >= threshold]).tolist():
        mine = suspicion[rows[k]]
        doubted = other[rows[k]][mine >= threshold]
        rivals = np.searchsorted(classes, doubted)
        rivals = rivals[classes[np.minimum(rivals, len(classes) - 1)] == doubted]
        rarity = float(np.median(_rarity(examples[k], examples[rivals]))) if len(rivals) else 0.0
        if rarity <= RARER:
            continue
        found.rare[k] = True
        outlier, learned = together if found.small[k] else _own(mine, label_share[rows[k]], threshold)
        own = outlier
        if centre is not None and learned:
            for rival in np.unique(rivals).tolist():
                middles.setdefault(rival, float(np.median(suspicion[rows[rival]])))
            exchanged = 2 * centre - np.median([middles[rival] for rival in np.unique(rivals).tolist()])
            own = max(threshold, min(outlier, float(exchanged)))
        part = min(1.0, (rarity - RARER) / (RARE - RARER))
        found.values[k] = own if part == 1 else (1 - part) * threshold + part * min(own, mine.max() + 1)
    return found


def _rarity(examples: Any, others: Any) -> Any:
    """log(others / examples) less one standard error of it."""
    return np.log(others / examples) - np.sqrt(1 / others + 1 / examples)


def _own(values: Array, label_share: Array, threshold: float) -> tuple[float, bool]:
    """What stands out among the suspicions of a class, and whether it was learned; nothing does where they are few."""
    if len(values) < FEWEST:
        return np.inf, False
    learned = bool(np.nanmean(label_share) >= LEARNED)
    if learned and _two_heaps(values, threshold):
        return threshold, learned
    middle = np.median(values)
    return max(threshold, float(middle + OUTLIER * 1.4826 * np.median(np.abs(values - middle)))), learned


def _two_heaps(values: Array, threshold: float) -> bool:
    """Whether the best split in two explains ``TWO_HEAPS`` of the variance, the lower heap below the threshold."""
    ascending = np.sort(values)
    n, left = len(ascending), np.arange(1, len(ascending))
    variance = float(ascending.var())
    if not np.isfinite(variance) or variance == 0:
        return False
    sums = ascending.cumsum()
    gap = sums[:-1] / left - (sums[-1] - sums[:-1]) / (n - left)
    between = left * (n - left) / n**2 * gap**2
    best = int(between.argmax())
    return bool(between[best] >= TWO_HEAPS * variance and ascending[best] < threshold)
