"""Training: one loop that reads top to bottom, for teachers and students, plain and distilled."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from trainmap.data.dataset import Dataset, as_tensor, augment, to_input
from trainmap.errors import DivergedError, TrainmapError
from trainmap.models.build import is_convolutional
from trainmap.models.cost import forward_flops, training_flops
from trainmap.schedules.protocol import Schedule, check_schedule, has_learned, settings_of
from trainmap.training.checkpoint import Progress, resume, save
from trainmap.training.proxy import ProxyFilter
from trainmap.training.recipes import RECIPES, Recipe, default_recipe
from trainmap.training.step import Distillation, objective

DECAYED = re.compile(r"weight(_(ih|hh|hr)(_l\d+(_reverse)?)?)?(_orig|\.original)?$")
"""Names of the weights that decay: also those of recurrent and attention layers, and under a mask."""

__all__ = ["RECIPES", "Distillation", "EpochRecorder", "FitResult", "Recipe", "default_recipe", "even_batches", "fit"]


log = logging.getLogger("trainmap")


@dataclass(frozen=True)
class FitResult:
    """What a training run did and cost, from its first step on, the parts before a resume included.

    ``seconds`` is wall time and ``cpu_seconds`` the time of all the process's threads, both of the loop alone (not of
    the caller's ``on_epoch``); ``flops`` is 3 x forward x ``examples_seen``; ``loss`` the mean training loss of the
    last epoch; ``teacher_flops`` the forward passes of a live teacher (0 for cached logits: their card has the cost);
    ``proxy_flops`` what a proxy filter took.
    """

    epochs: int
    steps: int
    examples_seen: int
    seconds: float
    cpu_seconds: float
    flops: int
    loss: float
    teacher_flops: int = 0
    proxy_flops: int = 0


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
    teacher: nn.Module | None = None,
    distillation: Distillation | None = None,
    example_weights: ArrayLike | None = None,
    epoch_ids: Callable[[int], ArrayLike] | None = None,
    schedule: Schedule | None = None,
    proxy: ProxyFilter | None = None,
    start_epoch: int = 0,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    before_epoch: Callable[[int], object] | None = None,
    on_epoch: Callable[[int, float], object] | None = None,
) -> FitResult:
    """Train ``model`` in place; the same arguments give the same weights, bit for bit, on the same machine.

    The order of the data and the augmentation of an epoch follow from ``seed`` and the epoch's number alone, and not
    from the order of the rows.

    Args:
        model: takes the form of input that ``train`` has, gives (B, classes). It ends in eval mode on ``device``.
        train: the examples to learn from.
        recipe: how.
        seed: of the data order and the augmentation; the initial weights are the caller's.
        steps: train for exactly this many optimizer steps in place of ``recipe.epochs``, cycling through the data,
            with the schedule stretched to it. The last epoch may be a part of one.
        recorder: gets (ids, logits, labels) of every training step, and ``end_epoch()`` after every epoch. The logits
            are those of the step itself, in train mode and on the augmented images (``source="train"``). Where epochs
            visit a part of the examples, it needs ``ids``, ``labels`` and ``allow_missing=True``.
        teacher_logits: (N, C), or (N, 2, C) for image and mirror image, rows aligned with ``train.ids``: learn from
            this teacher as well. Flips need the pairs, and crops have no cached logits.
        teacher: in place of ``teacher_logits``, the network itself: it sees the same augmented batch at every step,
            and losses on features can look inside. It ends in eval mode on ``device``, its weights untouched.
        distillation: how the student learns from its teacher; Hinton's loss with its defaults for None.
        example_weights: (N,) from 0 up, rows aligned with ``train.ids``: factors of the examples' losses, before the
            mean over the batch (which divides by the number of examples, not by the weights).
        epoch_ids: the ids to visit in an epoch, for curricula and repeated random subsets; None for all. It may answer
            differently each time, but for a run that resumes it must depend on the epoch alone.
        schedule: in place of ``epoch_ids``, who decides from what the training saw (``trainmap.schedules.protocol``):
            its weights are factors of the losses, and a checkpoint keeps what it has learned. A new one for each run;
            with ``start_epoch`` it may be the one that saw the earlier epochs.
        proxy: a small network that picks from each pool of examples those to step on; see ``ProxyFilter``. A new one
            for each run.
        start_epoch: number of the first epoch, when the earlier ones were trained elsewhere (without the optimizer's
            momentum; a checkpoint keeps that).
        checkpoint: file for the state after every whole epoch, and the one before it beside it. When it is there, the
            run goes on where it (and the recorder) stopped and ends bit-identical to one that was not interrupted. A
            recorder that is ahead of it is rewound to it (which is logged).
        device: where to train.
        before_epoch: called with the epoch's number before each one: the place to change the network on the way, since
            a checkpoint holds it as the epoch before left it.
        on_epoch: called with the epoch's number and mean loss after each one, the recorder's included. Returning True
            ends the training.

    Raises:
        TrainmapError: arguments that do not fit together, a checkpoint of another run, a recorder at another epoch,
            or a training that diverged.
    """
    if start_epoch and (steps is not None or checkpoint is not None):
        raise TrainmapError("start_epoch goes with epochs alone; a run with a checkpoint finds its own place")
    if epoch_ids is not None and schedule is not None:
        raise TrainmapError("either epoch_ids or a schedule says what an epoch visits; give one of them")
    if schedule is not None:
        check_schedule(schedule)
    if start_epoch < 0 or (steps is not None and steps < 1):
        raise TrainmapError(f"start_epoch must be at least 0 and steps at least 1, got {start_epoch} and {steps}")
    _check_data(train, recipe)
    pool = recipe.batch if proxy is None else max(1, round(recipe.batch / proxy.keep))
    _check_recording(train, pool, steps, recorder, varies=epoch_ids is not None or schedule is not None)

    forward = forward_flops(model, train.inputs)
    channels_last = is_convolutional(model)
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    loss_of = objective(
        model, train, recipe, seed, distillation, teacher_logits, teacher, example_weights, device=device
    )
    trained, optimizer = loss_of.trained, make_optimizer(loss_of.trained, recipe)
    examples, labels = as_tensor(train.x, device), as_tensor(train.y, device)

    if proxy is not None:
        proxy.start(train.inputs, make_optimizer(proxy.model, recipe), device)
    progress, learned = Progress(epoch=start_epoch), {"schedule": schedule, "proxy": proxy}
    if checkpoint is not None:
        run = {**_identity(model, train, recipe, seed, steps, schedule, proxy), **loss_of.identity}
        if before_epoch is not None:
            run["before_epoch"] = settings_of(before_epoch)
        recorded = None if recorder is None else recorder.epoch
        progress = resume(Path(checkpoint), run, recorded, trained, optimizer, learned)
    _check_unused(progress, schedule, proxy)
    if checkpoint is not None and not Path(checkpoint).exists():
        save(Path(checkpoint), run, progress, trained, optimizer, learned)
    rewind = getattr(recorder, "rewind", None)
    if recorder is not None and rewind is not None and checkpoint is not None and recorder.epoch > progress.epoch > 0:
        log.warning("the recorder is at epoch %d and the checkpoint at %d: rewound", recorder.epoch, progress.epoch)
        rewind(progress.epoch)
    if recorder is not None and recorder.epoch != progress.epoch:
        raise TrainmapError(
            f"the recorder is at epoch {recorder.epoch} and the training would start at {progress.epoch}; "
            f"give the checkpoint of the recorded run, call recorder.rewind({progress.epoch}), or record into a new "
            "folder"
        )

    while progress.epoch < recipe.epochs if steps is None else progress.steps < steps:
        wall, cpu = time.perf_counter(), time.process_time()
        epoch = progress.epoch
        if before_epoch is not None:
            before_epoch(epoch)
        order, draws = _generator(seed, epoch, 0), _generator(seed, epoch, 1)
        visit = None if schedule is None else schedule.plan(epoch)
        ids = train.ids if epoch_ids is None else np.asarray(epoch_ids(epoch))
        ids = ids if visit is None else visit.ids
        if len(ids) == 0:
            raise TrainmapError(f"epoch {epoch}: epoch_ids or the schedule must give at least one id, got none")
        if recorder is not None:
            _check_visit(recorder, train, epoch, ids, schedule, proxy)
        rows = torch.from_numpy(train.rows(np.sort(ids)))
        batches = even_batches(rows[torch.randperm(len(rows), generator=order)], pool)
        if steps is not None:
            batches = batches[: steps - progress.steps]

        model.train()
        total, seen = torch.zeros((), device=device), 0
        for number, batch in enumerate(batches):
            if steps is None:
                done = (epoch + (number + 0.5) / len(batches)) / recipe.epochs
            else:
                done = (progress.steps + number + 0.5) / steps
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(done)

            place = batch.to(device)
            x, flipped = augment(examples.index_select(0, place), draws, recipe.flips, recipe.crop)
            x, y = to_input(x, channels_last), labels[place]
            if proxy is not None:
                kept = proxy.choose(x, y, recipe.learning_rate(done))
                x, y, place, flipped, batch = x[kept], y[kept], place[kept], flipped[kept], batch[kept.cpu()]
            logits, losses = loss_of(x, y, place, flipped, done)
            if visit is not None and visit.weights is not None:
                losses = losses * torch.from_numpy(visit.weights_of(train.ids[batch.numpy()])).to(losses)
            optimizer.zero_grad()
            losses.mean().backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(trained.parameters(), recipe.clip)
            optimizer.step()

            total += losses.detach().sum()
            seen += len(batch)
            for watcher in (recorder, schedule):
                if watcher is not None:
                    watcher.update(train.ids[batch.numpy()], logits.detach(), y)

        loss = total.item() / seen
        if not math.isfinite(loss):
            raise DivergedError(f"the training diverged in epoch {epoch} (mean loss {loss}); lower peak_lr")
        progress = Progress(
            epoch=epoch + 1,
            steps=progress.steps + len(batches),
            examples_seen=progress.examples_seen + seen,
            seconds=progress.seconds + time.perf_counter() - wall,
            cpu_seconds=progress.cpu_seconds + time.process_time() - cpu,
            loss=loss,
        )
        if schedule is not None:
            schedule.end_epoch()
        # Before the recorder: what is recorded then never has to be dropped (see ``resume``).
        if checkpoint is not None:
            save(Path(checkpoint), run, progress, trained, optimizer, learned)
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
        teacher_flops=0 if teacher is None else forward_flops(teacher, train.inputs) * progress.examples_seen,
        proxy_flops=0 if proxy is None else proxy.flops,
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
    """The recipe's optimizer, with weight decay on the weights (``DECAYED``) of two dimensions or more alone."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (decayed if DECAYED.search(name) and parameter.ndim >= 2 else free).append(parameter)
    if not decayed and not free:
        raise TrainmapError("nothing to train: the network has no parameter that requires a gradient")
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


def _check_data(train: Dataset, recipe: Recipe) -> None:
    if len(train) == 0:
        raise TrainmapError(f"nothing to train on: the dataset '{train.name}' has no examples")
    if train.inputs.form != "pixels" and (recipe.flips or recipe.crop):
        raise TrainmapError(
            f"flips and crops are for images, but {train.name} has {train.inputs}; use flips=False and crop=0"
        )


def _check_recording(
    train: Dataset, pool: int, steps: int | None, recorder: EpochRecorder | None, varies: bool
) -> None:
    if recorder is None or steps is None:
        return
    per_epoch = len(even_batches(torch.arange(len(train)), pool))
    if varies or steps % per_epoch:
        raise TrainmapError(
            f"a recorder needs whole epochs: steps must be a multiple of {per_epoch} (one epoch) without epoch_ids and "
            f"schedule, got {steps}"
        )


def _check_visit(
    recorder: EpochRecorder,
    train: Dataset,
    epoch: int,
    ids: NDArray[Any],
    schedule: Schedule | None,
    proxy: ProxyFilter | None,
) -> None:
    """Before an epoch is trained: whether a ``trainmap.Recorder`` will take it."""
    visited = len(np.unique(ids)) if proxy is None else round(proxy.keep * len(np.unique(ids)))
    known = getattr(recorder, "ids", ())
    if getattr(recorder, "allow_missing", True):
        return
    if known is None:
        known = () if schedule is None and proxy is None else getattr(schedule, "ids", train.ids)
    if visited < len(known):
        raise TrainmapError(
            f"epoch {epoch} visits {visited} of {len(known)} examples: a recorder must know the others and allow them "
            "to be missing; make it with ids=train.ids, labels=train.y and allow_missing=True"
        )


def _check_unused(progress: Progress, schedule: Schedule | None, proxy: ProxyFilter | None) -> None:
    """A run begins with a schedule and a proxy that have learned nothing; a checkpoint has restored its own."""
    used = "schedule" if progress.epoch == 0 and schedule is not None and has_learned(schedule) else None
    used = "proxy" if progress.steps == 0 and proxy is not None and proxy.pools else used
    if used is not None:
        raise TrainmapError(
            f"a run begins with a {used} that has seen nothing, but this one was trained with before; make a new one "
            "for each run"
        )


def _identity(
    model: nn.Module,
    train: Dataset,
    recipe: Recipe,
    seed: int,
    steps: int | None,
    schedule: Schedule | None,
    proxy: ProxyFilter | None,
) -> dict[str, str]:
    """What a checkpoint must agree on with the run that goes on from it, beside its ``Objective``."""
    run = {"model": str(model), "dataset": train.fingerprint(), "seed": str(seed)}
    run |= {"recipe": str(asdict(recipe)), "steps": str(steps), "schedule": "none", "proxy": "none"}
    if schedule is not None:
        run["schedule"] = settings_of(schedule)
    if proxy is not None:
        run["proxy"] = f"{proxy.model} {proxy.keep} {proxy.every}"
    return run
