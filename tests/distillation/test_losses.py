"""The contract that every loss keeps, and the labels' own loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainmap.distillation.inner import KERNELS, lsp
from trainmap.distillation.logits import dkd, hinton, standardised
from trainmap.distillation.losses import LOSSES, cross_entropy
from trainmap.errors import TrainmapError

BATCH, WIDTH = 9, 5


def batch(seed: int = 0, n: int = BATCH, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """What a student says, the labels, and what its teacher says: logits, or features of five values."""
    draws = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, n, WIDTH, generator=draws, dtype=dtype)
    return student, torch.randint(0, WIDTH, (n,), generator=draws), teacher


def on_logits(term: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return term


def on_features(term: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda student, labels, teacher, **options: term(student, teacher, **options)


FAMILY: dict[str, Callable[..., Tensor]] = {
    **{
        name: on_logits(loss.term) if loss.needs == "logits" else on_features(loss.term)
        for name, loss in LOSSES.items()
    },
    "standardised-dkd": standardised(dkd),
    **{f"lsp-{kernel}": on_features(partial(lsp, kernel=kernel, neighbours=3)) for kernel in KERNELS},
    "lsp-student-teacher": on_features(partial(lsp, direction="student-teacher")),
}
ALONE = ["hinton", "dkd", "standardised-hinton", "standardised-dkd", "feature-matching"]
"""Losses of an example that the others of its batch do not enter."""
WITH_TEMPERATURE = [name for name in FAMILY if name != "feature-matching"]
every = pytest.mark.parametrize("name", FAMILY)


@every
def test_a_loss_is_one_number_per_example_and_never_negative(name: str) -> None:
    values = FAMILY[name](*batch())
    assert values.shape == (BATCH,)
    assert values.dtype == torch.float64
    assert (values >= -1e-12).all()
    assert values.mean() > 0


@every
def test_a_student_like_its_teacher_has_no_loss_and_no_gradient(name: str) -> None:
    student, labels, _ = batch()
    student.requires_grad_()
    values = FAMILY[name](student, labels, student.detach().clone())
    (gradient,) = torch.autograd.grad(values.sum(), student)
    assert values.abs().max() < 1e-12
    assert gradient.abs().max() < 1e-9


@every
def test_the_gradient_is_that_of_the_values(name: str) -> None:
    student, labels, teacher = batch()
    assert torch.autograd.gradcheck(lambda z: FAMILY[name](z, labels, teacher), student.requires_grad_())


@every
def test_no_gradient_flows_to_the_teacher(name: str) -> None:
    student, labels, teacher = batch()
    FAMILY[name](student.requires_grad_(), labels, teacher.requires_grad_()).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None


@every
@pytest.mark.parametrize("size", [1e-30, 1.0, 6e4])
def test_values_and_gradients_are_finite_at_any_size(name: str, size: float) -> None:
    if name == "lsp-polynomial" and size > 1:
        size = 1e3  # fourth powers
    for seed in range(3):
        student, labels, teacher = batch(seed, dtype=torch.float32)
        student, teacher = size * student.sign(), size * teacher
        student.requires_grad_()
        values = FAMILY[name](student, labels, teacher.clamp(-6e4, 6e4).half())
        (gradient,) = torch.autograd.grad(values.mean(), student)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()


@every
def test_constant_outputs_are_finite(name: str) -> None:
    constant = torch.ones(BATCH, WIDTH, requires_grad=True)
    _, labels, teacher = batch(dtype=torch.float32)
    for student, other in ((constant, teacher), (constant, constant.detach()), (teacher.requires_grad_(), constant)):
        values = FAMILY[name](student, labels, other)
        (gradient,) = torch.autograd.grad(values.sum(), student)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()


@every
def test_a_batch_of_one_has_a_finite_loss_and_a_gradient(name: str) -> None:
    student, labels, teacher = batch(n=1)
    values = FAMILY[name](student.requires_grad_(), labels, teacher)
    (gradient,) = torch.autograd.grad(values.sum(), student)
    assert values.shape == (1,)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()


@every
def test_a_teacher_in_half_precision_is_the_same_teacher_rounded(name: str) -> None:
    student, labels, teacher = batch(dtype=torch.float32)
    rounded = teacher.half()
    values = FAMILY[name](student, labels, rounded)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, FAMILY[name](student, labels, rounded.float()), rtol=0, atol=0)


@every
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    student, labels, teacher = batch()
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    values = FAMILY[name](student, labels, teacher)
    torch.testing.assert_close(FAMILY[name](student[order], labels[order], teacher[order]), values[order])


@every
def test_a_weight_is_a_factor_of_its_example(name: str) -> None:
    data, weights = batch(), torch.linspace(0, 2, BATCH, dtype=torch.float64)
    values = FAMILY[name](*data)
    torch.testing.assert_close(FAMILY[name](*data, weight=weights), weights * values)
    torch.testing.assert_close(FAMILY[name](*data, weight=3.0), 3 * values)


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_the_same_temperature_for_each_example_is_the_temperature_of_all(name: str) -> None:
    data = batch()
    torch.testing.assert_close(
        FAMILY[name](*data, temperature=torch.full((BATCH,), 3.0)), FAMILY[name](*data, temperature=3.0)
    )


@pytest.mark.parametrize("name", ALONE)
def test_settings_per_example_are_those_of_each_example_alone(name: str) -> None:
    data = batch()
    settings = {"weight": torch.linspace(0.1, 2, BATCH), "temperature": torch.linspace(1, 8, BATCH)}
    if name not in WITH_TEMPERATURE:
        del settings["temperature"]
    values = FAMILY[name](*data, **settings)
    for row in range(BATCH):
        one: dict[str, Any] = {key: float(value[row]) for key, value in settings.items()}
        torch.testing.assert_close(FAMILY[name](*(part[row : row + 1] for part in data), **one)[0], values[row])


@every
def test_values_for_another_number_of_examples_are_an_error(name: str) -> None:
    with pytest.raises(TrainmapError, match="weight must be a number or"):
        FAMILY[name](*batch(), weight=torch.ones(BATCH - 1))
    if name in WITH_TEMPERATURE:
        with pytest.raises(TrainmapError, match="temperature must be a number or"):
            FAMILY[name](*batch(), temperature=torch.ones(BATCH - 1))


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_out_of_range_is_an_error(name: str, temperature: float) -> None:
    with pytest.raises(TrainmapError, match="temperature must be a positive number"):
        FAMILY[name](*batch(), temperature=temperature)


@every
def test_another_batch_of_the_teachers_is_an_error(name: str) -> None:
    student, labels, teacher = batch()
    with pytest.raises(TrainmapError, match="must"):
        FAMILY[name](student, labels, teacher[:3])


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_says_where_it_comes_from(name: str) -> None:
    loss = LOSSES[name]
    assert "arXiv:" in loss.source
    assert "Source:" in (inspect.getdoc(inspect.unwrap(loss.term)) or "")
    assert loss.weight > 0


# --- masked classes and large logits ---------------------------------------------------------------------------------

ON_LOGITS = ["hinton", "dkd", "dist", "standardised-hinton", "standardised-dkd"]
assert {name for name, loss in LOSSES.items() if loss.needs == "logits"} <= set(ON_LOGITS)
INF = float("inf")


def masked(values: Tensor, labels: Tensor, classes: int = 1, mask: float = -INF) -> Tensor:
    """-inf in the first of the classes after the gold one."""
    places = (labels[:, None] + 1 + torch.arange(classes)) % values.shape[1]
    return values.scatter(1, places, mask)


@pytest.mark.parametrize("name", ON_LOGITS)
@pytest.mark.parametrize("classes", [1, 2, WIDTH - 1])
@pytest.mark.parametrize("both", [False, True], ids=["teacher", "both"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("mask", [-INF, torch.finfo(torch.float32).min])
def test_a_masked_class_gives_finite_values_and_gradients(
    name: str, classes: int, both: bool, dtype: Any, mask: float
) -> None:
    student, labels, teacher = batch(dtype=torch.float32)
    student = (masked(student, labels, classes, mask) if both else student).requires_grad_()
    values = FAMILY[name](student, labels, masked(teacher, labels, classes, mask).to(dtype))
    (gradient,) = torch.autograd.grad(values.mean(), student)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()
    assert (values >= -1e-6).all()
    if both:
        assert (gradient[student == mask] == 0).all()


@pytest.mark.parametrize("name", ON_LOGITS)
@pytest.mark.parametrize("both", [False, True], ids=["teacher", "both"])
def test_a_masked_class_is_one_of_very_low_logit(name: str, both: bool) -> None:
    """Standardised logits know the difference: a mask enters no mean."""
    student, labels, teacher = batch()
    low = masked(teacher, labels, 2)
    if both:
        student = masked(student, labels, 2)
    if name.startswith("standardised"):
        inner = hinton if name.endswith("hinton") else dkd
        expected = inner(by_hand(student), labels, by_hand(low))
    else:
        expected = FAMILY[name](student.clamp_min(-1e9), labels, low.clamp_min(-1e9))
    torch.testing.assert_close(FAMILY[name](student, labels, low), expected)


def by_hand(logits: Tensor) -> Tensor:
    """Standardised, row by row, over what is not masked."""
    rows = logits.clone()
    for row in rows:
        known = row[row > -INF]
        row[row > -INF] = (known - known.mean()) / known.std(correction=0)
    return rows


def test_hinton_with_a_masked_teacher_is_the_divergence_of_torch() -> None:
    """``kl_div`` leaves out what the teacher never says; it is NaN where the student never says it either."""
    student, labels, teacher = batch()
    low = masked(teacher, labels)
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    value = hinton(ours, labels, low, temperature=3.0).mean()
    expected = 9 * F.kl_div(F.log_softmax(theirs / 3, 1), F.softmax(low / 3, 1), reduction="batchmean")
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(v, z)[0] for v, z in ((value, ours), (expected, theirs))))


def test_what_the_student_alone_masks_is_infinitely_far_from_its_teacher() -> None:
    student, labels, teacher = batch()
    assert (hinton(masked(student, labels), labels, teacher) == INF).all()


def test_a_teacher_that_masks_all_but_the_gold_class_has_nothing_to_say_of_the_others() -> None:
    student, labels, teacher = batch()
    low = masked(teacher, labels, WIDTH - 1)
    torch.testing.assert_close(dkd(student, labels, low), dkd(student, labels, low, beta=0.0))
    torch.testing.assert_close(dkd(student, labels, low, beta=0.0), hinton(student, labels, low))


@pytest.mark.parametrize("name", ON_LOGITS)
def test_large_logits_lose_no_digits(name: str) -> None:
    """In single precision 1e8 has no room for another digit; a teacher in double precision keeps its own."""
    student, labels, teacher = batch(dtype=torch.float32)
    expected = FAMILY[name](student, labels, teacher)
    torch.testing.assert_close(FAMILY[name](student, labels, 1e8 + teacher.double()), expected, rtol=1e-4, atol=1e-5)
    coarse = (student * 8).round() / 8
    values = FAMILY[name](2.0**20 + coarse, labels, teacher, temperature=3.0)
    torch.testing.assert_close(values, FAMILY[name](coarse, labels, teacher, temperature=3.0), rtol=1e-4, atol=1e-5)


# --- the labels' own loss -------------------------------------------------------------------------------------------


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def test_cross_entropy_is_minus_the_log_probability_of_the_gold_label() -> None:
    logits, labels, _ = batch()
    expected = -np.log(softmax(logits.numpy())[np.arange(BATCH), labels])
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-9)


def test_label_smoothing_mixes_the_gold_label_with_the_uniform_distribution() -> None:
    logits, labels, _ = batch()
    target = 0.7 * np.eye(WIDTH)[labels] + 0.3 / WIDTH
    expected = -(target * np.log(softmax(logits.numpy()))).sum(axis=1)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.3), expected, rtol=1e-9)


def test_the_weight_of_a_cross_entropy_is_a_factor() -> None:
    logits, labels, _ = batch()
    weights = torch.arange(BATCH) / 4
    torch.testing.assert_close(
        cross_entropy(logits, labels, 0.1, weights), weights * cross_entropy(logits, labels, 0.1)
    )
