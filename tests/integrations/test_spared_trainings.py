"""A training is never lost to its recorder: whatever an adapter calls or looks into may fail, in every adapter alike.

Each case is a training of which a batch cannot be read: it is left out, told once and counted, or, where
``on_error="raise"`` was said, the error that ends the training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import xgboost
from contract import CLASSES, Job, X, Y
from sklearn.linear_model import LogisticRegression
from test_lightning_recorder import Module, fit
from torch.utils.data import DataLoader, TensorDataset
from trainer_doors import Network, arguments
from transformers import Trainer, TrainingArguments

import trainmap as tm
from trainmap.dynamics.refused import Refused
from trainmap.errors import RecordingError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
N, BAD = 21, 9  # examples, and the one in whose batch it fails
INPUTS = torch.tensor(X)


def odd(x: Any) -> bool:
    """Whether a batch has the example in which things fail."""
    return bool((x == INPUTS[BAD]).all(dim=1).any())


def lightning(folder: Path, on_error: Any, module: Any = None, **how: Any) -> Refused:
    recorder = tm.LightningRecorder(folder, on_error=on_error, **{"logits": "net", **how})
    fit(recorder, module, loader=DataLoader(TensorDataset(INPUTS, torch.tensor(Y)), batch_size=4))
    return recorder.refused


def labels_function(folder: Path, on_error: Any) -> Refused:
    return lightning(folder, on_error, labels=lambda batch: {}["y"] if odd(batch[0]) else batch[1])


class Returning(Module):
    def training_step(self, batch: Any, number: int) -> Any:
        return {"loss": super().training_step(batch, number), "seen": batch[0], "scores": self.net(batch[0])}


def logits_function(folder: Path, on_error: Any) -> Refused:
    def scores(returned: Any) -> Any:
        assert not odd(returned["seen"]), "a batch of its own kind"
        return returned["scores"]

    return lightning(folder, on_error, Returning(), logits=scores)


class OddlySilent(Module):
    def training_step(self, batch: Any, number: int) -> Any:
        loss = super().training_step(batch, number)
        return loss if odd(batch[0]) else {"loss": loss, "logits": self.net(batch[0])}


def step_without_logits(folder: Path, on_error: Any) -> Refused:
    return lightning(folder, on_error, OddlySilent(), logits=None)


class OddInSweeps(Module):
    def training_step(self, batch: Any, number: int) -> Any:
        if not self.training and odd(batch[0]):
            raise RuntimeError("no gradients here")
        return super().training_step(batch, number)


def step_in_a_sweep(folder: Path, on_error: Any) -> Refused:
    return lightning(folder, on_error, OddInSweeps(), sweep=True)


class Odd(Network):
    """Of one batch it does not tell its logits."""

    def forward(self, x: Any, labels: Any = None) -> Any:
        out = super().forward(x, labels)
        return {"loss": out["loss"], "scores": out["logits"]} if odd(x) else out


class OddInEvaluation(Network):
    def forward(self, x: Any, labels: Any = None) -> Any:
        if not self.training and odd(x):
            raise KeyError("x")
        return super().forward(x, labels)


def transformers(folder: Path, on_error: Any, network: Any, data: Any = None, **how: Any) -> Refused:
    rows = datasets.Dataset.from_dict({"x": X.tolist(), "labels": Y.tolist()})
    trainer = Trainer(
        network,
        TrainingArguments(**arguments(folder, Job(), save_strategy="no", per_device_eval_batch_size=4)),
        train_dataset=rows if data is None else data,
        data_collator=how.pop("collate", None),
    )
    attachment: Any = tm.attach(trainer, folder / "d", classes=CLASSES, on_error=on_error, **how)
    trainer.train()
    return attachment.intake.refused


def network_without_logits(folder: Path, on_error: Any) -> Refused:
    return transformers(folder, on_error, Odd())


def batch_without_labels(folder: Path, on_error: Any) -> Refused:
    def collate(items: list[Any]) -> Any:
        batch = {name: torch.tensor([item[name] for item in items]) for name in ("x", "labels")}
        return {"x": batch["x"], "target": batch["labels"]} if odd(batch["x"]) else batch

    return transformers(folder, on_error, Named(), collate=collate)


class Named(Network):
    def forward(self, x: Any, labels: Any = None, target: Any = None) -> Any:
        return super().forward(x, target if labels is None else labels)


def network_in_a_sweep(folder: Path, on_error: Any) -> Refused:
    return transformers(folder, on_error, OddInEvaluation(), sweep=True)


def batch_without_ids(folder: Path, on_error: Any) -> Refused:
    items = [{"x": x, "labels": y, "id": number} for number, (x, y) in enumerate(zip(X, Y, strict=True))]
    del items[BAD]["id"]
    refused = transformers(folder, on_error, Network(), data=items)
    return Refused(refused.batches, refused.examples + 8)  # nobody knows how many they were


def arrays_that_are_gone(folder: Path, on_error: Any) -> Refused:
    with tm.JaxRecorder(folder / "d", CLASSES, on_error=on_error) as recorder:
        for _ in range(2):
            for start in range(0, N, 4):
                logits, here = jnp.asarray(X[start : start + 4, :CLASSES]), range(start, min(start + 4, N))
                recorder.update(list(here), logits, Y[start : start + 4])
                if BAD in here:
                    logits.delete()  # as a step that was given it as its own
            recorder.end_epoch()
        return recorder.refused


def pass_of_scikit_learn(folder: Path, on_error: Any) -> Refused:
    model = LogisticRegression(max_iter=500).fit(X, Y)
    with tm.SklearnRecorder(folder / "d", on_error=on_error) as watch:
        for labels in (Y, [7] * 4, Y, [7] * 4):
            watch.record(model, X[: len(labels)], labels)
        return watch._intake.refused


def round_of_boosting(folder: Path, on_error: Any) -> Refused:
    data = xgboost.DMatrix(X, Y)
    with tm.Recorder(folder / "d", CLASSES, source="sweep", as_="probabilities", on_error=on_error) as recorder:
        metric = tm.RecordingMetric(recorder, data)
        p = np.full((N, CLASSES), 1 / CLASSES)
        for predictions in (p, p[:4] * 7, p, p[:4] * 7):
            metric(predictions, data)
        return recorder.refused


CASES: list[Callable[[Path, Any], Refused]] = [
    labels_function,
    logits_function,
    step_in_a_sweep,
    step_without_logits,
    network_without_logits,
    batch_without_labels,
    network_in_a_sweep,
    batch_without_ids,
    arrays_that_are_gone,
    pass_of_scikit_learn,
    round_of_boosting,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.replace("_", " "))
def test_what_cannot_be_read_is_left_out_and_the_training_goes_on(
    case: Callable[[Path, Any], Refused], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = case(tmp_path / "run", None)
    assert refused == (2, 8)
    told = [one.getMessage() for one in caplog.records if "left out of the recording:" in one.getMessage()]
    assert len([one for one in told if "nothing of it was recorded" not in one]) == 1
    folder = tmp_path / "run" if (tmp_path / "run" / "manifest.json").exists() else tmp_path / "run" / "d"
    seen = [epoch.seen for epoch in tm.Dynamics.open(folder).manifest.epochs]
    assert seen in ([N - 4, N - 4], [N, 0, N, 0])
    with pytest.raises(RecordingError):
        case(tmp_path / "raise", "raise")
