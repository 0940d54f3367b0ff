"""Level "stats": running sums over the epochs instead of the epochs, one file whatever their number.

For an example with the epochs e in which it was seen, p_e = p(gold), and J of them:

    visits        J
    p_gold        sum_e p_e
    p_spread      sum_e (p_e - mean p)^2
    epoch         sum_e e
    epoch_spread  sum_e (e - mean e)^2
    p_by_epoch    sum_e (e - mean e)(p_e - mean p)
    aleatoric     sum_e p_e (1 - p_e)
    margin, loss, entropy    their sums
    el2n          its sum over the epochs before ``EARLY``, and early_visits, how many those were
    correct       in how many the prediction was the gold label
    forgotten     how often it went from right to wrong
    first_right   the first epoch with a right prediction, -1 if none
    right_since   the first epoch of the right predictions that have lasted until now, -1 when last seen wrong

The three spreads are updated by Youngs and Cramer (1971): with T_j the sum of the first j values,
S_j = S_{j-1} + (j x_j - T_j)^2 / (j (j - 1)), which loses no digits where a sum of squares would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.columns import check_file, map_columns
from trainmap.dynamics.manifest import Manifest
from trainmap.errors import StoreError
from trainmap.files import reading

Array = NDArray[Any]

EARLY = 10  # EL2N is a score of early epochs
NEVER = -1
ROWS = 1 << 15  # at a time: the sums and their temporaries stay in the cache

SUMS = ("p_gold", "p_spread", "epoch", "epoch_spread", "p_by_epoch", "aleatoric", "margin", "loss", "entropy", "el2n")
COUNTS = ("visits", "early_visits", "correct", "forgotten")
EPOCHS = ("first_right", "right_since")


@dataclass(frozen=True)
class Stats:
    """Running sums of n examples over ``epochs`` epochs: the columns of the module's head, each (n,)."""

    epochs: int
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.columns["visits"])

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def rows(self, start: int, stop: int) -> Stats:
        """The same of some rows."""
        return Stats(self.epochs, {name: column[start:stop] for name, column in self.columns.items()})

    def mean(self, name: str) -> Array:
        """(n,) float64: a sum over the number of visits; NaN for an example that was never seen."""
        return _over(self[name], self["visits"])

    def early_mean(self) -> Array:
        """(n,) float64: the mean of el2n over the early epochs; NaN for an example that they did not see."""
        return _over(self["el2n"], self["early_visits"])


def _over(total: Array, count: Array) -> Array:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def empty_stats(rows: int) -> Stats:
    """Before the first epoch."""
    return Stats(
        0,
        {
            **{name: np.zeros(rows, np.int32) for name in COUNTS},
            **{name: np.full(rows, NEVER, np.int32) for name in EPOCHS},
            **{name: np.zeros(rows) for name in SUMS},
        },
    )


def read_stats(folder: Path, manifest: Manifest, verify: bool = True) -> Stats:
    """The running sums, by memory map: they stay readable when a recorder replaces the file."""
    assert manifest.stats is not None
    path = check_file(folder, manifest.stats, whole=verify)
    batch = map_columns(path)
    if batch.num_rows != manifest.examples:
        raise StoreError(f"{path} has {batch.num_rows} rows, the manifest says {manifest.examples}")
    with reading(path, "file of running sums"):
        columns = {name: batch.column(name).to_numpy(zero_copy_only=True) for name in batch.schema.names}
        for name, column in empty_stats(0).columns.items():
            if name not in columns or columns[name].dtype != column.dtype:
                raise StoreError(f"{path} must have '{name}' as {column.dtype}; restore it from a copy")
    return Stats(manifest.stats.epochs, columns)


def add_epoch(stats: Stats, signals: Mapping[str, Array], labels: Array) -> Stats:
    """The sums with one epoch more; the ones given stay as they are.

    Args:
        signals: columns (n,) of the epoch, NaN (-1 in ``predicted``) where an example was not seen.
        labels: (n,) gold labels of those that were seen.
    """
    new = {name: column.copy() for name, column in stats.columns.items()}
    for start in range(0, len(stats), ROWS):
        here = slice(start, start + ROWS)
        _add(
            {name: column[here] for name, column in new.items()},
            {name: column[here] for name, column in signals.items()},
            labels[here],
            stats.epochs,
        )
    return Stats(stats.epochs + 1, new)


def _add(sums: Mapping[str, Array], signals: Mapping[str, Array], labels: Array, now: int) -> None:
    """The same for some rows, in place."""
    seen = signals["predicted"] >= 0
    p = np.where(seen, signals["p_gold"], 0).astype(np.float64)
    visits = sums["visits"]
    visits += seen
    sums["epoch"][seen] += now
    sums["p_gold"][:] += p
    # How far the newcomer is from the mean, times the visits: nothing at the first one.
    p_off = np.where(seen, visits * p - sums["p_gold"], 0)
    epoch_off = np.where(seen, visits * float(now) - sums["epoch"], 0)
    pairs = np.maximum(visits * (visits - 1.0), 1)
    sums["p_spread"][:] += p_off * p_off / pairs
    sums["epoch_spread"][:] += epoch_off * epoch_off / pairs
    sums["p_by_epoch"][:] += p_off * epoch_off / pairs
    sums["aleatoric"][:] += p * (1 - p)
    for name in ("margin", "loss", "entropy"):
        np.add(sums[name], signals[name], out=sums[name], where=seen)
    if now < EARLY:
        np.add(sums["el2n"], signals["el2n"], out=sums["el2n"], where=seen)
        sums["early_visits"][seen] += 1
    right = seen & (signals["predicted"] == labels)
    wrong = seen & ~right
    was_right = sums["right_since"] != NEVER
    sums["correct"][right] += 1
    sums["forgotten"][wrong & was_right] += 1
    sums["first_right"][right & (sums["first_right"] == NEVER)] = now
    sums["right_since"][right & ~was_right] = now
    sums["right_since"][wrong] = NEVER
