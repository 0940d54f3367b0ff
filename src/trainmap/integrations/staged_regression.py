"""Trees that predict numbers, as they were added: what a fitted ensemble predicts after each of its stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from trainmap.errors import TrainmapError
from trainmap.integrations.packages import of_package

Array = NDArray[Any]


@dataclass(frozen=True)
class Regressors:
    """A kind of ensemble that predicts a number.

    Attributes:
        name: for people.
        fits: whether a model is one.
        total: how many stages a fitted one has; 0 where it is not fitted.
        stages: model, examples, rising ends -> the (N,) predictions after each end.
    """

    name: str
    fits: Callable[[Any], bool]
    total: Callable[[Any], int]
    stages: Callable[[Any, Any, list[int]], Iterator[Array]]


def regressors_of(model: Any) -> Regressors | None:
    """The kind of a model; None where it is no ensemble of them."""
    return next((kind for kind in REGRESSORS if kind.fits(model)), None)


def targets_of(y: Any) -> Array:
    """(N,) float64 targets; a column of N x 1 is one of N.

    Raises:
        TrainmapError: several targets an example, or no finite numbers.
    """
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or given.dtype.kind not in "fiub":
        raise TrainmapError(f"targets must be (N,), one number for each example, got {given.dtype} {given.shape}")
    if not np.isfinite(given).all():
        raise TrainmapError(f"targets must be finite, {int((~np.isfinite(given)).sum())} of {len(given)} are not")
    return given.astype(np.float64)


def boosted_total(model: Any) -> int:
    """How many stages scikit-learn's boosting has."""
    for name in ("n_iter_", "n_estimators_"):
        if (count := getattr(model, name, None)) is not None:
            return int(count)
    return len(getattr(model, "estimators_", ()))


def at_ends(staged: Iterable[Any], ends: list[int]) -> Iterator[Array]:
    """Of predictions stage by stage, those after each end."""
    wanted = set(ends)
    for number, values in enumerate(staged, start=1):
        if number in wanted:
            yield np.asarray(values)


def _boosted(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    return at_ends(model.staged_predict(x), ends)


def _forest(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    """The mean over the first trees; a tree of a bag sees its own columns."""
    values: Any = x.tocsr() if issparse(x) else np.asarray(x)
    columns = getattr(model, "estimators_features_", None)
    total = np.zeros(values.shape[0])
    for first, last in pairwise([0, *ends]):
        for number in range(first, last):
            seen = values if columns is None else values[:, columns[number]]
            total += model.estimators_[number].predict(seen)
        yield total / last


def xgboost_told(booster: Any) -> str:
    """The objective of a booster of XGBoost.

    Raises:
        TrainmapError: one whose first trees do not predict what it predicted when it had no others.
    """
    learner = json.loads(booster.save_config())["learner"]
    refuse_dart(learner["gradient_booster"]["name"], "gbtree")
    return learner["objective"]["name"]


def lightgbm_told(booster: Any) -> list[str]:
    """The lines that a booster of LightGBM writes of itself (``booster.params`` has any of several names for a thing).

    Raises:
        TrainmapError: as ``xgboost_told``.
    """
    told = booster.model_to_string(num_iteration=1).splitlines()
    refuse_dart("dart" if "[boosting: dart]" in told else "", "gbdt")
    return told


def refuse_dart(kind: str, instead: str) -> None:
    live = f"use {instead}, or record it while it trains, by RecordingMetric"
    if kind == "dart":
        raise TrainmapError(f"dart weighs its trees anew at each stage, which a fitted model does not tell; {live}")
    if kind == "gblinear":
        raise TrainmapError(f"gblinear has no trees that could be stages; {live}")


def _xgboost_total(model: Any) -> int:
    booster = model.get_booster()
    xgboost_told(booster)
    best = booster.attr("best_iteration")
    return booster.num_boosted_rounds() if best is None else int(best) + 1


def _xgboost(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    for last in ends:
        yield np.asarray(model.predict(x, iteration_range=(0, last)))


def _lightgbm_total(model: Any) -> int:
    booster = model.booster_
    lightgbm_told(booster)
    return booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()


def _lightgbm(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    for last in ends:
        yield np.asarray(model.predict(x, num_iteration=last))


def _catboost(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    """On the scale of the targets, as ``predict`` does; ``staged_predict`` by itself gives logarithms of counts."""
    loss = str(model.get_all_params()["loss_function"]).partition(":")[0]
    scale = "Exponent" if loss in ("Poisson", "Tweedie") else "RawFormulaVal"
    return at_ends(model.staged_predict(x, prediction_type=scale, ntree_end=ends[-1], eval_period=1), ends)


def _fitted(attribute: str, total: Callable[[Any], int]) -> Callable[[Any], int]:
    """``total`` of a fitted model; 0 of one that has no trees yet."""

    def count(model: Any) -> int:
        if not hasattr(model, attribute):
            raise TrainmapError(f"this {type(model).__name__} is not fitted; call fit(x, y) first")
        return total(model)

    return count


BOOSTED = ("GradientBoostingRegressor", "HistGradientBoostingRegressor", "AdaBoostRegressor")
FORESTS = ("RandomForestRegressor", "ExtraTreesRegressor", "BaggingRegressor")
REGRESSORS = (
    Regressors(
        "scikit-learn's boosting", of_package("sklearn", *BOOSTED), _fitted("n_features_in_", boosted_total), _boosted
    ),
    Regressors(
        "scikit-learn's forests",
        of_package("sklearn", *FORESTS),
        _fitted("estimators_", lambda model: len(model.estimators_)),
        _forest,
    ),
    Regressors("XGBoost", of_package("xgboost", "XGBRegressor"), _fitted("n_features_in_", _xgboost_total), _xgboost),
    Regressors(
        "LightGBM", of_package("lightgbm", "LGBMRegressor"), _fitted("n_features_in_", _lightgbm_total), _lightgbm
    ),
    Regressors(
        "CatBoost",
        of_package("catboost", "CatBoostRegressor"),
        _fitted("feature_importances_", lambda model: int(model.tree_count_ or 0)),
        _catboost,
    ),
)
