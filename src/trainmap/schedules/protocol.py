"""Which examples each epoch visits, when that changes during training.

A schedule is asked before each epoch (``plan``), sees what the training step sees (``update``, as a Recorder does), and
hears of each epoch's end. Its draws depend on (seed, epoch) and on what it saw, so that ``state`` and ``restore`` make
a resumed run the uninterrupted one. ``samplers.py`` makes a PyTorch sampler of any of them::

    for epoch in range(epochs):
        visit = schedule.plan(epoch)                       # visit.ids, visit.weights
        for ids, x, labels in batches_of(visit.ids):
            logits = model(x)
            losses = cross_entropy(logits, labels, reduction="none") * visit.weights_of(ids)
            ...
            schedule.update(ids, logits, labels)
        schedule.end_epoch()

A schedule of your own is any object with these methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError
from trainmap.schedules.memory import Memory
from trainmap.schedules.places import places_of

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Visit:
    """One epoch's examples.

    Attributes:
        ids: (n,) ascending.
        weights: (n,) float64, the factors of their losses; None where all are 1.
    """

    ids: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def weights_of(self, ids: Any) -> Array:
        """(B,) float64: the weights of examples of this epoch, in the order of ``ids``."""
        places = places_of(self.ids, to_ids(ids), "this epoch's examples")
        return np.ones(len(places)) if self.weights is None else self.weights[places]


class Schedule(Protocol):
    """What ``fit`` and ``ScheduleSampler`` need."""

    def plan(self, epoch: int) -> Visit:
        """The examples of an epoch; asked again before ``update``, the same answer."""
        ...

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """What a training step saw: (B,) ids, (B, C) logits, (B,) labels."""
        ...

    def end_epoch(self) -> None: ...

    def state(self) -> dict[str, Array]:
        """What it has learned, the epoch under way included, as plain arrays."""
        ...

    def restore(self, state: Mapping[str, Array]) -> None: ...


def check_schedule(schedule: object) -> None:
    """Refuse what is no schedule: a name, a class, an object that lacks one of the methods."""
    lacking = [name for name in ("plan", "update", "end_epoch", "state", "restore") if not hasattr(schedule, name)]
    if lacking or isinstance(schedule, type):
        got = f"the class {schedule.__name__}" if isinstance(schedule, type) else repr(schedule)
        raise TrainmapError(
            "a schedule is an object with plan, update, end_epoch, state and restore, such as "
            f"InfoBatch(ids, epochs), got {got}; make one"
        )


def has_learned(schedule: Schedule) -> bool:
    """Whether a schedule of this module has seen a training step; one of the user's own tells nothing."""
    memory = getattr(schedule, "memory", None)
    return isinstance(memory, Memory) and memory.used


def settings_of(thing: object) -> str:
    """What it is and the plain values that it holds: what tells two schedules apart, or any two objects."""
    plain = {name: value for name, value in vars(thing).items() if isinstance(value, bool | int | float | str)}
    return f"{type(thing).__name__} {plain}"
