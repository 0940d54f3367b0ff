"""A recorder for ``fit`` that records evaluation passes in place of the training steps."""

from __future__ import annotations

import time
from typing import Any

from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.dynamics.recorder import Recorder
from trainmap.models.predict import predict


class Sweep:
    """A recorder for ``fit`` that records an evaluation pass over a set after each epoch: of what the network trains on
    (source "sweep"), or of what it does not ("held-out").

    Attributes:
        seconds: that the passes took, those before a resume left out.
    """

    def __init__(self, recorder: Recorder, model: nn.Module, dataset: Dataset, device: str | None = None) -> None:
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
