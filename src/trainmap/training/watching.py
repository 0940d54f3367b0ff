"""Who looks on while a network trains: a recorder of its steps, and functions around each epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from trainmap.errors import TrainmapError
from trainmap.schedules.protocol import settings_of

log = logging.getLogger("trainmap")


class EpochRecorder(Protocol):
    """What ``fit`` needs of a ``trainmap.Recorder``."""

    @property
    def epoch(self) -> int: ...

    def update(self, ids: Any, logits: Any, labels: Any) -> None: ...

    def end_epoch(self) -> None: ...


@dataclass(frozen=True)
class Watching:
    """Who looks on while a network trains.

    Attributes:
        recorder: gets (ids, logits, labels) of every training step, and ``end_epoch()`` after every epoch. The logits
            are those of the step itself, in train mode and on the augmented images (``source="train"``). Where epochs
            visit a part of the examples, it needs ``ids``, ``labels`` and ``allow_missing=True``.
        before_epoch: called with the epoch's number before each one: the place to change the network on the way, since
            a checkpoint holds it as the epoch before left it.
        on_epoch: called with the epoch's number and mean loss after each one, the recorder's included. Returning True
            ends the training.
    """

    recorder: EpochRecorder | None = None
    before_epoch: Callable[[int], object] | None = None
    on_epoch: Callable[[int, float], object] | None = None

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must agree on."""
        return {} if self.before_epoch is None else {"before_epoch": settings_of(self.before_epoch)}

    @property
    def recorded(self) -> int | None:
        """The next epoch of the recorder; None without one."""
        return None if self.recorder is None else self.recorder.epoch

    def go_on_at(self, epoch: int, kept: bool) -> None:
        """Whether the recorder stands at the epoch that is trained next. One that is ahead of a checkpoint (``kept``)
        is rewound to it, which is logged.

        Raises:
            TrainmapError: it stands at another epoch.
        """
        recorder = self.recorder
        if recorder is None:
            return
        rewind = getattr(recorder, "rewind", None)
        if rewind is not None and kept and recorder.epoch > epoch > 0:
            log.warning("the recorder is at epoch %d and the checkpoint at %d: rewound", recorder.epoch, epoch)
            rewind(epoch)
        if recorder.epoch != epoch:
            raise TrainmapError(
                f"the recorder is at epoch {recorder.epoch} and the training would start at {epoch}; give the "
                f"checkpoint of the recorded run, call recorder.rewind({epoch}), or record into a new folder"
            )


Watchers = Watching | Callable[[nn.Module], Watching] | None
"""Who looks on at the training of a network that is made on the way: known before, or a function of that network."""


def watching_of(watchers: Watchers, model: nn.Module) -> Watching | None:
    """Who looks on while ``model`` trains."""
    return watchers(model) if callable(watchers) else watchers
