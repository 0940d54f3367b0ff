"""A JAX loop is recorded one step late: nothing waits for a step, and the numbers are those of the step."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import trainmap as tm

N, WIDTH, CLASSES = 21, 4, 3
generator = np.random.default_rng(0)
X = generator.normal(size=(N, WIDTH)).astype(np.float32)
Y = np.arange(N) % CLASSES
SURE = 5 * np.eye(3, dtype=np.float32) - 1


def batches(seed: int | None, size: int = 4) -> Iterator[tuple[Any, Any, Any]]:
    """Batches of 4 and an odd last one; the ids are no positions."""
    order = np.arange(N) if seed is None else np.random.default_rng(seed).permutation(N)
    for start in range(0, N, size):
        place = order[start : start + size]
        yield place + 100, X[place], Y[place]


def network(rate: float, dtype: Any = jnp.float32) -> tuple[Any, Any, Any]:
    """A model, its optimizer and the jitted step that returns its logits as has_aux gives them."""
    model = nnx.Linear(WIDTH, CLASSES, dtype=dtype, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(rate), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any, labels: Any) -> Any:
        def loss_of(model: Any) -> Any:
            logits = model(x)
            return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels).mean(), logits

        (_, logits), gradient = nnx.value_and_grad(loss_of, has_aux=True)(model)
        optimizer.update(model, gradient)
        return logits

    return model, optimizer, step


def expected(model: Any) -> Any:
    p = np.asarray(jax.nn.softmax(model(X).astype(jnp.float32)))
    return p[np.arange(N), Y]


@pytest.mark.parametrize(("seed", "dtype"), [(None, jnp.float32), (3, jnp.bfloat16)])
def test_without_learning_every_epoch_is_an_evaluation_pass(seed: int | None, dtype: Any, tmp_path: Path) -> None:
    model, optimizer, step = network(0.0, dtype)
    with tm.JaxRecorder(tmp_path / "d", CLASSES) as recorder:
        for epoch in range(recorder.epoch, 2):
            for ids, x, labels in batches(None if seed is None else seed + epoch):
                recorder.update(ids, step(model, optimizer, x, labels), labels)
            recorder.end_epoch()
        assert recorder.refused == (0, 0)
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.epochs, dynamics.source, dynamics.ids.tolist()) == (2, "train", list(range(100, 100 + N)))
    for epoch in range(2):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), expected(model), atol=1e-6)


def test_learning_is_recorded_as_by_the_plain_recorder(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "plain", CLASSES) as plain, tm.JaxRecorder(tmp_path / "late", CLASSES) as late:
        model, optimizer, step = network(0.5)
        for epoch in range(3):
            for ids, x, labels in batches(epoch):
                logits = step(model, optimizer, x, jnp.asarray(labels))
                plain.update(ids, logits, labels)
                late.update(jnp.asarray(ids), logits, jnp.asarray(labels))
            plain.end_epoch()
            late.end_epoch()
    one, other = tm.Dynamics.open(tmp_path / "plain"), tm.Dynamics.open(tmp_path / "late")
    for epoch in range(3):
        np.testing.assert_array_equal(one.column(epoch, "loss"), other.column(epoch, "loss"))
    assert one.column(2, "loss").mean() < one.column(0, "loss").mean()


class OnDevice:
    """An array of a device, which tells what is asked of it."""

    is_fully_addressable = True

    def __init__(self, values: Any, told: list[str], name: str) -> None:
        self.values, self.told, self.name, self.gone = np.asarray(values), told, name, False

    def copy_to_host_async(self) -> None:
        self.told.append(f"send {self.name}")

    def is_deleted(self) -> bool:
        return self.gone

    def __array__(self, *_: Any, **__: Any) -> Any:
        self.told.append(f"wait for {self.name}")
        return self.values


def test_no_step_waits_for_its_own_arrays(tmp_path: Path) -> None:
    told: list[str] = []
    with tm.JaxRecorder(tmp_path / "d", CLASSES) as recorder:
        for number, (ids, _, labels) in enumerate(batches(None)):
            told.append(f"step {number}")
            recorder.update(ids, OnDevice(generator.normal(size=(len(ids), CLASSES)), told, f"logits {number}"), labels)
        recorder.end_epoch()
    assert told[:4] == ["step 0", "send logits 0", "step 1", "send logits 1"]
    for number in range(1, 6):
        assert told.index(f"wait for logits {number - 1}") > told.index(f"send logits {number}")
    assert told.index("wait for logits 5") > told.index("wait for logits 4")


def test_arrays_of_the_host_may_be_used_again(tmp_path: Path) -> None:
    ids, labels = np.empty(3, np.int64), np.empty(3, np.int64)
    with tm.JaxRecorder(tmp_path / "d", CLASSES) as recorder:
        for start in range(0, 9, 3):
            ids[:], labels[:] = np.arange(start, start + 3), [0, 1, 2]
            recorder.update(ids, jnp.asarray(SURE), labels)
            ids[:], labels[:] = 0, 0
        recorder.end_epoch()
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == list(range(9))


def test_what_was_donated_or_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    recorder = tm.JaxRecorder(tmp_path / "d", CLASSES, on_error="raise")
    logits = OnDevice(SURE, [], "logits")
    recorder.update([0, 1, 2], logits, [0, 1, 2])
    logits.gone = True
    with pytest.raises(tm.RecordingError, match="was donated to the next step; let the step return its logits"):
        recorder.update([3, 4, 5], SURE, [0, 1, 2])
    logits.is_fully_addressable = False
    with pytest.raises(tm.RecordingError, match=r"several machines.*shard\.data for shard in"):
        recorder.update([6, 7, 8], logits, [0, 1, 2])


def test_going_back_drops_the_batch_that_waits(tmp_path: Path) -> None:
    recorder = tm.JaxRecorder(tmp_path / "d", CLASSES, on_error="raise")
    recorder.update([0, 1, 2], jnp.asarray(SURE), [0, 1, 2])
    recorder.rewind(0)
    recorder.update([0, 1, 2], jnp.asarray(-SURE), [0, 1, 2])
    recorder.end_epoch()
    for _ in range(2):
        recorder.update([0, 1, 2], jnp.asarray(SURE), [0, 1, 2])
    with pytest.raises(tm.RecordingError, match="epoch 1: 3 ids came twice"):
        recorder.end_epoch()
    recorder.rewind(1)
    recorder.close()
    assert tm.Dynamics.open(tmp_path / "d").column(0, "p_gold")[0] < 1 / 3


def test_a_loop_that_breaks_off_keeps_the_epochs_before_and_goes_on_there(tmp_path: Path) -> None:
    model, optimizer, step = network(0.1)

    def train(breaks: bool, **how: Any) -> None:
        with tm.JaxRecorder(tmp_path / "d", CLASSES, **how) as recorder:
            for epoch in range(recorder.epoch, 2):
                for ids, x, labels in batches(epoch):
                    recorder.update(ids, step(model, optimizer, x, labels), labels)
                    if breaks and epoch == 1:
                        raise KeyboardInterrupt
                recorder.end_epoch()

    with pytest.raises(KeyboardInterrupt):
        train(breaks=True)
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1
    train(breaks=False, resume=True)
    assert tm.Dynamics.open(tmp_path / "d").epochs == 2


def test_a_bad_batch_is_left_out_and_counted(tmp_path: Path) -> None:
    with tm.JaxRecorder(tmp_path / "d", CLASSES) as recorder:
        recorder.update([0, 1, 2], jnp.asarray(SURE), [0, 1, 2])
        recorder.update([3, 4, 5], jnp.asarray(SURE), [0, 1, 7])
        recorder.end_epoch()
        assert recorder.refused == (1, 3)
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == [0, 1, 2]


SEVERAL = """
import sys
import jax, jax.numpy as jnp, numpy as np
import trainmap as tm
rank, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
with tm.JaxRecorder(folder, 3) as recorder:
    for epoch in range(2):
        mine = np.random.default_rng(epoch).permutation(12)[rank::2]
        recorder.update(mine, (3 * jnp.eye(3) - 1)[mine % 3] * (1 + epoch), mine % 3)
        recorder.end_epoch()
"""


@pytest.mark.slow
def test_two_processes_record_a_part_each(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(port), str(tmp_path / "d")]
    several = [
        subprocess.Popen(
            [sys.executable, "-c", SEVERAL, str(rank), *words],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in several]
    assert [process.returncode for process in several] == [0, 0], told
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.epochs, dynamics.ids.tolist()) == (2, list(range(12)))
    np.testing.assert_allclose(dynamics.column(1, "p_gold"), np.exp(6) / (np.exp(6) + 2), rtol=1e-6)
