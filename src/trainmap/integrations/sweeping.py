"""Sweeps, as adapters make them in a loop of others: when, over which examples, and unnoticed by the training."""

from __future__ import annotations

import os
import random
import sys
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
) -> dict[str, Any]:
    """What to say to the recorder that is made of what is recorded (``source``) and when (``step``, ``every``), where
    its user has not; ``how`` is what they say.

    Raises:
        TrainmapError: they, or their ``Recorder``, say another source than what will be given; a fold without a sweep
            over the examples that it holds.
    """
    own = isinstance(target, Recorder)
    if how.get("fold") is not None and not own:
        if sweeping is None or sweeping.data is True:
            raise TrainmapError("a fold is recorded by sweeps over what its network does not train on: say sweep=held")
        return _steps(sweeping, how)
    source = target.source if isinstance(target, Recorder) else how.get("source")
    if source is not None and (sweeping is not None) != (source != "train"):
        what, say = ("sweeps", "sweep") if sweeping is not None else ("training steps", "train")
        who = "the Recorder says" if own else "source= is"
        raise TrainmapError(f'{what} are to be recorded, and {who} "{source}": say source="{say}"')
    if own or sweeping is None:
        return {}
    return ({} if source else {"source": "sweep"}) | _steps(sweeping, how)


def _steps(sweeping: Sweeping, how: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch of the recording, where it is none of the training."""
    said = "step" in how or "every" in how
    return {} if sweeping.every is None or said else {"step": "steps", "every": sweeping.every}


@contextmanager
def undrawn() -> Iterator[None]:
    """Random numbers go on afterwards where they were: Python's, numpy's and torch's, where it is there. Items that are
    looked at may be drawn at random."""
    python, numpy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")  # noqa: NPY002
    try:
        if torch is None:
            yield
        else:
            known = getattr(torch, "accelerator", None)  # since torch 2.6; where nobody says which, it warns of several
            with torch.random.fork_rng(devices=None if known is None else range(known.device_count())):
                yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def unnoticed(model: Any) -> Iterator[None]:
    """A torch network in eval mode and without gradients; afterwards each part of it is in the mode that it came in,
    and random numbers go on where they were."""
    import torch

    from trainmap.modes import evaluating

    with undrawn(), torch.no_grad(), evaluating(model):
        yield
