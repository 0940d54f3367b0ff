"""How good a network is, on its own test set and elsewhere; what it predicts there; what it took and weighs."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from trainmap.compression.compressed import Compressed
from trainmap.compression.network_files import file_of
from trainmap.data.dataset import Dataset, Splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.evaluation.predictions import Predictions
from trainmap.evaluation.shifts import evaluate_everywhere, load_shift
from trainmap.experiments.tasks.datasets import Elsewhere
from trainmap.experiments.tasks.place import EVERYWHERE, Place
from trainmap.files import write_json
from trainmap.models.cost import parameters
from trainmap.models.predict import predict
from trainmap.training.fit import FitResult


def judged(
    model: nn.Module,
    data: Splits,
    place: Place,
    asked: Elsewhere,
    *,
    flips: bool,
    device: str,
    keep: bool = False,
) -> dict[str, Any]:
    """The metrics on test and validation data (which may be empty), and on the sets of ``asked``.

    Args:
        model: of any kind that ``predict`` takes.
        data: the test set's corruptions are made here.
        place: its ``out`` gets what is kept.
        asked: sets from elsewhere.
        flips: whether to average over mirror images, as the recipe trains on them.
        device: where to compute.
        keep: write the predictions on each set to ``predictions/<set>.parquet``.
    """

    def kept(name: str, part: Dataset, logits: np.ndarray) -> None:
        if keep:
            Predictions.of(part.ids, part.y, logits.argmax(axis=1)).save(prediction_path(place.out, name))

    row: dict[str, Any] = {}
    for name, part in (("test", data.test), ("validation", data.validation)):
        if len(part):
            logits = predict(model, part, flips, device)
            row |= {f"{name}_{key}": value for key, value in asdict(evaluate(logits, part.y)).items()}
            if name == "test":
                kept(name, part, logits)
    if not asked:
        return row
    shifts = {name: load_shift(name, place.data_root or "data") for name in asked.shifts}
    if changed := [name for name, shift in shifts.items() if shift.fingerprint() != asked.shifts[name]]:
        raise TrainmapError(f"the data of {changed[0]} changed since the experiment was planned; plan it again")
    rows = evaluate_everywhere(
        *(model, data.test, shifts, asked.corruptions, asked.severities),
        flips=flips,
        device=device,
        on_logits=lambda set_, part, logits: None if part is data.test else kept(set_, part, logits),
    )
    write_json(place.out / EVERYWHERE, [row.flat() for row in rows])
    for metric in ("accuracy", "macro_f1"):
        row |= {f"{one.set}_{metric}": getattr(one.metrics, metric) for one in rows if one.role == "shift"}
        corrupted = [getattr(one.metrics, metric) for one in rows if one.role == "corruption"]
        row |= {f"corrupted_{metric}": float(np.mean(corrupted))} if corrupted else {}
    return row


def prediction_path(folder: Path, name: str) -> Path:
    """Where a run's predictions on a set are: "test", "fog 3", the name of a shift."""
    return folder / "predictions" / f"{name.replace(' ', '-')}.parquet"


def costs(result: FitResult, model: nn.Module) -> dict[str, Any]:
    """What a training took; the FLOPs of a live teacher and of a proxy are among those of the training, and by
    themselves."""
    beside = {"teacher_flops": result.teacher_flops, "proxy_flops": result.proxy_flops}
    return {
        "steps": result.steps,
        "examples_seen": result.examples_seen,
        "train_flops": result.all_flops,
        "train_seconds": result.seconds,
        "train_cpu_seconds": result.cpu_seconds,
        "train_loss": result.loss,
        "parameters": parameters(model),
        **{name: flops for name, flops in beside.items() if flops},
    }


def weighs(network: Compressed, inputs: Inputs) -> dict[str, int]:
    """``parameters``, ``nonzero`` parameters, ``forward_flops`` of one example, ``bytes`` of the file, and
    ``zipped_bytes`` under zlib, where zeros weigh next to nothing."""
    kept = file_of(network.model, inputs)
    return {
        "parameters": network.parameters,
        "nonzero": network.nonzero,
        "forward_flops": network.flops,
        "bytes": len(kept),
        "zipped_bytes": len(zlib.compress(kept)),
    }
