"""A map from anybody's table of scores: a data frame, Parquet, CSV, JSON lines; allenai's td_metrics among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.index import ids_to_arrow, sort_ids
from trainmap.dynamics.manifest import SOURCES, Source
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.store import fingerprint
from trainmap.errors import TrainmapError, counted, shown, some, unknown, whole
from trainmap.maps.datamap import DataMap, region_column
from trainmap.maps.map_file import AXES
from trainmap.maps.regions import Rule
from trainmap.parquet_files import read_frame
from trainmap.text_tables import TEXT_TABLES, read_text_table

KEYS = ("id", "label")
ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("guid", "trainmap_id"),
    "label": ("gold",),
    "forgetting": ("forgetfulness",),
}
"""Our name -> what others call it: allenai's td_metrics.jsonl, and the files that trainmap exports."""
PLACES = ("index", "region")
"""Columns of such files that are no scores: the place in a file, and regions, which are assigned anew."""
NEVER = 1000.0
"""What ``forgetfulness`` has for an example that was never right, where our forgetting has infinity."""


def map_from_table(
    table: Any,
    epochs: int,
    *,
    columns: Mapping[str, str] | None = None,
    leave_out: Sequence[str] = (),
    source: Source = "train",
    rule: Rule = "quantile",
    fraction: float = 1 / 3,
) -> DataMap:
    """A map of scores that were computed elsewhere.

    ::

        datamap = tm.map_from_table("td_metrics.jsonl", epochs=6)
        datamap = tm.map_from_table(frame, epochs=10, columns={"id": "image", "confidence": "mean_p"})

    Args:
        table: a polars or pandas data frame, a dict of columns, or a file: ``.parquet``, ``.csv``, ``.tsv``,
            ``.jsonl`` (or ``.ndjson``). It needs the columns id, confidence (0 to 1) and variability (0 to 1); label
            (class indices) and correctness (a count of epochs) where it has them. Every other column of numbers is a
            score by its name.
        epochs: that the scores were made from; such a file does not say.
        columns: our name -> the table's. ``guid`` (or ``trainmap_id``), ``gold`` and ``forgetfulness`` are known
            without; where two columns say the same, one must be left out.
        leave_out: columns that are not to be scores; those that hold no numbers must be among them.
        source: what was recorded.
        rule, fraction: of the regions, see ``trainmap.maps.regions``.

    Returns:
        a map like any other. A correctness that is not there is NaN; so are scores that are null. Where a file has
        ``forgetfulness`` 1000 (never right), forgetting is infinite. Ids are numbers or text as the table has them; in
        CSV they are numbers if all are written as numbers are, and text if one is not, as with zeros in front: "007".

    Raises:
        TrainmapError: a column that is missing or holds something else, ids that repeat, values out of range.
        StoreError: a file that cannot be read.
    """
    if source not in SOURCES:
        raise TrainmapError(f"source must be one of {', '.join(map(repr, SOURCES))}, got {shown(source)}")
    frame = _frame(table, [columns["id"]] if columns and "id" in columns else ["id", *ALIASES["id"]])
    if not frame.height:
        raise TrainmapError("the table has no rows; a map needs at least one example")
    frame = _named(frame, dict(columns or {}), list(leave_out))
    ids = to_ids(frame["id"].to_numpy() if frame["id"].dtype.is_integer() else frame["id"].to_list())
    known, order = sort_ids(ids)
    frame = frame[order]
    labels = _labels(frame)
    taken = whole(epochs, "epochs", 1)
    values = {name: _numbers(frame[name]) for name in frame.columns if name not in KEYS}
    values = {name: values.get(name, np.full(len(known), np.nan)) for name in AXES} | values
    for name, high in (("confidence", 1.0), ("variability", 1.0), ("correctness", float(taken))):
        _check_range(name, values[name], high, known)
    kept = pl.DataFrame(
        {
            "id": pl.Series(ids_to_arrow(known)),
            "label": labels.set(labels == UNKNOWN_LABEL, None),
            **{name: pl.Series(column) for name, column in values.items()},
        }
    )
    region = region_column(values["variability"], values["confidence"], taken, rule, fraction)
    return DataMap(
        kept.with_columns(region), taken, rule, fraction, source, fingerprint(known, labels.to_numpy()), members=1
    )


def _frame(table: Any, id_names: list[str]) -> pl.DataFrame:
    """Whatever it is as a polars frame; its ids have one of these names."""
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, str | Path):
        return _read(Path(table), id_names)
    if isinstance(table, Mapping):
        return pl.DataFrame({str(name): pl.Series(np.asarray(column)) for name, column in table.items()})
    if type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "columns"):
        return pl.DataFrame({str(name): pl.Series(table[name].to_numpy()) for name in table.columns})
    raise TrainmapError(
        "a table must be a polars or pandas data frame, a dict of columns, or a file (.parquet, .csv, .tsv, .jsonl), "
        f"got {type(table).__name__}"
    )


def _read(path: Path, id_names: list[str]) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix in TEXT_TABLES:
        return read_text_table(path, id_names)
    if suffix != ".parquet":
        raise unknown("kind of table", suffix or path.name, (".parquet", *TEXT_TABLES))
    return read_frame(path, "table")


def _named(frame: pl.DataFrame, columns: dict[str, str], leave_out: list[str]) -> pl.DataFrame:
    """The table's columns by our names, without those that are left out."""
    for theirs in (*columns.values(), *leave_out):
        if theirs not in frame.columns:
            raise unknown("column", theirs, frame.columns)
    if both := sorted(set(columns.values()) & set(leave_out)):
        raise TrainmapError(f"'{both[0]}' is to be read and left out; say one of them")
    frame = frame.drop(leave_out)
    for ours, others in ALIASES.items():
        free = [name for name in (ours, *others) if name in frame.columns and name not in columns.values()]
        if ours not in columns and free:
            columns[ours] = free.pop(0)
        if free:
            raise _besides(free[0], columns[ours])
    if double := [ours for ours, theirs in columns.items() if ours in frame.columns and ours != theirs]:
        raise _besides(double[0], columns[double[0]])
    if (theirs := columns.get("forgetting")) == "forgetfulness" and frame[theirs].dtype.is_numeric():
        never = pl.when(pl.col(theirs) == NEVER).then(np.inf).otherwise(pl.col(theirs).cast(pl.Float64))
        frame = frame.with_columns(never.alias(theirs))
    frame = frame.rename({theirs: ours for ours, theirs in columns.items()})
    if lacking := [name for name in ("id", *AXES[:2]) if name not in frame.columns]:
        raise TrainmapError(
            f"a map needs {', '.join(('id', *AXES[:2]))}; the table has no {lacking[0]}: name the column that it is by "
            f"columns={{'{lacking[0]}': ...}} (--column {lacking[0]}=...), of {some(frame.columns, 12)}"
        )
    frame = frame.drop([name for name in PLACES if name in frame.columns and name not in columns])
    odd = [name for name in frame.columns if name not in KEYS and not frame[name].dtype.is_numeric()]
    for name in AXES:
        if name in odd:
            raise TrainmapError(f"{name} must be numbers, {_first_word(frame[name])}")
    if odd:
        raise TrainmapError(
            f"these columns hold no numbers: {some(odd, 6)}; pass leave_out={odd[:6]!r} (--leave-out "
            f"{','.join(odd[:6])}) to do without"
        )
    return frame


def _besides(one: str, other: str) -> TrainmapError:
    return TrainmapError(f"the table has a column '{one}' besides '{other}'; leave one of them out")


def _first_word(column: pl.Series) -> str:
    """Where a column that should be numbers has something else."""
    text = column.cast(pl.String)
    words = text.is_not_null() & text.cast(pl.Float64, strict=False).is_null()
    at = int(words.arg_max() or 0)
    return f"row {at} has {shown(column[at])}"


def _labels(frame: pl.DataFrame) -> pl.Series:
    if "label" not in frame.columns:
        return pl.Series("label", np.full(frame.height, UNKNOWN_LABEL))
    column = frame["label"]
    if not (column.dtype.is_integer() or column.dtype.is_float() or column.null_count() == len(column)):
        raise TrainmapError(
            f"label must be class indices, got {shown(column.drop_nulls()[0])}; number the classes, or pass "
            "leave_out=['label']"
        )
    return pl.Series("label", to_labels(column.fill_null(UNKNOWN_LABEL).to_numpy()))


def _numbers(column: pl.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _check_range(name: str, values: Any, high: float, ids: Any) -> None:
    bad = ~(np.isnan(values) | ((values >= 0) & (values <= high * (1 + 1e-5))))
    if bad.any():
        at = int(bad.argmax())
        raise TrainmapError(
            f"{name} must be 0 to {high:g}, and is another for {counted(int(bad.sum()), 'example')} (first: id "
            f"{shown(ids[at])}, {values[at]:g})"
        )
