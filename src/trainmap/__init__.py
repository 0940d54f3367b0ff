"""trainmap: record how a model learns each training example, draw the map of the dataset, train on less of it.

The names below are imported when they are first used, so that ``import trainmap`` costs next to nothing and never
imports torch or matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily
from trainmap.moved import keep_old_names

__version__ = "0.2.0"

if TYPE_CHECKING:
    from trainmap.audits.audit import audit, audit_threshold_samples
    from trainmap.audits.planted import plan_flips, plan_threshold_samples
    from trainmap.dynamics.folds import CrossFit
    from trainmap.dynamics.recorder import Recorder
    from trainmap.dynamics.signals import Block
    from trainmap.dynamics.store import Dynamics, fingerprint
    from trainmap.errors import RecordingError, StoreError, TrainmapError
    from trainmap.explorer.explored import explore
    from trainmap.integrations.attach import attach
    from trainmap.integrations.booster_metric import RecordingMetric
    from trainmap.integrations.jax_recorder import JaxRecorder
    from trainmap.integrations.keras_recorder import KerasRecorder
    from trainmap.integrations.lightning_recorder import LightningRecorder
    from trainmap.integrations.sklearn_recorder import SklearnRecorder
    from trainmap.integrations.stages import record_stages
    from trainmap.integrations.with_ids import with_ids
    from trainmap.maps.agreement import compare
    from trainmap.maps.any_table import map_from_table
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.over_seeds import intervals
    from trainmap.maps.stability import agreement_by_epoch, converged
    from trainmap.races.race import race
    from trainmap.races.raced import Race
    from trainmap.scores.compute import compute
    from trainmap.scores.table import SCORES, Score, hard_first, score
    from trainmap.selection.card import Selection
    from trainmap.selection.pool import Features
    from trainmap.selection.select import advise, select, select_by
    from trainmap.selection.strategies import STRATEGIES
    from trainmap.selection.words import parse
    from trainmap.training.cross_fit import cross_fit
    from trainmap.views.plot import plot_map
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "audits.audit": "audit audit_threshold_samples",
            "audits.planted": "plan_flips plan_threshold_samples",
            "dynamics.folds": "CrossFit",
            "dynamics.recorder": "Recorder",
            "dynamics.signals": "Block",
            "dynamics.store": "Dynamics fingerprint",
            "errors": "RecordingError StoreError TrainmapError",
            "explorer.explored": "explore",
            "integrations.attach": "attach",
            "integrations.booster_metric": "RecordingMetric",
            "integrations.jax_recorder": "JaxRecorder",
            "integrations.keras_recorder": "KerasRecorder",
            "integrations.lightning_recorder": "LightningRecorder",
            "integrations.sklearn_recorder": "SklearnRecorder",
            "integrations.stages": "record_stages",
            "integrations.with_ids": "with_ids",
            "maps.agreement": "compare",
            "maps.any_table": "map_from_table",
            "maps.datamap": "DataMap",
            "maps.over_seeds": "intervals",
            "maps.stability": "agreement_by_epoch converged",
            "races.race": "race",
            "races.raced": "Race",
            "scores.compute": "compute",
            "scores.table": "SCORES Score hard_first score",
            "selection.card": "Selection",
            "selection.pool": "Features",
            "selection.select": "advise select select_by",
            "selection.strategies": "STRATEGIES",
            "selection.words": "parse",
            "training.cross_fit": "cross_fit",
            "views.plot": "plot_map",
        },
    )

# fmt: off
__all__ = [
    "SCORES", "STRATEGIES", "Block", "CrossFit", "DataMap", "Dynamics", "Features", "JaxRecorder", "KerasRecorder",
    "LightningRecorder", "Race", "Recorder", "RecordingError", "RecordingMetric", "Score", "Selection",
    "SklearnRecorder", "StoreError", "TrainmapError", "__version__", "advise", "agreement_by_epoch", "attach", "audit",
    "audit_threshold_samples", "compare", "compute", "converged", "cross_fit", "explore", "fingerprint", "hard_first",
    "intervals", "map_from_table", "parse", "plan_flips", "plan_threshold_samples", "plot_map", "race",
    "record_stages", "score", "select", "select_by", "with_ids",
]
# fmt: on

keep_old_names()
