"""What is trained on the way to a smaller network can be watched and recorded, and its file opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trainmap as tm
from trainmap.compression.compressed import uncompressed
from trainmap.compression.network_files import load_graph, save
from trainmap.compression.quantization import quantize
from trainmap.compression.ways import WAYS, Magnitude, PruneChannels, Sparsify
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.recipes import Recipe
from trainmap.training.watching import Watching

SMALL = Inputs.images(1, 8)
WAY = {
    "prune-channels": PruneChannels(0.5, finetune_epochs=2),
    "magnitude": Magnitude(0.5, finetune_epochs=2),
    "sparsify": Sparsify(0.5, finetune_epochs=2),
}


def made(n: int = 40) -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


@pytest.mark.parametrize("way", WAY)
def test_a_way_that_trains_further_is_recorded_and_says_what_that_training_took(way: str, tmp_path: Path) -> None:
    train, model = made(), build("mlp-256", 3, SMALL, seed=0)
    seen: list[nn.Module] = []

    with tm.Recorder(tmp_path / "dynamics", classes=3, ids=train.ids, labels=train.y) as recorder:

        def watching(network: nn.Module) -> Watching:
            seen.append(network)
            return Watching(recorder)

        told: dict[str, Any] = {"watching": watching}
        small = WAY[way].make(uncompressed(model, SMALL), train, Recipe(epochs=9, batch=8), 0, "cpu", **told)
    assert tm.Dynamics.open(tmp_path / "dynamics").epochs == 2
    assert len(seen) == 1
    assert seen[0] is not model  # which is left as it is
    assert small.tuning is not None
    assert (small.tuning.epochs, small.tuning.steps, small.tuning.flops) == (2, 10, small.training_flops)


def test_who_looks_on_may_be_known_before(tmp_path: Path) -> None:
    train, epochs = made(), list[int]()
    told: dict[str, Any] = {"watching": Watching(on_epoch=lambda epoch, _: epochs.append(epoch))}
    original = uncompressed(build("mlp-256", 3, SMALL, seed=0), SMALL)
    PruneChannels(0.5, finetune_epochs=3).make(original, train, Recipe(epochs=9, batch=8), 0, "cpu", **told)
    assert epochs == [0, 1, 2]


@pytest.mark.parametrize("way", ["int8", "int8-onnx"])
def test_a_way_that_trains_nothing_refuses_to_be_watched(way: str) -> None:
    original = uncompressed(build("mlp-256", 3, SMALL, seed=0), SMALL)
    with pytest.raises(TrainmapError, match="train nothing, so there is no use for watching"):
        WAYS[way]().make(original, made(), Recipe(epochs=9), 0, "cpu", watching=Watching())


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_of_a_quantised_network_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainmapError, match=r"model\.pt2"):
        load_graph(path)


@pytest.mark.slow
def test_a_quantised_network_predicts_the_same_from_its_file_and_damage_is_found(tmp_path: Path) -> None:
    train = made()
    small = quantize(build("mlp-256", 3, SMALL, seed=0), train)
    path = save(small, tmp_path / "model.pt2", SMALL)
    opened = load_graph(path)
    assert isinstance(opened.train(), torch.fx.GraphModule)  # stays as it is
    np.testing.assert_array_equal(predict(opened, train), predict(small.model, train))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
    with pytest.raises(TrainmapError, match=r"model\.pt2"):
        load_graph(path)
