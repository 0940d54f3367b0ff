"""What a caller gives a Recorder at its beginning, checked before any folder is made."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.class_reading import Reader
from trainmap.dynamics.index import sort_ids
from trainmap.dynamics.manifest import MOST_CLASSES, Repeats
from trainmap.dynamics.roster import check_classes
from trainmap.dynamics.signals import chunk_rows
from trainmap.dynamics.supervision import Per
from trainmap.errors import RecordingError, shown
from trainmap.limits import memory_allowed
from trainmap.machine import human

Array = NDArray[Any]


def check_choice(name: str, got: object, choices: Any) -> None:
    known = get_args(choices)
    if got not in known:
        raise RecordingError(f"{name} must be one of {', '.join(map(repr, known))}, got {shown(got)}")


def check_flag(value: object, name: str) -> bool:
    """True or False (or numpy's); nothing else is taken for one of them: "no" and "False" would be true."""
    if not isinstance(value, bool | np.bool_):
        raise RecordingError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_number_of_classes(classes: object) -> int:
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise RecordingError(f"classes must be an integer of at least 2, got {shown(classes)}")
    if (size := 4 * int(classes) * chunk_rows(int(classes))) > memory_allowed() or classes > MOST_CLASSES:
        raise RecordingError(
            f"classes must be at most {MOST_CLASSES:,} and leave room for the logits of a few examples: {classes:,} "
            f"classes need {human(size)}, a recorder may take {human(memory_allowed())}; is this the "
            "number of examples?"
        )
    return int(classes)


def check_repeats(repeats: Repeats | None, world_size: int) -> Repeats:
    """What to do with an example that comes again: as said; else refuse, or the first of several processes' copies."""
    if repeats is None:
        return "refuse" if world_size == 1 else "first"
    check_choice("repeats", repeats, Repeats)
    if repeats == "mean" and world_size > 1:
        raise RecordingError(
            "repeats='mean' cannot be joined from several processes (each knows its own visits alone); use 'first'"
        )
    return repeats


def check_given(ids: Any, labels: Any, reader: Reader, per: Per | None = None) -> tuple[Array, Array | None] | None:
    """The caller's ids and labels, checked and sorted by id."""
    if ids is None and labels is not None:
        raise RecordingError("labels need ids to belong to; pass ids as well")
    if ids is None:
        return None
    if per is not None:
        raise RecordingError(
            f"ids= cannot be given with per='{per}', where the first epoch tells which parts an example has; "
            "allow_missing=True takes those that come later"
        )
    given = to_ids(ids)
    ordered, order = sort_ids(given)
    if labels is None:
        return ordered, None
    gold = reader.labels(labels)
    if gold.shape != ordered.shape:
        raise RecordingError(f"{len(ordered)} ids need {len(ordered)} labels, got shape {gold.shape}")
    check_classes(given, gold, reader.gold)
    return ordered, gold[order]
