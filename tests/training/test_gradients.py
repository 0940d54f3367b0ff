"""GraNd and VoG against a backward pass for each example and each checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainmap.data.dataset import Dataset, to_float
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.training import gradients
from trainmap.training.gradients import grand, input_gradients, vog

MODELS = ["mlp-256", "cnn-8", "resnet8-8", "effnet-8", "airbench-16", "vit-32"]


def make(n: int = 7, channels: int = 1, seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (n, channels, 8, 8), dtype=np.uint8)
    return Dataset("noise", np.arange(n, dtype=np.int64), x, generator.integers(0, 3, n), 3)


def model_named(name: str, seed: int = 0, channels: int = 1) -> nn.Module:
    """A network whose batch norms have seen something, in train mode."""
    model = build(name, 3, Inputs.images(channels, 8), seed)
    with torch.no_grad():
        model(to_float(torch.from_numpy(make(16, channels, seed=9).x)))
    return model.train()


def looped(model: nn.Module, dataset: Dataset, parameters: list[nn.Parameter]) -> NDArray[np.float64]:
    """The norm of the gradient of each example's loss, one backward pass after the other."""
    model.eval()
    norms = []
    for image, label in zip(torch.from_numpy(dataset.x), dataset.y.tolist(), strict=True):
        loss = nn.functional.cross_entropy(model(to_float(image[None])), torch.tensor([label]))
        parts = torch.autograd.grad(loss, parameters)
        norms.append(torch.cat([part.double().flatten() for part in parts]).norm().item())
    return np.array(norms)


@pytest.mark.parametrize("name", MODELS)
def test_grand_of_the_last_layer_is_the_norm_of_its_gradient(name: str) -> None:
    model, dataset = model_named(name), make()
    head = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 3][-1]
    values = grand(model, dataset)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, looped(model, dataset, list(head.parameters())), rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_grand_of_all_parameters_is_the_norm_of_the_whole_gradient(name: str) -> None:
    model, dataset = model_named(name), make()
    values = grand(model, dataset, parameters="all")
    np.testing.assert_allclose(values, looped(model, dataset, list(model.parameters())), rtol=1e-4)


def test_parameters_that_are_frozen_do_not_count() -> None:
    model, dataset = model_named("mlp-256"), make()
    head = list(model.modules())[-1]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(TrainmapError, match="no parameter that requires a gradient"):
        grand(model, dataset, parameters="all")
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    np.testing.assert_allclose(grand(model, dataset, "all"), grand(model, dataset, "last"), rtol=1e-4)


def test_a_last_layer_without_a_bias_is_known() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))
    dataset = make()
    np.testing.assert_allclose(grand(model, dataset), looped(model, dataset, list(model[3].parameters())), rtol=1e-4)


@pytest.mark.parametrize("parameters", ["last", "all"])
def test_the_size_of_the_chunk_changes_nothing_but_rounding(
    monkeypatch: pytest.MonkeyPatch, parameters: gradients.Parameters
) -> None:
    model, dataset = model_named("cnn-8"), make(11)
    whole = grand(model, dataset, parameters)
    monkeypatch.setattr(gradients, "BATCH", 4)
    monkeypatch.setattr(gradients, "GRADIENT_BYTES", 1)
    np.testing.assert_allclose(grand(model, dataset, parameters), whole, rtol=1e-5)


def test_a_model_comes_out_as_it_went_in() -> None:
    model, dataset = model_named("cnn-8"), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grand(model, dataset, "last")
    grand(model, dataset, "all")
    vog([model, model_named("cnn-8", seed=1)], dataset)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


class Doubled(nn.Module):
    """Logits that are not the output of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.head(x.flatten(1))


def test_logits_that_do_not_come_out_of_a_linear_layer_need_all_parameters() -> None:
    with pytest.raises(TrainmapError, match="needs a model whose logits are the output of an nn\\.Linear"):
        grand(Doubled(), make())
    model = Doubled()
    np.testing.assert_allclose(grand(model, make(), "all"), looped(model, make(), list(model.parameters())), rtol=1e-4)


def test_what_cannot_be_scored_is_said() -> None:
    model, dataset = model_named("mlp-256"), make()
    with pytest.raises(TrainmapError, match="unknown choice of parameters 'lst'; did you mean 'last'"):
        grand(model, dataset, "lst")  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="nothing to score"):
        grand(model, dataset.subset([]))
    with pytest.raises(TrainmapError, match="vog needs at least 2 checkpoints to see a variance, got 1"):
        vog([model], dataset)


# --- variance of gradients ------------------------------------------------------------------------------------------


def literal_saliency(model: nn.Module, image: Tensor, label: int) -> NDArray[np.float64]:
    model.eval()
    x = to_float(image[None]).requires_grad_(True)
    model(x)[0, label].backward()
    assert x.grad is not None
    return x.grad[0].mean(dim=0).double().numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_vog_is_the_spread_of_the_saliency_over_the_checkpoints(channels: int) -> None:
    models = [model_named("cnn-8", seed, channels) for seed in range(4)]
    dataset = make(9, channels)
    expected = []
    for image, label in zip(torch.from_numpy(dataset.x), dataset.y.tolist(), strict=True):
        maps = np.stack([literal_saliency(model, image, label) for model in models])
        expected.append(np.sqrt(((maps - maps.mean(axis=0)) ** 2).sum(axis=0) / 4).mean())
    np.testing.assert_allclose(vog(models, dataset, per_class=False), expected, rtol=1e-4)
    normalised = np.full(9, np.nan)
    for label in set(dataset.y.tolist()):
        here = dataset.y == label
        values = np.array(expected)[here]
        normalised[here] = (values - values.mean()) / values.std() if len(values) > 1 else np.nan
    np.testing.assert_allclose(vog(models, dataset), normalised, rtol=1e-3, atol=1e-4)


def test_checkpoints_that_are_alike_have_no_variance() -> None:
    model, dataset = model_named("mlp-256"), make()
    assert vog([model, model, model], dataset, per_class=False).tolist() == [0] * 7
    assert np.isnan(vog([model, model], dataset)).all()


def test_vog_in_chunks_of_examples_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    models, dataset = [model_named("mlp-256", seed) for seed in range(2)], make(11)
    whole = vog(models, dataset)
    monkeypatch.setattr(gradients, "EXAMPLES", 4)
    np.testing.assert_allclose(vog(models, dataset), whole, rtol=1e-4, atol=1e-6)


def test_input_gradients_are_maps_of_the_images() -> None:
    model, dataset = model_named("vit-32", channels=3), make(4, channels=3)
    maps = input_gradients(model, dataset)
    assert (maps.shape, maps.dtype) == ((4, 8, 8), np.float64)
    expected = [literal_saliency(model, torch.from_numpy(x), y) for x, y in zip(dataset.x, dataset.y, strict=True)]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-7)
