from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.models.cost import forward_flops, parameters
from trainmap.models.octave import OctaveConv2d, pool, split, upsample


def weight(layer: nn.Conv2d | None) -> Tensor:
    assert layer is not None
    return layer.weight


def make(before: int, after: int, kernel: int, stride: int, alpha_in: float, alpha_out: float) -> OctaveConv2d:
    generator = torch.Generator().manual_seed(0)
    layer = OctaveConv2d(before, after, kernel, stride, alpha_in=alpha_in, alpha_out=alpha_out)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer


def test_one_by_hand() -> None:
    """1x1 kernels on one high and one low channel: weights 2 (hh), 3 (lh), 5 (ll), 7 (hl)."""
    layer = OctaveConv2d(2, 2, 1, alpha_in=0.5, alpha_out=0.5)
    with torch.no_grad():
        for conv, value in ((layer.high_high, 2), (layer.low_high, 3), (layer.low_low, 5), (layer.high_low, 7)):
            weight(conv).fill_(value)
    high, low = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), torch.tensor([[[[10.0]]]])
    to_high, to_low = layer((high, low))
    assert to_high is not None
    assert to_low is not None
    assert to_high.tolist() == [[[[2 + 30, 4 + 30], [6 + 30, 12 + 30]]]]
    assert to_low.tolist() == [[[[50 + 7 * 3]]]]  # the mean of 1, 2, 3 and 6 is 3


def test_the_equations_by_plain_convolutions() -> None:
    """Equation 4, term by term, with pooling and upsampling written out by indices."""
    layer = make(8, 12, 3, 1, 0.25, 0.5)
    high, low = torch.randn(2, 6, 6, 10), torch.randn(2, 2, 3, 5)
    pooled = torch.stack([high[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).mean(dim=0)
    from_low = F.conv2d(low, weight(layer.low_high), padding=1)
    enlarged = from_low[:, :, torch.arange(6) // 2][:, :, :, torch.arange(10) // 2]
    to_high, to_low = layer((high, low))
    torch.testing.assert_close(to_high, F.conv2d(high, weight(layer.high_high), padding=1) + enlarged)
    expected = F.conv2d(low, weight(layer.low_low), padding=1) + F.conv2d(pooled, weight(layer.high_low), padding=1)
    torch.testing.assert_close(to_low, expected)


def test_with_stride_two_both_inputs_are_averaged_first() -> None:
    layer = make(8, 8, 3, 2, 0.5, 0.5)
    high, low = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)
    half = F.avg_pool2d(high, 2)
    to_high, to_low = layer((high, low))
    expected = F.conv2d(half, weight(layer.high_high), padding=1) + F.conv2d(low, weight(layer.low_high), padding=1)
    torch.testing.assert_close(to_high, expected)
    expected = F.conv2d(F.avg_pool2d(low, 2), weight(layer.low_low), padding=1)
    expected = expected + F.conv2d(F.avg_pool2d(high, 4), weight(layer.high_low), padding=1)
    torch.testing.assert_close(to_low, expected)


def test_without_low_channels_it_is_a_plain_convolution() -> None:
    layer = make(3, 5, 3, 1, 0, 0)
    x = torch.randn(2, 3, 7, 7)
    to_high, to_low = layer((x, None))
    torch.testing.assert_close(to_high, F.conv2d(x, weight(layer.high_high), padding=1))
    assert to_low is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0, 0.125, 0.25, 0.5, 0.75, 1]),
    st.sampled_from([0, 0.125, 0.25, 0.5, 0.75, 1]),
    st.integers(2, 11),
    st.integers(2, 11),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3]),
)
def test_any_shares_and_sizes_give_maps_an_octave_apart(
    alpha_in: float, alpha_out: float, height: int, width: int, stride: int, kernel: int
) -> None:
    layer = make(8, 16, kernel, stride, alpha_in, alpha_out)
    (high_in, low_in), (high_out, low_out) = split(8, alpha_in), split(16, alpha_out)
    half = -(-height // 2), -(-width // 2)
    x = (
        torch.randn(1, high_in, height, width) if high_in else None,
        torch.randn(1, low_in, *half) if low_in else None,
    )
    to_high, to_low = layer(x)
    assert parameters(layer) == 8 * 16 * kernel**2
    side = (height, width) if stride == 1 else half
    if not high_in and stride == 1:  # nothing says how large the high maps were
        side = (2 * half[0], 2 * half[1])
    assert (None if to_high is None else to_high.shape[1:]) == ((high_out, *side) if high_out else None)
    assert (None if to_low is None else to_low.shape[1:]) == (
        (low_out, -(-side[0] // 2), -(-side[1] // 2)) if low_out else None
    )


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_constant_image_stays_constant_through_pooling_and_upsampling(height: int, width: int) -> None:
    x = torch.full((1, 1, height, width), 3.0)
    assert (pool(x) == 3).all()
    torch.testing.assert_close(upsample(pool(x), (height, width)), x)


class Alone(nn.Module):
    """The octave convolution on maps made from one image, so that a counter can run it."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.layer = OctaveConv2d(16, 16, 3, alpha_in=alpha, alpha_out=alpha)
        self.high, self.low = split(16, alpha)

    def forward(self, x: Tensor) -> Tensor:
        high, _ = self.layer((x[:, : self.high], pool(x[:, self.high :]) if self.low else None))
        return high


@pytest.mark.parametrize("alpha", [0, 0.125, 0.25, 0.5, 0.75])
def test_the_cost_is_that_of_the_paper(alpha: float) -> None:
    plain, octave = (forward_flops(Alone(share), Inputs.images(16, 8)) for share in (0, alpha))
    assert octave / plain == 1 - 0.75 * alpha * (2 - alpha)


def test_octave_networks_have_the_weights_of_the_plain_one_and_cost_less_the_larger_the_share() -> None:
    names = ["resnet8-16", "octresnet8-16-a125", "octresnet8-16-a25", "octresnet8-16-a50"]
    inputs = Inputs.images(3, 32)
    models = [build(name, 10, inputs, seed=0) for name in names]
    assert {parameters(model) for model in models} == {78_042}
    flops = [forward_flops(model, inputs) for model in models]
    assert flops == sorted(flops, reverse=True)
    assert len(set(flops)) == 4


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 9, 13), (3, 32, 32)])
def test_octave_networks_take_any_shape_and_a_batch_of_one(shape: tuple[int, ...]) -> None:
    model = build("octresnet8-16-a50", 5, Inputs("pixels", shape), seed=0).train()
    logits = model(torch.rand(1, *shape))
    logits.sum().backward()
    assert logits.shape == (1, 5)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("kernel", "stride", "alpha_in", "alpha_out", "message"),
    [
        (3, 1, -0.1, 0, "alpha_in and alpha_out must be 0 to 1, got -0.1 and 0"),
        (3, 1, 0, 1.1, "must be 0 to 1"),
        (2, 1, 0, 0, "odd kernel and stride 1 or 2, got 2, 1"),
        (3, 3, 0, 0, "odd kernel and stride 1 or 2"),
    ],
)
def test_what_is_no_octave_convolution_is_an_error(
    kernel: int, stride: int, alpha_in: float, alpha_out: float, message: str
) -> None:
    with pytest.raises(TrainmapError, match=message):
        OctaveConv2d(8, 8, kernel, stride, alpha_in=alpha_in, alpha_out=alpha_out)
