"""What every task that trains a network has: how it is built, trained, watched, kept and found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainmap.data.dataset import Dataset, Splits
from trainmap.data.inputs import Inputs
from trainmap.errors import counted
from trainmap.experiments.tasks.datasets import Data, Elsewhere
from trainmap.experiments.tasks.judge import judged
from trainmap.experiments.tasks.place import EPOCHS, MODEL, Place
from trainmap.experiments.tasks.recipe import RecipeValue, recipe_told
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.tracking import track
from trainmap.experiments.tasks.watch import Watch
from trainmap.files import reading, writing
from trainmap.models.budget import training_flops
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.zoo import PRETRAINED
from trainmap.training.checkpoint import previous
from trainmap.training.fit import FitResult, fit
from trainmap.training.state_file import load_state
from trainmap.training.step import Teaching
from trainmap.training.watching import EpochRecorder, Watching

CHECKPOINT_FLOPS = 10**12  # a run above this (a minute on one core, about) can go on after a kill


class Learning(Task):
    """A task that trains a network.

    Attributes:
        data: with its split.
        model: its name.
        recipe: every setting.
        seed: of its weights, the order of the data and the augmentation.
        patience: epochs without a better validation loss after which it ends; None: never.
        device: where it is trained.
        evaluation: what it is judged on besides its test set.
    """

    data: Data
    model: str
    recipe: RecipeValue
    seed: int
    patience: int | None
    device: str
    evaluation: Elsewhere

    def told(self) -> str:
        stops = f", until {counted(self.patience, 'epoch')} without a better validation loss" if self.patience else ""
        return f"{self.model}, {recipe_told(self.recipe)}{stops}"

    def build(self, train: Dataset) -> nn.Module:
        """The network before its training."""
        return build(self.model, train.classes, train.inputs, self.seed)

    def network(self, folder: Path, train: Dataset) -> nn.Module:
        """The network that this task left in its folder."""
        name = self.model.removesuffix(PRETRAINED)  # its weights are loaded right away
        model = build(name, train.classes, train.inputs, self.seed)
        path, cure = folder / MODEL, "remove the folder and train it again"
        state = load_state(path, "network", cure)
        with reading(path, "network of this architecture", cure):
            model.load_state_dict(state)
        return model

    def train(
        self,
        model: nn.Module,
        data: Splits,
        train: Dataset,
        place: Place,
        recorder: EpochRecorder | None = None,
        **how: Any,
    ) -> FitResult:
        """``fit`` with its epochs written down, early stopping, and a checkpoint for a long one."""
        place.out.mkdir(parents=True, exist_ok=True)  # the first checkpoint is written before the first epoch
        logs = place.logs or place.out
        with track(place.name or place.out.name, self.identity(), logs, place.tracking) as log:
            watch = Watch(place.out / EPOCHS, model, data.validation, self.patience, self.device, log)
            checkpoint = place.checkpoint
            if checkpoint is not None and (over := watch.over(checkpoint, recorder)) is not None:
                seen, taught = over["examples_seen"], how.get("teaching")
                flops = training_flops(forward_flops(model, train.inputs), seen)
                return FitResult(**over, flops=flops, teacher_flops=live_flops(taught, train.inputs, seen))
            rest: dict[str, Any] = {"checkpoint": checkpoint, "device": self.device}
            watching = Watching(recorder, on_epoch=watch)
            return fit(model, train, self.recipe, seed=self.seed, watching=watching, **rest, **how)

    def judge(self, model: nn.Module, data: Splits, place: Place, keep: bool = False) -> dict[str, Any]:
        """Its metrics; see ``judged``."""
        return judged(model, data, place, self.evaluation, flips=self.recipe.flips, device=self.device, keep=keep)


def live_flops(teaching: Teaching | None, inputs: Inputs, seen: int) -> int:
    """FLOPs of a teacher's forward passes over so many examples; 0 for none, and for cached logits."""
    live = None if teaching is None else teaching.teacher
    return forward_flops(live, inputs) * seen if isinstance(live, nn.Module) else 0


def leave_network(model: nn.Module, folder: Path) -> None:
    """Keep a trained network's weights for ``Learning.network``."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / MODEL) as handle:
        torch.save(model.state_dict(), handle)


def checkpoints(place: Place) -> list[Path]:
    """The files that a killed run would go on from."""
    return [] if place.checkpoint is None else [place.checkpoint, previous(place.checkpoint)]


def forget_checkpoint(place: Place) -> None:
    """A run that is over needs none."""
    for path in checkpoints(place):
        path.unlink(missing_ok=True)
