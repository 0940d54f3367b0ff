"""What changes during training: which examples each epoch visits.

A new schedule is one class in a file of its own and one line in ``SCHEDULES``.

Its files, in reading order::

    protocol.py       what a schedule answers, and the schedules in their table
    repeated_auto.py  a fresh draw of ``auto`` in every epoch
    samplers.py       a schedule as a sampler of PyTorch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.schedules.protocol import (
        SCHEDULES,
        InfoBatch,
        MapGuided,
        Memory,
        OrderedLoss,
        RepeatedRandom,
        Schedule,
        Visit,
        check_schedule,
        gold_loss,
        has_learned,
        settings_of,
    )
    from trainmap.schedules.repeated_auto import RepeatedAuto
    from trainmap.schedules.samplers import FilteredBatches, ScheduleSampler
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "protocol": (
                "SCHEDULES InfoBatch MapGuided Memory OrderedLoss RepeatedRandom Schedule Visit check_schedule "
                "gold_loss has_learned settings_of"
            ),
            "repeated_auto": "RepeatedAuto",
            "samplers": "FilteredBatches ScheduleSampler",
        },
    )

# fmt: off
__all__ = [
    "SCHEDULES", "FilteredBatches", "InfoBatch", "MapGuided", "Memory", "OrderedLoss", "RepeatedAuto",
    "RepeatedRandom", "Schedule", "ScheduleSampler", "Visit", "check_schedule", "gold_loss", "has_learned",
    "settings_of",
]
# fmt: on
