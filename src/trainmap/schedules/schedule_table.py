"""Every schedule that an experiment can name, in one table. A new one is a file and a line."""

from __future__ import annotations

from collections.abc import Mapping

from trainmap.schedules.align_prune import AlignPruneOptions
from trainmap.schedules.curriculum import CurriculumOptions
from trainmap.schedules.infobatch import InfoBatchOptions
from trainmap.schedules.map_guided import MapGuidedOptions
from trainmap.schedules.options import Options
from trainmap.schedules.ordered_loss import OrderedLossOptions
from trainmap.schedules.proxy_options import ProxyOptions
from trainmap.schedules.repb import RePBOptions
from trainmap.schedules.repeated_auto import RepeatedAutoOptions
from trainmap.schedules.repeated_random import (
    DisjointRandomOptions,
    IndependentRandomOptions,
    RepeatedRandomOptions,
)
from trainmap.schedules.seta import SeTaOptions

SCHEDULES: Mapping[str, type[Options]] = {
    "infobatch": InfoBatchOptions,
    "seta": SeTaOptions,
    "repb": RePBOptions,
    "align-prune": AlignPruneOptions,
    "ordered-loss": OrderedLossOptions,
    "map-guided": MapGuidedOptions,
    "repeated-random": RepeatedRandomOptions,
    "independent-random": IndependentRandomOptions,
    "disjoint-random": DisjointRandomOptions,
    "repeated-auto": RepeatedAutoOptions,
    "curriculum": CurriculumOptions,
    "proxy": ProxyOptions,
}
