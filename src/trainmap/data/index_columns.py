"""Columns of a table that are the index of a data frame and no features: by the file's own word, or by their name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pyarrow.parquet as pq

INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+(_level_\d+)?|")
"""How pandas names an index without a name: in Parquet and Arrow, and in CSV ("" before it is read again)."""


def pandas_index(path: str) -> tuple[list[str], range | None]:
    """What pandas' metadata in a Parquet file say of the index of the frame that was written.

    Returns:
        the columns that are its levels, named or not (none in files without these metadata); and the values of a level
        that counts, where that is called "id": pandas keeps it as a note, not as a column.

    Raises:
        ValueError, TypeError, KeyError, RecursionError, OSError, pyarrow.ArrowException: a file that cannot be read.
    """
    schema = pq.read_schema(path)
    described = (schema.metadata or {}).get(b"pandas")
    levels = [] if described is None else json.loads(described)["index_columns"]
    counting = [level for level in levels if isinstance(level, dict) and level.get("name") == "id"]
    ids = range(counting[0]["start"], counting[0]["stop"], counting[0]["step"]) if counting else None
    return [level for level in levels if isinstance(level, str) and level in schema.names], ids


def index_names(columns: Iterable[str]) -> list[str]:
    """The columns whose name says that they are an index, in files that somebody saved again without the metadata."""
    return [name for name in columns if INDEX_NAME.fullmatch(name)]
