"""Trees as they were added: a fitted ensemble predicts after each of its stages, and so has training dynamics."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import expit, softmax

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, whole
from trainmap.integrations.gold import Gold, gold_of
from trainmap.integrations.packages import of_package
from trainmap.integrations.staged_regression import (
    Regressors,
    at_ends,
    boosted_total,
    lightgbm_told,
    regressors_of,
    targets_of,
    xgboost_told,
)

Array = NDArray[Any]

LEAST = 1e-6
"""A probability below it is recorded as this: a forest of few trees gives 0, and a loss would be infinite."""
NEAR_ONE = 1e-3  # how far from 1 single precision may leave the sum of probabilities


def record_stages(
    model: Any,
    x: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    ids: Any = None,
    stages: int = 20,
    overwrite: bool = False,
) -> Dynamics:
    """Record what a fitted ensemble predicts after each of some of its stages, as one epoch each.

    ::

        model = XGBClassifier().fit(x, y)
        dynamics = tm.record_stages(model, x, y, "dynamics")

    Args:
        model: a fitted classifier or regressor that adds trees one after another: scikit-learn's gradient boosting
            (plain and histogram), AdaBoost, forests and bagging; of XGBoost, LightGBM and CatBoost the estimators and
            the classifying boosters. Also as the last step of a ``Pipeline``, and what a search has refitted.
            After early stopping its best iteration is the last stage. Of a forest, which has no order, stage k is the
            mean of its first k trees.
        x: the N examples that it was fitted to, as it takes them.
        y: (N,) their labels, as it was fitted to them: numbers or words; of a regressor their targets.
        path: folder of the recording.
        ids: (N,) of the examples; None: their rows, 0 to N - 1.
        stages: how many are recorded, evenly spaced, the last among them; all where there are fewer.
        overwrite: remove the recording that is there.

    Returns:
        the recording, opened: source "sweep", an epoch for each recorded stage. Classes are numbered in the order of
        ``model.classes_`` (ascending for a booster of XGBoost or LightGBM, which know numbers alone). Of a regressor it
        is of kind "regression".

    A probability below 1e-6 is recorded as 1e-6. The cost is one prediction of all trees (of scikit-learn's boosting
    and CatBoost, of each stage; of XGBoost's and LightGBM's regressors, of each recorded stage from the first tree on).

    Raises:
        TrainmapError: a model that has no stages (what to do instead), one that is not fitted, a label that it does not
            know, x and y of different lengths.
    """
    wanted = whole(stages, "stages", 1)
    model, x = last_step(model, x)
    if (regressors := regressors_of(model)) is not None:
        return _record_numbers(regressors, model, x, y, path, ids, wanted, overwrite)
    family = _family(model)
    gold = gold_of(y, family.classes(model))
    ends = _ends(model, family.total(model), wanted)
    names = np.arange(len(gold.labels)) if ids is None else ids
    with Recorder(
        path, len(gold.classes), ids=names, labels=gold.labels, source="sweep", as_="probabilities", overwrite=overwrite
    ) as recorder:
        for p in family.stages(model, x, ends):
            recorder.update(names, checked(p, gold), gold.labels)
            recorder.end_epoch()
    return Dynamics.open(os.fspath(path))


def last_step(model: Any, x: Any) -> tuple[Any, Any]:
    """What learned, and the examples as it was given them: of a ``Pipeline`` its last step, of a search its best."""
    while True:
        if is_search(model):
            if not hasattr(model, "best_estimator_"):
                raise TrainmapError(f"this {type(model).__name__} is not fitted, or by refit=False; fit it first")
            model = model.best_estimator_
        elif is_pipeline(model):
            x = model[:-1].transform(x) if len(model.steps) > 1 else x
            model = model.steps[-1][1]
        else:
            return model, x


def _ends(model: Any, total: int, wanted: int) -> list[int]:
    """The stages that are recorded, each by how many came until then."""
    if total < 1:
        raise TrainmapError(f"this {type(model).__name__} has no stages; fit it first")
    count = min(wanted, total)
    return np.unique(np.ceil(np.arange(1, count + 1) * total / count).astype(int)).tolist()


def _record_numbers(
    kind: Regressors, model: Any, x: Any, y: Any, path: Any, ids: Any, wanted: int, overwrite: bool
) -> Dynamics:
    """The same of an ensemble that predicts numbers."""
    ends, targets = _ends(model, kind.total(model), wanted), targets_of(y)
    names = np.arange(len(targets)) if ids is None else ids
    with Recorder(path, kind="regression", source="sweep", overwrite=overwrite) as recorder:
        for values in kind.stages(model, x, ends):
            if values.shape != targets.shape:
                raise TrainmapError(
                    f"the model must predict one number for each of {len(targets)} targets, got {values.shape}"
                )
            recorder.update(names, values, targets)
            recorder.end_epoch()
    return Dynamics.open(os.fspath(path))


def checked(p: Array, gold: Gold) -> Array:
    """(N, C) probabilities, none below ``LEAST``, of as many rows as there are labels.

    Raises:
        TrainmapError: another shape; rows that do not sum to 1.
    """
    if p.ndim == 1:
        p = np.column_stack([1 - p, p])
    if p.shape != (len(gold.labels), len(gold.classes)):
        raise TrainmapError(
            f"the model must predict {len(gold.classes)} classes for each of {len(gold.labels)} labels, got {p.shape}"
        )
    p = p.astype(np.float64)
    if (far := np.abs(p.sum(axis=1) - 1)).size and far.max() > NEAR_ONE:
        raise TrainmapError(
            f"the probabilities of the classes must sum to 1, row {int(far.argmax())} sums to "
            f"{p[far.argmax()].sum():.3g}: one against all the others gives no such; train softmax (multi:softprob, "
            "multiclass, MultiClass)"
        )
    p = np.maximum(p, LEAST)
    return p / p.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Family:
    """A kind of ensemble.

    Attributes:
        name: for people.
        fits: whether a model is one.
        classes: of a fitted one, what its classes are called.
        total: how many stages it has.
        stages: model, examples, rising ends -> the (N, C) probabilities after each end.
    """

    name: str
    fits: Callable[[Any], bool]
    classes: Callable[[Any], Array]
    total: Callable[[Any], int]
    stages: Callable[[Any, Any, list[int]], Iterator[Array]]


def _family(model: Any) -> Family:
    for family in FAMILIES:
        if family.fits(model):
            return family
    name = type(model).__name__
    if hasattr(model, "partial_fit"):
        how = "it learns by partial_fit: call it in a loop and hand predict_log_proba to recorder.update each time"
    else:
        how = "none of its stages can be asked for what they predict"
    raise TrainmapError(
        f"record_stages takes a fitted classifier or regressor of {', '.join(one.name for one in FAMILIES)}, "
        f"got {name}: {how}"
    )


def _fitted_classes(model: Any) -> Array:
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise TrainmapError(f"this {type(model).__name__} is not fitted; call fit(x, y) first")
    if isinstance(classes, list):
        raise TrainmapError(f"this {type(model).__name__} has {len(classes)} outputs; record one label at a time")
    return np.asarray(classes)


# --- scikit-learn ----------------------------------------------------------------------------------------------------


def _boosted(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    return at_ends(model.staged_predict_proba(x), ends)


def _forest_total(model: Any) -> int:
    trees = getattr(model, "estimators_", ())
    if odd := [tree for tree in trees if not hasattr(tree, "predict_proba")]:
        name = type(odd[0]).__name__
        raise TrainmapError(
            f"this {type(model).__name__} is made of {name}, which gives no probabilities; fit it to an estimator that "
            f"has predict_proba, such as a tree or CalibratedClassifierCV({name}(...))"
        )
    return len(trees)


def _forest(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    """The mean over the first trees; a tree of a bag sees its own columns, and may not know every class."""
    values: Any = x.tocsr() if issparse(x) else np.asarray(x)  # a data frame's columns go by their place
    columns = getattr(model, "estimators_features_", None)
    total, known = np.zeros((values.shape[0], len(model.classes_))), np.arange(len(model.classes_))
    for first, last in pairwise([0, *ends]):
        for number in range(first, last):
            tree = model.estimators_[number]
            seen = values if columns is None else values[:, columns[number]]
            theirs = np.asarray(tree.classes_).astype(int)
            total[:, known[theirs]] += tree.predict_proba(seen)
        yield total / last


# --- boosters by margins: the trees from one stage to the next are added to what was there ---------------------------


def _as_probabilities(margin: Array) -> Array:
    margin = margin.astype(np.float64)
    if margin.ndim == 1 or margin.shape[1] == 1:
        p = expit(margin.reshape(len(margin)))
        return np.column_stack([1 - p, p])
    return softmax(margin, axis=1)


def _xgboost_booster(model: Any) -> Any:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    objective = xgboost_told(booster)
    if not objective.startswith(("binary:logistic", "binary:logitraw", "multi:soft")):
        raise TrainmapError(f"the objective must be binary:logistic or multi:softprob, got {objective}")
    return booster


def _xgboost_classes(model: Any) -> Array:
    if hasattr(model, "get_booster"):
        return _fitted_classes(model)
    count = int(json.loads(model.save_config())["learner"]["learner_model_param"]["num_class"])
    return np.arange(max(2, count))


def _xgboost_total(model: Any) -> int:
    booster = _xgboost_booster(model)
    best = booster.attr("best_iteration")
    return booster.num_boosted_rounds() if best is None else int(best) + 1


def _xgboost(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    import xgboost

    booster = _xgboost_booster(model)
    data = x if isinstance(x, xgboost.DMatrix) else xgboost.DMatrix(x, **_read_as(model))
    before = data.get_base_margin()
    try:
        for first, last in pairwise([0, *ends]):
            margin = booster.predict(data, output_margin=True, iteration_range=(first, last))
            data.set_base_margin(margin)
            yield _as_probabilities(margin)
    finally:
        data.set_base_margin(before)


def _read_as(model: Any) -> dict[str, Any]:
    """How an estimator reads its examples; a booster says nothing of it."""
    own = {name: getattr(model, name) for name in ("missing", "feature_types") if hasattr(model, "get_booster")}
    return {"enable_categorical": True} | {name: value for name, value in own.items() if value is not None}


def _lightgbm_booster(model: Any) -> Any:
    booster = model.booster_ if hasattr(model, "booster_") else model
    told = lightgbm_told(booster)
    if "[boosting: rf]" in told:
        raise TrainmapError(
            "LightGBM's rf takes the mean of its trees, whose stages are not sums; use gbdt, scikit-learn's "
            "RandomForestClassifier, or record it while it trains, by RecordingMetric"
        )
    objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split()  # one of the user's own: none
    if not objective or objective[0] not in ("binary", "multiclass"):
        got = " ".join(objective) or "a function of your own: record it while it trains, by RecordingMetric"
        raise TrainmapError(f"the objective must be binary or multiclass, got {got}")
    if (scale := [one for one in objective if one.startswith("sigmoid:")]) and scale != ["sigmoid:1"]:
        raise TrainmapError(f"the sigmoid of LightGBM must have scale 1, got {scale[0]}")
    return booster


def _lightgbm_classes(model: Any) -> Array:
    if hasattr(model, "booster_"):
        return _fitted_classes(model)
    return np.arange(max(2, model.num_model_per_iteration()))


def _lightgbm_total(model: Any) -> int:
    booster = _lightgbm_booster(model)
    return booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()


def _lightgbm(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    booster = _lightgbm_booster(model)
    total: Any = 0.0
    for first, last in pairwise([0, *ends]):
        total = total + booster.predict(x, raw_score=True, start_iteration=first, num_iteration=last - first)
        yield _as_probabilities(np.asarray(total))


def _catboost(model: Any, x: Any, ends: list[int]) -> Iterator[Array]:
    return at_ends(model.staged_predict(x, prediction_type="Probability", ntree_end=ends[-1], eval_period=1), ends)


is_search, is_pipeline = of_package("sklearn", "BaseSearchCV"), of_package("sklearn", "Pipeline")
BOOSTED = ("GradientBoostingClassifier", "HistGradientBoostingClassifier", "AdaBoostClassifier")
FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier", "BaggingClassifier")
FAMILIES = (
    Family("scikit-learn's boosting", of_package("sklearn", *BOOSTED), _fitted_classes, boosted_total, _boosted),
    Family(
        "scikit-learn's forests",
        of_package("sklearn", *FORESTS),
        _fitted_classes,
        _forest_total,
        _forest,
    ),
    Family("XGBoost", of_package("xgboost", "XGBClassifier", "Booster"), _xgboost_classes, _xgboost_total, _xgboost),
    Family(
        "LightGBM",
        of_package("lightgbm", "LGBMClassifier", "Booster"),
        _lightgbm_classes,
        _lightgbm_total,
        _lightgbm,
    ),
    Family(
        "CatBoost",
        of_package("catboost", "CatBoostClassifier"),
        _fitted_classes,
        lambda model: int(model.tree_count_ or 0),
        _catboost,
    ),
)
