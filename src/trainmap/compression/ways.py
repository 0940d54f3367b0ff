"""The ways to make a trained network smaller, one dataclass each: its fields are the options, ``make`` does it.

A way is tuned and calibrated on the examples that it is given: those that the network was trained on, with the labels
alone. One more is a class with ``make`` and a line in ``WAYS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from trainmap.compression.compressed import Compressed
from trainmap.compression.measure import finetune
from trainmap.compression.onnx_files import quantize_onnx
from trainmap.compression.pruning import Importance, prune_channels
from trainmap.compression.quantization import quantize, train_quantized
from trainmap.compression.sparsity import sparsify, zero_smallest
from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.training.recipes import Recipe

CALIBRATION = 512
"""At most so many examples, at random, are what the ranges of 8 bits are learnt from."""


class Way(Protocol):
    """How a network gets smaller, with all its options.

    Those that train further have ``finetune_epochs`` and ``rate``, the share of the recipe's peak learning rate.
    """

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        """A smaller network than ``original``, which is left as it is.

        Args:
            original: trained; see ``uncompressed``.
            train: the examples to tune and calibrate on.
            recipe: the one that the original was trained by.
            seed: of everything random.
            device: where to train further.
            options: more arguments of ``fit`` for ways that train further, such as ``watching`` (or a function of the
                network that is trained); others are given none, and refuse them.
        """
        ...


@dataclass(frozen=True)
class PruneChannels:
    """Whole channels go, then the rest is trained further (``prune_channels``)."""

    ratio: float
    importance: Importance = "magnitude"
    round_to: int = 1
    finetune_epochs: int = 1
    rate: float = 0.5

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        pruned = prune_channels(
            original.model,
            train.inputs,
            self.ratio,
            importance=self.importance,
            round_to=self.round_to,
            seed=seed,
            device=device,
        )
        return _tuned(pruned, train, recipe, self, seed, device, **options)


@dataclass(frozen=True)
class Magnitude:
    """The smallest weights become zero at once (``zero_smallest``)."""

    sparsity: float
    finetune_epochs: int = 0
    rate: float = 0.5

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        zeroed = zero_smallest(original.model, train.inputs, self.sparsity)
        return _tuned(zeroed, train, recipe, self, seed, device, **options)


@dataclass(frozen=True)
class Sparsify:
    """The smallest weights become zero little by little over a training (``sparsify``), whose last cut comes at three
    quarters of its epochs."""

    sparsity: float
    finetune_epochs: int = 4
    rate: float = 0.5

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        return sparsify(
            original.model, train, _slower(recipe, self), self.sparsity, seed=seed, device=device, **options
        )


@dataclass(frozen=True)
class Int8:
    """Eight bits after training (``quantize``)."""

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        _check_untrained(options)
        return quantize(original.model, _some(train, seed))


@dataclass(frozen=True)
class Int8Trained:
    """Eight bits, trained for them (``train_quantized``)."""

    finetune_epochs: int = 1
    rate: float = 0.1

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        return train_quantized(original.model, train, _slower(recipe, self), seed=seed, device=device, **options)


@dataclass(frozen=True)
class Int8Onnx:
    """Eight bits after training, as a file for ONNX Runtime (``quantize_onnx``)."""

    def make(
        self, original: Compressed, train: Dataset, recipe: Recipe, seed: int, device: str, **options: Any
    ) -> Compressed:
        _check_untrained(options)
        return quantize_onnx(original.model, _some(train, seed))


def _check_untrained(options: Mapping[str, Any]) -> None:
    if options:
        raise TrainmapError(f"8 bits after training train nothing, so there is no use for {', '.join(options)}")


def _tuned(
    pruned: Compressed,
    train: Dataset,
    recipe: Recipe,
    way: PruneChannels | Magnitude,
    seed: int,
    device: str,
    **options: Any,
) -> Compressed:
    if not way.finetune_epochs:
        return pruned
    return finetune(pruned, train, _slower(recipe, way), seed=seed, device=device, **options)


def _slower(recipe: Recipe, way: PruneChannels | Magnitude | Sparsify | Int8Trained) -> Recipe:
    return replace(recipe, epochs=way.finetune_epochs, peak_lr=recipe.peak_lr * way.rate)


def _some(train: Dataset, seed: int) -> Dataset:
    return train.subset(np.random.default_rng(seed).permutation(np.sort(train.ids))[:CALIBRATION])


def way_of(settled: Mapping[str, Any]) -> Way:
    """The way of an experiment: its word as ``method``, and all its options."""
    return WAYS[settled["method"]](**{name: value for name, value in settled.items() if name != "method"})


def tuning_epochs(way: Way) -> int:
    """How many epochs a way trains further; 0 for one that does not."""
    return getattr(way, "finetune_epochs", 0)


WAYS: Mapping[str, type[Way]] = {
    "prune-channels": PruneChannels,
    "magnitude": Magnitude,
    "sparsify": Sparsify,
    "int8": Int8,
    "int8-trained": Int8Trained,
    "int8-onnx": Int8Onnx,
}
