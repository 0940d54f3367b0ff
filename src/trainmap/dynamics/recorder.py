"""Recorder: takes (ids, logits, labels) from any training loop and writes a dynamics folder."""

from __future__ import annotations

import logging
import os
from threading import RLock
from typing import Any, Literal, NoReturn
from weakref import WeakSet

from numpy.typing import NDArray

from trainmap.dynamics.arrays import check_shapes, on_accelerator, to_ids, to_labels, to_logits
from trainmap.dynamics.epoch import Epoch
from trainmap.dynamics.given import check_choice, check_flag, check_given, check_number_of_classes, check_repeats
from trainmap.dynamics.held import Held, own_ids, own_labels
from trainmap.dynamics.manifest import Level, Manifest, Repeats, Source
from trainmap.dynamics.probabilities import As, LookAlikes
from trainmap.dynamics.processes import rank_and_world
from trainmap.dynamics.refused import Refused, Tally
from trainmap.dynamics.roll import call_roll, incomplete, part_columns, settled
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.visits import Means
from trainmap.dynamics.writer import Writer, kept_before
from trainmap.errors import RecordingError, TrainmapError, whole
from trainmap.kinds import as_path

Array = NDArray[Any]
OnError = Literal["raise", "warn"]

log = logging.getLogger("trainmap")

HELD_BYTES = 64 << 20  # what an accelerator holds back before one transfer
CLOSED = "this recorder is closed; open a new one to go on recording"
FORKED = (
    "this recorder belongs to the process that made it, of which this one is a fork: record there, or make a Recorder "
    "with rank= and world_size= in each process"
)
_live: WeakSet[Recorder] = WeakSet()


class Recorder:
    """Records the training dynamics of a run into a folder, one epoch at a time.

    ::

        with tm.Recorder("dynamics", classes=10) as recorder:
            for epoch in range(epochs):
                for ids, x, labels in loader:
                    logits = model(x); ...                    # your training step
                    recorder.update(ids, logits, labels)
                recorder.end_epoch()

    A loop that may be interrupted says ``resume=True``, restores its model, takes the recording to where the model is
    with ``recorder.rewind(epoch)``, and runs over ``range(recorder.epoch, epochs)``.

    Args:
        path: the folder; made when it is not there.
        classes: C, at least 2.
        ids: the ids of all examples, int or str. None: those that come, sorted; after the first epoch newcomers are
            taken, as not seen before, with ``allow_missing``.
        labels: their gold labels, in the order of ``ids``. None: learned from the updates.
        source: ``"train"`` for logits of the training step, ``"sweep"`` for an evaluation pass after the epoch.
        level: what is kept: ``"signals"`` (22 bytes for an example and epoch), ``"logits"`` (half-precision logits
            as well, 2 bytes a class more) or ``"stats"`` (running sums only, 104 bytes for an example whatever the
            number of epochs; not from several processes). Later nothing can be had that was not kept: the score
            ``tdds`` and exports of logits or probabilities (allenai's epoch files, cleanlab's ``pred_probs``) need
            "logits"; every export but ``td_metrics.jsonl`` needs more than "stats".
        as_: what ``update`` is given: None for logits before the softmax, checked not to look like probabilities;
            "probabilities" (``predict_proba``, softmax outputs: each row 0 to 1 and sums to 1; their logarithms are
            the logits); "logits" for logits that look like probabilities all the same.
        allow_missing: keep examples that an epoch did not show as NaN instead of refusing the epoch.
        rank, world_size: which of how many processes this is; by default as ``torch.distributed`` or torchrun's
            environment says. Each process writes its own part; ``Dynamics.open`` joins them. A process that records
            the whole by itself (a sweep on rank 0) passes ``rank=0, world_size=1``.
        resume: go on at ``recorder.epoch`` in a folder that holds epochs; with several processes at the last epoch
            that all have. The first time, without epochs, it changes nothing.
        overwrite: remove the recording that the folder holds (its own files alone) and begin anew. With several
            processes each removes its part.
        repeats: what is recorded of an example that comes again in an epoch (sampling with replacement, copies that
            pad): ``"refuse"``, the batch is an error; ``"first"``, its first visit; ``"mean"``, the mean over its
            visits (see ``trainmap.dynamics.visits``; one process alone). None: refuse, and of several processes first.
        on_error: ``"warn"`` for those who would rather lose a batch than a training: a refused batch is left out,
            logged once for each kind of mistake and counted in ``refused``, and every epoch is kept, with what it
            lacks as NaN (as ``allow_missing`` does). Where it shows late that probabilities come in place of logits
            (batches of one), the epoch so far is left out with them.

    Attributes:
        epoch: the next epoch to record, 0 in a new folder.
        ids: of the examples, ascending; None where the first epoch is still to tell them.
        refused: (batches, examples) that ``on_error="warn"`` has left out.

    Raises:
        RecordingError: for input that cannot be recorded; nothing of the refused batch is kept.
        StoreError: the folder holds epochs and neither ``resume`` nor ``overwrite`` is said; it holds something else,
            or a recording with other classes, ids, source or level; another recorder is at work in it.

    One folder has one recorder: it holds a lock until it is closed, dropped, or its process ends. Threads may share it:
    each call waits for the one before. Logits of tensors on an accelerator stay there until the end of the epoch (or
    64 MiB), so that no step waits for the device; their values are checked at that moment.
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
        as_: As | None = None,
        resume: bool = False,
        overwrite: bool = False,
        repeats: Repeats | None = None,
        on_error: OnError = "raise",
    ) -> None:
        check_choice("source", source, Source)
        check_choice("level", level, Level)
        check_choice("on_error", on_error, OnError)
        if as_ is not None:
            check_choice("as_", as_, As)
        allow_missing = check_flag(allow_missing, "allow_missing")
        resume, overwrite = check_flag(resume, "resume"), check_flag(overwrite, "overwrite")
        if resume and overwrite:
            raise RecordingError("either resume=True (go on) or overwrite=True (begin anew); say one of them")
        self.classes, self.source, self.allow_missing = check_number_of_classes(classes), source, allow_missing
        self.level: Level = level
        self.on_error: OnError = on_error
        rank, self._world = rank_and_world(rank, world_size)
        if self._world > 1 and level == "stats":
            raise RecordingError("level 'stats' cannot be joined from several processes; use level='signals'")
        repeats = check_repeats(repeats, self._world)
        given = check_given(ids, labels, self.classes)
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
            repeats=repeats,
        )
        self._as: As | None = as_
        self._turn = RLock()
        self._refusal: str | None = None  # closed, or of another process
        self._broken = False  # a call did not come to its end, and what it left is not certain
        self._tally, self._held = Tally(), Held()
        self._writer = Writer(as_path(path), about, resume, overwrite)
        try:
            self.path, self.folder = as_path(path), self._writer.folder
            self.repeats: Repeats = self._writer.manifest.repeats
            fixed = given is not None or self._writer.manifest.ids_given
            self._grows = self._world == 1 and not fixed and (allow_missing or on_error == "warn")
            self._roster: Known | Learned = call_roll(self._writer, given, self.classes, self._grows)
            self._numbers = self._empty()
        except BaseException:
            self._writer.close()
            raise
        self._resumed_at = self.epoch if resume else None
        _live.add(self)
        if self.epoch:
            log.warning("%s: recording goes on at epoch %d", self.folder, self.epoch)

    @property
    def epoch(self) -> int:
        """The next epoch to record."""
        return self._writer.epochs

    @property
    def ids(self) -> Array | None:
        """(N,) the ids of the examples, ascending; None where the first epoch is still to tell them."""
        return self._roster.ids if isinstance(self._roster, Known) else None

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out since this recorder was made."""
        return self._tally.refused

    def _empty(self) -> Epoch:
        kind = Means if self.repeats == "mean" else Epoch
        return kind(len(self._roster), self.classes, self.level, self._as)

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Record one batch: (B,) ids, (B, C) logits before the softmax, (B,) gold labels.

        Batches come in any order and size. A refused batch leaves no trace. A logit of -inf is a masked class:
        probability 0.

        Raises:
            RecordingError: wrong shapes, NaN or +inf, a gold class that is masked, probabilities in place of logits,
                a class outside [0, C), an id that is unknown or was already seen in this epoch, a label that differs
                from the one known; or an earlier call was broken off inside (an interrupt), so that only ``rewind``
                can go on.
        """
        with self._turn:
            if self._broken or self._refusal is not None:
                self._check_open()
            self._tally.come(_size(ids))
            try:
                if on_accelerator(logits):
                    self._hold(ids, logits, labels)
                else:
                    self._fetch()  # what came before this batch
                    self._record(to_ids(ids), to_logits(logits), to_labels(labels))
            except RecordingError as error:
                self._leave_out(error, _size(ids))

    def _record(self, ids: Array, logits: Array, labels: Array) -> None:
        """One batch, whole or, when it is refused, not at all. Where it breaks off otherwise it stays ``_broken``."""
        self._check_shapes(len(ids), logits.shape, labels.shape)
        roster, numbers, before = self._roster, self._numbers, self._broken
        self._broken = True
        try:
            logits = numbers.check(ids, logits, labels)
            rows, kept = roster.take(ids, labels)
        except RecordingError as error:
            self._broken = before
            error.args = (f"epoch {self.epoch}: {error}",)
            raise
        if kept is not None:
            logits, labels = logits[kept], labels[kept]
        numbers.add(rows, logits, labels, len(roster))
        self._broken = before

    def _check_shapes(self, size: int, logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
        check_shapes(size, self.classes, logits, labels)

    def _hold(self, ids: Any, logits: Any, labels: Any) -> None:
        """Keep a batch on its device."""
        ids, labels = own_ids(ids), own_labels(labels)
        self._check_shapes(len(ids), tuple(logits.shape), tuple(labels.shape))
        self._broken = True
        self._held.add(ids, logits, labels)
        self._broken = False
        if self._held.bytes >= HELD_BYTES:
            self._fetch()

    def _fetch(self) -> None:
        """Bring over what an accelerator held back and record it; a refused batch is dropped."""
        held = self._held
        if not len(held):
            return
        try:
            batches = held.fetch()
        except RecordingError as error:
            self._held = Held()
            self._leave_out(error, held.examples, len(held))
            return
        refused: list[tuple[RecordingError, int]] = []
        self._broken = True
        for ids, logits, labels in batches:
            try:
                self._record(to_ids(ids), logits, to_labels(labels))
            except RecordingError as error:
                refused.append((error, len(ids)))
        self._held = Held()
        self._broken = False
        if len(refused) > 1 and self.on_error == "raise":
            error, _ = refused[0]
            error.args = (f"{error} (the first of {len(refused)} batches refused of {len(batches)} held back)",)
        for error, size in sorted(refused, key=lambda one: _taken(one[0])):  # what takes all with it comes last
            self._leave_out(error, size)

    def _leave_out(self, error: RecordingError, examples: int, batches: int = 1) -> None:
        """What was refused ends the training, or this goes on without it."""
        taken = _taken(error)
        if taken and self.on_error == "raise":
            error.args = (f"{error}; those before them were recorded: rewind({self.epoch}) begins the epoch anew",)
        if self.on_error == "raise":
            raise error
        if not taken:
            self._tally.add(error, examples, batches)
            return
        self._tally.lose(error)  # nobody knows since when they were none: the epoch so far goes with them
        doubt = self._numbers.doubt
        self._begin_anew()
        self._numbers.doubt = doubt

    def end_epoch(self, allow_missing: bool | None = None) -> None:
        """Write the epoch; when this returns, the epoch is on disk and survives a kill.

        Raises:
            RecordingError: not every example was seen (pass ``allow_missing=True`` here or to the Recorder to keep
                those as NaN), or none was. The epoch stays open: further updates can complete it.
            StoreError: it could not be written. The epoch stays open: call ``end_epoch()`` again when there is room.
                (One that was written but not flushed to the disk is ended, ``epoch`` counts it, and the error says so.)

        An epoch that was resumed in its middle has seen the rest alone: go back to its beginning (``rewind`` and a
        checkpoint from there), or keep what came before as NaN.
        """
        if allow_missing is not None:
            allow_missing = check_flag(allow_missing, "allow_missing")
        with self._turn:
            if self._broken or self._refusal is not None:
                self._check_open()
            self._fetch()
            warn = self.on_error == "warn"
            allow = (self.allow_missing or warn) if allow_missing is None else allow_missing
            if not self._roster.seen:
                self._leave_out(self._nothing(), 0, 0)
                if isinstance(self._roster, Learned) and self._world == 1:
                    return  # nobody has ever come: there is no epoch to keep
            roster = self._roster
            if not allow and self._world == 1 and isinstance(roster, Known) and roster.seen < len(roster):
                raise incomplete(roster, self.epoch, resumed=self.epoch == self._resumed_at)
            self._write(allow)

    def _nothing(self) -> RecordingError:
        return RecordingError(f"epoch {self.epoch}: nothing was recorded; call update(ids, logits, labels) first")

    def _write(self, allow: bool) -> None:
        """Write the epoch under way and begin the next. Until it is clear what is on disk this recorder is broken."""
        epoch, seen, self._broken = self.epoch, self._roster.seen, True
        columns = self._numbers.columns(len(self._roster))
        roster, order = settled(self._roster, self._writer.manifest.id_type, self._grows)
        if order is not None:
            columns = {name: column[order] for name, column in columns.items()}
        if self._world > 1:
            columns = part_columns(roster, columns)
        try:
            self._writer.append(
                columns,
                seen,
                roster.ids,
                roster.labels,
                new_labels=roster.new_labels,
                allow_missing=allow,
                refused=self._tally.in_epoch,
            )
        finally:
            self._writer.settle()
            if self.epoch > epoch:  # it is there, even when what came behind it failed or was interrupted
                self._start_epoch(roster)
            self._broken = False

    def _start_epoch(self, roster: Known) -> None:
        if self._world > 1 and not self._writer.manifest.ids_given:
            self._roster = Learned(self.classes, self.repeats)
        else:
            roster.new_labels = False
            roster.start_epoch()
            self._roster = roster
        self._numbers.clear()
        self._tally.start_epoch()

    def skip_to(self, epoch: int) -> None:
        """Go forward: epochs that showed nothing, all NaN, until ``epoch`` is the next to record: where several
        recordings have their epochs in common and one of them sat some out.

        Raises:
            TrainmapError: ``epoch`` is no whole number, or already recorded; the ids are not known yet; the epoch under
                way has seen something; this recorder does not allow what is missing.
            StoreError: it could not be written; ``epoch`` says how far it came.
        """
        with self._turn:
            if self._broken or self._refusal is not None:
                self._check_open()
            if whole(epoch, "epoch") < self.epoch or self._roster.seen or len(self._held):
                raise RecordingError(f"epoch {self.epoch} is recorded or under way; cannot skip to {epoch}")
            if not isinstance(self._roster, Known) or not (self.allow_missing or self.on_error == "warn"):
                raise RecordingError("to skip epochs make the Recorder with ids=, labels= and allow_missing=True")
            while self.epoch < epoch:
                self._write(True)

    def rewind(self, epoch: int) -> None:
        """Go back: drop the recorded epochs from ``epoch`` on, and what the epoch under way has seen.

        Afterwards ``recorder.epoch == epoch``. This is how a recording meets a checkpoint of an earlier epoch, and
        ``rewind(recorder.epoch)`` begins the epoch under way anew, also after an interrupt inside ``update``. Ids and
        labels that were learned stay. A kill leaves the recording as it was or as it is then. Of several processes
        each rewinds its part; the recording is as long as the shortest part.

        Raises:
            TrainmapError: ``epoch`` is no whole number from 0 to ``recorder.epoch``.
            StoreError: at level ``"stats"``, where sums cannot be taken back (but ``rewind(recorder.epoch)`` can be
                called); or the folder could not be written, and is as it was.
        """
        with self._turn:
            if self._refusal is not None:
                raise RecordingError(self._refusal)
            before, self._broken = self._broken, True
            try:
                self._writer.settle()
                if whole(epoch, "epoch") > self.epoch:
                    raise RecordingError(
                        f"epoch must be 0 to {self.epoch} (the next to record), got {epoch}: rewind goes back"
                    )
                self._writer.rewind(int(epoch))
            except TrainmapError:
                self._broken = before
                raise
            self._tally.start_epoch()
            self._begin_anew()

    def _begin_anew(self) -> None:
        """The epoch under way has seen nothing; new objects, whatever state the old ones were left in."""
        self._held = Held()
        roster = self._roster
        self._roster = roster.anew() if isinstance(roster, Known) else Learned(self.classes, self.repeats)
        self._numbers = self._empty()
        self._broken = False

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise RecordingError(self._refusal)
        broken = RecordingError(
            f"epoch {self.epoch}: a call was broken off inside (by an interrupt?), so that it is not certain what this "
            f"epoch holds; call rewind({self.epoch}) to begin it anew"
        )
        if self.on_error == "raise":
            raise broken
        self._tally.lose(broken)
        self._begin_anew()

    def close(self) -> None:
        """End the recording. An epoch under way (updates since the last ``end_epoch``) is an error, not lost silently.

        Raises:
            RecordingError: there is one. It is dropped; the epochs before it are kept.
        """
        with self._turn:
            under_way = self._roster.seen + self._held.examples
            lost = (under_way or self._broken) and self._refusal is None
            self._end()
            if lost:
                raise RecordingError(
                    f"epoch {self.epoch} was not ended: {under_way} examples of it are dropped, "
                    f"{kept_before(self.epoch)}; call end_epoch() before close()"
                )

    def _end(self) -> None:
        if self._refusal is None:
            self._refusal = CLOSED
        self._held = Held()
        self._writer.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        with self._turn:
            self._end()

    def __reduce__(self) -> NoReturn:
        raise RecordingError("a Recorder is the one writer of its folder; it cannot be copied or sent to a process")

    def _leave_to_the_parent(self) -> None:
        self._turn, self._refusal = RLock(), FORKED


def _in_a_child() -> None:
    for recorder in list(_live):
        recorder._leave_to_the_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


def _taken(error: RecordingError) -> int:
    """How many rows were recorded that are as wrong as those which are refused now."""
    return error.taken if isinstance(error, LookAlikes) else 0


def _size(ids: Any) -> int:
    try:
        return len(ids)
    except TypeError:
        return 0
