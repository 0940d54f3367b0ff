"""Locks of a folder: for the moments of writing (``locked``), and for a recorder's whole life (``Hold``).

Both are ``flock``, which the end of a process frees, however it comes. A lock belongs to the open file, and a fork
copies that: a child closes its copies at once, or a worker that outlives its trainer would go on holding the folder.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from trainmap.errors import StoreError, shown

LOCK = "lock"
_open: WeakSet[_Descriptor] = WeakSet()


class _Descriptor:
    """An open file that is closed with this object, whatever breaks off the code that holds it."""

    def __init__(self) -> None:
        self.number = -1
        _open.add(self)

    def open(self, path: Path, flags: int) -> None:
        self.number = os.open(path, flags, 0o666)

    def lock(self, how: int) -> None:
        import fcntl

        fcntl.flock(self.number, how)

    def close(self) -> None:
        if self.number < 0:
            return
        with suppress(OSError):  # copies of the descriptor that C code forked off lose the lock as well
            import fcntl

            fcntl.flock(self.number, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close this process's copy alone: what a child does with what it got from its parent."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def _in_a_child() -> None:
    for descriptor in list(_open):
        descriptor.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Nobody else writes here meanwhile; the end of the process, however it comes, unlocks.

    False where there are no locks (Windows, some network disks): then two writers that meet within the same few
    milliseconds are not told apart.
    """
    if os.name == "nt":
        yield False
        return
    import fcntl

    descriptor, alone = _Descriptor(), False
    try:
        with suppress(OSError):
            descriptor.open(folder, os.O_RDONLY)
            descriptor.lock(fcntl.LOCK_EX)
            alone = True
        yield alone
    finally:
        descriptor.close()


class Hold:
    """This process alone records into a folder, until ``release`` or the end of the object or the process.

    The file ``lock`` in the folder carries the lock and says who holds it; a release removes it. Where there are no
    locks nothing is held.

    Raises:
        StoreError: another recorder, of this process or of another, holds the folder; it is named.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._descriptor = folder / LOCK, _Descriptor()
        if os.name == "nt":
            return
        import fcntl

        while True:
            self._descriptor.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
            try:
                self._descriptor.lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._descriptor.forget()
                raise _held(folder) from None
            except OSError:  # no locks here
                self._descriptor.forget()
                with suppress(OSError):
                    self._path.unlink()
                return
            if self._is_in_place():
                break
            self._descriptor.close()  # the one before removed it between our opening and our locking
        with suppress(OSError):  # a full disk: held without a name
            os.ftruncate(self._descriptor.number, 0)
            os.pwrite(self._descriptor.number, json.dumps(_name()).encode() + b"\n", 0)

    def release(self) -> None:
        """Let the next one in. A child that was forked off has nothing to release."""
        if self._descriptor.number >= 0 and self._is_in_place():
            with suppress(OSError):
                self._path.unlink()
        self._descriptor.close()

    def _is_in_place(self) -> bool:
        try:
            there, mine = os.stat(self._path), os.fstat(self._descriptor.number)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def __del__(self) -> None:
        self.release()


def refuse_held(folder: Path) -> None:
    """Refuse a folder into which somebody records now."""
    path = folder / LOCK
    if os.name == "nt" or not path.exists():
        return
    import fcntl

    descriptor = _Descriptor()
    try:
        with suppress(OSError):
            descriptor.open(path, os.O_RDONLY)
            try:
                descriptor.lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held(folder) from None
    finally:
        descriptor.close()


def _name() -> dict[str, str | int]:
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _held(folder: Path) -> StoreError:
    """The refusal, with the name of the holder as the lock file gives it."""
    try:
        told = json.loads((folder / LOCK).read_bytes()[:1000])
        pid, host, since = int(told["pid"]), str(told["host"]), str(told["since"])
        mine = (pid, host) == (os.getpid(), socket.gethostname())
        who = f"process {pid} on {shown(host, 80)} since {shown(since, 40)}" + (" (this process)" if mine else "")
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        who = "another process"
    return StoreError(
        f"{folder} is being recorded by {who}; one folder has one recorder: close() that one (or leave its 'with'), "
        "or record into another folder"
    )
