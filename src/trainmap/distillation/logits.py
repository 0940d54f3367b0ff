"""Losses on logits: what a student's logits lack of its teacher's → one value per example; the caller averages.

All take (logits, labels, teacher_logits, temperature, weight): ``temperature`` and ``weight`` are one number for all
examples or a (B,) tensor with one for each. Teacher logits may be of any precision; no gradient flows to them. Logits
are taken less the largest of their row before anything else, so that large ones lose no digits.

A class that the teacher masks (its logit is -inf) counts 0, whatever the student says of it, as in torch's ``kl_div``
(and 0 where both mask it, there NaN). Where the student alone masks a class, a divergence is infinite: the teacher asks
for what the student cannot say. Labels must be of classes that the student does not mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainmap.errors import TrainmapError

SMALLEST_NORM = 1e-8
"""A relation shorter than this has no direction (DIST's authors use the same)."""
LEAST_BFLOAT16 = torch.finfo(torch.bfloat16).min


def hinton(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor,
    temperature: float | Tensor = 4.0,
    weight: float | Tensor = 1.0,
) -> Tensor:
    """The divergence of the student's softened probabilities from the teacher's.

    ``w T^2 KL(softmax(t / T) || softmax(z / T))``, z the student's and t the teacher's logits. The factor T^2 keeps
    the size of the gradient the same for every T.

    Args:
        logits: (B, C) float, the student's.
        labels: (B,) int64; not used.
        teacher_logits: (B, C) float.
        temperature: T > 0; a number or (B,).
        weight: w, a factor; a number or (B,).

    Returns:
        (B,) non-negative; 0 where the two softmaxes agree.

    Raises:
        TrainmapError: shapes that do not fit, a temperature that is not positive.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2. Default T: mdistiller's for CIFAR-100.
    Differs: the paper's soft term is a cross-entropy, which is the KL up to the teacher's entropy (a constant).
    """
    del labels
    student, teacher, square = _softened(logits, teacher_logits, temperature)
    return _scaled(_divergence(F.log_softmax(teacher, 1), F.log_softmax(student, 1)), square, weight)


def dkd(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor,
    temperature: float | Tensor = 4.0,
    weight: float | Tensor = 1.0,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """Decoupled distillation: the gold class against the rest, and the rest among itself, with a weight each.

    ``w T^2 (alpha TCKD + beta NCKD)`` with p = softmax(t / T), q = softmax(z / T), y the gold label:
    TCKD = KL((p_y, 1 - p_y) || (q_y, 1 - q_y)), NCKD = KL(p without y, renormalised || q without y, renormalised).
    Hinton's loss is TCKD + (1 - p_y) NCKD: there, a teacher that is sure says little about the other classes.

    Args:
        logits: (B, C) float, the student's.
        labels: (B,) int64 class indices.
        teacher_logits: (B, C) float.
        temperature: T > 0; a number or (B,).
        weight: w, a factor; a number or (B,).
        alpha, beta: of the gold class and of the others. The paper's beta is 1 to 8 from pair to pair: 2 for
            ResNet-56 to 20, 6 for VGG-13 to 8, 8 for ResNet-32x4 to 8x4.

    Returns:
        (B,) non-negative; 0 where the two softmaxes agree. With two classes NCKD is 0.

    Raises:
        TrainmapError: shapes that do not fit, a temperature that is not positive.

    Where the teacher masks every class but the gold one it has nothing to say among the others: NCKD is 0.

    Source: Zhao et al. 2022, arXiv:2203.08679, section 3. The warm-up of its weight is the training's
        (``Distillation.warmup``).
    Differs: from log-probabilities throughout, so that nothing overflows at logits of any size.
    """
    student, teacher, square = _softened(logits, teacher_logits, temperature)
    gold = labels[:, None]
    q_two, q_rest = _gold_and_rest(student, gold)
    p_two, p_rest = _gold_and_rest(teacher, gold)
    p_rest = p_rest.scatter(1, gold, -torch.inf)  # it is none of the rest, not even where there is no other
    decoupled = torch.add(alpha * _divergence(p_two, q_two), _divergence(p_rest, q_rest), alpha=beta)
    return _scaled(decoupled, square, weight)


def dist(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor,
    temperature: float | Tensor = 4.0,
    weight: float | Tensor = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """DIST: keep the order and the spacing of the probabilities, and not their values.

    ``w T^2 (beta inter_i + gamma intra_i)`` with P (B, C) the teacher's and Q the student's softened probabilities,
    rows centred and scaled to length 1 for the inter-class relation, columns for the intra-class relation:
    inter_i = 1/2 sum_c (P^r_ic - Q^r_ic)^2 = 1 - Pearson over the classes of example i, and
    intra_i = B / (2 C) sum_c (P^k_ic - Q^k_ic)^2. The intra-class relation is one of the whole batch: a class has
    1 - Pearson over the examples = 1/2 sum_i (P^k_ic - Q^k_ic)^2, and example i is given its own summand. The mean
    over the batch is the paper's, the mean over the classes of 1 - Pearson.

    Args:
        logits: (B, C) float, the student's.
        labels: (B,) int64; not used.
        teacher_logits: (B, C) float.
        temperature: T > 0; a number or (B,).
        weight: w, a factor; a number or (B,). It does not enter the relations.
        beta, gamma: of the inter-class and of the intra-class relation.

    Returns:
        (B,) non-negative; 0 where the relations agree. A batch of one has no intra-class relation (0).

    Raises:
        TrainmapError: shapes that do not fit, a temperature that is not positive.

    Source: Huang et al. 2022, arXiv:2205.10536. Weight 2 and T 4 in its CIFAR-100 runs.
    Differs: a relation without variance on both sides counts 0 (and on one side 1/2), in the authors' code 1.
    """
    del labels
    student, teacher, square = _softened(logits, teacher_logits, temperature)
    q, p = student.softmax(1), teacher.softmax(1)
    examples, classes = q.shape
    inter = _distance(p - 1 / classes, q - 1 / classes, 1)  # the mean of probabilities is 1 / C
    intra = _distance(p - p.mean(0), q - q.mean(0), 0)
    related = torch.add(beta / 2 * inter, intra, alpha=gamma * examples / (2 * classes))
    return _scaled(related, square, weight)


def standardised(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss on logits that sees them standardised: the teacher's ranking, without its scale or shift.

    ``loss((z - mean z) / std z, y, (t - mean t) / std t, ...)``, mean and standard deviation over the classes of one
    example that are not masked; masked ones stay so. Constant logits become 0.

    Args:
        loss: any function here, or another of (logits, labels, teacher_logits, ...).

    Returns:
        a function of the same arguments.

    Source: Sun et al. 2024, arXiv:2403.01427. Base temperature 2, weight 9 and 0.1 for the gold label.
    Differs: the population standard deviation; the authors' code divides by C - 1, which is the same as a temperature
        larger by sqrt(C / (C - 1)) here.
    """

    def wrapped(logits: Tensor, labels: Tensor, teacher_logits: Tensor, *args: Any, **options: Any) -> Tensor:
        return loss(_standard(logits), labels, _standard(teacher_logits.detach()), *args, **options)

    wrapped.__name__ = f"standardised_{getattr(loss, '__name__', 'loss')}"
    wrapped.__qualname__ = wrapped.__name__
    wrapped.__doc__ = f"``{getattr(loss, '__name__', 'loss')}`` of standardised logits; see ``standardised``."
    wrapped.__wrapped__ = loss  # type: ignore[attr-defined]
    return wrapped


def check_temperature(temperature: float | Tensor) -> None:
    """Raises TrainmapError unless a plain number is positive and finite. Tensors are not looked at: that would wait."""
    if not isinstance(temperature, Tensor) and not 0 < temperature < float("inf"):
        raise TrainmapError(f"temperature must be a positive number, got {temperature}")


def _softened(
    logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor
) -> tuple[Tensor, Tensor, float | Tensor]:
    """Both logits over T in one type, single precision or better, and T^2: a number, or (B,) where T is."""
    if logits.ndim != 2 or logits.shape != teacher_logits.shape:
        raise TrainmapError(
            f"teacher logits must have the student's shape (B, C), got {tuple(teacher_logits.shape)} "
            f"for {tuple(logits.shape)}"
        )
    check_temperature(temperature)
    z, taught = _from_largest(logits), _from_largest(teacher_logits.detach()).to(_at_least_single(logits))
    taught = taught.masked_fill(_masked(teacher_logits), -torch.inf)
    t = per_example(temperature, z, "temperature") if isinstance(temperature, Tensor) else temperature
    return z / t, taught / t, t[:, 0] ** 2 if isinstance(t, Tensor) else t**2


def _at_least_single(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _from_largest(logits: Tensor) -> Tensor:
    """Less the largest of their row, in their own precision or single. No loss here sees a shift, so that no gradient
    needs to flow through the largest."""
    z = logits.to(_at_least_single(logits))
    return z - z.detach().amax(1, keepdim=True)


def per_example(value: float | Tensor, like: Tensor, name: str) -> Tensor:
    """A number or (B,) tensor as (B, 1), or (1, 1) for a number, in the type of ``like`` (B, ...)."""
    if not isinstance(value, Tensor):
        return torch.full((1, 1), value, dtype=like.dtype, device=like.device)
    if value.shape != like.shape[:1]:
        raise TrainmapError(
            f"{name} must be a number or ({len(like)},), one for each example, got {tuple(value.shape)}"
        )
    return value.to(like.dtype)[:, None]


def _scaled(values: Tensor, square: float | Tensor, weight: float | Tensor) -> Tensor:
    """``weight T^2 values``, (B,)."""
    factor = per_example(weight, values, "weight")[:, 0] if isinstance(weight, Tensor) else weight
    return values * (square * factor)


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) of log-probabilities (B, K) → (B,); what the teacher never says counts 0."""
    p = teacher.exp()
    return (p * torch.where(p > 0, teacher - student, 0)).sum(1)  # F.kl_div makes more steps of it


def _gold_and_rest(logits: Tensor, gold: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2): log p_y and log(1 - p_y); (B, C): the log-probabilities among the other classes, of y the lowest number.

    From the logits of the others alone, so that both are exact however sure the network is.

    Args:
        logits: (B, C).
        gold: (B, 1) labels.
    """
    others = logits.scatter(1, gold, torch.finfo(logits.dtype).min)
    total = others.logsumexp(1, keepdim=True)
    return F.log_softmax(torch.cat([logits.gather(1, gold), total], 1), 1), others - total


def _distance(one: Tensor, other: Tensor, dimension: int) -> Tensor:
    """(B,): the sum over the classes of squared differences of what is scaled to length 1 along ``dimension``; what has
    no length stays 0."""
    one, other = _unit(one, dimension), _unit(other, dimension)
    return (one - other).square().sum(1)


def _unit(values: Tensor, dimension: int) -> Tensor:
    """Scaled to length 1 along ``dimension``. By the square: the gradient of a norm takes twice the steps."""
    squares = values.square().sum(dimension, keepdim=True)
    return values * squares.clamp_min(SMALLEST_NORM**2).rsqrt()


def _masked(logits: Tensor) -> Tensor:
    """Which logits are -inf, or the least number of a type."""
    return logits <= max(torch.finfo(logits.dtype).min, LEAST_BFLOAT16)


def _standard(logits: Tensor) -> Tensor:
    z = _from_largest(logits)
    there = ~_masked(logits)
    count = there.sum(1, keepdim=True)
    known = torch.where(there, z, 0)
    centred = torch.where(there, known - known.sum(1, keepdim=True) / count, 0)
    deviation = torch.linalg.vector_norm(centred, dim=1, keepdim=True) / count**0.5
    return torch.where(there, centred / deviation.clamp_min(SMALLEST_NORM), -torch.inf)
