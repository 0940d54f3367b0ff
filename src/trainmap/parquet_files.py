"""Tables in Parquet files: what they declare is checked before memory is taken, their text to be UTF-8."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainmap.errors import StoreError
from trainmap.files import reading
from trainmap.limits import check_room

if TYPE_CHECKING:
    import polars as pl

VIEW = 16  # bytes of a string's entry in a table, beside its text
MOST_COLUMNS = 20_000
"""A table of more is a matrix: its footer alone takes minutes."""


def check_parquet(path: str | os.PathLike[str], file: pq.ParquetFile, columns: Sequence[str] | None = None) -> None:
    """Refuse a file whose footer declares more than may be read; see ``limits.check_room``.

    Raises:
        StoreError: says the size and the limit.
    """
    about = file.metadata
    if about.num_columns > MOST_COLUMNS:
        raise StoreError(f"{path} has {about.num_columns:,} columns, at most {MOST_COLUMNS:,} are read; store an array")
    size = rows = 0
    for number in range(about.num_row_groups):  # what a column says of itself is not asked: pyarrow 26 aborts at some
        group = about.row_group(number)
        rows += group.num_rows
        if group.num_rows < 0 or group.total_byte_size < 0:
            raise StoreError(f"{path} declares a negative size; it is damaged: restore it from a copy")
        size += group.total_byte_size
    taken = [field for field in file.schema_arrow if columns is None or field.name in columns]
    size = max(size, rows * sum(_width(field.type) for field in taken))
    if rows != about.num_rows:
        raise StoreError(f"{path} declares {about.num_rows} rows and holds {rows}; restore it from a copy")
    check_room(path, size)


def read_parquet(
    path: str | os.PathLike[str],
    what: str = "Parquet file",
    columns: Sequence[str] | None = None,
    cure: str = "restore it from a copy",
) -> pa.Table:
    """A table, or some of its columns; in full checked: no text that is not UTF-8, no offsets that lead outside.

    Raises:
        StoreError: no such file, not Parquet, a column that is missing, or more than a file may take.
    """
    with reading(path, what, cure):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise StoreError(f"{path} has a column twice; name each column once")
            if "\0" in file.schema_arrow.to_string(show_field_metadata=False, show_schema_metadata=False):
                raise StoreError(f"{path} has a NUL character in the name of a column; {cure}")  # polars panics at it
            if lacking := [name for name in columns or () if name not in names]:
                raise StoreError(f"{path} is not a {what}: it has no column '{lacking[0]}'; {cure}")
            check_parquet(path, file, columns)
            texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=texts) as file:
            table = file.read(columns=None if columns is None else list(columns))
        return _plain(path, table, texts)


def read_frame(
    path: str | os.PathLike[str],
    what: str = "Parquet file",
    columns: Sequence[str] | None = None,
    cure: str = "restore it from a copy",
) -> pl.DataFrame:
    """``read_parquet`` as a polars table."""
    table = read_parquet(path, what, columns, cure)
    with reading(path, what, cure):
        return to_frame(table)


def to_frame(table: pa.Table) -> pl.DataFrame:
    """A checked table for polars; without notes of other programs on it, at some of which polars panics."""
    import polars as pl

    plain = pa.schema([pa.field(field.name, field.type, field.nullable) for field in table.schema])
    frame = pl.from_arrow(table.cast(plain))
    assert isinstance(frame, pl.DataFrame)
    frame.columns = table.column_names  # polars calls a column without a name "column_0"
    return frame


def _plain(path: str | os.PathLike[str], table: pa.Table, texts: Sequence[str]) -> pa.Table:
    """Texts were read as dictionaries, for a word that stands a million times is small in the file alone: now their
    whole size is known, and is taken when there is room for it."""
    table.validate(full=True)
    for name in texts:
        place = table.schema.get_field_index(name)
        if place < 0 or not pa.types.is_dictionary(table.schema.field(place).type):
            continue
        column = table.column(place)
        check_room(path, sum(_text_bytes(chunk) for chunk in column.chunks))
        table = table.set_column(place, name, column.cast(column.type.value_type))
    return table


def _text_bytes(chunk: Any) -> int:
    lengths = np.asarray(pc.fill_null(pc.call_function("binary_length", [chunk.dictionary]), 0), np.int64)
    places = np.asarray(chunk.indices.drop_null(), np.int64)
    return int(lengths[places].sum()) + VIEW * len(chunk) if len(lengths) else VIEW * len(chunk)


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:  # texts and lists
        return VIEW


def _is_text(kind: pa.DataType) -> bool:
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string))
