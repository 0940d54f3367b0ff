"""XGBoost and LightGBM are recorded while they train; the numbers are those of the finished model's stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_wine

from trainmap import Dynamics, Recorder
from trainmap.errors import TrainmapError
from trainmap.integrations import RecordingMetric, record_stages

ROUNDS = 9


def train(kind: str, x: Any, y: Any, metric: Any, held: Any = None) -> Any:
    classes = len(np.unique(y))
    if kind == "xgboost":
        params = {"objective": "binary:logistic"} if classes == 2 else {"objective": "multi:softprob", "num_class": 3}
        data = xgboost.DMatrix(x, y)
        metric.data = data
        evals = [(data, "train")] + ([] if held is None else [(xgboost.DMatrix(*held), "held")])
        return xgboost.train(
            {**params, "max_depth": 2, "nthread": 1},
            data,
            ROUNDS,
            evals=evals,
            custom_metric=metric,
            verbose_eval=False,
        )
    params = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": 3}
    data = lightgbm.Dataset(x, y)
    metric.data = data
    sets = [data] + ([] if held is None else [lightgbm.Dataset(*held, reference=data)])
    how = {**params, "num_leaves": 4, "verbose": -1, "num_threads": 1}
    return lightgbm.train(how, data, ROUNDS, valid_sets=sets, feval=metric)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_what_was_recorded_on_the_way_is_what_the_stages_predict(kind: str, load: Any, tmp_path: Path) -> None:
    x, y = load(return_X_y=True)
    half = slice(0, None, 2), slice(1, None, 2)
    ids = [f"row {number}" for number in range(len(y[half[0]]))]
    classes = len(np.unique(y))
    with Recorder(tmp_path / "live", classes, source="sweep", as_="probabilities") as recorder:
        metric = RecordingMetric(recorder, None, ids=ids, every=3)
        model = train(kind, x[half[0]], y[half[0]], metric, held=(x[half[1]], y[half[1]]))
    live = Dynamics.open(tmp_path / "live")
    after = record_stages(model, x[half[0]], y[half[0]], tmp_path / "after", ids=ids, stages=3)
    assert live.epochs == after.epochs == 3
    assert metric.rounds == ROUNDS
    for epoch in range(3):
        np.testing.assert_allclose(live.column(epoch, "p_gold"), after.column(epoch, "p_gold"), rtol=1e-4, atol=2e-6)


def test_predictions_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        data = xgboost.DMatrix(x, y)
        metric = RecordingMetric(recorder, data)
        with pytest.raises(TrainmapError, match="predictions must be probabilities"):
            metric(np.full(len(y), -3.0), data)
        with pytest.raises(TrainmapError, match="as whole numbers"):
            metric(np.full(len(y), 0.5), xgboost.DMatrix(x, y + 0.5))


def test_numbers_of_two_classes_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    data = xgboost.DMatrix(x, y)
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        metric = RecordingMetric(recorder, data)
        how: dict[str, Any] = {"evals": [(data, "train")], "custom_metric": metric, "verbose_eval": False}
        with pytest.raises(TrainmapError, match="exactly 0 or 1, as numbers of classes are; use multi:softprob"):
            xgboost.train({"objective": "multi:softmax", "num_class": 2, "nthread": 1}, data, 2, **how)
        xgboost.train({"objective": "multi:softprob", "num_class": 2, "nthread": 1}, data, 2, **how)
    assert Dynamics.open(tmp_path / "d").epochs == 2


@pytest.mark.parametrize("boosting", ["rf", "dart"])
def test_what_has_no_stages_afterwards_is_recorded_while_it_trains(boosting: str, tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    data, seen = lightgbm.Dataset(np.asarray(x), y), []
    params = {"objective": "binary", "boosting": boosting, "bagging_freq": 1, "bagging_fraction": 0.5, "drop_rate": 0.9}
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        lightgbm.train(
            {**params, "num_leaves": 4, "verbose": -1, "num_threads": 1},
            data,
            4,
            valid_sets=[data],
            feval=RecordingMetric(recorder, data),
            callbacks=[lambda now: seen.append(np.asarray(now.model.predict(x)))],
        )
    dynamics = Dynamics.open(tmp_path / "d")
    for epoch, p in enumerate(seen):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), np.where(y == 1, p, 1 - p), rtol=1e-5)
