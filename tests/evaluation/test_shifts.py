from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.evaluation.corruptions import CORRUPTIONS, corrupt
from trainmap.evaluation.metrics import evaluate
from trainmap.evaluation.shifts import SHIFTS, Row, as_mnist, evaluate_everywhere, load_shift, mean_corruption_error
from trainmap.models.predict import predict


class Brightest(nn.Module):
    """Class 1 where the mean is above the middle, else class 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


def bright_and_dark(n: int = 8) -> Dataset:
    y = np.arange(n, dtype=np.int64) % 2
    x = np.where(y[:, None, None, None] == 1, 160, 90).astype(np.uint8)
    return Dataset("lamps", np.arange(n, dtype=np.int64), np.broadcast_to(x, (n, 1, 12, 12)).copy(), y, 2)


def test_every_set_has_its_row_in_order() -> None:
    test = bright_and_dark()
    dark = replace(test, name="dark", x=(test.x // 2).astype(np.uint8))
    rows = evaluate_everywhere(Brightest(), test, {"at night": dark}, ["brightness", "contrast"], (1, 5))
    assert [(row.set, row.role, row.n) for row in rows] == [
        ("lamps", "test", 8),
        ("at night", "shift", 8),
        ("brightness 1", "corruption", 8),
        ("brightness 5", "corruption", 8),
        ("contrast 1", "corruption", 8),
        ("contrast 5", "corruption", 8),
    ]
    # at night both lamps are dark; brightness 5 adds 0.3 x 255 = 76 and makes both bright
    assert [row.metrics.accuracy for row in rows] == [1.0, 0.5, 1.0, 0.5, 1.0, 1.0]
    assert mean_corruption_error(rows) == pytest.approx(0.5 / 4)
    assert rows[3].metrics == evaluate(predict(Brightest(), corrupt(test, "brightness", 5)), test.y)
    assert list(rows[0].flat()) == ["set", "role", "n", "accuracy", "macro_f1", "loss", "calibration_error"]


def test_all_the_corruptions_are_seventy_five_rows() -> None:
    rows = evaluate_everywhere(Brightest(), bright_and_dark(2), corruptions=CORRUPTIONS)
    assert len([row for row in rows if row.role == "corruption"]) == 75


def test_the_seed_reaches_the_corruptions() -> None:
    def loss(seed: int) -> list[float]:
        rows: list[Row] = evaluate_everywhere(Brightest(), bright_and_dark(), None, ["gaussian_noise"], [5], seed=seed)
        return [row.metrics.loss for row in rows]

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def test_the_mode_of_the_model_is_left_as_it_was() -> None:
    model = Brightest().train()
    evaluate_everywhere(model, bright_and_dark(2), None, ["fog"], [1])
    assert model.training


def test_sets_that_do_not_fit_are_refused() -> None:
    test = bright_and_dark()
    for other in (replace(test, classes=3), replace(test, x=test.x[..., :11].copy())):
        with pytest.raises(TrainmapError, match="a shift must have the classes and inputs"):
            evaluate_everywhere(Brightest(), test, {"other": other})
    with pytest.raises(TrainmapError, match="did you mean 'snow'"):
        evaluate_everywhere(Brightest(), test, corruptions=["snw"])
    judged: list[str] = []
    with pytest.raises(TrainmapError, match=r"severities must be 1 .mild. to 5, got 6"):
        evaluate_everywhere(
            Brightest(), test, corruptions=["snow"], severities=[1, 6], on_logits=lambda name, *_: judged.append(name)
        )
    assert not judged, "hours of work before the mistake is named"
    with pytest.raises(TrainmapError, match="no row is of a corruption"):
        mean_corruption_error(evaluate_everywhere(Brightest(), test))


def test_usps_is_framed_as_mnist_is(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(1, 256, (3, 16, 16)).astype(np.uint8)
    (tmp_path / "usps").mkdir()
    np.savez(tmp_path / "usps" / "usps.npz", x_test=x, y_test=np.array([3, 9, 0], np.uint8))
    digits = load_shift("usps", tmp_path)
    assert digits.x.shape == (3, 1, 28, 28)
    assert digits.x[:, :, 4:-4, 4:-4].min() > 0
    framed = digits.x.copy()
    framed[:, :, 4:-4, 4:-4] = 0
    assert not framed.any()
    assert (digits.ids.tolist(), digits.y.tolist(), digits.classes) == ([0, 1, 2], [3, 9, 0], 10)
    flat = as_mnist(np.full((1, 16, 16), 77, np.uint8))
    assert (flat[0, 0, 4:-4, 4:-4] == 77).all()


def test_a_missing_or_wrong_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"put usps\.npz"):
        load_shift("usps", tmp_path)
    np.savez(tmp_path / "usps.npz", x_test=np.zeros((2, 16, 16)), y_test=np.zeros(2, np.int64))
    with pytest.raises(TrainmapError, match="x_test must be uint8"):
        load_shift("usps", tmp_path)
    np.savez(tmp_path / "usps.npz", x_test=np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(TrainmapError, match="missing: y_test"):
        load_shift("usps", tmp_path)
    (tmp_path / "usps.npz").write_text("no archive")
    with pytest.raises(TrainmapError, match=r"not a readable \.npz"):
        load_shift("usps", tmp_path)
    with pytest.raises(TrainmapError, match=r"Known: .*usps"):
        load_shift("svhn", tmp_path)
    assert SHIFTS["usps"].of == "mnist"
