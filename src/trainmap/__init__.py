"""trainmap: record how a model learns each training example, draw the map of the dataset, train on less of it.

The names below are imported when they are first used, so that ``import trainmap`` costs next to nothing and never
imports torch or matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from trainmap.audits.audit import audit, audit_threshold_samples
    from trainmap.audits.planted import plan_flips, plan_threshold_samples
    from trainmap.dynamics.recorder import Recorder
    from trainmap.dynamics.signals import Block
    from trainmap.dynamics.store import Dynamics, fingerprint
    from trainmap.errors import RecordingError, StoreError, TrainmapError
    from trainmap.maps.agreement import compare
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.stability import agreement_by_epoch, converged, intervals
    from trainmap.scores.compute import compute
    from trainmap.scores.table import SCORES, Score, hard_first, score
    from trainmap.selection.card import Selection
    from trainmap.selection.pool import Features
    from trainmap.selection.select import advise, select, select_by
    from trainmap.selection.strategies import STRATEGIES
    from trainmap.selection.words import parse
    from trainmap.views.plot import plot_map

_HOMES = {
    "Recorder": "dynamics.recorder",
    "Block": "dynamics.signals",
    "Dynamics": "dynamics.store",
    "fingerprint": "dynamics.store",
    "TrainmapError": "errors",
    "RecordingError": "errors",
    "StoreError": "errors",
    "DataMap": "maps.datamap",
    "SCORES": "maps.scores",
    "Score": "maps.scores",
    "compute": "maps.compute",
    "hard_first": "maps.scores",
    "Selection": "selection.card",
    "score": "maps.scores",
    "advise": "selection.select",
    "select": "selection.select",
    "select_by": "selection.select",
    "STRATEGIES": "selection.strategies",
    "Features": "selection.pool",
    "parse": "selection.spec",
    "plot_map": "views.plot",
    "audit": "maps.audit",
    "audit_threshold_samples": "maps.audit",
    "plan_flips": "maps.planted",
    "plan_threshold_samples": "maps.planted",
    "compare": "maps.agreement",
    "converged": "maps.stability",
    "agreement_by_epoch": "maps.stability",
    "intervals": "maps.stability",
}

__all__ = [
    "SCORES",
    "STRATEGIES",
    "Block",
    "DataMap",
    "Dynamics",
    "Features",
    "Recorder",
    "RecordingError",
    "Score",
    "Selection",
    "StoreError",
    "TrainmapError",
    "__version__",
    "advise",
    "agreement_by_epoch",
    "audit",
    "audit_threshold_samples",
    "compare",
    "compute",
    "converged",
    "fingerprint",
    "hard_first",
    "intervals",
    "parse",
    "plan_flips",
    "plan_threshold_samples",
    "plot_map",
    "score",
    "select",
    "select_by",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"trainmap.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'trainmap' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
