"""The epoch under way as a recorder takes it: batches in, each whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal

from numpy.typing import NDArray

from trainmap.dynamics.class_reading import Batch, Reader
from trainmap.dynamics.epoch import Epoch
from trainmap.dynamics.held import Held, own_ids, own_targets
from trainmap.dynamics.manifest import Repeats
from trainmap.dynamics.plain_epoch import PlainEpoch
from trainmap.dynamics.probabilities import LookAlikes
from trainmap.dynamics.refused import Refused, Tally
from trainmap.dynamics.roster import Known, Learned
from trainmap.errors import RecordingError, cause, counted, some

Array = NDArray[Any]
OnError = Literal["raise", "warn"]

log = logging.getLogger("trainmap")

HELD_BYTES = 64 << 20  # what an accelerator holds back before one transfer


class Taking:
    """What a ``Recorder`` does with the batches of an epoch, between two epochs on disk."""

    repeats: Repeats
    on_error: OnError

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._turn = RLock()
        self._refusal: str | None = None  # closed, or of another process
        self._broken = False  # a call did not come to its end, and what it left is not certain
        self._pauses = 0
        self._tally, self._held, self._ignored = Tally(), Held(), 0
        self._roster: Known | Learned
        self._numbers: Epoch | PlainEpoch

    @property
    def epoch(self) -> int:
        """The next epoch to record."""
        raise NotImplementedError

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out since this recorder was made."""
        return self._tally.refused

    @property
    def ignored(self) -> int:
        """How many rows, or sequences without a counted token, ``ignore_index`` has left out since then."""
        return self._ignored

    def update(self, ids: Any, logits: Any = None, labels: Any = None, **signals: Any) -> None:
        """Record one batch.

        Args:
            ids: (B,) of the examples.
            logits: what the network gave: (B, C) logits before the softmax, or (B,) of class 1 of two; of another kind
                its outputs or numbers (docs/kinds.md).
            labels: (B,) gold labels, or targets; may be left out where the Recorder knows them (``ids=``, ``labels=``).
            signals: of a recording of plain numbers, each number by its name, (B,).

        Batches come in any order and size. A refused batch leaves no trace. A logit of -inf is a masked class:
        probability 0.

        Raises:
            RecordingError: wrong shapes, NaN or +inf, a gold class that is masked, probabilities in place of logits,
                a class outside [0, C), an id that is unknown or was already seen in this epoch, a label that differs
                from the one known; or an earlier call was broken off inside (an interrupt), so that only ``rewind``
                can go on.
        """
        with self._turn:
            if not self._comes(ids):
                return
            try:
                outputs = self._by_name(logits, signals) if signals else logits
                if self._reader.on_device(outputs):
                    self._hold(ids, outputs, labels)
                else:
                    self._fetch()  # what came before this batch
                    with foreign():
                        batch = self._reader.read(ids, outputs, labels, self._roster)
                    self._record(batch)
            except RecordingError as error:
                self._leave_out(error, _size(ids))

    def leave_out(self, ids: Any, error: RecordingError) -> None:
        """A batch that could not be read on its way here, by an adapter say: it is as one that ``update`` refuses.

        Raises:
            RecordingError: it, where ``on_error`` is "raise".
        """
        with self._turn:
            if self._comes(ids):
                self._leave_out(error, _size(ids))

    def _comes(self, ids: Any) -> bool:
        """Whether a batch is looked at now; it is counted then."""
        if self._pauses:
            return False
        if self._broken or self._refusal is not None:
            self._check_open()
        self._tally.come(_size(ids))
        return True

    def _by_name(self, outputs: Any, signals: dict[str, Any]) -> dict[str, Any]:
        """Numbers that came each by its name, and those that came in a mapping."""
        if not self._reader.by_name or not (outputs is None or isinstance(outputs, dict)):
            raise RecordingError(
                f"update takes ids, outputs and targets; numbers by name ({some(signals)}) go with a Recorder that was "
                "given signals=, without others beside"
            )
        return {**(outputs or {}), **signals}

    def _record(self, batch: Batch) -> None:
        """One batch, whole or, when it is refused, not at all. Where it breaks off otherwise it stays ``_broken``."""
        ids, values, labels, ignored = batch
        roster, numbers, before = self._roster, self._numbers, self._broken
        self._broken = True
        try:
            values = numbers.check(ids, values, labels)
            rows, kept = roster.take(ids, labels)
        except RecordingError as error:
            self._broken = before
            error.args = (f"epoch {self.epoch}: {error}",)
            raise
        if kept is not None:
            values, labels = values[kept], labels[kept]
        numbers.add(rows, values, labels, len(roster))
        if ignored:
            self._ignore(ignored)
        self._broken = before

    def _ignore(self, rows: int) -> None:
        if not self._ignored:
            log.warning(
                "%s of a batch left out of the recording: nothing of it counts (ignore_index); further ones are only "
                "counted (recorder.ignored)",
                counted(rows, "row"),
            )
        self._ignored += rows

    def _hold(self, ids: Any, outputs: Any, targets: Any) -> None:
        """Keep a batch on its device."""
        with foreign():
            ids, targets = own_ids(ids), own_targets(targets)
            values = self._reader.measured(len(ids), outputs, targets)
        self._broken = True
        self._held.add(ids, values, targets)
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
        for ids, values, targets in batches:
            try:
                self._record(self._reader.settled(ids, values, targets, self._roster))
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
        before = self._numbers
        self._begin_anew()
        if isinstance(before, Epoch) and isinstance(self._numbers, Epoch):
            self._numbers.doubt = before.doubt

    def _empty(self) -> Epoch | PlainEpoch:
        return self._reader.epoch(len(self._roster), self.repeats)

    def _begin_anew(self) -> None:
        """The epoch under way has seen nothing; new objects, whatever state the old ones were left in."""
        self._held = Held()
        roster = self._roster
        self._roster = roster.anew() if isinstance(roster, Known) else Learned(self._reader.gold, self.repeats)
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


@contextmanager
def foreign() -> Iterator[None]:
    """What an array of another library raises when it is looked at (one without a shape, or without values) is ours."""
    try:
        yield
    except (TypeError, RuntimeError) as error:
        raise RecordingError(f"this batch cannot be read, {type(error).__name__}: {cause(error)}") from error


def _taken(error: RecordingError) -> int:
    """How many rows were recorded that are as wrong as those which are refused now."""
    return error.taken if isinstance(error, LookAlikes) else 0


def _size(ids: Any) -> int:
    try:
        return len(ids)
    except TypeError:
        return 0
