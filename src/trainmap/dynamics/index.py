"""From ids to rows. A row is where an example's numbers stand; the id is what the example is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import RecordingError, some

Array = NDArray[Any]

MISSING = -1


class Index(Protocol):
    """Rows of a batch of ids, ``MISSING`` where an id is unknown."""

    def rows(self, ids: Array) -> Array: ...


class _Table:
    """Integer ids that lie close together: one look-up each."""

    def __init__(self, ids: Array) -> None:
        self.low = int(ids[0])
        self.table = np.full(int(ids[-1]) - self.low + 1, MISSING, np.int64)
        self.table[ids - self.low] = np.arange(len(ids))

    def rows(self, ids: Array) -> Array:
        places = ids - self.low
        if len(ids) and 0 <= places.min() and places.max() < len(self.table):
            return self.table[places]
        inside = (places >= 0) & (places < len(self.table))
        return np.where(inside, self.table[np.where(inside, places, 0)], MISSING)


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


class Growing:
    """Ids that are met for the first time: each new one gets the next row. Used while an id set is being learned."""

    def __init__(self) -> None:
        self.row_of: dict[int | str, int] = {}

    def rows(self, ids: Array) -> Array:
        get, known = self.row_of.get, len(self.row_of)
        return np.fromiter((get(name, known + i) for i, name in enumerate(ids.tolist())), np.int64, len(ids))

    def learn(self, ids: Array) -> Array:
        """Rows of the ids, the unknown ones added."""
        row_of = self.row_of
        return np.fromiter((row_of.setdefault(name, len(row_of)) for name in ids.tolist()), np.int64, len(ids))

    def ids(self) -> Array:
        """All ids in the order of their rows."""
        names = list(self.row_of)
        return np.array(names, dtype=np.str_ if isinstance(names[0], str) else np.int64)


def build_index(ids: Array) -> Index:
    """The fastest index for sorted, distinct ids."""
    if ids.dtype.kind == "U":
        return _Names(ids)
    # Python integers: the distance between two int64 may not fit in an int64.
    if int(ids[-1]) - int(ids[0]) < 8 * len(ids) + 1024:
        return _Table(ids)
    return _Sorted(ids)


def sort_ids(ids: Array) -> tuple[Array, Array]:
    """(sorted ids, the order that sorts them); a repeated id is refused."""
    if len(ids) == 0:
        raise RecordingError("ids must name at least one example, got none")
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(again):
        raise RecordingError(f"ids must be distinct; {len(again)} came more than once (first: {some(again.tolist())})")
    return ordered, order
