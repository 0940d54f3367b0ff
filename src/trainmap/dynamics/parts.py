"""The parts that several processes recorded, joined by id into one dynamics folder.

    dynamics/
      parts/0000-of-0002/   what rank 0 saw: its own manifest, and epochs with the columns id, label, arrival + signals
      parts/0001-of-0002/
      manifest.json, ...    the join, written when the folder is first opened, and again when there are more epochs

A distributed sampler pads its epoch with copies so that every process gets as many examples. Its copies come last in
a process's order and the originals first, so of the copies of an id the earliest arrival is kept (then the lower
rank): what a single process would have recorded.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.dynamics.columns import check_file, open_columns, write_columns
from trainmap.dynamics.index import MISSING, build_index
from trainmap.dynamics.manifest import NAME, Manifest, read_manifest, versions, write_manifest
from trainmap.dynamics.signals import empty_signals
from trainmap.dynamics.store import UNKNOWN_LABEL, read_examples, write_examples
from trainmap.errors import StoreError, some

Array = NDArray[Any]


def has_parts(folder: Path) -> bool:
    """Whether several processes recorded into ``folder``."""
    return (folder / "parts").is_dir()


def join_parts(folder: Path) -> Path:
    """Join what is not joined yet and return the folder that holds the join.

    It is ``folder`` itself, or a temporary folder where that may not be written.

    Raises:
        StoreError: a part is lost, the parts disagree, an epoch lacks examples although none may be missing.
    """
    parts = _read_parts(folder / "parts")
    epochs = min(len(manifest.epochs) for _, manifest in parts)
    if (folder / NAME).exists() and len(read_manifest(folder).epochs) == epochs:
        return folder
    if epochs == 0:
        raise StoreError(f"{folder}: no epoch was finished by all {len(parts)} processes")
    target = folder if _writable(folder) else Path(tempfile.mkdtemp(prefix="trainmap-"))
    _join(parts, epochs, target)
    return target


def _read_parts(folder: Path) -> list[tuple[Path, Manifest]]:
    """Every part with its manifest, complete and in agreement."""
    found = sorted(path for path in folder.iterdir() if re.fullmatch(r"\d{4}-of-\d{4}", path.name))
    worlds = {int(path.name[-4:]) for path in found}
    if len(worlds) != 1:
        raise StoreError(f"{folder} holds parts of {sorted(worlds)} processes; a recording has one number of processes")
    world = worlds.pop()
    have = {int(path.name[:4]) for path in found if (path / NAME).exists()}
    lost = sorted(set(range(world)) - have)
    if lost:
        raise StoreError(f"{folder}: {len(lost)} of {world} parts are lost (rank {some(lost)}); every process's part is needed")
    parts = [(path, read_manifest(path)) for path in found]
    for name in ("classes", "source", "level", "id_type", "ids_given", "allow_missing"):
        values = {getattr(manifest, name) for _, manifest in parts}
        if len(values) > 1:
            raise StoreError(f"{folder}: the processes recorded with different {name}: {some(sorted(map(str, values)))}")
    return parts


def _join(parts: list[tuple[Path, Manifest]], epochs: int, target: Path) -> None:
    """Write examples, epochs and manifest of the join."""
    first = parts[0][1]
    batches = [[_columns(path, manifest, epoch) for path, manifest in parts] for epoch in range(epochs)]
    if first.ids_given:
        ids, labels = read_examples(parts[0][0])
    else:
        ids = np.unique(np.concatenate([_ids(batch) for ranks in batches for batch in ranks]))
        labels = np.full(len(ids), UNKNOWN_LABEL, np.int64)
    index = build_index(ids)
    entries = []
    for epoch, ranks in enumerate(batches):
        rows = np.concatenate([index.rows(_ids(batch)) for batch in ranks])
        if rows.min() == MISSING:
            raise StoreError(f"epoch {epoch}: {(rows == MISSING).sum()} ids of a part are not among the {len(ids)} examples")
        # Last writer wins below, so the copy to keep comes last: earliest arrival, then lowest rank.
        arrival = np.concatenate([batch.column("arrival").to_numpy() for batch in ranks])
        rank = np.repeat(np.arange(len(ranks)), [batch.num_rows for batch in ranks])
        order = np.lexsort((rank, arrival))[::-1]
        gold = np.concatenate([batch.column("label").to_numpy() for batch in ranks])
        changed = (labels[rows] != UNKNOWN_LABEL) & (labels[rows] != gold)
        labels[rows] = gold
        changed |= labels[rows] != gold
        if changed.any():
            raise StoreError(f"epoch {epoch}: the processes recorded different labels for ids {some(ids[rows[changed]].tolist())}")
        seen = len(np.unique(rows))
        if seen < len(ids) and not first.allow_missing:
            raise StoreError(
                f"epoch {epoch}: {len(ids) - seen} of {len(ids)} ids were recorded by no process; record with "
                "allow_missing=True to keep them as NaN"
            )
        columns = empty_signals(len(ids), first.classes)
        if first.level == "logits":
            columns["logits"] = np.full((len(ids), first.classes), np.nan, np.float16)
        for name, column in columns.items():
            values = np.concatenate([_values(batch, name) for batch in ranks])
            column[rows[order]] = values[order]
        entries.append(write_columns(target, f"epochs/{epoch:05d}.arrow", columns, seen))
    write_examples(target, ids, labels)
    joined = first.model_copy(
        update={"examples": len(ids), "part": None, "parts": None, "epochs": entries, "written_by": versions()}
    )
    write_manifest(target, joined)


def _columns(path: Path, manifest: Manifest, epoch: int) -> pa.RecordBatch:
    file = check_file(path, manifest.epochs[epoch])
    return open_columns(pa.memory_map(str(file)), file)


def _ids(batch: pa.RecordBatch) -> Array:
    ids = batch.column("id")
    return np.array(ids.to_pylist(), dtype=np.str_) if pa.types.is_string(ids.type) else ids.to_numpy()


def _values(batch: pa.RecordBatch, name: str) -> Array:
    column = batch.column(name)
    if isinstance(column, pa.FixedSizeListArray):
        return column.flatten().to_numpy().reshape(batch.num_rows, -1)
    return column.to_numpy()


def _writable(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp"):
            return True
    except OSError:
        return False
