"""A map as a file: its table as Parquet, with what made it in the file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from trainmap.dynamics.supervision import Kind, Signal
from trainmap.errors import StoreError, TrainmapError, cause, short, some
from trainmap.files import reading, writing
from trainmap.kinds import as_path, check_path
from trainmap.maps.regions import REGIONS
from trainmap.maps.table_file import check_table, read_table, write_table
from trainmap.parquet_files import to_frame
from trainmap.typed import of_type

VERSION = 2
"""What uses nothing of it is written as 1: a map of classes without names."""
AXES = ("confidence", "variability", "correctness")
ABOUT: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "epochs": int,
    "rule": str,
    "fraction": (int, float),
    "source": str,
    "dataset": str,
}


def write_map(path: str | Path, table: pl.DataFrame, about: Mapping[str, Any]) -> Path:
    """Write a map's table, and ``about``, what made it."""
    target = check_map_name(path)
    with writing(target) as handle:
        version = VERSION if {"kind", "class_names"} & set(about) else 1
        write_table(handle, to_arrow(table), {"version": version, **about})
    return target


def read_map(path: str | Path) -> tuple[pl.DataFrame, dict[str, Any], Mapping[str, Any]]:
    """The table by id, what made it, and all that the file says of itself (for ``check_map``).

    Raises:
        StoreError: no map, a newer one, or one with columns of other types.
    """
    check_path(path, "map")
    table, about = read_table(path, "map")
    if about is None:
        raise StoreError(f"{path} is a table, but not a map: it was not written by `trainmap map`")
    try:
        told = {name: of_type(about[name], kinds, name) for name, kinds in ABOUT.items()}
        told["members"] = of_type(about.get("members", 1), int, "members")  # left out where there is one
        told |= _of_kind(about)
    except (KeyError, TypeError, ValueError) as error:
        why = cause(ValueError(str(error).split("\n")[0]))
        raise StoreError(f"{path} says that it is a map, but not of what ({why}); make it again") from error
    if (version := told.pop("version")) > VERSION:
        raise StoreError(
            f"{path} has map version {short(str(version))}, this trainmap reads up to {VERSION}: upgrade it"
        )
    with reading(path, "map", "make it again"):
        frame = _typed(to_frame(table))
    return frame.sort("id") if "id" in frame.columns else frame, told, about


def _of_kind(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a map says of its recording where that is not of classes, and of the names of classes."""
    told: dict[str, Any] = {}
    if "kind" in about:
        if about["kind"] not in get_args(Kind):
            raise TypeError(f"kind must be one of {', '.join(get_args(Kind))}")
        told["kind"] = about["kind"]
        told["signals"] = tuple(Signal.model_validate(one) for one in of_type(about["signals"], list, "signals"))
        if not told["signals"]:
            raise TypeError("signals must be named")
    if "class_names" in about:
        names = of_type(about["class_names"], list, "class_names")
        told["class_names"] = tuple(of_type(name, (str, int), "class_names") for name in names)
    return told


def check_map(path: str | Path, table: pl.DataFrame, about: Mapping[str, Any]) -> None:
    """Compare a map's table, by id, with its checksum."""
    with reading(path, "map", "make it again"):
        check_table(path, to_arrow(table), about)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a map as the types that they were saved with; what another program made of them is told."""
    wanted = {"label": pl.Int64, "region": pl.String, **dict.fromkeys(AXES, pl.Float64)}
    if "id" in frame.columns and frame["id"].dtype != pl.String:
        wanted["id"] = pl.Int64
    for name, kind in wanted.items():
        if name not in frame.columns:
            continue  # the map says so
        own = frame[name].dtype
        if own != kind and not (own.is_integer() and kind == pl.Int64) and not (own.is_float() and kind.is_float()):
            raise StoreError(f"the column '{name}' must hold {kind}, got {own}")
        frame = frame.with_columns(pl.col(name).cast(kind))
    return frame


def check_map_name(path: str | Path) -> Path:
    """Refuse a file name that a map cannot be saved under."""
    target = as_path(path)
    if target.suffix != ".parquet":
        raise TrainmapError(f"a map is saved as Parquet: its name must end in .parquet, got {target.name}")
    return target


def check_ranges(path: str | Path, table: pl.DataFrame, epochs: int, bounded: bool = True) -> None:
    """What no recording gives; of maps of 0.1 all that tells damage in a score."""
    for name, high in (("confidence", 1.0), ("variability", 1.0), ("correctness", epochs)):
        values = table[name].to_numpy()
        if not bounded and name != "correctness":
            if np.isinf(values).any() or (name == "variability" and (values < 0).any()):
                raise StoreError(f"{path} was changed: {name} must be a finite number; make it again")
            continue
        if not np.all(np.isnan(values) | ((values >= 0) & (values <= high * (1 + 1e-5)))):
            raise StoreError(f"{path} was changed: {name} must be 0 to {high:g}; make it again")
    if strange := set(table["region"].unique().to_list()) - {*REGIONS, None}:
        raise StoreError(f"{path} was changed: it has regions {some(strange)}; make it again")


def to_arrow(table: pl.DataFrame) -> pa.Table:
    """With plain strings, which every Parquet reader knows."""
    arrow = table.to_arrow()
    for position, column in enumerate(arrow.schema):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            arrow = arrow.set_column(position, column.name, arrow.column(position).cast(pa.string()))
    return arrow
