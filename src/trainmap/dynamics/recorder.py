"""Recorder: takes (ids, logits, labels) from any training loop and writes a dynamics folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_logits
from trainmap.dynamics.epoch import Epoch, check_logits
from trainmap.dynamics.index import sort_ids
from trainmap.dynamics.manifest import MOST_CLASSES, Level, Manifest, Source
from trainmap.dynamics.processes import place
from trainmap.dynamics.roster import NOT_YET, Known, Learned, check_classes
from trainmap.dynamics.signals import UNKNOWN_LABEL, chunk_rows
from trainmap.dynamics.writer import Writer
from trainmap.errors import RecordingError, StoreError, some
from trainmap.limits import human, memory_allowed

Array = NDArray[Any]

log = logging.getLogger("trainmap")

HELD_BYTES = 64 << 20  # what an accelerator holds back before one transfer
CLOSED = "this recorder is closed; open a new one to go on recording"


class Recorder:
    """Records the training dynamics of a run into a folder, one epoch at a time.

    ::

        with tm.Recorder("dynamics", classes=10) as recorder:
            for epoch in range(recorder.epoch, epochs):
                for ids, x, labels in loader:
                    logits = model(x); ...                    # your training step
                    recorder.update(ids, logits, labels)
                recorder.end_epoch()

    Args:
        path: the folder; made when it is not there. An interrupted recording goes on at ``recorder.epoch``.
        classes: C, at least 2.
        ids: the ids of all examples, int or str. None: those of the first epoch.
        labels: their gold labels, in the order of ``ids``. None: learned from the updates.
        source: ``"train"`` for logits of the training step, ``"sweep"`` for an evaluation pass after the epoch.
        level: what is kept: ``"signals"`` (22 bytes for an example and epoch), ``"logits"`` (half-precision logits
            as well, 2 bytes a class more) or ``"stats"`` (running sums only, 104 bytes for an example whatever the
            number of epochs; not from several processes).
        allow_missing: keep examples that an epoch did not show as NaN instead of refusing the epoch.
        rank, world_size: which of how many processes this is; by default as ``torch.distributed`` or torchrun's
            environment says. Each process writes its own part; ``Dynamics.open`` joins them. A process that records
            the whole by itself (a sweep on rank 0) passes ``rank=0, world_size=1``.

    Attributes:
        epoch: the next epoch to record, 0 in a new folder.
        ids: of the examples, ascending; None where the first epoch is still to tell them.

    Raises:
        RecordingError: for input that cannot be recorded; nothing of the refused batch is kept.
        StoreError: the folder holds something else, or a recording with other classes, ids, source or level.

    Logits of tensors on an accelerator stay there until the end of the epoch (or 64 MiB), so that no step waits for
    the device; their values are checked at that moment.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        classes: int,
        ids: Any = None,
        labels: Any = None,
        source: Source = "train",
        level: Level = "signals",
        allow_missing: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        _check_choice("source", source, Source)
        _check_choice("level", level, Level)
        if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
            raise RecordingError(f"classes must be an integer of at least 2, got {classes!r}")
        check_classes_fit(int(classes))
        if labels is not None and ids is None:
            raise RecordingError("labels need ids to belong to; pass ids as well")
        self.classes, self.source, self.allow_missing = int(classes), source, allow_missing
        self.level: Level = level
        rank, self._world = place(rank, world_size)
        if self._world > 1 and level == "stats":
            raise RecordingError("level 'stats' cannot be joined from several processes; use level='signals'")
        given = _check_given(ids, labels, self.classes)
        about = Manifest(
            examples=0,
            classes=self.classes,
            id_type="int64",
            source=source,
            level=level,
            part=rank if self._world > 1 else None,
            parts=self._world if self._world > 1 else None,
            allow_missing=allow_missing,
            ids_given=given is not None,
        )
        self._writer = Writer(Path(path), about)
        self.path, self.folder = Path(path), self._writer.folder
        self._roster: Known | Learned = self._call_roll(given)
        self._numbers = Epoch(len(self._roster), self.classes, level)
        self._held: list[tuple[Array, Any, Any]] = []
        self._held_bytes = 0
        self._closed = False
        if self.epoch:
            log.info("%s holds %d epochs; recording goes on at epoch %d", self.folder, self.epoch, self.epoch)

    @property
    def epoch(self) -> int:
        """The next epoch to record."""
        return self._writer.epochs

    @property
    def ids(self) -> Array | None:
        """(N,) the ids of the examples, ascending; None where the first epoch is still to tell them."""
        return self._roster.ids if isinstance(self._roster, Known) else None

    def _call_roll(self, given: tuple[Array, Array | None] | None) -> Known | Learned:
        """Who will come: the ids given, those of an earlier session, or whoever comes."""
        before = self._writer.examples
        if before is None:
            return Learned(self.classes) if given is None else Known(*given, self.classes)
        old_ids, old_labels = before
        ids, labels = (old_ids, None) if given is None else given
        if not np.array_equal(ids, old_ids):
            raise StoreError(
                f"{self.folder} was recorded with other ids ({len(old_ids)}, now {len(ids)}); use another folder"
            )
        if labels is None:
            return Known(ids, old_labels, self.classes)
        changed = (old_labels != UNKNOWN_LABEL) & (old_labels != labels)
        if changed.any():
            first = some(ids[changed].tolist())
            raise StoreError(
                f"{self.folder} has other labels for {changed.sum()} ids (first: {first}); use another folder"
            )
        roster = Known(ids, labels, self.classes)
        roster.new_labels = bool((old_labels != labels).any())
        return roster

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Record one batch: (B,) ids, (B, C) logits before the softmax, (B,) gold labels.

        Batches come in any order and size. A refused batch leaves no trace.

        Raises:
            RecordingError: wrong shapes, a NaN or infinite logit, a class outside [0, C), an id that is unknown or
                was already seen in this epoch, a label that differs from the one known.
        """
        if self._closed:
            raise RecordingError(CLOSED)
        if on_accelerator(logits):
            self._hold(ids, logits, labels)
        else:
            self._take(to_ids(ids), to_logits(logits), to_labels(labels))

    def _take(self, ids: Array, logits: Array, labels: Array) -> None:
        self._check_shapes(len(ids), logits.shape, labels.shape)
        try:
            logits = check_logits(ids, logits, self.level)
            rows = self._roster.take(ids, labels)
        except RecordingError as error:
            raise RecordingError(f"epoch {self.epoch}: {error}") from None
        self._numbers.add(rows, logits, labels)

    def _check_shapes(self, size: int, logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
        if logits != (size, self.classes) or labels != (size,):
            raise RecordingError(
                f"a batch of {size} ids needs logits of shape ({size}, {self.classes}) and labels of shape ({size},), "
                f"got {logits} and {labels}"
            )

    def _hold(self, ids: Any, logits: Any, labels: Any) -> None:
        """Keep a batch on its device; the copy is queued there and nothing waits for it."""
        ids = ids.clone() if on_accelerator(ids) else to_ids(ids).copy()
        labels = labels.clone() if on_accelerator(labels) else to_labels(labels).copy()
        self._check_shapes(len(ids), tuple(logits.shape), tuple(labels.shape))
        self._held.append((ids, logits.detach().clone(), labels))
        self._held_bytes += logits.numel() * logits.element_size()
        if self._held_bytes >= HELD_BYTES:
            self._fetch()

    def _fetch(self) -> None:
        """Bring over what an accelerator held back, in one transfer, and record it; a refused batch is dropped."""
        if not self._held:
            return
        import torch

        held, self._held, self._held_bytes = self._held, [], 0
        rows = to_logits(torch.cat([logits for _, logits, _ in held]))
        refused: RecordingError | None = None
        for ids, logits, labels in held:
            mine, rows = rows[: len(logits)], rows[len(logits) :]
            try:
                self._take(to_ids(ids), mine, to_labels(labels))
            except RecordingError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def end_epoch(self, allow_missing: bool | None = None) -> None:
        """Write the epoch; when this returns, the epoch is on disk and survives a kill.

        Raises:
            RecordingError: not every example was seen (pass ``allow_missing=True`` here or to the Recorder to keep
                those as NaN), or none was. The epoch stays open: further updates can complete it.
            StoreError: it could not be written. The epoch stays open: call ``end_epoch()`` again when there is room.
                (One that was written but not flushed to the disk is ended, ``epoch`` counts it, and the error says so.)
        """
        if self._closed:
            raise RecordingError(CLOSED)
        self._fetch()
        roster, seen = self._roster, self._roster.seen
        allow = self.allow_missing if allow_missing is None else allow_missing
        if seen == 0:
            raise RecordingError(f"epoch {self.epoch}: nothing was recorded; call update(ids, logits, labels) first")
        if isinstance(roster, Known) and self._world == 1 and seen < len(roster) and not allow:
            bad = roster.missing()
            raise RecordingError(
                f"epoch {self.epoch}: {len(bad)} of {len(roster)} ids were not recorded (first: {some(bad.tolist())}); "
                "pass allow_missing=True to keep them as NaN"
            )
        columns = self._numbers.columns(len(roster))
        if isinstance(roster, Learned):
            roster, order = roster.settle()
            columns = {name: column[order] for name, column in columns.items()}
        if self._world > 1:
            columns = _part_columns(roster, columns)
        epoch = self.epoch
        try:
            self._writer.append(
                columns, seen, roster.ids, roster.labels, new_labels=roster.new_labels, allow_missing=allow
            )
        finally:
            if self.epoch > epoch:  # it is there, even when what came behind it failed or was interrupted
                self._start_epoch(roster)

    def _start_epoch(self, roster: Known) -> None:
        if self._world > 1 and not self._writer.manifest.ids_given:
            self._roster = Learned(self.classes)
        else:
            self._roster = roster
            roster.new_labels = False
            roster.start_epoch()
        self._numbers.clear()

    def close(self) -> None:
        """End the recording. An epoch under way (updates since the last ``end_epoch``) is an error, not lost silently.

        Raises:
            RecordingError: there is one. It is dropped; the epochs before it are kept.
        """
        if self._closed:
            return
        under_way = self._roster.seen + sum(len(ids) for ids, _, _ in self._held)
        self._closed, self._held = True, []
        if under_way:
            kept = f"the {self.epoch} epochs before it are kept" if self.epoch else "nothing was kept"
            raise RecordingError(
                f"epoch {self.epoch} was not ended: {under_way} examples of it are dropped, {kept}; call end_epoch() "
                "before close()"
            )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        self._closed = True


def check_classes_fit(classes: int) -> None:
    """Refuse a number of classes for which not even the logits that wait for their turn would fit in memory."""
    if (size := 4 * classes * chunk_rows(classes)) > memory_allowed() or classes > MOST_CLASSES:
        raise RecordingError(
            f"classes must be at most {MOST_CLASSES:,} and leave room for the logits of a few examples: {classes:,} "
            f"classes need {human(size)}, a recorder may take {human(memory_allowed())}; is this the "
            "number of examples?"
        )


def _part_columns(roster: Known, columns: dict[str, Array]) -> dict[str, Array]:
    """What one of several processes writes: the examples that it saw, by name, with their place in its order."""
    here = roster.arrival != NOT_YET
    about = {"id": roster.ids[here], "label": roster.labels[here], "arrival": roster.arrival[here]}
    return about | {name: column[here] for name, column in columns.items()}


def _check_choice(name: str, got: str, choices: Any) -> None:
    known = get_args(choices)
    if got not in known:
        raise RecordingError(f"{name} must be one of {', '.join(map(repr, known))}, got {got!r}")


def _check_given(ids: Any, labels: Any, classes: int) -> tuple[Array, Array | None] | None:
    """The caller's ids and labels, checked and sorted by id."""
    if ids is None:
        return None
    given = to_ids(ids)
    ordered, order = sort_ids(given)
    if labels is None:
        return ordered, None
    gold = to_labels(labels)
    if gold.shape != ordered.shape:
        raise RecordingError(f"{len(ordered)} ids need {len(ordered)} labels, got shape {gold.shape}")
    check_classes(given, gold, classes)
    return ordered, gold[order]
