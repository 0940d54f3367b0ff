"""Two recorders for ``fit`` beside each other: of the training set, and of another set."""

from __future__ import annotations

from typing import Any, Protocol

from trainmap.training.watching import EpochRecorder


class RewindingRecorder(EpochRecorder, Protocol):
    """A recorder that can go back to the epoch of a checkpoint."""

    def rewind(self, epoch: int) -> None: ...


class Beside:
    """Two recorders for ``fit``, the second ended first: what a kill between the two leaves is not recorded twice."""

    def __init__(self, recorder: RewindingRecorder, second: RewindingRecorder) -> None:
        self.recorder, self.second = recorder, second

    @property
    def epoch(self) -> int:
        return self.recorder.epoch

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        self.recorder.update(ids, logits, labels)

    def end_epoch(self) -> None:
        if self.second.epoch == self.recorder.epoch:
            self.second.end_epoch()
        self.recorder.end_epoch()

    def rewind(self, epoch: int) -> None:
        for recorder in (self.second, self.recorder):
            recorder.rewind(min(epoch, recorder.epoch))
