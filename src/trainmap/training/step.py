"""The loss of a training step: the labels' cross-entropy, and what a teacher adds to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import as_tensor
from trainmap.distillation.cache import fingerprint
from trainmap.distillation.losses import TeacherLoss, cross_entropy
from trainmap.distillation.settings import Distillation, Settled, column, settled
from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError, shown
from trainmap.models.layout import lay_out
from trainmap.training.features import projector_between, tapped
from trainmap.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class Teaching:
    """What a network learns from beside the labels.

    Attributes:
        teacher: its logits on the training set, (N, C), or (N, 2, C) for image and mirror image, rows aligned with
            ``train.ids`` (``cache.teacher_logits`` makes them; flips need the pairs, and crops have no cached logits);
            or the network itself: it sees the same augmented batch at every step, and losses on features can look
            inside. It ends in eval mode on the device of the run, its weights untouched.
        distillation: how the student learns from its teacher; Hinton's loss with its defaults for None.
        example_weights: (N,) from 0 up, rows aligned with ``train.ids``: factors of the examples' losses, before the
            mean over the batch (which divides by the number of examples, not by the weights).
    """

    teacher: nn.Module | NDArray[np.floating] | None = None
    distillation: Distillation | None = None
    example_weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.distillation is not None and not isinstance(self.distillation, Distillation):
            raise TrainmapError(
                f"distillation must be a Distillation, got {shown(self.distillation)}; see docs/losses.md"
            )


@dataclass(frozen=True, eq=False)
class Objective:
    """What the steps of one run minimise, made by ``objective``; called with a batch it gives (logits, losses).

    ``trained`` is the student with its projector, if it has one: what the optimizer and the checkpoint are to hold.
    ``identity`` is what a checkpoint must agree on.
    """

    model: nn.Module
    label_smoothing: float
    identity: Mapping[str, str]
    example_weights: Tensor | None = None
    how: Settled | None = None
    cached: Tensor | None = None
    teacher: nn.Module | None = None
    layers: tuple[str | None, str | None] = (None, None)
    projector: nn.Module | None = None

    @property
    def trained(self) -> nn.Module:
        if self.projector is None:
            return self.model
        return nn.ModuleDict({"model": self.model, "projector": self.projector})

    def __call__(self, x: Tensor, y: Tensor, rows: Tensor, flipped: Tensor, done: float) -> tuple[Tensor, Tensor]:
        """The student's logits (B, C) and one loss per example (B,).

        Args:
            x: a batch as networks take it.
            y: (B,) labels.
            rows: (B,) rows in the training set.
            flipped: (B,) bool: which images were mirrored.
            done: how far the training is, 0 to 1.
        """
        if self.how is None:
            logits = self.model(x)
            losses = cross_entropy(logits, y, self.label_smoothing)
        else:
            options = dict(self.how.options)
            if self.how.temperature is not None:
                options["temperature"] = _of(self.how.temperature, rows)
            on = self._on_logits if self.how.loss.needs == "logits" else self._on_features
            logits, term = on(self.how.loss, x, y, rows, flipped, options)
            ramp = min(done / self.how.warmup, 1.0) if self.how.warmup else 1.0
            gold = cross_entropy(logits, y, self.label_smoothing)
            losses = _of(self.how.gold, rows) * gold + ramp * _of(self.how.weight, rows) * term
        return logits, losses if self.example_weights is None else losses * self.example_weights[rows]

    def _on_logits(
        self, loss: TeacherLoss, x: Tensor, y: Tensor, rows: Tensor, flipped: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        if self.cached is not None:
            pairs = self.cached.ndim == 3
            soft = self.cached.flatten(0, -2).index_select(0, 2 * rows + flipped if pairs else rows)
        else:
            assert self.teacher is not None
            with torch.no_grad():
                soft = self.teacher(x)
        logits = self.model(x)
        return logits, loss.term(logits, y, soft, **options)

    def _on_features(
        self, loss: TeacherLoss, x: Tensor, y: Tensor, rows: Tensor, flipped: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        del y, rows, flipped
        assert self.teacher is not None
        with torch.no_grad(), tapped(self.teacher, self.layers[1]) as taught:
            self.teacher(x)
        with tapped(self.model, self.layers[0]) as kept:
            logits = self.model(x)
        features = kept[-1] if self.projector is None else self.projector(kept[-1])
        return logits, loss.term(features, taught[-1], **options)


def objective(
    model: nn.Module, train: Dataset, recipe: Recipe, seed: int, teaching: Teaching, device: str = "cpu"
) -> Objective:
    """Check what a run is to minimise and bring it to ``device``; for the arguments see ``fit.fit``.

    Raises:
        TrainmapError: arguments that do not fit the data or each other.
    """
    weights, teacher = teaching.example_weights, teaching.teacher
    weights = None if weights is None else column(weights, len(train), "example_weights")
    identity = {"weights": "none" if weights is None else _digest(train, weights)}
    identity |= {"teacher": "none", "distillation": "none"}
    plain = Objective(model, recipe.label_smoothing, identity, None if weights is None else as_tensor(weights, device))
    if teacher is None:
        if teaching.distillation is not None:
            raise TrainmapError("distillation needs a teacher: give its logits, or the network itself")
        return plain
    if teacher is model:
        raise TrainmapError("teacher must be another network than the student, got the student itself")

    chosen = Distillation() if teaching.distillation is None else teaching.distillation
    how, layers = settled(chosen, len(train)), (chosen.student_layer, chosen.teacher_layer)
    identity["distillation"] = _described(how, layers, train)
    how = replace(how, **{name: _on(getattr(how, name), device) for name in ("temperature", "weight", "gold")})
    if not isinstance(teacher, nn.Module):
        if how.loss.needs == "features":
            raise TrainmapError(f"{how.name} looks at features, which logits do not hold: give the network as teacher")
        logits = np.asarray(teacher)
        _check_logits(train, recipe, logits)
        identity["teacher"] = _digest(train, logits)
        return replace(plain, how=how, cached=as_tensor(np.array(logits), device))
    identity["teacher"] = fingerprint(teacher)
    lay_out(teacher.eval(), device)
    between = projector_between(model, teacher, layers, train.inputs, seed, device) if how.loss.projected else None
    return replace(plain, how=how, teacher=teacher, layers=layers, projector=between)


def _check_logits(train: Dataset, recipe: Recipe, teacher_logits: NDArray[Any]) -> None:
    n, classes = len(train), train.classes
    if teacher_logits.shape not in ((n, classes), (n, 2, classes)):
        raise TrainmapError(
            f"a teacher's logits must be ({n}, {classes}) or, with flips, ({n}, 2, {classes}), rows as in train.ids, "
            f"got {teacher_logits.shape}"
        )
    rows = teacher_logits.reshape(-1, classes)
    finite = (rows < np.inf).all(axis=1) & np.isfinite(rows).any(axis=1)  # -inf is a masked class
    if broken := int((~finite.reshape(n, -1).all(axis=1)).sum()):
        raise TrainmapError(f"a teacher's logits must be finite; those of {broken} of {n} examples are not")
    refuse_probabilities(rows, "a teacher's are those before the softmax, or log p, whose softmax is p")
    if recipe.crop:
        raise TrainmapError(
            f"cached teacher logits do not know cropped images, got crop={recipe.crop}; use crop=0, or give the "
            "teacher itself"
        )
    if recipe.flips and teacher_logits.ndim == 2:
        raise TrainmapError("a recipe with flips needs the teacher's logits of both images: cache them with flips=True")


def _of(value: Any, rows: Tensor) -> Any:
    """The batch's part of what is one value for all examples or a tensor with one for each."""
    return value[rows] if isinstance(value, Tensor) else value


def _on(value: Any, device: str) -> Any:
    return as_tensor(value, device) if isinstance(value, np.ndarray) else value


def _digest(train: Dataset, values: NDArray[Any]) -> str:
    """SHA-256 (hex) of one value or more for each example, in the order of the ids."""
    return hashlib.sha256(np.ascontiguousarray(values[np.argsort(train.ids)]).data).hexdigest()


def _described(how: Settled, layers: tuple[str | None, str | None], train: Dataset) -> str:
    numbers = (how.temperature, how.weight, how.gold, how.warmup)
    parts = [_digest(train, value) if isinstance(value, np.ndarray) else str(value) for value in numbers]
    return " ".join([how.name, *parts, str(sorted(how.options.items())), *map(str, layers)])
