"""JAX: what a jitted step returns is read one step later, so that no step waits for the device."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.refused import Refused
from trainmap.errors import RecordingError, TrainmapError
from trainmap.kinds import as_path


class OneLate:
    """Hands each batch on when the next one comes, so that its arrays have had a step's time to be computed.

    Args:
        take: what gets a batch.
        lose: what gets the ids of one that cannot be read, and the error.
    """

    def __init__(self, take: Callable[..., Any], lose: Callable[[Any, RecordingError], None]) -> None:
        self._take, self._lose = take, lose
        self._waiting: tuple[Any, ...] | None = None

    def put(self, *batch: Any) -> None:
        """Keep a batch, whose way to the host begins here, and hand on the one before it."""
        kept = self._each(_kept, batch)
        before, self._waiting = self._waiting, kept
        self._hand_on(before)

    def flush(self) -> None:
        """Hand on the batch that waits."""
        before, self._waiting = self._waiting, None
        self._hand_on(before)

    def drop(self) -> None:
        """Forget the batch that waits."""
        self._waiting = None

    def _hand_on(self, batch: tuple[Any, ...] | None) -> None:
        if batch is not None and (read := self._each(_read, batch)) is not None:
            self._take(*read)

    def _each(self, of: Callable[[Any], Any], batch: tuple[Any, ...]) -> tuple[Any, ...] | None:
        try:
            return tuple(of(value) for value in batch)
        except RecordingError as error:
            self._lose(batch[0], error)
        return None


class JaxRecorder:
    """Records a JAX loop (Flax, Equinox, Haiku, plain functions) one step late: a jitted step returns before its arrays
    are computed, and reading them at once would make every step wait.

    ::

        with tm.JaxRecorder("dynamics", classes=10) as recorder:
            for epoch in range(recorder.epoch, epochs):
                for ids, x, labels in batches:
                    state, logits = train_step(state, x, labels)  # logits: an output, such as has_aux gives
                    recorder.update(ids, logits, labels)
                recorder.end_epoch()

    Args:
        place: a ``Recorder``, or the folder that one is made for.
        options: the other arguments of ``Recorder``, where ``place`` is a folder. ``on_error`` is "warn" if not said,
            so that a batch that cannot be recorded does not end the training; of several processes
            (``jax.distributed``) each records its part.

    Attributes:
        recorder: the recorder underneath.
        epoch: the next epoch to record.
        refused: (batches, examples) that ``on_error="warn"`` has left out.

    ``update`` starts the transfer of a batch to the host and hands the batch before it to the recorder, so an error
    comes one step later than its batch. bfloat16 is taken as it is.

    Raises:
        TrainmapError: as ``Recorder``; options for a recorder that is there.
    """

    def __init__(self, place: Recorder | str | os.PathLike[str], *options: Any, **named: Any) -> None:
        if isinstance(place, Recorder):
            if options or named:
                raise TrainmapError("a Recorder was given: say its options to it, Recorder(path, ...)")
            self.recorder = place.for_adapter()
        else:
            said = {name: value for name, value in named.items() if value is not None}
            self.recorder = Recorder(as_path(place), *options, **{"on_error": "warn", **_processes(), **said})
        self._late = OneLate(self._record, self.recorder.leave_out)

    @property
    def epoch(self) -> int:
        """The next epoch to record."""
        return self.recorder.epoch

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out."""
        return self.recorder.refused

    def _record(self, ids: Any, outputs: Any, targets: Any) -> None:
        self.recorder.update(ids, outputs, *([] if targets is None else [targets]))

    def update(self, ids: Any, outputs: Any, targets: Any = None) -> None:
        """Take one batch, as ``Recorder.update`` does, and record the one before it.

        Raises:
            RecordingError: with ``on_error="raise"``: the batch before it cannot be recorded; this one lies on several
                machines.
        """
        self._late.put(ids, outputs, targets)

    def end_epoch(self, allow_missing: bool | None = None) -> None:
        """Record the batch that waits and write the epoch, as ``Recorder.end_epoch`` does."""
        self._late.flush()
        self.recorder.end_epoch(allow_missing)

    def rewind(self, epoch: int) -> None:
        """Go back, as ``Recorder.rewind`` does; the batch that waits is dropped with the epoch under way."""
        self._late.drop()
        self.recorder.rewind(epoch)

    def skip_to(self, epoch: int) -> None:
        """Go forward, as ``Recorder.skip_to`` does."""
        self._late.flush()
        self.recorder.skip_to(epoch)

    def close(self) -> None:
        """Record the batch that waits and end the recording, as ``Recorder.close`` does."""
        self._late.flush()
        self.recorder.close()

    def __enter__(self) -> JaxRecorder:
        return self

    def __exit__(self, kind: Any, *others: Any) -> None:
        if kind is None:
            self._late.flush()
        self._late.drop()
        self.recorder.__exit__(kind, *others)


def _processes() -> dict[str, int]:
    """Which of how many processes this is, where JAX runs in several."""
    try:
        import jax
    except ImportError as error:
        raise TrainmapError("JaxRecorder needs JAX: pip install 'trainmap[adapters]'") from error
    several = jax.process_count() > 1
    return {"rank": jax.process_index(), "world_size": jax.process_count()} if several else {}


def _kept(value: Any) -> Any:
    """A value that nobody else changes: an array of JAX, whose way to the host begins here; a copy of any other."""
    if isinstance(value, dict):
        return {name: _kept(one) for name, one in value.items()}
    if not hasattr(value, "copy_to_host_async"):
        return value.detach().clone() if hasattr(value, "detach") else copy.copy(value)
    if not value.is_fully_addressable:
        raise RecordingError(
            "an array of several machines cannot be recorded whole; hand over the rows of this process: "
            "np.concatenate([shard.data for shard in logits.addressable_shards]), and their ids and labels"
        )
    value.copy_to_host_async()
    return value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _read(one) for name, one in value.items()}
    if hasattr(value, "is_deleted") and value.is_deleted():
        raise RecordingError(
            "an array of the step before was donated to the next step; let the step return its logits as an output of "
            "its own, and donate neither them nor the labels"
        )
    return value
