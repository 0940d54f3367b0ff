"""The epoch under way of a recording of plain numbers (every kind but classes): one float32 column for each signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class PlainEpoch:
    """Columns of ``rows`` examples, none seen yet: NaN."""

    def __init__(self, rows: int, names: Sequence[str]) -> None:
        self.names = list(names)
        self._columns = self._empty(rows)

    def check(self, ids: Array, values: Array, labels: Array) -> Array:
        """(B, K) float64 signals of a batch, which its reader has checked."""
        del ids, labels
        return values

    def add(self, rows: Array, values: Array, labels: Array, examples: int) -> None:
        """Take a batch that is in order: (B,) rows below ``examples``, (B, K) float64 signals."""
        del labels
        self._make_room(examples)
        self._store(rows, values)

    def columns(self, rows: int) -> dict[str, Array]:
        """The columns of the first ``rows`` examples. They are this object's own memory: copy what must last."""
        self._make_room(rows)
        return dict(zip(self.names, self._made(self._columns[:, :rows]), strict=True))

    def clear(self) -> None:
        """Begin the next epoch with the same examples."""
        self._columns = self._empty(self._columns.shape[1])

    def _store(self, rows: Array, values: Array) -> None:
        self._columns[:, rows] = values.T

    def _made(self, columns: Array) -> Array:
        """(K, rows) float32 of what was kept."""
        return columns

    def _make_room(self, rows: int) -> None:
        have = self._columns.shape[1]
        if rows > have:
            self._columns = np.concatenate([self._columns, self._empty(max(rows, 2 * have, 1024) - have)], axis=1)

    def _empty(self, rows: int) -> Array:
        return np.full((len(self.names), rows), np.nan, np.float32)


class PlainMeans(PlainEpoch):
    """The same where an example may come again: the mean over its visits, summed in double precision, rounded once."""

    def _store(self, rows: Array, values: Array) -> None:
        for column, visited in zip(self._columns, (*values.T, 1.0), strict=True):
            np.add.at(column, rows, visited)

    def _made(self, columns: Array) -> Array:
        sums, visits = columns[:-1], columns[-1]
        means = np.full(sums.shape, np.nan)
        return np.divide(sums, visits, out=means, where=visits > 0).astype(np.float32)

    def _empty(self, rows: int) -> Array:
        return np.zeros((len(self.names) + 1, rows))
