"""XGBoost and LightGBM while they train: a metric that is handed the training predictions, and records them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError, whole
from trainmap.integrations.gold import gold_of
from trainmap.integrations.stages import checked

Array = NDArray[Any]
NAME = "recorded_error"


class RecordingMetric:
    """A metric for ``xgboost.train(custom_metric=...)`` and ``lightgbm.train(feval=...)``: the error rate, and on the
    training data the predictions of every so many rounds are recorded on the way. They are there already: recording
    predicts nothing.

    ::

        metric = tm.RecordingMetric(recorder, data)             # a recorder with as_="probabilities"
        xgboost.train(params, data, 200, evals=[(data, "train")], custom_metric=metric)
        lightgbm.train(params, data, 200, valid_sets=[data], feval=metric)

    Args:
        recorder: ``Recorder(path, classes=C, source="sweep", as_="probabilities")``; it gets an epoch for each recorded
            round. Close it afterwards.
        data: the ``DMatrix`` or ``Dataset`` that is trained on; it must be among ``evals`` or ``valid_sets``.
        ids: (N,) of its rows; None: 0 to N - 1.
        every: rounds from one recorded one to the next; the round ``every`` is the first.

    The objective must be a classifier's (binary:logistic, multi:softprob; binary, multiclass), labels 0 to C - 1; not
    multi:softmax, which predicts numbers of classes.
    The metric is called "recorded_error", lower is better: name another one for early stopping. A probability below
    1e-6 is recorded as 1e-6.

    Attributes:
        rounds: that were seen of the training data.

    Raises:
        TrainmapError: a recorder that is none; when called: predictions that are no probabilities of the labels'
            classes.
    """

    __name__ = NAME

    def __init__(self, recorder: Recorder, data: Any, *, ids: Any = None, every: int = 1) -> None:
        if not isinstance(recorder, Recorder):
            raise TrainmapError(
                "recorder must be a Recorder(path, classes, source='sweep', as_='probabilities'), got "
                f"{type(recorder).__name__}"
            )
        self.recorder, self.data, self.ids, self.every = recorder, data, ids, whole(every, "every", 1)
        self.rounds = 0

    def __call__(self, predictions: Any, data: Any) -> Any:
        labels = np.asarray(data.get_label())
        if (labels != np.floor(labels)).any():
            raise TrainmapError("labels must be classes, 0 to C - 1, as whole numbers")
        gold = gold_of(labels.astype(np.int64), np.arange(self.recorder.classes))
        p = np.asarray(predictions)
        if p.size and (p.min() < 0 or p.max() > 1):
            raise TrainmapError(
                f"predictions must be probabilities, got {p.min():.3g} to {p.max():.3g}; use an objective of a "
                "classifier, such as binary:logistic or multi:softprob"
            )
        if p.size and p.ndim == 1 and np.isin(p, (0, 1)).all():
            raise TrainmapError(
                "predictions must be probabilities, all of these are exactly 0 or 1, as numbers of classes are; use "
                "multi:softprob (not multi:softmax) or binary:logistic"
            )
        p = checked(p, gold)
        if data is self.data:
            self.rounds += 1
            if self.rounds % self.every == 0:
                ids = np.arange(len(labels)) if self.ids is None else self.ids
                self.recorder.update(ids, p, gold.labels)
                self.recorder.end_epoch()
        wrong = float((p.argmax(axis=1) != gold.labels).mean())
        return (NAME, wrong, False) if type(data).__module__.startswith("lightgbm") else (NAME, wrong)
