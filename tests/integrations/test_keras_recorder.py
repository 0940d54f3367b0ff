"""Keras on torch and on JAX, each in a process of its own (``keras_job.py``): recorded is what was trained on."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm

HERE = Path(__file__).parent
N, CLASSES = 21, 3
Y = np.arange(N) % CLASSES
BRIEF = (
    "shuffled", "unshuffled", "certain", "names", "weighed", "resumed", "ignored", "half", "one_output", "sweeping",
    "swept_data",
)  # fmt: skip
ALL = (
    *BRIEF, "softmax", "one_hot", "large", "accumulated", "twice", "behind", "broken", "loader", "unnamed",
    "two_outputs", "detached", "refusals",
)  # fmt: skip


class Done:
    """The trainings of one backend; of several processes of pytest the first runs them."""

    def __init__(self, backend: str, folder: Path, jobs: tuple[str, ...]) -> None:
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "facts.json").exists():
                self.run(backend, folder, jobs)
        self.folder, self.told = folder, (folder / "told.txt").read_text()
        self.facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())

    def run(self, backend: str, folder: Path, jobs: tuple[str, ...]) -> None:
        paths = [str(Path(tm.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(HERE / "keras_job.py"), str(folder), *jobs],
            env={**env, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / "told.txt").write_text(done.stderr)

    def dynamics(self, job: str) -> tm.Dynamics:
        return tm.Dynamics.open(self.folder / job)


@pytest.fixture(
    scope="module", params=["torch", "jax", pytest.param("all of jax", marks=pytest.mark.slow)], ids=lambda one: one
)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / f"keras on {request.param}"
    return Done(request.param.split()[-1], folder, BRIEF if request.param == "jax" else ALL)


def needs(done: Done, job: str) -> None:
    if job not in done.facts:
        pytest.skip(f"of JAX {job} is run with the slow tests")


@pytest.mark.parametrize(
    "job", ["shuffled", "names", "half", "one_output", "softmax", "one_hot", "large", "loader", "two_outputs"]
)
def test_without_learning_every_epoch_is_an_evaluation_pass(done: Done, job: str) -> None:
    needs(done, job)
    dynamics, gold = done.dynamics(job), np.array(done.facts[job]["gold"])
    ids = dynamics.ids.tolist()
    first = {"shuffled": 100, "large": 1 << 40}.get(job, 0)
    places = [int(str(name).removeprefix("example ")) - first for name in ids]
    assert sorted(places) == list(range(N))
    labels = Y % 2 if job == "one_output" else Y
    assert (dynamics.epochs, dynamics.source, dynamics.labels.tolist()) == (2, "train", labels[places].tolist())
    for epoch in range(2):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), gold[places], atol=1e-2 if job == "half" else 1e-6)


def test_an_epoch_has_what_was_trained_on_and_no_validation(done: Done) -> None:
    assert done.facts["shuffled"]["logs"] == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert done.facts["shuffled"]["refused"] == [0, 0]
    one, other = done.dynamics("shuffled"), done.dynamics("unshuffled")
    np.testing.assert_allclose(one.column(1, "loss"), other.column(1, "loss"), atol=1e-6)


def test_a_probability_of_0_is_the_least_that_keras_takes(done: Done) -> None:
    loss = done.dynamics("certain").column(0, "loss")
    np.testing.assert_allclose(loss[Y > 0], -np.log(1e-7), rtol=1e-3)
    assert done.facts["certain"]["refused"] == [0, 0]


def test_weights_of_classes_and_examples_train_as_they_do_without_recording(done: Done) -> None:
    found = done.facts["weighed"]
    for without, recorded in zip(found["without"], found["with"], strict=True):
        assert recorded == pytest.approx(without, abs=1e-6)


def test_a_sweep_is_an_evaluation_pass_and_the_training_goes_on_as_without(done: Done) -> None:
    found = done.facts["sweeping"]
    for without, recorded in zip(found["trained"][:2], found["trained"][2:], strict=True):
        for one, other in zip(without, recorded, strict=True):
            np.testing.assert_array_equal(one, other)
    each, some = done.dynamics("sweeping/epoch"), done.dynamics("sweeping/4")
    assert (each.source, each.epochs, each.examples) == ("sweep", 2, N)
    np.testing.assert_allclose(each.column(1, "p_gold"), found["gold"], atol=1e-6)
    assert some.epochs == 2  # 16 of 21 examples are trained on: 4 steps an epoch
    seen = [int(np.isfinite(some.column(epoch, "loss")).sum()) for epoch in range(2)]
    assert seen == [8, 8]


def test_a_sweep_over_arrays_of_its_own_beside_a_generator(done: Done) -> None:
    dynamics = done.dynamics("swept_data")
    assert (dynamics.kind, dynamics.source, dynamics.epochs, dynamics.examples) == ("regression", "sweep", 2, N)
    residual = np.array(done.facts["swept_data"]["residual"])
    np.testing.assert_allclose(np.abs(dynamics.column(1, "residual")), np.abs(residual), rtol=1e-4)


def test_resumed_at_an_epoch_the_recording_goes_there(done: Done) -> None:
    dynamics = done.dynamics("resumed")
    assert dynamics.epochs == 3
    gold = np.array(done.facts["resumed"]["gold"])
    assert not np.allclose(dynamics.column(0, "p_gold"), gold)
    for epoch in (1, 2):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), gold, atol=1e-6)


def test_a_checkpoint_ahead_of_the_recording_leaves_epochs_not_seen(done: Done) -> None:
    needs(done, "behind")
    dynamics = done.dynamics("behind")
    assert [int(np.isnan(dynamics.column(epoch, "loss")).sum()) for epoch in range(dynamics.epochs)] == [0, N, N, 0]


def test_one_fit_after_another_is_one_recording(done: Done) -> None:
    needs(done, "twice")
    assert done.dynamics("twice").epochs == 4


def test_what_was_broken_off_leaves_the_epochs_before_it(done: Done) -> None:
    needs(done, "broken")
    assert done.facts["broken"]["before"] == 1
    assert done.dynamics("broken").epochs == 2


def test_accumulated_gradients_change_nothing(done: Done) -> None:
    needs(done, "accumulated")
    assert np.isfinite(done.dynamics("accumulated").column(1, "loss")).all()


def test_a_batch_with_a_label_of_no_class_is_left_out_and_counted(done: Done) -> None:
    assert done.facts["ignored"]["refused"] == [1, 4]
    assert done.dynamics("ignored").ids.tolist() == [*range(4), *range(8, N)]
    assert "labels must be 0 to 2, got -1" in done.told


def test_batches_without_ids_are_told_and_the_training_goes_on(done: Done) -> None:
    needs(done, "unnamed")
    assert done.told.count("the batches have no ids; give the labels as watch.with_ids(y, ids)") == 1
    assert not (done.folder / "unnamed" / "manifest.json").exists()


def test_afterwards_the_model_is_as_it_was(done: Done) -> None:
    needs(done, "detached")
    assert done.facts["detached"] == {"watched": ["fit", "train_step"], "left": [], "same": True}
    assert done.dynamics("detached").epochs == 1


def test_what_was_done_wrong_is_told(done: Done) -> None:
    needs(done, "refusals")
    told = done.facts["refusals"]
    assert "a compiled keras.Model is needed, got Sequential; call model.compile" in told["not compiled"]
    assert "a compiled keras.Model is needed, got int" in told["no model"]
    assert "watched already" in told["twice"]
    assert "build it first, or pass classes=" in told["not built"]
    assert told["too few ids"] == "21 labels need as many ids, got 2"
    assert "ids must be integers of 32 bits, got 'a', 'b'; pass all of them" in told["words"]
    assert "1 soft labels have no one largest share (first: row 0)" in told["soft"]
    assert "labels must be whole numbers or one-hot, got 0.5" in told["floating"]
    assert "labels must be numbers of classes" in told["text"]
    assert "the model has several outputs: pass output=" in done.facts["two_outputs"]["told"]
