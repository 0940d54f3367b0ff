"""Training: one loop that reads top to bottom, for teachers and students, plain and distilled."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from trainmap.errors import TrainmapError
from trainmap.training.checkpoint import Progress, resume, save
from trainmap.training.cost import forward_flops, training_flops
from trainmap.training.data import Dataset, as_tensor, augment, to_float
from trainmap.training.losses import check_distillation, cross_entropy, distillation
from trainmap.training.models import is_convolutional
from trainmap.training.recipes import RECIPES, Recipe, default_recipe

__all__ = ["RECIPES", "EpochRecorder", "FitResult", "Recipe", "default_recipe", "even_batches", "fit"]


@dataclass(frozen=True)
class FitResult:
    """What a training run did and cost, from its first step on, the parts before a resume included.

    ``seconds`` is wall time and ``cpu_seconds`` the time of all the process's threads, both of the loop alone (not of
    the caller's ``on_epoch``); ``flops`` is 3 x forward x ``examples_seen``; ``loss`` the mean training loss of the
    last epoch.
    """

    epochs: int
    steps: int
    examples_seen: int
    seconds: float
    cpu_seconds: float
    flops: int
    loss: float


class EpochRecorder(Protocol):
    """What ``fit`` needs of a ``trainmap.Recorder``."""

    @property
    def epoch(self) -> int: ...

    def update(self, ids: Any, logits: Any, labels: Any) -> None: ...

    def end_epoch(self) -> None: ...


def fit(
    model: nn.Module,
    train: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    steps: int | None = None,
    recorder: EpochRecorder | None = None,
    teacher_logits: NDArray[np.floating] | None = None,
    temperature: float = 4.0,
    weight: float = 0.5,
    epoch_ids: Callable[[int], ArrayLike] | None = None,
    start_epoch: int = 0,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    on_epoch: Callable[[int, float], object] | None = None,
) -> FitResult:
    """Train ``model`` in place; the same arguments give the same weights, bit for bit, on the same machine.

    The order of the data and the augmentation of an epoch follow from ``seed`` and the epoch's number alone, and not
    from the order of the rows.

    Args:
        model: takes (B, channels, size, size) float, gives (B, classes). It ends in eval mode on ``device``.
        train: the examples to learn from.
        recipe: how.
        seed: of the data order and the augmentation; the initial weights are the caller's.
        steps: train for exactly this many optimizer steps in place of ``recipe.epochs``, cycling through the data,
            with the schedule stretched to it. The last epoch may be a part of one.
        recorder: gets (ids, logits, labels) of every training step, and ``end_epoch()`` after every epoch. The logits
            are those of the step itself, in train mode and on the augmented images (``source="train"``).
        teacher_logits: (N, C), or (N, 2, C) for image and mirror image, rows aligned with ``train.ids``: train with
            the distillation loss. Flips need the pairs, and crops have no cached logits.
        temperature, weight: of the distillation; see ``losses.distillation``.
        epoch_ids: the ids to visit in an epoch, for curricula and repeated random subsets; None for all. It may answer
            differently each time, but for a run that resumes it must depend on the epoch alone.
        start_epoch: number of the first epoch, when the earlier ones were trained elsewhere (without the optimizer's
            momentum; a checkpoint keeps that).
        checkpoint: file for the state after every whole epoch, and the one before it beside it. When it is there, the
            run goes on where it (and the recorder) stopped and ends bit-identical to one that was not interrupted.
        device: where to train.
        on_epoch: called with the epoch's number and mean loss after each one, the recorder's included. Returning True
            ends the training.

    Raises:
        TrainmapError: arguments that do not fit together, a checkpoint of another run, a recorder at another epoch,
            or a training that diverged.
    """
    if start_epoch and (steps is not None or checkpoint is not None):
        raise TrainmapError("start_epoch goes with epochs alone; a run with a checkpoint finds its own place")
    if start_epoch < 0 or (steps is not None and steps < 1):
        raise TrainmapError(f"start_epoch must be at least 0 and steps at least 1, got {start_epoch} and {steps}")
    _check_data(train, recipe, teacher_logits, temperature, weight)
    _check_recording(train, recipe, steps, recorder, epoch_ids)

    forward = forward_flops(model, train.channels, train.size)
    channels_last = is_convolutional(model)
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = make_optimizer(model, recipe)
    images, labels = as_tensor(train.x, device), as_tensor(train.y, device)
    teacher = None if teacher_logits is None else as_tensor(np.array(teacher_logits), device)

    progress = Progress(epoch=start_epoch)
    if checkpoint is not None:
        run = _identity(model, train, recipe, seed, steps, teacher_logits, temperature, weight)
        progress = resume(Path(checkpoint), run, None if recorder is None else recorder.epoch, model, optimizer)
        if not Path(checkpoint).exists():
            save(Path(checkpoint), run, progress, model, optimizer)
    if recorder is not None and recorder.epoch != progress.epoch:
        raise TrainmapError(
            f"the recorder is at epoch {recorder.epoch} and the training would start at {progress.epoch}; "
            "give the checkpoint of the recorded run, or record into a new folder"
        )

    while progress.epoch < recipe.epochs if steps is None else progress.steps < steps:
        wall, cpu = time.perf_counter(), time.process_time()
        epoch = progress.epoch
        order, draws = _generator(seed, epoch, 0), _generator(seed, epoch, 1)
        ids = train.ids if epoch_ids is None else np.asarray(epoch_ids(epoch))
        if len(ids) == 0:
            raise TrainmapError(f"epoch {epoch}: epoch_ids must give at least one id, got none")
        rows = torch.from_numpy(train.rows(np.sort(ids)))
        batches = even_batches(rows[torch.randperm(len(rows), generator=order)], recipe.batch)
        if steps is not None:
            batches = batches[: steps - progress.steps]

        model.train()
        total = torch.zeros((), device=device)
        for number, batch in enumerate(batches):
            if steps is None:
                done = (epoch + (number + 0.5) / len(batches)) / recipe.epochs
            else:
                done = (progress.steps + number + 0.5) / steps
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(done)

            place = batch.to(device)
            x, flipped = augment(images[place], draws, recipe.flips, recipe.crop)
            y = labels[place]
            logits = model(to_float(x, channels_last))
            if teacher is None:
                losses = cross_entropy(logits, y, recipe.label_smoothing)
            else:
                soft = teacher[place] if teacher.ndim == 2 else teacher[place, flipped.long()]
                losses = distillation(logits, y, soft, temperature, weight, recipe.label_smoothing)
            optimizer.zero_grad()
            losses.mean().backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()

            total += losses.detach().sum()
            if recorder is not None:
                recorder.update(train.ids[batch.numpy()], logits.detach(), y)

        seen = sum(len(batch) for batch in batches)
        loss = total.item() / seen
        if not math.isfinite(loss):
            raise TrainmapError(f"the training diverged in epoch {epoch} (mean loss {loss}); lower peak_lr")
        progress = Progress(
            epoch=epoch + 1,
            steps=progress.steps + len(batches),
            examples_seen=progress.examples_seen + seen,
            seconds=progress.seconds + time.perf_counter() - wall,
            cpu_seconds=progress.cpu_seconds + time.process_time() - cpu,
            loss=loss,
        )
        # Before the recorder: it cannot go back, but the checkpoint before this one is kept (see ``resume``).
        if checkpoint is not None:
            save(Path(checkpoint), run, progress, model, optimizer)
        if recorder is not None:
            recorder.end_epoch()
        if on_epoch is not None and on_epoch(epoch, loss) is True:
            break

    model.eval()
    return FitResult(
        epochs=progress.epoch,
        steps=progress.steps,
        examples_seen=progress.examples_seen,
        seconds=progress.seconds,
        cpu_seconds=progress.cpu_seconds,
        flops=training_flops(forward, progress.examples_seen),
        loss=progress.loss,
    )


def even_batches(rows: Tensor, batch: int) -> list[Tensor]:
    """Cut ``rows`` into ceil(N / batch) parts whose sizes differ by at most one.

    Batch normalisation cannot train on one example whose features are 1x1, and a last batch of a few examples would
    weigh as much as a full one. No part has a single row unless N or ``batch`` is 1 (for a batch of 2 and an odd N one
    part has 3).
    """
    parts = -(-len(rows) // batch)
    if batch > 1:
        parts = min(parts, max(1, len(rows) // 2))
    return list(torch.tensor_split(rows, parts))


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, with weight decay on the tensors named ``weight`` of two dimensions or more alone."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (decayed if name.endswith("weight") and parameter.ndim >= 2 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(recipe.momentum, 0.999), fused=True)
    return torch.optim.SGD(
        groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
    )


def _generator(seed: int, epoch: int, stream: int) -> torch.Generator:
    """Randomness that depends on the seed, the epoch and the purpose, and on nothing that ran before."""
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def _check_data(
    train: Dataset, recipe: Recipe, teacher_logits: NDArray[np.floating] | None, temperature: float, weight: float
) -> None:
    if len(train) == 0:
        raise TrainmapError(f"nothing to train on: the dataset '{train.name}' has no examples")
    if teacher_logits is None:
        return
    check_distillation(temperature, weight)
    n, classes = len(train), train.classes
    if teacher_logits.shape not in ((n, classes), (n, 2, classes)):
        raise TrainmapError(
            f"teacher_logits must be ({n}, {classes}) or, with flips, ({n}, 2, {classes}), rows as in train.ids, "
            f"got {teacher_logits.shape}"
        )
    if recipe.crop:
        raise TrainmapError(f"cached teacher logits do not know cropped images, got crop={recipe.crop}; use crop=0")
    if recipe.flips and teacher_logits.ndim == 2:
        raise TrainmapError("a recipe with flips needs the teacher's logits of both images: cache them with flips=True")


def _check_recording(
    train: Dataset,
    recipe: Recipe,
    steps: int | None,
    recorder: EpochRecorder | None,
    epoch_ids: Callable[[int], ArrayLike] | None,
) -> None:
    if recorder is None or steps is None:
        return
    per_epoch = len(even_batches(torch.arange(len(train)), recipe.batch))
    if epoch_ids is not None or steps % per_epoch:
        raise TrainmapError(
            f"a recorder needs whole epochs: steps must be a multiple of {per_epoch} (one epoch) without epoch_ids, "
            f"got {steps}"
        )


def _identity(
    model: nn.Module,
    train: Dataset,
    recipe: Recipe,
    seed: int,
    steps: int | None,
    teacher_logits: NDArray[np.floating] | None,
    temperature: float,
    weight: float,
) -> dict[str, str]:
    """What a checkpoint must agree on with the run that goes on from it."""
    run = {"model": str(model), "dataset": train.fingerprint(), "seed": str(seed)}
    run |= {"recipe": str(asdict(recipe)), "steps": str(steps), "teacher": "none"}
    if teacher_logits is not None:
        by_id = np.ascontiguousarray(teacher_logits[np.argsort(train.ids)])
        run["teacher"] = f"{hashlib.sha256(by_id.data).hexdigest()} {temperature} {weight}"
    return run
