"""A map's columns beside the rows of a dataset, aligned by id: Hugging Face's, or whatever works like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from trainmap.dynamics.given import check_flag
from trainmap.errors import TrainmapError, shown, some, unknown
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap


def add_columns(
    dataset: Any,
    datamap: DataMap,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    prefix: str = "",
    allow_missing: bool = False,
) -> Any:
    """A dataset with a map's columns, aligned by id; for Hugging Face datasets and whatever has ``add_column``.

    A dataset's format ("torch", "arrow", ...) is off while the ids are read, and on again in the result: there the new
    columns are formatted as the others are.

    Args:
        dataset: has ``len``, ``dataset[name]`` and ``add_column(name, values)``, which returns the new dataset.
        id_column: the column with the ids, whole numbers or text as the map has them. None: the ids are the row
            numbers, and the map must have exactly those (0 to N - 1 for N rows). A dataset that was shuffled since
            cannot be told from one that was not: prefer a column.
        columns: which; by default the scores and the region.
        prefix: before each name.
        allow_missing: rows that the map does not know get None; one row at least it must know.

    Returns:
        what the last ``add_column`` returned: a new dataset.

    Raises:
        TrainmapError: no such dataset or column, ids that are neither whole numbers nor text, that the map does not
            know or that come twice, a column that is there already.
    """
    allow_missing = check_flag(allow_missing, "allow_missing")
    check_kind(datamap, DataMap)
    _check_dataset(dataset)
    names = [*datamap.scores, "region"] if columns is None else list(columns)
    for name in names:
        if name not in datamap.table.columns:
            raise TrainmapError(f"column '{name}' is not in this map; it has {', '.join(datamap.table.columns)}")
        if prefix + name in getattr(dataset, "column_names", ()):
            raise TrainmapError(f"the dataset has a column '{prefix + name}' already; pass prefix='map_', say")
    rows = _rows(dataset, datamap, id_column, allow_missing)
    for name in names:
        values = datamap.table[name].to_list()
        dataset = dataset.add_column(prefix + name, [None if row is None else values[row] for row in rows])
    return dataset


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, dict):
        raise TrainmapError(f"columns are added to one part of a dataset, got its parts {some(dataset, 5)}; pass one")
    if lacking := [name for name in ("__len__", "__getitem__", "add_column") if not hasattr(dataset, name)]:
        raise TrainmapError(
            f"a dataset must have {', '.join(lacking)}, which {type(dataset).__name__} has not; load it without "
            "streaming (a datasets.Dataset)"
        )


def _rows(dataset: Any, datamap: DataMap, id_column: str | None, allow_missing: bool) -> list[int | None]:
    """For each row of the dataset, the row of its id in the map."""
    ids = datamap.table["id"].to_list()
    if id_column is None:
        if ids != list(range(len(dataset))):
            raise TrainmapError(
                f"without id_column the map's ids must be the row numbers 0 to {len(dataset) - 1}; it has {len(ids)} "
                f"ids ({some(ids)}): pass the name of the dataset's id column"
            )
        return list(range(len(ids)))
    row_of = {name: row for row, name in enumerate(ids)}
    wanted = _ids(dataset, id_column)
    if repeated := [name for name, count in Counter(wanted).items() if count > 1]:
        raise TrainmapError(
            f"column '{id_column}' must name each row once; {len(wanted) - len(set(wanted))} rows repeat an id (first: "
            f"{some(repeated)})"
        )
    rows = [row_of.get(name) for name in wanted]
    lacking = [name for name, row in zip(wanted, rows, strict=True) if row is None]
    if lacking and (not allow_missing or len(lacking) == len(wanted)):
        cure = "is this its id column?" if len(lacking) == len(wanted) else "pass allow_missing=True to give them None"
        raise TrainmapError(
            f"{len(lacking)} of {len(wanted)} ids are not in the map (first: {some(lacking)}; the map has "
            f"{some(ids)}); {cure}"
        )
    return rows


def _ids(dataset: Any, column: str) -> list[int | str]:
    """The ids as plain numbers and text, whatever the format of the dataset: a tensor equals no number as a key."""
    names = getattr(dataset, "column_names", None)
    if names is not None and column not in names:
        raise unknown("column of the dataset", column, names)
    plain: Any = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    return [_plain(value, column, row) for row, value in enumerate(_values(plain[column]))]


def _values(column: Any) -> Iterable[Any]:
    return column.tolist() if hasattr(column, "tolist") else column  # arrays, tensors, Series, Arrow: plain at once


def _plain(value: Any, column: str, row: int) -> int | str:
    """An id as Python's own number or text. True is no id, though it equals 1."""
    plain = value.item() if getattr(value, "ndim", None) == 0 else value
    if isinstance(plain, bool) or not isinstance(plain, Integral | str):
        raise TrainmapError(
            f"column '{column}' must hold a whole number or a text in every row, got {shown(plain)} in row {row}"
        )
    return plain if isinstance(plain, str) else int(plain)


__all__ = ["add_columns"]
