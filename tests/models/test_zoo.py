from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import MODELS, build
from trainmap.models.cost import forward_flops, parameters
from trainmap.models.zoo import FRESH, SMALLEST_ZOO, WITHOUT_WEIGHTS, ZOO, shrink_kernel
from trainmap.training.recipes import FINE_TUNING, PUBLISHED, default_recipe


def meta(name: str, classes: int = 10, channels: int = 3, size: int = 32) -> nn.Module:
    with torch.device("meta"):
        return build(name, classes, Inputs.images(channels, size), seed=0)


# Counts with 10 classes and three channels. ResNets: what is usual for CIFAR (11.17, 21.28, 23.52 M); VGG: the same
# (14.73 M for VGG-16); the others: torchvision's and timm's networks with the published counts of 1000 classes below.
COUNTS = {
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "vgg11": 9_231_114,
    "vgg13": 9_416_010,
    "vgg16": 14_728_266,
}
PUBLISHED_COUNTS = {  # millions with 1000 classes, from the papers' tables
    "efficientnet-b0": 5.3,
    "efficientnet-b2": 9.2,
    "efficientnet-b4": 19,
    "mobilenetv2-1.0": 3.5,  # 3.4 in the paper's table, 3.5 in everybody's code
    "mobilenetv2-0.75": 2.6,
    "mobilenetv2-0.35": 1.7,
    "vit-small": 22,
    "vit-base": 86,
}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameters_are_those_that_are_known_for_cifar(name: str, count: int) -> None:
    assert parameters(meta(name)) == count


@pytest.mark.parametrize(("name", "millions"), PUBLISHED_COUNTS.items())
def test_parameters_are_those_of_the_papers_with_a_thousand_classes(name: str, millions: float) -> None:
    assert parameters(meta(name, classes=1000)) / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_resnets_are_those_of_the_paper_but_for_the_shortcuts(depth: int, millions: float) -> None:
    """Option B has 1x1 convolutions 16 -> 32 and 32 -> 64, each with the two vectors of a batch norm."""
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert shortcuts == 2752
    assert round((parameters(meta(f"resnet{depth}-16")) - shortcuts) / 1e6, 2) == millions


def test_resnet10_is_torchvision_s_of_one_block_a_stage() -> None:
    import torchvision.models.resnet as foreign

    inputs = Inputs.images(3, 32)
    with torch.device("meta"):
        other = foreign.ResNet(foreign.BasicBlock, [1, 1, 1, 1], num_classes=10)
        other.conv1, other.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()  # type: ignore[assignment]
    assert parameters(meta("resnet10")) == parameters(other) == 4_903_242
    assert forward_flops(meta("resnet10"), inputs) == forward_flops(other, inputs)
    assert "resnet10+pretrained" not in ZOO


def test_flops_of_resnet18_are_those_that_are_known_for_cifar() -> None:
    """0.56 billion multiplications for a 32x32 image."""
    assert forward_flops(meta("resnet18"), Inputs.images(3, 32)) / 2e9 == pytest.approx(0.556, abs=0.001)


DEEP = ("resnet50", "efficientnet-b2", "efficientnet-b4", "vit-base")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in DEEP else n for n in FRESH])
def test_every_network_trains_on_every_size_even_a_batch_of_one(name: str) -> None:
    smallest = 20 if name.startswith("vit") else SMALLEST_ZOO
    for channels, size in ((1, 28), (3, smallest)):
        model = meta(name, 7, channels, size).train()
        logits = model(torch.rand(1, channels, size, size, device="meta"))
        assert logits.shape == (1, 7)
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet-b0", "vit-small", "vgg11", "mobilenetv2-1.0"])
def test_too_small_an_image_is_an_error(name: str) -> None:
    with pytest.raises(TrainmapError, match=f"{name} takes images of at least"):
        meta(name, size=16)


def test_a_transformer_needs_whole_patches() -> None:
    with pytest.raises(TrainmapError, match="a multiple of 4, got 30"):
        meta("vit-small", size=30)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2-0.35", "vgg11", "efficientnet-b0"])
def test_the_seed_alone_decides_the_weights(name: str) -> None:
    before = torch.get_rng_state()
    one, same, other = (build(name, 10, Inputs.images(1, 28), seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_no_norm_starts_at_zero() -> None:
    """A scale of 0 would make quantisation-aware training divide by it."""
    for name in ("resnet18", "resnet50"):
        model = build(name, 10, Inputs.images(3, 32), seed=0)
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert all((layer.weight == 1).all() for layer in norms)


def test_the_stem_keeps_the_resolution() -> None:
    model: Any = meta("resnet18")
    assert model.act1(model.bn1(model.conv1(torch.zeros(1, 3, 32, 32, device="meta")))).shape[2:] == (32, 32)
    assert isinstance(model.maxpool, nn.Identity)
    for name in ("efficientnet-b2", "mobilenetv2-0.75"):
        model = meta(name)
        assert model.conv_stem(torch.zeros(1, 3, 32, 32, device="meta")).shape[2:] == (32, 32)


def test_a_shrunk_kernel_answers_what_the_large_one_answers_on_the_enlarged_image() -> None:
    kernel, image = torch.randn(4, 3, 7, 7, dtype=torch.double), torch.randn(2, 3, 9, 11, dtype=torch.double)
    enlarged = image.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    at_the_middle = F.conv2d(enlarged, kernel, padding=3)[:, :, 1::3, 1::3]
    torch.testing.assert_close(F.conv2d(image, shrink_kernel(kernel), padding=1), at_the_middle)


def local_weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
    """timm without its downloads: asked for pretrained weights, it gives made ones, which are kept by name."""
    made: dict[str, nn.Module] = {}
    create = timm.create_model

    def local(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        made[name] = create(name, pretrained=False, **options)
        return made[name]

    monkeypatch.setattr(timm, "create_model", local)
    return made


def test_pretrained_weights_are_kept_where_the_network_was_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = local_weights(monkeypatch)
    model: Any = build("vgg11+pretrained", 10, Inputs.images(3, 32), seed=0)
    published: Any = made["vgg11_bn"]
    assert torch.equal(model.features[0].weight, published.features[0].weight)
    assert torch.equal(model.features[25].weight, published.features[25].weight)


def test_a_pretrained_stem_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    create, stems = timm.create_model, []

    def local(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        assert pretrained
        model: Any = create(name, pretrained=False, **options)
        stems.append(model.conv1.weight.detach().clone())
        return model

    monkeypatch.setattr(timm, "create_model", local)
    model: Any = build("resnet18+pretrained", 10, Inputs.images(1, 28), seed=0)
    assert torch.equal(model.conv1.weight, shrink_kernel(stems[0]))
    assert model.conv1.weight.requires_grad
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_every_name_with_pretrained_weights_has_some_in_timm_and_the_others_none() -> None:
    names = {
        "resnet": "{}",
        "efficientnet": "efficientnet_{}",
        "mobilenetv2": "mobilenetv2_{}",
        "vit": "vit_{}_patch16_224",
        "vgg": "{}_bn",
    }
    for name in FRESH:
        family = next(key for key in names if name.startswith(key))
        variant = name.split("-")[-1].replace("1.0", "100").replace(".", "")
        weights = timm.get_pretrained_cfg(names[family].format(variant))
        assert bool(weights and weights.has_weights) == (f"{name}+pretrained" in ZOO) == (name not in WITHOUT_WEIGHTS)


def test_a_download_that_fails_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: object, **_options: object) -> nn.Module:
        raise FileNotFoundError("no route to host")

    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(TrainmapError, match=r"ImageNet weights of resnet18 .* or leave out \+pretrained"):
        build("resnet18+pretrained", 10, Inputs.images(3, 32), seed=0)


def test_without_timm_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TrainmapError, match=r"pip install 'trainmap\[vision\]'"):
        build("resnet18", 10, Inputs.images(3, 32), seed=0)
    build("vgg11", 10, Inputs.images(3, 32), seed=0)  # is written out here


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(TrainmapError, match="did you mean 'efficientnet-b2'"):
        meta("efficentnet-b2")


def test_every_network_of_the_zoo_has_a_published_recipe_and_no_other_network_has() -> None:
    for name in MODELS:
        recipe = default_recipe(name, "cifar10")
        if name in ZOO:
            expected = [FINE_TUNING] if name.endswith("+pretrained") else list(PUBLISHED.values())
            assert recipe.epochs in {one.epochs for one in expected}
            assert recipe.flips
            assert recipe.epochs >= 100
        else:
            assert recipe.epochs < 30


def test_recipes_of_the_zoo_by_name() -> None:
    assert default_recipe("resnet34", "cifar10").peak_lr == 0.1
    assert default_recipe("mobilenetv2-0.35", "cifar10").peak_lr == 0.01
    assert default_recipe("vit-small", "cifar10").optimizer == "adamw"
    assert default_recipe("vit-small+pretrained", "cifar10").optimizer == "sgd"
    assert default_recipe("resnet20-16", "mnist").epochs == default_recipe("resnet8-16", "mnist").epochs


@pytest.mark.parametrize("name", ["mobilenetv2-0.35", "efficientnet-b0", "resnet18", "vgg11"])
def test_a_fresh_network_prefers_no_class(name: str) -> None:
    """Its first loss is near that of guessing, ln C."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 1, 28, 28, generator=generator), torch.arange(16) % 4
    model = build(name, 4, Inputs.images(1, 28), seed=0).train()
    with torch.no_grad():
        assert math.log(4) - 0.3 < F.cross_entropy(model(x), y).item() < math.log(4) + 0.6


def test_a_zoo_network_learns_a_batch() -> None:
    model = build("mobilenetv2-0.35", 4, Inputs.images(1, 28), seed=0).train()
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 1, 28, 28, generator=generator), torch.arange(16) % 4
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(40):  # after 20 the loss still jumps between 0.1 and 1.8, as a machine's rounding has it
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
