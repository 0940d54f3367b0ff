"""From other frameworks: each in a file of its own, over the one Recorder; none is imported before it is used.

Its files, in reading order::

    gold.py            labels as a framework has them
    stages.py          ensembles of trees, after they were fitted
    booster_metric.py  XGBoost and LightGBM while they train
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.integrations.booster_metric import RecordingMetric
    from trainmap.integrations.gold import Gold, gold_of
    from trainmap.integrations.stages import record_stages
else:
    __getattr__, __dir__ = lazily(
        __name__, {"booster_metric": "RecordingMetric", "gold": "Gold gold_of", "stages": "record_stages"}
    )

__all__ = ["Gold", "RecordingMetric", "gold_of", "record_stages"]
