"""Examples that no network is trained on, told by a column: a speaker, a country, an age."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.data.raw_rows import Rows
from trainmap.data.tables import encoding_of, learn_rows
from trainmap.errors import TrainmapError, some, unknown

LEFT_OUT = "left out"


@dataclass(frozen=True)
class LeaveOut:
    """Which examples are left out: by one of three.

    Attributes:
        column: of a table or of texts; ``speaker`` of fsdd and speech-commands.
        values: those with one of these values in it.
        above: those with a number above this one.
        below: those with a number below this one.

    Raises:
        TrainmapError: none of the three, or several.
    """

    column: str
    values: tuple[str | int | float | bool, ...] = ()
    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if sum((bool(self.values), self.above is not None, self.below is not None)) != 1:
            raise TrainmapError("what is left out is told by one of values, above and below; give one of them")

    def __str__(self) -> str:
        if self.values:
            return f"{self.column} {', '.join(map(str, self.values))}"
        return (
            f"{self.column} above {self.above:g}" if self.above is not None else f"{self.column} below {self.below:g}"
        )

    def rows(self, column: pl.Series) -> NDArray[np.bool_]:
        """Which rows are left out.

        Raises:
            TrainmapError: values that no row has, or limits for words.
        """
        if self.values:
            known = column.cast(pl.String)
            words = [str(value).lower() if isinstance(value, bool) else str(value) for value in self.values]
            there = set(known.unique())
            if strange := [word for word in words if word not in there]:
                raise unknown(f"value of {self.column}", strange[0], known.unique().sort().to_list()[:20])
            return known.is_in(words).to_numpy()
        if not column.dtype.is_numeric():
            raise TrainmapError(f"above and below are of numbers, but the column '{self.column}' holds {column.dtype}")
        numbers = column.cast(pl.Float64).to_numpy()
        return numbers > self.above if self.above is not None else numbers < self.below  # pyright: ignore


def leave_out(rows: Rows, what: LeaveOut) -> Rows:
    """The rows with those that are left out in a part of their own, whichever they were in. The column is no feature
    then: what the network would be shown in it elsewhere, it was never trained on.

    Raises:
        TrainmapError: no such column, nothing or everything is left out, or a class that is then without an example
            to train on.
    """
    if not rows.groups:
        raise TrainmapError(f"{rows.name} has no columns to leave out by; tables, texts with columns and fsdd have")
    if what.column not in rows.groups:
        raise unknown(f"column of {rows.name} to leave out by", what.column, [*rows.groups])
    out = what.rows(rows.groups[what.column]) & np.isin(rows.part, ("train", "validation", "test"))
    if out.all() or not out.any():
        many = "every example" if out.any() else "no example"
        raise TrainmapError(f"{many} of {rows.name} is left out by {what.column}; choose other values")
    part = np.where(out, LEFT_OUT, rows.part).astype("<U24")
    if lacking := sorted(set(rows.y[out].tolist()) - set(rows.y[part == "train"].tolist())):
        names = some([rows.called[label] for label in lacking])
        raise TrainmapError(
            f"classes of {rows.name} have no training examples when these are left out ({names}); a network "
            "cannot be judged on classes that it never saw"
        )
    if rows.table is None:
        return replace(rows, part=part)
    if rows.table.width == 1:
        raise TrainmapError(f"{what.column} is the only feature of {rows.name}, and what is left out by is none")
    table = rows.table.drop(what.column)
    return replace(rows, part=part, table=table, encode=encoding_of(table), learn=partial(learn_rows, table))
