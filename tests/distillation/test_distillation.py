"""The losses on logits, each against its formula in plain loops and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainmap.distillation.logits import dist, dkd, hinton, standardised
from trainmap.errors import TrainmapError


def made(n: int = 6, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, n, classes, generator=draws, dtype=torch.float64)
    return student, torch.randint(0, classes, (n,), generator=draws), teacher


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum()


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_hinton_by_hand() -> None:
    """At T = 2 the teacher says (3/4, 1/4) and the student (1/2, 1/2): 4 (3/4 log 3/2 + 1/4 log 1/2)."""
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])
    value = hinton(torch.zeros(1, 2), torch.tensor([0]), teacher, temperature=2.0)
    assert value.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_hinton_follows_its_formula() -> None:
    student, labels, teacher = made()
    expected = [9 * kl(softmax(t / 3), softmax(z / 3)) for z, t in zip(student.numpy(), teacher.numpy(), strict=True)]
    np.testing.assert_allclose(hinton(student, labels, teacher, temperature=3.0), expected)


def test_dkd_follows_its_formula() -> None:
    student, labels, teacher = made()
    expected = []
    for z, t, y in zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True):
        p, q = softmax(t / 4), softmax(z / 4)
        target = kl(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        others = kl(np.delete(p, y) / (1 - p[y]), np.delete(q, y) / (1 - q[y]))
        expected.append(16 * (0.5 * target + 3 * others))
    np.testing.assert_allclose(dkd(student, labels, teacher, alpha=0.5, beta=3.0), expected)


def test_dkd_is_hintons_loss_when_the_others_weigh_what_the_teacher_gives_them() -> None:
    """KL = TCKD + (1 - p_y) NCKD."""
    student, labels, teacher = made()
    for row, y in enumerate(labels.tolist()):
        one = student[row : row + 1], labels[row : row + 1], teacher[row : row + 1]
        rest = 1 - softmax(one[2].numpy()[0] / 4)[y]
        torch.testing.assert_close(dkd(*one, alpha=1.0, beta=float(rest)), hinton(*one))


def test_dkd_of_two_classes_has_no_others() -> None:
    student, labels, teacher = made(classes=2)
    torch.testing.assert_close(dkd(student, labels, teacher, beta=8.0), dkd(student, labels, teacher, beta=0.0))


def test_dkd_still_tells_the_others_apart_when_the_teacher_is_sure() -> None:
    """1 - p_y is e^-40, which 1 - p in double precision would round to 0."""
    teacher = torch.tensor([[40.0, 1.0, 0.0]], dtype=torch.float64)
    student = torch.tensor([[40.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    value = dkd(student, torch.tensor([0]), teacher, temperature=1.0, alpha=0.0, beta=1.0)
    p = softmax(np.array([1.0, 0.0]))
    assert value.item() == pytest.approx(kl(p, np.array([0.5, 0.5])))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_dist_is_one_minus_pearson_over_classes_and_over_examples() -> None:
    student, labels, teacher = made()
    q = np.stack([softmax(z / 4) for z in student.numpy()])
    p = np.stack([softmax(t / 4) for t in teacher.numpy()])
    inter = [16 * (1 - pearson(p[row], q[row])) for row in range(6)]
    np.testing.assert_allclose(dist(student, labels, teacher, gamma=0.0), inter)
    intra = np.mean([16 * (1 - pearson(p[:, c], q[:, c])) for c in range(4)])
    np.testing.assert_allclose(dist(student, labels, teacher, beta=0.0).mean(), intra)
    both = dist(student, labels, teacher, beta=2.0, gamma=3.0).mean()
    np.testing.assert_allclose(both, 2 * np.mean(inter) + 3 * intra)


def test_the_intra_class_part_of_an_example_is_its_own_share() -> None:
    """Only the example that moves away from the teacher's order gets the larger part."""
    teacher = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]])
    student = teacher.clone()
    student[3] = torch.tensor([2.0, 0.0])
    values = dist(student, torch.zeros(4, dtype=torch.long), teacher, beta=0.0)
    assert values.argmax() == 3
    assert values.sum() < 2 * values[3]


def test_dist_of_probabilities_that_do_not_vary() -> None:
    """Nothing to relate on both sides: 0. On one side: half of a full disagreement."""
    flat, labels, _ = torch.zeros(3, 4), torch.zeros(3, dtype=torch.long), None
    teacher = made(3)[2].float()
    assert dist(flat, labels, flat).tolist() == [0, 0, 0]
    np.testing.assert_allclose(dist(flat, labels, teacher, temperature=1.0, gamma=0.0), [0.5] * 3, rtol=1e-5)
    assert dist(flat[:1], labels[:1], flat[:1]).tolist() == [0]


def test_standardised_logits_have_no_scale_and_no_shift() -> None:
    student, labels, teacher = made()
    loss = standardised(hinton)
    values = loss(student, labels, teacher, temperature=2.0)
    torch.testing.assert_close(loss(5 * student + 7, labels, 0.1 * teacher - 3, temperature=2.0), values)
    z, t = (
        (part - part.mean(1, keepdim=True)) / part.std(1, keepdim=True, correction=0) for part in (student, teacher)
    )
    torch.testing.assert_close(values, hinton(z, labels, t, temperature=2.0))
    assert loss.__name__ == "standardised_hinton"


def test_the_temperature_of_the_authors_standard_deviation() -> None:
    """Dividing by C - 1 makes the scores smaller, as a larger T does; the factor T^2 is the one of the larger T."""
    student, labels, teacher = made()
    z, t = ((part - part.mean(1, keepdim=True)) / part.std(1, keepdim=True) for part in (student, teacher))
    ours = standardised(hinton)(student, labels, teacher, temperature=2 * math.sqrt(4 / 3))
    torch.testing.assert_close(ours, 4 / 3 * hinton(z, labels, t, temperature=2.0))


def test_logits_of_another_shape_are_an_error() -> None:
    student, labels, teacher = made()
    with pytest.raises(TrainmapError, match=r"student's shape \(B, C\), got \(6, 3\)"):
        hinton(student, labels, teacher[:, :3])
