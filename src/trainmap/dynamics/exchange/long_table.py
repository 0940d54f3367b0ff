"""A recording as one long table: a row for each example and epoch, for polars, pandas, DuckDB and the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.dynamics.index import ids_to_arrow
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, unknown
from trainmap.files import writing
from trainmap.kinds import check_kind

Array = NDArray[Any]

ROWS = 1 << 18  # of a row group
BLOCK_VALUES = 1 << 22


def export_long(
    dynamics: Dynamics,
    path: str | Path,
    signals: Sequence[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Write (epoch, id, label, signals...) as Parquet: E x N rows, by epoch and then by id. Of regression
    the target as well.

    Streamed: memory holds one row group. Where an epoch did not see an example, its signals are null.

    Args:
        path: FILE.parquet.
        signals: which columns; by default all but the logits (asked for by name, they are a list in each row).
        on_progress: called with 1 after each epoch.
    """
    target = Path(path)
    if target.suffix != ".parquet":
        raise TrainmapError(f"the long table is written as Parquet: its name must end in .parquet, got {target.name}")
    names = _chosen(dynamics, signals)
    step = max(1, min(ROWS, BLOCK_VALUES // max(1, dynamics.classes)))
    with (
        writing(target) as handle,
        pq.ParquetWriter(handle, _rows(dynamics, 0, names, slice(0)).schema) as writer,
    ):
        for epoch in range(dynamics.epochs):
            for start in range(0, len(dynamics), step):
                writer.write_table(_rows(dynamics, epoch, names, slice(start, start + step)))
            if on_progress is not None:
                on_progress(1)
    return target


def _rows(dynamics: Dynamics, epoch: int, names: list[str], rows: slice) -> pa.Table:
    """Some rows of one epoch of the long table."""
    labels, ids, targets = dynamics.labels[rows], dynamics.ids[rows], dynamics.targets
    return pa.table(
        {
            "epoch": pa.array(np.full(len(labels), epoch, np.int32)),
            "id": ids_to_arrow(ids),
            "label": pa.array(labels, mask=labels == UNKNOWN_LABEL),
            **({} if targets is None else {"target": pa.array(targets[rows], mask=np.isnan(targets[rows]))}),
            **{name: _to_arrow(dynamics.column(epoch, name)[rows]) for name in names},
        }
    )


def _chosen(dynamics: Dynamics, signals: Sequence[str] | None) -> list[str]:
    check_kind(dynamics, Dynamics)
    if not dynamics.epochs:
        raise TrainmapError(f"{dynamics.path} has no finished epoch yet")
    if dynamics.level == "stats":
        raise TrainmapError("a recording at level 'stats' keeps sums and no epochs; record with level='signals'")
    names = [name for name in dynamics.signals if name != "logits"] if signals is None else list(signals)
    for name in names:
        if name not in dynamics.signals:
            raise unknown("signal", name, dynamics.signals)
    if not names:
        raise TrainmapError(f"signals must name at least one of {', '.join(dynamics.signals)}, got none")
    return names


def _to_arrow(column: Array) -> pa.Array:
    """A signal's column, (n,) or (n, C), with null where the example was not seen."""
    if column.ndim == 1:
        return pa.array(column, mask=column < 0 if column.dtype.kind == "i" else np.isnan(column))
    values = pa.array(column.astype(np.float32).reshape(-1))  # half precision is not read everywhere
    offsets = np.arange(0, column.size + 1, column.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(np.isnan(column[:, 0])))


def trajectories(dynamics: Dynamics, signal: str = "p_gold") -> Array:
    """(N, E): how one signal of each example went over the epochs; NaN (-1 in ``predicted``) where it was not seen."""
    check_kind(dynamics, Dynamics)
    if signal == "logits":
        raise TrainmapError("a trajectory is one number an epoch; logits are C of them")
    return dynamics.block(signals=_chosen(dynamics, [signal]))[signal].T
