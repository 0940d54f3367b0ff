"""Training: one loop that reads top to bottom, for teachers and students, plain and distilled."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainmap.data.dataset import Dataset, augment
from trainmap.data.inputs import as_tensor, to_input
from trainmap.distillation.settings import Distillation
from trainmap.errors import DivergedError, TrainmapError
from trainmap.models.budget import training_flops
from trainmap.models.cost import forward_flops
from trainmap.models.layout import lay_out
from trainmap.modes import device_of
from trainmap.training.checkpoint import Progress, resume, save
from trainmap.training.optimizer import make_optimizer
from trainmap.training.recipes import RECIPES, Recipe, default_recipe
from trainmap.training.step import Objective, Teaching, objective
from trainmap.training.visiting import Visiting, Visits, told_apart
from trainmap.training.watching import EpochRecorder, Watching

__all__ = [
    "RECIPES",
    "Distillation",
    "EpochRecorder",
    "FitResult",
    "Progress",
    "Recipe",
    "Teaching",
    "Watching",
    "default_recipe",
    "even_batches",
    "fit",
]


@dataclass(frozen=True)
class FitResult:
    """What a training run did and cost, from its first step on, the parts before a resume included.

    ``seconds`` is wall time and ``cpu_seconds`` the time of all the process's threads, both of the loop alone (not of
    the caller's ``on_epoch``); ``flops`` is 3 x forward x ``examples_seen``; ``loss`` the mean training loss of the
    last epoch; ``teacher_flops`` the forward passes of a live teacher (0 for cached logits: their card has the cost);
    ``proxy_flops`` what a proxy filter took. ``all_flops`` is what the training took as a whole: the three together.
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

    @property
    def all_flops(self) -> int:
        """Of the network and of every other one that ran beside it."""
        return self.flops + self.teacher_flops + self.proxy_flops


def fit(
    model: nn.Module,
    train: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    steps: int | None = None,
    teaching: Teaching | None = None,
    visits: Visits | None = None,
    watching: Watching | None = None,
    checkpoint: str | Path | Progress | None = None,
    device: str | None = None,
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
            with the learning rate stretched to it. The last epoch may be a part of one.
        teaching: what it learns from beside the labels: a teacher, weights of the examples.
        visits: which examples an epoch visits; None for all. One of: a function from the epoch's number to ids, for
            curricula and random subsets (for a run that resumes it must depend on the epoch alone); a schedule, which
            decides from what the training saw (``trainmap.schedules.protocol``): its weights are factors of the losses,
            and a checkpoint keeps what it has learned; a ``ProxyFilter``, a small network that picks from each pool of
            examples those to step on. Schedules and proxies are made anew for each run; one that starts at a later
            epoch may have the schedule that saw the earlier ones.
        watching: who looks on: a recorder, functions around each epoch.
        checkpoint: file for the state after every whole epoch, and the one before it beside it. When it is there, the
            run goes on where it (and the recorder) stopped and ends bit-identical to one that was not interrupted. A
            recorder that is ahead of it is rewound to it (which is logged). Or, without a file, the ``Progress`` of the
            earlier epochs that were trained elsewhere (without the optimizer's momentum; a file keeps that).
        device: where to train, and the model is moved to; None: where it is.

    Raises:
        TrainmapError: arguments that do not fit together, a checkpoint of another run, a recorder at another epoch,
            or a training that diverged.
    """
    _check_values(teaching, watching, checkpoint)
    teaching, watching, visiting = teaching or Teaching(), watching or Watching(), told_apart(visits)
    file, progress = (None, checkpoint) if isinstance(checkpoint, Progress) else (checkpoint, Progress())
    file, recorder, device = None if file is None else Path(file), watching.recorder, device or device_of(model)
    _check_place(progress, steps)
    _check_data(train, recipe)
    if recorder is not None and steps is not None:
        _check_whole_epochs(train, visiting, recipe, steps)

    forward = forward_flops(model, train.inputs)
    channels_last = lay_out(model, device)
    loss_of = objective(model, train, recipe, seed, teaching, device)
    optimizer = make_optimizer(loss_of.trained, recipe)
    if visiting.proxy is not None:
        visiting.proxy.start(train.inputs, make_optimizer(visiting.proxy.model, recipe), device)

    about, state = {}, (loss_of.trained, optimizer, visiting.learned)
    if file is not None:
        about = {"model": str(model), "dataset": train.fingerprint(), "seed": str(seed)}
        about |= {"recipe": str(asdict(recipe)), "steps": str(steps)}
        about |= {**visiting.identity, **loss_of.identity, **watching.identity}
        progress = resume(file, about, watching.recorded, *state)
    visiting.check_unused(progress)
    if file is not None and not file.exists():
        save(file, about, progress, *state)
    watching.go_on_at(progress.epoch, kept=file is not None)

    x, y = as_tensor(train.x, device), as_tensor(train.y, device)
    run = _Run(train, x, y, channels_last, recipe, seed, steps, loss_of, optimizer, visiting, watching)

    while progress.epoch < recipe.epochs if steps is None else progress.steps < steps:
        progress = run.epoch(progress)
        # Before the recorder: what is recorded then never has to be dropped (see ``resume``).
        if file is not None:
            save(file, about, progress, *state)
        if recorder is not None:
            recorder.end_epoch()
        if watching.on_epoch is not None and watching.on_epoch(progress.epoch - 1, progress.loss) is True:
            break

    model.eval()
    live = loss_of.teacher
    return FitResult(
        epochs=progress.epoch,
        steps=progress.steps,
        examples_seen=progress.examples_seen,
        seconds=progress.seconds,
        cpu_seconds=progress.cpu_seconds,
        flops=training_flops(forward, progress.examples_seen),
        teacher_flops=0 if live is None else forward_flops(live, train.inputs) * progress.examples_seen,
        proxy_flops=0 if visiting.proxy is None else visiting.proxy.flops,
        loss=progress.loss,
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """A run of ``fit``, checked and on its device."""

    train: Dataset
    x: Tensor
    y: Tensor
    channels_last: bool
    recipe: Recipe
    seed: int
    steps: int | None
    loss_of: Objective
    optimizer: torch.optim.Optimizer
    visiting: Visiting
    watching: Watching

    def epoch(self, progress: Progress) -> Progress:
        """Train the next epoch; what the training has come to then."""
        wall, cpu = time.perf_counter(), time.process_time()
        epoch, train, recipe, proxy = progress.epoch, self.train, self.recipe, self.visiting.proxy
        watchers = [one for one in (self.watching.recorder, self.visiting.schedule) if one is not None]
        if self.watching.before_epoch is not None:
            self.watching.before_epoch(epoch)
        order, draws = _generator(self.seed, epoch, 0), _generator(self.seed, epoch, 1)
        visit = self.visiting.plan(epoch, train)
        if self.watching.recorder is not None:
            self.visiting.check_recorded(self.watching.recorder, train, epoch, visit)
        rows = torch.from_numpy(train.rows(np.sort(visit.ids)))
        batches = even_batches(rows[torch.randperm(len(rows), generator=order)], self.visiting.pool(recipe.batch))
        if self.steps is not None:
            batches = batches[: self.steps - progress.steps]

        self.loss_of.model.train()
        total, seen = torch.zeros((), device=self.x.device), 0
        for number, batch in enumerate(batches):
            if self.steps is None:
                done = (epoch + (number + 0.5) / len(batches)) / recipe.epochs
            else:
                done = (progress.steps + number + 0.5) / self.steps
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate(done)

            place = batch.to(self.x.device)
            x, flipped = augment(self.x.index_select(0, place), draws, recipe.flips, recipe.crop)
            x, y = to_input(x, self.channels_last), self.y[place]
            if proxy is not None:
                kept = proxy.choose(x, y, recipe.learning_rate(done))
                x, y, place, flipped, batch = x[kept], y[kept], place[kept], flipped[kept], batch[kept.cpu()]
            ids = train.ids[batch.numpy()]
            logits, losses = self.loss_of(x, y, place, flipped, done)
            if visit.weights is not None:
                losses = losses * torch.from_numpy(visit.weights_of(ids)).to(losses)
            self.optimizer.zero_grad()
            losses.mean().backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(self.loss_of.trained.parameters(), recipe.clip)
            self.optimizer.step()

            total += losses.detach().sum()
            seen += len(batch)
            for watcher in watchers:
                watcher.update(ids, logits.detach(), y)

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
        if self.visiting.schedule is not None:
            self.visiting.schedule.end_epoch()
        return progress


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


def _generator(seed: int, epoch: int, stream: int) -> torch.Generator:
    """Randomness that depends on the seed, the epoch and the purpose, and on nothing that ran before."""
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def _check_values(teaching: object, watching: object, checkpoint: object) -> None:
    """Refuse what stands in the place of a value of ours: logits, a recorder, a number of epochs."""
    for name, value, kind, how in (
        ("teaching", teaching, Teaching, "Teaching(logits or network, Distillation(...))"),
        ("watching", watching, Watching, "Watching(recorder, before_epoch, on_epoch)"),
        ("checkpoint", checkpoint, (str, Path, Progress), "a file, or Progress(epoch) for epochs trained elsewhere"),
    ):
        if value is not None and not isinstance(value, kind):
            raise TrainmapError(f"{name} must be {how}, got {type(value).__name__}")


def _check_place(progress: Progress, steps: int | None) -> None:
    if progress.epoch < 0 or (steps is not None and steps < 1):
        raise TrainmapError(
            f"the first epoch must be at least 0 and steps at least 1, got {progress.epoch} and {steps}"
        )
    if progress.epoch and steps is not None:
        raise TrainmapError("a run that starts at a later epoch goes by epochs: leave out steps, or start at epoch 0")


def check_recipe(recipe: Recipe, train: Dataset) -> None:
    """Refuse what a recipe asks of data of another form.

    Raises:
        TrainmapError: flips or crops of what are no images.
    """
    if train.inputs.form != "pixels" and (recipe.flips or recipe.crop):
        raise TrainmapError(
            f"flips and crops are for images, but {train.name} has {train.inputs}; use flips=False and crop=0"
        )


def _check_data(train: Dataset, recipe: Recipe) -> None:
    if len(train) == 0:
        raise TrainmapError(f"nothing to train on: the dataset '{train.name}' has no examples")
    check_recipe(recipe, train)


def _check_whole_epochs(train: Dataset, visiting: Visiting, recipe: Recipe, steps: int) -> None:
    per_epoch = len(even_batches(torch.arange(len(train)), visiting.pool(recipe.batch)))
    if visiting.varies or steps % per_epoch:
        raise TrainmapError(
            f"a recorder needs whole epochs: steps must be a multiple of {per_epoch} (one epoch) that visits all the "
            f"examples, got {steps}"
        )
