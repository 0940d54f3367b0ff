"""Who is at work on a run: a lock is a file that names its owner, made whole by linking.

Linking succeeds for one process alone. The lock of a dead owner is not removed but outbid by the next generation, so
that of two processes that find it dead one wins. Whether an owner is dead, its host knows by the process; elsewhere
(another machine, a restarted container) it is by the lock's age: an owner touches it every ``BEAT_SECONDS``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainmap.errors import StoreError
from trainmap.files import read_json, sync_folder
from trainmap.machine import birth, place
from trainmap.temporary import new_file, sweep

log = logging.getLogger(__name__)

BEAT_SECONDS = 20.0
LEASE_SECONDS = 300.0
"""An owner elsewhere that has not touched its lock for so long is dead. Network disks tell the age of a file up to a
minute late, and a machine under load misses some beats."""
CLOCK_SECONDS = 60.0  # how long what is known of a disk's clock is taken to be right
TYPES = {"pid": int, "host": str, "birth": (str, type(None))}  # of what a lock must say

_clocks: dict[str, tuple[float, float]] = {}


def _owners(folder: Path, digest: str) -> list[tuple[Path, dict[str, Any]]]:
    """The locks of a run, oldest first, with their owners; one that cannot be read has the owner {}."""
    found = []
    for path in sorted(folder.glob(f"{digest}.*.lock"), key=_generation):
        with suppress(FileNotFoundError):  # given up meanwhile
            found.append((path, _owner(path)))
    return [(path, owner) for path, owner in found if _generation(path) >= 0]


def _generation(path: Path) -> int:
    number = re.fullmatch(r"[^.]+\.(\d{1,18})\.lock", path.name)
    return int(number[1]) if number else -1


def _owner(path: Path) -> dict[str, Any]:
    """Who a lock says its owner is. Locks appear whole and on disk, so one that is no lock (empty, torn, a folder, a
    pipe) was damaged later or planted: it has no owner, and the next generation outbids it."""
    try:
        told = read_json(path, "lock")
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError | MemoryError):  # given up meanwhile; says nothing of the lock
            raise error.__cause__ from None
        return {}
    fits = isinstance(told, dict) and all(isinstance(told.get(name), kind) for name, kind in TYPES.items())
    return told if fits and type(told["pid"]) is int and told["pid"] > 0 else {}


def _alive(path: Path, owner: Mapping[str, Any]) -> bool:
    """Whether an owner may still be at work."""
    if not owner:
        return False
    if _here(owner):
        return birth(owner["pid"]) == owner["birth"]
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return False
    return _now(path.parent) - touched < LEASE_SECONDS


def _here(owner: Mapping[str, Any]) -> bool:
    """Whether process numbers of this lock are of this place; locks of 0.1 say the host alone."""
    return owner["place"] == place() if "place" in owner else owner.get("host") == socket.gethostname()


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
    return any(_alive(path, owner) for path, owner in _owners(folder, digest))


def take(folder: Path, digest: str, claim: str = "") -> bool:
    """Become the owner of a run, unless a living process is. Who works long must say so: see ``beating``.

    ``claim`` is a name by which another process, which sees a death that this host cannot see, may give the run up.
    """
    sweep(folder)
    before = _owners(folder, digest)
    if any(_alive(path, owner) for path, owner in before):
        return False
    generation = _generation(before[-1][0]) + 1 if before else 0
    mine = folder / f"{digest}.{generation:06d}.lock"
    pid = os.getpid()
    about = {"pid": pid, "host": socket.gethostname(), "place": place(), "birth": birth(pid), "claim": claim}
    descriptor, draft = new_file(folder / digest)
    try:
        with open(descriptor, "w") as handle:
            json.dump(about, handle)
            handle.flush()
            os.fsync(handle.fileno())  # a power cut must not leave an empty lock
        os.link(draft, mine)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folder(folder)
    if any(path != mine and _alive(path, owner) for path, owner in _owners(folder, digest)):
        mine.unlink()  # the dead lock was swept away and the run taken anew between the look and the link
        return False
    return True


@contextmanager
def beating(folder: Path, digest: str) -> Iterator[None]:
    """Touch the lock of a run that this process owns, so that other hosts see its owner alive."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            for path, owner in _owners(folder, digest):
                if owner and _here(owner) and owner["pid"] == os.getpid():
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
    """Give up a run that process ``pid`` of this host owns, and sweep away the dead owners before it."""
    locks = _owners(folder, digest)
    if locks and (owner := locks[-1][1]) and owner["pid"] == pid and _here(owner):
        for path, _ in locks:
            _remove(path)


def give_up(folder: Path, digest: str, claim: str) -> None:
    """Give up a run whose owner died on whatever host, known by its claim."""
    for path, owner in _owners(folder, digest):
        if owner.get("claim") == claim:
            _remove(path)


def take_over(folder: Path) -> list[Path]:
    """Remove every lock whose owner is not a living process of this place, and say which: for whoever knows that no
    other machine is at work here."""
    found = [path for path in folder.glob("*.lock") if _generation(path) >= 0]
    gone = []
    for path in found:
        with suppress(FileNotFoundError):
            owner = _owner(path)
            if not owner or not _here(owner) or not _alive(path, owner):
                _remove(path)
                gone.append(path)
    return gone


def _remove(path: Path) -> None:
    with suppress(OSError):  # gone already; or a folder, which has no owner and holds up nobody
        path.unlink()


def log_owner(folder: Path, digest: str, name: str) -> None:
    """Tell whom a run is waited for, and which file to remove when that process is gone for good."""
    for path, owner in _owners(folder, digest)[-1:]:
        if not owner:
            continue
        text = "waiting for '%s', which process %s on %s is running; if it is gone, remove %s"
        if not _here(owner):
            text += f" or pass --take-over (it counts as gone {LEASE_SECONDS:.0f} seconds after its last sign of life)"
        level = logging.INFO if _here(owner) else logging.WARNING
        log.log(level, text, name, owner["pid"], owner["host"], path)
