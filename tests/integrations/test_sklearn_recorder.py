"""scikit-learn while it trains: each epoch is what the model predicts at that moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import trainmap as tm
from trainmap.integrations.stages import LEAST

x, y = load_iris(return_X_y=True)
x = StandardScaler().fit_transform(x)
WORDS = np.array(["setosa", "versicolor", "virginica"])
LEARNERS: dict[str, Any] = {
    "sgd": lambda: SGDClassifier(loss="log_loss", random_state=0),
    "mlp": lambda: MLPClassifier((8,), random_state=0),
    "bayes": GaussianNB,
    "perceptron": lambda: Perceptron(random_state=0),
    "hinge": lambda: SGDClassifier(random_state=0),
}


def probabilities(model: Any, rows: Any) -> Any:
    """What the model says of the rows, in another way than the recorder's."""
    if hasattr(model, "predict_proba"):
        p = np.maximum(model.predict_proba(rows), LEAST)
        return p / p.sum(axis=1, keepdims=True)
    margins = model.decision_function(rows)
    return softmax(np.stack([0 * margins, margins], axis=1) if margins.ndim == 1 else margins, axis=1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", LEARNERS)
def test_each_epoch_is_what_the_model_predicts_after_that_pass(name: str, classes: int, tmp_path: Path) -> None:
    rows, labels = x[y < classes], WORDS[y[y < classes]]
    model, seen = LEARNERS[name](), []
    ids = [f"flower {number}" for number in range(len(rows))]
    with tm.SklearnRecorder(tmp_path / "d", ids=ids, every=2) as watch:
        for number in range(6):
            model.partial_fit(rows, labels, classes=WORDS[:classes])
            watch.record(model, rows, labels)
            if number % 2:
                seen.append(probabilities(model, rows)[np.arange(len(rows)), y[y < classes]])
    assert watch.passes == 6
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.epochs, dynamics.source) == (3, "sweep")
    order = np.argsort(ids)
    for epoch, p in enumerate(seen):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), p[order], rtol=1e-4, atol=1e-7)
    assert dynamics.labels.tolist() == y[y < classes][order].tolist()


@pytest.mark.parametrize("every", [1, 3, 100])
def test_a_callback_records_the_iterations_of_a_fit_and_its_end(every: int, tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=8, tol=1e-12)
    with tm.SklearnRecorder(tmp_path / "d", every=every) as watch, pytest.warns(Warning, match="failed to converge"):
        model.set_callbacks(watch).fit(x, WORDS[y])
    recorded = [*range(every, 9, every)] + ([8] if 8 % every else [])
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == len(recorded)
    for epoch, iterations in enumerate(recorded):
        with pytest.warns(Warning, match="failed to converge"):
            there = LogisticRegression(max_iter=iterations, tol=1e-12).fit(x, y)
        np.testing.assert_allclose(
            dynamics.column(epoch, "p_gold"), probabilities(there, x)[np.arange(len(y)), y], rtol=1e-4
        )


def test_in_a_pipeline_the_callback_belongs_to_the_step_that_iterates(tmp_path: Path) -> None:
    raw, labels = load_breast_cancer(return_X_y=True)
    recorder = tm.Recorder(tmp_path / "d", 2, source="sweep")
    last = LogisticRegression().set_callbacks(tm.SklearnRecorder(recorder))
    model = make_pipeline(StandardScaler(), last).fit(raw, labels)
    recorder.close()
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == last.n_iter_[0]
    p = probabilities(model, raw)[np.arange(len(labels)), labels]
    np.testing.assert_allclose(dynamics.column(dynamics.epochs - 1, "p_gold"), p, rtol=1e-4)


def test_a_second_fit_goes_on_after_the_first(tmp_path: Path) -> None:
    with tm.SklearnRecorder(tmp_path / "d") as watch:
        model = LogisticRegression(max_iter=200).set_callbacks(watch)
        first = model.fit(x, y).n_iter_[0]
        second = model.set_params(C=0.1).fit(x, y).n_iter_[0]
    assert tm.Dynamics.open(tmp_path / "d").epochs == watch.passes == first + second


def test_the_least_probability_of_a_forest_is_recorded_as_one_in_a_million(tmp_path: Path) -> None:
    model = RandomForestClassifier(3, random_state=0).fit(x, y)
    with tm.SklearnRecorder(tmp_path / "d") as watch:
        watch.record(model, x, y)
    loss = tm.Dynamics.open(tmp_path / "d").column(0, "loss")
    assert np.isfinite(loss).all()
    assert loss.max() <= -np.log(LEAST) + 1e-6


def test_what_does_not_fit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = tm.SklearnRecorder(tmp_path / "d", ids=[1, 2, 3], on_error="raise")
    fitted = LogisticRegression(max_iter=500).fit(x, y)
    with pytest.raises(tm.TrainmapError, match="150 rows need as many ids, got 3"):
        watch.record(fitted, x, y)
    with pytest.raises(tm.TrainmapError, match="a fitted classifier or a regressor is needed, this KMeans"):
        watch.record(KMeans(2).fit(x), x, y)
    with pytest.raises(tm.TrainmapError, match=r"of several columns must be 0 or 1, .* of this LogisticRegression"):
        watch.record(fitted, x, np.stack([y, y], axis=1))
    with pytest.raises(tm.TrainmapError, match="label 'rose' is none of the model's classes"):
        watch.record(LogisticRegression(max_iter=500).fit(x, WORDS[y]), x, ["rose"] * 150)
    with pytest.raises(tm.TrainmapError, match="every must be a whole number"):
        tm.SklearnRecorder(tmp_path / "d", every=0)
    with pytest.raises(tm.TrainmapError, match="a path is needed, got a int"):
        tm.SklearnRecorder(3)  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()
    StandardScaler().set_callbacks(tm.SklearnRecorder(tmp_path / "d")).fit(x)
    assert "this StandardScaler told no iteration" in caplog.text


def test_fewer_passes_than_every_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = GaussianNB().fit(x, y)
    with tm.SklearnRecorder(tmp_path / "d", every=4) as watch:
        for _ in range(3):
            watch.record(model, x, y)
    assert "of 3 passes none was recorded; say every= less than 4" in caplog.text
    with tm.SklearnRecorder(tmp_path / "e", every=50) as watch:
        iterations = LogisticRegression(max_iter=200).set_callbacks(watch).fit(x, y).n_iter_[0]
    assert f"of the {iterations} iterations of this LogisticRegression one was recorded, the last" in caplog.text
    assert tm.Dynamics.open(tmp_path / "e").every == 50


@pytest.mark.parametrize("kind", [SGDRegressor, MLPRegressor])
def test_a_regressor_is_recorded_by_its_predictions(kind: Any, tmp_path: Path) -> None:
    model, targets = kind(random_state=0), x[:, 0] + 2
    with tm.SklearnRecorder(tmp_path / "d") as watch:
        for _ in range(2):
            model.partial_fit(x[:, 1:], targets)
            watch.record(model, x[:, 1:], targets)
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.kind, dynamics.epochs) == ("regression", 2)
    np.testing.assert_allclose(dynamics.column(1, "residual"), model.predict(x[:, 1:]) - targets, rtol=1e-4, atol=1e-6)


def test_several_labels_an_example_are_recorded_as_such(tmp_path: Path) -> None:
    model, labels = MLPClassifier((8,), random_state=0), np.stack([y > 0, y > 1, x[:, 0] > 0], axis=1).astype(int)
    with tm.SklearnRecorder(tmp_path / "d") as watch:
        for _ in range(2):
            model.partial_fit(x, labels, classes=[0, 1, 2])
            watch.record(model, x, labels)
    dynamics, p = tm.Dynamics.open(tmp_path / "d"), np.asarray(model.predict_proba(x))
    assert (dynamics.kind, dynamics.epochs) == ("multilabel", 2)
    np.testing.assert_allclose(dynamics.column(1, "p_gold"), np.where(labels, p, 1 - p).mean(axis=1), rtol=1e-4)
