"""What prune_channels and its relatives take: frozen layers as others, and nothing that is no network or number."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainmap.compression.pruning import prune_channels
from trainmap.compression.sparsity import zero_smallest
from trainmap.data.dataset import load_splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning", "ignore:.*Lazy modules:UserWarning")
INPUTS = Inputs.images(1, 8)


class N(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.h = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.h(self.b(self.a(x.flatten(1)).relu()).relu())


def network() -> N:
    torch.manual_seed(0)
    return N()


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "random"])
@pytest.mark.parametrize("frozen", ["", "a", "ab", "abh"])
def test_frozen_layers_lose_the_same_channels_and_stay_frozen(frozen: str, importance: Any) -> None:
    options: dict[str, Any] = {"importance": importance, "calibration": load_splits("digits").train}
    model, free = network(), prune_channels(network(), INPUTS, 0.5, **options)
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    pruned = prune_channels(model, INPUTS, 0.5, **options)
    assert pruned.numbers["removed"] == free.numbers["removed"]
    assert {name: len(places) for name, places in pruned.numbers["removed"].items()} == {"a": 16, "b": 16}
    assert {n: p.requires_grad for n, p in pruned.model.named_parameters()} == {
        n: n[0] not in frozen for n, _ in model.named_parameters()
    }
    assert [p.requires_grad for p in model.parameters()] == [n[0] not in frozen for n, _ in model.named_parameters()]
    assert all(torch.equal(p, q) for p, q in zip(pruned.model.parameters(), free.model.parameters(), strict=True))


class Detached(N):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.h(self.b(self.a(x.flatten(1)).relu().detach()).relu())


class Without(N):
    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


def test_a_layer_that_no_gradient_reaches_is_named_with_the_reason() -> None:
    pruned = prune_channels(Detached(), INPUTS, 0.5)
    assert list(pruned.numbers["removed"]) == ["b"]
    assert list(pruned.numbers["whole"]) == ["a"]
    assert "without gradients" in pruned.numbers["whole"]["a"]
    with pytest.raises(TrainmapError, match=r"Without computes its logits without gradients .* take that out"):
        prune_channels(Without(), INPUTS, 0.5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ratio": "0.5"}, "ratio must be a number between 0 and 1, got '0.5'"),
        ({"ratio": None}, "ratio must be a number between 0 and 1, got None"),
        ({"ratio": True}, "ratio must be a number between 0 and 1, got True"),
        ({"ratio": float("nan")}, "ratio must lie between 0 and 1, got nan"),
        ({"round_to": 2.0}, "round_to must be a whole number of at least 1, got 2.0"),
        ({"round_to": None}, "round_to must be a whole number of at least 1, got None"),
        ({"seed": "1"}, "seed must be a whole number of at least 0, got '1'"),
        ({"keep": None}, "keep must be a list of names of modules, keep=['fc'], or left out, got None"),
        ({"keep": "a"}, "keep must be a list of names of modules, keep=['fc'], or left out, got 'a'"),
        ({"keep": [1]}, "keep must be a list of names of modules, keep=['fc'], or left out, got [1]"),
    ],
)
def test_an_argument_of_another_type_is_refused_in_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainmapError, match=f"^{re.escape(said)}$"):
        prune_channels(network(), INPUTS, **{"ratio": 0.5, **wrong})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5]])
def test_a_sparsity_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TrainmapError, match=r"^sparsity must be a number between 0 and 1, got "):
        zero_smallest(network(), INPUTS, value)


class Lazy(N):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.LazyLinear(32)  # pyright: ignore[reportAttributeAccessIssue]


def nested() -> nn.Module:
    return nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(64, 10)))


NETWORKS: dict[str, tuple[Callable[[], Any], str]] = {
    "a word": (lambda: "m", r"model must be a network \(torch.nn.Module\), got str 'm'"),
    "weights": (lambda: network().state_dict(), "model must be a network .* got OrderedDict"),
    "compiled": (lambda: torch.compile(network()), "torch.compile; pass the module that was compiled"),
    "scripted": (lambda: torch.jit.script(network()), "the network is a torch.jit RecursiveScriptModule"),
    "scripted inside": (nested, "module '1' is a torch.jit"),
    "lazy": (Lazy, r"module 'b' \(LazyLinear\) has no size for its weight yet; call the network on one batch first"),
}


@pytest.mark.parametrize("step", [prune_channels, zero_smallest])
@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_no_network_in_plain_torch_is_refused_by_name(kind: str, step: Callable[..., Any]) -> None:
    make, said = NETWORKS[kind]
    with pytest.raises(TrainmapError, match=said):
        step(make(), INPUTS, 0.5)


@pytest.mark.parametrize("step", [prune_channels, zero_smallest])
def test_inputs_that_are_a_batch_are_refused(step: Callable[..., Any]) -> None:
    with pytest.raises(TrainmapError, match=r"inputs must be what a network takes, .* got Tensor"):
        step(network(), torch.zeros(2, 1, 8, 8), 0.5)
