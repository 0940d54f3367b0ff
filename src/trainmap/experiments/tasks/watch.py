"""What happens after each epoch of a run: it is written down, and the training may end early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.evaluation.metrics import evaluate
from trainmap.experiments.tasks.tracking import Log, read_epochs, write_epochs
from trainmap.models.predict import predict
from trainmap.training.checkpoint import previous
from trainmap.training.checkpoint import read as read_checkpoint
from trainmap.training.watching import EpochRecorder


class Watch:
    """For ``fit``'s ``on_epoch``: writes each epoch to a CSV file, and ends the training when the validation loss has
    not been lower for ``patience`` epochs (None: never). The last weights are kept, not the best.

    A run that goes on after a kill, at whatever moment, ends where it would have ended.
    """

    def __init__(
        self, path: Path, model: nn.Module, validation: Dataset, patience: int | None, device: str, log: Log
    ) -> None:
        self.path, self.model, self.validation = path, model, validation
        self.patience, self.device, self.log = patience, device, log

    def __call__(self, epoch: int, loss: float) -> bool:
        row = self._row(epoch, loss)
        rows = [row for row in read_epochs(self.path) if row["epoch"] < epoch] + [row]
        write_epochs(self.path, rows)
        self.log(epoch, {key: value for key, value in row.items() if key != "epoch"})
        return self._ends(rows)

    def over(self, checkpoint: Path, recorder: EpochRecorder | None) -> dict[str, Any] | None:
        """What a run did that was killed after its early end; its weights are put into the model.

        None when there is something left to train. The epoch of a checkpoint that was killed before it was written
        down is written down now, from the checkpoint's weights.
        """
        if self.patience is None:
            return None
        found = None
        fresh = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        for file in (previous(checkpoint), checkpoint):
            if not file.exists():
                continue
            state = read_checkpoint(file)
            progress = state["progress"]
            rows = [row for row in read_epochs(self.path) if row["epoch"] < progress["epoch"]]
            if not progress["epoch"] or (recorder is not None and recorder.epoch != progress["epoch"]):
                continue
            weights = state["model"]
            if weights.keys() != fresh.keys():  # a projector was trained beside it
                weights = {name.removeprefix("model."): weights[name] for name in weights if name.startswith("model.")}
            self.model.load_state_dict(weights)
            if not rows or rows[-1]["epoch"] != progress["epoch"] - 1:
                rows.append(self._row(progress["epoch"] - 1, progress["loss"]))
                write_epochs(self.path, rows)
            proxy = state["learned"].get("proxy")
            found = (rows, progress | ({} if proxy is None else {"proxy_flops": proxy["flops"]}))
        if found is None or not self._ends(found[0]):
            self.model.load_state_dict(fresh)
            return None
        self.model.eval()
        return {("epochs" if key == "epoch" else key): value for key, value in found[1].items()}

    def _row(self, epoch: int, loss: float) -> dict[str, float]:
        row = {"epoch": float(epoch), "train_loss": loss}
        if self.patience is not None:
            metrics = evaluate(predict(self.model, self.validation, device=self.device), self.validation.y)
            row |= {"validation_loss": metrics.loss, "validation_accuracy": metrics.accuracy}
            row |= {"validation_macro_f1": metrics.macro_f1}
        return row

    def _ends(self, rows: list[dict[str, float]]) -> bool:
        losses = [row["validation_loss"] for row in rows] if self.patience is not None else []
        return self.patience is not None and len(losses) - 1 - int(np.argmin(losses)) >= self.patience
