"""One run of a grid: train a student on a selection and judge it. Runs in a worker process, from its configuration."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

from trainmap.data.dataset import Splits, load_splits
from trainmap.distillation.cache import open_logits, read_card
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import build
from trainmap.models.cost import parameters
from trainmap.models.predict import predict
from trainmap.selection.card import Selection
from trainmap.training.fit import Distillation, Teaching, default_recipe, fit


@lru_cache(maxsize=2)
def splits(data: str, data_root: str | None, seed: int) -> Splits:
    """A dataset, loaded once in a worker."""
    return load_splits(data, data_root, seed)


def student_run(config: dict[str, Any]) -> dict[str, Any]:
    """Train and judge one student.

    Args:
        config: ``data``, ``split_seed``, ``dataset`` (fingerprint), ``model``, ``epochs``, ``seed``, ``device``;
            ``ids`` (``ids_hash`` of a Selection), or None for all the data; ``repeated`` (a number of examples drawn
            afresh each epoch) or None; ``steps`` or None; ``teacher`` (None, or ``fingerprint``, ``temperature``,
            ``weight``, and for another loss than Hinton's ``loss`` and ``options``). ``where`` says where to read:
            ``data_root`` unless it is the default, ``card`` (of the Selection) with ``ids``, ``logits`` with
            ``teacher``.

    Returns:
        The metrics on test and validation data, and what the run cost.

    Raises:
        TrainmapError: training data, a card or logits that are not those of the configuration.
    """
    where = config.get("where", {})
    data = splits(config["data"], where.get("data_root"), config["split_seed"])
    if data.fingerprint() != config["dataset"]:
        raise TrainmapError(f"the data of {config['data']} changed since the map was made")
    recipe = default_recipe(config["model"], config["data"], epochs=config["epochs"], inputs=data.train.inputs)
    train, logits, distillation = data.train, None, None
    if config["teacher"] is not None:
        if read_card(where["logits"]).teacher != config["teacher"]["fingerprint"]:
            raise TrainmapError(f"{where['logits']} must be the logits of this run's teacher, but are another's")
        logits = open_logits(where["logits"])
        told = ("loss", "temperature", "weight", "options")
        distillation = Distillation(**{name: config["teacher"][name] for name in told if name in config["teacher"]})
    if config["ids"] is not None:
        selection = Selection.open(where["card"])
        selection.verify(data.train)
        if ids_hash(selection.ids) != config["ids"]:
            raise TrainmapError(f"{where['card']} must hold the examples of this run, but has others")
        rows = data.train.rows(selection.ids)
        train = data.train.subset(selection.ids)
        logits = None if logits is None else logits[rows]
    model = build(config["model"], train.classes, train.inputs, config["seed"])
    result = fit(
        model,
        train,
        recipe,
        seed=config["seed"],
        steps=config["steps"],
        teaching=Teaching(logits, distillation),
        visits=None if config["repeated"] is None else repeated(train.ids, config["repeated"], config["seed"]),
        device=config["device"],
    )
    row: dict[str, Any] = {}
    for name, part in (("test", data.test), ("validation", data.validation)):
        metrics = evaluate(predict(model, part, flips=recipe.flips, device=config["device"]), part.y)
        row |= {f"{name}_{key}": value for key, value in vars(metrics).items()}
    return row | {
        "examples": len(train) if config["repeated"] is None else config["repeated"],
        "steps": result.steps,
        "examples_seen": result.examples_seen,
        "train_flops": result.flops,
        "train_seconds": result.seconds,
        "train_cpu_seconds": result.cpu_seconds,
        "train_loss": result.loss,
        "parameters": parameters(model),
    }


def ids_hash(ids: np.ndarray) -> str:
    """SHA-256 (hex) of the ids of a Selection, which are ascending int64 here."""
    return hashlib.sha256(ids.tobytes()).hexdigest()


def repeated(ids: np.ndarray, count: int, seed: int) -> Any:
    """Epoch -> ``count`` ids drawn without replacement, afresh for every epoch (RS2 without memory of what was drawn).

    Source: Okanovic et al. 2024, arXiv:2305.18424 (RS2 with replacement between epochs).
    """
    ordered = np.sort(ids)
    return lambda epoch: np.random.default_rng((seed, epoch)).permutation(ordered)[:count]
