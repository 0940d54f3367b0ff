from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.compression.measure import Compressed, finetune, uncompressed
from trainmap.compression.sparsity import cubic_sparsity, prunable, sparsify, zero_smallest
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import MODELS, build
from trainmap.training.fit import Watching
from trainmap.training.recipes import Recipe

SMALL = Inputs.images(1, 8)
FAMILIES = ["cnn-8", "resnet8-8", "effnet-8", "vit-32", "mlp-256"]


def made(n: int = 40) -> Dataset:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def zeros(model: nn.Module) -> dict[int, torch.Tensor]:
    return {place: getattr(module, name) == 0 for place, (module, name) in enumerate(prunable(model))}


def test_the_schedule_by_hand() -> None:
    """From 0 to 0.8 between 0.25 and 0.75: half-way, 1/8 of the distance is left."""
    found = [cubic_sparsity(at, 0.8, start=0.25, end=0.75) for at in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx([0, 0, 0.7, 0.8, 0.8])
    assert cubic_sparsity(0.5, 0.9, initial=0.1, end=1.0) == pytest.approx(0.9 - 0.8 / 8)


@pytest.mark.parametrize("sparsity", [0.0, 1 / 3, 0.9, 0.999])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_count_of_zeros_is_exact(name: str, sparsity: float) -> None:
    model = build(name, 3, SMALL, seed=0)
    before = copy.deepcopy(model.state_dict())
    sparse = zero_smallest(model, SMALL, sparsity)
    total = sum(getattr(module, key).numel() for module, key in prunable(model))
    assert sparse.numbers == {
        "prunable": total,
        "zeros": round(sparsity * total),
        "sparsity": round(sparsity * total) / total,
    }
    assert sum(int(mask.sum()) for mask in zeros(sparse.model).values()) == round(sparsity * total)
    assert uncompressed(model, SMALL).nonzero - sparse.nonzero == round(sparsity * total)
    assert sparse.parameters == uncompressed(model, SMALL).parameters
    assert sparse.model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()), "the original changed"


def test_the_smallest_of_the_whole_network_go_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[1].weight[:] = torch.arange(1.0, 129.0).view(2, 64)  # type: ignore[index]
        model[2].weight[:] = torch.tensor([[0.5, -2.5], [-200.0, 300.0]])  # type: ignore[index]
    sparse = zero_smallest(model, SMALL, 4 / 132).model
    assert sparse[1].weight[0, :4].tolist() == [0, 0, 3, 4]  # type: ignore[index]
    assert sparse[2].weight.tolist() == [[0, 0], [-200, 300]]  # type: ignore[index]


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_a_training_ends_at_exactly_the_sparsity_asked_for(epochs: int) -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    sparse = sparsify(model, made(), Recipe(epochs=epochs, batch=16), 0.8, seed=0)
    assert sparse.numbers["zeros"] == round(0.8 * sparse.numbers["prunable"])
    assert sparse.training_flops == 3 * sparse.flops * epochs * 40
    assert not any(key.endswith(("_orig", "_mask")) for key in sparse.model.state_dict())
    assert not torch.equal(sparse.model.state_dict()["16.bias"], model.state_dict()["16.bias"]), "it did not train"


def test_zeros_only_grow_and_follow_the_schedule_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainmap.compression import sparsity as module

    seen: list[int] = []
    cut = module._zero_to

    def watched(model: nn.Module, sparsity: float) -> None:
        before = zeros(model)
        cut(model, sparsity)
        after = zeros(model)
        assert all(bool((before[place] <= after[place]).all()) for place in before), "a weight came back"
        seen.append(sum(int(mask.sum()) for mask in after.values()))

    monkeypatch.setattr(module, "_zero_to", watched)
    sparse = sparsify(build("cnn-8", 3, SMALL, seed=0), made(), Recipe(epochs=4, batch=16), 0.8, seed=0, end=1.0)
    total = sparse.numbers["prunable"]
    assert seen == [0, *(round(cubic_sparsity(e / 4, 0.8, end=1.0) * total) for e in range(5))]


@pytest.mark.parametrize("killed_before", [1, 3])
def test_a_killed_training_goes_on_to_the_same_zeros_and_a_finished_one_stays(
    killed_before: int, tmp_path: Path
) -> None:
    def trained(sparsity: float = 0.8, **options: Any) -> Compressed:
        model = build("cnn-8", 3, SMALL, seed=0)
        return sparsify(model, made(), Recipe(epochs=4, batch=16), sparsity, seed=0, end=1.0, **options)

    def kill(epoch: int, loss: float) -> None:
        if epoch + 1 == killed_before:
            raise KeyboardInterrupt

    whole = trained()
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=path, watching=Watching(on_epoch=kill))
    for again in (trained(checkpoint=path), trained(checkpoint=path)):
        assert again.numbers == whole.numbers
        assert all(torch.equal(tensor, again.model.state_dict()[k]) for k, tensor in whole.model.state_dict().items())
    with pytest.raises(TrainmapError, match=r"another run .other before_epoch"):
        trained(0.9, checkpoint=path)


def test_fine_tuning_keeps_zeros_at_zero_and_weight_decay_on() -> None:
    sparse = zero_smallest(build("resnet8-8", 3, SMALL, seed=0), SMALL, 0.5)
    before = zeros(sparse.model)
    tuned = finetune(sparse, made(), Recipe(epochs=2, batch=16), seed=0)
    assert all(torch.equal(before[place], mask) for place, mask in zeros(tuned.model).items())
    assert tuned.numbers == sparse.numbers
    light, heavy = (
        finetune(sparse, made(), Recipe(epochs=2, batch=16, weight_decay=decay), seed=0).model for decay in (0, 0.5)
    )
    norms = [sum(w.norm().item() for w in (getattr(m, n) for m, n in prunable(net))) for net in (light, heavy)]
    assert norms[1] < 0.9 * norms[0]


def test_mistakes_are_named() -> None:
    model = build("cnn-8", 3, SMALL, seed=0)
    with pytest.raises(TrainmapError, match="0 to below 1"):
        zero_smallest(model, SMALL, 1.0)
    with pytest.raises(TrainmapError, match="schedule"):
        sparsify(model, made(), Recipe(epochs=1), 0.5, seed=0, start=0.8)
    with pytest.raises(TrainmapError, match=r"recipe\.epochs, not steps=17"):
        sparsify(model, made(), Recipe(epochs=4), 0.5, seed=0, steps=17)
    with torch.no_grad():
        model[0].weight[0] = float("inf")  # type: ignore[index]
    with pytest.raises(TrainmapError, match="NaN or infinite"):
        zero_smallest(model, SMALL, 0.5)


def test_every_family_is_among_the_models() -> None:
    assert set(FAMILIES) <= set(MODELS)
