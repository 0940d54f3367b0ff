"""Which column of a table is what: ``adult.csv:label=salary,id=row``, and the columns that are called so without it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from trainmap.errors import TrainmapError, some, unknown

log = logging.getLogger("trainmap")

ROLES = ("label", "id", "split", "text", "text_pair")
_AFTER_A_FILE = "|".join(rf"(?<=\.{ending})" for ending in ("parquet", "csv", "tsv", "jsonl", "ndjson"))
_SAID = re.compile(rf":(?=(?:{'|'.join(ROLES)})=)|(?:{_AFTER_A_FILE}):(?=[A-Za-z_]+=)")


@dataclass(frozen=True)
class Roles:
    """A dataset's name without what it says of columns, and what it says: role -> column.

    Raises:
        TrainmapError: an unknown role, a role or a column twice, a role without a column.
    """

    name: str
    columns: Mapping[str, str]

    @staticmethod
    def of(name: str) -> Roles:
        """``adult.csv:label=salary,id=row`` → adult.csv, {label: salary, id: row}. A name of a column has no comma."""
        found = _SAID.search(name)
        if found is None:
            return Roles(name, {})
        plain, said = name[: found.start()], name[found.end() :]
        columns: dict[str, str] = {}
        for part in said.split(","):
            role, _, column = part.partition("=")
            if role not in ROLES:
                raise unknown("role of a column", role, ROLES)
            if not column:
                raise TrainmapError(f"'{name}' must name a column for each role: {role}=COLUMN")
            if role in columns or column in columns.values():
                raise TrainmapError(f"'{name}' names '{role if role in columns else column}' twice; name each once")
            columns[role] = column
        return Roles(plain, columns)


def by_role(name: str, frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """The table with its columns called by their roles. A column that is called so and is not it is left out, and the
    logger "trainmap" says so: a second label is no feature.

    Raises:
        TrainmapError: a column that is not there.
    """
    for role, column in columns.items():
        if column not in frame.columns:
            raise TrainmapError(
                f"{name}: there must be a column '{column}' (the {role}), got {some(frame.columns, 20)}"
            )
    named = {role: column for role, column in columns.items() if role != column}
    if beside := [role for role in named if role in frame.columns and role not in columns.values()]:
        log.warning(
            "%s: left out %s; in its place is read %s", name, some(beside), some([named[one] for one in beside])
        )
        frame = frame.drop(beside)
    return frame.rename({column: role for role, column in named.items()})
