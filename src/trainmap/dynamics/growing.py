"""Newcomers: examples that an epoch brings when earlier ones are recorded already.

Rows are sorted by id, so a newcomer stands among the others and every earlier file is written again with its row, as
not seen. What the manifest lists stays as it is until a new manifest lists the new files in its place: they get names
of their own, ``00003-1.arrow`` for ``00003.arrow`` and ``examples-1.parquet`` for ``examples.parquet``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.dynamics.columns import check_file, open_columns, values, write_columns
from trainmap.dynamics.index import find_rows
from trainmap.dynamics.manifest import EpochEntry
from trainmap.dynamics.stats import Stats, empty_stats

Array = NDArray[Any]


def next_name(file: str) -> str:
    """``epochs/00003.arrow`` -> ``epochs/00003-1.arrow`` -> ``epochs/00003-2.arrow``."""
    stem, version, ending = re.fullmatch(r"(.*?)(?:-(\d+))?(\.\w+)", file).groups()  # type: ignore[union-attr]
    return f"{stem}-{int(version or 0) + 1}{ending}"


def with_newcomers(
    folder: Path, entries: Sequence[EpochEntry], stats: Stats, old: Array, ids: Array
) -> tuple[list[EpochEntry], Stats]:
    """The recorded epochs and the sums of ``old`` (n,) ids with a row for each of ``ids`` (N,), which include them.

    Both are ascending. The epochs are written as new files beside the ones that are there.
    """
    rows = find_rows(ids, old)
    grown = []
    for entry in entries:
        path = check_file(folder, entry, whole=True)
        batch = open_columns(pa.memory_map(str(path)), path)
        columns = {name: _spread(values(batch.column(name)), rows, len(ids)) for name in batch.schema.names}
        new = write_columns(folder, next_name(entry.file), columns, entry.seen)
        grown.append(entry.model_copy(update={"file": new.file, "bytes": new.bytes, "crc32": new.crc32}))
    if len(stats):
        columns = dict(empty_stats(len(ids)).columns)
        for name, column in columns.items():
            column[rows] = stats[name]
        stats = Stats(stats.epochs, columns)
    return grown, stats


def _spread(column: Array, rows: Array, size: int) -> Array:
    """A signal with rows for those who were not seen: NaN, and -1 in integers."""
    out = np.full((size, *column.shape[1:]), np.nan if column.dtype.kind == "f" else -1, column.dtype)
    out[rows] = column
    return out
