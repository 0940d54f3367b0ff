"""Hugging Face datasets whose rows say who they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, some
from trainmap.integrations.identified import Naming, checked_ids, id_of

Array = NDArray[Any]


def columns_with_ids(dataset: Any, names: Array | Naming | None, column: str) -> Any:
    """A ``datasets.Dataset`` or ``datasets.IterableDataset`` with a column of ids.

    Raises:
        TrainmapError: several splits in one; a column of this name that is not the ids; what ``checked_ids`` refuses.
    """
    if isinstance(dataset, dict):
        raise TrainmapError(
            f"with_ids takes one split, this has {some(dataset, 10)}: "
            f"with_ids(dataset['{next(iter(dataset), 'train')}'])"
        )
    if not hasattr(dataset, "to_iterable_dataset"):
        return _stream(dataset, names, column)
    return _table(dataset, names, column)


def _table(dataset: Any, names: Array | Naming | None, column: str) -> Any:
    plain = dataset.with_format(None)
    if isinstance(names, str):
        if names not in dataset.column_names:
            raise TrainmapError(
                f"the dataset has no column {names!r}; its columns are {some(dataset.column_names, 10)}"
            )
        ids = checked_ids(plain[names][:], len(dataset))
    elif callable(names):
        ids = checked_ids([id_of(row, names) for row in plain], len(dataset))
    else:
        ids = np.arange(len(dataset)) if names is None else checked_ids(names, len(dataset))
    if column in dataset.column_names:
        if plain[column][:] != ids.tolist():
            raise _there(column)
        return _shown(dataset, dataset, column)
    return _shown(plain.add_column(column, ids.tolist()), dataset, column)


def _shown(table: Any, dataset: Any, column: str) -> Any:
    """``table`` in the format that ``dataset`` has, which must show the column of ids too."""
    kind, how = dataset.format["type"], dict(dataset.format["format_kwargs"])
    columns = dataset.format["columns"]
    every = set(columns) == set(dataset.column_names)
    if kind == "custom":
        how["transform"] = how["transform"] if column in dataset.column_names else Transform(how["transform"], column)
    shown = None if every else [*columns, *([] if column in columns else [column])]
    return table.with_format(kind, columns=shown, output_all_columns=dataset.format["output_all_columns"], **how)


class Transform:
    """A dataset's own transform, which sees the columns that it knows; the ids go past it."""

    def __init__(self, transform: Any, column: str) -> None:
        self.transform, self.column = transform, column

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, Any]:
        made = self.transform({name: values for name, values in rows.items() if name != self.column})
        return {**made, self.column: rows[self.column]} if self.column in rows else made


class Namer:
    """Adds the id to a row of a stream."""

    def __init__(self, names: Array | Naming | None, column: str) -> None:
        self.names, self.column = names, column

    def __call__(self, row: dict[str, Any], place: int) -> dict[str, Any]:
        from trainmap.integrations.identified_streams import name_in_stream, refuse_workers

        if self.names is None or isinstance(self.names, np.ndarray):
            refuse_workers()
        name = name_in_stream(self.names, place, row)
        if self.column in row and row[self.column] != name:
            raise _there(self.column)
        return {self.column: name}


def _stream(dataset: Any, names: Array | Naming | None, column: str) -> Any:
    known = dataset.column_names
    if column in (known or ()) and names != column:
        raise _there(column)
    kind = getattr(getattr(dataset, "_formatting", None), "format_type", None)  # which a map would convert row by row
    plain = dataset if kind is None else dataset.with_format(None)
    made = plain.map(Namer(names, column), with_indices=True)
    return made if kind is None else made.with_format(kind)


def _there(column: str) -> TrainmapError:
    return TrainmapError(
        f"the dataset has a column {column!r} with other values: with_ids(dataset, ids={column!r}) takes it as the "
        "ids, column= calls the new one otherwise"
    )
