"""Several processes: each records its part, and the parts are joined by id into one dynamics folder.

    dynamics/
      parts/0000-of-0002/   what rank 0 saw: its own manifest, and epochs with the columns id, label, arrival + signals
      parts/0001-of-0002/
      manifest.json, ...    the join, written when the folder is first opened, and again when the parts have changed

A distributed sampler pads its epoch with copies so that every process gets as many examples. Its copies come last in
a process's order and the originals first, so of the copies of an id the earliest arrival is kept (then the lower
rank): what a single process would have recorded.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.dynamics.columns import check_file, empty_columns, map_columns, values, write_columns
from trainmap.dynamics.examples import read_examples, write_examples
from trainmap.dynamics.fold_parts import check_folds, joined_ids, refuse_open_folds
from trainmap.dynamics.folder_locks import locked
from trainmap.dynamics.index import build_index, ids_from_arrow
from trainmap.dynamics.manifest import NAME, Manifest, is_torn_join, read_manifest, versions, write_manifest
from trainmap.dynamics.processes import PARTS, part_folder, refuse_lost, worlds
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.errors import StoreError, some
from trainmap.files import sync_folder
from trainmap.temporary import new_file, new_folder_beside

Array = NDArray[Any]

ALIKE = (
    "kind", "classes", "class_names", "source", "level", "signals", "per", "example_type", "step", "every", "id_type",
    "ids_given", "folds",
)  # fmt: skip
"""What the parts of one recording have in common."""


def join_parts(folder: Path, allow_missing: bool = False) -> Path:
    """Join the parts, unless that was done already, and return the folder that holds the join.

    Args:
        allow_missing: keep an example that an epoch lacks as NaN, though no process was told to allow that.

    It is ``folder`` itself, or where that cannot be written a temporary one that this process removes at its end.

    Raises:
        StoreError: a part is lost or damaged, the parts disagree, an epoch lacks examples although none may be
            missing, or there is no room for the join.
    """
    parts = _read_parts(folder)
    if parts[0][1].folds is not None:
        check_folds(folder, parts)
    epochs = min(len(manifest.epochs) for _, manifest in parts)
    if epochs == 0:
        behind = [rank for rank, (_, manifest) in enumerate(parts) if not manifest.epochs]
        raise StoreError(
            f"{folder}: no epoch was finished by all {len(parts)} processes (rank {some(behind)} has none)"
        )
    digest = _digest(parts, epochs)
    with locked(folder):
        if _is_current(folder, digest):
            return folder
        target = folder
        if not _writable(folder):
            target = new_folder_beside(Path(tempfile.gettempdir(), "trainmap-join"))
            atexit.register(shutil.rmtree, target, ignore_errors=True)
        try:
            _join(parts, epochs, digest, target, allow_missing or any(m.allow_missing for _, m in parts))
        except OSError as error:
            why = error.strerror or error
            raise StoreError(f"the parts of {folder} could not be joined: {why}; make room") from error
        return target


def _read_parts(folder: Path) -> list[tuple[Path, Manifest]]:
    """Every part with its manifest, complete and in agreement, by rank."""
    found = worlds(folder / PARTS)
    if len(found) != 1:
        what = f"parts of {some(sorted(found))} processes" if found else "no parts"
        raise StoreError(f"{folder / PARTS} must hold the parts of one number of processes, it holds {what}")
    world = found.pop()
    folders = [part_folder(folder, rank, world) for rank in range(world)]
    refuse_open_folds(folder, folders)
    refuse_lost(folder, folders)
    unfinished = [rank for rank, part in enumerate(folders) if not (part / NAME).exists()]
    if unfinished:
        raise StoreError(
            f"{folder}: no epoch was finished by all {world} processes (rank {some(unfinished)} has none, or its "
            f"{NAME} is lost)"
        )
    parts = [(part, read_manifest(part)) for part in folders]
    for rank, (part, manifest) in enumerate(parts):
        if (manifest.part, manifest.parts) != (rank, world):
            raise StoreError(f"{part} is part {manifest.part} of {manifest.parts} by its manifest; it was misplaced")
    if {True, False} <= {manifest.overwrote for _, manifest in parts}:
        old = [rank for rank, (_, manifest) in enumerate(parts) if manifest.overwrote is False]
        raise StoreError(
            f"{folder}: the part of rank {some(old)} is of the recording that the others have overwritten; its process "
            "never began anew with overwrite=True: record all of them again"
        )
    for name in ALIKE:
        values = {str(getattr(manifest, name)) for _, manifest in parts}
        if len(values) > 1:
            raise StoreError(f"{folder}: the processes recorded with different {name}: {', '.join(sorted(values))}")
    return parts


def _digest(parts: Sequence[tuple[Path, Manifest]], epochs: int) -> str:
    """What a join was made from."""
    digest = hashlib.sha256()
    if len({manifest.repeats for _, manifest in parts}) > 1:  # said where it matters: older joins stay
        digest.update(b"first;")
    for _, manifest in parts:
        for entry in manifest.epochs[:epochs]:
            refused = f" {entry.refused}" if entry.refused else ""
            digest.update(f"{entry.seen} {entry.bytes} {entry.crc32}{refused},".encode())
        digest.update(f"{manifest.examples} {manifest.allow_missing};".encode())
    return digest.hexdigest()


def _is_current(folder: Path, digest: str) -> bool:
    """Whether the join in ``folder`` is whole and of these parts. If not it is made again: nothing is lost by that."""
    if not (folder / NAME).exists() or is_torn_join(folder):
        return False
    manifest = read_manifest(folder)
    if manifest.joined is None:
        raise StoreError(f"{folder} holds the recording of a single process and parts of several; separate them")
    try:
        for entry in manifest.files:
            check_file(folder, entry)
        if manifest.examples_file is not None:
            check_file(folder, manifest.examples_file, whole=True)
        else:  # 0.1
            read_examples(folder, manifest)
    except StoreError:
        return False
    return manifest.joined == digest


def _join(parts: Sequence[tuple[Path, Manifest]], epochs: int, digest: str, target: Path, allow_missing: bool) -> None:
    """Write examples, epochs and manifest of the join."""
    first = parts[0][1]
    if first.ids_given:
        examples = [read_examples(path, manifest) for path, manifest in parts]
        ids, labels = joined_ids(target, examples, first.folds is not None)
    else:
        ids = _ids(_open(*parts[0], 0))
        for epoch in range(epochs):
            ids = np.unique(np.concatenate([ids, *(_ids(_open(*part, epoch)) for part in parts)]))
        labels = np.full(len(ids), UNKNOWN_LABEL, np.int64)
    index = build_index(ids)
    entries = []
    # The files of an old join are written over: from here on nothing lists them, for a reader or after a kill.
    (target / NAME).unlink(missing_ok=True)
    sync_folder(target)
    for epoch in range(epochs):
        batches = [_open(*part, epoch) for part in parts]
        rows = np.concatenate([index.rows(_ids(batch)) for batch in batches])
        _learn_labels(ids, labels, rows, _values(batches, "label"), epoch)
        keep = _originals(rows, batches)
        if len(keep) < len(ids) and not allow_missing:
            raise StoreError(
                f"epoch {epoch}: {len(ids) - len(keep)} of {len(ids)} ids were recorded by no process (a sampler with "
                "drop_last=True?); open it once with Dynamics.open(path, allow_missing=True) to keep them as NaN"
            )
        columns = empty_columns(len(ids), first)
        if first.level == "logits":
            columns["logits"] = np.full((len(ids), first.classes), np.nan, np.float16)
        for name, column in columns.items():
            column[rows[keep]] = _values(batches, name)[keep]
        entry = write_columns(target, f"epochs/{epoch:05d}.arrow", columns, len(keep))
        refused = sum(manifest.epochs[epoch].refused for _, manifest in parts)
        entries.append(entry.model_copy(update={"refused": refused}))
    examples_file = write_examples(target, ids, labels, targets=first.kind == "regression")
    joined = first.model_copy(
        update={
            "examples_file": examples_file,
            "examples": len(ids),
            "part": None,
            "parts": None,
            "joined": digest,
            "overwrote": False,
            "allow_missing": allow_missing,
            "repeats": "first" if any(manifest.repeats == "first" for _, manifest in parts) else first.repeats,
            "epochs": entries,
            "written_by": versions(),
        }
    )
    write_manifest(target, joined)


def _originals(rows: Array, batches: Sequence[pa.RecordBatch]) -> Array:
    """Of every example's copies the one to keep: earliest arrival, then lowest rank."""
    arrival = _values(batches, "arrival")
    rank = np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches])
    order = np.lexsort((rank, arrival, rows))
    _, first = np.unique(rows[order], return_index=True)
    return order[first]


def _learn_labels(ids: Array, labels: Array, rows: Array, gold: Array, epoch: int) -> None:
    """Take over the labels of an epoch; copies of an example, and epochs, must agree."""
    changed = (labels[rows] != UNKNOWN_LABEL) & (labels[rows] != gold)
    labels[rows] = gold
    changed |= labels[rows] != gold
    if changed.any():
        bad = np.unique(ids[rows[changed]]).tolist()
        raise StoreError(
            f"epoch {epoch}: the processes recorded different labels for {len(bad)} ids (first: {some(bad)})"
        )


def _open(path: Path, manifest: Manifest, epoch: int) -> pa.RecordBatch:
    file = check_file(path, manifest.epochs[epoch], whole=True)
    batch = map_columns(file)
    _check_columns(file, batch, manifest)
    return batch


def _check_columns(file: Path, batch: pa.RecordBatch, manifest: Manifest) -> None:
    """An epoch of a part has its ids, labels, arrivals and signals, each as it was written."""
    wanted = {"id": pa.int64() if manifest.id_type == "int64" else pa.string(), "label": pa.int64()}
    if not batch.num_rows and "id" in batch.schema.names and batch.schema.field("id").type == pa.int64():
        wanted["id"] = pa.int64()  # a rank that had seen nobody yet did not know of what kind ids are
    signals = empty_columns(0, manifest)
    wanted |= {"arrival": pa.int64()} | {name: pa.from_numpy_dtype(column.dtype) for name, column in signals.items()}
    if manifest.level == "logits":
        wanted["logits"] = pa.list_(pa.float16(), manifest.classes)
    for name, kind in wanted.items():
        place = batch.schema.get_field_index(name)
        if place < 0 or batch.schema.field(place).type != kind or batch.column(place).null_count:
            got = "not there" if place < 0 else f"{batch.schema.field(place).type}, or has empty places"
            raise StoreError(f"{file} must have '{name}' as {kind} without empty places, it is {got}; restore it")


def _ids(batch: pa.RecordBatch) -> Array:
    return ids_from_arrow(batch.column("id"))


def _values(batches: Sequence[pa.RecordBatch], name: str) -> Array:
    return np.concatenate([values(batch.column(name)) for batch in batches])


def _writable(folder: Path) -> bool:
    try:
        descriptor, probe = new_file(folder / "probe")
    except OSError:
        return False
    os.close(descriptor)
    probe.unlink()
    return True
