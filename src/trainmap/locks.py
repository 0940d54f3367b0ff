"""Locks that the system holds, by filelock: the end of a process frees them, however it comes, and a child has none.

A locked file says who holds it, for people and for other machines; the lock itself does not depend on what it says.
"""

from __future__ import annotations

import atexit
import errno
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakSet

POLL_SECONDS = 0.01
LOOK_SECONDS = 0.1  # whoever looks whether a file is locked has it for a moment: waited out before it counts as held
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
"""How a disk answers that has no locks."""
NAME_BYTES = 1000  # more than a name is none

_locks: WeakSet[Lock] = WeakSet()
_open: WeakSet[Opened] = WeakSet()


@cache
def _filelock() -> ModuleType:
    """filelock, which is not imported by a command that locks nothing. It unlocks what is left when the interpreter
    ends; before that our files are removed."""
    import filelock

    atexit.register(lambda: [lock.release() for lock in list(_locks)])
    return filelock


class Lock:
    """This process alone has a file, until ``release`` or the end of the object or of the process.

    The file is made when missing, and removed by the release; after a kill it stays and is nobody's.

    Args:
        path: the file.
        sign: writes into the open file (its descriptor) who holds it; what it raises ends the attempt.

    Raises:
        TimeoutError: somebody else has it, of this process or of another.
        OSError: it cannot be opened; or, with an ``errno`` of ``NO_LOCKS``, there are no locks here.
    """

    def __init__(self, path: Path, sign: Callable[[int], object]) -> None:
        self._path = path
        self._lock = _filelock().FileLock(
            path,
            LOOK_SECONDS,
            thread_local=False,
            poll_interval=POLL_SECONDS,
            fallback_to_soft=False,  # a marker that a kill leaves behind is worse than no lock
            on_acquired=sign,
        )
        self._lock.acquire()
        self._file = os.stat(path)
        _locks.add(self)

    def release(self) -> None:
        """Let the next one in. A child that was forked off has nothing to release."""
        if self._lock.is_locked:
            with suppress(OSError):
                if os.path.samestat(os.stat(self._path), self._file):  # otherwise it was moved or removed
                    self._path.unlink()
            self._lock.release(force=True)

    def __del__(self) -> None:
        self.release()


class Opened:
    """An open file or folder that is closed with this object, whatever breaks off the code that holds it."""

    def __init__(self) -> None:
        self.number = -1
        _open.add(self)

    def lock(self, path: Path, seconds: float = math.inf) -> bool:
        """Open and lock what is there; False when somebody else has it for so long. Raises OSError."""
        flags = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its other end
        try:
            self.number = os.open(path, os.O_RDWR | flags)
        except OSError:  # a folder, or no right to write
            self.number = os.open(path, os.O_RDONLY | flags)
        until = time.monotonic() + seconds
        while not _filelock().lock_descriptor(self.number, blocking=False):
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def close(self, unlock: bool = True) -> None:
        """A child only closes its copy; who opened it unlocks it as well, for copies that C code forked off."""
        if unlock and self.number >= 0:
            with suppress(OSError):
                _filelock().unlock_descriptor(self.number)
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def _in_a_child() -> None:
    for opened in list(_open):
        opened.close(unlock=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


def is_locked(path: Path, seconds: float = 0.0) -> bool | None:
    """Whether a process has this file, for at least so long; None where nobody can tell: no file, or no locks."""
    opened = Opened()
    try:
        with suppress(OSError):
            return not opened.lock(path, seconds)
        return None
    finally:
        opened.close()


def write_name(descriptor: int, name: bytes) -> None:
    """Write into a file that was just locked who holds it."""
    if os.read(descriptor, NAME_BYTES) != name:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, name)


def read_name(path: Path) -> dict[str, Any]:
    """Who holds a file, as it says; {} when it says nothing that can be read."""
    try:
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | getattr(os, "O_NONBLOCK", 0))) as handle:
            told = json.loads(handle.read(NAME_BYTES) or b"")
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
