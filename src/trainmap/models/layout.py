"""How a network lies in memory, and on which device."""

from __future__ import annotations

import torch
from torch import nn


def is_convolutional(model: nn.Module) -> bool:
    """Whether the channels_last memory format pays (1.3 to 1.7 times the speed on a CPU; nothing for the others), and
    can be had: torch refuses it for a network that has volumes beside images."""
    flat = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())
    return flat and not any(parameter.ndim == 5 for parameter in model.parameters())


def lay_out(model: nn.Module, device: str) -> bool:
    """Bring a network to the device, in channels_last where that pays; whether it is."""
    channels_last = is_convolutional(model)
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return channels_last
