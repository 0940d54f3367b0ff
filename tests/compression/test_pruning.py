from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from trainmap.compression.measure import finetune
from trainmap.compression.pruning import classifier, prune_channels
from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import build
from trainmap.models.cost import parameters
from trainmap.models.predict import predict
from trainmap.training.recipes import Recipe

SMALL = Inputs.images(1, 8)
FAMILIES = ["cnn-8", "resnet8-8", "effnet-8", "airbench-16", "vit-32", "mlp-256"]


def made(n: int = 40) -> Dataset:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def widths(model: nn.Module) -> dict[str, int]:
    layers = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return {name: int(layer.weight.shape[0]) for name, layer in layers}


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "random"])
@pytest.mark.parametrize("name", FAMILIES)
def test_half_of_every_layer_goes_and_the_rest_trains_even_on_a_batch_of_one(name: str, importance: str) -> None:
    model = build(name, 3, SMALL, seed=0)
    before, weights = widths(model), copy.deepcopy(model.state_dict())
    pruned = prune_channels(model, SMALL, 0.5, importance=importance, calibration=made())  # type: ignore[arg-type]
    assert all(torch.equal(weights[key], tensor) for key, tensor in model.state_dict().items()), "the original changed"
    after = widths(pruned.model)
    assert after.pop(list(before)[-1]) == 3
    assert {layer: before[layer] // 2 for layer in after} == after
    assert pruned.parameters == parameters(pruned.model) < 0.55 * parameters(model)
    assert not pruned.model.training
    pruned.model.train()(torch.rand(1, 1, 8, 8)).sum().backward()


def test_parameters_and_flops_follow_by_hand() -> None:
    """784 → 256 → 256 → 10 becomes 784 → 64 → 64 → 10."""
    inputs = Inputs.images(1, 28)
    pruned = prune_channels(build("mlp-256", 10, inputs, seed=0), inputs, 0.75)
    assert pruned.parameters == 784 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    assert pruned.flops == 2 * (784 * 64 + 64 * 64 + 64 * 10)
    assert pruned.nonzero == pruned.parameters


def test_the_pruned_network_is_the_original_without_those_channels() -> None:
    """A channel whose norm gives 0 gives 0 to all that follows, in a chain without additions."""
    model = build("cnn-8", 3, SMALL, seed=0).eval()
    pruned = prune_channels(model, SMALL, 0.4, round_to=2)
    layers = list(model)  # type: ignore[call-overload]
    for name, places in pruned.numbers["removed"].items():
        norm = layers[int(name) + 1]
        with torch.no_grad():
            norm.weight[places], norm.bias[places] = 0, 0
    x = torch.rand(5, 1, 8, 8)
    assert [len(places) for places in pruned.numbers["removed"].values()] == [4, 8, 14, 14]
    torch.testing.assert_close(pruned.model(x), model(x), rtol=1e-4, atol=1e-5)


def test_magnitude_takes_the_small_channels_and_taylor_those_without_a_gradient() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[1].weight[[1, 4]] *= 0.01  # type: ignore[index]
        model[3].weight[:, [1, 4]] *= 0.01  # type: ignore[index]
    assert prune_channels(model, SMALL, 1 / 3).numbers["removed"] == {"1": [1, 4]}
    with torch.no_grad():
        model[1].bias[:] = torch.tensor([-100.0, 1, 1, 1, 1, -100])  # type: ignore[index]  # large, but ReLU stops them
    removed = prune_channels(model.eval(), SMALL, 1 / 3, importance="taylor", calibration=made()).numbers["removed"]
    assert removed == {"1": [0, 5]}


@pytest.mark.parametrize(
    ("ratio", "round_to", "kept"), [(0.9, 1, 1), (0.9, 4, 4), (0.3, 4, 4), (0.01, 1, 7), (0.5, 16, 8)]
)
def test_a_layer_keeps_a_multiple_and_never_nothing(ratio: float, round_to: int, kept: int) -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    assert widths(prune_channels(model, SMALL, ratio, round_to=round_to).model)["0"] == kept


def test_a_layer_that_is_named_keeps_its_channels_and_random_follows_the_seed() -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    assert widths(prune_channels(model, SMALL, 0.5, keep=["0"]).model) == {"0": 8, "4": 8, "8": 16, "11": 16, "16": 3}
    state = torch.get_rng_state()
    one, same, other = (
        prune_channels(model, SMALL, 0.5, importance="random", seed=seed).numbers["removed"] for seed in (1, 1, 2)
    )
    assert one == same != other
    assert torch.equal(torch.get_rng_state(), state)


def test_a_channel_that_is_always_zero_goes_first() -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    with torch.no_grad():
        model[0].weight[5], model[1].weight[5] = 0, 0  # type: ignore[index]
        model[4].weight[:, 5] = 0  # type: ignore[index]
    assert prune_channels(model, SMALL, 0.1).numbers["removed"]["0"] == [5]


@pytest.mark.parametrize("name", ["resnet10t", "efficientnet_lite0", "vit_tiny_patch16_224"])
@pytest.mark.slow
def test_networks_of_timm_are_pruned(name: str) -> None:
    more: dict[str, Any] = {"img_size": 32, "patch_size": 8} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=10, in_chans=3, **more).eval()
    pruned = prune_channels(model, Inputs.images(3, 32), 0.5, round_to=8)
    assert pruned.parameters < 0.45 * parameters(model)
    pruned.model.train()(torch.rand(2, 3, 32, 32)).sum().backward()


def test_fine_tuning_brings_the_digits_back() -> None:
    data = load_splits("digits")
    model = build("cnn-8", 10, data.train.inputs, seed=0)
    from trainmap.training.fit import fit

    fit(model, data.train, Recipe(epochs=6, batch=32, peak_lr=0.2), seed=0)
    pruned = prune_channels(model, data.train.inputs, 0.5)
    tuned = finetune(pruned, data.train.subset(data.train.ids[::2]), Recipe(epochs=4, batch=32, peak_lr=0.1), seed=0)
    accuracies = [evaluate(predict(m, data.test), data.test.y).accuracy for m in (model, pruned.model, tuned.model)]
    assert accuracies[1] < accuracies[2] > 0.9
    assert tuned.parameters == pruned.parameters
    assert tuned.training_flops == 3 * pruned.flops * 4 * len(data.train.ids[::2])


def test_the_classifier_is_the_layer_that_makes_the_logits() -> None:
    model = build("effnet-8", 3, SMALL, seed=0)
    assert classifier(model.eval(), SMALL) is list(model.modules())[-1]
    with pytest.raises(TrainmapError, match="no convolution and no linear layer"):
        classifier(nn.Flatten(), SMALL)


def test_mistakes_are_named() -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    with pytest.raises(TrainmapError, match="between 0 and 1"):
        prune_channels(model, SMALL, 1.0)
    with pytest.raises(TrainmapError, match="did you mean 'taylor'"):
        prune_channels(model, SMALL, 0.5, importance="tailor")  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="needs examples"):
        prune_channels(model, SMALL, 0.5, importance="taylor")
    with pytest.raises(TrainmapError, match="module to keep 'stem'"):
        prune_channels(model, SMALL, 0.5, keep=["stem"])
    with torch.no_grad():
        model[0].weight[0] = float("nan")  # type: ignore[index]
    with pytest.raises(TrainmapError, match="NaN"):
        prune_channels(model, SMALL, 0.5)
