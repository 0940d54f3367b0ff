"""Whether anything is damaged in what trainmap wrote: a file, a recording, or all that lies in a folder."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from trainmap.audits.planted import Flips, ThresholdSamples
from trainmap.checksums import KEY, SEALS, card_of, check_folder, check_onnx, check_zip, read_card, read_sealed
from trainmap.dynamics.damage import check_recording, is_recording
from trainmap.errors import StoreError
from trainmap.evaluation.predictions import FORMAT as PREDICTIONS
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.runs.job import read_record
from trainmap.experiments.tasks.place import EPOCHS
from trainmap.experiments.tasks.tracking import read_epochs
from trainmap.files import reading
from trainmap.maps.datamap import DataMap
from trainmap.maps.table_file import METADATA, read_table
from trainmap.selection.card import FORMAT as CARD
from trainmap.selection.card import Selection

ZIPS = (".npz", ".pt", ".pt2", ".previous")
RECORD = 64  # characters of a hash, the name of a run's record


@dataclass(frozen=True)
class Checked:
    """A file that was looked at.

    Attributes:
        path: the file.
        size: its bytes.
        damage: what is wrong with it; None where nothing is.
        known: it can be checked; a picture, a report, a table for people cannot.
    """

    path: Path
    size: int
    damage: str | None
    known: bool = True


def verify(path: str | Path) -> Iterator[Checked]:
    """Read everything again and compare it with its checksums, file by file; damage does not end it.

    Args:
        path: a recording (its parts, too), a map, predictions, a card with its ids, a plan, logits, a network, or a
            folder in which such things lie: a demo, an experiment. Hidden files (locks, temporary ones) are left out.

    Raises:
        StoreError: there is nothing at ``path``, or nothing that can be checked.
    """
    place = Path(path)
    if not place.exists():
        raise StoreError(f"there is nothing at {place}; verify takes what trainmap wrote, a file or a folder")
    if place.is_dir():
        yield from _folder(place)
        return
    found = _file(place)
    if not found.known:
        raise StoreError(f"{place} has no checksum: it is nothing that trainmap reads again, or was written by 0.1")
    yield found


def _folder(folder: Path) -> Iterator[Checked]:
    if is_recording(folder):
        for file, size, damage in check_recording(folder):
            yield Checked(file, size, None if damage is None else str(damage))
        return
    try:
        items = sorted(folder.iterdir())
    except OSError as error:
        yield Checked(folder, 0, f"{folder} cannot be read: {error.strerror}")
        return
    for item in items:
        if item.name.startswith(".") or item.is_symlink():
            continue
        if item.is_dir():
            yield from _folder(item)
        elif item.suffix != ".lock":
            yield _file(item)


def _file(path: Path) -> Checked:
    """One file, by what its name and content say that it is."""
    try:
        size = path.stat().st_size
        check = _check_of(path)
        if check is not None:
            check(path)
    except StoreError as error:
        return Checked(path, 0, str(error))
    except OSError as error:
        return Checked(path, 0, f"{path} cannot be read: {error.strerror}")
    return Checked(path, size, None, check is not None)


def _check_of(path: Path) -> Callable[[Path], Any] | None:
    """How a file is checked; None where it has no checksum."""
    if path.name == SEALS:
        return lambda file: check_folder(file.parent, afresh=True)
    if path.suffix == ".json":
        return _document(path)
    if path.suffix == ".parquet":
        return _table(path)
    if path.suffix == ".npy":
        return _array if card_of(path).exists() else None
    if path.suffix == ".onnx":
        return check_onnx
    if path.suffix == ".db":
        return _database
    if path.name == EPOCHS:
        return read_epochs
    if path.suffix in ZIPS:
        return lambda file: check_zip(file, "zip archive", afresh=True)
    return None


def _document(path: Path) -> Callable[[Path], Any] | None:
    """JSON, by its ``format`` or its name."""
    with reading(path, "JSON document"):
        value: Any = json.loads(path.read_bytes())
    kind = value.get("format") if isinstance(value, dict) else None
    if kind == CARD:
        return Selection.open
    if kind in ("trainmap-flips", "trainmap-threshold-samples"):
        return Flips.open if kind == "trainmap-flips" else ThresholdSamples.open
    digest = path.name.split(".")[0]
    if len(digest) == RECORD and isinstance(value, dict) and "function" in value:
        return lambda file: read_record(file, digest, "traceback" if "traceback" in value else "result")
    return read_sealed if isinstance(value, dict) and KEY in value else None


def _table(path: Path) -> Callable[[Path], Any] | None:
    """Parquet: a map or predictions; None for what has no note of ours in it: a table for people, a user's own data."""
    with reading(path, "Parquet file"):
        if METADATA not in (pq.read_schema(path).metadata or {}):
            return None
    about = read_table(path, "Parquet file")[1]
    return Predictions.open if isinstance(about, dict) and about.get("format") == PREDICTIONS else DataMap.open


def _array(path: Path) -> None:
    """An array and the card beside it; a card of 0.1 knows no checksum, so the array must at least be one."""
    read_card(path, afresh=True)
    with reading(path, "array"):
        np.load(path, mmap_mode="r", allow_pickle=False)


def _database(path: Path) -> None:
    """An SQLite file's structure; its trials are compared with the list beside it when a search goes on."""
    with reading(path, "database"), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        (said,) = database.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            raise StoreError(f"{path} is damaged: {said}")


def count_files(path: Path) -> int:
    """How many files there are to look at, for a progress bar."""
    return 1 if path.is_file() else sum(len(files) for _, _, files in os.walk(path))


__all__ = ["Checked", "count_files", "verify"]
