"""Train mode and eval mode: how a network that is looked at gets back into the one it came in; where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from torch import nn


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """The networks in eval mode; afterwards, and after an error, each part of them in the mode that it came in.

    Part by part, so that a batch norm that was frozen in a network under training stays frozen; and by ``train`` of the
    whole network first, because some do more there than set a flag (a graph under quantisation-aware training).
    """
    modes = {module: module.training for model in models for module in model.modules()}
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for model in models:
            model.train(modes[model])
        for module, mode in modes.items():
            module.training = mode


def device_of(model: nn.Module) -> str:
    """Where a model is: the device of its first parameter or buffer; "cpu" without any."""
    there = next(chain(model.parameters(), model.buffers()), None)
    return "cpu" if there is None else str(there.device)
