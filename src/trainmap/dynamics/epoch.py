"""The numbers of the epoch under way: logits come in batch by batch, columns of signals come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.manifest import Level
from trainmap.dynamics.signals import LIMIT, chunk_rows, empty_signals, signals_from_logits
from trainmap.errors import RecordingError, some

Array = NDArray[Any]

HALF_LIMIT = float(np.finfo(np.float16).max)
SURELY_SMALL = 6e4


class Epoch:
    """Columns of ``rows`` examples, none seen yet: NaN, and -1 in ``predicted``.

    Logits wait in a buffer, so that signals are computed for a few thousand examples at a time: for a batch of 128
    the calls would cost several times the numbers.
    """

    def __init__(self, rows: int, classes: int, level: Level) -> None:
        self.classes, self.level = classes, level
        self._columns = self._empty(rows)
        size = chunk_rows(classes)
        self._logits = np.empty((size, classes), np.float32)
        self._labels = np.empty(size, np.int64)
        self._rows = np.empty(size, np.int64)
        self._fill = 0

    def add(self, rows: Array, logits: Array, labels: Array, examples: int | None = None) -> None:
        """Take a batch that is in order: (B,) rows, (B, C) logits, (B,) labels; all rows are below ``examples``."""
        self._make_room(int(rows.max(initial=-1)) + 1 if examples is None else examples)
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + len(self._rows) - self._fill)
            here = slice(self._fill, self._fill + stop - start)
            self._logits[here] = logits[start:stop]
            self._labels[here] = labels[start:stop]
            self._rows[here] = rows[start:stop]
            self._fill, start = here.stop, stop
            if self._fill == len(self._rows):
                self._flush()

    def columns(self, rows: int) -> dict[str, Array]:
        """The columns of the first ``rows`` examples. They are this object's own memory: copy what must last."""
        self._make_room(rows)
        self._flush()
        return {name: column[:rows] for name, column in self._columns.items()}

    def clear(self) -> None:
        """Begin the next epoch with the same examples."""
        for name, column in self._columns.items():
            column[...] = -1 if name == "predicted" else np.nan
        self._fill = 0

    def _flush(self) -> None:
        """Turn the logits that wait into signals."""
        logits, labels = self._logits[: self._fill], self._labels[: self._fill]
        columns = signals_from_logits(logits, labels)
        if self.level == "logits":
            columns["logits"] = logits
        self._store(self._rows[: self._fill], columns, labels)
        self._fill = 0

    def _store(self, rows: Array, columns: Mapping[str, Array], labels: Array) -> None:
        """Keep what was computed for these rows."""
        del labels
        for name, column in columns.items():
            self._columns[name][rows] = column

    def _make_room(self, rows: int) -> None:
        """While examples are being learned their rows come one behind the other; at least double, then."""
        have = len(self._columns["loss"])
        if rows > have:
            more = self._empty(max(rows, 2 * have, 1024) - have)
            self._columns = {name: np.concatenate([column, more[name]]) for name, column in self._columns.items()}

    def _empty(self, rows: int) -> dict[str, Array]:
        columns = empty_signals(rows, self.classes)
        if self.level == "logits":
            columns["logits"] = np.full((rows, self.classes), np.nan, np.float16)
        return columns


def check_logits(ids: Array, logits: Array, level: Level) -> Array:
    """(B, C) logits that can be recorded, as they are or as float32 where they are narrower or integers.

    Raises:
        RecordingError: NaN, infinity, or a number so large that a signal would overflow.
    """
    if logits.dtype.itemsize < 4 or logits.dtype.kind != "f":
        logits = logits.astype(np.float32)
    # For a batch the sum of squares costs a quarter of a maximum. Above 10,000 numbers BLAS would wake its threads.
    if logits.size <= 8192 and np.vdot(logits, logits) <= SURELY_SMALL**2:
        return logits
    limit = HALF_LIMIT if level == "logits" else LIMIT
    if logits.size and not np.abs(logits).max() <= limit:
        _refuse(ids, logits, limit)
    return logits


def _refuse(ids: Array, logits: Array, limit: float) -> None:
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        raise RecordingError(
            f"logits must be finite; {bad.sum()} of {len(ids)} examples have NaN or infinity "
            f"(first: {some(ids[bad].tolist())}); has the training diverged?"
        )
    bad = ~(np.abs(logits) <= limit).all(axis=1)
    why = "to be kept in half precision; use level='signals'" if limit == HALF_LIMIT else "in single precision"
    raise RecordingError(
        f"logits must lie within ±{limit:g} {why}; {bad.sum()} of {len(ids)} examples do not "
        f"(first: {some(ids[bad].tolist())})"
    )
