"""The optimizer of a recipe."""

from __future__ import annotations

import re

import torch
from torch import nn

from trainmap.errors import TrainmapError
from trainmap.training.recipes import Recipe

DECAYED = re.compile(r"weight(_(ih|hh|hr)(_l\d+(_reverse)?)?)?(_orig|\.original)?$")
"""Names of the weights that decay: also those of recurrent and attention layers, and under a mask."""


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, with weight decay on the weights (``DECAYED``) of two dimensions or more alone."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (decayed if DECAYED.search(name) and parameter.ndim >= 2 else free).append(parameter)
    if not decayed and not free:
        raise TrainmapError("nothing to train: the network has no parameter that requires a gradient")
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(recipe.momentum, 0.999), fused=True)
    return torch.optim.SGD(
        groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
    )
