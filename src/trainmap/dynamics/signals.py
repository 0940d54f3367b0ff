"""From logits and a gold label to the few numbers that are kept for one example at one epoch.

With z the logits of an example, p = softmax(z) and y its gold label:

    p_gold     p_y
    margin     z_y - max_{c != y} z_c
    loss       -log p_y                    (nats)
    entropy    -sum_c p_c log p_c          (nats)
    el2n       || p - onehot(y) ||_2
    predicted  argmax_c z_c                (the smaller class wins a tie)

All but ``predicted`` are float32; ``predicted`` is int16, or int32 above 32,767 classes. An example that was not
seen in an epoch is NaN, and -1 in ``predicted``. A class with the logit -inf is masked: it has probability 0 and counts
in no signal (``trainmap.dynamics.logit_precision``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_labels, to_logits
from trainmap.dynamics.logit_precision import LIMIT as LIMIT
from trainmap.dynamics.logit_precision import check_logits, narrowed, widened
from trainmap.dynamics.probabilities import As, as_logits
from trainmap.dynamics.signal_chunks import fill_by_class, fill_by_row
from trainmap.errors import TrainmapError, some

Array = NDArray[Any]

FLOAT_SIGNALS = ("p_gold", "margin", "loss", "entropy", "el2n")
SIGNALS = (*FLOAT_SIGNALS, "predicted")
WIDE = range(64, 4097)  # numbers of classes for which a row is worked as it stands; numpy regroups longer sums
UNKNOWN_LABEL = -1
CHUNK_ELEMENTS = 1 << 16  # 256 KiB of float32: a chunk and its temporaries stay in the cache of one core
WIDE_ELEMENTS = 1 << 18  # where a row is worked as it stands, longer runs pay (measured at 100 classes)
CHUNK_ROWS = 128  # at least: below it the calls cost more than the numbers (measured, 1,000 to 30,000 classes)


def chunk_rows(classes: int) -> int:
    """How many examples are worked on at a time."""
    return max(CHUNK_ROWS, (WIDE_ELEMENTS if classes in WIDE else CHUNK_ELEMENTS) // classes)


def predicted_dtype(classes: int) -> np.dtype[Any]:
    """int16 where every class fits (and -1 for not seen), else int32."""
    return np.dtype(np.int16 if classes <= np.iinfo(np.int16).max else np.int32)


def empty_signals(rows: int, classes: int) -> dict[str, Array]:
    """Columns of ``rows`` examples that have not been seen: NaN, and -1 in ``predicted``."""
    columns: dict[str, Array] = {name: np.full(rows, np.nan, np.float32) for name in FLOAT_SIGNALS}
    columns["predicted"] = np.full(rows, -1, predicted_dtype(classes))
    return columns


def signals_from_logits(logits: Array, labels: Array, rows_at_a_time: int | None = None) -> dict[str, Array]:
    """The six signals of n examples.

    Args:
        logits: (n, C) within ``LIMIT``, any real dtype; less the largest of a row in their own type, then in float32.
            -inf is a masked class.
        labels: (n,) integers in [0, C), of classes that are not masked.

    Returns:
        name -> (n,), dtypes as in the module's head. The result of an example never depends on its neighbours.

    Worked in chunks that stay near the core. Outside ``WIDE`` a chunk is transposed: a reduction over the classes
    is then a row-wise vector operation, 3 to 5 times faster for ten classes than along the last axis. Within it a row
    is long enough to be a vector itself (measured: slower at 32 classes, faster at 100 and 1,000).
    """
    rows, classes = logits.shape
    labels = labels.astype(np.int64, copy=False)
    out = empty_signals(rows, classes)
    step = min(rows, chunk_rows(classes) if rows_at_a_time is None else rows_at_a_time)
    wide = classes in WIDE
    work = np.empty((2, step, classes) if wide else (3, classes, step), np.float32)
    for start in range(0, rows, max(1, step)):
        stop = min(start + step, rows)
        here = {name: column[start:stop] for name, column in out.items()}
        z = narrowed(widened(logits[start:stop]))
        if wide:
            fill_by_row(z, labels[start:stop], here, work[:, : stop - start])
            continue
        if stop - start < step:
            work = np.empty((3, classes, stop - start), np.float32)
        fill_by_class(z, labels[start:stop], here, work)
    return out


def read_only(array: Array) -> Array:
    """The array, from now on closed to whoever would change it in place."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Block:
    """E epochs of n examples: what a score function gets. Pure data; nothing is read from disk.

    Several scores share a block, so what it computes for them (means, variance, right or wrong) is read-only, and so
    are the signals of a recording: a score works on copies.

    Attributes:
        labels: (n,) int64.
        classes: C.
        signals: name -> (E, n), from ``SIGNALS`` or those of another kind; NaN (-1 in ``predicted``) where an example
            was not seen.
        complete: every example was seen in every epoch.
        logits: (E, n, C) float16 or float32, or None where the recording has none.
    """

    labels: Array
    classes: int
    signals: Mapping[str, Array]
    complete: bool = True
    logits: Array | None = field(default=None, repr=False)

    @staticmethod
    def from_logits(logits: Any, labels: Any, as_: As | None = None) -> Block:
        """A block from (E, n, C) logits and (n,) labels in memory; NaN in all of an example's logits: not seen.

        Args:
            logits: any array of numbers; -inf is a masked class.
            labels: classes, 0 to C - 1.
            as_: "probabilities" where they are that; "logits" where they are logits that look like probabilities;
                None refuses what looks so (``trainmap.dynamics.probabilities``).

        Raises:
            TrainmapError: other shapes, NaN in some classes, +inf, a gold class that is masked, labels out of range.
        """
        logits, labels = to_logits(logits), to_labels(labels)
        if logits.ndim != 3 or labels.shape != logits.shape[1:2]:
            raise TrainmapError(
                f"logits must be (epochs, n, classes) and labels (n,), got {logits.shape} and {labels.shape}"
            )
        epochs, rows, classes = logits.shape
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            raise TrainmapError(f"labels must be 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
        logits = logits if logits.dtype.kind == "f" else widened(logits)
        missing = np.asarray(np.isnan(logits).all(axis=2))
        signals = {name: np.empty((epochs, rows), column.dtype) for name, column in empty_signals(0, classes).items()}
        kept = np.empty(logits.shape) if as_ == "probabilities" else logits
        for epoch, seen in enumerate(~missing):
            here = np.flatnonzero(seen)
            if as_ == "probabilities":
                kept[epoch] = np.nan
            try:
                z = check_logits(here, as_logits(logits[epoch][seen], as_), labels[seen])
            except TrainmapError as error:
                raise TrainmapError(
                    f"epoch {epoch}, by row: {error}; an example that an epoch did not see is NaN in every class"
                ) from None
            if as_ == "probabilities":
                kept[epoch][seen] = z
            empty = empty_signals(rows, classes)
            for name, column in signals_from_logits(z, labels[seen]).items():
                empty[name][seen] = column
                signals[name][epoch] = empty[name]
        return Block(labels, classes, signals, complete=not missing.any(), logits=kept)

    @property
    def epochs(self) -> int:
        return next(iter(self.signals.values())).shape[0]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, name: str) -> Array:
        """A signal, (E, n)."""
        if name not in self.signals:
            raise TrainmapError(f"this block holds {some(self.signals, 9)}; a score asked for '{name}'")
        return self.signals[name]

    @property
    def p_gold(self) -> Array:
        return self["p_gold"]

    @property
    def predicted(self) -> Array:
        return self["predicted"]

    @cached_property
    def seen(self) -> Array:
        """(E, n) bool."""
        if self.complete:
            return read_only(np.ones((self.epochs, len(self)), bool))
        name = next(iter(self.signals))
        return read_only(self[name] >= 0 if name == "predicted" else ~np.isnan(self[name]))

    @cached_property
    def visits(self) -> Array:
        """(n,) float64: in how many epochs an example was seen."""
        if self.complete:
            return read_only(np.full(len(self), float(self.epochs)))
        return read_only(self.seen.sum(axis=0).astype(np.float64))

    @cached_property
    def correct(self) -> Array:
        """(E, n) bool: predicted the gold label. False where not seen."""
        labels = self.labels.astype(self.predicted.dtype)
        labels[labels == UNKNOWN_LABEL] = -2  # not the -1 of an epoch that did not see the example
        return read_only(self.predicted == labels)

    @cached_property
    def p64(self) -> Array:
        """(E, n) float64: ``p_gold``, converted once for all the scores that add it up."""
        return read_only(self.p_gold.astype(np.float64, copy=False).view())

    @cached_property
    def times_correct(self) -> Array:
        """(n,) unsigned: in how many epochs the prediction was the gold label."""
        return read_only(self.count(self.correct))

    def count(self, flags: Iterable[Array]) -> Array:
        """In how many of E rows of n bool an example is true, (n,) in the smallest unsigned type that holds E."""
        total = np.zeros(len(self), np.min_scalar_type(self.epochs))
        for row in flags:
            np.add(total, row.view(np.uint8), out=total)
        return total

    def where_seen(self, values: Array) -> Array:
        """(n,) float64: the values; NaN for an example that was never seen."""
        return values if self.complete else np.where(self.visits > 0, values, np.nan)

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What scores share, by a key of theirs, read-only; lives as long as the block."""
        return {}

    def mean(self, name: str) -> Array:
        """(n,) float64: the mean of a signal over the epochs in which an example was seen; NaN if never.

        Epochs are added in order, so the last bit does not depend on the size of the block. Kept, so that scores
        that share a mean pay for it once.
        """
        if name not in self.kept:
            self.kept[name] = read_only(self.mean_of(self.p64 if name == "p_gold" else self[name]))
        return self.kept[name]

    def mean_of(self, values: Iterable[Array]) -> Array:
        """The same for any (E, n) values, or E rows of n."""
        total = np.zeros(len(self))
        for row, seen in self.rows(values):
            np.add(total, row, out=total, where=seen)
        return self.over_visits(total)

    def rows(self, values: Iterable[Array]) -> Iterator[tuple[Array, Array | bool]]:
        """Epoch by epoch: the values (n,), and which of them were seen (True where all were)."""
        if self.complete:
            return ((row, True) for row in values)
        return zip(values, self.seen, strict=True)

    def over_visits(self, total: Array) -> Array:
        """A sum over epochs divided by the number of epochs in which each example was seen; NaN if never."""
        if self.complete:
            return total / self.epochs
        return np.divide(total, self.visits, out=np.full(len(self), np.nan), where=self.visits > 0)

    @property
    def variance(self) -> Array:
        """(n,) float64: the population variance of p_gold, see ``variance_of``."""
        return self.variance_of("p_gold")

    def variance_of(self, name: str) -> Array:
        """(n,) float64: the population variance of a signal over the epochs in which an example was seen (two-pass)."""
        key = ("variance", name)
        if key not in self.kept:
            mean = self.mean(name)
            total, deviation = np.zeros(len(self)), np.empty(len(self))
            for row, seen in self.rows(self.wide(name)):
                np.subtract(row, mean, out=deviation)
                deviation *= deviation
                np.add(total, deviation, out=total, where=seen)
            self.kept[key] = read_only(self.over_visits(total))
        return self.kept[key]

    def wide(self, name: str) -> Iterable[Array]:
        """E rows of a signal, (n,) float64 each; those of ``p_gold`` are converted once for all."""
        return self.p64 if name == "p_gold" else (row.astype(np.float64) for row in self[name])
