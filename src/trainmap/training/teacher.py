"""A teacher's logits, computed once for a dataset and kept on disk for all its students."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.progress import Progress
from torch import nn

from trainmap.array_files import read_npy
from trainmap.errors import StoreError, TrainmapError
from trainmap.files import read_json, reading, write_json
from trainmap.training.cost import forward_flops, inference_flops
from trainmap.training.data import Dataset
from trainmap.training.evaluate import predict, predict_pairs
from trainmap.typed import as_type

CACHE, CARD, DELETE = "file of teacher logits", "card of teacher logits", "delete it to compute anew"
PART = 10_000
"""Examples between two times that the logits so far are safe on disk; whole batches of ``predict``."""


@dataclass(frozen=True)
class TeacherCard:
    """What a file of teacher logits came from, and what it cost to make; kept beside it as ``<file>.json``."""

    teacher: str
    dataset: str
    order: str
    flips: bool
    flops: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class _Partial:
    """How far logits are made, beside what they are of."""

    teacher: str
    dataset: str
    order: str
    flips: bool
    done: Annotated[int, Field(ge=0)]
    seconds: float
    cpu_seconds: float


def teacher_logits(
    model: nn.Module,
    dataset: Dataset,
    path: str | Path,
    flips: bool = False,
    device: str = "cpu",
    progress: bool = False,
) -> NDArray[np.float16]:
    """The teacher's logits on every example, from the file when it is there and fits, else computed and written.

    They are kept in half precision: an error below 0.004 for logits up to 8, for half the bytes of single precision.
    They are made in parts of ``PART`` examples beside ``path``, in ``<file>.partial`` and its card: a kill loses the
    part under way, and the next call goes on there. One process at a time may make a file.

    Args:
        model: the trained teacher; predicts in eval mode.
        dataset: N examples, row order kept.
        path: of the array, a plain .npy file; its card goes beside it.
        flips: the image's logits and its mirror image's, for students that are trained with flips.
        device: where to compute.
        progress: show a bar on the standard error.

    Returns:
        (N, C), or (N, 2, C) with flips, float16, read-only and memory-mapped.

    Raises:
        TrainmapError: the path does not end in .npy, no examples, or logits that half precision cannot hold.
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise TrainmapError(f"teacher logits are kept in a .npy file, got {path}")
    key = {
        "teacher": fingerprint(model),
        "dataset": dataset.fingerprint(),
        "order": hashlib.sha256(dataset.ids.tobytes()).hexdigest(),
        "flips": flips,
    }
    card_path = _card_path(path)
    if path.exists() and card_path.exists():
        kept = asdict(read_card(path))
        if all(kept[name] == value for name, value in key.items()):
            return read_npy(path, CACHE, "delete it to compute anew")

    if len(dataset) == 0:
        raise TrainmapError(f"nothing to predict: the dataset '{dataset.name}' has no examples")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    spent = _make(model, dataset, partial, key, device, progress)
    card_path.unlink(missing_ok=True)  # first, so that a kill never leaves a card beside another array
    os.replace(partial, path)
    _card_path(partial).unlink()
    flops = inference_flops(forward_flops(model, dataset.inputs), len(dataset), flips)
    write_json(card_path, {**key, "flops": flops, **spent})
    return read_npy(path, CACHE)


def _make(
    model: nn.Module, dataset: Dataset, partial: Path, key: dict[str, Any], device: str, progress: bool
) -> dict[str, float]:
    """Fill the file ``partial`` from where it stands; the seconds that it took, those before a kill included."""
    shape = (len(dataset), 2, dataset.classes) if key["flips"] else (len(dataset), dataset.classes)
    state = _begun(partial, key)
    mode: Any = "r+" if state["done"] else "w+"
    with reading(partial, CACHE, DELETE):
        kept = np.lib.format.open_memmap(partial, mode, np.float16, shape)
    bar = Progress(console=Console(stderr=True), transient=True, disable=not progress)
    with bar:
        task = bar.add_task("teacher logits", total=len(dataset), completed=state["done"])
        for start in range(state["done"], len(dataset), PART):
            wall, cpu = time.perf_counter(), time.process_time()
            part = dataset.subset(dataset.ids[start : start + PART])
            logits = predict_pairs(model, part, device) if key["flips"] else predict(model, part, device=device)
            largest = float(np.abs(logits).max())
            if not largest <= float(np.finfo(np.float16).max):
                partial.unlink()
                _card_path(partial).unlink(missing_ok=True)
                raise TrainmapError(
                    f"teacher logits must be finite and within 65504, got {largest}; has the teacher diverged?"
                )
            kept[start : start + len(part)] = logits
            kept.flush()
            state = {
                "done": start + len(part),
                "seconds": state["seconds"] + time.perf_counter() - wall,
                "cpu_seconds": state["cpu_seconds"] + time.process_time() - cpu,
            }
            write_json(_card_path(partial), {**key, **state})
            bar.update(task, completed=state["done"])
    return {name: state[name] for name in ("seconds", "cpu_seconds")}


def _begun(partial: Path, key: dict[str, Any]) -> dict[str, Any]:
    """How far an interrupted call for the same logits came; nothing done when there was none."""
    names = ("done", "seconds", "cpu_seconds")
    try:
        kept = as_type(_Partial, read_json(_card_path(partial), CARD), _card_path(partial))
        read_npy(partial, CACHE)
    except StoreError:  # none, or not of these logits: they are made from the beginning
        return dict.fromkeys(names, 0)
    fits = all(getattr(kept, name) == value for name, value in key.items())
    return {name: getattr(kept, name) for name in names} if fits else dict.fromkeys(names, 0)


def read_card(path: str | Path) -> TeacherCard:
    """The card of a file of teacher logits.

    Raises:
        TrainmapError: no card, or one that cannot be read.
    """
    card_path = _card_path(Path(path))
    return as_type(TeacherCard, read_json(card_path, CARD, DELETE), card_path, DELETE)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) of a network: its structure as torch prints it, and every parameter and buffer."""
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _card_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
