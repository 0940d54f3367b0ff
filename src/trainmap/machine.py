"""What this machine gives a process: its cores, its memory, a place and a birth that tell it from others, and bars.

Where and when a process was born is said in words that another process, here or elsewhere, can judge.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trainmap.errors import TrainmapError, shown

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

# --- cores and memory -------------------------------------------------------------------------------------------------


def cores() -> int:
    """The cores that this process may use: its affinity, and on Linux the CPU quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            count = min(count, max(1, math.ceil(int(allowed) / int(period))))
    return count


@cache
def memory_of_machine() -> int:
    """Bytes of memory that this process may ever hold: of the machine, its container and its own limits."""
    found = [1 << 62]
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):  # not told on this system
        found.append(16 << 30)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            found.append(int(text))
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (ImportError, OSError):
        limit = -1
    return min([*found, *([limit] if limit > 0 else [])])


def memory_held() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return 0


def human(size: int) -> str:
    """1500000 -> "1.5 MB"."""
    value, unit = float(min(size, 10**300)), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def parse_bytes(text: str) -> int:
    """ "1.5GB" -> 1500000000; B, kB, MB, GB, TB, in any case, with or without a space."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise TrainmapError(
            "an amount of memory is a number of at most 15 digits with a unit, for example 1GB or 500MB; got "
            f"{shown(text)}"
        )
    return int(float(match[1]) * 1000 ** " kmgt".index(match[2] or " "))


# --- processes --------------------------------------------------------------------------------------------------------


@cache
def system() -> str:
    """Eight hex digits for the host and its start: one system that knows of all locks that were taken in it. A
    container that is restarted is in the same one, though its processes have other numbers."""
    return _told(_boot)


@cache
def place() -> str:
    """Eight hex digits for the host, its start and its space of process numbers: where these are the same, a process
    number means the same. A restarted container is another place."""
    return _told(_boot, lambda: os.readlink("/proc/self/ns/pid"))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def _told(*reads: Callable[[], str]) -> str:
    """Of the host and what can be read."""
    told = [socket.gethostname()]
    for read in reads:
        try:
            told.append(read())
        except OSError:
            told.append("")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def birth(pid: int) -> str | None:
    """When a process of this place started, as the system tells it ("" where it does not); None when it is gone.

    Pids are used again, and a killed process whose parent does not collect it keeps its pid: a birth tells them apart.
    """
    if os.name == "nt":
        return ""  # no harmless probe there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return None if fields[0] in "ZX" else fields[19]


# --- progress ---------------------------------------------------------------------------------------------------------


def bars(*clocks: ProgressColumn, detail: bool = False, transient: bool = False, disable: bool = False) -> Progress:
    """Progress bars on the error stream: what, how much, how many, ``clocks``, and with ``detail`` what it is at."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from trainmap.terminal import Terminal

    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), *clocks]
    if detail:
        columns.append(TextColumn("{task.fields[detail]}", style="dim", markup=False))
    return Progress(*columns, console=Terminal(err=True), transient=transient, disable=disable)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal's error stream, which a pipe never sees; its function is told how many more are done."""
    from rich.progress import TimeRemainingColumn

    with bars(TimeRemainingColumn(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
