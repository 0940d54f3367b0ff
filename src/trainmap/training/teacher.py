"""A teacher's logits, computed once for a dataset and kept on disk for all its students."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainmap.errors import TrainmapError
from trainmap.files import write_atomically, write_json
from trainmap.training.cost import forward_flops, inference_flops
from trainmap.training.data import Dataset
from trainmap.training.evaluate import predict, predict_pairs


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


def teacher_logits(
    model: nn.Module, dataset: Dataset, path: str | Path, flips: bool = False, device: str = "cpu"
) -> NDArray[np.float16]:
    """The teacher's logits on every example, from the file when it is there and fits, else computed and written.

    They are kept in half precision: an error below 0.004 for logits up to 8, for half the bytes of single precision.

    Args:
        model: the trained teacher; predicts in eval mode.
        dataset: N examples, row order kept.
        path: of the array, a plain .npy file; its card goes beside it.
        flips: the image's logits and its mirror image's, for students that are trained with flips.
        device: where to compute.

    Returns:
        (N, C), or (N, 2, C) with flips, float16, read-only and memory-mapped.

    Raises:
        TrainmapError: the path does not end in .npy, or logits that half precision cannot hold.
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
            return np.load(path, mmap_mode="r", allow_pickle=False)

    wall, cpu = time.perf_counter(), time.process_time()
    logits = predict_pairs(model, dataset, device) if flips else predict(model, dataset, device=device)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    largest = float(np.abs(logits).max())
    if not largest <= float(np.finfo(np.float16).max):
        raise TrainmapError(f"teacher logits must be finite and within 65504, got {largest}; has the teacher diverged?")

    path.parent.mkdir(parents=True, exist_ok=True)
    card_path.unlink(missing_ok=True)  # first, so that a kill never leaves a card beside another array
    with write_atomically(path) as handle:
        np.save(handle, logits.astype(np.float16))
    flops = inference_flops(forward_flops(model, dataset.channels, dataset.size), len(dataset), flips)
    write_json(card_path, {**key, "flops": flops, "seconds": seconds, "cpu_seconds": cpu_seconds})
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_card(path: str | Path) -> TeacherCard:
    """The card of a file of teacher logits.

    Raises:
        TrainmapError: no card, or one that cannot be read.
    """
    card_path = _card_path(Path(path))
    try:
        return TeacherCard(**json.loads(card_path.read_text()))
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise TrainmapError(f"{card_path} is not the card of teacher logits; delete it to compute anew") from error


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) of a network: its structure as torch prints it, and every parameter and buffer."""
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _card_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
