"""Columns that give the label away: a copy of it, a row number of sorted data, a path with the name of the class."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

PERFECT = 0.99
"""Balanced accuracy of one column alone from which on it is suspected."""
EASY = 0.97
"""Where another column alone comes that far, the classes are easy, and a perfect one is nothing special."""
ROWS = 4000
"""Rows that are looked at, as many of each class as there are to have; at least ``LEAST`` of each class."""
LEAST = 20
CLASSES = 200
"""Classes that are looked at, drawn where there are more."""
PIECES = 12
"""Pieces of a text from its beginning, and from its end, that are looked at."""
PIECE = re.compile(r"[^\W\d_]+|\d+")


def leaks(features: pl.DataFrame, y: NDArray[np.int64]) -> dict[str, str]:
    """column → why it is suspected of giving the label away. Made to be said, not to leave columns out.

    A column alone predicts the class of one half of the rows (then of the other) by what the class of the same word, or
    of the nearest number, was in the other half. It is suspected where

    - each of its values belongs to one class, with at most two values for each: a copy of the label;
    - or its balanced accuracy is at least ``PERFECT``;
    - or, sorted by it, the classes come one after another: a row number of sorted data, a time. Where a class has few
      examples this is seen when the accuracy cannot be, for the ends of each run are wrong;
    - or it has another whole number in each row, without a gap: a row number, which predicts nothing new.

    The second and third count only where every other column is below ``EASY`` and at most half of the columns are such:
    in data that are easy, any column is as good.

    Numbers are compared by size; texts, when there are more than two for each class, also by their order and by their
    pieces (runs of letters or digits, counted from either end), so that ``data/cat/0017.png`` gives "cat" away.

    Args:
        features: N rows without missing values.
        y: (N,) classes.

    Cost: ``ROWS`` rows of each column, or ``LEAST`` of each class, are sorted twice; 0.3 s for adult (32,561
    rows of 14 columns) on one core.
    """
    rows = _sample(y)
    half, seen, labels = np.arange(len(rows)) % 2 == 0, features[rows], y[rows]
    classes = len(np.unique(labels))
    if classes < 2 or len(rows) < LEAST:
        return {}
    found: dict[str, str] = {}
    suspected: dict[str, str] = {}
    best = 0.0
    for column in seen:
        accuracy = max(_accuracy(values, labels, half) for values in _readings(column, classes))
        if _is_copy(column, labels, classes):
            found[column.name] = "each of its values belongs to one class: is it the label under another name?"
        elif _in_order(_numbers(column), labels):
            suspected[column.name] = "sorted by it, the classes come one after another: is it a row number or a time?"
        elif accuracy >= PERFECT:
            suspected[column.name] = f"alone it predicts the class of {accuracy:.1%} of held-out rows (balanced)."
        else:
            best = max(best, accuracy)
    if best < EASY and len(suspected) <= max(1, features.width // 2):
        found |= suspected
    for column in features:
        if column.name not in found and _counts_rows(column):
            found[column.name] = "it has another whole number in each row, without a gap: is it a row number?"
    return {name: found[name] for name in features.columns if name in found}


def _sample(y: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows class by class, so that every second of them is half of each class; a class of one row is left out."""
    draws = np.random.default_rng(0)
    values = draws.permutation(np.unique(y))[:CLASSES]
    most = max(LEAST, ROWS // max(1, len(values)))
    parts = [draws.permutation(np.flatnonzero(y == value))[:most] for value in values]
    return np.concatenate([part[: len(part) // 2 * 2] for part in parts]) if parts else np.zeros(0, np.intp)


def _readings(column: pl.Series, classes: int) -> Iterator[NDArray[np.float64] | NDArray[np.intp]]:
    """What can be read from a column: numbers to compare by size, or numbers of words (intp) that are equal or not."""
    if column.dtype.is_numeric():
        yield column.cast(pl.Float64).to_numpy()
        return
    words = column.cast(pl.String).to_list()
    yield np.unique(words, return_inverse=True)[1]
    if len(set(words)) > 2 * classes:
        yield _numbers(column)
        pieces = [PIECE.findall(word) for word in words]
        for place in (*range(PIECES), *range(-PIECES, 0)):
            here = [found[place] if -len(found) <= place < len(found) else "" for found in pieces]
            if len(set(here)) > 1:
                yield np.unique(here, return_inverse=True)[1]


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    """A column as numbers by size: texts by their place in the alphabet."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).to_numpy()
    return np.unique(column.cast(pl.String).to_list(), return_inverse=True)[1].astype(np.float64)


def _accuracy(values: NDArray, labels: NDArray[np.int64], half: NDArray[np.bool_]) -> float:
    """Balanced accuracy over both halves, each predicted from the other."""
    right = np.zeros(len(labels), dtype=bool)
    for known in (half, ~half):
        distinct, place = np.unique(values[known], return_inverse=True)
        pairs, counts = np.unique(np.stack([place, labels[known]]), axis=1, return_counts=True)
        often = np.lexsort((counts, pairs[0]))  # by value, the most frequent class last
        likely = pairs[1][often[np.searchsorted(pairs[0][often], np.arange(len(distinct)), side="right") - 1]]
        after = np.searchsorted(distinct, values[~known]).clip(0, len(distinct) - 1)
        before = (after - 1).clip(0)
        with np.errstate(over="ignore"):  # farther than float64 reaches is far
            nearer = np.abs(distinct[before] - values[~known]) < np.abs(distinct[after] - values[~known])
        nearest = np.where(nearer, before, after)
        same = distinct[nearest] == values[~known]
        right[~known] = (likely[nearest] == labels[~known]) & (same | (values.dtype.kind == "f"))
    return float(np.mean([right[labels == value].mean() for value in np.unique(labels)]))


def _is_copy(column: pl.Series, labels: NDArray[np.int64], classes: int) -> bool:
    values = column.n_unique()
    pairs = pl.DataFrame({"value": column, "class": labels}).n_unique()
    return values == pairs <= 2 * classes and len(labels) >= 5 * values


def _in_order(numbers: NDArray[np.float64], labels: NDArray[np.int64]) -> bool:
    """Whether nearly every class is one run of the rows sorted by ``numbers``: 1 % of the runs that chance would give,
    beyond one for each class, are allowed."""
    if 2 * len(np.unique(numbers)) < len(numbers):  # a class may be a run of few values: that is what accuracy is for
        return False
    runs = 1 + int(np.count_nonzero(np.diff(labels[np.argsort(numbers, kind="stable")])))
    counts = np.unique(labels, return_counts=True)[1]
    chance = len(labels) * (1 - float(np.square(counts / len(labels)).sum()))
    return chance >= 2 * len(counts) and runs - len(counts) <= 0.01 * (chance - len(counts))


def _counts_rows(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or len(column) < LEAST:
        return False
    low, high = column.min(), column.max()
    return int(high) - int(low) == len(column) - 1 and column.n_unique() == len(column)  # type: ignore[arg-type]
