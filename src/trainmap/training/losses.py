"""Losses: logits and labels → one value per example; the caller averages."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from trainmap.errors import TrainmapError


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the gold label, or with a label smoothed towards the uniform distribution.

    ``-sum_c q_c log softmax(z)_c`` with ``q_c = (1 - s) [c = y] + s / C``.

    Args:
        logits: (B, C) float.
        labels: (B,) int64 class indices.
        label_smoothing: s in [0, 1]; 0 is the plain loss.

    Returns:
        (B,) non-negative; high is a bad fit.

    Source: label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)


def distillation(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    weight: float = 0.5,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy with the labels, mixed with the divergence from a teacher's softened probabilities.

    ``(1 - weight) CE(y, z) + weight T^2 KL(softmax(t / T) || softmax(z / T))``, z the student's and t the teacher's
    logits.

    Args:
        logits: (B, C) float, the student's.
        labels: (B,) int64 class indices.
        teacher_logits: (B, C) float of any precision; no gradient flows to them.
        temperature: T > 0; the factor T^2 keeps the size of the gradient the same for every T.
        weight: in [0, 1]; 0 is cross-entropy alone, 1 the teacher alone.
        label_smoothing: of the cross-entropy part.

    Returns:
        (B,) non-negative.

    Raises:
        TrainmapError: temperature or weight out of range, or logits of different shapes.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    Differs: the paper's soft term is a cross-entropy, which is the KL up to the teacher's entropy (a constant).
    """
    check_distillation(temperature, weight)
    if logits.shape != teacher_logits.shape:
        raise TrainmapError(
            f"teacher logits must have the student's shape {tuple(logits.shape)}, got {tuple(teacher_logits.shape)}"
        )
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.detach().to(logits.dtype) / temperature, dim=1)
    divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
    gold = cross_entropy(logits, labels, label_smoothing)
    return (1 - weight) * gold + weight * temperature**2 * divergence


def check_distillation(temperature: float, weight: float) -> None:
    """Raises TrainmapError unless ``temperature > 0`` and ``0 <= weight <= 1``."""
    if not 0 < temperature < float("inf"):
        raise TrainmapError(f"temperature must be a positive number, got {temperature}")
    if not 0 <= weight <= 1:
        raise TrainmapError(f"weight must be 0 (labels alone) to 1 (teacher alone), got {weight}")


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross-entropy": cross_entropy,
    "distillation": distillation,
}
