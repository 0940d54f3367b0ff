"""scikit-learn while it trains: after each pass of ``partial_fit``, or as a callback where an estimator calls them."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError, whole
from trainmap.integrations.gold import Gold, gold_of
from trainmap.integrations.intake import Intake
from trainmap.integrations.staged_regression import targets_of
from trainmap.integrations.stages import LEAST, checked

Array = NDArray[Any]

log = logging.getLogger("trainmap")


class SklearnRecorder:
    """Records what a scikit-learn model predicts of its training data while it is trained, as one epoch each time.

    ::

        watch = tm.SklearnRecorder("dynamics")
        for epoch in range(20):
            model.partial_fit(x, y, classes=classes)         # SGDClassifier, MLPClassifier, Perceptron, naive Bayes
            watch.record(model, x, y)

        LogisticRegression().set_callbacks(tm.SklearnRecorder("dynamics", every=5)).fit(x, y)   # scikit-learn 1.9

    Args:
        place: the folder; or a ``Recorder``, which gets logits: ``Recorder(path, classes=C, source="sweep")``.
        ids: (N,) of the rows, integers or strings; None: 0 to N - 1.
        every: from one recorded pass (iteration) to the next; the pass ``every`` is the first. Of a ``fit`` with
            callbacks the last iteration is recorded as well.
        options: any other argument of ``Recorder``, where ``place`` is a folder.

    Attributes:
        passes: that were seen.

    Recorded is log p of ``predict_proba``, a probability below 1e-6 as 1e-6; of models without probabilities
    (``Perceptron``, hinge losses) the ``decision_function``, a margin taken for a logit: what it ranks is true, the
    confidence is that of a scale which nobody calibrated. Labels may be words; classes are numbered as
    ``model.classes_`` are. A regressor is recorded as ``kind="regression"``, a classifier of (N, L) labels 0 or 1
    (``MLPClassifier``) as ``kind="multilabel"``. Each recorded pass costs one prediction of all rows.

    A pass that cannot be recorded (a model that is not fitted or is neither, labels that it does not know, another
    number of ids than of rows) is told once and left out, so that the training goes on.

    Raises:
        TrainmapError: when it records for the first time, what ``Recorder`` refuses; with ``on_error="raise"`` what
            cannot be recorded, too.
    """

    def __init__(
        self, place: Recorder | str | os.PathLike[str], *, ids: Any = None, every: int = 1, **options: Any
    ) -> None:
        self._intake, self._begun = Intake(place, **options), False
        self.ids, self.every, self.passes = ids, whole(every, "every", 1), 0
        self._kept = 0  # of the passes
        self._last: tuple[Any, Any, Any] | None = None  # an iteration that was passed over, and may be the last

    def record(self, model: Any, x: Any, y: Any) -> None:
        """Another pass is done: record what the model predicts now, where it is the turn of this one.

        Args:
            model: a fitted classifier or regressor.
            x: the N examples that it learns from, as it takes them.
            y: (N,) their labels or targets, or (N, L) labels, as it was fitted to them.
        """
        self.passes += 1
        if self.passes % self.every == 0:
            self._record(model, x, y)

    def _record(self, model: Any, x: Any, y: Any) -> None:
        rows = range(len(y)) if hasattr(y, "__len__") else ()
        found = self._intake.read(rows, "reading the model", lambda: self._seen(model, x, y))
        if found is not None:
            ids, outputs, targets, how = found
            self._begin(ids, targets, how)
            self._intake.take(ids, outputs, targets)
            self._kept += 1
        if self._begun:
            self._intake.end_epoch()

    def _begin(self, ids: Any, targets: Array, how: dict[str, Any]) -> None:
        if not self._begun:
            known = targets if targets.ndim == 1 else None  # several labels go with each batch
            every = self.every if self.every > 1 else None
            self._intake.default(ids=ids, labels=known, source="sweep", every=every, **how)
            self._intake.begin()
            self._begun = True

    def _seen(self, model: Any, x: Any, y: Any) -> tuple[Any, Array, Array, dict[str, Any]]:
        """The ids of the rows and what ``seen_by`` finds."""
        outputs, targets, how = seen_by(model, x, y)
        ids = np.arange(len(targets)) if self.ids is None else self.ids
        if len(ids) != len(targets):
            raise TrainmapError(f"{len(targets)} rows need as many ids, got {len(ids)}")
        return ids, outputs, targets, how

    # --- scikit-learn's callbacks (sklearn.callback.FitCallback) ---

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins."""
        self._last = None
        self._before = self.passes, self._kept

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """An iteration begins."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None, fitted_estimator: Any = None
    ) -> None:
        """An iteration is over, or (last of all) the fit, with the same coefficients again."""
        if fitted_estimator is None:
            return
        if context.task_name != "fit":
            self.record(fitted_estimator, X, y)
            self._last = None if self.passes % self.every == 0 else (fitted_estimator, X, y)
        elif self._last is not None:
            self._record(*self._last)
            self._last = None

    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit is over, by its end or by an error."""
        self._last = None
        name, (passes, kept) = type(estimator).__name__, self._before
        if self.passes == passes:
            log.warning("this %s told no iteration: nothing of its fit was recorded", name)
        elif self.passes - passes > 1 and self._kept - kept == 1:
            log.warning(
                "of the %d iterations of this %s one was recorded, the last; say every= less than %d",
                self.passes - passes, name, self.every,
            )  # fmt: skip

    def close(self) -> None:
        """End the recording."""
        if self.passes and not self._begun and self.passes < self.every:
            log.warning("of %d passes none was recorded; say every= less than %d", self.passes, self.every)
        self._intake.finish()

    def __enter__(self) -> SklearnRecorder:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def seen_by(model: Any, x: Any, y: Any) -> tuple[Array, Array, dict[str, Any]]:
    """What a fitted model predicts, what it should, and what kind of recording that makes.

    Returns:
        (N, C) logits and (N,) class numbers; (N,) predictions and targets of a regressor; (N, L) probabilities and
        labels 0 or 1 of a classifier of several labels. And the arguments of ``Recorder`` for it.

    Raises:
        TrainmapError: neither; labels that the model does not know, or that are not one for each prediction.
    """
    from sklearn.base import is_regressor

    name = type(model).__name__
    if is_regressor(model):
        targets = targets_of(y)
        values = np.asarray(model.predict(x), np.float64).reshape(-1)
        if len(values) != len(targets):
            raise TrainmapError(f"{len(targets)} targets need as many predictions, this {name} gives {len(values)}")
        return values, targets, {"kind": "regression"}
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise TrainmapError(f"a fitted classifier or a regressor is needed, this {name} has no classes_")
    several = np.asarray(y)
    if several.ndim == 2 and several.shape[1] > 1:
        p: Any = np.asarray(model.predict_proba(x)) if hasattr(model, "predict_proba") else np.empty(())
        if p.shape != several.shape or not np.isin(several, (0, 1)).all():
            raise TrainmapError(
                f"labels of several columns must be 0 or 1, with a probability for each, got {several.shape} and "
                f"{p.shape} of this {name}; record one column at a time"
            )
        how = {"kind": "multilabel", "classes": p.shape[1], "as_": "probabilities"}
        return np.clip(p, LEAST, 1 - LEAST), several, how
    gold = gold_of(y, classes)
    return logits_of(model, x, gold), gold.labels, {"classes": len(gold.classes), "as_": "logits"}


def logits_of(model: Any, x: Any, gold: Gold) -> Array:
    """(N, C) log p of what a fitted classifier predicts, none below log 1e-6; of one without probabilities its margins.

    Raises:
        TrainmapError: a model with neither; as many predictions as labels are needed.
    """
    if hasattr(model, "predict_proba"):
        return np.log(checked(np.asarray(model.predict_proba(x)), gold))
    if not hasattr(model, "decision_function"):
        raise TrainmapError(f"this {type(model).__name__} has neither predict_proba nor decision_function")
    margins = np.asarray(model.decision_function(x), np.float64)
    if margins.ndim == 1:  # of the second class
        margins = np.column_stack([np.zeros(len(margins)), margins])
    if margins.shape != (len(gold.labels), len(gold.classes)):
        raise TrainmapError(
            f"the model must tell a margin of {len(gold.classes)} classes for each of {len(gold.labels)} labels, got "
            f"{margins.shape}; an SVC needs decision_function_shape='ovr'"
        )
    return margins
