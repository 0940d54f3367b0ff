"""What a layer costs, by hand, for every kind of layer that multiplies by weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from trainmap.data.inputs import Inputs
from trainmap.models.cost import activations, counted_training_flops, forward_flops

L, D = 8, 6
INPUTS = Inputs("features", (L * D,))


class On(nn.Module):
    """A layer on the numbers in some shape; its parameters alone are there."""

    def __init__(self, layer: nn.Module, *shape: int, twice: bool = False) -> None:
        super().__init__()
        self.layer, self.shape, self.twice = layer, shape, twice

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), *self.shape)
        out = self.layer(x, x) if self.twice else self.layer(x)
        return out[0] if isinstance(out, tuple) else out


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(D, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


ATTENTION = 2 * (L * D * 3 * D + L * D * D + 2 * L * L * D)

LAYERS: dict[str, tuple[Callable[[], nn.Module], float, int]] = {
    "linear": (lambda: On(nn.Linear(D, 5), L, D), 2 * L * D * 5, L * 5),
    "conv1d": (lambda: On(nn.Conv1d(D, 4, 3), D, L), 2 * 6 * 3 * D * 4, 6 * 4),
    "conv1d, dilated": (lambda: On(nn.Conv1d(D, 4, 3, dilation=2), D, L), 2 * 4 * 3 * D * 4, 4 * 4),
    "conv2d": (lambda: On(nn.Conv2d(3, 5, 3), 3, 4, 4), 2 * 4 * 9 * 15, 4 * 5),
    "conv2d, grouped": (lambda: On(nn.Conv2d(4, 6, 2, groups=2), 4, 3, 4), 2 * 6 * 4 * 4 * 6 / 2, 6 * 6),
    "conv2d, depthwise": (lambda: On(nn.Conv2d(3, 3, 3, groups=3), 3, 4, 4), 2 * 4 * 9 * 3, 4 * 3),
    "conv3d": (lambda: On(nn.Conv3d(2, 5, 2), 2, 2, 3, 4), 2 * 6 * 8 * 10, 6 * 5),
    "transposed 1d": (lambda: On(nn.ConvTranspose1d(D, 4, 3, stride=2), D, L), 2 * L * 3 * D * 4, 17 * 4),
    "transposed 2d": (lambda: On(nn.ConvTranspose2d(3, 5, 3), 3, 4, 4), 2 * 16 * 9 * 15, 36 * 5),
    "transposed 3d, grouped": (
        lambda: On(nn.ConvTranspose3d(2, 4, 2, groups=2), 2, 2, 3, 4),
        2 * 24 * 8 * 8 / 2,
        3 * 4 * 5 * 4,
    ),
    "bilinear": (lambda: On(nn.Bilinear(D, D, 4), L, D, twice=True), 2 * L * 4 * D * D, L * 4),
    "rnn": (lambda: On(nn.RNN(D, 7, batch_first=True), L, D), 2 * L * 7 * (D + 7), L * 7),
    "gru": (lambda: On(nn.GRU(D, 7, batch_first=True), L, D), 2 * L * 3 * 7 * (D + 7), L * 7),
    "lstm": (lambda: On(nn.LSTM(D, 7, batch_first=True), L, D), 2 * L * 4 * 7 * (D + 7), L * 7),
    "lstm, two ways, two layers": (
        lambda: On(nn.LSTM(D, 7, 2, bidirectional=True, batch_first=True), L, D),
        2 * L * 4 * 7 * 2 * ((D + 7) + (14 + 7)),
        L * 14,
    ),
    "attention": (lambda: On(Attention(), L, D), ATTENTION, L * D),
    "transformer": (
        lambda: On(nn.TransformerEncoderLayer(D, 2, 10, batch_first=True), L, D),
        ATTENTION + 2 * 2 * L * D * 10,
        L * D + L * 10 + L * D,
    ),
    "weight norm": (lambda: On(weight_norm(nn.Linear(D, 5)), L, D), 2 * L * D * 5, L * 5),
    "norms": (lambda: On(nn.Sequential(nn.BatchNorm1d(D), nn.PReLU(D), nn.GroupNorm(2, D)), D, L), 0, 0),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("kind", LAYERS)
def test_the_flops_of_every_kind_of_layer_by_hand(kind: str) -> None:
    made, flops, outputs = LAYERS[kind]
    model = made()
    assert forward_flops(model, INPUTS) == flops
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.training
    assert torch.backends.mha.get_fastpath_enabled()
    assert activations(model, INPUTS) == outputs
    # The gradient of the weights costs what the forward pass costs; that of the example, which is no weight, nothing.
    # What is inside of a layer (attention, the steps of a recurrent layer) has both.
    assert 2 * flops <= counted_training_flops(model, INPUTS) <= 3 * flops


def test_a_word_is_looked_up_for_nothing() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 5))
    assert forward_flops(model, Inputs("tokens", (3,), 9)) == 2 * 12 * 5
