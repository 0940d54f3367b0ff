"""From ids to rows and to an order. A row is where an example's numbers stand; the id is what the example is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.errors import RecordingError, TrainmapError, some

Array = NDArray[Any]

MISSING = -1

GOLDEN, FNV_OFFSET, FNV_PRIME = (
    np.array(number, np.uint64) for number in (0x9E3779B97F4A7C15, 0xCBF29CE484222325, 0x100000001B3)
)  # arrays: their products wrap around without a warning, as those of numpy's scalars do not


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
        return _searched(self.ids, ids)


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


def find_rows(known: Array, ids: Array, order: Array | None = None) -> Array:
    """The row of each of ``ids`` (k,) among ``known`` (N,), distinct ids in any order; ``MISSING`` where it is not.

    Ids of the other kind (a text "7", the number 7) are not there. For batch after batch see ``build_index``.

    Args:
        order: what sorts ``known``, where the caller keeps it.
    """
    if not len(known) or not of_one_kind(known, ids):
        return np.full(len(ids), MISSING)
    if order is None and (known[1:] < known[:-1]).any():
        order = np.argsort(known, kind="stable")
    return _searched(known, ids, order)


def rows_of(known: Array, ids: Array, where: str, cure: str = "", distinct: bool = False) -> Array:
    """``find_rows`` for ids that must be there.

    Args:
        where: whose ids ``known`` are, for the message: "this map".
        cure: what to do about one that is not.
        distinct: each of ``ids`` comes once.

    Raises:
        TrainmapError: ids of another kind, unknown ones, with ``distinct`` repeated ones.
    """
    if len(ids) and len(known) and not of_one_kind(known, ids):
        raise TrainmapError(f"ids must be of the kind of {where}'s, {known.dtype}, got {ids.dtype}")
    rows = find_rows(known, ids)
    strange = ids[rows == MISSING]
    if len(strange):
        told = f"{len(strange)} ids are not in {where} (first: {some(strange.tolist())})"
        raise TrainmapError(f"{told}; {cure}" if cure else told)
    if distinct and (again := len(rows) - len(np.unique(rows))):
        raise TrainmapError(f"ids must not repeat, {again} of {len(ids)} do: one value for each example")
    return rows


def of_one_kind(a: Array, b: Array) -> bool:
    """Whether both are strings, or neither is."""
    return (a.dtype.kind == "U") == (b.dtype.kind == "U")


def _searched(known: Array, ids: Array, order: Array | None = None) -> Array:
    places = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    rows = places if order is None else order[places]
    return np.where(known[rows] == ids, rows, MISSING)


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


def id_hash(ids: Array) -> Array:
    """A fixed number for every id: what decides among examples of equal value.

    By the id itself, ties would take one class after another wherever ids follow classes. The number depends on the id
    alone: not on other ids, their order, the width of an integer or of a string array, the byte order or the machine.
    For an integer it is SplitMix64's output at that state; for a string, the same of FNV-1a over its code points.

    Args:
        ids: (n,) integers or strings.

    Returns:
        (n,) uint64.

    Source: Steele, Lea and Flood 2014 (SplitMix64); Fowler, Noll and Vo (FNV-1a, here a code point at a time).
    """
    state = _spelled(ids) if ids.dtype.kind == "U" else ids.astype(np.int64).view(np.uint64)
    mixed = state + GOLDEN
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    return mixed ^ (mixed >> 31)


def _spelled(names: Array) -> Array:
    """FNV-1a of strings, (n,) uint64; what numpy pads a string with is not part of it."""
    state = np.full(len(names), FNV_OFFSET)
    if not names.nbytes:
        return state
    letters = np.ascontiguousarray(names, names.dtype.newbyteorder("=")).view(np.uint32).reshape(len(names), -1)
    length = np.strings.str_len(names)
    for place in range(letters.shape[1]):
        state = np.where(place < length, (state ^ letters[:, place]) * FNV_PRIME, state)
    return state


def rising(values: Array, ids: Array) -> Array:
    """Positions from the lowest value to the highest, (n,); equals by the hash of their ids, NaN last."""
    return np.lexsort((ids, id_hash(ids), values))


def lowest(values: Array, ids: Array, count: int) -> Array:
    """The first ``count`` positions of ``rising``, without putting the others in order."""
    if count >= len(values):
        return rising(values, ids)
    if count <= 0:
        return np.empty(0, np.int64)
    cut = np.partition(values, count - 1)[count - 1]
    there = np.flatnonzero(~(values > cut))  # equals of the cut, and NaN, are put in order by their hashes
    return there[rising(values[there], ids[there])[:count]]
