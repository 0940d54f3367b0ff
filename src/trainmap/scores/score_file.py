"""Scores as a file, one row for each example, written block by block: the memory is a block's, whatever the dataset."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trainmap.cells import cells
from trainmap.dynamics.index import ids_to_arrow
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.files import writing
from trainmap.scores.compute import Estimate, score_blocks
from trainmap.scores.table import Score

FORMATS = (".parquet", ".csv")
GROUP_ROWS = 1 << 17  # examples in a row group of the Parquet file


def check_scores_name(path: str | Path) -> Path:
    """The path, after checking that its name ends in .parquet or .csv."""
    target = Path(path)
    if target.suffix not in FORMATS:
        raise TrainmapError(f"scores are written as {' or '.join(FORMATS)}, got {target.name}")
    return target


def write_scores(
    dynamics: Dynamics,
    chosen: dict[str, Score],
    plan: Estimate,
    path: str | Path,
    *,
    epochs: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Score every example and write id, label and one column for each score, rows by id.

    Args:
        chosen: from ``trainmap.scores.compute.resolve``.
        plan: from ``estimate(..., collect=False)``.
        path: FILE.parquet or FILE.csv; appears when it is whole.
    """
    target = check_scores_name(path)
    write = _write_csv if target.suffix == ".csv" else _write_parquet
    with writing(target) as handle:
        write(handle, _tables(dynamics, chosen, plan, epochs, on_progress))
    return target


def _tables(
    dynamics: Dynamics,
    chosen: dict[str, Score],
    plan: Estimate,
    epochs: int | None,
    on_progress: Callable[[int], None] | None,
) -> Iterator[pa.Table]:
    for start, values in score_blocks(dynamics, chosen, plan, epochs):
        rows = len(next(iter(values.values())))
        here = slice(start, start + rows)
        ids, labels = dynamics.ids[here], dynamics.labels[here]
        columns: dict[str, Any] = {
            "id": ids_to_arrow(ids),
            "label": pa.array(labels, mask=labels == UNKNOWN_LABEL),
        }
        yield pa.table(columns | {name: pa.array(column) for name, column in values.items()})
        if on_progress is not None:
            on_progress(rows)


def _write_parquet(handle: BinaryIO, tables: Iterator[pa.Table]) -> None:
    """In row groups of about ``GROUP_ROWS``: a block may be much smaller, and many small groups read slowly."""
    waiting: list[pa.Table] = []
    first = next(tables)
    with pq.ParquetWriter(handle, first.schema) as writer:
        for table in _chain(first, tables):
            waiting.append(table)
            if sum(part.num_rows for part in waiting) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


def _write_csv(handle: BinaryIO, tables: Iterator[pa.Table]) -> None:
    """NaN is written NaN and infinity inf, which polars, pandas and numpy read back as numbers."""
    header = True
    for table in tables:
        part = io.BytesIO()
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        cells(frame).write_csv(part, include_header=header)
        handle.write(part.getbuffer())
        header = False


def _chain(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    yield from rest
