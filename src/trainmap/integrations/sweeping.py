"""Sweeps, as adapters make them in a loop of others: when, over which examples, and unnoticed by the training."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import id_hash
from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError, whole

Array = NDArray[Any]


@dataclass(frozen=True)
class Sweeping:
    """What was asked for.

    Attributes:
        data: True: the training data; or the data to pass over.
        every: training steps from one sweep to the next; None: one after each epoch.
        sample: of how many examples; None: all.
    """

    data: Any
    every: int | None
    sample: int | None

    def due(self, steps: int) -> bool:
        """Whether a sweep is made after so many steps."""
        return self.every is not None and steps % self.every == 0

    def epoch(self, epoch: int, steps: int) -> int:
        """How many sweeps there have been after so many epochs, or steps."""
        return epoch if self.every is None else steps // self.every

    def places(self, ids: Array) -> Array:
        """(k,) the places of the examples of a sweep: always the same, whatever the order of the data."""
        if self.sample is None:
            return np.arange(len(ids))
        return np.sort(np.argsort(id_hash(np.asarray(ids)), kind="stable")[: self.sample])


def asked(sweep: Any, every: Any, sample: Any) -> Sweeping | None:
    """``sweep=``, ``every=`` and ``sample=`` as a user gave them, checked; None where no sweep is wanted.

    Raises:
        TrainmapError: ``every`` or ``sample`` without a sweep, or no whole number of at least 1.
    """
    swept = sweep is not False and sweep is not None
    if every != "epoch":
        whole(every, "every (steps from one sweep to the next, or 'epoch')", 1)
    if sample is not None:
        whole(sample, "sample (how many examples a sweep passes over)", 1)
    if not swept and (every != "epoch" or sample is not None):
        raise TrainmapError("every= and sample= are of sweeps: say sweep=True, or leave them out")
    return Sweeping(sweep, None if every == "epoch" else every, sample) if swept else None


def source_of(
    target: Recorder | str | os.PathLike[str], sweeping: Sweeping | None, how: Mapping[str, Any]
) -> dict[str, str]:
    """The ``source`` to say to the recorder that is made; ``how`` is what its user says to it.

    Raises:
        TrainmapError: a ``Recorder`` that says another source than what it will be given; a fold without a sweep over
            the examples that it holds.
    """
    if how.get("fold") is not None and not isinstance(target, Recorder):
        if sweeping is None or sweeping.data is True:
            raise TrainmapError("a fold is recorded by sweeps over what its network does not train on: say sweep=held")
        return {}
    if not isinstance(target, Recorder):
        return {} if sweeping is None else {"source": "sweep"}
    if (sweeping is not None) != (target.source != "train"):
        what, say = ("sweeps", "sweep") if sweeping is not None else ("training steps", "train")
        raise TrainmapError(f'{what} are to be recorded, and the Recorder says "{target.source}": say source="{say}"')
    return {}


@contextmanager
def unnoticed(model: Any) -> Iterator[None]:
    """A torch network in eval mode and without gradients; afterwards each part of it is in the mode that it came in,
    and random numbers go on where they were: Python's, numpy's and torch's."""
    import torch

    from trainmap.modes import evaluating

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(), torch.no_grad(), evaluating(model):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
