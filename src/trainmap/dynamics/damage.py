"""What is damaged in a recording: every file of it, its bytes and whether its values can be ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.dynamics.clearing import has_columns
from trainmap.dynamics.columns import check_file, open_columns, values
from trainmap.dynamics.examples import read_examples
from trainmap.dynamics.manifest import NAME, EpochEntry, FileEntry, Manifest, read_manifest
from trainmap.dynamics.processes import PARTS, has_parts, part_folder, worlds
from trainmap.dynamics.stats import EARLY
from trainmap.dynamics.supervision import outside
from trainmap.errors import StoreError
from trainmap.files import reading

Array = NDArray[Any]
Found = tuple[Path, int, StoreError | None]  # a file, its bytes, what is wrong with it

ROUNDING = 1e-5  # of single precision, above the ends of a range


def is_recording(folder: Path) -> bool:
    """Whether a folder is a recording, or was one."""
    return (folder / NAME).is_file() or has_columns(folder) or bool(worlds(folder / PARTS))


def check_recording(folder: Path) -> Iterator[Found]:
    """Every file of a recording and of its parts, read afresh."""
    if has_parts(folder):
        for world in sorted(worlds(folder / PARTS)):
            for rank in range(world):
                yield from check_recording(part_folder(folder, rank, world))
        if not (folder / NAME).exists():
            return  # not joined yet
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        yield folder / NAME, 0, error
        return
    yield folder / NAME, (folder / NAME).stat().st_size, None
    if manifest.examples or manifest.examples_file:
        if manifest.examples_file is not None and (damage := _of_file(folder, manifest.examples_file)):
            yield folder / manifest.examples_name, 0, damage
        else:
            yield _examples(folder, manifest)
    for entry in manifest.files:
        damage = _of_file(folder, entry) or _of_values(folder, entry, manifest)
        yield folder / entry.file, entry.bytes, damage


def _of_file(folder: Path, entry: FileEntry) -> StoreError | None:
    try:
        check_file(folder, entry, whole=True, afresh=True)
    except StoreError as error:
        return error
    return None


def _examples(folder: Path, manifest: Manifest) -> Found:
    path = folder / manifest.examples_name
    try:
        read_examples(folder, manifest)
    except StoreError as error:
        return path, 0, error
    return path, path.stat().st_size, None


def _of_values(folder: Path, entry: FileEntry, manifest: Manifest) -> StoreError | None:
    """Whether a file with the right bytes holds what can be: its recorder may have been another program."""
    path = folder / entry.file
    try:
        with reading(path, "file of a recording"), pa.memory_map(str(path)) as mapped:
            batch = open_columns(mapped, path)
            if manifest.part is None and batch.num_rows != manifest.examples:
                raise StoreError(f"{path} has {batch.num_rows} rows, the manifest says {manifest.examples}")
            columns = {
                name: values(column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
                if name != "id"
            }
            wrong = (
                _wrong_epoch(columns, entry.seen, manifest)
                if isinstance(entry, EpochEntry)
                else _wrong_sums(columns, manifest.recorded)
            )
        if wrong:
            raise StoreError(f"{path}: {wrong}; it was written like this: record or import it again")
    except StoreError as error:
        return error
    return None


def _ends(manifest: Manifest) -> dict[str, tuple[float, float]]:
    """What the columns of an epoch cannot lie beyond."""
    if manifest.signals is not None:
        return {signal.name: outside(signal) for signal in manifest.signals}
    classes = manifest.classes
    return {
        "p_gold": (0.0, 1.0),
        "loss": (0.0, math.inf),
        "entropy": (0.0, math.log(classes)),
        "el2n": (0.0, math.sqrt(2.0)),
        "predicted": (-1, classes - 1),
        "label": (0, classes - 1),
    }


def _wrong_epoch(columns: dict[str, Array], seen: int, manifest: Manifest) -> str | None:
    """The first value of an epoch that cannot be; None without one."""
    ends = _ends(manifest)
    for name, column in columns.items():
        if name in ends and (wrong := _outside(name, column, *ends[name])):
            return wrong
    there = {name: _there(column) for name, column in columns.items() if name not in ("label", "arrival")}
    for name, mask in there.items():
        if int(mask.sum()) != seen or not np.array_equal(mask, next(iter(there.values()))):
            return f"'{name}' has values for {int(mask.sum())} examples, {seen} were seen"
    return None


def _there(column: Array) -> Array:
    """Which examples have a value; of logits, each number of them."""
    there = ~np.isnan(column) if column.dtype.kind == "f" else column >= 0
    return np.asarray(there if there.ndim == 1 else there.all(axis=1))


def _outside(name: str, column: Array, low: float, high: float) -> str | None:
    room = ROUNDING * max(1.0, abs(high)) if column.dtype.kind == "f" and math.isfinite(high) else ROUNDING
    bad = np.flatnonzero((column < low - room) | (column > high + room))
    if bad.size:
        return f"'{name}' must be {low:.6g} to {high:.6g}, row {bad[0]} has {column[bad[0]]:.6g}"
    return None


def _wrong_sums(columns: dict[str, Array], epochs: int) -> str | None:
    """The first of the running sums that cannot be; None without one."""
    visits = columns["visits"]
    ends: dict[str, tuple[Any, Any]] = {
        "visits": (0, epochs),
        "early_visits": (0, np.minimum(visits, EARLY)),
        "correct": (0, visits),
        "forgotten": (0, visits),
        "first_right": (-1, epochs - 1),
        "right_since": (-1, epochs - 1),
        "p_gold": (0, visits),
        "aleatoric": (0, visits / 4),
        "p_spread": (0, np.inf),
        "epoch": (0, np.inf),
        "epoch_spread": (0, np.inf),
        "loss": (0, np.inf),
        "entropy": (0, np.inf),
        "el2n": (0, np.inf),
    }
    for name, (low, high) in ends.items():
        column = columns[name]
        bad = np.flatnonzero(~((column >= low - ROUNDING * epochs) & (column <= high + ROUNDING * epochs)))
        if bad.size:
            return f"'{name}' of row {bad[0]} cannot be {column[bad[0]]:.6g} after {visits[bad[0]]} visits"
    return None
