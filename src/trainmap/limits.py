"""What a file may ask of the machine: its sizes are checked before memory is taken, and the limit is said."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from trainmap.errors import StoreError

SHARE = 0.5
"""Of the machine's memory: what one file may take."""
FREE_EXPANSION = 1 << 28
"""Bytes that compressed data may unpack to whatever their size: constant arrays shrink a thousandfold."""
EXPANSION = 100
"""Beyond that, how many times its compressed bytes. Pictures, texts and tables shrink 2 to 20 times."""


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


def memory_allowed() -> int:
    """Bytes that one file may take."""
    return int(SHARE * memory_of_machine())


def check_room(path: str | os.PathLike[str], size: int, packed: int | None = None) -> None:
    """Refuse a file that asks for more memory than one may have, before any is taken.

    Args:
        size: bytes that it will take.
        packed: its compressed bytes, where it is compressed.

    Raises:
        StoreError: says the size and the limit.
    """
    if size > (most := memory_allowed()):
        raise StoreError(
            f"{path} asks for {human(size)} of memory, a file may take {human(most)} (half of what this process may "
            "have); it is damaged, or too large for here"
        )
    if packed is not None and size > max(FREE_EXPANSION, EXPANSION * packed):
        raise StoreError(
            f"{path} unpacks {human(packed)} to {human(size)}; beyond {human(FREE_EXPANSION)} at most {EXPANSION} "
            "times the compressed size is taken: it is damaged, or store it with less compression"
        )


def human(size: int) -> str:
    """1500000 -> "1.5 MB"."""
    value, unit = float(min(size, 10**300)), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
