"""What happens after each epoch: the CSV file, early stopping, and both across a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainmap.data.dataset import load_splits
from trainmap.experiments.tasks.datasets import Data, Elsewhere
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.experiments.tasks.tracking import read_epochs, write_epochs
from trainmap.experiments.tasks.watch import Watch
from trainmap.training.recipes import Recipe


def teacher_run(out: Path, **changes: Any) -> dict[str, Any]:
    """A teacher, trained in this process."""
    told = {"name": "digits", "split_seed": 42, "validation": 0.2, "label_noise": 0.0, "noise_seed": 0, "labels": ""}
    settings: dict[str, Any] = {
        "data": Data(**told, fingerprint=load_splits("digits", None, 42, 0.2).fingerprint()),
        "model": "mlp-256",
        "recipe": Recipe(epochs=30, batch=64, peak_lr=1.0),
        "seed": 3,
        "record": "train",
        "patience": 2,
        "device": "cpu",
        "evaluation": Elsewhere(),
    }
    return Teacher(**settings | changes).run(Place(out, checkpoint=out / "checkpoint.pt"))


def test_training_ends_when_the_validation_loss_was_not_lower_for_patience_epochs(tmp_path: Path) -> None:
    result = teacher_run(tmp_path)
    rows = read_epochs(tmp_path / "epochs.csv")
    losses = [row["validation_loss"] for row in rows]
    assert result["epochs"] == len(rows) < 30
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert losses[-1] == pytest.approx(result["validation_loss"], abs=1e-9)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "model.pt").exists()


pytestmark = pytest.mark.usefixtures("one_thread")


class KilledError(Exception):
    pass


@pytest.mark.parametrize("moment", ["before the epoch is written down", "after it"])
@pytest.mark.parametrize("epochs", [1, 0])
def test_a_run_that_was_killed_ends_where_it_would_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, epochs: int
) -> None:
    """``epochs``: how many before the last one the kill comes; 0 is after the early end."""
    whole = teacher_run(tmp_path / "whole")
    last, called = whole["epochs"] - 1 - epochs, Watch.__call__

    def kill(self: Watch, epoch: int, loss: float) -> bool:
        if epoch == last and moment == "before the epoch is written down":
            raise KilledError
        ends = called(self, epoch, loss)
        if epoch == last:
            raise KilledError
        return ends

    monkeypatch.setattr(Watch, "__call__", kill)
    with pytest.raises(KilledError):
        teacher_run(tmp_path / "killed")
    monkeypatch.setattr(Watch, "__call__", called)
    again = teacher_run(tmp_path / "killed")
    timed = ("seconds", "cpu_seconds")
    assert {k: v for k, v in again.items() if not k.endswith(timed)} == {
        k: v for k, v in whole.items() if not k.endswith(timed)
    }
    first, second = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert read_epochs(tmp_path / "whole" / "epochs.csv") == read_epochs(tmp_path / "killed" / "epochs.csv")


def test_without_patience_nothing_is_judged_and_every_epoch_is_trained(tmp_path: Path) -> None:
    recipe = replace(Recipe(epochs=2, batch=64), peak_lr=0.01)
    result = teacher_run(tmp_path, patience=None, recipe=recipe)
    assert result["epochs"] == 2
    assert [set(row) for row in read_epochs(tmp_path / "epochs.csv")] == [{"epoch", "train_loss"}] * 2


def test_a_sweep_records_the_evaluation_pass_of_the_same_training(tmp_path: Path) -> None:
    import trainmap as tm

    recipe = Recipe(epochs=2, batch=64, peak_lr=0.05)
    trained = teacher_run(tmp_path / "train", patience=None, recipe=recipe)
    swept = teacher_run(tmp_path / "sweep", patience=None, recipe=recipe, record="sweep")
    assert swept["test_loss"] == trained["test_loss"]
    assert swept["sweep_seconds"] > 0
    train, sweep = (tm.Dynamics.open(tmp_path / name / "dynamics") for name in ("train", "sweep"))
    assert (train.source, sweep.source, sweep.epochs) == ("train", "sweep", 2)


def test_epochs_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"epoch": 0.0, "a": 1 / 3}, {"epoch": 1.0, "a": 2.0, "b": 1e-300}]
    write_epochs(tmp_path / "epochs.csv", rows)
    assert read_epochs(tmp_path / "epochs.csv") == rows
    assert read_epochs(tmp_path / "nothing.csv") == []
