"""Text in a CSV file, which a spreadsheet must show and never run.

Excel and LibreOffice take a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break for a formula
(``=cmd|...`` starts programs). Such text gets an apostrophe in front, which they read as "this is text"; numbers stay
numbers, as text too (the id ``"-5"``). Text that has apostrophes before such a sign gets one more, so that taking one
away always gives back what was written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

RUN = r"^'*[=+\-@\t\r\n＝＋－＠]"  # what a cell must not begin with
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def as_cell(value: Any) -> Any:
    """A value for a cell of a CSV file: text that a spreadsheet would run gets an apostrophe, all else is as it was."""
    if isinstance(value, str) and re.match(RUN, value) and not re.fullmatch(NUMBER, value):
        return f"'{value}"
    return value


def from_cell(text: str) -> str:
    """What ``as_cell`` was given."""
    return text[1:] if text.startswith("'") and re.match(RUN, text) else text


def cells(table: pl.DataFrame) -> pl.DataFrame:
    """A table whose text and whose names of columns are as ``as_cell`` gives them."""
    import polars as pl

    text = pl.col(pl.String)
    runs = text.str.contains(RUN) & ~text.str.contains(NUMBER)
    return table.with_columns(pl.when(runs).then(pl.lit("'") + text).otherwise(text).name.keep()).rename(as_cell)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, columns in the order in which they first appear."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    return "".join(f"{_line(map(as_cell, line))}\n" for line in lines)


def _line(values: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)  # lines end with \r\n for it, so that it quotes both
    return out.getvalue()[:-2]
