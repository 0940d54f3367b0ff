"""Tables in text files, comma or tab separated or a JSON object a line; a type is that of all rows, not of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmap.errors import StoreError, shown, unknown
from trainmap.files import reading
from trainmap.limits import check_room

if TYPE_CHECKING:
    import polars as pl

SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson")
TEXT_TABLES = (*SEPARATORS, *LINES)


def read_text_table(path: str | Path, as_written: Sequence[str] = ()) -> pl.DataFrame:
    """A table of a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file in UTF-8.

    Args:
        path: the file; its ending says what it is.
        as_written: columns whose numbers stay text where they say more, such as "007", or are too large for an integer.

    Raises:
        StoreError: not there, of another kind, more than may be read, or no such table.
    """
    import polars as pl

    path = Path(path)
    if (suffix := path.suffix.lower()) not in TEXT_TABLES:
        raise unknown("kind of table", suffix or path.name, TEXT_TABLES)
    with reading(path, "table"):
        check_room(path, path.stat().st_size)
        read: Any = pl.read_ndjson
        if suffix in SEPARATORS:
            read = partial(pl.read_csv, separator=SEPARATORS[suffix])
        try:
            if suffix in SEPARATORS:
                _check_head(
                    path, read(path, has_header=False, n_rows=1, infer_schema=False, truncate_ragged_lines=True)
                )
            frame = read(path, infer_schema_length=None)
            for name in as_written if suffix in SEPARATORS else ():
                if name in frame.columns and frame[name].dtype.is_integer():
                    text = read(path, columns=[name], infer_schema=False)[name]
                    if frame[name].dtype == pl.Int128 or not text.eq_missing(frame[name].cast(pl.String)).all():
                        frame = frame.with_columns(text)
        except (pl.exceptions.PolarsError, UnicodeError) as error:
            raise StoreError(f"{path} cannot be read as {suffix[1:]}: {shown(str(error).splitlines()[0])}") from error
        return frame


def _check_head(path: Path, head: pl.DataFrame) -> None:
    names = [str(name) for name in head.row(0)] if len(head) else []
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise StoreError(f"{path} has a column '{double[0]}' twice; name each column once")
