"""Temporary files and folders: names that nobody can foresee, made new; what a dead process left is swept away.

A name says who is at work, ``.NAME.PLACE-PID-BIRTH-TOKEN.tmp``, so that the next start can tell a leftover from the
file of a living process.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from trainmap.machine import birth, place

OLD_SECONDS = 86_400.0  # of another place, whose processes nobody here can see: left over when untouched for a day
_OURS = re.compile(r"\..*\.([0-9a-f]{8})-(\d{1,10})-(\d*)-[0-9a-f]{16}\.tmp", re.DOTALL)
_OF_0_1 = re.compile(r"\..*\.(\d{1,10})(-\d+)?\.tmp", re.DOTALL)
_swept: set[tuple[int, int]] = set()


def new_name(target: Path) -> Path:
    """A name beside ``target`` for its temporary file: made with ``O_EXCL``, for nobody can have planted it."""
    pid = os.getpid()
    who = f"{place()}-{pid}-{birth(pid) or ''}-{secrets.token_hex(8)}"
    return target.with_name(f".{target.name[:40]}.{who}.tmp")


def new_file(target: Path) -> tuple[int, Path]:
    """A new file beside ``target``, open for writing, with the permissions of any new file; never one that is there,
    nor through a link. The first one in a folder sweeps it."""
    sweep(target.parent)
    path = new_name(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o666), path


def new_folder_beside(target: Path) -> Path:
    """A new folder beside ``target``, likewise."""
    sweep(target.parent)
    path = new_name(target)
    path.mkdir()
    return path


def is_temporary(name: str) -> bool:
    """Whether a file is called as ours are, or as those of 0.1 were."""
    return bool(_OURS.fullmatch(name) or _OF_0_1.fullmatch(name))


def sweep(folder: Path, again: bool = False) -> None:
    """Remove what dead processes of ours left in ``folder``; once for each folder and process, unless ``again``."""
    with suppress(OSError):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in _swept and not again:
            return
        _swept.add((state.st_dev, state.st_ino))
        for item in folder.iterdir():
            if item.name.endswith(".tmp") and _left_over(item):
                discard(item)


def _left_over(item: Path) -> bool:
    """Whether the writer is dead; one that cannot be seen from here is when nothing was touched for long."""
    ours = _OURS.fullmatch(item.name)
    if ours is not None and ours[1] == place() and (born := birth(int(ours[2]))) != "":
        return born != ours[3]
    if ours is None and not _OF_0_1.fullmatch(item.name):
        return False
    touched = [item.lstat().st_mtime]
    if item.is_dir() and not item.is_symlink():
        touched += [inside.lstat().st_mtime for inside in item.rglob("*")]
    return time.time() - max(touched) > OLD_SECONDS


def discard(item: Path) -> None:
    """Remove a temporary file, link or folder; never what a link leads to."""
    with suppress(OSError):  # somebody has it open, on Windows; somebody else swept it
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink()
