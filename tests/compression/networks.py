"""Small networks of every kind of layer and wiring, for the rules that hold over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from trainmap.data.inputs import Inputs

CLASSES = 10
FLAT, PIXELS, WORDS = Inputs("features", (48,)), Inputs("pixels", (3, 8, 8)), Inputs("tokens", (6,), 12)


class Shaped(nn.Module):
    """Numbers in another shape: what networks for signals and volumes start with."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


class Mean(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=self.dims)


class Of(nn.Module):
    """A network that is written as a function of its layers."""

    def __init__(self, how: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.how = how
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.how(self, x)


def shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def separable(self: Any, x: Tensor) -> Tensor:
    return self.head(F.relu(self.point(F.relu(self.depth(F.relu(self.stem(x)))))).mean((2, 3)))


def excited(self: Any, x: Tensor) -> Tensor:
    x = F.relu(self.conv(x))
    gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))
    return self.head((x * gate).mean((2, 3)))


def shuffled(self: Any, x: Tensor) -> Tensor:
    x = F.relu(self.stem(x))
    return self.head(F.relu(self.two(shuffle(self.one(x), 4))).mean((2, 3)))


def chunked(self: Any, x: Tensor) -> Tensor:
    left, right = F.relu(self.stem(x)).chunk(2, dim=1)
    return self.head(torch.cat([left, F.relu(self.conv(right))], 1).mean((2, 3)))


def attended(self: Any, x: Tensor) -> Tensor:
    """Queries, keys and values from layers of their own."""
    x = self.embed(x.reshape(len(x), 6, 8))
    q, k, v = (layer(x).view(len(x), 6, 4, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), 6, 16)
    return self.head(self.out(mixed).mean(1))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def tied_linear() -> nn.Module:
    first, second = nn.Linear(32, 32), nn.Linear(32, 32)
    second.weight = first.weight
    return nn.Sequential(nn.Linear(48, 32), nn.ReLU(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(32, CLASSES))


def by_itself() -> nn.Module:
    """A layer of somebody's own, with parameters that it multiplies by."""
    network = Of(lambda self, x: self.head(F.relu(self.hidden(x)) @ self.matrix), hidden=nn.Linear(48, 32))
    network.matrix = nn.Parameter(torch.randn(32, 32) / 6)
    network.head = nn.Linear(32, CLASSES)
    return network


def positioned() -> nn.Module:
    network = Of(
        lambda self, x: self.head((self.mlp(self.embed(x) + self.position) * self.scale).mean(1)),
        embed=nn.Embedding(12, 16),
        mlp=nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)),
        head=nn.Linear(16, CLASSES),
    )
    network.position, network.scale = nn.Parameter(torch.randn(6, 16)), nn.Parameter(torch.rand(16))
    return network


def conv(dims: int, before: int, after: int, kernel: int = 3, **options: Any) -> nn.Module:
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    return kind(before, after, kernel, **{"padding": kernel // 2} | options)


def fully(dims: int, shape: tuple[int, ...], head: nn.Module) -> nn.Module:
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
    return nn.Sequential(
        Shaped(*shape),
        conv(dims, shape[0], 16),
        norm(16),
        nn.ReLU(),
        conv(dims, 16, 16),
        nn.ReLU(),
        head,
        Mean(*range(2, dims + 2)),
    )


SIGNAL, VOLUME = (3, 16), (3, 2, 2, 4)

NETWORKS: dict[str, tuple[Inputs, Callable[[], nn.Module]]] = {
    "linear": (FLAT, lambda: nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, CLASSES))),
    "conv1d head": (FLAT, lambda: fully(1, SIGNAL, nn.Conv1d(16, CLASSES, 1))),
    "conv2d head": (PIXELS, lambda: fully(2, (3, 8, 8), nn.Conv2d(16, CLASSES, 1))),
    "conv3d head": (FLAT, lambda: fully(3, VOLUME, nn.Conv3d(16, CLASSES, 1))),
    "transposed 1d head": (FLAT, lambda: fully(1, SIGNAL, nn.ConvTranspose1d(16, CLASSES, 2, 2))),
    "transposed 2d head": (PIXELS, lambda: fully(2, (3, 8, 8), nn.ConvTranspose2d(16, CLASSES, 2, 2))),
    "transposed 3d head": (FLAT, lambda: fully(3, VOLUME, nn.ConvTranspose3d(16, CLASSES, 2, 2))),
    "transposed within": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16), nn.ReLU(), nn.ConvTranspose2d(16, 24, 2, 2), nn.ReLU(), conv(2, 24, CLASSES), Mean(2, 3)
        ),
    ),
    "conv1d, flattened": (
        FLAT,
        lambda: nn.Sequential(Shaped(*SIGNAL), conv(1, 3, 16), nn.ReLU(), nn.Flatten(), nn.Linear(256, CLASSES)),
    ),
    "conv2d, flattened": (
        PIXELS,
        lambda: nn.Sequential(conv(2, 3, 16), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 32), nn.Linear(32, CLASSES)),
    ),
    "conv3d, flattened": (
        FLAT,
        lambda: nn.Sequential(Shaped(*VOLUME), conv(3, 3, 16), nn.ReLU(), nn.Flatten(), nn.Linear(256, CLASSES)),
    ),
    "tokens, flattened": (
        WORDS,
        lambda: nn.Sequential(nn.Embedding(12, 8), nn.Linear(8, 16), nn.ReLU(), nn.Flatten(), nn.Linear(96, CLASSES)),
    ),
    "grouped": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16), nn.ReLU(), conv(2, 16, 32, groups=4), nn.ReLU(), conv(2, 32, CLASSES), Mean(2, 3)
        ),
    ),
    "grouped 1d and group norm": (
        FLAT,
        lambda: nn.Sequential(
            Shaped(*SIGNAL),
            conv(1, 3, 24),
            nn.GroupNorm(3, 24),
            nn.ReLU(),
            conv(1, 24, 24, groups=4),
            nn.ReLU(),
            Mean(2),
            nn.Linear(24, CLASSES),
        ),
    ),
    "grouped transposed": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 16, 2, 2, groups=4),
            nn.ReLU(),
            conv(2, 16, CLASSES),
            Mean(2, 3),
        ),
    ),
    "depthwise": (
        PIXELS,
        lambda: Of(
            separable,
            stem=conv(2, 3, 16),
            depth=conv(2, 16, 16, groups=16),
            point=conv(2, 16, 24, 1),
            head=nn.Linear(24, CLASSES),
        ),
    ),
    "depthwise transposed": (
        PIXELS,
        lambda: Of(
            separable,
            stem=conv(2, 3, 16),
            depth=nn.ConvTranspose2d(16, 16, 2, 2, groups=16),
            point=conv(2, 16, 24, 1),
            head=nn.Linear(24, CLASSES),
        ),
    ),
    "depthwise, twice as many": (
        PIXELS,
        lambda: Of(
            separable,
            stem=conv(2, 3, 16),
            depth=conv(2, 16, 32, groups=16),
            point=conv(2, 32, 24, 1),
            head=nn.Linear(24, CLASSES),
        ),
    ),
    "as many groups as outputs": (
        PIXELS,
        lambda: Of(
            separable,
            stem=conv(2, 3, 32),
            depth=conv(2, 32, 16, groups=16),
            point=conv(2, 16, 24, 1),
            head=nn.Linear(24, CLASSES),
        ),
    ),
    "dilated": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16), nn.ReLU(), conv(2, 16, 16, dilation=2, padding=2), Mean(2, 3), nn.Linear(16, CLASSES)
        ),
    ),
    "bilinear": (
        FLAT,
        lambda: Of(
            lambda self, x: self.head(self.pair(F.relu(self.a(x)), F.relu(self.b(x)))),
            a=nn.Linear(48, 16),
            b=nn.Linear(48, 16),
            pair=nn.Bilinear(16, 16, 12),
            head=nn.Linear(12, CLASSES),
        ),
    ),
    "bilinear head": (
        FLAT,
        lambda: Of(
            lambda self, x: self.pair(F.relu(self.a(x)), x), a=nn.Linear(48, 16), pair=nn.Bilinear(16, 48, CLASSES)
        ),
    ),
    "lstm": (
        WORDS,
        lambda: Of(
            lambda self, x: self.head(F.relu(self.hidden(self.rnn(self.embed(x))[0][:, -1]))),
            embed=nn.Embedding(12, 16),
            rnn=nn.LSTM(16, 16, batch_first=True),
            hidden=nn.Linear(16, 32),
            head=nn.Linear(32, CLASSES),
        ),
    ),
    "gru behind a layer": (
        FLAT,
        lambda: Of(
            lambda self, x: self.head(self.rnn(F.relu(self.first(x.reshape(len(x), 6, 8))))[1][-1]),
            first=nn.Linear(8, 16),
            rnn=nn.GRU(16, 16, 2, bidirectional=True, batch_first=True),
            head=nn.Linear(16, CLASSES),
        ),
    ),
    "lstm head": (
        FLAT,
        lambda: Of(
            lambda self, x: self.rnn(F.relu(self.first(x.reshape(len(x), 6, 8))))[0][:, -1],
            first=nn.Linear(8, 16),
            rnn=nn.LSTM(16, CLASSES, batch_first=True),
        ),
    ),
    "attention": (
        WORDS,
        lambda: Of(
            lambda self, x: self.head(self.heads(e := self.embed(x), e, e)[0].mean(1)),
            embed=nn.Embedding(12, 16),
            heads=nn.MultiheadAttention(16, 2, batch_first=True),
            head=nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, CLASSES)),
        ),
    ),
    "transformer": (
        WORDS,
        lambda: Of(
            lambda self, x: self.head(self.encoder(self.embed(x)).mean(1)),
            embed=nn.Embedding(12, 16),
            encoder=encoder(),
            head=nn.Linear(16, CLASSES),
        ),
    ),
    "queries by themselves": (
        FLAT,
        lambda: Of(
            attended,
            embed=nn.Linear(8, 16),
            q=nn.Linear(16, 16),
            k=nn.Linear(16, 16),
            v=nn.Linear(16, 16),
            out=nn.Linear(16, 16),
            head=nn.Linear(16, CLASSES),
        ),
    ),
    "norms": (
        FLAT,
        lambda: nn.Sequential(
            nn.Linear(48, 32),
            nn.BatchNorm1d(32),
            nn.PReLU(32),
            nn.Linear(32, 32),
            nn.LayerNorm(32),
            nn.Linear(32, CLASSES),
        ),
    ),
    "instance norm": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16),
            nn.InstanceNorm2d(16, affine=True),
            nn.ReLU(),
            conv(2, 16, 16),
            Mean(2, 3),
            nn.Linear(16, CLASSES),
        ),
    ),
    "words": (
        WORDS,
        lambda: nn.Sequential(nn.Embedding(12, 16), Mean(1), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, CLASSES)),
    ),
    "positions": (WORDS, positioned),
    "shared weights": (FLAT, tied_linear),
    "a layer twice": (
        FLAT,
        lambda: Of(
            lambda self, x: self.head(F.relu(self.same(F.relu(self.same(F.relu(self.first(x))))))),
            first=nn.Linear(48, 32),
            same=nn.Linear(32, 32),
            head=nn.Linear(32, CLASSES),
        ),
    ),
    "weight norm": (
        PIXELS,
        lambda: nn.Sequential(
            conv(2, 3, 16), nn.ReLU(), weight_norm(conv(2, 16, 16)), nn.ReLU(), Mean(2, 3), nn.Linear(16, CLASSES)
        ),
    ),
    "spectral norm": (FLAT, lambda: nn.Sequential(spectral_norm(nn.Linear(48, 32)), nn.ReLU(), nn.Linear(32, CLASSES))),
    "somebody's own layer": (FLAT, by_itself),
    "shuffled": (
        PIXELS,
        lambda: Of(
            shuffled,
            stem=conv(2, 3, 16),
            one=conv(2, 16, 16, groups=4),
            two=conv(2, 16, 16, groups=4),
            head=nn.Linear(16, CLASSES),
        ),
    ),
    "chunked": (
        PIXELS,
        lambda: Of(chunked, stem=conv(2, 3, 16), conv=conv(2, 8, 8), head=nn.Linear(16, CLASSES)),
    ),
    "residual": (
        PIXELS,
        lambda: Of(
            lambda self, x: self.head(F.relu((y := F.relu(self.stem(x))) + self.two(F.relu(self.one(y)))).mean((2, 3))),
            stem=conv(2, 3, 16),
            one=conv(2, 16, 32),
            two=conv(2, 32, 16),
            head=nn.Linear(16, CLASSES),
        ),
    ),
    "concatenated": (
        PIXELS,
        lambda: Of(
            lambda self, x: self.head(F.relu(self.norm(torch.cat([self.a(x), self.b(x)], 1))).mean((2, 3))),
            a=conv(2, 3, 16),
            b=conv(2, 3, 32),
            norm=nn.BatchNorm2d(48),
            head=nn.Linear(48, CLASSES),
        ),
    ),
    "concatenated and added": (
        PIXELS,
        lambda: Of(
            lambda self, x: self.head(F.relu(torch.cat([self.a(x), self.b(x)], 1) + self.c(x)).mean((2, 3))),
            a=conv(2, 3, 16),
            b=conv(2, 3, 32),
            c=conv(2, 3, 48),
            head=nn.Linear(48, CLASSES),
        ),
    ),
    "concatenated in groups": (
        PIXELS,
        lambda: Of(
            lambda self, x: self.head(F.relu(self.norm(torch.cat([self.a(x), self.b(x)], 1))).mean((2, 3))),
            a=conv(2, 3, 16),
            b=conv(2, 3, 32),
            norm=nn.GroupNorm(4, 48),
            head=nn.Linear(48, CLASSES),
        ),
    ),
    "squeeze and excitation": (
        PIXELS,
        lambda: Of(
            excited, conv=conv(2, 3, 16), down=conv(2, 16, 8, 1), up=conv(2, 8, 16, 1), head=nn.Linear(16, CLASSES)
        ),
    ),
    "an unused layer": (
        FLAT,
        lambda: Of(
            lambda self, x: self.head(F.relu(self.hidden(x))),
            hidden=nn.Linear(48, 32),
            head=nn.Linear(32, CLASSES),
            unused=nn.Linear(7, 8),
        ),
    ),
    "two heads added": (
        FLAT,
        lambda: Of(
            lambda self, x: self.a(h := F.relu(self.hidden(x))) + self.b(h),
            hidden=nn.Linear(48, 32),
            a=nn.Linear(32, CLASSES),
            b=nn.Linear(32, CLASSES),
        ),
    ),
    "two heads side by side": (
        FLAT,
        lambda: Of(
            lambda self, x: torch.cat([self.a(h := F.relu(self.hidden(x))), self.b(h)], 1),
            hidden=nn.Linear(48, 32),
            a=nn.Linear(32, 4),
            b=nn.Linear(32, CLASSES - 4),
        ),
    ),
    "logits through a norm and log": (
        FLAT,
        lambda: nn.Sequential(
            nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, CLASSES), nn.BatchNorm1d(CLASSES), nn.LogSoftmax(dim=1)
        ),
    ),
}


def made(kind: str) -> tuple[Inputs, nn.Module]:
    """A network of the table, in eval mode, with statistics that are not those of a fresh norm."""
    inputs, build = NETWORKS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = build().eval()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return inputs, model
