"""Octave convolution: a share of the channels is kept at half the resolution, where a convolution costs a quarter.

Source: Chen et al. 2019, "Drop an Octave", arXiv:1904.05049.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainmap.errors import TrainmapError

Octave = tuple[Tensor | None, Tensor | None]
"""High-frequency maps (B, c_high, H, W) and low-frequency maps (B, c_low, ceil(H / 2), ceil(W / 2)); None: no such
channels."""


class OctaveConv2d(nn.Module):
    """A convolution between maps of two resolutions; four ordinary convolutions, no bias::

        Y_high = conv(X_high; W_hh) + upsample(conv(X_low; W_lh), 2)
        Y_low  = conv(X_low; W_ll) + conv(pool(X_high, 2); W_hl)

    with average pooling over 2x2 and nearest upsampling. Of the ``before`` input channels round(alpha_in before) are
    low, of the ``after`` output channels round(alpha_out after). Where both shares are alpha, it costs
    1 - 3/4 alpha (2 - alpha) of the plain convolution, with as many weights.

    With stride 2 both inputs are averaged over 2x2 first and the convolutions have stride 1 (section 3.2: a strided
    convolution would move the high and the low maps against each other); the low input then has the resolution of the
    high output, and its convolution needs neither pooling nor upsampling.

    Source: Chen et al. 2019, arXiv:1904.05049, equations 2 to 4 and section 3.3 (the cost).
    Differs: odd sizes are taken as well. A window at the border that is half outside averages what is inside, the low
    maps are rounded up, and what upsampling makes too much is cut off.

    Args:
        before, after: channels, high and low together.
        kernel: odd width of the square kernel; the padding keeps the size.
        stride: 1 or 2.
        alpha_in, alpha_out: shares of low-frequency channels, 0 to 1.

    Raises:
        TrainmapError: shares, kernels or strides that are not these.
    """

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, *, alpha_in: float, alpha_out: float
    ) -> None:
        super().__init__()
        if not (0 <= alpha_in <= 1 and 0 <= alpha_out <= 1):
            raise TrainmapError(f"alpha_in and alpha_out must be 0 to 1, got {alpha_in} and {alpha_out}")
        if kernel % 2 == 0 or stride not in (1, 2):
            raise TrainmapError(f"an octave convolution needs an odd kernel and stride 1 or 2, got {kernel}, {stride}")
        self.stride = stride
        high_in, low_in = split(before, alpha_in)
        high_out, low_out = split(after, alpha_out)

        def conv(inputs: int, outputs: int) -> nn.Conv2d | None:
            return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False) if inputs and outputs else None

        self.high_high, self.low_high = conv(high_in, high_out), conv(low_in, high_out)
        self.low_low, self.high_low = conv(low_in, low_out), conv(high_in, low_out)

    def forward(self, x: Octave) -> Octave:
        high, low = x
        if self.stride == 2:
            high = None if high is None else pool(high)
        to_high = None if high is None or self.high_high is None else self.high_high(high)
        if low is not None and self.low_high is not None:
            from_low = self.low_high(low)
            if self.stride == 1:
                from_low = upsample(from_low, None if high is None else (high.shape[2], high.shape[3]))
            to_high = from_low if to_high is None else to_high + from_low
        to_low = None
        if low is not None and self.low_low is not None:
            to_low = self.low_low(pool(low) if self.stride == 2 else low)
        if high is not None and self.high_low is not None:
            from_high = self.high_low(pool(high))
            to_low = from_high if to_low is None else to_low + from_high
        return to_high, to_low


class OctaveNorm(nn.Module):
    """Batch norm of each resolution by itself; ``inplace`` ReLU after it when asked for."""

    def __init__(self, channels: int, alpha: float, relu: bool) -> None:
        super().__init__()
        high, low = split(channels, alpha)
        self.relu = relu
        self.high = nn.BatchNorm2d(high) if high else None
        self.low = nn.BatchNorm2d(low) if low else None

    def forward(self, x: Octave) -> Octave:
        normed = _each(self.high, x[0]), _each(self.low, x[1])
        return relu(normed) if self.relu else normed


class OctaveResidual(nn.Module):
    """relu(x + octave-bn-relu-octave-bn(x)), with a 1x1 octave convolution on x where its shape or share changes."""

    def __init__(self, before: int, after: int, stride: int, alpha_in: float, alpha_out: float) -> None:
        super().__init__()
        self.first = OctaveConv2d(before, after, 3, stride, alpha_in=alpha_in, alpha_out=alpha_out)
        self.first_norm = OctaveNorm(after, alpha_out, relu=True)
        self.second = OctaveConv2d(after, after, 3, alpha_in=alpha_out, alpha_out=alpha_out)
        self.second_norm = OctaveNorm(after, alpha_out, relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after or alpha_in != alpha_out:
            self.shortcut = nn.Sequential(
                OctaveConv2d(before, after, 1, stride, alpha_in=alpha_in, alpha_out=alpha_out),
                OctaveNorm(after, alpha_out, relu=False),
            )

    def forward(self, x: Octave) -> Octave:
        inner = self.second_norm(self.second(self.first_norm(self.first(x))))
        kept = self.shortcut(x)
        return relu((_plus(inner[0], kept[0]), _plus(inner[1], kept[1])))


class OctaveResNet(nn.Module):
    """The residual network of ``models.resnet`` with octave convolutions: three stages of ``blocks`` blocks.

    The stem has alpha_in = 0; the first convolutions of the last stage have alpha_out = 0, and what follows them is
    plain, as in the networks that the authors published. So the last stage saves little, and an 8x8 image never gets
    to a 1x1 map before the pooling.

    Source: Chen et al. 2019, arXiv:1904.05049, section 3.3 and its code; He et al. 2016, arXiv:1512.03385, section 4.2.

    Args:
        classes: number of logits.
        channels: of the images (B, channels, H, W), from 8x8 on.
        width: channels of the first stage, high and low together.
        blocks: in each stage.
        alpha: share of low-frequency channels.
    """

    def __init__(self, classes: int, channels: int, width: int, blocks: int, alpha: float) -> None:
        super().__init__()
        self.stem = OctaveConv2d(channels, width, 3, alpha_in=0, alpha_out=alpha)
        self.stem_norm = OctaveNorm(width, alpha, relu=True)
        stages: list[nn.Module] = []
        before, share = width, alpha
        for after, stride, next_share in ((width, 1, alpha), (2 * width, 2, alpha), (4 * width, 2, 0.0)):
            for number in range(blocks):
                stages.append(OctaveResidual(before, after, stride if number == 0 else 1, share, next_share))
                before, share = after, next_share
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        high, _ = self.stages(self.stem_norm(self.stem((x, None))))
        return self.head(high.mean(dim=(2, 3)))


def split(channels: int, alpha: float) -> tuple[int, int]:
    """High and low channels: alpha is the share of the low ones."""
    low = round(alpha * channels)
    return channels - low, low


def pool(x: Tensor) -> Tensor:
    """Mean over 2x2; a window that reaches over the border averages what is inside."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def upsample(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Every value twice in both directions, cut to ``size`` where that is known (an odd size has lost its half)."""
    twice = F.interpolate(x, scale_factor=2, mode="nearest")
    return twice if size is None else twice[:, :, : size[0], : size[1]]


def relu(x: Octave) -> Octave:
    """ReLU of both resolutions."""
    return tuple(None if one is None else F.relu(one) for one in x)  # type: ignore[return-value]


def _each(layer: nn.Module | None, x: Tensor | None) -> Tensor | None:
    return None if x is None or layer is None else layer(x)


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a + b
