"""A folder that appears whole or not at all, and how an importer writes dynamics into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.dynamics.columns import write_columns
from trainmap.dynamics.examples import write_examples
from trainmap.dynamics.manifest import EpochEntry, Level, Manifest, Source, versions, write_manifest
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, cause, some
from trainmap.files import is_dir, is_file, reading, sync_folder
from trainmap.kinds import as_path
from trainmap.parquet_files import read_parquet
from trainmap.temporary import discard, new_folder_beside

Array = NDArray[Any]


def check_source(source: str) -> None:
    """Refuse a source that recordings do not have, before a long file is read."""
    if source not in get_args(Source):
        raise TrainmapError(f"source must be one of {', '.join(map(repr, get_args(Source)))}, got '{source}'")


def check_new(path: str | Path) -> None:
    """Refuse a folder that would be written over: nothing ever is."""
    target = as_path(path)
    if is_file(target) or (is_dir(target) and any(target.iterdir())):
        what = "is a file" if target.is_file() else f"holds {some(sorted(item.name for item in target.iterdir()))}"
        raise StoreError(f"{path} must be a new or an empty folder, it {what}; choose another or remove it")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that becomes ``path`` at a clean exit.

    Raises:
        StoreError: ``path`` exists and is not an empty folder (nothing is ever overwritten), or cannot be written.
    """
    check_new(path)
    target, temporary = Path(path).absolute(), None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = new_folder_beside(target)
        yield temporary
        if target.exists():
            check_new(target)  # another process may have made it meanwhile
            target.rmdir()
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"{path} could not be written, nothing of it was kept: {cause(error)}") from error
    finally:
        if temporary is not None:
            discard(temporary)


def write_dynamics(
    out: str | Path,
    ids: Array,
    labels: Array,
    classes: int,
    source: Source,
    epochs: Iterable[tuple[Mapping[str, Array], int]],
    about: Mapping[str, str],
    more: Mapping[str, Array] | None = None,
) -> Dynamics:
    """Write a dynamics folder from columns that are already in row order.

    Args:
        ids: (N,) ascending and distinct.
        labels: (N,) int64, -1 where unknown.
        epochs: one at a time: its columns, and how many of the N examples were seen in it.
        about: where it came from, kept in the manifest's ``written_by``.
        more: further columns (N,) of ``examples.parquet``, what the source knew and dynamics have no place for.
    """
    entries: list[EpochEntry] = []
    level: Level = "signals"
    with new_folder(out) as folder:
        examples = write_examples(folder, ids, labels, more)
        for columns, seen in epochs:
            level = "logits" if "logits" in columns else "signals"
            entries.append(write_columns(folder, f"epochs/{len(entries):05d}.arrow", columns, seen))
        write_manifest(
            folder,
            Manifest(
                examples=len(ids),
                classes=classes,
                id_type="string" if ids.dtype.kind == "U" else "int64",
                source=source,
                level=level,
                allow_missing=any(entry.seen < len(ids) for entry in entries),
                ids_given=True,
                examples_file=examples,
                epochs=entries,
                written_by=versions() | dict(about),
            ),
        )
    return Dynamics.open(out)


def kept_column(dynamics: Dynamics, name: str) -> Array | None:
    """A further column of ``examples.parquet`` that an importer kept, (N,), or None."""
    path = dynamics.path / dynamics.manifest.examples_name
    with reading(path, "table of examples"):
        if name not in pq.read_schema(path).names:
            return None
        return np.asarray(read_parquet(path, "table of examples", [name])[name].to_numpy())
