"""Who says which examples an epoch visits: ids for each epoch, a schedule, a proxy in each batch; or all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.schedules.protocol import Schedule, Visit, check_schedule, has_learned, settings_of
from trainmap.training.checkpoint import Learned, Progress
from trainmap.training.proxy import EpochIds, ProxyFilter

Visits = EpochIds | Schedule | ProxyFilter
"""What ``fit`` takes: a function from an epoch's number to ids, a schedule, or a filter over either."""


@dataclass(frozen=True)
class Visiting:
    """A run's ``Visits``, told apart."""

    by_epoch: Callable[[int], ArrayLike] | None = None
    schedule: Schedule | None = None
    proxy: ProxyFilter | None = None

    @property
    def varies(self) -> bool:
        """Whether an epoch may be something else than all the examples."""
        return self.by_epoch is not None or self.schedule is not None

    @property
    def learned(self) -> Mapping[str, Learned | None]:
        """What a checkpoint keeps beside the network."""
        return {"schedule": self.schedule, "proxy": self.proxy}

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must agree on."""
        proxy = self.proxy
        return {
            "schedule": "none" if self.schedule is None else settings_of(self.schedule),
            "proxy": "none" if proxy is None else f"{proxy.model} {proxy.keep} {proxy.every}",
        }

    def pool(self, batch: int) -> int:
        """How many examples are drawn for a step on ``batch`` of them."""
        return batch if self.proxy is None else max(1, round(batch / self.proxy.keep))

    def plan(self, epoch: int, train: Dataset) -> Visit:
        """The examples of an epoch."""
        if self.schedule is not None:
            visit = self.schedule.plan(epoch)
        else:
            visit = Visit(train.ids if self.by_epoch is None else np.asarray(self.by_epoch(epoch)))
        if len(visit) == 0:
            raise TrainmapError(f"epoch {epoch} must visit at least one example, got no ids")
        return visit

    def check_recorded(self, recorder: Any, train: Dataset, epoch: int, visit: Visit) -> None:
        """Before an epoch is trained: whether a ``trainmap.Recorder`` will take a part of the examples."""
        if getattr(recorder, "allow_missing", True):
            return
        unique = len(np.unique(visit.ids))
        visited = unique if self.proxy is None else round(self.proxy.keep * unique)
        known = getattr(recorder, "ids", ())
        if known is None:
            alone = self.schedule is None and self.proxy is None
            known = () if alone else getattr(self.schedule, "ids", train.ids)
        if visited < len(known):
            raise TrainmapError(
                f"epoch {epoch} visits {visited} of {len(known)} examples: a recorder must know the others and allow "
                "them to be missing; make it with ids=train.ids, labels=train.y and allow_missing=True"
            )

    def check_unused(self, progress: Progress) -> None:
        """A run begins with a schedule and a proxy that have learned nothing; a checkpoint has restored its own."""
        used = "schedule" if progress.epoch == 0 and self.schedule is not None and has_learned(self.schedule) else None
        used = "proxy" if progress.steps == 0 and self.proxy is not None and self.proxy.pools else used
        if used is not None:
            raise TrainmapError(
                f"a run begins with a {used} that has seen nothing, but this one was trained with before; make a new "
                "one for each run"
            )


def told_apart(visits: Visits | None) -> Visiting:
    """Which of them it is.

    Raises:
        TrainmapError: something that is none of them.
    """
    proxy = visits if isinstance(visits, ProxyFilter) else None
    chosen = visits if proxy is None else proxy.visits
    if chosen is None:
        return Visiting(proxy=proxy)
    if callable(chosen) and not isinstance(chosen, type) and not hasattr(chosen, "plan"):
        return Visiting(by_epoch=chosen, proxy=proxy)
    check_schedule(chosen)
    return Visiting(schedule=chosen, proxy=proxy)  # type: ignore[arg-type]
