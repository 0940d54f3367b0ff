"""Errors that a user can act on: one line that says what must hold, what came, and what to do."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

LONGEST = 200  # characters of a value that a message shows
LONGEST_MESSAGE = 4000
_LONG_WORD = re.compile(rf"\S{{{LONGEST + 1},}}")
_UNPRINTABLE = re.compile(  # control characters, separators, marks that turn the text around, halves of characters
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)


class TrainmapError(ValueError):
    """A mistake in the input. The message is complete in one line; the command prints it and exits 2.

    Whatever the message was made of, it is one line of printable characters, and no word of it (a path, a name, a
    number of a file) is longer than ``LONGEST``: those are cut in their middle, for both ends tell what they are.
    """

    def __init__(self, message: object = "") -> None:
        text = _LONG_WORD.sub(lambda word: _without_middle(word[0], LONGEST), one_line(str(message)))
        super().__init__(_without_middle(text, LONGEST_MESSAGE))


class RecordingError(TrainmapError):
    """Something handed to a Recorder cannot be recorded; nothing of it was kept."""


class StoreError(TrainmapError):
    """A folder or file on disk is not what it must be (missing, torn, foreign, newer); nothing was changed."""


class DivergedError(TrainmapError):
    """A training whose loss is no longer finite."""


def one_line(text: str) -> str:
    """``text`` without line breaks, control characters and half characters: what a terminal, a log or a file takes."""
    if text.isprintable():
        return text.strip()
    return _UNPRINTABLE.sub(" ", "".join(letter if letter.isprintable() else "\n" for letter in text)).strip()


def _without_middle(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2 - 3]}...{text[-(limit // 2) :]}"


def printable(text: str, instead: str = " ") -> str:
    """Lines of text, each without what ``one_line`` takes away; line breaks stay."""
    return "\n".join(_UNPRINTABLE.sub(instead, line) for line in text.split("\n"))


def last_line(traceback: str | None) -> str:
    """What a traceback ends with: the kind of the error and what it said."""
    lines = printable(traceback or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason was given"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, as in a sentence: ``1 epoch``, ``2,000 epochs``, ``2 classes``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def shown(value: Any, limit: int = LONGEST) -> str:
    """A value for a message: numbers and text of numpy as plain ones, text in quotes, one line, cut at ``limit``."""
    plain = value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value
    if isinstance(plain, str | bytes | list | tuple | dict | set) and len(plain) > limit:
        plain = (
            plain[:limit]
            if isinstance(plain, str | bytes | list | tuple)
            else f"{type(plain).__name__} of {len(plain)}"
        )
    try:
        text = one_line(ascii(plain) if isinstance(plain, str) and not plain.isprintable() else repr(plain))
    except ValueError:  # an integer of more digits than Python writes
        text = f"an integer of {value.bit_length()} bits"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def short(text: str) -> str:
    """A text of a user for a message, without quotes: one line, cut in its middle."""
    return _without_middle(one_line(text), LONGEST)


def cause(error: BaseException) -> str:
    """What a foreign library said, for a message of ours: one line, cut; its kind where it said nothing."""
    said = one_line(error.strerror if isinstance(error, OSError) and error.strerror else str(error))
    return (said if len(said) <= LONGEST else f"{said[: LONGEST - 3]}...") or type(error).__name__


def unknown(kind: str, got: object, known: Iterable[str]) -> TrainmapError:
    """The error for a name that is not in a table, with the nearest known name and the whole list.

    Example: ``unknown score 'variabilty'; did you mean 'variability'? Known: aum, confidence, ...``
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(got, names, n=1) if isinstance(got, str) else []
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return TrainmapError(f"unknown {kind} {shown(got)}{hint} Known: {', '.join(names)}")


def whole(value: object, name: str, least: int = 0) -> int:
    """``value``, where it is a whole number (int or numpy's, not a bool) of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise TrainmapError(f"{name} must be a whole number of at least {least}, got {shown(value)}")
    return int(value)


def number(value: object, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """``value``, where it is a finite number (int, float or numpy's, not a bool) from ``low`` to ``high``."""
    try:
        plain = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer beyond every float
        plain = math.nan
    if not (math.isfinite(plain) and low <= plain <= high):
        bounds = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
        raise TrainmapError(f"{name} must be a finite number{bounds}, got {shown(value)}")
    return plain


def some(items: Iterable[object], limit: int = 3) -> str:
    """The first few items for a message: ``104, 220, 391``."""
    told = []
    for position, item in enumerate(items):
        if position == limit:
            told.append("...")
            break
        told.append(shown(item))
    return ", ".join(told)
