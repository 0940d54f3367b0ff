"""Published networks by family and size, with stems for images of 28 to 32 pixels: a study's teachers and students.

The networks are timm's (VGG is written out here, its classifier alone would be 120 M parameters), with the beginning
changed so that a small image is not shrunk before anything has looked at it: ResNet gets a 3x3 convolution of stride 1
and no max-pooling, EfficientNet and MobileNetV2 a first convolution of stride 1, the vision transformers patches of
4x4 pixels. Images are at least ``SMALLEST_ZOO`` wide and high, for the transformers a multiple of 4.

A name ending in "+pretrained" starts from timm's default ImageNet weights: what fits is taken, one input channel gets
the sum over the colours (timm's rule), a 7x7 stem becomes a 3x3 one by ``shrink_kernel``, timm resamples a
transformer's patches and positions, and classifiers are new. Pixels are scaled by ``inputs.to_float`` and not by the
means of ImageNet, so a first epoch has to get used to that; no run of this project has measured how well they do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainmap.errors import TrainmapError

PRETRAINED = "+pretrained"
"""The end of a name that starts from published weights."""

SMALLEST_ZOO = 17
"""Four halvings leave at least 2x2, so that batch norm has something to average over even in a batch of one."""

Factory = Callable[[int, int, int], nn.Module]


def resnet(classes: int, channels: int, size: int, depth: int, pretrained: bool = False) -> nn.Module:
    """ResNet with a 3x3 stem of stride 1 and no max-pooling; all norms start at 1 (``zero_init_last=False``).

    4.90 M (10), 11.17 M (18), 21.28 M (34) and 23.52 M parameters (50) with 10 classes. Depth 10 is 18 with one block
    in each stage, which the paper does not have; timm has no weights for it.

    Source: He et al. 2016, arXiv:1512.03385, table 1.
    Differs: the stem; a last norm that starts at 0 would make quantisation-aware training divide by it.
    """
    _check_size(f"resnet{depth}", size)
    published, changed = (f"resnet{depth}", {}) if depth > 10 else ("resnet18", {"layers": (1, 1, 1, 1)})
    model = _timm(published, classes, channels, pretrained, zero_init_last=False, **changed)
    before: Any = model.conv1
    stem = nn.Conv2d(channels, before.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    if pretrained:
        stem.weight = nn.Parameter(shrink_kernel(before.weight.detach()))
    model.conv1, model.maxpool = stem, nn.Identity()
    return model


def efficientnet(classes: int, channels: int, size: int, variant: str, pretrained: bool = False) -> nn.Module:
    """EfficientNet with a first convolution of stride 1, without dropout and stochastic depth.

    4.02 M (b0), 7.72 M (b2) and 17.57 M parameters (b4) with 10 classes.

    Source: Tan and Le 2019, arXiv:1905.11946, table 1 and section 4 (b2 and b4 are b0, wider and deeper).
    Differs: the stem, and the image is not enlarged with the network.
    """
    _check_size(f"efficientnet-{variant}", size)
    return _unstrided(_timm(f"efficientnet_{variant}", classes, channels, pretrained))


def mobilenetv2(classes: int, channels: int, size: int, width: str, pretrained: bool = False) -> nn.Module:
    """MobileNetV2 of a width multiplier, with a first convolution of stride 1.

    0.41 M (0.35), 1.37 M (0.75) and 2.24 M parameters (1.0) with 10 classes.

    Source: Sandler et al. 2018, arXiv:1801.04381, table 2.
    Differs: the stem.
    """
    _check_size(f"mobilenetv2-{width}", size)
    return _unstrided(_timm(f"mobilenetv2_{width.replace('.', ''):0<3}", classes, channels, pretrained))


def _unstrided(model: Any) -> nn.Module:
    """A first convolution of stride 1, and a classifier that starts as torch's linear layers do.

    timm's range for it, 1 / sqrt(classes), is made for 1000 classes: with 10, the first loss is 4.5 to 6.1 on noise
    (efficientnet-b0, mobilenetv2) in place of ln 10 = 2.3; so it is 2.34 to 2.35.
    """
    model.conv_stem.stride = (1, 1)
    model.classifier.reset_parameters()
    return model


def vit(classes: int, channels: int, size: int, variant: str, pretrained: bool = False) -> nn.Module:
    """Vision transformer with patches of 4x4 pixels: 49 of them at 28x28, 64 at 32x32, and a class token.

    21.3 M (small) and 85.2 M parameters (base) with 10 classes.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, table 1; small: Touvron et al. 2021, arXiv:2012.12877, table 1.
    Differs: the patches.
    """
    if size < SMALLEST_ZOO or size % 4:
        raise TrainmapError(f"vit-{variant} takes images of at least 20 pixels, a multiple of 4, got {size}; pad them")
    return _timm(f"vit_{variant}_patch16_224", classes, channels, pretrained, img_size=size, patch_size=4)


class VGG(nn.Module):
    """VGG with batch norm: five stages of 3x3 convolutions and max-pooling, the mean over the image, one linear layer.

    9.23 M (11), 9.42 M (13) and 14.73 M parameters (16) with 10 classes. Pooling rounds up: at 28x28 as at 32x32 the
    last stage works on 2x2.

    Source: Simonyan and Zisserman 2015, arXiv:1409.1556, table 1 (A, B and D).
    Differs: batch norm, and a linear layer in place of three that were made for 7x7 maps, as is usual on CIFAR.
    """

    CONVOLUTIONS: ClassVar = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}

    def __init__(self, classes: int, channels: int, size: int, depth: int, pretrained: bool = False) -> None:
        super().__init__()
        _check_size(f"vgg{depth}", size)
        layers: list[nn.Module] = []
        before = channels
        for after, count in zip((64, 128, 256, 512, 512), self.CONVOLUTIONS[depth]):
            for _ in range(count):
                conv = nn.Conv2d(before, after, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
                before = after
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)
        if pretrained:
            published: Any = _timm(f"vgg{depth}_bn", classes, channels, pretrained=True)
            self.features.load_state_dict(published.features.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


def shrink_kernel(kernel: Tensor) -> Tensor:
    """A 7x7 kernel as a 3x3 one: its taps summed in groups of 2, 3 and 2.

    With stride 1, it answers what the 7x7 kernel answers at the middle of every pixel of the image enlarged three times
    (nearest neighbour): small images meet the features of large ones.

    Args:
        kernel: (out, in, 7, 7).

    Returns:
        (out, in, 3, 3).
    """
    groups = torch.zeros(3, 7, dtype=kernel.dtype, device=kernel.device)
    groups[0, :2] = groups[1, 2:5] = groups[2, 5:] = 1
    return groups @ kernel @ groups.T


def _timm(name: str, classes: int, channels: int, pretrained: bool, **options: Any) -> nn.Module:
    """timm's network, with its ImageNet weights when they are asked for."""
    timm = _import_timm()
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=classes, in_chans=channels, **options)
    except OSError as error:  # what a failed download and an offline cache without the file are
        raise TrainmapError(
            f"the ImageNet weights of {name} could not be downloaded ({type(error).__name__}); connect to "
            "huggingface.co once (they are cached), or leave out +pretrained"
        ) from error


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise TrainmapError(
            "these networks are timm's, which is not installed: pip install 'trainmap[vision]'"
        ) from error
    return timm


def _check_size(name: str, size: int) -> None:
    if size < SMALLEST_ZOO:
        raise TrainmapError(
            f"{name} takes images of at least {SMALLEST_ZOO} pixels, got {size}; a smaller network does"
        )


FRESH: dict[str, Callable[..., nn.Module]] = {
    "resnet10": partial(resnet, depth=10),
    "resnet18": partial(resnet, depth=18),
    "resnet34": partial(resnet, depth=34),
    "resnet50": partial(resnet, depth=50),
    "efficientnet-b0": partial(efficientnet, variant="b0"),
    "efficientnet-b2": partial(efficientnet, variant="b2"),
    "efficientnet-b4": partial(efficientnet, variant="b4"),
    "vit-small": partial(vit, variant="small"),
    "vit-base": partial(vit, variant="base"),
    "vgg11": partial(VGG, depth=11),
    "vgg13": partial(VGG, depth=13),
    "vgg16": partial(VGG, depth=16),
    "mobilenetv2-0.35": partial(mobilenetv2, width="0.35"),
    "mobilenetv2-0.75": partial(mobilenetv2, width="0.75"),
    "mobilenetv2-1.0": partial(mobilenetv2, width="1.0"),
}
"""Networks that start from random weights: (classes, channels, size) → network."""

WITHOUT_WEIGHTS = ("resnet10", "mobilenetv2-0.35", "mobilenetv2-0.75")
"""Networks for which timm has no ImageNet weights."""

ZOO: dict[str, Factory] = FRESH | {
    f"{name}{PRETRAINED}": partial(factory, pretrained=True)
    for name, factory in FRESH.items()
    if name not in WITHOUT_WEIGHTS
}
"""All of them, those with ImageNet weights included."""
