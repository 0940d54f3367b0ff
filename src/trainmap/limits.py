"""What a file may ask of the machine: its sizes are checked before memory is taken, and the limit is said."""

from __future__ import annotations

import os

from trainmap.errors import StoreError
from trainmap.machine import human, memory_of_machine

SHARE = 0.5
"""Of the machine's memory: what one file may take."""
FREE_EXPANSION = 1 << 28
"""Bytes that compressed data may unpack to whatever their size: constant arrays shrink a thousandfold."""
EXPANSION = 100
"""Beyond that, how many times its compressed bytes. Pictures, texts and tables shrink 2 to 20 times."""


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
