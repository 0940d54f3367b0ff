"""A killed run goes on and ends like one that was never killed, whenever the kill comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainmap.dynamics.recorder
import trainmap.files
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.training import checkpoint as module
from trainmap.training.checkpoint import previous
from trainmap.training.fit import FitResult, Recipe, Teaching, Watching, fit

RECIPE = Recipe(epochs=4, batch=16, flips=True)


class Kill(BaseException):
    """The process ends here."""


class Recorder:
    """Keeps whole epochs through a kill, and kills when told: before update number ``update`` of epoch ``epoch``, or
    before or after its ``end_epoch``."""

    def __init__(self) -> None:
        self.epochs: list[dict[int, np.ndarray]] = []
        self.now: dict[int, np.ndarray] = {}
        self.updates = 0
        self.kill: tuple[int, Any] | None = None

    def reopen(self) -> None:
        self.now, self.updates, self.kill = {}, 0, None

    @property
    def epoch(self) -> int:
        return len(self.epochs)

    def update(self, ids: Any, logits: torch.Tensor, labels: torch.Tensor) -> None:
        del labels
        if self.kill == (self.epoch, self.updates):
            raise Kill
        self.updates += 1
        self.now.update(zip(ids.tolist(), logits.numpy().copy(), strict=True))

    def end_epoch(self) -> None:
        epoch = self.epoch
        if self.kill == (epoch, "before"):
            raise Kill
        self.epochs.append(self.now)
        self.now, self.updates = {}, 0
        if self.kill == (epoch, "after"):
            raise Kill


def made(n: int = 60) -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def run(path: Path | None, recorder: Any = None, **kwargs: Any) -> tuple[torch.nn.Module, FitResult]:
    model = build(kwargs.pop("name", "cnn-8"), 3, Inputs.images(1, 8), seed=0)
    recipe, seed, train = kwargs.pop("recipe", RECIPE), kwargs.pop("seed", 1), kwargs.pop("train", made())
    watching = Watching(recorder, on_epoch=kwargs.pop("on_epoch", None))
    return model, fit(model, train, recipe, seed=seed, checkpoint=path, watching=watching, **kwargs)


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    theirs = other.state_dict()
    assert [name for name, tensor in one.state_dict().items() if not torch.equal(tensor, theirs[name])] == []


def assert_same_run(
    path: Path, recorder: Recorder, expected: tuple[torch.nn.Module, FitResult], dynamics: Recorder
) -> None:
    model, result = run(path, recorder)
    assert_same(model, expected[0])
    assert (result.epochs, result.steps, result.examples_seen) == (4, 16, 240)
    assert result.flops == expected[1].flops
    assert result.loss == expected[1].loss
    for mine, theirs in zip(recorder.epochs, dynamics.epochs, strict=True):
        assert list(mine) == list(theirs)
        assert all(np.array_equal(mine[example], theirs[example]) for example in mine)


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[tuple[torch.nn.Module, FitResult], Recorder]:
    recorder = Recorder()
    return run(None, recorder), recorder


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("moment", [0, 2, "before", "after"])
def test_a_killed_run_ends_bit_identical_to_one_that_was_not(
    tmp_path: Path, uninterrupted: Any, epoch: int, moment: Any
) -> None:
    recorder = Recorder()
    recorder.kill = (epoch, moment)
    with pytest.raises(Kill):
        run(tmp_path / "run.pt", recorder)
    recorder.reopen()
    assert_same_run(tmp_path / "run.pt", recorder, *uninterrupted)


def test_a_run_killed_between_checkpoint_and_recording_again_and_again_still_ends_the_same(
    tmp_path: Path, uninterrupted: Any
) -> None:
    recorder = Recorder()
    for epoch, moment in [
        (1, "before"),
        (1, "before"),
        (1, "before"),
        (2, 1),
        (2, "before"),
        (2, "after"),
        (3, "after"),
    ]:
        recorder.reopen()
        recorder.kill = (epoch, moment)
        with pytest.raises(Kill):
            run(tmp_path / "run.pt", recorder)
    recorder.reopen()
    assert_same_run(tmp_path / "run.pt", recorder, *uninterrupted)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_kill_inside_the_writing_of_a_checkpoint_loses_at_most_the_epoch(
    tmp_path: Path, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The new file is not there yet, and the old one already has its other name."""
    recorder, written = Recorder(), 0
    real = torch.save

    def save(*args: Any) -> None:
        nonlocal written
        written += 1
        if written == at + 1:
            raise Kill
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module.torch, "save", save)
        with pytest.raises(Kill):
            run(tmp_path / "run.pt", recorder)
    recorder.reopen()
    assert_same_run(tmp_path / "run.pt", recorder, *uninterrupted)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.pt", "run.pt.previous"]


def test_a_killed_recording_on_disk_goes_on_and_holds_the_same_epochs(tmp_path: Path) -> None:
    def stops(epoch: int, loss: float) -> None:
        if epoch == 1:
            raise Kill

    def record(folder: str, path: Path | None, **kwargs: Any) -> torch.nn.Module:
        with trainmap.dynamics.recorder.Recorder(tmp_path / folder, classes=3, resume=True) as recorder:
            return run(path, recorder, **kwargs)[0]

    with pytest.raises(Kill):
        record("killed", tmp_path / "run.pt", on_epoch=stops)
    assert_same(record("killed", tmp_path / "run.pt"), record("whole", None))
    for epoch in range(4):
        file = f"epochs/{epoch:05d}.arrow"
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_recording_ahead_of_the_checkpoint_is_rewound_to_it(tmp_path: Path) -> None:
    """The checkpoint of epoch 2 was restored from a copy; the recording has all four."""

    def keeps(epoch: int, loss: float) -> None:
        if epoch == 1:
            (tmp_path / "copy.pt").write_bytes((tmp_path / "run.pt").read_bytes())

    def record(path: Path, **kwargs: Any) -> torch.nn.Module:
        with trainmap.dynamics.recorder.Recorder(tmp_path / "d", classes=3, resume=True) as recorder:
            model = run(path, recorder, **kwargs)[0]
            assert recorder.epoch == 4
            return model

    whole = record(tmp_path / "run.pt", on_epoch=keeps)
    before = [file.read_bytes() for file in sorted((tmp_path / "d").rglob("*.arrow"))]
    assert_same(record(tmp_path / "copy.pt"), whole)
    assert [file.read_bytes() for file in sorted((tmp_path / "d").rglob("*.arrow"))] == before


@pytest.mark.parametrize(("name", "optimizer"), [("vit-32", "adamw"), ("effnet-8", "sgd")])
def test_other_networks_and_optimizers_resume_as_well(tmp_path: Path, name: str, optimizer: Any) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, peak_lr=1e-3, clip=1.0)

    def stops(epoch: int, loss: float) -> None:
        if epoch == 1:
            raise Kill

    with pytest.raises(Kill):
        run(tmp_path / "run.pt", name=name, recipe=recipe, on_epoch=stops)
    assert_same(run(tmp_path / "run.pt", name=name, recipe=recipe)[0], run(None, name=name, recipe=recipe)[0])


def test_a_run_by_steps_resumes_at_its_last_whole_epoch(tmp_path: Path) -> None:
    def stops(epoch: int, loss: float) -> None:
        if epoch == 1:
            raise Kill

    with pytest.raises(Kill):
        run(tmp_path / "run.pt", steps=11, on_epoch=stops)
    model, result = run(tmp_path / "run.pt", steps=11)
    assert result.steps == 11
    assert_same(model, run(None, steps=11)[0])


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    recorder = Recorder()
    model, result = run(tmp_path / "run.pt", recorder)
    recorder.kill = (4, 0)
    again, same = run(tmp_path / "run.pt", recorder)
    assert same == result
    assert_same(again, model)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 2}, "seed"),
        ({"recipe": replace(RECIPE, peak_lr=0.2)}, "recipe"),
        ({"train": made(59)}, "dataset"),
        ({"name": "cnn-16"}, "model"),
        ({"steps": 5}, "steps"),
        ({"teaching": Teaching(np.zeros((60, 2, 3), np.float16))}, "teacher"),
    ],
)
def test_a_checkpoint_of_another_run_is_an_error_that_says_what_differs(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    run(tmp_path / "run.pt")
    with pytest.raises(TrainmapError, match=f"another run .*{named}"):
        run(tmp_path / "run.pt", **change)


def test_a_recorder_that_belongs_to_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    recorder = Recorder()
    run(tmp_path / "run.pt", recorder)
    del recorder.epochs[1:]
    with pytest.raises(TrainmapError, match="recorder is at epoch 1 and the checkpoints at 4, 3"):
        run(tmp_path / "run.pt", recorder)
    (tmp_path / "run.pt").unlink()
    previous(tmp_path / "run.pt").unlink()
    with pytest.raises(TrainmapError, match="the recorder is at epoch 1"):
        run(tmp_path / "run.pt", recorder)


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "run.pt").write_bytes(junk)
    with pytest.raises(TrainmapError, match="not a checkpoint"):
        run(tmp_path / "run.pt")


def test_a_saved_tensor_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "run.pt")
    with pytest.raises(TrainmapError, match="not a checkpoint"):
        run(tmp_path / "run.pt")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    run(tmp_path / "run.pt", recipe=RECIPE, on_epoch=lambda epoch, loss: epoch == 1)
    with monkeypatch.context() as patch:
        patch.setattr(trainmap.files.os, "fsync", full)
        with pytest.raises(TrainmapError, match="cannot be written: no space"):
            run(tmp_path / "run.pt")
    assert_same(run(tmp_path / "run.pt")[0], run(None)[0])
