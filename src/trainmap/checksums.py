"""Checksums of what is read again later: of a file, of a JSON document, of a zip, of the folder that a task made.

Damage is found at the first reading, and a process does not read a file twice for that: what it has checked it
remembers, until the file is another one.
"""

from __future__ import annotations

import json
import os
import re
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainmap.errors import StoreError
from trainmap.files import as_json, read_json, reading, write_atomically

KEY = "checksum"
"""In a JSON document: ``crc32:`` and eight hex digits, over the document without it."""
SEALS = "checksums.json"
"""In a folder that a task made: what its files were when the task ended."""
SETTLED_SECONDS = 2.0  # a file that was written within the last tick of a disk's clock may change and look the same
CHUNK = 1 << 20
ONNX_KEY = b"trainmap_crc32"

_checked: dict[tuple[Any, ...], int] = {}


def crc32_of(path: Path) -> int:
    """CRC-32 of a file's bytes, as in zlib and gzip; 4 GB/s from the page cache on one core."""
    crc32 = 0
    with open(path, "rb", buffering=0) as handle:
        while data := handle.read(CHUNK):
            crc32 = zlib.crc32(data, crc32)
    return crc32


def check_bytes(path: Path, size: int, crc32: int | None, said: str, afresh: bool = False) -> None:
    """Refuse a file that is not there, of another length or, unless ``crc32`` is None, with other bytes.

    Args:
        said: where size and checksum stand, for the message: "the manifest".
        afresh: read it also where this process did before.
    """
    with reading(path):
        state = path.stat()
        if state.st_size != size:
            raise StoreError(f"{path} is torn: {state.st_size} bytes, {said} says {size}; restore it from a copy")
        if crc32 is None:
            return
        key = _key(path, state)
        if (None if afresh else _checked.get(key)) == crc32:
            return
        if crc32_of(path) != crc32:
            raise StoreError(
                f"{path} is damaged: its bytes do not match the checksum in {said}; restore it from a copy"
            )
        _remember(key, state, crc32)


def _key(path: Path, state: os.stat_result) -> tuple[Any, ...]:
    return os.fspath(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _remember(key: tuple[Any, ...], state: os.stat_result, found: int) -> None:
    if time.time() - max(state.st_mtime, state.st_ctime) > SETTLED_SECONDS:
        _checked[key] = found


# --- JSON documents --------------------------------------------------------------------------------------------------


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON document with its checksum as the last entry."""
    return {**value, KEY: _checksum(json.loads(json.dumps(value)))}  # as it will be read: keys are strings


def without_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a JSON document says beside its checksum."""
    return {name: entry for name, entry in value.items() if name != KEY}


def _checksum(value: Mapping[str, Any]) -> str:
    """Over what the document says, not how it is written: canonical JSON without the checksum."""
    plain = without_checksum(value)
    return f"crc32:{zlib.crc32(json.dumps(plain, sort_keys=True, separators=(',', ':')).encode()):08x}"


def unsealed(value: dict[str, Any], path: Path, cure: str = "restore it from a copy") -> dict[str, Any]:
    """The document without its checksum, which must fit; one of 0.1 has none.

    Raises:
        StoreError: it says something else than when it was written.
    """
    if lost(value) or (KEY in value and value[KEY] != _checksum(value)):
        raise StoreError(f"{path} was changed or is damaged: what it says does not match its checksum; {cure}")
    return without_checksum(value)


def lost(value: Mapping[str, Any]) -> bool:
    """Whether there is a checksum under another name: the name was damaged, and the document is not one of 0.1."""
    told = [entry for entry in value.values() if isinstance(entry, str) and re.fullmatch(r"crc32:[0-9a-f]{8}", entry)]
    return KEY not in value and bool(told)


def write_sealed(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON document with its checksum, atomically."""
    with write_atomically(path) as handle:
        handle.write(as_json(sealed(value)))


def read_sealed(path: Path, what: str = "file", cure: str = "restore it from a copy") -> dict[str, Any]:
    """A JSON document that ``write_sealed`` wrote, or ``write_json`` of 0.1.

    Raises:
        StoreError: not there, no JSON object, or its checksum does not fit.
    """
    with reading(path, what, cure):
        value: Any = read_json(path, what, cure)
        if not isinstance(value, dict):
            raise StoreError(f"{path} is not a {what}: it must be a JSON object; {cure}")
        return unsealed(value, path, cure)


# --- files with a checksum of their own ------------------------------------------------------------------------------


def check_zip(path: Path, what: str, cure: str = "restore it from a copy", afresh: bool = False) -> None:
    """Compare every member of a zip (.npz, .pt, .pt2) with its CRC-32 there. torch does not when it loads one.

    Raises:
        StoreError: not there, no zip, or damaged.
    """
    with reading(path, what, cure):
        state = path.stat()
        key = _key(path, state)
        if not afresh and key in _checked:
            return
        if not zipfile.is_zipfile(path):
            raise StoreError(f"{path} is not a {what}: no zip archive; {cure}")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if (bad := archive.testzip()) is not None or len(set(names)) < len(names):
                raise StoreError(f"{path} is damaged: '{bad}' in it does not match its checksum; {cure}")
        _remember(key, state, 0)


def onnx_sealed(content: bytes) -> bytes:
    """An ONNX file with the CRC-32 of its bytes as one more entry of its metadata, which every reader takes."""
    return content + _onnx_entry(content)


def _onnx_entry(content: bytes) -> bytes:
    """ModelProto.metadata_props (field 14): a key (1) and a value (2); a protobuf message may go on at its end."""
    value = b"%08x" % zlib.crc32(content)
    entry = b"\x0a" + bytes([len(ONNX_KEY)]) + ONNX_KEY + b"\x12" + bytes([len(value)]) + value
    return b"\x72" + bytes([len(entry)]) + entry


def check_onnx(path: Path) -> None:
    """Compare an ONNX file with the checksum at its end.

    Raises:
        StoreError: not there, damaged, or written without one.
    """
    with reading(path, "network"):
        content = path.read_bytes()
        length = len(_onnx_entry(b""))
        if content[-length:] != _onnx_entry(content[:-length]):
            raise StoreError(f"{path} is damaged, or was not written by this trainmap: its checksum does not match")


# --- a file with its card beside it, a folder with its seals ---------------------------------------------------------


def card_of(path: Path) -> Path:
    """Where the card of an array is."""
    return path.with_name(f"{path.name}.json")


def write_card(path: Path, about: Mapping[str, Any]) -> None:
    """Keep beside a file what it is, its length and its CRC-32."""
    write_sealed(card_of(path), {**about, "bytes": path.stat().st_size, "crc32": crc32_of(path)})


def read_card(path: Path, cure: str = "delete both to compute anew", afresh: bool = False) -> dict[str, Any]:
    """What the card beside a file says of it, once the file is compared with it. Cards of 0.1 have no checksum.

    Raises:
        StoreError: no card, or a card or file that is damaged.
    """
    about = read_sealed(card_of(path), "card", cure)
    with reading(card_of(path), "card", cure):
        if about.get("bytes") is not None:
            check_bytes(path, about["bytes"], about["crc32"], card_of(path).name, afresh)
    return about


def seal_folder(folder: Path, task: str) -> None:
    """Keep what the files of a folder are, so that none is exchanged for another's. A recording in it stands for itself
    by its manifest.

    Args:
        task: hash of the task that made it.
    """
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "crc32": crc32_of(path)}
        for path in sorted(_lasting(folder))
    }
    write_sealed(folder / SEALS, {"format": "trainmap-checksums", "version": 1, "task": task, "files": files})


def is_of_task(folder: Path) -> bool:
    """Whether a folder is called as what a task makes: its kind and its hash."""
    return re.fullmatch(r".+-[0-9a-f]{16}", folder.name) is not None


def _lasting(folder: Path) -> Iterator[Path]:
    recordings = {path.parent for path in folder.rglob("manifest.json")}
    for path in folder.rglob("*"):
        own = path.name == "manifest.json" or not recordings.intersection(path.parents)
        if own and path.is_file() and path.name != SEALS and not path.name.startswith("."):
            yield path


def check_folder(folder: Path, verify: bool = True, afresh: bool = False) -> None:
    """Compare the files of a folder with its seals; a folder of 0.1 has none.

    Raises:
        StoreError: a file is missing, damaged or of another task; the folder is of another task.
    """
    if not (is_of_task(folder) and (folder / SEALS).exists()):
        return
    about = read_sealed(folder / SEALS, "list of checksums")
    with reading(folder / SEALS, "list of checksums"):
        if not about["task"].startswith(folder.name.rpartition("-")[2]):
            raise StoreError(f"{folder} holds what task {about['task'][:16]} made; it was moved or exchanged")
        for name, entry in about["files"].items():
            check_bytes(folder / name, entry["bytes"], entry["crc32"] if verify else None, SEALS, afresh)
