"""A run that a killed process of version 0.1 left goes on: its checkpoint means what it meant.

The two files were written by that version's ``fit`` with the arguments below, killed in ``on_epoch`` of epoch 1.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.schedules.protocol import InfoBatch
from trainmap.training.fit import Distillation, FitResult, Recipe, Teaching, Watching, fit
from trainmap.training.proxy import ProxyFilter

KEPT = Path(__file__).parent.parent / "recorded"


@dataclass
class Frozen:
    """A function before each epoch whose settings a checkpoint knows."""

    share: float = 0.5

    def __call__(self, epoch: int) -> None: ...


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def made(n: int = 60) -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def arguments(name: str) -> dict[str, Any]:
    if name == "proxy":
        return {"visits": ProxyFilter(network(9), 0.5, 2), "teaching": Teaching(network(5))}
    logits = np.random.default_rng(1).normal(size=(60, 2, 3)).astype(np.float16)
    return {
        "visits": InfoBatch(np.arange(60), 4),
        "teaching": Teaching(logits, Distillation("dkd", options={"beta": 2.0}), np.linspace(0, 2, 60)),
        "watching": Watching(before_epoch=Frozen()),
    }


def trained(checkpoint: Path | None, **how: Any) -> tuple[torch.Tensor, FitResult]:
    model = network(0)
    result = fit(model, made(), Recipe(epochs=4, batch=16, flips=True), seed=1, checkpoint=checkpoint, **how)
    return torch.cat([value.reshape(-1) for value in model.state_dict().values()]), result


@pytest.mark.parametrize("name", ["schedule", "proxy"])
def test_a_run_that_version_0_1_left_goes_on_and_ends_as_one_that_was_not_killed(name: str, tmp_path: Path) -> None:
    file = Path(shutil.copy(KEPT / f"checkpoint_{name}.pt", tmp_path / "run.pt"))
    weights, result = trained(file, **arguments(name))
    expected, whole = trained(None, **arguments(name))
    torch.testing.assert_close(weights, expected)  # to the bit on the machine that wrote the file
    assert replace(result, seconds=0, cpu_seconds=0, loss=0) == replace(whole, seconds=0, cpu_seconds=0, loss=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"visits": InfoBatch(np.arange(60), 4, ratio=0.25)}, "schedule"),
        ({"watching": Watching(before_epoch=Frozen(0.25))}, "before_epoch"),
        ({"teaching": Teaching(network(5))}, "weights, teacher, distillation"),
    ],
)
def test_it_does_not_go_on_as_another_run(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    file = Path(shutil.copy(KEPT / "checkpoint_schedule.pt", tmp_path / "run.pt"))
    with pytest.raises(TrainmapError, match=f"another run .other {named}"):
        trained(file, **arguments("schedule") | change)
