"""Small networks for small images (8x8, 28x28, 32x32), in plain torch: students of a few seconds and their teachers.

The networks for images map (B, channels, size, size) float to logits (B, classes). Spatial sizes never shrink below
2x2 before the last pooling, so that batch normalisation has something to average over even in a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainmap.data.inputs import Form, Inputs
from trainmap.errors import TrainmapError, unknown
from trainmap.models.airbench import airbench
from trainmap.models.encoders import ENCODER, build_encoder, check_encoder, is_encoder
from trainmap.models.octave import OctaveResNet
from trainmap.models.sequences import TOKEN_MODELS, EncoderLayer
from trainmap.models.zoo import PRETRAINED, ZOO

SMALLEST = 8
"""Images must be at least this wide and high."""


def build(name: str, classes: int, inputs: Inputs, seed: int, weights: bool = True) -> nn.Module:
    """A freshly initialised network; the same seed gives the same weights, and the global random state is untouched.

    Args:
        name: of the table for this form of input: "cnn-16" in ``MODELS`` (images and spectrograms), "mlp-256" in
            ``FEATURE_MODELS``, "text-64" in ``TOKEN_MODELS``; or a pretrained text encoder, "hf-encoder:PATH"
            (``encoders``).
        classes: number of logits, at least 2.
        inputs: what an example is, such as ``dataset.inputs`` or ``Inputs.images(3, 32)``; images are at least 8 x 8.
        seed: of the initial weights.
        weights: whether a network that starts from published weights gets them; without, nothing is downloaded or
            loaded: for a count, or for weights that are loaded right away.

    Raises:
        TrainmapError: an unknown name, a network for another form of input, or sizes that it cannot take.
    """
    name = name if weights else name.removesuffix(PRETRAINED)
    check_model(name, inputs)
    if classes < 2 or (inputs.form == "pixels" and min(inputs.shape[1:]) < SMALLEST):
        raise TrainmapError(
            f"a network needs classes >= 2 and images of at least {SMALLEST} x {SMALLEST}, got {classes} and {inputs}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators as well
        if is_encoder(name):
            return build_encoder(name, classes, inputs, weights)
        if inputs.form == "pixels":
            return MODELS[name](classes, inputs.shape[0], min(inputs.shape[1:]))
        return OTHER_MODELS[inputs.form][name](classes, inputs)


def check_model(name: str, inputs: Inputs) -> None:
    """Refuse a name that is none, or of a network for another form of input.

    Raises:
        TrainmapError: says which names there are.
    """
    names = models_for(inputs)
    if is_encoder(name):
        check_encoder(name, inputs)
    elif name not in names:
        if name not in known_models():
            raise unknown("model", name, [*known_models(), f"{ENCODER}PATH"])
        raise TrainmapError(f"{name} does not take {inputs}; these do: {', '.join(names)}")


def models_for(inputs: Inputs) -> list[str]:
    """The names of the networks that take these inputs."""
    if inputs.form == "pixels":
        return [name for name in MODELS if inputs.square or name.startswith(ANY_SHAPE)]
    return list(OTHER_MODELS[inputs.form])


def known_models() -> list[str]:
    """The names of all networks, whatever they take; not of pretrained text encoders, which are many."""
    return list(dict.fromkeys([*MODELS, *FEATURE_MODELS, *TOKEN_MODELS]))


def cnn(classes: int, channels: int, size: int, width: int) -> nn.Module:
    """Four 3x3 convolutions with batch norm (widths w, 2w, 4w, 4w), each of the first three halving the image.

    The maximum over the image goes to the classifier. A halving that would leave less than 2x2 is left out (the third
    at 8x8). 61,050 parameters at width 16 on 28x28x1.
    """
    layers: list[nn.Module] = []
    before = channels
    for after in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        if size >= 4:
            layers.append(nn.MaxPool2d(2))  # before the ReLU: the same result on a quarter of the values
            size //= 2
        layers.append(nn.ReLU(inplace=True))
        before = after
    layers += [nn.Conv2d(before, before, 3, padding=1, bias=False), nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
    # The maximum, not the mean: 92.6 against 92.4 % of a validation split of Fashion-MNIST and 92.4 against 91.6 % of
    # its test set (width 16, 4 epochs, one seed each); no difference on the digits.
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def resnet(classes: int, channels: int, size: int, width: int, blocks: int) -> nn.Module:
    """Residual network with three stages (widths w, 2w, 4w) of ``blocks`` two-convolution blocks; depth 6 blocks + 2.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2 (the CIFAR networks).
    Differs: a 1x1 convolution with batch norm where the width changes (the paper's option B, as in MLPerf Tiny's
    ResNet-8), where the paper pads with zeros there (option A): 2,752 parameters more at width 16.
    """
    del size
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    before = width
    for after, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
        for number in range(blocks):
            layers.append(Residual(before, after, stride if number == 0 else 1))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class Residual(nn.Module):
    """relu(x + conv-bn-relu-conv-bn(x)), with a 1x1 convolution on x where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.shortcut(x) + self.second_norm(self.second(inner)), inplace=True)


def octresnet(classes: int, channels: int, size: int, width: int, blocks: int, alpha: float) -> nn.Module:
    """The residual network with a share ``alpha`` of its channels at half the resolution; see ``octave``."""
    del size
    return OctaveResNet(classes, channels, width, blocks, alpha)


def effnet(classes: int, channels: int, size: int, width: int) -> nn.Module:
    """EfficientNet in small: four inverted residual blocks with depthwise convolutions and squeeze-excitation.

    Source: Tan and Le 2019, arXiv:1905.11946, table 1 (the block is MobileNetV2's with squeeze-excitation).
    Differs: 3x3 depthwise kernels, expansion 4 (as there, 1 in the first block), four blocks, and a stem of stride 1.
    """
    del size
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.SiLU(inplace=True),
    ]
    before = width
    for after, stride, expansion in ((width, 1, 1), (2 * width, 2, 4), (4 * width, 2, 4), (4 * width, 1, 4)):
        layers.append(InvertedResidual(before, after, stride, expansion))
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class InvertedResidual(nn.Module):
    """1x1 expand → 3x3 depthwise → squeeze-excitation → 1x1 project, added to the input where the shape stays."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner, squeezed = before * expansion, max(4, before)
        self.keeps_shape = stride == 1 and before == after
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = nn.Sequential(
                nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.SiLU(inplace=True)
            )
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inner)
        self.squeeze = nn.Linear(inner, squeezed)
        self.excite = nn.Linear(squeezed, inner)
        self.project = nn.Conv2d(inner, after, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.depthwise_norm(self.depthwise(self.expand(x))), inplace=True)
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(y.mean(dim=(2, 3))))))
        y = self.project_norm(self.project(y * gate[:, :, None, None]))
        return x + y if self.keeps_shape else y


class ViT(nn.Module):
    """Vision transformer on a 4x4 grid of patches: patches of 2x2 pixels at 8x8, 7x7 at 28x28, 8x8 at 32x32.

    An image whose size is not a multiple of 4 is padded with zeros. Three layers, pre-norm, learned positions,
    mean over the tokens.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1.
    Differs: mean over the tokens in place of a class token (Beyer et al. 2022, arXiv:2205.01580).
    """

    GRID = 4

    def __init__(self, classes: int, channels: int, size: int, width: int, depth: int = 3) -> None:
        super().__init__()
        self.patch = -(-size // self.GRID)
        self.padding = self.patch * self.GRID - size
        self.embed = nn.Linear(channels * self.patch**2, width)
        # Standard deviation 1, not the usual 0.02: with a few hundred images there is no time to learn where a patch
        # is (a third of the digits, 240 steps: 93 against 80 % of the validation split).
        self.position = nn.Parameter(torch.randn(self.GRID**2, width))
        self.layers = nn.Sequential(*(EncoderLayer(width, heads=max(1, width // 16)) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding:
            x = F.pad(x, (0, self.padding, 0, self.padding))
        grid, patch = self.GRID, self.patch
        patches = x.reshape(len(x), x.shape[1], grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5)
        tokens = self.embed(patches.reshape(len(x), grid * grid, -1)) + self.position
        return self.head(self.norm(self.layers(tokens)).mean(dim=1))


def mlp(classes: int, channels: int, size: int, width: int) -> nn.Module:
    """Two hidden layers with ReLU on the flattened image."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * size * size, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, classes),
    )


def spectral(classes: int, channels: int, size: int, width: int) -> nn.Module:
    """``cnn`` for spectrograms, which are larger than they are detailed: its first convolution is 5x5 with stride 2.

    So everything behind it works on a quarter of the places. 61,306 parameters at width 16.
    """
    layers: list[nn.Module] = []
    before, size = channels, -(-size // 2)
    for after, kernel, stride in ((width, 5, 2), (2 * width, 3, 1), (4 * width, 3, 1), (4 * width, 3, 1)):
        layers += [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after)]
        if size >= 4 and after != before:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        layers.append(nn.ReLU(inplace=True))
        before = after
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def linear(classes: int, inputs: Inputs) -> nn.Module:
    """One linear layer: logistic regression."""
    return nn.Linear(inputs.shape[0], classes)


def feature_mlp(classes: int, inputs: Inputs, width: int) -> nn.Module:
    """Two hidden layers with ReLU on the features."""
    return mlp(classes, inputs.shape[0], 1, width)


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "cnn-4": partial(cnn, width=4),
    "cnn-8": partial(cnn, width=8),
    "cnn-16": partial(cnn, width=16),
    "cnn-24": partial(cnn, width=24),
    "cnn-32": partial(cnn, width=32),
    "resnet8-8": partial(resnet, width=8, blocks=1),
    "resnet8-16": partial(resnet, width=16, blocks=1),
    "resnet14-16": partial(resnet, width=16, blocks=2),
    "resnet14-32": partial(resnet, width=32, blocks=2),
    "resnet20-16": partial(resnet, width=16, blocks=3),
    "resnet32-16": partial(resnet, width=16, blocks=5),
    "resnet44-16": partial(resnet, width=16, blocks=7),
    "resnet56-16": partial(resnet, width=16, blocks=9),
    "octresnet8-16-a125": partial(octresnet, width=16, blocks=1, alpha=0.125),
    "octresnet8-16-a25": partial(octresnet, width=16, blocks=1, alpha=0.25),
    "octresnet8-16-a50": partial(octresnet, width=16, blocks=1, alpha=0.5),
    "airbench-16": partial(airbench, width=16),
    "airbench-24": partial(airbench, width=24),
    "airbench-64": partial(airbench, width=64),
    "effnet-8": partial(effnet, width=8),
    "effnet-16": partial(effnet, width=16),
    "spec-8": partial(spectral, width=8),
    "spec-16": partial(spectral, width=16),
    "vit-32": partial(ViT, width=32),
    "vit-64": partial(ViT, width=64),
    "mlp-256": partial(mlp, width=256),
    **ZOO,
}
"""For images: (classes, channels, size) → network. ``size`` is the smaller side of a spectrogram."""

ANY_SHAPE = ("cnn-", "spec-", "resnet", "octresnet", "airbench-", "effnet-")
"""How the names start of networks that take images higher than wide, and the other way round."""

FEATURE_MODELS: dict[str, Callable[[int, Inputs], nn.Module]] = {
    "linear": linear,
    "mlp-32": partial(feature_mlp, width=32),
    "mlp-64": partial(feature_mlp, width=64),
    "mlp-256": partial(feature_mlp, width=256),
}
"""For tables and embeddings: (classes, inputs) → network."""

OTHER_MODELS: dict[Form, dict[str, Callable[[int, Inputs], nn.Module]]] = {
    "features": FEATURE_MODELS,
    "tokens": TOKEN_MODELS,
}
