"""What every adapter does with its recorder, whoever owns the loop: opened when the training begins, told where it
goes on, fed by batches, closed at its end; a training is not lost to it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.refused import Refused, Tally
from trainmap.errors import RecordingError, StoreError, TrainmapError, cause
from trainmap.kinds import as_path

log = logging.getLogger("trainmap")


class Intake:
    """One recorder, as adapters use it.

    ::

        intake = Intake(recorder_or_path, classes=10)
        intake.begin()                              # or begin(epoch, again=True): from a checkpoint
        intake.take(ids, logits, labels)            # each batch; what must be found first, by intake.read(ids, find)
        intake.end_epoch()
        intake.finish()                             # what this opened is closed; an epoch under way is dropped, told

    Args:
        target: a ``Recorder`` (its user closes it), or the folder for one, which is made by ``begin``: with
            ``on_error="warn"`` where ``how`` does not say otherwise.
        how: for the ``Recorder`` that is made.

    Attributes:
        recorder: None before ``begin``, where a folder was given.
        stopped: why nothing more is recorded (a full disk, say), though the training goes on; None while all is well.

    Raises:
        TrainmapError: neither a recorder nor a path; ``how`` for a recorder that is there already.
    """

    def __init__(self, target: Recorder | str | os.PathLike[str], **how: Any) -> None:
        how = {name: value for name, value in how.items() if value is not None}
        self.recorder: Recorder | None = target.for_adapter() if isinstance(target, Recorder) else None
        self.stopped: str | None = None
        self._path = None if isinstance(target, Recorder) else as_path(target)
        if self.recorder is not None and how:
            raise TrainmapError(f"a Recorder was given: say {', '.join(how)} to it, Recorder(path, ...)")
        self._how: dict[str, Any] = {"on_error": "warn"} | how
        self._first = 0  # the recorder's epoch at which this training's epoch 0 stands
        self._began = self._under_way = False
        self._refused = Refused()  # by recorders that are closed
        self._early = Tally()  # what was left out before there was a recorder

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out, in all trainings."""
        now, early = Refused() if self.recorder is None else self.recorder.refused, self._early.refused
        return self._refused.and_(now.examples + early.examples, now.batches + early.batches)

    @property
    def epoch(self) -> int:
        """The epoch under way, by the training's own count."""
        return (0 if self.recorder is None else self.recorder.epoch) - self._first

    def default(self, **how: Any) -> None:
        """What the adapter knows and the user did not say, for the ``Recorder`` that will be made. A fold knows its
        ids and its source."""
        if "fold" in self._how:
            how = {name: value for name, value in how.items() if name not in ("ids", "source")}
        self._how = {name: value for name, value in how.items() if value is not None} | self._how

    @property
    def kind(self) -> str:
        """What is recorded."""
        if self.recorder is not None:
            return self.recorder.kind
        return self._how.get("kind") or ("numbers" if "signals" in self._how else "classes")

    @property
    def signals(self) -> list[str]:
        """The numbers that are recorded, of a recording of numbers."""
        return list((None if self.recorder is None else self.recorder.signals) or self._how.get("signals") or ())

    @property
    def knows_labels(self) -> bool:
        """Whether batches may come without labels: the ``Recorder`` was given them, or may have been by its user."""
        return self._path is None or "labels" in self._how

    @property
    def needs_classes(self) -> bool:
        """Whether nobody has said how many classes, or labels, there are, and the ``Recorder`` is to be told."""
        if self.recorder is not None or "classes" in self._how:
            return False
        return self.kind in ("classes", "multilabel") or self._how.get("per") == "token"

    def begin(self, epoch: int = 0, again: bool = False) -> Recorder:
        """The training begins at its ``epoch``; ``again`` where it goes on from a checkpoint.

        Goes on: the recording goes to that epoch, back by ``rewind``, or forward by epochs that showed nothing. Begins
        a second time after ``finish``: its epochs come after those that are there. Begins a second time without: it
        is the same training, tried with another batch size, and what the first try recorded is dropped.

        Raises:
            TrainmapError: the folder holds a recording and the training does not go on; what ``Recorder`` refuses.
        """
        if self.recorder is None:
            later = self._began or again  # what is there is this training's own
            how = self._how | ({"resume": True, "overwrite": False} if later else {})
            if self.needs_classes:
                raise TrainmapError(
                    "nothing here tells how many classes there are: say classes=, to whom the path went"
                )
            self.recorder = Recorder(self._path, **how)  # type: ignore[arg-type]
        recorder, self.stopped = self.recorder, None
        if not again:
            recorder.rewind(min(recorder.epoch, self._first) if self._under_way else recorder.epoch)
            self._first = recorder.epoch
        else:
            self._meet(recorder, self._first + epoch)
        self._began = self._under_way = True
        return recorder

    def _meet(self, recorder: Recorder, epoch: int) -> None:
        """Take the recording to where the checkpoint is."""
        if recorder.epoch >= epoch:
            if recorder.epoch > epoch:
                log.warning(
                    "%s: the checkpoint is at epoch %d; epochs %d to %d are recorded anew",
                    recorder.folder, epoch, epoch, recorder.epoch - 1,
                )  # fmt: skip
            recorder.rewind(epoch)
            return
        lost = f"epochs {recorder.epoch} to {epoch - 1} were not recorded"
        try:
            recorder.skip_to(epoch)
            log.warning("%s: %s; they are kept as not seen", recorder.folder, lost)
        except RecordingError as error:  # nobody is known who could be kept as not seen
            self._first = recorder.epoch - epoch + self._first
            log.warning(
                "%s: %s (%s): epoch %d of the training is %d here", recorder.folder, lost, error, epoch, recorder.epoch
            )

    def take(self, ids: Any, outputs: Any, targets: Any = None) -> None:
        """A batch of the training, as ``Recorder.update`` takes it.

        Raises:
            RecordingError: where the user's recorder says ``on_error="raise"``.
        """
        if self.stopped is None:
            self._open().update(ids, outputs, targets)

    def read(self, ids: Any, what: str, find: Callable[[], Any]) -> Any:
        """What ``find()`` finds of a batch that is to be taken: a user's functions, and ours that look into what a
        framework hands out. None where it failed: the batch is left out, as one that the recorder refuses is.

        Args:
            ids: of the batch, which are counted.
            what: failed, for people.
            find: may raise anything.

        Raises:
            RecordingError: it failed, and ``on_error="raise"`` was said.
        """
        try:
            return _found(what, find)
        except RecordingError as error:
            self.refuse(ids, error)
        return None

    def refuse(self, ids: Any, error: RecordingError) -> None:
        """Leave a batch out that cannot be read: told once for each kind of mistake, and counted.

        Raises:
            RecordingError: it, where ``on_error="raise"`` was said.
        """
        if self.stopped is not None:
            return
        if self.recorder is not None:
            self.recorder.leave_out(ids, error)
        elif self._how["on_error"] == "raise":
            raise error
        else:
            self._early.add(error, len(ids))

    def end_epoch(self) -> None:
        """The epoch is over. One that cannot be written ends the recording and not the training."""
        if self.stopped is not None:
            return
        recorder = self._open()
        try:
            recorder.end_epoch()
        except StoreError as error:
            if recorder.on_error == "raise":
                raise
            self.stopped = str(error)
            log.error("nothing more is recorded, the training goes on: %s", error)

    def finish(self) -> None:
        """The training is over, by its end or by an error. Epochs that were ended are kept; one under way is not."""
        self._under_way, recorder = False, self.recorder
        if recorder is None or self._path is None:
            return
        self._refused, self.recorder = self.refused, None
        try:
            recorder.close()
        except RecordingError as error:
            log.warning("%s: %s", recorder.folder, error)

    def _open(self) -> Recorder:
        if self.recorder is None:
            raise RecordingError("nothing is open to record into; call begin() first")
        return self.recorder


def _found(what: str, find: Callable[[], Any]) -> Any:
    """What ``find()`` gives. Its errors are ours from here on, told once for each line of code that raised them."""
    try:
        return find()
    except TrainmapError as error:
        raise RecordingError(str(error)).with_traceback(error.__traceback__) from error
    except Exception as error:  # a user's code: any kind
        said = f"{what} failed with {type(error).__name__}: {cause(error)}"
        raise RecordingError(said).with_traceback(error.__traceback__) from error
