"""Errors that a user can act on: one line that says what must hold, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral


class TrainmapError(ValueError):
    """A mistake in the input. The message is complete in one line; the command prints it and exits 2."""


class RecordingError(TrainmapError):
    """Something handed to a Recorder cannot be recorded; nothing of it was kept."""


class StoreError(TrainmapError):
    """A folder or file on disk is not what it must be (missing, torn, foreign, newer); nothing was changed."""


class DivergedError(TrainmapError):
    """A training whose loss is no longer finite."""


def unknown(kind: str, got: str, known: Iterable[str]) -> TrainmapError:
    """The error for a name that is not in a table, with the nearest known name and the whole list.

    Example: ``unknown score 'variabilty'; did you mean 'variability'? Known: aum, confidence, ...``
    """
    names = sorted(known)
    near = difflib.get_close_matches(got, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return TrainmapError(f"unknown {kind} '{got}'{hint} Known: {', '.join(names)}")


def whole(value: object, name: str, least: int = 0) -> int:
    """``value``, where it is a whole number (int or numpy's, not a bool) of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise TrainmapError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def some(items: Iterable[object], limit: int = 3) -> str:
    """The first few items for a message: ``104, 220, 391``."""
    shown = []
    for position, item in enumerate(items):
        if position == limit:
            shown.append("...")
            break
        shown.append(repr(item) if isinstance(item, str) else str(item))
    return ", ".join(shown)
