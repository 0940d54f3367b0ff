"""The face of a room: its public names, each loaded from its file when it is first used.

A face is the room's ``__init__``. It names the public names for people and type checkers (``__all__`` and imports under
``TYPE_CHECKING``), and says to ``lazily`` which file has each, so that a face costs next to nothing and loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(room: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a room whose public names are in its files.

    Args:
        room: the room's ``__name__``.
        files: file -> the names that it has, with spaces between them: ``{"table": "SCORES Score score"}``.
    """
    homes = {name: file for file, names in files.items() for name in names.split()}

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{room}.{homes[name]}"), name)
        raise AttributeError(f"module '{room}' has no attribute '{name}'")

    return get, lambda: sorted(sys.modules[room].__all__)
