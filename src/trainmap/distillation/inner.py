"""Losses on features: what a student's inner values lack of its teacher's → one value per example; the caller averages.

Both take (features, teacher_features, ..., weight): ``weight`` is one number for all examples or a (B,) tensor.
Features are what a layer gives or takes, (B, ...). Teacher features may be of any precision; no gradient flows to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from trainmap.distillation.logits import check_temperature, per_example
from trainmap.errors import TrainmapError, unknown

Direction = Literal["teacher-student", "student-teacher"]


def lsp(
    features: Tensor,
    teacher_features: Tensor,
    temperature: float | Tensor = 1.0,
    weight: float | Tensor = 1.0,
    kernel: str = "rbf-l1",
    neighbours: int = 8,
    direction: Direction = "teacher-student",
) -> Tensor:
    """Local structure preserving: how near an example is to each of its neighbours, as the teacher sees it.

    ``w KL(LS^t_i || LS^s_i)`` with LS_ij = softmax over j in N(i) of SIM(h_i, h_j) / T, h the flattened features and
    N(i) the ``neighbours`` examples of the batch that are nearest to i in the teacher's features (squared Euclidean
    distance). The kernels, d = h_i - h_j::

        rbf-l1      exp(-|d|_1 / 100)             the authors' code
        rbf         exp(-|d|^2 / (2 * 100))       the paper, sigma 100
        linear      h_i . h_j                     the paper
        polynomial  (h_i . h_j)^2                 the paper, with c 0 and d 2
        euclidean   -|d|^2                        the paper, with the sign turned (see below)

    Args:
        features: (B, ...) float, the student's.
        teacher_features: (B, ...) float; the two widths may differ.
        temperature: T > 0; a number or (B,). The published losses have none (1).
        weight: w, a factor; a number or (B,).
        kernel: a key of ``KERNELS``.
        neighbours: at least 1; a smaller batch has the others as neighbours, a batch of one none (0).
        direction: "teacher-student", KL(LS^t || LS^s) as in the authors' code; "student-teacher", KL(LS^s || LS^t) as
            in the paper's equation 4.

    Returns:
        (B,) non-negative; 0 where the structures agree.

    Raises:
        TrainmapError: features of different batches, an unknown kernel or direction, no neighbours.

    Source: Yang et al. 2020, arXiv:2003.10477, section 3.2, and its DistillGCN.PyTorch; weight 100 as in Joshi et al.
        2022, arXiv:2111.04964 (efficient-gnns).
    Differs: images have no graph, so the neighbours are those of the teacher's features within the batch. With the
        paper's +|d|^2, far neighbours would have the larger share.
    """
    h, taught = _pair(features, teacher_features)
    check_temperature(temperature)
    if neighbours < 1:
        raise TrainmapError(f"neighbours must be at least 1, got {neighbours}")
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    if direction not in get_args(Direction):
        raise unknown("direction", direction, get_args(Direction))
    scale = per_example(weight, h, "weight")[:, 0]
    if len(h) == 1:
        return h.sum(1) * 0 * scale
    near = _nearest(taught, min(neighbours, len(h) - 1))
    t = per_example(temperature, h, "temperature")
    teacher = F.log_softmax(KERNELS[kernel](taught, near) / t, dim=1)
    student = F.log_softmax(KERNELS[kernel](h, near) / t, dim=1)
    one, other = (teacher, student) if direction == "teacher-student" else (student, teacher)
    return scale * (one.exp() * (one - other)).sum(1)


def feature_matching(features: Tensor, teacher_features: Tensor, weight: float | Tensor = 1.0) -> Tensor:
    """The mean squared distance of the student's features from the teacher's.

    ``w mean_k (h^s_k - h^t_k)^2`` over all the values k of an example. Features of another width go through a
    projector first, which is trained beside the student and is no part of it (``features.projector``).

    Args:
        features: (B, ...) float, the student's, projected.
        teacher_features: the same shape.
        weight: w, a factor; a number or (B,).

    Returns:
        (B,) non-negative; 0 where the features agree.

    Raises:
        TrainmapError: shapes that differ.

    Source: Romero et al. 2015, arXiv:1412.6550, section 2.2.
    Differs: the mean over the values in place of half their sum, so that the weight does not depend on the layer's
        size; a 1x1 or linear projector; beside the labels all through the training, not as a stage before it.
    """
    if features.shape != teacher_features.shape:
        raise TrainmapError(
            f"features must have the teacher's shape {tuple(teacher_features.shape)}, got {tuple(features.shape)}; "
            "project them, or name layers of the same height and width"
        )
    h, taught = _pair(features, teacher_features)
    return per_example(weight, h, "weight")[:, 0] * (h - taught).square().mean(1)


def _pair(features: Tensor, teacher_features: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (B, D) in one type, single precision or better."""
    if len(features) != len(teacher_features) or min(features.ndim, teacher_features.ndim) < 2:
        raise TrainmapError(
            f"features must be (B, ...) of one batch, got {tuple(features.shape)} and {tuple(teacher_features.shape)}"
        )
    dtype = torch.promote_types(features.dtype, torch.float32)
    return features.to(dtype).flatten(1), teacher_features.detach().to(dtype).flatten(1)


def _nearest(features: Tensor, count: int) -> Tensor:
    """(B, count): the nearest other examples, the nearest first."""
    distance = torch.cdist(features, features)
    distance.fill_diagonal_(float("inf"))
    return distance.topk(count, largest=False).indices


def _products(features: Tensor, near: Tensor) -> Tensor:
    return torch.einsum("id,ijd->ij", features, features[near])


def _squares(features: Tensor, near: Tensor) -> Tensor:
    return (features[:, None] - features[near]).square().sum(2)


def _l1(features: Tensor, near: Tensor) -> Tensor:
    return (features[:, None] - features[near]).abs().sum(2)


KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rbf-l1": lambda h, near: (-_l1(h, near) / 100).exp(),
    "rbf": lambda h, near: (-_squares(h, near) / 200).exp(),
    "linear": _products,
    "polynomial": lambda h, near: _products(h, near).square(),
    "euclidean": lambda h, near: -_squares(h, near),
}
