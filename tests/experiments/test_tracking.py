"""Where the epochs of a run go: TensorBoard files, an offline W&B folder, or nowhere."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import pytest

from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.tracking import track


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    with track("run", {}, tmp_path, {"wandb": None, "tensorboard": False}) as log:
        log(0, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_every_epoch(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own imports
        with track("a/run", {}, tmp_path, {"tensorboard": True}) as log:
            log(0, {"loss": 1.0})
            log(1, {"loss": 0.5})
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "tensorboard" / "a_run"))
        events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(0, 1.0), (1, 0.5)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # wandb's own
def test_wandb_offline_leaves_a_run_in_its_folder(tmp_path: Path) -> None:
    with track("run", {"seed": 1}, tmp_path, {"wandb": {"project": "test", "mode": "offline"}}) as log:
        log(0, {"loss": 1.0})
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (record,) = folder.glob("run-*.wandb")
    until = time.monotonic() + 30  # wandb's own process writes the end of the file after finish() has returned
    while b"loss" not in record.read_bytes() and time.monotonic() < until:
        time.sleep(0.05)
    assert b"loss" in record.read_bytes()


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("wandb", {"wandb": {"project": "p", "mode": "offline"}}),
        ("torch.utils.tensorboard.writer", {"tensorboard": True}),
    ],
)
def test_a_tracker_that_is_not_installed_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, settings: dict
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrainmapError, match=r"pip install 'trainmap\[track\]'"), track("run", {}, tmp_path, settings):
        pass
