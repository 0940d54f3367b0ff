"""What changes during training: which examples each epoch visits.

A new schedule is one class in a file of its own and one line in ``SCHEDULES``.

Its files, in reading order::

    protocol.py         what a schedule answers, and the schedules in their table
    places.py           the ids of a schedule, and the places of some of them
    memory.py           what a schedule remembers of every example
    options.py          what a schedule is in the table: options, limits, expected visits
    repeated_random.py  a fresh random subset in every epoch, of two kinds
    infobatch.py        half of what is easy is skipped, the rest of it weighed up
    align_prune.py      the same by how the losses went, beside those of clean examples
    seta.py             groups of like losses in a window that slides from the easy to the hard
    repb.py             what is easy within its own batch is skipped, rare visits weigh more
    ordered_loss.py     of a random pool those with the highest last loss
    map_guided.py       more of what the map so far puts first
    covering.py         each example as often as its weight says, spread evenly
    repeated_auto.py    another part by the rule of ``auto`` in every epoch
    pacing.py           how fast a curriculum grows
    curriculum.py       the order of a map made elsewhere, as fast as the pacing says
    proxy_options.py    the proxy filter as it stands in a file
    schedule_table.py   SCHEDULES
    samplers.py         a schedule as a sampler of PyTorch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.schedules.align_prune import AlignPrune
    from trainmap.schedules.covering import CoveringDraws
    from trainmap.schedules.curriculum import Curriculum, random_ranking, ranking_of
    from trainmap.schedules.infobatch import InfoBatch
    from trainmap.schedules.map_guided import MapGuided
    from trainmap.schedules.memory import LearnsNothing, Memory, gold_loss
    from trainmap.schedules.options import LIMITS, Options, Run, needed
    from trainmap.schedules.ordered_loss import OrderedLoss
    from trainmap.schedules.pacing import PACINGS
    from trainmap.schedules.protocol import Schedule, Visit, check_schedule, has_learned, settings_of
    from trainmap.schedules.proxy_options import ProxyOptions
    from trainmap.schedules.repb import RePB
    from trainmap.schedules.repeated_auto import RepeatedAuto
    from trainmap.schedules.repeated_random import DisjointRandom, IndependentRandom, RepeatedRandom
    from trainmap.schedules.samplers import FilteredBatches, ScheduleSampler
    from trainmap.schedules.schedule_table import SCHEDULES
    from trainmap.schedules.seta import SeTa
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "align_prune": "AlignPrune",
            "covering": "CoveringDraws",
            "curriculum": "Curriculum random_ranking ranking_of",
            "infobatch": "InfoBatch",
            "map_guided": "MapGuided",
            "memory": "LearnsNothing Memory gold_loss",
            "options": "LIMITS Options Run needed",
            "ordered_loss": "OrderedLoss",
            "pacing": "PACINGS",
            "protocol": "Schedule Visit check_schedule has_learned settings_of",
            "proxy_options": "ProxyOptions",
            "repeated_auto": "RepeatedAuto",
            "repeated_random": "DisjointRandom IndependentRandom RepeatedRandom",
            "repb": "RePB",
            "samplers": "FilteredBatches ScheduleSampler",
            "schedule_table": "SCHEDULES",
            "seta": "SeTa",
        },
    )

# fmt: off
__all__ = [
    "LIMITS", "PACINGS", "SCHEDULES", "AlignPrune", "CoveringDraws", "Curriculum", "DisjointRandom", "FilteredBatches",
    "IndependentRandom", "InfoBatch", "LearnsNothing", "MapGuided", "Memory", "Options", "OrderedLoss", "ProxyOptions",
    "RePB", "RepeatedAuto", "RepeatedRandom", "Run", "Schedule", "ScheduleSampler", "SeTa", "Visit", "check_schedule",
    "gold_loss", "has_learned", "needed", "random_ranking", "ranking_of", "settings_of",
]
# fmt: on
