"""Losses: one value per example; the caller averages. The labels' own loss, and the table of all of a teacher's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainmap.distillation.inner import feature_matching, lsp
from trainmap.distillation.logits import dist, dkd, hinton, standardised


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, weight: float | Tensor = 1.0) -> Tensor:
    """Cross-entropy with the gold label, or with a label smoothed towards the uniform distribution.

    ``-w sum_c q_c log softmax(z)_c`` with ``q_c = (1 - s) [c = y] + s / C``.

    Args:
        logits: (B, C) float.
        labels: (B,) int64 class indices.
        label_smoothing: s in [0, 1]; 0 is the plain loss.
        weight: w, a factor; a number or (B,).

    Returns:
        (B,) non-negative; high is a bad fit.

    Source: label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    values = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    return values * weight if isinstance(weight, Tensor) or weight != 1 else values


@dataclass(frozen=True)
class TeacherLoss:
    """A loss that brings a student near its teacher, and the setting in which it was published.

    The loss of a step is ``gold CE(y, z) + weight term``, averaged over the batch; ``weight`` climbs from 0 in the
    first ``warmup`` of the training.

    Attributes:
        term: (logits, labels, teacher_logits, temperature=, weight=, ...) → (B,) for losses on logits;
            (features, teacher_features, weight=, ...) → (B,) for losses on features.
        needs: "logits" or "features" of the teacher.
        temperature: default; None for the term's own (or none).
        weight: default of the teacher's term.
        gold: default weight of the labels' cross-entropy; None for 1 - weight.
        warmup: default share of the training, 0 to 1.
        projected: whether the student's features go through a trained projector when the widths differ.
        source: where the formula and the defaults come from.
    """

    term: Callable[..., Tensor]
    needs: Literal["logits", "features"] = "logits"
    temperature: float | None = None
    weight: float = 1.0
    gold: float | None = 1.0
    warmup: float = 0.0
    projected: bool = False
    source: str = ""


LOSSES: dict[str, TeacherLoss] = {
    "hinton": TeacherLoss(
        hinton, temperature=4.0, weight=0.9, gold=None, source="Hinton et al. 2015, arXiv:1503.02531; mdistiller"
    ),
    # 20 of 240 epochs of warm-up; the published number of epochs would be the whole of a short training.
    "dkd": TeacherLoss(dkd, temperature=4.0, warmup=20 / 240, source="Zhao et al. 2022, arXiv:2203.08679; mdistiller"),
    "dist": TeacherLoss(dist, temperature=4.0, weight=2.0, source="Huang et al. 2022, arXiv:2205.10536"),
    "standardised-hinton": TeacherLoss(
        standardised(hinton), temperature=2.0, weight=9.0, gold=0.1, source="Sun et al. 2024, arXiv:2403.01427"
    ),
    "lsp": TeacherLoss(lsp, needs="features", weight=100.0, source="Yang et al. 2020, arXiv:2003.10477"),
    "feature-matching": TeacherLoss(
        feature_matching, needs="features", projected=True, source="Romero et al. 2015, arXiv:1412.6550"
    ),
}
"""Every loss with a teacher, by the name that ``Distillation.loss`` and the command know."""
