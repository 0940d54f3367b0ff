"""A teacher's logits, computed once for a dataset and kept on disk for all its students."""

from __future__ import annotations

import hashlib
import math
import os
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from trainmap.array_files import read_npy
from trainmap.checksums import card_of, read_sealed, write_card, write_sealed
from trainmap.data.dataset import Dataset
from trainmap.distillation.kept_logits import ANEW, TeacherCard, open_logits, read_card
from trainmap.dynamics.logit_precision import check_logits, halved
from trainmap.errors import StoreError, TrainmapError
from trainmap.files import reading
from trainmap.machine import bars
from trainmap.models.budget import inference_flops
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict, predict_pairs
from trainmap.typed import as_type

PART = 10_000
"""Examples between two times that the logits so far are safe on disk; whole batches of ``predict``."""


@dataclass(frozen=True)
class _Partial:
    """How far logits are made, beside what they are of."""

    teacher: str
    dataset: str
    order: str
    flips: bool
    done: Annotated[int, Field(ge=0)]
    crc32_done: int
    seconds: float
    cpu_seconds: float


def teacher_logits(
    model: nn.Module,
    dataset: Dataset,
    path: str | Path,
    flips: bool = False,
    device: str | None = None,
    progress: bool = False,
) -> NDArray[np.float16]:
    """The teacher's logits on every example, from the file when it is there and fits, else computed and written.

    They are kept in half precision: an error below 0.004 for logits up to 8, for half the bytes of single precision.
    Those of an example whose largest lies beyond ±64, where half precision is coarse, are kept less that largest, which
    no loss sees. A masked class stays -inf.
    They are made in parts of ``PART`` examples beside ``path``, in ``<file>.partial`` and its card: a kill loses the
    part under way, and the next call goes on there. One process at a time may make a file.

    Args:
        model: the trained teacher; predicts in eval mode.
        dataset: N examples, row order kept.
        path: of the array, a plain .npy file; its card goes beside it.
        flips: the image's logits and its mirror image's, for students that are trained with flips.
        device: where to compute, and the model is moved to; None: where it is.
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
    card_path = card_of(path)
    if path.exists() and card_path.exists():
        kept = asdict(read_card(path))
        if all(kept[name] == value for name, value in key.items()):
            return open_logits(path)

    if len(dataset) == 0:
        raise TrainmapError(f"nothing to predict: the dataset '{dataset.name}' has no examples")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    spent = _make(model, dataset, partial, key, device, progress)
    card_path.unlink(missing_ok=True)  # first, so that a kill never leaves a card beside another array
    os.replace(partial, path)
    card_of(partial).unlink()
    flops = inference_flops(forward_flops(model, dataset.inputs), len(dataset), flips)
    write_card(path, {**key, "flops": flops, **spent})
    return open_logits(path)


def _make(
    model: nn.Module, dataset: Dataset, partial: Path, key: dict[str, Any], device: str | None, progress: bool
) -> dict[str, float]:
    """Fill the file ``partial`` from where it stands; the seconds that it took, those before a kill included."""
    shape = (len(dataset), 2, dataset.classes) if key["flips"] else (len(dataset), dataset.classes)
    state = _begun(partial, key, shape)
    if not state["done"]:
        _make_empty(partial, shape)
    with reading(partial, "array of logits", ANEW):
        kept = np.lib.format.open_memmap(partial, "r+")
    with bars(transient=True, disable=not progress) as bar:
        task = bar.add_task("teacher logits", total=len(dataset), completed=state["done"])
        for start in range(state["done"], len(dataset), PART):
            wall, cpu = time.perf_counter(), time.process_time()
            part = dataset.subset(dataset.ids[start : start + PART])
            logits = predict_pairs(model, part, device) if key["flips"] else predict(model, part, device=device)
            try:
                rows = logits.reshape(-1, dataset.classes)  # with flips two of an example
                ids = np.repeat(part.ids, len(rows) // len(part))
                half = halved(check_logits(ids, rows, rows.argmax(axis=1), half=True))
            except TrainmapError as error:
                partial.unlink()
                card_of(partial).unlink(missing_ok=True)
                raise TrainmapError(f"teacher logits must be finite, within 65504 of their largest: {error}") from None
            kept[start : start + len(part)] = half.reshape(logits.shape)
            kept.flush()
            state = {
                "done": start + len(part),
                "crc32_done": zlib.crc32(kept[start : start + len(part)].data, state["crc32_done"]),
                "seconds": state["seconds"] + time.perf_counter() - wall,
                "cpu_seconds": state["cpu_seconds"] + time.process_time() - cpu,
            }
            write_sealed(card_of(partial), {**key, **state})
            bar.update(task, completed=state["done"])
    return {name: state[name] for name in ("seconds", "cpu_seconds")}


def _make_empty(partial: Path, shape: tuple[int, ...]) -> None:
    """A new file for the array, in the place of whatever is there; never what a link leads to."""
    for path in (partial, card_of(partial)):
        if path.is_dir() and not path.is_symlink():
            raise StoreError(f"{path} is a folder, a file of the cache is to stand there; remove it")
    partial.unlink(missing_ok=True)
    with open(partial, "xb") as handle:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, header)
        handle.truncate(handle.tell() + 2 * math.prod(shape))


def _begun(partial: Path, key: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """How far an interrupted call for the same logits came; nothing done when there was none, or what it left is
    damaged: it is made again."""
    fresh: dict[str, Any] = dict.fromkeys(("done", "crc32_done", "seconds", "cpu_seconds"), 0)
    if partial.is_symlink():
        return fresh
    try:
        state = asdict(as_type(_Partial, read_sealed(card_of(partial), "card"), card_of(partial)))
        if not all(state[name] == value for name, value in key.items()):
            return fresh
        kept = read_npy(partial, "array of logits", ANEW)
        with reading(partial, "array of logits", ANEW):
            fits = kept.shape == shape and kept.dtype == np.dtype("<f2") and kept.flags.c_contiguous
            whole = fits and zlib.crc32(kept[: state["done"]].data) == state["crc32_done"]
    except StoreError:
        return fresh
    return {name: state[name] for name in fresh} if whole else fresh


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) of a network: its structure as torch prints it, and every parameter and buffer."""
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


__all__ = ["TeacherCard", "fingerprint", "open_logits", "read_card", "teacher_logits"]
