"""Who is at work on a run: a lock is a file that names its owner, made whole by linking.

Linking succeeds for one process alone. The lock of a dead owner is not removed but outbid by the next generation, so
that of two processes that find it dead one wins.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainmap.files import read_json
from trainmap.typed import as_type

log = logging.getLogger(__name__)


def _owners(folder: Path, digest: str) -> list[tuple[Path, dict[str, Any]]]:
    """The locks of a run, oldest first, with their owners."""
    found = []
    for path in sorted(folder.glob(f"{digest}.*.lock")):
        with suppress(FileNotFoundError):  # given up meanwhile
            found.append((path, _owner(path)))
    return found


def _owner(path: Path) -> dict[str, Any]:
    """Who a lock names.

    Raises:
        StoreError: a file that names nobody: cut off, or of another program.
    """
    cure = "if nobody is at work on the run, remove it"
    if not path.exists():
        raise FileNotFoundError(path)
    found = read_json(path, "lock", cure)
    kinds = {"pid": int, "host": str, "birth": str | None}
    told = found if isinstance(found, dict) else {}
    return told | {name: as_type(kind, told.get(name), path, cure) for name, kind in kinds.items()}


def _alive(owner: Mapping[str, Any]) -> bool:
    """Whether an owner may still be at work; one on another host is believed to be."""
    return owner["host"] != socket.gethostname() or _birth(owner["pid"]) == owner["birth"]


def held(folder: Path, digest: str) -> bool:
    """Whether somebody may be at work on a run."""
    return any(_alive(owner) for _, owner in _owners(folder, digest))


def take(folder: Path, digest: str, claim: str = "") -> bool:
    """Become the owner of a run, unless a living process is.

    ``claim`` is a name by which another process, which sees a death that this host cannot see, may give the run up.
    """
    before = _owners(folder, digest)
    if any(_alive(owner) for _, owner in before):
        return False
    generation = int(before[-1][0].name.split(".")[1]) + 1 if before else 0
    mine = folder / f"{digest}.{generation:06d}.lock"
    pid = os.getpid()
    draft = folder / f".{digest}.{pid}.tmp"
    draft.write_text(json.dumps({"pid": pid, "host": socket.gethostname(), "birth": _birth(pid), "claim": claim}))
    try:
        os.link(draft, mine)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    if any(path != mine and _alive(owner) for path, owner in _owners(folder, digest)):
        mine.unlink()  # the dead lock was swept away and the run taken anew between the look and the link
        return False
    return True


def release(folder: Path, digest: str, pid: int) -> None:
    """Give up a run that process ``pid`` of this host owns, and sweep away the dead owners before it."""
    locks = _owners(folder, digest)
    if locks and (locks[-1][1]["pid"], locks[-1][1]["host"]) == (pid, socket.gethostname()):
        for path, _ in locks:
            path.unlink(missing_ok=True)


def give_up(folder: Path, digest: str, claim: str) -> None:
    """Give up a run whose owner died on whatever host, known by its claim."""
    for path, owner in _owners(folder, digest):
        if owner.get("claim") == claim:
            path.unlink(missing_ok=True)


def _birth(pid: int) -> str | None:
    """When a process of this host started, as the system tells it ("" where it does not); None when it is gone.

    Pids are used again, and a killed process whose parent does not collect it keeps its pid: a birth tells them apart.
    """
    if os.name == "nt":
        return ""  # no harmless probe there: locks of killed workers have to be removed by hand
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return None if fields[0] in "ZX" else fields[19]


def log_owner(folder: Path, digest: str, name: str) -> None:
    """Tell whom a run is waited for, and which file to remove when that process is gone for good."""
    for path, owner in _owners(folder, digest)[-1:]:
        level = logging.INFO if owner["host"] == socket.gethostname() else logging.WARNING
        text = "waiting for '%s', which process %s on %s is running; if it is gone, remove %s"
        log.log(level, text, name, owner["pid"], owner["host"], path)
