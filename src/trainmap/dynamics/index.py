"""From ids to rows. A row is where an example's numbers stand; the id is what the example is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.errors import RecordingError, some

Array = NDArray[Any]

MISSING = -1


class Index(Protocol):
    """Rows of a batch of ids, ``MISSING`` where an id is unknown."""

    def rows(self, ids: Array) -> Array: ...


class _Range:
    """Integer ids without a gap: the row is the distance from the first."""

    def __init__(self, ids: Array) -> None:
        self.low, self.size = int(ids[0]), len(ids)

    def rows(self, ids: Array) -> Array:
        places = ids - self.low if self.low else np.ascontiguousarray(ids)
        # As unsigned numbers, those below the first are beyond the last: one comparison for both ends.
        inside = places.view(np.uint64) < self.size
        return places if np.count_nonzero(inside) == len(ids) else np.where(inside, places, MISSING)


class _Table:
    """Integer ids that lie close together: one look-up each."""

    def __init__(self, ids: Array) -> None:
        self.low, self.span = int(ids[0]), int(ids[-1]) - int(ids[0]) + 1
        self.table = np.full(self.span + 1, MISSING, np.int64)  # the last entry is for every id outside
        self.table[ids - self.low] = np.arange(len(ids))

    def rows(self, ids: Array) -> Array:
        places = (ids - self.low).view(np.uint64)
        return self.table[np.minimum(places, np.uint64(self.span)).view(np.int64)]


class _Sorted:
    """Integer ids far apart: binary search."""

    def __init__(self, ids: Array) -> None:
        self.ids = ids

    def rows(self, ids: Array) -> Array:
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[places] == ids, places, MISSING)


class _Names:
    """String ids."""

    def __init__(self, ids: Array) -> None:
        self.row_of = {name: row for row, name in enumerate(ids.tolist())}

    def rows(self, ids: Array) -> Array:
        get = self.row_of.get
        return np.fromiter((get(name, MISSING) for name in ids.tolist()), np.int64, len(ids))


def build_index(ids: Array) -> Index:
    """The fastest index for sorted, distinct ids."""
    if ids.dtype.kind == "U" or not len(ids):
        return _Names(ids)
    # Python integers: the distance between two int64 may not fit in an int64.
    span = int(ids[-1]) - int(ids[0]) + 1
    if span == len(ids):
        return _Range(ids)
    return _Table(ids) if span < 8 * len(ids) + 1024 else _Sorted(ids)


def ids_to_arrow(ids: Array) -> pa.Array:
    """Ids as an Arrow column, int64 or string."""
    return pa.array(ids.tolist(), pa.string()) if ids.dtype.kind == "U" else pa.array(ids)


def ids_from_arrow(column: pa.Array | pa.ChunkedArray) -> Array:
    """An Arrow column of integers or of any kind of string as (n,) int64 or str."""
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    return np.array(column.to_pylist(), dtype=np.str_)


def sort_ids(ids: Array) -> tuple[Array, Array]:
    """(sorted ids, the order that sorts them); a repeated id is refused."""
    if len(ids) == 0:
        raise RecordingError("ids must name at least one example, got none")
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(again):
        raise RecordingError(f"ids must be distinct; {len(again)} came more than once (first: {some(again.tolist())})")
    return ordered, order
