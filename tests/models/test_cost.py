from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainmap.data.inputs import Inputs
from trainmap.models.build import MODELS, build
from trainmap.models.cost import activations, counted_training_flops, forward_flops, training_flops
from trainmap.models.zoo import ZOO

NAMES = [name for name in MODELS if name not in ZOO]
NAMES += ["resnet18", "vgg11", "vit-small", "mobilenetv2-0.35"]  # the others are these, deeper


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))


def test_forward_and_backward_by_hand() -> None:
    """Two FLOPs a weight forward and for its gradient; the gradient of an input in the second layer alone."""
    inputs = Inputs.images(3, 2)
    assert forward_flops(perceptron(), inputs) == 2 * (60 + 15)
    assert counted_training_flops(perceptron(), inputs) == 2 * (60 + 15) + 2 * (60 + 15) + 2 * 15


def test_frozen_weights_need_no_gradient() -> None:
    model = perceptron()
    model[1].requires_grad_(False)  # type: ignore[index]
    assert counted_training_flops(model, Inputs.images(3, 2)) == 2 * (60 + 15) + 2 * 15


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_convolution_costs_the_same_three_times_whatever_its_groups(groups: int) -> None:
    """6 channels to 6 on 4x4 with 3x3 kernels; a first convolution makes the second one's input gradient needed."""
    first, grouped = nn.Conv2d(1, 6, 1, bias=False), nn.Conv2d(6, 6, 3, padding=1, groups=groups, bias=False)
    inputs = Inputs.images(1, 4)
    one, other = 2 * 16 * 6, 2 * 16 * 6 * 6 * 9 // groups
    model = nn.Sequential(first, grouped)
    assert forward_flops(model, inputs) == one + other
    assert counted_training_flops(model, inputs) == 2 * one + 3 * other


@pytest.mark.parametrize("name", NAMES)
def test_three_forward_passes_are_what_training_counts_but_for_the_first_layer(name: str) -> None:
    for channels, size in ((1, 28), (3, 32)):
        inputs = Inputs.images(channels, size)
        with torch.device("meta"):
            model = build(name, 10, inputs, seed=0)
        claimed, counted = training_flops(forward_flops(model, inputs), 1), counted_training_flops(model, inputs)
        first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
        spared = claimed - counted
        if isinstance(first, nn.Conv2d):  # its own forward pass, no more
            stem = nn.Sequential(copy.deepcopy(first))
            assert spared == forward_flops(stem, inputs) or name.startswith("octresnet")
        low = 2.07 if name == "mlp-256" else 2.5
        assert low < counted / (claimed / 3) <= 3


@pytest.mark.parametrize("name", ["cnn-8", "effnet-8", "vit-32", "octresnet8-16-a25"])
def test_the_meta_device_counts_what_the_cpu_counts(name: str) -> None:
    inputs = Inputs.images(3, 32)
    with torch.device("meta"):
        meta = build(name, 10, inputs, seed=0)
    real = build(name, 10, inputs, seed=0)
    for count in (forward_flops, counted_training_flops, activations):
        assert count(meta, inputs) == count(real, inputs)


def test_counting_changes_nothing_in_the_model() -> None:
    model, inputs = build("resnet8-8", 10, Inputs.images(1, 8), seed=0).train(), Inputs.images(1, 8)
    frozen = next(layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)).eval()
    before = copy.deepcopy(model.state_dict())
    for count in (forward_flops, counted_training_flops, activations):
        count(model, inputs)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert not frozen.training
    assert not any(layer._forward_hooks for layer in model.modules())


def test_activations_by_hand() -> None:
    """cnn-8 at 28x28: each convolution before its pooling (28, 14, 7, 3), then the classifier."""
    model = build("cnn-8", 10, Inputs.images(1, 28), seed=0)
    assert activations(model, Inputs.images(1, 28)) == 8 * 28**2 + 16 * 14**2 + 32 * 7**2 + 32 * 3**2 + 10
