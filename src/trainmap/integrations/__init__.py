"""From other frameworks: each in a file of its own, over the one Recorder; none is imported before it is used.

Its files, in reading order::

    gold.py                 labels as a framework has them
    stages.py               ensembles of trees, after they were fitted
    booster_metric.py       XGBoost and LightGBM while they train
    identified.py           a dataset whose items say who they are
    identified_streams.py   the same of a stream
    identified_columns.py   of a Hugging Face dataset
    identified_batches.py   of a loader
    with_ids.py             with_ids: the one door to these
    intake.py               what every adapter does with its recorder
    trainer_tap.py          what passes through a Trainer of Transformers or TRL
    trainer_outputs.py      what its network says, for each kind of supervision
    attachment.py           what is put on a Trainer
    attach.py               attach: the one door to these
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.integrations.booster_metric import RecordingMetric
    from trainmap.integrations.gold import Gold, gold_of
    from trainmap.integrations.identified import Identified, check_indexed, known_ids
    from trainmap.integrations.intake import Intake
    from trainmap.integrations.stages import record_stages
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "booster_metric": "RecordingMetric",
            "gold": "Gold gold_of",
            "identified": "Identified check_indexed known_ids",
            "intake": "Intake",
            "stages": "record_stages",
        },
    )

__all__ = [
    "Gold",
    "Identified",
    "Intake",
    "RecordingMetric",
    "check_indexed",
    "gold_of",
    "known_ids",
    "record_stages",
]
