"""XGBoost and LightGBM while they train: a metric that is handed the training predictions, and records them."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError, counted, whole
from trainmap.integrations.gold import gold_of
from trainmap.integrations.intake import Intake
from trainmap.integrations.staged_regression import targets_of
from trainmap.integrations.stages import checked

Array = NDArray[Any]
KINDS = ("classes", "regression")

log = logging.getLogger("trainmap")


class RecordingMetric:
    """For ``xgboost.train(custom_metric=...)`` and ``lightgbm.train(feval=...)``: of the training data the predictions
    of every so many rounds are recorded on the way. They are there already: recording predicts nothing.

    ::

        metric = tm.RecordingMetric(recorder, data)             # a recorder with as_="probabilities"
        xgboost.train(params, data, 200, evals=[(data, "train")], custom_metric=metric)
        lightgbm.train(params, data, 200, valid_sets=[data], feval=metric)

    Args:
        recorder: it gets an epoch for each recorded round; close it afterwards. Its ``on_error`` is "warn", if not
            said: what cannot be recorded is told once, and the model trains on. By the objective:

            - a classifier's (binary:logistic, multi:softprob; binary, multiclass):
              ``Recorder(path, classes=C, source="sweep", as_="probabilities")``;
            - one that predicts margins (binary:logitraw, a function of your own): ``as_="logits"``;
            - regression: ``Recorder(path, kind="regression", source="sweep")``.

        data: the ``DMatrix`` or ``Dataset`` that is trained on; it must be among ``evals`` or ``valid_sets``.
        ids: (N,) of its rows; None: 0 to N - 1.
        every: rounds from one recorded one to the next; the round ``every`` is the first.

    Labels of classes are 0 to C - 1; multi:softmax, which predicts numbers of classes, is refused, and margins of
    data with groups: those of a ranking compare within a group. It tells no number
    (an empty list, which both take), so that early stopping looks at the metrics that it would look at without it. A
    probability below 1e-6 is recorded as 1e-6.

    Attributes:
        rounds: that were seen of the training data. Where other data have been seen twice before them, a warning says
            that they are not among those that are evaluated.

    Raises:
        TrainmapError: a recorder that is none, or of another kind; when called, with ``on_error="raise"``: predictions
            that are no probabilities of the labels' classes; by the interfaces of scikit-learn and CatBoost, which copy
            their metrics.
    """

    __name__ = "trainmap"

    def __init__(self, recorder: Recorder, data: Any, *, ids: Any = None, every: int = 1) -> None:
        if not isinstance(recorder, Recorder):
            raise TrainmapError(
                "recorder must be a Recorder(path, classes, source='sweep', as_='probabilities'), got "
                f"{type(recorder).__name__}"
            )
        if recorder.kind not in KINDS:
            raise TrainmapError(f"a metric records kinds {', '.join(KINDS)}, the Recorder is of kind {recorder.kind!r}")
        self._intake = Intake(recorder)
        self.recorder, self.data, self.ids, self.every = recorder, data, ids, whole(every, "every", 1)
        self.rounds = 0
        self._others: list[Any] | None = []  # data that were seen before the training data

    def __call__(self, predictions: Any, data: Any) -> list[Any]:
        if not hasattr(data, "get_label"):
            _elsewhere("calls it without its data")
        if data is not self.data:
            self._miss(data)
            return []
        self.rounds += 1
        if self.rounds < self.every:
            seen = counted(self.rounds, "round")
            self.recorder.so_far = f"RecordingMetric saw {seen} and records one of every={self.every}; say fewer"
        elif self.rounds % self.every == 0:
            ids = np.arange(len(predictions)) if self.ids is None else self.ids
            if found := self._intake.read(ids, "reading the predictions", lambda: self._read(predictions, data)):
                self._intake.take(ids, *found)
            self._intake.end_epoch()
        return []

    def _read(self, predictions: Any, data: Any) -> tuple[Array, Array]:
        """What is recorded of the predictions, and of the labels."""
        predictions, labels = np.asarray(predictions), np.asarray(data.get_label())
        if self.recorder.kind == "regression":
            return predictions, targets_of(labels)
        if (labels != np.floor(labels)).any():
            raise TrainmapError(
                "labels must be classes, 0 to C - 1, as whole numbers; numbers are recorded by "
                "Recorder(path, kind='regression', source='sweep')"
            )
        gold = gold_of(labels.astype(np.int64), np.arange(self.recorder.classes))
        if self.recorder.as_ == "logits":
            groups = data.get_group() if hasattr(data, "get_group") else None
            if groups is not None and len(groups):
                raise TrainmapError(
                    f"these data have {len(groups)} groups, as a ranking has (rank:ndcg, lambdarank): its scores "
                    "compare within a group and are no logits of a class; a classifier of grouped rows is recorded by "
                    "binary:logistic and as_='probabilities'"
                )
            return predictions, gold.labels
        if predictions.size and (predictions.min() < 0 or predictions.max() > 1):
            raise TrainmapError(
                f"predictions must be probabilities, got {predictions.min():.3g} to {predictions.max():.3g}; use an "
                "objective of a classifier, such as binary:logistic or multi:softprob; an objective that predicts "
                "margins is recorded by Recorder(..., as_='logits')"
            )
        if predictions.size and predictions.ndim == 1 and np.isin(predictions, (0, 1)).all():
            raise TrainmapError(
                "predictions must be probabilities, all of these are exactly 0 or 1, as numbers of classes are; use "
                "multi:softprob (not multi:softmax) or binary:logistic"
            )
        return checked(predictions, gold), gold.labels

    def _miss(self, data: Any) -> None:
        """Other data. Where they come a second time and the training data have not come, a round is over without."""
        if self.rounds or self._others is None:
            return
        if not any(data is one for one in self._others):
            self._others.append(data)
            return
        self._others = None  # it was told
        log.warning(
            "nothing is recorded: the data that RecordingMetric was given are not evaluated; name them too, "
            "evals=[(data, 'train'), ...] or valid_sets=[data, ...] (folds of cv are other data)"
        )

    def __deepcopy__(self, memo: Any) -> NoReturn:
        _elsewhere("copies its metrics")


def _elsewhere(why: str) -> NoReturn:
    raise TrainmapError(
        "RecordingMetric goes into xgboost.train(custom_metric=) or lightgbm.train(feval=), not where it was put, "
        f"which {why}; after fit, trainmap.record_stages(model, x, y, path) does it"
    )
