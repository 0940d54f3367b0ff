from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.airbench import patches
from trainmap.models.build import MODELS, build
from trainmap.models.cost import forward_flops, inference_flops, parameter_bytes, parameters, training_flops
from trainmap.models.layout import is_convolutional
from trainmap.models.zoo import ZOO

SIZES = [(1, 8), (1, 28), (3, 32)]
SMALL = [name for name in MODELS if name not in ZOO]  # test_zoo.py has the others


@pytest.mark.parametrize(("channels", "size"), SIZES)
@pytest.mark.parametrize("name", SMALL)
def test_every_model_takes_every_size_in_training_even_a_batch_of_one(name: str, channels: int, size: int) -> None:
    model = build(name, 7, Inputs.images(channels, size), seed=0).train()
    for batch in (1, 2):
        logits = model(torch.rand(batch, channels, size, size))
        assert logits.shape == (batch, 7)
        logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    one, same, other = (build(name, 10, Inputs.images(1, 8), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", SMALL)
def test_building_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    build(name, 10, Inputs.images(1, 8), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", SMALL)
def test_the_memory_format_does_not_change_the_answer(name: str) -> None:
    model, x = build(name, 10, Inputs.images(3, 32), seed=0).eval(), torch.rand(2, 3, 32, 32)
    expected = model(x)
    if is_convolutional(model):
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count"), [("cnn-16", 61_050), ("cnn-32", 241_898), ("resnet14-16", 174_970), ("mlp-256", 269_322)]
)
def test_parameters_are_counted(name: str, count: int) -> None:
    model = build(name, 10, Inputs.images(1, 28), seed=0)
    assert parameters(model) == count
    model.requires_grad_(False)
    assert parameters(model) == 0


def test_bytes_count_parameters_and_buffers() -> None:
    model = torch.nn.BatchNorm1d(5)  # weight, bias, mean, variance: 4 x 5 float32; one int64 counter
    assert parameter_bytes(model) == 4 * 5 * 4 + 8


def test_forward_flops_of_a_perceptron_are_two_for_each_weight() -> None:
    assert forward_flops(build("mlp-256", 10, Inputs.images(1, 28), seed=0), Inputs.images(1, 28)) == 2 * (
        784 * 256 + 256 * 256 + 256 * 10
    )


def test_forward_flops_of_a_convolutional_network_follow_by_hand() -> None:
    pixels = [28 * 28, 14 * 14, 7 * 7, 3 * 3]
    weights = [9 * 1 * 16, 9 * 16 * 32, 9 * 32 * 64, 9 * 64 * 64]
    by_hand = 2 * (sum(p * w for p, w in zip(pixels, weights, strict=True)) + 64 * 10)
    model = build("cnn-16", 10, Inputs.images(1, 28), seed=0).train()
    assert forward_flops(model, Inputs.images(1, 28)) == by_hand
    assert model.training


# Not the effnets: the counter takes the weight gradient of a depthwise convolution for that of a full one.
@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("effnet")])
def test_training_flops_are_three_forward_passes_as_the_counter_sees_them(name: str) -> None:
    """Exactly three when the images need a gradient; without it, the first layer's input gradient is saved."""
    claimed = training_flops(
        forward_flops(build(name, 10, Inputs.images(3, 32), seed=0), Inputs.images(3, 32)), examples_seen=2
    )
    for needs_gradient in (True, False):
        model, x = build(name, 10, Inputs.images(3, 32), seed=0), torch.rand(2, 3, 32, 32, requires_grad=needs_gradient)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(x).sum().backward()
        counted = counter.get_total_flops()
        assert counted == claimed if needs_gradient else 0.65 * claimed < counted < claimed


def test_attention_is_counted() -> None:
    """16 tokens of width 32: two products of 16 x 16 x 32 in each of the three layers, beside the linear layers."""
    linear = 16 * 4 * 32 + 3 * 16 * (32 * 96 + 32 * 32 + 2 * 32 * 128) + 32 * 10
    assert forward_flops(build("vit-32", 10, Inputs.images(1, 8), seed=0), Inputs.images(1, 8)) == 2 * (
        linear + 3 * 2 * 16 * 16 * 32
    )


def test_inference_with_flips_costs_twice() -> None:
    assert inference_flops(5, 10) == 50
    assert inference_flops(5, 10, flips=True) == 100


def test_a_misspelt_model_names_the_nearest() -> None:
    with pytest.raises(TrainmapError, match="did you mean 'cnn-16'"):
        build("cnn16", 10, Inputs.images(1, 28), seed=0)


@pytest.mark.parametrize(("classes", "channels", "size"), [(1, 1, 28), (10, 0, 28), (10, 1, 7)])
def test_sizes_that_no_network_takes_are_an_error(classes: int, channels: int, size: int) -> None:
    with pytest.raises(TrainmapError, match=r"a network needs|positive"):
        build("cnn-8", classes, Inputs.images(channels, size), seed=0)


def test_a_vit_takes_sizes_that_its_grid_does_not_divide() -> None:
    assert build("vit-32", 10, Inputs.images(1, 30), seed=0)(torch.rand(2, 1, 30, 30)).shape == (2, 10)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_first_layer_of_airbench_is_an_orthonormal_basis_and_its_negative(channels: int) -> None:
    basis = patches(channels).flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(4 * channels), rtol=0, atol=1e-6)
    first = build("airbench-16", 2, Inputs.images(channels, 8), seed=0)[0].weight.flatten(1)  # pyright: ignore[reportIndexIssue]
    torch.testing.assert_close(first, torch.cat([basis, -basis]))


def test_the_patches_of_one_channel_are_mean_edges_and_their_product_by_hand() -> None:
    found = (2 * patches(1)).flatten(1).tolist()
    assert found == [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]


def test_the_blocks_of_airbench_begin_as_the_identity() -> None:
    """A channel comes out as it goes in; what is more than came in is random."""
    convs = [
        layer
        for layer in build("airbench-16", 2, Inputs.images(3, 32), 0).modules()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    wider, same = convs[3], convs[4]
    x = torch.rand(1, 64, 4, 4)
    torch.testing.assert_close(same(x), x)
    torch.testing.assert_close(wider(x[:, :16])[:, :16], x[:, :16])
    assert bool((wider.weight[16:] != 0).all())
