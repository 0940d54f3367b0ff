"""Trees that predict numbers, stage by stage, against what each library itself says of its stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

import trainmap as tm
from trainmap.errors import TrainmapError

X, Y = (np.asarray(values)[:200] for values in load_diabetes(return_X_y=True))


def xgboost_model() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=12, max_depth=3)


def lightgbm_model() -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=12, verbose=-1, min_child_samples=5)


def catboost_model() -> Any:
    from catboost import CatBoostRegressor

    return CatBoostRegressor(iterations=12, verbose=0, allow_writing_files=False)


def of_counts(package: str) -> Any:
    """A regressor that learns the logarithm and predicts the number."""
    from catboost import CatBoostRegressor
    from lightgbm import LGBMRegressor
    from xgboost import XGBRegressor

    if package == "XGBoost":
        return XGBRegressor(n_estimators=12, objective="count:poisson")
    if package == "LightGBM":
        return LGBMRegressor(n_estimators=12, objective="poisson", verbose=-1, min_child_samples=5)
    return CatBoostRegressor(
        iterations=12,
        loss_function={"Poisson": "Poisson", "Tweedie": "Tweedie:variance_power=1.5"}[package],
        verbose=0,
        allow_writing_files=False,
    )


MODELS: dict[str, Callable[[], Any]] = {
    "gradient boosting": lambda: GradientBoostingRegressor(n_estimators=12, random_state=0),
    "histogram boosting": lambda: HistGradientBoostingRegressor(max_iter=12, random_state=0),
    "AdaBoost": lambda: AdaBoostRegressor(n_estimators=12, random_state=0),
    "random forest": lambda: RandomForestRegressor(n_estimators=12, random_state=0),
    "extra trees": lambda: ExtraTreesRegressor(n_estimators=12, random_state=0),
    "bagging": lambda: BaggingRegressor(n_estimators=12, max_features=0.5, random_state=0),
    "XGBoost": xgboost_model,
    "LightGBM": lightgbm_model,
    "CatBoost": catboost_model,
    "XGBoost, counts": lambda: of_counts("XGBoost"),
    "LightGBM, counts": lambda: of_counts("LightGBM"),
    "CatBoost, counts": lambda: of_counts("Poisson"),
    "CatBoost, Tweedie": lambda: of_counts("Tweedie"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_last_stage_is_what_the_model_predicts_and_the_target_is_kept(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().fit(X, Y)
    dynamics = tm.record_stages(model, X, Y, tmp_path / "d", stages=4)
    assert (dynamics.kind, dynamics.source, len(dynamics)) == ("regression", "sweep", 200)
    assert 1 <= dynamics.epochs <= 4
    np.testing.assert_allclose(dynamics.column(dynamics.epochs - 1, "prediction"), model.predict(X), rtol=1e-5)
    np.testing.assert_allclose(dynamics.column(0, "prediction") - dynamics.column(0, "residual"), Y, rtol=1e-4)
    assert tm.DataMap.from_dynamics(dynamics).kind == "regression"


@pytest.mark.parametrize("name", ["gradient boosting", "histogram boosting", "AdaBoost"])
def test_stages_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().fit(X, Y)
    staged = list(model.staged_predict(X))
    dynamics = tm.record_stages(model, X, Y, tmp_path / "d", stages=len(staged))
    for epoch, values in enumerate(staged):
        np.testing.assert_allclose(dynamics.column(epoch, "prediction"), values, rtol=1e-5)


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_trees_that_are_weighed_anew_are_refused(package: str, tmp_path: Path) -> None:
    from lightgbm import LGBMRegressor
    from xgboost import XGBRegressor

    if package == "xgboost":
        model: Any = XGBRegressor(n_estimators=3, booster="dart", rate_drop=0.9, n_jobs=1)
    else:
        model = LGBMRegressor(n_estimators=3, boosting_type="dart", verbose=-1, n_jobs=1)
    with pytest.raises(TrainmapError, match=r"dart weighs its trees anew .* by RecordingMetric"):
        tm.record_stages(model.fit(X, Y), X, Y, tmp_path / "d")


def test_after_early_stopping_the_best_iteration_is_the_last_stage(tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=200, learning_rate=0.5, early_stopping_rounds=3)
    model.fit(X[:150], Y[:150], eval_set=[(X[150:], Y[150:])], verbose=False)
    dynamics = tm.record_stages(model, X, Y, tmp_path / "d")
    np.testing.assert_allclose(dynamics.column(dynamics.epochs - 1, "prediction"), model.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.stack([Y, Y], axis=1), "one number for each"),
        (np.where(Y > 300, np.nan, Y), "finite"),
        (["a"] * 200, "one number"),
    ],
)
def test_targets_that_are_none_are_refused(y: Any, said: str, tmp_path: Path) -> None:
    model = MODELS["random forest"]().fit(X, Y)
    with pytest.raises(TrainmapError, match=said):
        tm.record_stages(model, X, y, tmp_path / "d")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_fitted_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"not fitted|no stages"):
        tm.record_stages(MODELS[name](), X, Y, tmp_path / "d")
