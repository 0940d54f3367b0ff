"""From other frameworks: each in a file of its own, over the one Recorder; none is imported before it is used.

Its files, in reading order::

    gold.py                 labels as a framework has them
    packages.py             of which package a model is
    staged_regression.py    ensembles of trees that predict numbers
    stages.py               ensembles of trees, after they were fitted
    booster_metric.py       XGBoost and LightGBM while they train
    identified.py           a dataset whose items say who they are
    identified_streams.py   the same of a stream
    identified_columns.py   of a Hugging Face dataset
    identified_batches.py   of a loader
    with_ids.py             with_ids: the one door to these
    intake.py               what every adapter does with its recorder
    class_labels.py         labels where a batch has them
    sweeping.py             when an adapter makes a sweep, over which examples, unnoticed
    trainer_tap.py          what passes through a Trainer of Transformers or TRL
    trainer_outputs.py      what its network says, for each kind of supervision
    grpo_rewards.py         what the generations of a prompt earned
    attachment.py           what is put on a Trainer
    attach.py               attach: the one door to these
    sklearn_recorder.py     scikit-learn while it trains
    jax_recorder.py         JAX, one step late
    lightning_batches.py    batches of Lightning beside their ids
    keras_told.py           what a compiled Keras model tells of its kind
    keras_loaders.py        torch's loaders as Keras trains on them
    keras_sweep.py          the arrays that a sweep of Keras passes over
    keras_recorder.py       Keras 3
    lightning_recorder.py   Lightning
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.integrations.booster_metric import RecordingMetric
    from trainmap.integrations.gold import Gold, gold_of
    from trainmap.integrations.identified import Identified, check_indexed, known_ids
    from trainmap.integrations.intake import Intake
    from trainmap.integrations.jax_recorder import JaxRecorder
    from trainmap.integrations.keras_recorder import KerasRecorder
    from trainmap.integrations.lightning_recorder import LightningRecorder
    from trainmap.integrations.sklearn_recorder import SklearnRecorder
    from trainmap.integrations.stages import record_stages
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "booster_metric": "RecordingMetric",
            "gold": "Gold gold_of",
            "identified": "Identified check_indexed known_ids",
            "intake": "Intake",
            "jax_recorder": "JaxRecorder",
            "keras_recorder": "KerasRecorder",
            "lightning_recorder": "LightningRecorder",
            "sklearn_recorder": "SklearnRecorder",
            "stages": "record_stages",
        },
    )

__all__ = [
    "Gold",
    "Identified",
    "Intake",
    "JaxRecorder",
    "KerasRecorder",
    "LightningRecorder",
    "RecordingMetric",
    "SklearnRecorder",
    "check_indexed",
    "gold_of",
    "known_ids",
    "record_stages",
]
