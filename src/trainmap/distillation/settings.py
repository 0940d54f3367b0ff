"""How a student learns from its teacher: what a person says of it, and what follows for a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trainmap.distillation.losses import LOSSES, TeacherLoss
from trainmap.errors import TrainmapError, unknown

Numbers = float | NDArray[np.float32] | Tensor


@dataclass(frozen=True, eq=False)
class Distillation:
    """How a student learns from its teacher: ``gold CE(y, z) + weight term``; None takes the loss's own default.

    Attributes:
        loss: a key of ``LOSSES``, or a ``TeacherLoss`` of your own.
        temperature: a number, or (N,) with one for each example, rows as in the training set.
        weight: of the teacher's term; a number, or (N,) with one for each example.
        gold: weight of the cross-entropy with the labels; for "hinton" 1 - weight.
        warmup: share of the training in which the weight climbs from 0.
        options: further arguments of the loss, such as ``{"beta": 2.0}`` for "dkd".
        student_layer, teacher_layer: for losses on features: the module whose output they are, by its name in
            ``named_modules()``; None for what goes into the last ``nn.Linear`` (the penultimate features).
    """

    loss: str | TeacherLoss = "hinton"
    temperature: ArrayLike | None = None
    weight: ArrayLike | None = None
    gold: float | None = None
    warmup: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    student_layer: str | None = None
    teacher_layer: str | None = None


@dataclass(frozen=True, eq=False)
class Settled:
    """A ``Distillation`` with every default filled in; values are one number or (N,) float32 (in a run, tensors)."""

    loss: TeacherLoss
    name: str
    temperature: Numbers | None
    weight: Numbers
    gold: Numbers
    warmup: float
    options: dict[str, Any]


def settled(chosen: Distillation, n: int) -> Settled:
    """The settings of a run over ``n`` examples.

    Raises:
        TrainmapError: an unknown loss or option, or values that do not fit.
    """
    loss = _loss(chosen)
    given = loss.temperature if chosen.temperature is None else chosen.temperature
    temperature = None if given is None else _number(given, n, "temperature")
    if temperature is not None and not np.all(np.asarray(temperature) > 0):
        raise TrainmapError(f"temperature must be a positive number, got {np.min(temperature)}")
    weight = _number(loss.weight if chosen.weight is None else chosen.weight, n, "weight")
    gold = loss.gold if chosen.gold is None else chosen.gold
    if gold is None:
        if np.max(weight) > 1:
            raise TrainmapError(f"weight must be 0 (labels alone) to 1 (teacher alone), got {np.max(weight)}")
        gold = 1 - weight
    elif not 0 <= gold < float("inf"):
        raise TrainmapError(f"gold must be a number from 0 up, got {gold}")
    warmup = loss.warmup if chosen.warmup is None else chosen.warmup
    if not 0 <= warmup <= 1:
        raise TrainmapError(f"warmup must be a share of the training, 0 to 1, got {warmup}")
    return Settled(loss, name_of(chosen.loss), temperature, weight, gold, warmup, dict(chosen.options))


def _loss(chosen: Distillation) -> TeacherLoss:
    if isinstance(chosen.loss, str) and chosen.loss not in LOSSES:
        raise unknown("loss", chosen.loss, LOSSES)
    loss = LOSSES[chosen.loss] if isinstance(chosen.loss, str) else chosen.loss
    taken = inspect.signature(loss.term).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        settings = {"logits", "labels", "teacher_logits", "features", "teacher_features", "temperature", "weight"}
        for name in chosen.options:
            if name not in set(taken) - settings:
                raise unknown(f"option of {name_of(chosen.loss)}", name, set(taken) - settings)
        if chosen.temperature is not None and "temperature" not in taken:
            raise TrainmapError(f"{name_of(chosen.loss)} has no temperature, got {chosen.temperature}; leave it out")
    return loss


def _number(value: ArrayLike, n: int, name: str) -> NDArray[np.float32] | float:
    if np.ndim(value):
        return column(value, n, name)
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < float("inf"):
        raise TrainmapError(f"{name} must be a number from 0 up, got {number}")
    return number


def column(values: ArrayLike, n: int, name: str) -> NDArray[np.float32]:
    """One finite number from 0 up for each of ``n`` examples; ``name`` is for the error."""
    found = np.asarray(values, dtype=np.float32)
    if found.shape != (n,):
        raise TrainmapError(f"{name} must be ({n},), one for each example as in train.ids, got {found.shape}")
    if not (np.isfinite(found) & (found >= 0)).all():
        raise TrainmapError(f"{name} must be finite and from 0 up, got {found.min()} to {found.max()}")
    return found


def name_of(loss: str | TeacherLoss) -> str:
    """What a loss is called in messages and in the identity of a run."""
    if isinstance(loss, str):
        return loss
    return f"{getattr(loss.term, '__module__', '')}.{getattr(loss.term, '__qualname__', type(loss.term).__name__)}"
