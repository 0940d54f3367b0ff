"""Gradient-boosted trees as a teacher for tables: their log-probabilities as logits, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from trainmap.checksums import card_of, write_card
from trainmap.data.dataset import Dataset
from trainmap.distillation.kept_logits import open_logits, read_card
from trainmap.errors import TrainmapError
from trainmap.files import writing

LEAST_PROBABILITY = 1e-6


def boost(train: Dataset, seed: int = 0, iterations: int = 100) -> HistGradientBoostingClassifier:
    """Boosted trees fitted to the features, with scikit-learn's defaults and no early stopping.

    Raises:
        TrainmapError: a dataset without features, or with fewer than two classes among its examples.

    Source: Friedman 2001 (Annals of Statistics 29) as histograms, Ke et al. 2017 (LightGBM, NeurIPS).
    """
    _check(train)
    stopping: Any = False  # annotated there as text
    model = HistGradientBoostingClassifier(max_iter=iterations, early_stopping=stopping, random_state=seed)
    return model.fit(train.x, train.y)


def boosted_logits(model: HistGradientBoostingClassifier, dataset: Dataset) -> NDArray[np.float32]:
    """log p, at least log 1e-6: (N, C) float32, rows as in the dataset; softmax gives the probabilities back.

    A class that the trees were never shown has probability 1e-6.

    Raises:
        TrainmapError: a dataset without features.
    """
    if dataset.inputs.form != "features":
        raise TrainmapError(f"boosted trees take features, but {dataset.name} has {dataset.inputs}")
    probabilities = np.full((len(dataset), dataset.classes), LEAST_PROBABILITY)
    if len(dataset):
        shown: Any = model.classes_
        probabilities[:, shown] = np.maximum(model.predict_proba(dataset.x), LEAST_PROBABILITY)
    return np.log(probabilities).astype(np.float32)


def boosted_teacher(
    train: Dataset, path: str | Path, *, folds: int = 5, seed: int = 0, iterations: int = 100
) -> NDArray[np.float16]:
    """The logits of boosted trees on the examples they help to train, from the file when it fits, else made and kept.

    Each example's logits come from trees that were not shown it: the ids are dealt into ``folds`` parts, each class
    evenly, and the trees for a part are fitted to the others. Trees know their own training examples by heart, and a
    student would learn the labels from them twice.

    Args:
        train: features; row order kept.
        path: of the array, a plain .npy file; its card goes beside it, as ``teacher.read_card`` reads it. Its
            ``seconds`` are those of fitting and predicting; its ``flops`` are 0: trees compare and do not multiply.
        folds: at least 2.
        seed: of the folds and the trees.
        iterations: of boosting.

    Returns:
        (N, C) float16, read-only and memory-mapped.

    Raises:
        TrainmapError: a dataset without features, folds out of range, or folds whose rest has fewer than two classes.
    """
    _check(train)
    if not 2 <= folds <= len(train):
        raise TrainmapError(f"folds must be 2 to {len(train)} (the examples), got {folds}")
    path = Path(path)
    if path.suffix != ".npy":
        raise TrainmapError(f"teacher logits are kept in a .npy file, got {path}")
    card_path = card_of(path)
    settings = f"boosted trees {iterations} {folds} {seed} {train.fingerprint()}"
    key = {
        "teacher": hashlib.sha256(settings.encode()).hexdigest(),
        "dataset": train.fingerprint(),
        "order": hashlib.sha256(train.ids.tobytes()).hexdigest(),
        "flips": False,
    }
    if path.exists() and card_path.exists() and key.items() <= asdict(read_card(path)).items():
        return open_logits(path)
    wall, cpu = time.perf_counter(), time.process_time()
    logits = np.empty((len(train), train.classes), np.float16)
    part = deal(train, folds, seed)
    for fold in range(folds):
        rest, held = train.subset(train.ids[part != fold]), train.subset(train.ids[part == fold])
        logits[part == fold] = boosted_logits(boost(rest, seed, iterations), held)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    path.parent.mkdir(parents=True, exist_ok=True)
    card_path.unlink(missing_ok=True)  # first, so that a kill never leaves a card beside another array
    with writing(path) as handle:
        np.save(handle, logits)
    write_card(path, {**key, "flops": 0, "seconds": seconds, "cpu_seconds": cpu_seconds})
    return open_logits(path)


def deal(dataset: Dataset, folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) int64: the fold of each example, which depends on the ids, the labels and the seed; sizes within one of
    each other, in all and in each class."""
    order = np.argsort(dataset.ids)
    shuffled = order[np.random.default_rng([seed, folds]).permutation(len(order))]
    by_class = shuffled[np.argsort(dataset.y[shuffled], kind="stable")]
    part = np.empty(len(dataset), np.int64)
    part[by_class] = np.arange(len(dataset)) % folds
    return part


def _check(train: Dataset) -> None:
    if train.inputs.form != "features":
        raise TrainmapError(f"boosted trees take features, but {train.name} has {train.inputs}")
    if len(present := np.unique(train.y)) < 2:
        raise TrainmapError(f"boosted trees need examples of two classes, {train.name} has {len(present)}")
