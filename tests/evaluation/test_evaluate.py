from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import calibration_error, evaluate
from trainmap.models.build import build
from trainmap.models.predict import predict, predict_pairs
from trainmap.modes import device_of


def logits_of(probabilities: list[list[float]]) -> np.ndarray:
    return np.log(np.array(probabilities))


def images(n: int = 9, size: int = 8) -> Dataset:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (n, 1, size, size)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def test_the_metrics_of_four_examples_worked_by_hand() -> None:
    logits = logits_of([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
    labels = np.array([0, 1, 1, 1])
    metrics = evaluate(logits, labels)
    assert metrics.accuracy == 0.75
    # class 0: precision 1/2, recall 1, F1 2/3; class 1: precision 1, recall 2/3, F1 4/5
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics.loss == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean())
    # four bins with one example each: |1 - .8|, |0 - .6|, |1 - .7|, |1 - .9|
    assert metrics.calibration_error == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)


def test_a_frozen_norm_stays_frozen_through_a_prediction_even_one_that_fails() -> None:
    model = build("cnn-8", 3, images().inputs, seed=0).train()
    norm = model.get_submodule("1").eval()
    table = Dataset("no images", np.arange(9), np.zeros((9, 4), np.float32), images().y, 3)
    for data, outcome in ((images(), nullcontext()), (table, pytest.raises(RuntimeError))):
        with outcome:
            predict(model, data)
        assert model.training
        assert not norm.training


def test_calibration_error_averages_inside_a_bin_before_it_takes_the_gap() -> None:
    logits = logits_of([[0.95, 0.05], [0.96, 0.04], [0.97, 0.03], [0.98, 0.02]])
    labels = np.array([0, 0, 0, 1])  # one bin (14/15, 1]: accuracy 3/4, confidence .965
    assert calibration_error(logits, labels) == pytest.approx(0.965 - 0.75)


def test_a_confidence_on_the_edge_of_a_bin_belongs_to_the_lower_bin() -> None:
    logits = logits_of([[0.5, 0.5], [0.25, 0.75]])
    labels = np.array([0, 0])  # with two bins (0, .5] and (.5, 1]: gaps |1 - .5| and |0 - .75|
    assert calibration_error(logits, labels, bins=2) == pytest.approx((0.5 + 0.75) / 2)


def test_a_certain_and_right_prediction_has_no_calibration_error() -> None:
    assert calibration_error(np.array([[1000.0, 0.0]]), np.array([0])) == 0.0


def test_the_loss_is_scikit_learns() -> None:
    draws = np.random.default_rng(1)
    logits, labels = draws.normal(size=(50, 4)).astype(np.float32), draws.integers(0, 4, 50)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    assert evaluate(logits, labels).loss == pytest.approx(log_loss(labels, probabilities, labels=range(4)))


def test_the_smaller_class_wins_a_tie() -> None:
    assert evaluate(np.zeros((2, 3)), np.array([0, 1])).accuracy == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), np.array([0]), "must be"),
        (np.zeros((0, 3)), np.zeros(0, np.int64), "N > 0"),
        (np.zeros((2, 3)), np.array([0, 3]), "0 to 2"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), "integers"),
        (np.array([[0.0, np.nan]]), np.array([0]), "finite"),
    ],
)
def test_predictions_that_cannot_be_judged_are_an_error(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        evaluate(logits, labels)


def test_predictions_come_in_row_order_as_float32_and_do_not_depend_on_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, dataset = build("cnn-8", 3, Inputs.images(1, 8), seed=0), images()
    whole = predict(model, dataset)
    monkeypatch.setattr("trainmap.models.predict.BATCH", 2)
    assert whole.dtype == np.float32
    assert whole.shape == (9, 3)
    np.testing.assert_allclose(predict(model, dataset), whole, atol=1e-5)
    np.testing.assert_allclose(predict(model, dataset.subset([4, 1])), whole[[4, 1]], atol=1e-5)


def test_flips_average_the_logits_of_the_image_and_its_mirror_image() -> None:
    model, dataset = build("cnn-8", 3, Inputs.images(1, 8), seed=0), images()
    mirrored = Dataset("made", dataset.ids, np.ascontiguousarray(dataset.x[..., ::-1]), dataset.y, 3)
    one, other = predict(model, dataset), predict(model, mirrored)
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_allclose(predict(model, dataset, flips=True), (one + other) / 2, atol=1e-5)
    np.testing.assert_allclose(predict_pairs(model, dataset), np.stack([one, other], axis=1), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_predicting_changes_neither_the_mode_nor_the_weights(training: bool) -> None:
    model = build("cnn-8", 3, Inputs.images(1, 8), seed=0).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predict(model, images())
    assert model.training is training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_predicting_nothing_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="no examples"):
        predict(build("cnn-8", 3, Inputs.images(1, 8), seed=0), images().subset([]))


def test_a_model_is_where_its_parameters_or_else_its_buffers_are() -> None:
    with torch.device("meta"):
        assert device_of(torch.nn.Linear(2, 2)) == "meta"
        assert device_of(torch.nn.BatchNorm1d(2, affine=False)) == "meta"
    assert device_of(torch.nn.ReLU()) == "cpu"
