"""How to train: the settings of a run, and defaults that were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from trainmap.errors import TrainmapError
from trainmap.training.sources import DATASETS


@dataclass(frozen=True)
class Recipe:
    """How to train: everything but the network, the data and the seed.

    Attributes:
        epochs: passes over the data.
        batch: examples in a step; an epoch is cut into ceil(N / batch) batches of even size (they differ by at most
            one), so that no batch has a single example unless the dataset or ``batch`` does; for that, a batch of 2
            may grow to 3.
        peak_lr: learning rate at the end of the warm-up.
        warmup: share of the training in which the rate climbs linearly from 0; then it falls linearly to 0.
        optimizer: "sgd" (Nesterov) or "adamw".
        momentum: of SGD; the first beta of AdamW.
        weight_decay: on weight matrices and kernels; not on biases, norms and positions.
        label_smoothing: of the cross-entropy.
        flips: mirror each image with probability 1/2.
        crop: move each image by up to this many pixels.
        clip: largest norm of the gradient; None for no limit.

    Raises:
        TrainmapError: a value out of range.
    """

    epochs: int
    batch: int = 128
    peak_lr: float = 0.1
    warmup: float = 0.2
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    flips: bool = False
    crop: int = 0
    clip: float | None = None

    def __post_init__(self) -> None:
        rules = {
            "epochs must be at least 1": self.epochs >= 1,
            "batch must be at least 1": self.batch >= 1,
            "peak_lr must be positive": 0 < self.peak_lr < math.inf,
            "warmup must be 0 to below 1": 0 <= self.warmup < 1,
            "optimizer must be 'sgd' or 'adamw'": self.optimizer in ("sgd", "adamw"),
            "momentum must be 0 to below 1": 0 <= self.momentum < 1,
            "weight_decay must be at least 0": self.weight_decay >= 0,
            "label_smoothing must be 0 to 1": 0 <= self.label_smoothing <= 1,
            "crop must be at least 0": self.crop >= 0,
            "clip must be positive or None": self.clip is None or self.clip > 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise TrainmapError(f"recipe: {rule}, got {getattr(self, rule.split()[0])!r}")

    def learning_rate(self, progress: float) -> float:
        """The rate at ``progress`` in [0, 1] of the training: a triangle with its top at ``warmup``."""
        if progress < self.warmup:
            return self.peak_lr * progress / self.warmup
        return self.peak_lr * (1 - progress) / (1 - self.warmup)


def default_recipe(model_name: str, dataset_name: str, epochs: int | None = None) -> Recipe:
    """A recipe that trains this network well on this dataset, in the time that such a small network is worth.

    SGD for the convolutional networks and the perceptron, AdamW for the transformers; flips where a mirror image is
    as good an example (not for digits). Chosen on validation data; the figures stand in ``RECIPES``.

    Args:
        model_name: a key of ``MODELS``; an unknown one gets the recipe of the convolutional networks.
        dataset_name: a key of ``DATASETS``; an unknown one gets no flips and the recipe of the larger datasets.
        epochs: in place of the recipe's own.
    """
    kind = "digits" if dataset_name == "digits" else "images"
    recipe = RECIPES[kind, model_name.split("-")[0] if model_name.startswith(("vit", "mlp")) else "cnn"]
    flips = dataset_name in DATASETS and DATASETS[dataset_name].flips
    return replace(recipe, flips=flips, epochs=recipe.epochs if epochs is None else epochs)


RECIPES: dict[tuple[str, str], Recipe] = {
    ("images", "cnn"): Recipe(epochs=8),
    ("images", "mlp"): Recipe(epochs=8, peak_lr=0.05),
    ("images", "vit"): Recipe(epochs=8, peak_lr=2e-3, optimizer="adamw", weight_decay=0.05, clip=1.0),
    # A third of the digits (360 images): 0.3 core-seconds for mlp-256, 0.4 for cnn-8, 1 for resnet8-8 and effnet-8,
    # 1.8 for vit-32.
    ("digits", "cnn"): Recipe(epochs=20, batch=64, peak_lr=0.2),
    ("digits", "mlp"): Recipe(epochs=20, batch=32, peak_lr=0.05),
    ("digits", "vit"): Recipe(epochs=25, batch=64, peak_lr=1e-2, optimizer="adamw", weight_decay=0.05, clip=1.0),
}
