"""What a recording leaves in its folder, and how it goes: its own files alone, the manifest first.

A kill on the way leaves files that no manifest lists, and these do not exist. Files of others stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from trainmap.dynamics.folder_locks import LOCK, locked, refuse_held
from trainmap.dynamics.manifest import NAME, FileEntry, Manifest, read_manifest
from trainmap.dynamics.processes import PARTS, part_folder, worlds
from trainmap.files import sync_folder
from trainmap.temporary import is_temporary

_EXAMPLES = re.compile(r"examples(-\d+)?\.parquet")
_COLUMNS = re.compile(r"\d{5,}(-\d+)?\.arrow")


def is_own(name: str) -> bool:
    """Whether a recording could have put a file or folder of this name into its folder."""
    return name in (NAME, "epochs", "stats", PARTS, LOCK) or bool(_EXAMPLES.fullmatch(name)) or is_temporary(name)


def remove_file(file: Path) -> None:
    with suppress(OSError):  # gone already, or open in another process, on Windows
        file.unlink()


def remove_unlisted(folder: Path, manifest: Manifest) -> None:
    """Remove what a kill, a rewind or an overwriting left behind: files of ours that ``manifest`` does not list.

    They take room and do no harm. Only while nobody else can be writing: what looks left over may be about to be
    listed.
    """
    listed = {entry.file for entry in manifest.files} | ({manifest.examples_name} if manifest.examples else set())
    for name in _inside(folder):
        if name not in listed:
            remove_file(folder / name)


def remove_temporary(folder: Path) -> None:
    """Remove what a kill left half written, before there was a manifest."""
    for name in _inside(folder):
        if is_temporary(Path(name).name):
            remove_file(folder / name)


def _inside(folder: Path) -> list[str]:
    """The files in a recording's folder that have names of ours, apart from manifest and lock."""
    names = [item.name for item in folder.iterdir()]
    found = [name for name in names if _EXAMPLES.fullmatch(name) or is_temporary(name)]
    for inside in ("epochs", "stats"):
        names = [item.name for item in (folder / inside).iterdir()] if (folder / inside).is_dir() else []
        found += [f"{inside}/{name}" for name in names if _COLUMNS.fullmatch(name) or is_temporary(name)]
    return found


def has_columns(folder: Path) -> bool:
    """Whether there are files with names of ours in ``epochs`` or ``stats``."""
    return any(_COLUMNS.fullmatch(item.name) for name in ("epochs", "stats") for item in (folder / name).glob("*"))


def remove_files(folder: Path, entries: Iterable[FileEntry]) -> None:
    """Remove files that the manifest lists no longer."""
    for entry in entries:
        remove_file(folder / entry.file)


def clear(folder: Path) -> None:
    """Remove the recording in ``folder``; nothing where there is none.

    Raises:
        StoreError: the manifest is not one of ours, so that nobody can know whose files these are.
    """
    if not (folder / NAME).exists():
        return
    read_manifest(folder)
    (folder / NAME).unlink(missing_ok=True)
    sync_folder(folder)
    for name in _inside(folder):
        remove_file(folder / name)
    for inside in (folder / "epochs", folder / "stats"):
        with suppress(OSError):  # not there, or a file of somebody else is in it
            inside.rmdir()


def clear_others(path: Path, world_size: int | None) -> None:
    """Before a recording is overwritten by ``world_size`` processes (None: one): remove what is not their own part.

    The join of parts, the recording of a single process where several come, the parts of another number of processes.

    Raises:
        StoreError: somebody is recording there.
    """
    for world in sorted(worlds(path / PARTS) - {world_size}):
        for part in (part_folder(path, rank, world) for rank in range(world)):
            if part.is_dir():
                refuse_held(part)
                clear(part)
                with suppress(OSError):
                    (part / LOCK).unlink(missing_ok=True)
                    part.rmdir()
    with suppress(OSError):
        (path / PARTS).rmdir()
    if world_size is not None:
        refuse_held(path)
        with locked(path):
            clear(path)
