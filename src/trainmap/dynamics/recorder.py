"""Recorder: takes (ids, logits, labels) from any training loop and writes a dynamics folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, NoReturn
from weakref import WeakSet

from numpy.typing import NDArray

from trainmap.dynamics.folds import Fold, OfFold, of_fold
from trainmap.dynamics.given import check_choice, check_flag, check_given, check_repeats
from trainmap.dynamics.held import Held
from trainmap.dynamics.manifest import Level, Manifest, Repeats, Source, Step
from trainmap.dynamics.part_reading import PartReader
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.processes import rank_and_world
from trainmap.dynamics.reading import check_step, kind_said, read_as
from trainmap.dynamics.roll import call_roll, incomplete, part_columns, settled
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.supervision import End, Kind, Per
from trainmap.dynamics.taking import OnError, Taking
from trainmap.dynamics.writer import Writer, kept_before
from trainmap.errors import RecordingError, TrainmapError, whole
from trainmap.kinds import as_path

Array = NDArray[Any]

log = logging.getLogger("trainmap")

CLOSED = "this recorder is closed; open a new one to go on recording"
FORKED = (
    "this recorder belongs to the process that made it, of which this one is a fork: record there, or make a Recorder "
    "with rank= and world_size= in each process"
)
_live: WeakSet[Recorder] = WeakSet()


class Recorder(Taking):
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
        classes: C, at least 2; or the names of the classes, texts or whole numbers, in the order of their numbers:
            labels are then looked up among them. L of ``kind="multilabel"``, the size of the vocabulary of
            ``"tokens"`` (or None), None of the others.
        ids: the ids of all examples, int or str. None: those that come, sorted; after the first epoch newcomers are
            taken, as not seen before, with ``allow_missing``.
        labels: their gold labels (targets of regression), in the order of ``ids``. None: learned from the updates.
        source: ``"train"`` for logits of the training step, ``"sweep"`` for an evaluation pass after the epoch,
            ``"held-out"`` for one by networks that did not train on the examples. None: "train", or of a fold
            "held-out".
        level: what is kept: ``"signals"`` (22 bytes for an example and epoch), ``"logits"`` (half-precision logits
            as well, 2 bytes a class more) or ``"stats"`` (running sums only, 104 bytes for an example whatever the
            number of epochs; not from several processes). Later nothing can be had that was not kept: the score
            ``tdds`` and exports of logits or probabilities (allenai's epoch files, cleanlab's ``pred_probs``) need
            "logits"; every export but ``td_metrics.jsonl`` needs more than "stats".
        as_: what ``update`` is given: None for logits before the softmax, checked not to look like probabilities;
            "probabilities" (``predict_proba``, softmax outputs: each row 0 to 1 and sums to 1; their logarithms are
            the logits); "logits" for logits that look like probabilities all the same; "log_probs" for those of the
            tokens that were to come.
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
        on_error: None or ``"raise"``: a refused batch is an error. ``"warn"``, for those who would rather lose a batch
            than a training: it is left out,
            logged once for each kind of mistake and counted in ``refused``, and every epoch is kept, with what it
            lacks as NaN (as ``allow_missing`` does). Where it shows late that probabilities come in place of logits
            (batches of one), the epoch so far is left out with them.
        kind: what the examples are trained on (docs/kinds.md): ``"classes"``, ``"multilabel"``, ``"tokens"``,
            ``"regression"`` or ``"numbers"``. None: classes, or numbers where ``signals`` are named.
        signals: the numbers of ``kind="numbers"``: names, each with its hard end ("high", "low") where that is not
            known.
        per: ``"label"`` or ``"token"``: record each (example, label) or (example, token) as an example of its own, of
            classes, called "id/label" or "id/position".
        ignore_index: rows, labels or tokens with this label are left out, and counted in ``ignored``.
        shift: of tokens: logits of a causal model, whose place t tells of token t + 1.
        fold: of a ``CrossFit``: what its network says of the examples that it did not train on is recorded, as one of K
            parts, which ``Dynamics.open`` joins when all K have as many epochs. It brings ``ids``, ``labels`` and
            ``source``.
        step, every: what an epoch of the recording is, for those who read it: ``every`` epochs ("epoch") or optimizer
            steps ("steps") of the training.

    Attributes:
        epoch: the next epoch to record, 0 in a new folder.
        ids: of the examples, ascending; None where the first epoch is still to tell them.
        signals: the names of what is kept of an example and epoch, where it is no recording of classes.
        refused: (batches, examples) that ``on_error="warn"`` has left out.
        ignored: rows that ``ignore_index`` has left out.

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
        classes: int | Iterable[str | int] | None = None,
        ids: Any = None,
        labels: Any = None,
        source: Source | None = None,
        level: Level = "signals",
        allow_missing: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        as_: As | None = None,
        resume: bool = False,
        overwrite: bool = False,
        repeats: Repeats | None = None,
        on_error: OnError | None = None,
        *,
        kind: Kind | None = None,
        signals: Sequence[str] | Mapping[str, End | None] | None = None,
        per: Per | None = None,
        ignore_index: int | None = None,
        shift: bool = False,
        step: Step = "epoch",
        every: int | None = None,
        fold: Fold | None = None,
    ) -> None:
        if source is not None:
            check_choice("source", source, Source)
        check_choice("level", level, Level)
        check_step(step, every)
        if on_error is not None:
            check_choice("on_error", on_error, OnError)
        self.allow_missing = check_flag(allow_missing, "allow_missing")
        resume, overwrite = check_flag(resume, "resume"), check_flag(overwrite, "overwrite")
        if resume and overwrite:
            raise RecordingError("either resume=True (go on) or overwrite=True (begin anew); say one of them")
        kind = kind_said(kind, signals)
        of = of_fold(fold, kind, per, OfFold(source or "train", ids, labels, rank, world_size, None), source)
        source, ids, labels, folds = of.source, of.ids, of.labels, of.folds
        rank, self._world = rank_and_world(of.rank, of.world_size)
        self._whole = self._world == 1 or fold is not None  # all that an epoch must show comes to this recorder
        if self._world > 1 and level == "stats":
            raise RecordingError("level 'stats' cannot be joined from several processes or folds; use level='signals'")
        about = Manifest.model_construct(
            examples=0,
            classes=0,
            id_type="int64",
            source=source,
            level=level,
            part=rank if self._world > 1 else None,
            parts=self._world if self._world > 1 else None,
            allow_missing=self.allow_missing,
            repeats=check_repeats(repeats, 1 if folds else self._world),
            kind=kind,
            step=step,
            every=every,
            folds=folds,
        )
        reader, about = read_as(about, classes, signals, per, as_, ignore_index, shift)
        given = check_given(ids, labels, reader, per)
        about = about.model_copy(update={"ids_given": given is not None})
        super().__init__(reader)
        self.kind, self.classes, self.source, self.level = about.kind, about.classes, source, level
        self.as_ = as_
        self.signals = None if about.signals is None else [signal.name for signal in about.signals]
        self.so_far = "end_epoch() was not called"  # why nothing is recorded yet; an adapter knows more
        self.on_error: OnError = on_error or "raise"
        self._lenient = on_error is None
        self._writer = Writer(as_path(path), about, resume, overwrite)
        try:
            self.path, self.folder = as_path(path), self._writer.folder
            self.repeats: Repeats = self._writer.manifest.repeats
            self._fixed = given is not None or self._writer.manifest.ids_given
            self._grows = self._may_grow()
            self._roster = call_roll(self._writer, given, reader.gold, self._grows)
            if isinstance(self._roster, Known):
                self._roster.held = fold is not None
            self._numbers = self._empty()
            if isinstance(reader, PartReader):
                reader.example_type = self._writer.manifest.example_type
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

    def for_adapter(self) -> Recorder:
        """This recorder for one who records a training that is not theirs to end: an ``on_error`` that was left to us
        becomes "warn". Call it before the first batch."""
        with self._turn:
            if self._lenient:
                self.on_error, self._lenient = "warn", False
                self._grows = self._may_grow()
                if isinstance(self._roster, Known):
                    self._roster.grows = self._grows
        return self

    def _may_grow(self) -> bool:
        """Whether ids that come first in a later epoch are taken."""
        return self._world == 1 and not self._fixed and (self.allow_missing or self.on_error == "warn")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it ``update`` records nothing: for an evaluation that goes through the same hooks. May be nested, and
        holds for every thread.

        Raises:
            RecordingError: from ``end_epoch`` within it, which would take an evaluation for an epoch.
        """
        with self._turn:
            self._pauses += 1
        try:
            yield
        finally:
            with self._turn:
                self._pauses -= 1

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
            if self._pauses:
                raise RecordingError("this recorder is paused; end the epoch outside of paused()")
            if self._broken or self._refusal is not None:
                self._check_open()
            self._fetch()
            warn = self.on_error == "warn"
            allow = (self.allow_missing or warn) if allow_missing is None else allow_missing
            if not self._roster.seen:
                self.so_far = "what came was left out, and told"
                nobody = isinstance(self._roster, Learned) and self._world == 1  # has ever come: no epoch to keep
                self._leave_out(self._nothing("it is not kept" if nobody else "it is kept as not seen"), 0, 0)
                if nobody:
                    return
            roster = self._roster
            if not allow and self._whole and isinstance(roster, Known) and roster.seen < len(roster):
                raise incomplete(roster, self.epoch, resumed=self.epoch == self._resumed_at)
            self._write(allow)

    def _nothing(self, so: str) -> RecordingError:
        if self.on_error == "warn":  # where this is told, and what was left out, why
            return RecordingError(f"epoch {self.epoch}: nothing of it was recorded, so {so}")
        return RecordingError(f"epoch {self.epoch}: nothing was recorded; call update(ids, outputs, labels) first")

    def _write(self, allow: bool) -> None:
        """Write the epoch under way and begin the next. Until it is clear what is on disk this recorder is broken."""
        epoch, seen, self._broken = self.epoch, self._roster.seen, True
        columns = self._numbers.columns(len(self._roster))
        roster, order = settled(self._roster, self._writer.manifest.id_type, self._grows)
        if order is not None:
            columns = {name: column[order] for name, column in columns.items()}
        if self._world > 1:
            columns = part_columns(roster, columns)
        self._writer.say_of_parts(getattr(self._reader, "example_type", None))
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
            self._roster = Learned(self._reader.gold, self.repeats)
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

    def close(self) -> None:
        """End the recording. An epoch under way (updates since the last ``end_epoch``) is an error, not lost silently.

        Raises:
            RecordingError: there is one. It is dropped; the epochs before it are kept.
        """
        with self._turn:
            under_way = self._roster.seen + self._held.examples
            lost, closed = (under_way or self._broken) and self._refusal is None, self._refusal is not None
            self._end()
            if not (self.epoch or lost or closed):
                log.warning("%s: closed, and nothing was recorded: %s", self.folder, self.so_far)
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
