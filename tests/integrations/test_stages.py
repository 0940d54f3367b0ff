"""Ensembles of trees by their stages: the recording is what the model itself predicts with that many trees."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy.sparse import coo_matrix, csc_matrix, csr_array, csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainmap import DataMap
from trainmap.errors import TrainmapError
from trainmap.integrations import record_stages
from trainmap.integrations.stages import LEAST

TREES = 12
Make = Callable[[], Any]
NO: Any = False  # annotated as text there
MODELS: dict[str, Make] = {
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=TREES, random_state=0),
    "exponential loss": lambda: GradientBoostingClassifier(n_estimators=TREES, random_state=0, loss="exponential"),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=TREES, early_stopping=NO),
    "adaboost": lambda: AdaBoostClassifier(n_estimators=TREES, random_state=0),
    "random forest": lambda: RandomForestClassifier(n_estimators=TREES, random_state=0, bootstrap=False, max_depth=3),
    "extra trees": lambda: ExtraTreesClassifier(n_estimators=TREES, random_state=0, max_depth=3),
    "bagging": lambda: BaggingClassifier(n_estimators=TREES, random_state=0, max_features=0.5),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=TREES, max_depth=3, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=TREES, num_leaves=7, n_jobs=1, verbose=-1),
    "catboost": lambda: catboost.CatBoostClassifier(
        iterations=TREES, depth=3, learning_rate=0.2, verbose=False, allow_writing_files=False, thread_count=1
    ),
}


def shorter(name: str, trees: int) -> Any:
    """The same model with fewer trees from the start: what a stage must predict."""
    model = MODELS[name]()
    count = {"histogram boosting": "max_iter", "catboost": "iterations"}.get(name, "n_estimators")
    return model.set_params(**{count: trees})


def fitted(model: Any, x: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def two() -> Any:
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(params=["two", "three"])
def data(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    x, y = load_breast_cancer(return_X_y=True) if request.param == "two" else load_wine(return_X_y=True)
    return x[::2], y[::2]


@pytest.mark.parametrize("name", MODELS)
def test_each_epoch_is_what_a_model_of_that_many_trees_predicts(
    name: str, data: tuple[Any, Any], tmp_path: Path
) -> None:
    x, y = data
    if name == "exponential loss":  # for two classes alone
        y = np.minimum(y, 1)
    model = fitted(MODELS[name](), x, y)
    dynamics = record_stages(model, x, y, tmp_path / "d", stages=4)
    assert (dynamics.epochs, dynamics.examples, dynamics.source) == (4, len(y), "sweep")
    for epoch, trees in enumerate((3, 6, 9, 12)):
        p = fitted(shorter(name, trees), x, y).predict_proba(x) if trees < TREES else model.predict_proba(x)
        p = np.maximum(p, LEAST)
        gold = (p / p.sum(1, keepdims=True))[np.arange(len(y)), y]
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), gold, rtol=2e-4, atol=2e-6)
    assert DataMap.from_dynamics(dynamics).epochs == 4


@pytest.mark.parametrize("name", MODELS)
def test_labels_may_be_words_and_ids_anything(name: str, tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x, words = x[:120], np.array(["good", "bad"])[y[:120]]
    ids = [f"patient {number}" for number in range(120)]
    if name == "xgboost":
        with pytest.raises(TrainmapError, match="is not fitted"):
            record_stages(MODELS[name](), x, words, tmp_path / "d")
        return
    model = fitted(MODELS[name](), x, words)
    dynamics = record_stages(model, x, words, tmp_path / "d", ids=ids, stages=2)
    assert dynamics.ids.tolist() == sorted(ids)
    order = np.argsort(ids)
    assert dynamics.labels.tolist() == (words[order] == "good").astype(int).tolist()
    with pytest.raises(TrainmapError, match="label 'ugly' is none of the model's classes: 'bad', 'good'"):
        record_stages(model, x, np.where(words == "good", "ugly", words), tmp_path / "e")


def test_what_xgboost_takes_for_missing_is_missing_in_the_stages(tmp_path: Path) -> None:
    x, y = two()
    x = np.where(x > np.median(x, axis=0), x, 0.0)
    model = xgboost.XGBClassifier(n_estimators=6, max_depth=3, missing=0.0, n_jobs=1).fit(x, y)
    dynamics = record_stages(model, x, y, tmp_path / "d", stages=2)
    p = model.predict_proba(x)[np.arange(len(y)), y]
    np.testing.assert_allclose(dynamics.column(1, "p_gold"), p, rtol=2e-4, atol=2e-6)


def test_fewer_stages_than_asked_for_are_all_recorded(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    assert record_stages(fitted(shorter("xgboost", 3), x, y), x, y, tmp_path / "d", stages=50).epochs == 3


def test_plain_boosters_and_early_stopping(tmp_path: Path) -> None:
    x, y = two()
    data = xgboost.DMatrix(x, y)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, data, 6)
    dynamics = record_stages(booster, data, y, tmp_path / "xgboost", stages=6)
    p = booster.predict(data)
    np.testing.assert_allclose(dynamics.column(5, "p_gold"), np.where(y == 1, p, 1 - p), rtol=1e-4, atol=2e-6)
    np.testing.assert_array_equal(booster.predict(data), p)  # the data are as they were
    held = lightgbm.Dataset(x, y)
    how = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1}
    other = lightgbm.train(how, held, 6)
    dynamics = record_stages(other, x, y, tmp_path / "lightgbm", stages=3)
    p = np.asarray(other.predict(x))
    np.testing.assert_allclose(dynamics.column(2, "p_gold"), np.where(y == 1, p, 1 - p), rtol=1e-4, atol=2e-6)
    stopped = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, learning_rate=1.0, n_jobs=1)
    stopped.fit(x[::2], y[::2], eval_set=[(x[1::2], y[1::2])], verbose=False)
    dynamics = record_stages(stopped, x[::2], y[::2], tmp_path / "stopped", stages=500)
    assert dynamics.epochs == stopped.best_iteration + 1 < 200


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (MLPClassifier(), "it learns by partial_fit: call it in a loop"),
        (LogisticRegression(), "none of its stages can be asked"),
        (RandomForestClassifier(), "is not fitted; call fit"),
        (catboost.CatBoostClassifier(), "is not fitted|has no stages; fit it first|at least two"),
        ("forest", "got str"),
    ],
)
def test_what_has_no_stages_is_told_what_to_do(model: Any, why: str, tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    with pytest.raises(TrainmapError, match=why):
        record_stages(model, x, y, tmp_path / "d")


def test_other_objectives_and_dart_are_refused(tmp_path: Path) -> None:
    x, y = two()
    data = xgboost.DMatrix(x, y)
    for params, why in (
        ({"booster": "dart"}, "dart weighs .* RecordingMetric"),
        ({"booster": "gblinear"}, "gblinear has no trees"),
        ({"objective": "reg:squarederror"}, "got reg:square"),
    ):
        booster = xgboost.train({"objective": "binary:logistic", **params}, data, 2)
        with pytest.raises(TrainmapError, match=why):
            record_stages(booster, data, y, tmp_path / "d")


@pytest.mark.parametrize(("boosting", "why"), [("rf", "rf takes the mean"), ("dart", "dart weighs .* RecordingMetric")])
def test_lightgbm_whose_stages_are_no_sums_is_refused(boosting: str, why: str, tmp_path: Path) -> None:
    x, y = two()
    how: dict[str, Any] = {"num_leaves": 4, "subsample": 0.5, "subsample_freq": 1, "verbose": -1, "n_jobs": 1}
    model = lightgbm.LGBMClassifier(boosting_type=boosting, n_estimators=3, **how).fit(x, y)
    named = {"objective": "binary", "boost": {"rf": "random_forest"}.get(boosting, boosting)}
    booster = lightgbm.train({**named, **how}, lightgbm.Dataset(x, y), 3)
    for one in (model, model.booster_, booster, lightgbm.Booster(model_str=booster.model_to_string())):
        with pytest.raises(TrainmapError, match=why):
            record_stages(one, x, y, tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["random forest", "extra trees", "bagging"])
@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix, coo_matrix, csr_array, pd.DataFrame])
def test_forests_take_sparse_examples_and_data_frames(name: str, kind: Any, tmp_path: Path) -> None:
    x, y = two()
    x = np.where(x > np.median(x, axis=0), x, 0.0)
    model = fitted(MODELS[name](), kind(x), y)
    dynamics = record_stages(model, kind(x), y, tmp_path / "d", stages=2)
    p = np.maximum(model.predict_proba(kind(x))[np.arange(len(y)), y], LEAST)
    np.testing.assert_allclose(dynamics.column(1, "p_gold"), p, rtol=2e-4, atol=2e-6)


def test_a_bag_of_what_gives_no_probabilities_is_refused_before_anything_is_removed(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    before = record_stages(fitted(MODELS["bagging"](), x, y), x, y, tmp_path / "d", stages=2)
    model = BaggingClassifier(SVC(), n_estimators=3).fit(x, y)
    with pytest.raises(TrainmapError, match=r"made of SVC, which gives no prob.* fit it to .*\(SVC\(\.\.\.\)\)"):
        record_stages(model, x, y, tmp_path / "d", overwrite=True)
    assert before.column(1, "p_gold").shape == (len(y),)
    calibrated = BaggingClassifier(CalibratedClassifierCV(SVC(), cv=3), n_estimators=2, random_state=0).fit(x, y)
    assert record_stages(calibrated, x, y, tmp_path / "e").epochs == 2


def test_predictions_and_labels_of_different_lengths_are_refused(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    model = fitted(MODELS["xgboost"](), x, y)
    with pytest.raises(TrainmapError, match=r"3 classes for each of 100 labels, got \(178, 3\)"):
        record_stages(model, x, y[:100], tmp_path / "d")


def test_what_is_not_a_sum_of_one_is_no_set_of_probabilities(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    how: dict[str, Any] = {"iterations": 3, "loss_function": "MultiClassOneVsAll", "allow_writing_files": False}
    model = catboost.CatBoostClassifier(**how, verbose=0, thread_count=1).fit(x, y)
    with pytest.raises(TrainmapError, match=r"must sum to 1, row .* one against all the others gives no such"):
        record_stages(model, x, y, tmp_path / "d")


def test_an_objective_of_the_users_own_is_told_what_to_do(tmp_path: Path) -> None:
    x, y = two()
    model = lightgbm.LGBMClassifier(n_estimators=2, objective=lambda t, p: (p - t, np.ones_like(p)), verbose=-1)
    with pytest.raises(TrainmapError, match=r"got a function of your own: record it .* by RecordingMetric"):
        record_stages(model.fit(x, y), x, y, tmp_path / "d")


@pytest.mark.parametrize("kind", [GradientBoostingClassifier, GradientBoostingRegressor])
def test_a_pipeline_and_a_search_are_their_last_step(kind: Any, tmp_path: Path) -> None:
    x, y = two()
    model = kind(n_estimators=4, random_state=0)
    searched = GridSearchCV(make_pipeline(StandardScaler(), model), {"standardscaler__with_mean": [True]}, cv=2)
    searched.fit(x, y)
    dynamics = record_stages(searched, x, y, tmp_path / "d")
    signal = "prediction" if kind is GradientBoostingRegressor else "p_gold"
    last = searched.predict(x) if signal == "prediction" else searched.predict_proba(x)[np.arange(len(y)), y]
    np.testing.assert_allclose(dynamics.column(3, signal), last, rtol=1e-5)
    with pytest.raises(TrainmapError, match="this GridSearchCV is not fitted"):
        record_stages(GridSearchCV(model, {}), x, y, tmp_path / "d")
