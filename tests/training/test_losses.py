from __future__ import annotations

import numpy as np
import pytest
import torch

from trainmap.errors import TrainmapError
from trainmap.training.losses import LOSSES, cross_entropy, distillation


def made(seed: int = 0, batch: int = 7, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=draws)
    labels = torch.randint(0, classes, (batch,), generator=draws)
    return logits, labels, torch.randn(batch, classes, generator=draws)


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_one_finite_value_per_example(name: str) -> None:
    logits, labels, teacher = made()
    extra = (teacher,) if name == "distillation" else ()
    values = LOSSES[name](logits, labels, *extra)
    assert values.shape == labels.shape
    assert torch.isfinite(values).all()
    assert (values >= 0).all()


def test_cross_entropy_is_minus_the_log_probability_of_the_gold_label() -> None:
    logits, labels, _ = made()
    expected = -np.log(softmax(logits.numpy().astype(float))[np.arange(7), labels])
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-5)


def test_label_smoothing_mixes_the_gold_label_with_the_uniform_distribution() -> None:
    logits, labels, _ = made()
    target = 0.7 * np.eye(5)[labels] + 0.3 / 5
    expected = -(target * np.log(softmax(logits.numpy().astype(float)))).sum(axis=1)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.3), expected, rtol=1e-5)


def test_distillation_follows_its_formula() -> None:
    logits, labels, teacher = made()
    p, q = softmax(teacher.numpy().astype(float) / 3), softmax(logits.numpy().astype(float) / 3)
    divergence = (p * np.log(p / q)).sum(axis=1)
    gold = -np.log(softmax(logits.numpy().astype(float))[np.arange(7), labels])
    values = distillation(logits, labels, teacher, temperature=3.0, weight=0.25)
    np.testing.assert_allclose(values, 0.75 * gold + 0.25 * 9 * divergence, rtol=1e-5)


def test_distillation_of_weight_zero_is_cross_entropy() -> None:
    logits, labels, teacher = made()
    torch.testing.assert_close(
        distillation(logits, labels, teacher, weight=0.0, label_smoothing=0.1), cross_entropy(logits, labels, 0.1)
    )


def test_a_student_equal_to_its_teacher_has_no_distillation_loss_and_no_gradient() -> None:
    logits, labels, _ = made()
    logits.requires_grad_()
    values = distillation(logits, labels, logits.detach().clone(), temperature=2.0, weight=1.0)
    values.sum().backward()
    assert logits.grad is not None
    assert values.abs().max() < 1e-6
    assert logits.grad.abs().max() < 1e-6


def test_no_gradient_flows_to_the_teacher() -> None:
    logits, labels, teacher = made()
    teacher.requires_grad_()
    distillation(logits.requires_grad_(), labels, teacher).sum().backward()
    assert teacher.grad is None


@pytest.mark.parametrize(("temperature", "weight"), [(0.0, 0.5), (-1.0, 0.5), (float("nan"), 0.5), (1.0, 1.1)])
def test_a_temperature_or_weight_out_of_range_is_an_error(temperature: float, weight: float) -> None:
    logits, labels, teacher = made()
    with pytest.raises(TrainmapError, match="must be"):
        distillation(logits, labels, teacher, temperature, weight)


def test_teacher_logits_of_another_shape_are_an_error() -> None:
    logits, labels, teacher = made()
    with pytest.raises(TrainmapError, match="shape"):
        distillation(logits, labels, teacher[:, :3])
