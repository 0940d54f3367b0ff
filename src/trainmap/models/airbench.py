"""A convolutional network for small colour images that learns in a few epochs, after the records on CIFAR-10."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SCALE = 1 / 9
"""Of the logits (Jordan 2024, section 3)."""


def airbench(classes: int, channels: int, size: int, width: int) -> nn.Module:
    """Patches of 2x2 pixels in a fixed basis, then three blocks of two 3x3 convolutions (widths w, 4w, 4w).

    Each block is convolution, maximum over 2x2, batch norm, GELU, convolution, batch norm, GELU; a maximum that would
    leave less than 2x2 is left out. The maximum over the image goes to the classifier, whose logits are divided by 9.
    Convolutions of the blocks start as the identity on as many channels as come in (Dirac), the rest at random.

    Args:
        classes: C, the number of logits.
        channels: of an image.
        size: pixels of its smaller side.
        width: w; the paper's network has 64.

    Source: Jordan 2024, arXiv:2404.00498 ("94% on CIFAR-10 in 3.29 seconds on a single GPU"), sections 2 and 3.
    Differs: the paper's first layer is frozen and whitens the patches by the covariance of the training images; here it
        starts as an orthonormal basis of patches (the two-dimensional cosine transform, with one over the channels),
        which a batch norm scales to variance 1, so that a network needs no data before its first step, and it is
        trained; no Lookahead, no faster rate for the biases of norms, no alternating flips.
    """
    basis = patches(channels)
    first = nn.Conv2d(channels, 2 * len(basis), 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.cat([basis, -basis]))
    before, size = 2 * len(basis), size - 1
    layers: list[nn.Module] = [first, nn.BatchNorm2d(before), nn.GELU()]
    for after in (width, 4 * width, 4 * width):
        layers.append(_started(nn.Conv2d(before, after, 3, padding=1, bias=False)))
        if size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        layers += [nn.BatchNorm2d(after), nn.GELU()]
        layers += [_started(nn.Conv2d(after, after, 3, padding=1, bias=False)), nn.BatchNorm2d(after), nn.GELU()]
        before = after
    # Scaled before the classifier, which is the same as after it: what reads networks expects logits of a linear layer.
    last = nn.Linear(before, classes, bias=False)
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), Scaled(SCALE), last)


class Scaled(nn.Module):
    """``factor`` times what comes in."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def patches(channels: int) -> Tensor:
    """An orthonormal basis of patches of 2x2 pixels, (4 channels, channels, 2, 2): mean, edges and their products, each
    of the mean over the channels and of their differences."""
    place = torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
    k = torch.arange(channels)
    colour = torch.cos(math.pi * (k + 0.5) * k[:, None] / channels)
    colour /= colour.norm(dim=1, keepdim=True)
    return torch.einsum("ic,jp->ijcp", colour, place).reshape(4 * channels, channels, 2, 2)


def _started(conv: nn.Conv2d) -> nn.Conv2d:
    """The identity on the channels that come in, as far as there are places for them."""
    with torch.no_grad():
        nn.init.dirac_(conv.weight[: conv.in_channels])
    return conv
