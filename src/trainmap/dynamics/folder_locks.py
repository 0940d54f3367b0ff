"""Locks of a folder: for the moments of writing (``locked``), and for a recorder's whole life (``Hold``)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from trainmap.errors import StoreError, shown
from trainmap.locks import LOOK_SECONDS, NO_LOCKS, Lock, Opened, is_locked, read_name, write_name

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Nobody else writes here meanwhile; the end of the process, however it comes, unlocks.

    The folder itself is locked, which filelock's locks of files cannot do, only that of a descriptor. False where
    there are no such locks (Windows, some network disks): then two writers that meet within the same few milliseconds
    are not told apart.
    """
    opened, alone = Opened(), False
    try:
        with suppress(OSError):
            alone = opened.lock(folder)
        yield alone
    finally:
        opened.close()


class Hold:
    """This process alone records into a folder, until ``release`` or the end of the object or the process.

    The file ``lock`` in the folder carries the lock and says who holds it; a release removes it. Where there are no
    locks nothing is held.

    Raises:
        StoreError: another recorder, of this process or of another, holds the folder; it is named.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._lock: Lock | None = None
        try:
            self._lock = Lock(folder / LOCK, _sign)
        except TimeoutError:
            raise _held(folder) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            with suppress(OSError):
                (folder / LOCK).unlink()

    def release(self) -> None:
        """Let the next one in. A child that was forked off has nothing to release."""
        if self._lock is not None:
            self._lock.release()


def refuse_held(folder: Path) -> None:
    """Refuse a folder into which somebody records now."""
    if is_locked(folder / LOCK, LOOK_SECONDS):
        raise _held(folder)


def _sign(descriptor: int) -> None:
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with suppress(OSError):  # a full disk: held without a name
        write_name(descriptor, json.dumps(name).encode() + b"\n")


def _held(folder: Path) -> StoreError:
    """The refusal, with the name of the holder as the lock file gives it."""
    told, who = read_name(folder / LOCK), "another process"
    with suppress(KeyError, TypeError, ValueError):
        pid, host, since = int(told["pid"]), str(told["host"]), str(told["since"])
        mine = (pid, host) == (os.getpid(), socket.gethostname())
        who = f"process {pid} on {shown(host, 80)} since {shown(since, 40)}" + (" (this process)" if mine else "")
    return StoreError(
        f"{folder} is being recorded by {who}; one folder has one recorder: close() that one (or leave its 'with'), "
        "or record into another folder"
    )
