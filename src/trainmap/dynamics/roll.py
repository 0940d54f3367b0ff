"""The roll of a recording: who will come, as the one who records or the folder says, who came, and who is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.roster import NOT_YET, Known, Learned
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.writer import Writer
from trainmap.errors import RecordingError, StoreError, some

Array = NDArray[Any]


def call_roll(writer: Writer, given: tuple[Array, Array | None] | None, classes: int, grows: bool) -> Known | Learned:
    """Who will come: the ids given, those of an earlier session, or whoever comes.

    Args:
        writer: of the folder, which may hold a recording.
        given: ids and labels that the Recorder was given.
        grows: newcomers are taken.

    Raises:
        StoreError: the folder was recorded with other ids, or other labels.
    """
    repeats, before = writer.manifest.repeats, writer.examples
    fixed = given is not None or writer.manifest.ids_given
    if before is None:
        return Learned(classes, repeats) if given is None else Known(*given, classes, repeats, fixed)
    old_ids, old_labels = before
    ids, labels = (old_ids, None) if given is None else given
    if not np.array_equal(ids, old_ids):
        raise StoreError(
            f"{writer.folder} was recorded with other ids ({len(old_ids)}, now {len(ids)}); use another folder, "
            "overwrite=True, or the ids of before"
        )
    changed = np.zeros(len(ids), bool) if labels is None else (old_labels != UNKNOWN_LABEL) & (old_labels != labels)
    if changed.any():
        first = some(ids[changed].tolist())
        raise StoreError(
            f"{writer.folder} has other labels for {changed.sum()} ids (first: {first}); use another folder, or "
            "overwrite=True"
        )
    roster = Known(ids, old_labels if labels is None else labels, classes, repeats, fixed)
    roster.grows, roster.new_labels = grows, labels is not None and bool((old_labels != labels).any())
    return roster


def settled(roster: Known | Learned, id_type: str, grows: bool) -> tuple[Known, Array | None]:
    """Everybody that an epoch brought, by id, and the order that sorts the rows (None: they stand so)."""
    if isinstance(roster, Learned) and not roster.seen:  # of several processes one that saw nothing
        return Known(np.empty(0, np.str_ if id_type == "string" else np.int64), None, roster.classes), None
    known, order = roster.settle()
    known.grows = grows
    return known, order


def incomplete(roster: Known, epoch: int, resumed: bool) -> RecordingError:
    """The error for an epoch that lacks examples; ``resumed``: it may have been gone on with in its middle."""
    bad = roster.missing()
    cure = (
        "; an epoch that was resumed in its middle has seen the rest alone: go on from a checkpoint of its "
        f"beginning after rewind({epoch}), or allow it"
    )
    return RecordingError(
        f"epoch {epoch}: {len(bad)} of {len(roster)} ids were not recorded (first: {some(bad.tolist())}); "
        f"pass allow_missing=True to keep them as NaN{cure if resumed else ''}"
    )


def part_columns(roster: Known, columns: dict[str, Array]) -> dict[str, Array]:
    """What one of several processes writes: the examples that it saw, by name, with their place in its order."""
    here = roster.arrival != NOT_YET
    about = {"id": roster.ids[here], "label": roster.labels[here], "arrival": roster.arrival[here]}
    return about | {name: column[here] for name, column in columns.items()}
