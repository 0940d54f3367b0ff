"""Sparsity: the smallest weights of the whole network set to zero, at once or little by little over a training.

The zeros save nothing while the network runs: dense kernels multiply by them. They save bytes once the file is
compressed, and everything on hardware that skips them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from trainmap.compression.compressed import Compressed, check_fraction, copy_of, counts
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, shown
from trainmap.models.probe import check_same_shape, logits_of
from trainmap.models.weights import fix, free, masks, original, prunable
from trainmap.modes import device_of
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import Watching, watching_of

__all__ = ["cubic_sparsity", "fix_zeros", "free_zeros", "prunable", "sparsify", "zero_smallest"]


def cubic_sparsity(progress: float, final: float, initial: float = 0.0, start: float = 0.0, end: float = 0.75) -> float:
    """The sparsity to have at ``progress`` of the training: steep first, while there is much to spare.

    ``s = final + (initial - final) (1 - (progress - start) / (end - start))^3`` between ``start`` and ``end``,
    ``initial`` before and ``final`` after.

    Args:
        progress, start, end: fractions of the training.
        final, initial: fractions of the weights that are zero.

    Source: Zhu and Gupta 2018, arXiv:1710.01878, equation 1 (there in steps: t0 = start, n Δt = end - start).
    """
    if progress >= end:
        return final
    if progress <= start:
        return initial
    return final + (initial - final) * (1 - (progress - start) / (end - start)) ** 3


def zero_smallest(model: nn.Module, inputs: Inputs, sparsity: float) -> Compressed:
    """Set the weights with the smallest magnitude to zero, over all layers together, without training.

    Args:
        model: trained; left as it is.
        inputs: what it takes.
        sparsity: share of the weights (``weights.prunable``: of convolutions of every kind, linear, bilinear, recurrent
            and attention layers; not biases, norms and embeddings) that become zero, 0 to below 1; rounded to a number
            of weights, exactly.

    Returns:
        the copy; ``numbers`` has ``prunable`` (weights to choose from), ``zeros`` and ``sparsity`` = zeros / prunable.

    Raises:
        TrainmapError: a sparsity out of range, weights that are not finite or made from other parameters, a network
            that does not give one tensor of logits.
    """
    pruned = copy_of(model)
    before = logits_of(pruned, inputs)
    _check(pruned, sparsity)
    _zero_to(pruned, sparsity)
    free_zeros(pruned)
    check_same_shape(pruned, before, inputs, f"the smallest {sparsity:.0%} zero")
    return _compressed(pruned, inputs, f"smallest {sparsity:.0%} zero")


def sparsify(
    model: nn.Module,
    train: Dataset,
    recipe: Recipe,
    sparsity: float,
    *,
    seed: int,
    initial: float = 0.0,
    start: float = 0.0,
    end: float = 0.75,
    device: str | None = None,
    **options: Any,
) -> Compressed:
    """Train further while ever more of the smallest weights are set to zero, along ``cubic_sparsity``.

    After each epoch the smallest weights that are left, over all layers together, join those that are zero; what is
    zero stays zero. When ``end`` falls into the last epoch there is no training after the last cut. With a checkpoint a
    killed run goes on and ends with the same weights.

    Args:
        model: trained, or fresh; left as it is.
        train: the examples, such as ``data.train.subset(selection.ids)``.
        recipe, seed, device: as for ``fit``; what comes back is on the CPU.
        sparsity, initial, start, end: of the schedule; see ``cubic_sparsity`` and ``zero_smallest``.
        options: more arguments of ``fit``, such as ``teaching``; ``watching`` may be a function of the network that is
            trained, which is a copy; not ``steps``: the schedule counts epochs, and cuts where
            ``Watching.before_epoch`` is called.

    Raises:
        TrainmapError: a sparsity or schedule out of range, ``steps``, weights that are not finite.

    Source: Zhu and Gupta 2018, arXiv:1710.01878, section 3.
    Differs: cuts after whole epochs (there every 100 to 1000 steps), over all layers together (there each layer by
    itself), and never lets a weight come back.
    """
    for value, name in ((sparsity, "sparsity"), (initial, "initial"), (start, "start"), (end, "end")):
        check_fraction(value, name)
    if not (0 <= initial <= sparsity and 0 <= start < end <= 1):
        raise TrainmapError(
            "a schedule needs 0 <= initial <= sparsity and 0 <= start < end <= 1, "
            f"got {initial}, {sparsity}, {start}, {end}"
        )
    if options.get("steps") is not None:
        raise TrainmapError(f"sparsify cuts after epochs: give recipe.epochs, not steps={options['steps']}")
    pruned, device = copy_of(model), device or device_of(model)
    _check(pruned, sparsity)

    cut = _Cut(pruned, recipe.epochs, sparsity, initial, start, end)
    cut(0)  # so that a checkpoint finds its masks
    watching = replace(watching_of(options.pop("watching", None), pruned) or Watching(), before_epoch=cut)
    result = fit(pruned, train, recipe, seed=seed, device=device, watching=watching, **options)
    cut(recipe.epochs)
    free_zeros(pruned.cpu())
    words = f"smallest {sparsity:.0%} zero over {recipe.epochs} epochs on {len(train):,}"
    return replace(_compressed(pruned, train.inputs, words, result.all_flops), tuning=result)


@dataclass(frozen=True)
class _Cut:
    """Masks a network as the schedule asks after so many epochs; its numbers are what a checkpoint must agree on."""

    model: nn.Module
    epochs: int
    sparsity: float
    initial: float
    start: float
    end: float

    def __call__(self, done: int) -> None:
        _zero_to(self.model, cubic_sparsity(done / self.epochs, self.sparsity, self.initial, self.start, self.end))


def fix_zeros(model: nn.Module) -> None:
    """Hold what is zero at zero through a training, by masks that ``free_zeros`` takes off."""
    fix(model, [(getattr(module, name) != 0).to(getattr(module, name)) for module, name in prunable(model)])


def free_zeros(model: nn.Module) -> None:
    """Make the masks permanent: plain weights again, some of them zero."""
    free(model)


def _zero_to(model: nn.Module, sparsity: float) -> None:
    """Mask the smallest weights that are left until round(sparsity * N) are masked; equals by their place."""
    left = masks(model)
    sizes = [
        torch.where(mask.reshape(-1) == 0, -1.0, original(module, name).detach().abs().reshape(-1))
        for (module, name), mask in zip(prunable(model), left, strict=True)
    ]  # what is masked stays in front
    order = torch.cat(sizes).sort(stable=True).indices
    keep = torch.ones_like(order, dtype=torch.bool)
    keep[order[: round(sparsity * len(order))]] = False
    parts = keep.split([mask.numel() for mask in left])
    fix(model, [kept.view(mask.shape).to(mask) for kept, mask in zip(parts, left, strict=True)])


def _check(model: nn.Module, sparsity: float) -> None:
    check_fraction(sparsity, "sparsity")
    if not 0 <= sparsity < 1:
        raise TrainmapError(f"sparsity must be a fraction 0 to below 1, got {shown(sparsity)}")
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise TrainmapError("the network has weights that are NaN or infinite; their size cannot be compared")


def _compressed(model: nn.Module, inputs: Inputs, method: str, flops: int = 0) -> Compressed:
    weights = [getattr(module, name) for module, name in prunable(model)]
    total, zeros = sum(w.numel() for w in weights), sum(int((w == 0).sum()) for w in weights)
    numbers = {"prunable": total, "zeros": zeros, "sparsity": zeros / total}
    return Compressed(model.eval(), method, *counts(model, inputs), training_flops=flops, numbers=numbers)
