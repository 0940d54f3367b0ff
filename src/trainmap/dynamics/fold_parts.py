"""The parts of a recording out of fold: one for each fold, recorded one after the other, apart in their examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.manifest import NAME, Manifest, read_manifest
from trainmap.dynamics.processes import PARTS
from trainmap.errors import StoreError, some

Array = NDArray[Any]


def refuse_open_folds(folder: Path, folders: Sequence[Path]) -> None:
    """Folds are recorded one after the other: say which are still to come, or lost."""
    there = [number for number, part in enumerate(folders) if (part / NAME).exists()]
    if there and len(there) < len(folders) and read_manifest(folders[there[0]]).folds is not None:
        missing = [number for number in range(len(folders)) if number not in there]
        raise StoreError(
            f"{folder}: of {len(folders)} folds fold {some(missing)} has no epoch yet, or its part is lost: record it "
            f"(resume=True goes on), or copy it into {folder / PARTS}"
        )


def check_folds(folder: Path, parts: Sequence[tuple[Path, Manifest]]) -> None:
    """Folds are one recording when each has as many epochs as the others."""
    epochs = [len(manifest.epochs) for _, manifest in parts]
    if len(set(epochs)) > 1:
        told = ", ".join(f"fold {number} has {count}" for number, count in enumerate(epochs))
        raise StoreError(
            f"{folder}: every fold needs as many epochs as the others, but {told}: go on with resume=True, or rewind "
            "the longer ones"
        )


def joined_ids(folder: Path, examples: Sequence[tuple[Array, Array]], apart: bool) -> tuple[Array, Array]:
    """(ids, labels) of all: those that every process was given, or those of the folds together (``apart``)."""
    if not apart:
        ids, labels = examples[0]
        if not all(np.array_equal(ids, others) for others, _ in examples):
            raise StoreError(f"{folder}: the processes were given different ids=; every one needs all of them")
        return ids, labels.copy()
    if len({ids.dtype.kind for ids, _ in examples}) > 1:
        raise StoreError(f"{folder}: the ids of one fold are numbers, of another texts; record them again")
    ids, labels = (np.concatenate(columns) for columns in zip(*examples, strict=True))
    order = np.argsort(ids, kind="stable")
    ids, labels = ids[order], labels[order]
    if (twice := ids[1:][ids[1:] == ids[:-1]]).size:
        raise StoreError(
            f"{folder}: {len(twice)} ids are in two folds (first: {some(twice.tolist())}); record it again"
        )
    return ids, labels
