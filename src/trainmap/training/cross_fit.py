"""Cross-fitting by ``fit``: K networks, each trained on all folds but one and asked about that one after each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.dynamics.folds import CrossFit
from trainmap.dynamics.manifest import Level
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.kinds import as_path
from trainmap.machine import progress
from trainmap.models.budget import inference_flops
from trainmap.models.cost import forward_flops
from trainmap.training.checkpoint import previous
from trainmap.training.evaluation_pass import Sweep
from trainmap.training.fit import FitResult, fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import Watching


@dataclass(frozen=True)
class CrossFitted:
    """What K trainings left.

    Attributes:
        cross: which example was in which fold.
        networks: K, in the order of the folds; network k did not train on ``cross[k].held``.
        fits: what each training did and cost, the parts before a resume included.
        sweep_flops: of the evaluation passes that were recorded.
        sweep_seconds: of those since the last resume.
        path: of the recording.
    """

    cross: CrossFit
    networks: tuple[nn.Module, ...]
    fits: tuple[FitResult, ...]
    sweep_flops: int
    sweep_seconds: float
    path: Path

    @property
    def dynamics(self) -> Dynamics:
        """The recording, opened: E epochs of every example."""
        return Dynamics.open(self.path)

    @property
    def all_flops(self) -> int:
        """What the recording took as a whole: K trainings on (K - 1) / K of the data each, and the passes."""
        return self.sweep_flops + sum(one.all_flops for one in self.fits)


def cross_fit(
    build: Callable[[int], nn.Module],
    train: Dataset,
    recipe: Recipe,
    path: str | Path,
    *,
    folds: int = 2,
    seed: int = 0,
    groups: Any = None,
    level: Level = "signals",
    overwrite: bool = False,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    on_epoch: Callable[[int, int, float], object] | None = None,
) -> CrossFitted:
    """Record every example out of fold, with trainmap's own training: see ``CrossFit`` for any other.

    ::

        made = tm.cross_fit(
            lambda seed: build("cnn-8", train.classes, train.inputs, seed), train, Recipe(epochs=8), "held-out"
        )
        datamap = tm.DataMap.from_dynamics(made.dynamics)

    Args:
        build: a new network for a seed; fold k gets ``seed + k``, for its order of the data as well.
        train: the N examples.
        recipe: how each network is trained, on (K - 1) / K of them.
        path: the folder of the recording.
        folds: K, at least 2.
        seed: of the division into folds, and of the first network.
        groups: (N,) in row order, what an example belongs to; a group stays in one fold (``train.group(column)``).
        level: see ``Recorder``.
        overwrite: remove a recording that is there, unless a checkpoint goes on with it.
        checkpoint: a folder for the states of the trainings, with which a killed run goes on at its fold and epoch and
            ends as one that was not interrupted. None: a killed run begins anew (``overwrite=True``).
        device: where to train; None: where the networks are.
        on_epoch: called with fold, epoch and mean loss after each epoch.

    Raises:
        TrainmapError: a class with fewer examples than folds, a network that is no new one, and what ``fit`` and
            ``Recorder`` refuse.
    """
    folder = as_path(path)
    if not isinstance(train, Dataset) or not callable(build):
        raise TrainmapError(
            "cross_fit takes a function from a seed to a network, and a Dataset (load_splits(...).train), got "
            f"{type(build).__name__} and {type(train).__name__}"
        )
    cross = CrossFit(train.ids, train.y, folds, seed, groups)
    states = None if checkpoint is None else as_path(checkpoint)
    files = [None if states is None else states / f"fold-{number}.pt" for number in range(len(cross))]
    resume = any(found.exists() for file in files if file is not None for found in (file, previous(file)))
    if states is not None:
        states.mkdir(parents=True, exist_ok=True)
    networks: list[nn.Module] = []
    fits: list[FitResult] = []
    flops, seconds = 0, 0.0
    how: dict[str, Any] = {"level": level, "resume": resume, "overwrite": overwrite and not resume}
    with progress(f"{len(cross)} folds", len(cross) * recipe.epochs) as advance:
        for fold, file in zip(cross, files, strict=True):
            own, asked = train.subset(fold.train), train.subset(fold.held)
            model = build(seed + fold.number)
            if not isinstance(model, nn.Module) or any(model is other for other in networks):
                raise TrainmapError("build must return a new network for each seed, a torch.nn.Module of its own")
            with Recorder(folder, train.classes, fold=fold, **how) as recorder:
                advance(recorder.epoch)

                def told(epoch: int, loss: float, number: int = fold.number) -> None:
                    advance(1)
                    if on_epoch is not None:
                        on_epoch(number, epoch, loss)

                sweep = Sweep(recorder, model, asked, device)
                watching = Watching(sweep, on_epoch=told)
                fits.append(
                    fit(model, own, recipe, seed=seed + fold.number, watching=watching, checkpoint=file, device=device)
                )
                flops += inference_flops(forward_flops(model, train.inputs), len(asked) * recipe.epochs)
                seconds += sweep.seconds
            networks.append(model)
    return CrossFitted(cross, tuple(networks), tuple(fits), flops, seconds, folder)
