"""Train mode and eval mode: how a network that is looked at gets back into the one it came in; its device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

from trainmap.errors import TrainmapError, shown


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


def check_device(device: str) -> None:
    """Refuse what is no word for a device, whether or not there is one here.

    Raises:
        TrainmapError: torch does not know it, or nothing can be computed on it (``meta``).
    """
    try:
        known = torch.device(device).type != "meta"
    except RuntimeError:
        known = False
    if not known:
        raise TrainmapError(f"unknown device {shown(device)}; write cpu, cuda, cuda:1, mps, xpu, ... as torch has them")


def is_here(device: str) -> bool:
    """Whether this machine, with this installation of torch, has a device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):  # as the backends say it
        return False
    return True
