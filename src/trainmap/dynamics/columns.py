"""An epoch on disk: an uncompressed Arrow IPC file with one record batch, so that every column is one run of bytes.

Columns are read straight from those bytes: into a caller's buffer (``Layout.read``, memory bounded by the buffer) or by
memory map (``open_columns``). pandas, polars and pyarrow open the same file without trainmap.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.checksums import check_bytes
from trainmap.dynamics.manifest import EpochEntry, FileEntry, Manifest
from trainmap.dynamics.signals import empty_signals
from trainmap.errors import StoreError
from trainmap.files import reading, write_atomically
from trainmap.machine import cores

Array = NDArray[Any]


def empty_columns(rows: int, manifest: Manifest) -> dict[str, Array]:
    """An epoch's columns of signals, without logits, for ``rows`` examples that have not been seen."""
    if manifest.signals is None:
        return empty_signals(rows, manifest.classes)
    return {signal.name: np.full(rows, np.nan, np.float32) for signal in manifest.signals}


class _Checked:
    """A binary file that keeps the CRC-32 and the number of the bytes that went through it."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle, self.crc32, self.bytes, self.closed = handle, 0, 0, False

    def write(self, data: Any) -> int:
        self.crc32 = zlib.crc32(data, self.crc32)
        self.bytes += len(data)
        return self.handle.write(data)

    def flush(self) -> None:
        self.handle.flush()


def write_columns(folder: Path, file: str, columns: Mapping[str, Array], seen: int) -> EpochEntry:
    """Write one epoch atomically and return its entry for the manifest.

    Args:
        columns: name -> (n,), or (n, C) for logits (a fixed-size list per example).
        seen: how many of the n examples were seen.
    """
    return EpochEntry(seen=seen, **write_file(folder, file, columns).model_dump())


def write_file(folder: Path, file: str, columns: Mapping[str, Array]) -> FileEntry:
    """Write columns of one length as ``folder/file``, atomically."""
    arrays = [_to_arrow(column) for column in columns.values()]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
    (folder / file).parent.mkdir(exist_ok=True)

    def write(sink: pa.PythonFile) -> None:
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    return write_listed(folder, file, write)


def write_listed(folder: Path, file: str, write: Callable[[pa.PythonFile], None]) -> FileEntry:
    """Write ``folder/file`` atomically; its entry for the manifest."""
    with write_atomically(folder / file) as handle:
        checked = _Checked(handle)
        write(pa.PythonFile(checked, mode="w"))
    return FileEntry(file=file, bytes=checked.bytes, crc32=checked.crc32)


def _to_arrow(column: Array) -> pa.Array:
    if column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(column).reshape(-1)), column.shape[1])
    return pa.array(column)


def check_file(folder: Path, entry: FileEntry, whole: bool = False, afresh: bool = False) -> Path:
    """The path of a listed file, after checking that it is there with its length (and, ``whole``, every byte; what this
    process has checked before is not read again, unless ``afresh``)."""
    path = folder / entry.file
    with reading(path, "file of a recording"):
        if not path.exists():
            raise StoreError(f"{path} is listed in the manifest and missing; restore it from a copy")
    check_bytes(path, entry.bytes, entry.crc32 if whole else None, "the manifest", afresh)
    return path


def check_files(folder: Path, entries: Sequence[FileEntry]) -> None:
    """Every byte of these files, several at a time."""
    with ThreadPoolExecutor(min(len(entries), cores()) or 1) as threads:
        for _ in threads.map(lambda entry: check_file(folder, entry, whole=True), entries):
            pass


def open_columns(source: Any, path: Path) -> pa.RecordBatch:
    """The record batch of an epoch from a memory map or buffer; no number is read yet. ``path`` names it in errors.

    It is checked in full: without that a damaged offset or text leads out of the file, which ends the process. Of
    columns of numbers nothing is read for it.
    """
    with reading(path, "whole Arrow file"):
        reader = pa.ipc.open_file(source)
        if reader.num_record_batches != 1:
            raise StoreError(f"{path} must hold one record batch, got {reader.num_record_batches}")
        batch = reader.get_batch(0)
        if len(set(batch.schema.names)) < len(batch.schema.names):
            raise StoreError(f"{path} has a column twice; restore it from a copy")
        batch.validate(full=True)
        return batch


def map_columns(path: Path) -> pa.RecordBatch:
    """The record batch of an epoch's file, memory-mapped."""
    with reading(path, "whole Arrow file"):
        return open_columns(pa.memory_map(str(path)), path)


def values(column: pa.Array) -> Array:
    """A column of numbers without empty places where it lies: (n,), or (n, C) of a fixed-size list."""
    if isinstance(column, pa.FixedSizeListArray):
        return column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    return column.to_numpy()


@dataclass(frozen=True)
class Layout:
    """Where the bytes of each column lie in an epoch's file."""

    path: Path
    rows: int
    places: Mapping[str, tuple[int, np.dtype[Any], int]]  # name -> offset in bytes, dtype, values per row

    @staticmethod
    def of(path: Path) -> Layout:
        with reading(path, "whole Arrow file"), pa.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer(mapped.size())
            batch = open_columns(whole, path)
            places: dict[str, tuple[int, np.dtype[Any], int]] = {}
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                flat, width = column, 1
                if isinstance(column, pa.FixedSizeListArray):
                    flat, width = column.flatten(), column.type.list_size
                if (
                    column.null_count
                    or flat.null_count
                    or not (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type))
                ):
                    continue  # ids and labels of a part; the signals are plain numbers
                data = flat.buffers()[1]
                dtype = np.dtype(flat.type.to_pandas_dtype())
                offset = data.address - whole.address if data.size else 0
                if not 0 <= offset <= whole.size - data.size:
                    raise StoreError(f"{path} must be uncompressed, so that its columns can be read where they lie")
                places[name] = (offset, dtype, width)
            return Layout(path, batch.num_rows, places)

    def read(self, name: str, start: int, out: Array, handle: BinaryIO) -> None:
        """Fill ``out``, contiguous (n,) or (n, C), with a column's rows from ``start`` on; ``handle`` has no buffer."""
        offset, dtype, width = self.places[name]
        view = out.reshape(-1).view(np.uint8).data
        handle.seek(offset + start * dtype.itemsize * width)
        while len(view):
            got = handle.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise StoreError(f"{self.path} ended early while it was read; was it changed meanwhile?")
            view = view[got:]
