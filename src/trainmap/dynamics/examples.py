"""examples.parquet: who the examples of a recording are, row by row, and what their gold labels are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.columns import check_file, write_listed
from trainmap.dynamics.index import ids_to_arrow
from trainmap.dynamics.manifest import EXAMPLES, FileEntry, Manifest
from trainmap.dynamics.roster import as_bits, as_targets
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.errors import StoreError, some
from trainmap.files import reading
from trainmap.parquet_files import check_parquet

Array = NDArray[Any]

READ_ROWS = 1 << 18


def write_examples(
    folder: Path,
    ids: Array,
    labels: Array,
    more: Mapping[str, Array] | None = None,
    file: str = EXAMPLES,
    targets: bool = False,
) -> FileEntry:
    """Write the examples as ``folder/file``: row, id, label (null where no label is known yet), and what an importer
    keeps. Its entry for the manifest.

    Args:
        targets: the labels are the bits of targets (``roster.as_bits``): a column ``target``, and no label.
    """
    if targets:
        numbers = as_targets(labels)
        more = {**(more or {}), "target": pa.array(numbers, mask=np.isnan(numbers))}
        labels = np.full(len(ids), UNKNOWN_LABEL, np.int64)
    table = pa.table(
        {
            "row": pa.array(np.arange(len(ids), dtype=np.int64)),
            "id": ids_to_arrow(ids),
            "label": pa.array(labels, mask=labels == UNKNOWN_LABEL),
            **(more or {}),
        }
    )
    rising = [field.name for field in table.schema if field.name in ("row", "id") and pa.types.is_integer(field.type)]
    encoding: dict[str, Any] = {
        "use_dictionary": [name for name in table.column_names if name not in rising],
        "column_encoding": dict.fromkeys(rising, "DELTA_BINARY_PACKED"),  # a twentieth of the bytes, and faster
    }
    return write_listed(folder, file, lambda sink: pq.write_table(table, sink, write_page_checksum=True, **encoding))


def read_examples(folder: Path, manifest: Manifest, verify: bool = True) -> tuple[Array, Array]:
    """(ids, labels) in row order; -1 is a label that is not known. Integer ids take no memory beside the two arrays.

    The file must be the one that the manifest lists (0.1 lists none), its ids ascend and its labels be classes.
    """
    path, rows = folder / manifest.examples_name, manifest.examples
    with reading(path, "table of examples"):
        if not path.exists():
            raise StoreError(f"{path} is missing; restore it from a copy")
        if manifest.examples_file is not None:
            check_file(folder, manifest.examples_file, whole=verify)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            id_type, held = str(file.schema_arrow.field("id").type), file.metadata.num_rows
            if id_type != manifest.id_type or held != rows:
                raise StoreError(
                    f"{path} has {held} ids of type {id_type}, the manifest says {rows} of type {manifest.id_type}; "
                    "restore it from a copy"
                )
            gold = "target" if manifest.kind == "regression" else "label"
            check_parquet(path, file, ["id", gold])
            ids, labels, names, start = np.empty(rows, np.int64), np.empty(rows, np.int64), [], 0
            for batch in file.iter_batches(READ_ROWS, columns=["id", gold]):
                stop = start + len(batch)
                batch.validate(full=True)
                if batch["id"].null_count:
                    raise StoreError(f"{path} has examples without an id; restore it from a copy")
                none = UNKNOWN_LABEL if gold == "label" else float("nan")
                column = batch[gold].fill_null(none).to_numpy(zero_copy_only=False)
                labels[start:stop] = column if gold == "label" else as_bits(column)
                if id_type == "string":
                    names.extend(batch["id"].to_pylist())
                else:
                    ids[start:stop] = batch["id"].to_numpy()
                start = stop
        if start != rows:
            raise StoreError(f"{path} holds {start} of its {rows} ids; restore it from a copy")
        pa.default_memory_pool().release_unused()
        ids = to_ids(names) if id_type == "string" else ids
        _check_examples(path, ids, labels, manifest)
        return ids, labels


def _check_examples(path: Path, ids: Array, labels: Array, manifest: Manifest) -> None:
    """Also where there is no checksum to compare with: what a recorder never writes is refused."""
    wrong = np.flatnonzero(~(ids[1:] > ids[:-1]))
    if wrong.size:
        first = some(ids[wrong[0] : wrong[0] + 2].tolist())
        raise StoreError(f"{path} must have distinct ids in ascending order, {first} are not; restore it from a copy")
    if manifest.kind == "regression":
        if np.isinf(as_targets(labels)).any():
            raise StoreError(f"{path} must have finite targets, it has infinity; restore it from a copy")
        return
    classes = manifest.classes if manifest.kind == "classes" else 0  # others have no label
    if labels.size and not (labels.min() >= UNKNOWN_LABEL and labels.max() < classes):
        bad = np.unique(labels[(labels < UNKNOWN_LABEL) | (labels >= classes)])
        raise StoreError(f"{path} must have labels 0 to {classes - 1}, it has {some(bad)}; restore it from a copy")
