"""A Parquet table of ours with what made it in its metadata, and a checksum over all that both say."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainmap.checksums import KEY, lost, without_checksum
from trainmap.errors import StoreError
from trainmap.files import parse_json, reading
from trainmap.parquet_files import read_parquet

METADATA = b"trainmap"


def write_table(handle: BinaryIO, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Write a table of numbers and texts, and ``about`` (JSON) with the checksum of both."""
    told = json.dumps({**about, KEY: checksum(table, about)})
    pq.write_table(table.replace_schema_metadata({METADATA: told}), handle, write_page_checksum=True)


def read_table(path: str | Path, what: str) -> tuple[pa.Table, Any]:
    """The table, and its ``about`` as it stands there; None where it has none. ``check_table`` compares them.

    Raises:
        StoreError: not there, or no Parquet file that can be read.
    """
    table = read_parquet(path, what, cure="make it again")
    with reading(path, what, "make it again"):
        told = (table.schema.metadata or {}).get(METADATA)
        return table.replace_schema_metadata(None), None if told is None else parse_json(told.decode())


def check_table(path: str | Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Compare a table, in the order of rows that it was written in, with its checksum; one of 0.1 has none.

    Raises:
        StoreError: a name, a value or an entry of ``about`` is another one.
    """
    with reading(path, "table"):
        if lost(about) or (KEY in about and about[KEY] != checksum(table, about)):
            raise StoreError(
                f"{path} was changed or is damaged: what it holds does not match its checksum; make it again"
            )


def checksum(table: pa.Table, about: Mapping[str, Any]) -> str:
    """CRC-32 over ``about`` and every column's name, type, nulls and values."""
    plain = without_checksum(about)
    found = zlib.crc32(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        found = zlib.crc32(f"\0{name}\0{column.type}\0".encode(), found)
        found = zlib.crc32(column.is_valid().to_numpy().tobytes(), found)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found = zlib.crc32("\0".join(column.fill_null("").to_pylist()).encode(), found)
        else:
            found = zlib.crc32(np.ascontiguousarray(column.fill_null(0).to_numpy()).tobytes(), found)
    return f"crc32:{found:08x}"
