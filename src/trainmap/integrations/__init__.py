"""From other frameworks: each in a file of its own, over the one Recorder; none is imported before it is used.

Its files, in reading order::

    gold.py            labels as a framework has them
    stages.py          ensembles of trees, after they were fitted
    booster_metric.py  XGBoost and LightGBM while they train
    own_recorder.py    the recorder of an adapter, and where its epochs go on
    sklearn_recorder.py  scikit-learn while it trains
    jax_recorder.py    JAX, one step late
    keras_recorder.py  Keras 3
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.integrations.booster_metric import RecordingMetric
    from trainmap.integrations.gold import Gold, gold_of
    from trainmap.integrations.jax_recorder import JaxRecorder
    from trainmap.integrations.keras_recorder import KerasRecorder
    from trainmap.integrations.sklearn_recorder import SklearnRecorder
    from trainmap.integrations.stages import record_stages
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "booster_metric": "RecordingMetric",
            "gold": "Gold gold_of",
            "jax_recorder": "JaxRecorder",
            "keras_recorder": "KerasRecorder",
            "sklearn_recorder": "SklearnRecorder",
            "stages": "record_stages",
        },
    )

__all__ = ["Gold", "JaxRecorder", "KerasRecorder", "RecordingMetric", "SklearnRecorder", "gold_of", "record_stages"]
