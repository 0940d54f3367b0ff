"""The intake of adapters: where a recording goes on, and what does not end a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.errors import RecordingError, StoreError, TrainmapError
from trainmap.integrations.intake import Intake

N = 6


def epoch(intake: Intake, number: float = 0.0) -> None:
    intake.take(range(N), np.arange(2.0 * N).reshape(N, 2) * [1, 2] + [number, 0], np.arange(N) % 2)
    intake.end_epoch()


def intake_of(path: Path, **how: Any) -> Intake:
    return Intake(path, classes=2, **how)


@pytest.mark.parametrize(("at", "epochs"), [(0, 1), (1, 2), (3, 4)])
def test_a_training_that_goes_on_meets_its_checkpoint(at: int, epochs: int, tmp_path: Path) -> None:
    first = intake_of(tmp_path / "d")
    first.begin()
    for number in range(3):
        epoch(first, number)
    first.finish()
    again = intake_of(tmp_path / "d")
    again.begin(at, again=True)
    assert again.epoch == at
    epoch(again)
    again.finish()
    assert tm.Dynamics.open(tmp_path / "d").epochs == epochs


def test_a_checkpoint_beyond_the_recording_leaves_epochs_that_nobody_saw(tmp_path: Path) -> None:
    intake = intake_of(tmp_path / "d", ids=range(N), labels=[0, 1] * 3)
    intake.begin(2, again=True)
    epoch(intake)
    intake.finish()
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == 3
    assert np.isnan(dynamics.column(1, "loss")).all()
    assert np.isfinite(dynamics.column(2, "loss")).all()


def test_where_nobody_is_known_yet_the_recording_begins_where_the_training_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    intake = intake_of(tmp_path / "d")
    intake.begin(2, again=True)
    assert intake.epoch == 2
    epoch(intake)
    intake.finish()
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1
    assert "epochs 0 to 1 were not recorded" in caplog.text


def test_a_second_training_comes_behind_the_first_and_a_second_try_in_its_place(tmp_path: Path) -> None:
    intake = intake_of(tmp_path / "d")
    intake.begin()
    epoch(intake)
    intake.take([0, 1], np.eye(2), [0, 1])
    intake.begin()  # without finish: the same training, tried anew
    assert intake.epoch == 0
    epoch(intake)
    intake.finish()
    intake.begin()
    assert intake.epoch == 0
    epoch(intake)
    intake.begin(1, again=True)  # its own epoch 1 is the recording's 2
    epoch(intake)
    intake.finish()
    assert tm.Dynamics.open(tmp_path / "d").epochs == 3


def test_an_epoch_under_way_is_dropped_and_told_not_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    intake = intake_of(tmp_path / "d")
    intake.begin()
    epoch(intake)
    intake.take([0, 1], np.eye(2), [0, 1])
    intake.finish()
    intake.finish()
    assert "epoch 1 was not ended: 2 examples of it are dropped" in caplog.text
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1
    with pytest.raises(RecordingError, match="call begin"):
        intake.take([0], np.eye(2)[:1], [0])


@pytest.mark.parametrize("on_error", ["warn", "raise"])
def test_a_disk_that_is_full_ends_the_recording_and_not_the_training(
    on_error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    intake = intake_of(tmp_path / "d", on_error=on_error)
    intake.begin()
    epoch(intake)

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("d cannot be written: No space left on device")

    monkeypatch.setattr("trainmap.dynamics.writer.Writer.append", full)
    if on_error == "raise":
        with pytest.raises(StoreError, match="No space left"):
            epoch(intake)
        return
    epoch(intake)
    epoch(intake)
    assert intake.stopped is not None
    assert caplog.text.count("nothing more is recorded, the training goes on") == 1
    intake.finish()
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1


def test_what_an_adapter_knows_yields_to_what_the_user_says(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "d", classes=3, level=None)
    intake.default(classes=7, level="logits", on_error="raise")
    recorder = intake.begin()
    assert (recorder.classes, recorder.level, recorder.on_error) == (3, "logits", "warn")
    intake.finish()
    with tm.Recorder(tmp_path / "own", 2) as recorder:
        with pytest.raises(TrainmapError, match="a Recorder was given: say classes to it"):
            Intake(recorder, classes=2)
        intake = Intake(recorder)
        intake.begin()
        epoch(intake)
        intake.finish()
        assert recorder.epoch == 1  # it stays open
    with pytest.raises(TrainmapError, match="a path is needed, got a int"):
        Intake(3)  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="nothing here tells how many classes there are: say classes="):
        Intake(tmp_path / "x").begin()
