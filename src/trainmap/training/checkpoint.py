"""Checkpoints of a training run: a killed run goes on at its last whole epoch, in step with its recorder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainmap.errors import TrainmapError, cause, some
from trainmap.files import reading, writing
from trainmap.training.state_file import load_state
from trainmap.typed import as_type


@dataclass(frozen=True)
class Progress:
    """How far a run has come: the next epoch, and what the epochs before it cost."""

    epoch: int = 0
    steps: int = 0
    examples_seen: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loss: float = float("nan")


class Learned(Protocol):
    """Something beside the network that a run must find again as it left it."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Any) -> None: ...


def previous(path: Path) -> Path:
    """Where the checkpoint one epoch before ``path`` is kept."""
    return path.with_name(f"{path.name}.previous")


def save(
    path: Path,
    run: dict[str, str],
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    learned: Mapping[str, Learned | None] | None = None,
) -> None:
    """Write the state at ``progress`` to ``path``, and keep what was there as the previous checkpoint.

    Atomic: a kill at any moment leaves the state of the last two epochs, or of the last one under either name.
    """
    if path.exists():
        os.replace(path, previous(path))
    state = {
        "run": run,
        "progress": asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "learned": {name: _tensors(part.state()) for name, part in (learned or {}).items() if part is not None},
    }
    with writing(path) as handle:
        torch.save(state, handle)


def resume(
    path: Path,
    run: dict[str, str],
    recorded: int | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    learned: Mapping[str, Learned | None] | None = None,
) -> Progress:
    """Load the checkpoint to go on from into ``model`` and ``optimizer``; without one, the run starts at its beginning.

    An epoch ends with its checkpoint and then its recording. A kill between the two leaves the recording one epoch
    behind, so the epoch is trained again from the checkpoint before. Where the recording is ahead of every checkpoint
    the newest one is taken and the caller rewinds the recorder. The checkpoints chosen against are removed, so that
    the two kept are always of neighbouring epochs.

    Args:
        path: of the newest checkpoint.
        run: what the run is; a checkpoint must agree.
        recorded: the next epoch of the recorder; None without a recorder.
        model, optimizer: changed in place.
        learned: what else learns in this run (a schedule, a proxy); changed in place.

    Raises:
        TrainmapError: the checkpoint is not one, or of another run, or all are of later epochs than the recorder's.
    """
    states = {file: read(file) for file in (path, previous(path)) if file.exists()}
    if not states:
        return Progress()
    for file, state in states.items():
        if differs := [key for key in run if state["run"].get(key) != run[key]]:
            raise TrainmapError(f"{file} is of another run (other {', '.join(differs)}); delete it or name another")
    epochs = {file: int(state["progress"]["epoch"]) for file, state in states.items()}
    wanted = max(epochs.values()) if recorded is None else min(recorded, max(epochs.values()))
    chosen = next((file for file, epoch in epochs.items() if epoch == wanted), None)
    if chosen is None:
        raise TrainmapError(
            f"the recorder is at epoch {recorded} and the checkpoints at {', '.join(map(str, epochs.values()))}; "
            "they are not of one run: give the checkpoint of the recorded run, or delete both and start again"
        )
    with reading(chosen, "checkpoint of this run", "delete it to start again"):
        model.load_state_dict(states[chosen]["model"])
        optimizer.load_state_dict(states[chosen]["optimizer"])
        for name, part in (learned or {}).items():
            if part is not None:
                part.restore(_arrays(states[chosen]["learned"][name]))
    if chosen != path:
        os.replace(chosen, path)
    return Progress(**states[chosen]["progress"])


def read(file: Path) -> dict[str, Any]:
    """What ``save`` wrote. Raises TrainmapError."""
    state = load_state(file, "checkpoint", "delete it to start again, or name another file")
    if not isinstance(state, dict) or state.keys() != {"run", "progress", "model", "optimizer", "learned"}:
        raise TrainmapError(f"{file} is not a checkpoint of a training run; name another file")
    if wrong := [name for name, part in state.items() if not isinstance(part, dict)]:
        raise TrainmapError(f"{file} is not a checkpoint of a training run ('{wrong[0]}' is none); name another file")
    if strange := state["progress"].keys() - {entry.name for entry in fields(Progress)}:
        raise TrainmapError(f"{file} was changed: {some(sorted(map(str, strange)))} does not belong; delete it")
    try:
        as_type(Progress, state["progress"], file, "delete it to start again")
        as_type(dict[str, str], state["run"], file, "delete it to start again")
    except TypeError as error:  # a tensor, where a number must be
        raise TrainmapError(f"{file} was changed: {cause(error)}; delete it to start again") from error
    return state


def _tensors(state: dict[str, Any]) -> dict[str, Any]:
    """numpy arrays as tensors: what ``torch.load(weights_only=True)`` reads."""
    return {name: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for name, v in state.items()}


def _arrays(state: dict[str, Any]) -> dict[str, Any]:
    return {name: v.numpy() if isinstance(v, Tensor) else v for name, v in state.items()}
