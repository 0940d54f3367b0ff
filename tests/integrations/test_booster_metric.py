"""XGBoost and LightGBM are recorded while they train; the numbers are those of the finished model's stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
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
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities", on_error="raise") as recorder:
        data = xgboost.DMatrix(x, y)
        metric = RecordingMetric(recorder, data)
        with pytest.raises(TrainmapError, match="predictions must be probabilities"):
            metric(np.full(len(y), -3.0), data)
        between = xgboost.DMatrix(x, y + 0.5)
        with pytest.raises(TrainmapError, match=r"as whole numbers; numbers are recorded by .*kind='regression'"):
            RecordingMetric(recorder, between)(np.full(len(y), 0.5), between)


def test_numbers_of_two_classes_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    data = xgboost.DMatrix(x, y)
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities", on_error="raise") as recorder:
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


def early(package: str, x: Any, y: Any, metric: Any) -> Any:
    """A training that is stopped early by its held-out loss; the metric, where there is one, is told its data."""
    half = slice(0, None, 2), slice(1, None, 2)
    if package == "xgboost":
        data: Any = xgboost.DMatrix(x[half[0]], y[half[0]])
        held: Any = xgboost.DMatrix(x[half[1]], y[half[1]])
        evals = [(data, "train"), (held, "held")]
        more: dict[str, Any] = {"evals": evals, "early_stopping_rounds": 3, "verbose_eval": False}
        call, name, params = xgboost.train, "custom_metric", {"objective": "binary:logistic", "nthread": 1}
    else:
        data = lightgbm.Dataset(x[half[0]], y[half[0]])
        held = lightgbm.Dataset(x[half[1]], y[half[1]], reference=data)
        stop = lightgbm.early_stopping(3, verbose=False)
        more = {"valid_sets": [data, held], "callbacks": [stop]}
        call, name, params = lightgbm.train, "feval", {"objective": "binary", "verbose": -1, "num_threads": 1}
    if metric is not None:
        metric.data = data
        more[name] = metric
    return call(params, data, 60, **more)


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_early_stopping_is_what_it_is_without_recording(package: str, tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:120], np.where(np.arange(120) % 7 == 0, 1 - y[:120], y[:120])  # some wrong, so that a loss turns soon
    without = early(package, x, y, None)
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        recorded = early(package, x, y, RecordingMetric(recorder, None))
    assert recorded.best_iteration == without.best_iteration < 50
    assert Dynamics.open(tmp_path / "d").epochs >= without.best_iteration


def margins(predictions: Any, data: Any) -> tuple[Any, Any]:
    """The objective of two classes, as a user writes it: it predicts margins."""
    p = 1 / (1 + np.exp(-predictions))
    return p - data.get_label(), p * (1 - p)


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("kind", ["regression", "margins"])
def test_an_objective_of_another_kind_is_recorded_as_its_recorder_says(kind: str, package: str, tmp_path: Path) -> None:
    rows: Any = load_breast_cancer(return_X_y=True)
    x, y = rows
    y = x[:, 0].copy() if kind == "regression" else y
    how: Any = {"kind": "regression"} if kind == "regression" else {"classes": 2, "as_": "logits"}
    with Recorder(tmp_path / "d", source="sweep", **how) as recorder:
        data: Any = xgboost.DMatrix(x, y) if package == "xgboost" else lightgbm.Dataset(x, y)
        metric = RecordingMetric(recorder, data, every=2)
        if package == "xgboost":
            goal: Any = {} if kind == "regression" else {"obj": margins}
            more: Any = {"evals": [(data, "train")], "custom_metric": metric, "verbose_eval": False, **goal}
            model: Any = xgboost.train({"nthread": 1}, data, 4, **more)
            last = model.predict(data, output_margin=True)
        else:
            objective: Any = "regression" if kind == "regression" else margins
            params = {"objective": objective, "verbose": -1, "num_threads": 1}
            model = lightgbm.train(params, data, 4, valid_sets=[data], feval=metric)
            last = np.asarray(model.predict(x, raw_score=True))
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == 2
    if kind == "regression":
        np.testing.assert_allclose(dynamics.column(1, "prediction"), last, rtol=1e-5)
    else:
        p = 1 / (1 + np.exp(-last))
        np.testing.assert_allclose(dynamics.column(1, "p_gold"), np.where(y == 1, p, 1 - p), rtol=1e-4)


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_scores_of_a_ranking_are_no_logits(package: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows: Any = load_breast_cancer(return_X_y=True)
    x, y = rows[0][:200], rows[1][:200]
    with Recorder(tmp_path / "d", 2, source="sweep", as_="logits") as recorder:
        if package == "xgboost":
            data: Any = xgboost.DMatrix(x, y, qid=np.arange(200) // 20)
            more: Any = {"evals": [(data, "train")], "custom_metric": RecordingMetric(recorder, data)}
            params: Any = {"objective": "rank:pairwise", "nthread": 1}
            model = xgboost.train(params, data, 3, verbose_eval=False, **more)
            assert model.num_boosted_rounds() == 3
        else:
            data = lightgbm.Dataset(x, y, group=[20] * 10)
            more = {"valid_sets": [data], "feval": RecordingMetric(recorder, data)}
            params = {"objective": "lambdarank", "verbose": -1, "num_threads": 1}
            assert lightgbm.train(params, data, 3, **more).current_iteration() == 3
        assert recorder.refused == (3, 600)
    assert caplog.text.count("these data have 10 groups, as a ranking has") == 1


def test_a_training_of_too_few_rounds_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        train("xgboost", x, y, RecordingMetric(recorder, None, every=10))
    assert "nothing was recorded: RecordingMetric saw 9 rounds and records one of every=10; say fewer" in caplog.text


def test_data_that_are_not_evaluated_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    data, held = xgboost.DMatrix(x, y), xgboost.DMatrix(x[::2], y[::2])
    with Recorder(tmp_path / "d", 2, source="sweep", as_="probabilities") as recorder:
        metric = RecordingMetric(recorder, data)
        params = {"objective": "binary:logistic", "nthread": 1}
        xgboost.train(params, data, 4, evals=[(held, "held")], custom_metric=metric, verbose_eval=False)
    assert caplog.text.count("the data that RecordingMetric was given are not evaluated; name them too") == 1


def test_elsewhere_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    rows: Any = load_wine(return_X_y=True)
    x, y = rows
    with Recorder(tmp_path / "d", 3, source="sweep", as_="probabilities") as recorder:
        metric: Any = RecordingMetric(recorder, None)
        for fit in (
            lambda: xgboost.XGBClassifier(n_estimators=2, eval_metric=metric).fit(x, y, eval_set=[(x, y)]),
            lambda: lightgbm.LGBMClassifier(n_estimators=2).fit(x, y, eval_set=[(x, y)], eval_metric=metric),
            lambda: catboost.CatBoostClassifier(iterations=2, eval_metric=metric).fit(x, y),
        ):
            with pytest.raises(TrainmapError, match=r"goes into xgboost.train\(custom_metric=\).* after fit, .*stages"):
                fit()
    with (
        Recorder(tmp_path / "t", kind="tokens") as tokens,
        pytest.raises(TrainmapError, match="records kinds classes, regression, the Recorder is of kind 'tokens'"),
    ):
        RecordingMetric(tokens, None)
