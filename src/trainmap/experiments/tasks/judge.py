"""How good a network is, on its own test set and elsewhere; what it predicts there; what it took and weighs."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from torch import nn

from trainmap.compression.compressed import Compressed
from trainmap.compression.network_files import file_of
from trainmap.data.dataset import Dataset, Splits
from trainmap.data.elsewhere import Revised
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.counterfactual import consistency
from trainmap.evaluation.metrics import evaluate
from trainmap.evaluation.ood import detect
from trainmap.evaluation.predictions import Predictions
from trainmap.evaluation.shifts import evaluate_everywhere, load_shift
from trainmap.experiments.tasks.datasets import Data, Elsewhere, fingerprint_of, foreign
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
    source: Data,
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
        source: which data these are.
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
    sets = Sets.load(asked, source, data.test, place.data_root)
    found: dict[str, np.ndarray] = {}

    def seen(name: str, part: Dataset, logits: np.ndarray) -> None:
        found["test" if part is data.test else name] = logits
        if part is not data.test:
            kept(name, part, logits)

    rows = evaluate_everywhere(
        *(model, data.test, sets.shifts, asked.corruptions, asked.severities),
        flips=flips,
        device=device,
        on_logits=seen,
    )
    told: list[dict[str, Any]] = [row.flat() for row in rows]
    for metric in ("accuracy", "macro_f1"):
        row |= {f"{one.set}_{metric}": getattr(one.metrics, metric) for one in rows if one.role == "shift"}
        corrupted = [getattr(one.metrics, metric) for one in rows if one.role == "corruption"]
        row |= {f"corrupted_{metric}": float(np.mean(corrupted))} if corrupted else {}
    for name, pairs in sets.pairs.items():
        theirs = [(revised, found[called].argmax(axis=1)) for called, revised in pairs.items()]
        row[f"{name}_consistency"] = consistency(data.test, found["test"].argmax(axis=1), theirs)
        told.append({"set": name, "role": "pairs", "consistency": row[f"{name}_consistency"]})
    for name, outliers in sets.outliers.items():
        logits = predict(model, outliers, flips, device)
        kept(name, outliers, logits)
        scores = detect(found["test"], logits)
        told += [{"set": name, "role": "outliers", "score": score, **asdict(one)} for score, one in scores.items()]
        best = scores[asked.sets[name].score]
        row |= {f"{name}_auroc": best.auroc, f"{name}_fpr95": best.fpr95}
    write_json(place.out / EVERYWHERE, told)
    return row


@dataclass(frozen=True)
class Sets:
    """What a network is judged on elsewhere, by name.

    Attributes:
        shifts: sets with the classes of the dataset, those of the pairs among them.
        pairs: name -> sets of revised examples.
        outliers: examples of none of the classes.
    """

    shifts: dict[str, Dataset]
    pairs: dict[str, dict[str, Revised]]
    outliers: dict[str, Dataset]

    @staticmethod
    def load(asked: Elsewhere, data: Data, test: Dataset, root: str | None) -> Sets:
        """The sets that are asked for.

        Raises:
            TrainmapError: they are not what they were when the experiment was planned.
        """
        shifts = {name: load_shift(name, root or "data") for name in asked.shifts}
        made = {name: foreign(data, name, one, root, test) for name, one in asked.sets.items()}
        prints = asked.shifts | {name: one.fingerprint for name, one in asked.sets.items()}
        for name, one in (shifts | made).items():
            if fingerprint_of(one) != prints[name]:
                raise TrainmapError(f"the data of {name} changed since the experiment was planned; plan it again")
        pairs, outliers = {}, {}
        for name, one in made.items():
            if not isinstance(one, Dataset):
                pairs[name] = one
                shifts |= {called: revised.revised for called, revised in one.items()}
            elif asked.sets[name].kind == "outliers":
                outliers[name] = one
            else:
                shifts[name] = one
        return Sets(shifts, pairs, outliers)


def prediction_path(folder: Path, name: str) -> Path:
    """Where a run's predictions on a set are: "test", "fog 3", the name of a shift."""
    return folder / "predictions" / f"{quote(name.replace(' ', '-'), safe='')}.parquet"


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
