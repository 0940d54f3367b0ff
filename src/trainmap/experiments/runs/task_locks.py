"""Who is at work on a run: ``<hash>.lock`` is locked by its owner's process, and says who that is.

What the system knows is asked of the system: a file that is locked has a living owner, one that is free and of this
system has none, whatever became of it. The system may not know of other machines (some disks that they share keep
locks to each of them, or have none), so three things stand over filelock's lock. The file is made where there is none,
which one machine alone can do. An owner touches it every ``BEAT_SECONDS``, and one elsewhere that has not done so for
``LEASE_SECONDS`` is dead. And it may carry a claim, by which a launcher gives up a run whose end only the launcher saw.
(filelock's own lease counts from when each waiting process first looks, never ends on disks that cannot exchange two
names, NFS and SMB among them, and waits for ever for an empty file.)
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainmap.locks import NO_LOCKS, Lock, is_locked, read_name, write_name
from trainmap.machine import system
from trainmap.temporary import new_file

log = logging.getLogger(__name__)

BEAT_SECONDS = 20.0
LEASE_SECONDS = 300.0
"""An owner elsewhere that has not touched its lock for so long is dead. Network disks tell the age of a file up to a
minute late, and a machine under load misses some beats."""
MAKING_SECONDS = 2.0  # for which a lock that cannot be read may be one that another machine is writing
CLOCK_SECONDS = 60.0  # how long what is known of a disk's clock is taken to be right
TYPES = {"pid": int, "host": str, "system": str, "claim": str}  # of what a lock must say

_mine: dict[Path, Lock] = {}
_clocks: dict[str, tuple[float, float]] = {}


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.lock"


def _owner(path: Path) -> dict[str, Any]:
    """Who a lock says its owner is; {} when it cannot be read: it was damaged or planted, or is being written."""
    told = read_name(path)
    fits = all(isinstance(told.get(name), kind) for name, kind in TYPES.items())
    return told if fits and type(told["pid"]) is int and told["pid"] > 0 else {}


def _here(owner: dict[str, Any]) -> bool:
    return owner.get("system") == system()


def _alive(path: Path) -> bool:
    """Whether the owner of a lock may still be at work; nobody is without one."""
    locked = is_locked(path)
    return locked is True or _leased(path, knows=locked is False)


def _leased(path: Path, knows: bool = True) -> bool:
    """Whether a lock that this system does not hold has an owner elsewhere that gave a sign of life; without locks on
    this disk (not ``knows``), an owner here is judged by that as well."""
    owner = _owner(path)
    if knows and _here(owner):
        return False
    try:
        return _now(path.parent) - path.lstat().st_mtime < (LEASE_SECONDS if owner else MAKING_SECONDS)
    except OSError:  # there is none
        return False


def _now(folder: Path) -> float:
    """The time as the disk of ``folder`` tells it, whose clock is the one that locks are dated by. A folder that
    cannot be written has the time of this machine."""
    asked, offset = _clocks.get(str(folder), (-CLOCK_SECONDS, 0.0))
    if time.monotonic() - asked > CLOCK_SECONDS:
        offset = 0.0
        with suppress(OSError):
            descriptor, probe = new_file(folder / "clock")
            offset = os.fstat(descriptor).st_mtime - time.time()
            os.close(descriptor)
            probe.unlink()
        _clocks[str(folder)] = time.monotonic(), offset
    return time.time() + offset


def held(folder: Path, digest: str) -> bool:
    """Whether somebody may be at work on a run."""
    return _alive(_path(folder, digest))


def take(folder: Path, digest: str, claim: str = "") -> bool:
    """Become the owner of a run, unless a living process is. Who works long must say so: see ``beating``.

    ``claim`` is a name by which another process, which sees a death that this host cannot see, may give the run up.
    """
    path = _path(folder, digest)
    if _alive(path):
        return False
    name = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "system": system(), "claim": claim}).encode()
    try:
        with open(path, "xb") as handle:
            new = handle.write(name) > 0
    except FileExistsError:
        new = False

    def sign(descriptor: int) -> None:
        if not new and _leased(path):
            raise TimeoutError  # another machine was faster
        write_name(descriptor, name)
        if not new:
            os.fsync(descriptor)  # other machines read it

    try:
        _mine[path] = Lock(path, sign)
    except TimeoutError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            if not new and _leased(path, knows=False):
                return False
            path.write_bytes(name)
        elif new:
            raise
        else:
            _set_aside(path)
            return take(folder, digest, claim)
    return True


def _set_aside(path: Path) -> None:
    """Make way for a lock where one is that cannot be locked: planted, or of another user who is dead."""
    with suppress(FileNotFoundError):
        path.rename(aside := path.with_name(f"{path.name}.{secrets.token_hex(4)}"))
        if not aside.is_dir():
            aside.unlink()


@contextmanager
def beating(folder: Path, digest: str) -> Iterator[None]:
    """Touch the lock of a run that this process owns, so that other hosts see its owner alive."""
    over, path = threading.Event(), _path(folder, digest)

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            if (owner := _owner(path)) and _here(owner) and owner["pid"] == os.getpid():
                with suppress(OSError):  # given up by another process
                    os.utime(path)

    thread = threading.Thread(target=beat, name="trainmap-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def release(folder: Path, digest: str, pid: int) -> None:
    """Give up a run that process ``pid`` of this host owns: this one, or one that is dead."""
    path = _path(folder, digest)
    if pid == os.getpid() and (lock := _mine.pop(path, None)) is not None:
        lock.release()
    elif (owner := _owner(path)) and owner["pid"] == pid and _here(owner) and not is_locked(path):
        _remove(path)


def give_up(folder: Path, digest: str, claim: str) -> None:
    """Give up a run whose owner died on whatever host, known by its claim."""
    if _owner(path := _path(folder, digest)).get("claim") == claim:
        _remove(path)


def take_over(folder: Path) -> list[Path]:
    """Remove every lock whose owner is not a living process of this system, those of earlier versions with them, and
    say which: for whoever knows that no other machine is at work here."""
    gone = []
    for path in folder.glob("*.lock"):
        if re.fullmatch(r"[0-9a-f]{64}(\.\d+)?\.lock", path.name):
            owner = _owner(path)
            stays = _alive(path) if _here(owner) else is_locked(path) and not owner
            if not stays:
                _remove(path)
                gone.append(path)
    return gone


def _remove(path: Path) -> None:
    with suppress(OSError):  # gone already; or a folder, which has no owner and holds up nobody
        path.unlink()


def log_owner(folder: Path, digest: str, name: str) -> None:
    """Tell whom a run is waited for, and which file to remove when that process is gone for good."""
    path = _path(folder, digest)
    if owner := _owner(path):
        text = "waiting for '%s', which process %s on %s is running; if it is gone, remove %s"
        if not _here(owner):
            text += f" or pass --take-over (it counts as gone {LEASE_SECONDS:.0f} seconds after its last sign of life)"
        level = logging.INFO if _here(owner) else logging.WARNING
        log.log(level, text, name, owner["pid"], owner["host"], path)
