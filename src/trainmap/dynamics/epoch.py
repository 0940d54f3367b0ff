"""The numbers of the epoch under way: logits come in batch by batch, columns of signals come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.logit_precision import check_logits, narrowed, near
from trainmap.dynamics.manifest import Level
from trainmap.dynamics.probabilities import As, Doubt, as_logits
from trainmap.dynamics.signals import chunk_rows, empty_signals, signals_from_logits

Array = NDArray[Any]


class Epoch:
    """Columns of ``rows`` examples, none seen yet: NaN, and -1 in ``predicted``.

    Logits wait in a buffer, so that signals are computed for a few thousand examples at a time: for a batch of 128
    the calls would cost several times the numbers.
    """

    def __init__(self, rows: int, classes: int, level: Level, as_: As | None = None) -> None:
        self.classes, self.level = classes, level
        self._as: As | None = as_
        self.doubt = Doubt()
        self._columns = self._empty(rows)
        size = chunk_rows(classes)
        self._logits = np.empty((size, classes), np.float32)
        self._labels = np.empty(size, np.int64)
        self._rows = np.empty(size, np.int64)
        self._fill = 0

    def check(self, ids: Array, logits: Array, labels: Array) -> Array:
        """The logits of a batch, (B, C) numbers of any kind, as ``add`` takes them; nothing is kept of it.

        Raises:
            RecordingError: what cannot be logits: see ``precision.check_logits`` and ``probabilities``.
        """
        logits = as_logits(logits, self._as, self.doubt)
        return check_logits(ids, logits, labels, half=self.level == "logits")

    def add(self, rows: Array, logits: Array, labels: Array, examples: int | None = None) -> None:
        """Take a batch that is in order: (B,) rows, (B, C) logits as ``check`` gives them, (B,)
        labels; all rows are below ``examples``."""
        self._make_room(int(rows.max(initial=-1)) + 1 if examples is None else examples)
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + len(self._rows) - self._fill)
            here = slice(self._fill, self._fill + stop - start)
            part = logits[start:stop]
            self._logits[here] = part if part.dtype == np.float32 else narrowed(part)
            if self.level == "logits":
                self._keep_logits(rows[start:stop], near(part))
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
        self._store(self._rows[: self._fill], signals_from_logits(logits, labels), labels)
        self._fill = 0

    def _store(self, rows: Array, columns: Mapping[str, Array], labels: Array) -> None:
        """Keep what was computed for these rows."""
        del labels
        for name, column in columns.items():
            self._columns[name][rows] = column

    def _keep_logits(self, rows: Array, logits: Array) -> None:
        """Keep (B, C) logits of these rows, in half precision."""
        self._columns["logits"][rows] = logits

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
