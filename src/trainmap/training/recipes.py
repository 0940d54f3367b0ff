"""How to train: the settings of a run, and defaults that were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from trainmap.data.inputs import Inputs
from trainmap.data.sources import DATASETS
from trainmap.errors import TrainmapError, shown


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
                raise TrainmapError(f"recipe: {rule}, got {shown(getattr(self, rule.split()[0]))}")

    def learning_rate(self, progress: float) -> float:
        """The rate at ``progress`` in [0, 1] of the training: a triangle with its top at ``warmup``."""
        if progress < self.warmup:
            return self.peak_lr * progress / self.warmup
        return self.peak_lr * (1 - progress) / (1 - self.warmup)


def default_recipe(
    model_name: str, dataset_name: str, epochs: int | None = None, inputs: Inputs | None = None
) -> Recipe:
    """A recipe that trains this network well on this dataset, in the time that such a small network is worth.

    SGD for the convolutional networks and the perceptron, AdamW for the transformers; flips where a mirror image is
    as good an example (not for digits). Chosen on validation data; the figures stand in ``RECIPES``. Pretrained text
    encoders and the networks of ``zoo`` get published recipes that were not measured here; those of ``zoo``
    (``PUBLISHED``) take hundreds of epochs, meant for a GPU.

    Args:
        model_name: a key of ``MODELS``; an unknown one gets the recipe of the convolutional networks.
        dataset_name: a key of ``DATASETS``; an unknown one gets no flips and the recipe of the larger datasets.
        epochs: in place of the recipe's own.
        inputs: of the dataset, which the name does not tell of a path; square images for None, unless the network is
            for another form alone.
    """
    family = "bag" if model_name.startswith("text-bag") else model_name.split("-")[0]
    kind = "digits" if dataset_name == "digits" else _kind(family, inputs)
    if (published := published_recipe(model_name)) is not None:
        recipe = published
    else:
        recipe = RECIPES.get((kind, family), RECIPES[kind, FALLBACK[kind]])
    flips = dataset_name in DATASETS and DATASETS[dataset_name].flips
    return replace(recipe, flips=flips, epochs=recipe.epochs if epochs is None else epochs)


def _kind(family: str, inputs: Inputs | None) -> str:
    if inputs is None:
        return {"spec": "sounds", "text": "tokens", "bag": "tokens", "hf": "tokens", "linear": "features"}.get(
            family, "images"
        )
    if inputs.form == "pixels":
        return "images" if inputs.square and family != "spec" else "sounds"
    return inputs.form


def published_recipe(model_name: str) -> Recipe | None:
    """The recipe of a network of ``zoo``; None for the others, whose recipes were measured."""
    names = (name for name in PUBLISHED if model_name.startswith(name))
    if (name := next(names, None)) is None:
        return None
    return FINE_TUNING if model_name.endswith("+pretrained") else PUBLISHED[name]


RECIPES: dict[tuple[str, str], Recipe] = {
    ("images", "cnn"): Recipe(epochs=8),
    # Jordan 2024, arXiv:2404.00498, for batches of 128 in place of 1,024 (rate and decay by the example are the same).
    # The paper moves images by two pixels; ``replace(recipe, crop=2)``, since cached logits of a teacher know no crops.
    # 49,000 images of CIFAR-10, two seeds, airbench-24: 89.5 % of the test set in 8 epochs, 89.7 in 10, 90.7 in 16 with
    # crop=2 (docs/forty-percent.md).
    ("images", "airbench"): Recipe(8, peak_lr=0.2, momentum=0.85, weight_decay=1.3e-3, label_smoothing=0.2),
    ("images", "mlp"): Recipe(epochs=8, peak_lr=0.05),
    ("images", "vit"): Recipe(epochs=8, peak_lr=2e-3, optimizer="adamw", weight_decay=0.05, clip=1.0),
    # A third of the digits (360 images): 0.3 core-seconds for mlp-256, 0.4 for cnn-8, 1 for resnet8-8 and effnet-8,
    # 1.8 for vit-32.
    ("digits", "cnn"): Recipe(epochs=20, batch=64, peak_lr=0.2),
    ("digits", "mlp"): Recipe(epochs=20, batch=32, peak_lr=0.05),
    ("digits", "vit"): Recipe(epochs=25, batch=64, peak_lr=1e-2, optimizer="adamw", weight_decay=0.05, clip=1.0),
    # fsdd (2,160 recordings), one seed: 99.3 % of the validation split for cnn-16 (20 epochs) and spec-16.
    ("sounds", "cnn"): Recipe(epochs=15, batch=64),
    ("sounds", "mlp"): Recipe(epochs=15, batch=64, peak_lr=0.05),
    # AdamW: frozen embeddings have length 1, values of about 0.05, and SGD at the rates that suit a table stands still
    # on them (clinc150+embeddings, 10 epochs, batch 128: 88 against 95 % of the validation split for linear, 62 against
    # 93 % for mlp-256). Batches of 32 for tables of a hundred rows. One seed: adult 85.7 and 86.0 %, wine 96.4 and 100.
    ("features", "linear"): Recipe(
        20, batch=32, peak_lr=1e-2, optimizer="adamw", weight_decay=0.01, label_smoothing=0.0
    ),
    ("features", "mlp"): Recipe(10, batch=32, peak_lr=1e-3, optimizer="adamw", weight_decay=0.01, label_smoothing=0.0),
    # clinc150 (15,000 texts), one seed: 90.2 % of the validation split in 3 core-seconds for text-bag-64, 86.4 % in 68
    # for text-64.
    ("tokens", "bag"): Recipe(epochs=10, peak_lr=1e-2, optimizer="adamw", weight_decay=0.05, clip=1.0),
    ("tokens", "text"): Recipe(epochs=10, peak_lr=2e-3, optimizer="adamw", weight_decay=0.05, clip=1.0),
    # Pretrained encoders. Devlin et al. 2019, arXiv:1810.04805, appendix A.3: batches of 16 or 32, rates 2e-5 to
    # 5e-5, 2 to 4 epochs; warm-up of a tenth, decay 0.01 and gradients of norm 1 at most as in its code.
    ("tokens", "hf"): Recipe(
        3, batch=32, peak_lr=5e-5, warmup=0.1, optimizer="adamw", weight_decay=0.01, label_smoothing=0.0, clip=1.0
    ),
}
FALLBACK = {"images": "cnn", "digits": "cnn", "sounds": "cnn", "features": "mlp", "tokens": "text"}
"""Whose recipe a family gets that has none."""

_CIFAR = Recipe(epochs=200, peak_lr=0.1, label_smoothing=0.0)
_CRD = Recipe(epochs=240, batch=64, peak_lr=0.05, label_smoothing=0.0)
_DEIT = Recipe(epochs=300, peak_lr=1.25e-4, warmup=5 / 300, optimizer="adamw", weight_decay=0.05)

PUBLISHED: dict[str, Recipe] = {
    **dict.fromkeys(("resnet10", "resnet18", "resnet34", "resnet50"), _CIFAR),
    "vgg": _CRD,
    **dict.fromkeys(("mobilenetv2-", "efficientnet-"), replace(_CRD, peak_lr=0.01)),
    **dict.fromkeys(("vit-small", "vit-base"), _DEIT),
}
"""For the networks of ``zoo`` whose names start so; taken from papers, not measured here.

ResNet: 200 epochs of SGD with batches of 128, rate 0.1, Nesterov momentum 0.9 and weight decay 5e-4 (DeVries and Taylor
2017, arXiv:1708.04552, section 4.2; ResNet-18 on CIFAR). VGG and MobileNetV2: 240 epochs with batches of 64, rate 0.05
and 0.01 (Tian et al. 2020, arXiv:1910.10699, supplementary; CIFAR-100); EfficientNet as MobileNetV2. Transformers: 300
epochs of AdamW, rate 5e-4 x batch / 512, weight decay 0.05, five epochs of warm-up, label smoothing 0.1 (Touvron et al.
2021, arXiv:2012.12877, table 9), without its augmentations. Differs: the rate is a triangle here, steps and a cosine
there; weight decay spares biases and norms; no crops, since cached logits of a teacher do not know cropped images.
Where none are used, ``replace(recipe, crop=4)`` is what the papers do.
"""

FINE_TUNING = Recipe(epochs=100, batch=512, peak_lr=0.003, warmup=0.05, weight_decay=0.0, label_smoothing=0.0, clip=1.0)
"""For names that end in "+pretrained"; published, not measured here: SGD with batches of 512, rate 0.003, momentum 0.9
and no weight decay, 10,000 steps on 50,000 images (Kolesnikov et al. 2020, arXiv:1912.11370, section 3; gradients of
norm 1 at most as in Dosovitskiy et al. 2021, arXiv:2010.11929, appendix B.1.1, which fine-tunes transformers so)."""
