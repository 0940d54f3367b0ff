"""What every adapter must do: one small training that each framework runs behind a door of its own, and the rules.

A door trains the network ``softmax(x W + b)`` on ``JOB``'s examples by plain gradient descent and records it in
``folder/dynamics``, as a user of its framework would write it. ``doors.py`` has the table; ``test_contract.py`` holds
every door to every rule; what does not apply to a door stands in its ``without`` with the reason, and on the page.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

import trainmap as tm

N, WIDTH, CLASSES = 21, 4, 3
_generator = np.random.default_rng(0)
X = _generator.normal(size=(N, WIDTH)).astype(np.float32)
Y = np.arange(N) % CLASSES
WEIGHTS = _generator.normal(size=(WIDTH, CLASSES)).astype(np.float32)
BIAS = np.array([0.3, -0.2, 0.1], np.float32)
PLACES = np.arange(N) + 100  # ids that are no positions
NAMES = np.array([f"example {number}" for number in range(N)])


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        epochs: how many there are in all, also when it goes on.
        rate: of learning; plain gradient descent, no momentum.
        batch: examples in one.
        shuffle: seed of another order in each epoch; None: in the order of the data.
        names: ids are strings.
        accumulate: batches to one step.
        evaluate: on the same x with other labels, after each epoch.
        workers: processes that load, prefetching and persistent, where the framework has them.
        bad: a row whose label is -100 from the beginning.
        stop: (epoch, batches): breaks off after so many batches of that epoch, by ``Stopped``, or by SIGKILL.
        kill: by SIGKILL.
        saves: a checkpoint is kept at the end of each epoch, or after each batch.
        again: goes on from the checkpoint that the folder holds.
    """

    epochs: int = 2
    rate: float = 0.0
    batch: int = 4
    shuffle: int | None = None
    names: bool = False
    accumulate: int = 1
    evaluate: bool = False
    workers: int = 0
    bad: int | None = None
    stop: tuple[int, int] | None = None
    kill: bool = False
    saves: Literal["epoch", "batch"] = "epoch"
    again: bool = False

    @property
    def ids(self) -> Any:
        return NAMES if self.names else PLACES

    @property
    def labels(self) -> Any:
        labels = Y.copy()
        if self.bad is not None:
            labels[self.bad] = -100
        return labels

    def after(self, epoch: int, batches: int) -> None:
        """A door calls this when so many batches of an epoch are done, their step and checkpoint included."""
        if self.stop == (epoch, batches):
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Stopped


class Stopped(Exception):
    """A training that was broken off."""


class Door(Protocol):
    """How a framework trains a ``Job``.

    Attributes:
        without: rule -> why it does not apply.
    """

    without: Mapping[str, str]

    def train(self, folder: Path, job: Job) -> None:
        """Train, recording into ``folder/dynamics``; checkpoints go into ``folder``, however they are called."""
        ...


def expected() -> Any:
    """(N,) float64, the probability of the gold class before any training, by id ascending of either kind."""
    logits = X.astype(np.float64) @ WEIGHTS + BIAS
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True))[np.arange(N), Y]


def by_id(dynamics: tm.Dynamics, epoch: int, signal: str = "p_gold") -> dict[Any, float]:
    """id -> what was recorded of it."""
    return dict(zip(dynamics.ids.tolist(), dynamics.column(epoch, signal).tolist(), strict=True))


def as_words(job: Job) -> str:
    """A job for the command line."""
    return json.dumps(asdict(job))


def from_words(words: str) -> Job:
    told = json.loads(words)
    return Job(**{**told, "stop": None if told.get("stop") is None else tuple(told["stop"])})
