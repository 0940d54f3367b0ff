"""Schedules: which examples each epoch visits, when that changes during training.

``SCHEDULES`` has one line for each, with its options. ``ScheduleSampler`` makes a PyTorch sampler of any of them; it
and ``FilteredBatches`` alone need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmap.schedules.infobatch import InfoBatch
from trainmap.schedules.map_guided import MapGuided
from trainmap.schedules.memory import Memory, gold_loss
from trainmap.schedules.options import Options, Run
from trainmap.schedules.ordered_loss import OrderedLoss
from trainmap.schedules.protocol import Schedule, Visit, check_schedule, has_learned, settings_of
from trainmap.schedules.repeated_auto import RepeatedAuto
from trainmap.schedules.repeated_random import DisjointRandom, IndependentRandom, RepeatedRandom
from trainmap.schedules.schedule_table import SCHEDULES

if TYPE_CHECKING:
    from trainmap.schedules.samplers import FilteredBatches, ScheduleSampler

__all__ = [
    "SCHEDULES",
    "DisjointRandom",
    "FilteredBatches",
    "IndependentRandom",
    "InfoBatch",
    "MapGuided",
    "Memory",
    "Options",
    "OrderedLoss",
    "RepeatedAuto",
    "RepeatedRandom",
    "Run",
    "Schedule",
    "ScheduleSampler",
    "Visit",
    "check_schedule",
    "gold_loss",
    "has_learned",
    "settings_of",
]


def __getattr__(name: str) -> Any:
    if name in ("FilteredBatches", "ScheduleSampler"):
        from trainmap.schedules import samplers

        return getattr(samplers, name)
    raise AttributeError(f"module 'trainmap.schedules' has no attribute '{name}'")
