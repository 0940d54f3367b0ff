"""Recorders for ``fit`` that record evaluation passes: over the training set, or over another set beside it."""

from __future__ import annotations

import time
from typing import Any, Protocol

from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.dynamics.recorder import Recorder
from trainmap.models.predict import predict
from trainmap.training.watching import EpochRecorder


class Sweep:
    """A recorder for ``fit`` that records an evaluation pass over a set after each epoch."""

    def __init__(self, recorder: Recorder, model: nn.Module, dataset: Dataset, device: str) -> None:
        self.recorder, self.model, self.dataset, self.device = recorder, model, dataset, device
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        return self.recorder.epoch

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Training logits are not recorded."""

    def end_epoch(self) -> None:
        start = time.perf_counter()
        dataset = self.dataset
        self.recorder.update(dataset.ids, predict(self.model, dataset, device=self.device), dataset.y)
        self.recorder.end_epoch()
        self.seconds += time.perf_counter() - start

    def rewind(self, epoch: int) -> None:
        self.recorder.rewind(epoch)


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
