from __future__ import annotations

import copy
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from trainmap.compression.measure import finetune, measure, runnable, uncompressed
from trainmap.compression.network_files import file_of, load_weights, save
from trainmap.compression.onnx_files import export_onnx, quantize_onnx
from trainmap.compression.pruning import prune_channels
from trainmap.compression.quantization import quantize
from trainmap.compression.sparsity import zero_smallest
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.recipes import Recipe

SMALL = Inputs.images(1, 8)
FAMILIES = ["cnn-8", "resnet8-8", "effnet-8", "airbench-16", "vit-32", "mlp-256"]


def made(n: int = 40) -> Dataset:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def used(name: str) -> nn.Module:
    """A network whose batch norms have seen something."""
    model = build(name, 3, SMALL, seed=0)
    model(torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model.eval()


@pytest.mark.parametrize("eight_bits", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_table_holds_every_way_and_the_first_row_is_what_the_others_are_compared_with(eight_bits: bool) -> None:
    model, test = used("mlp-256"), made()
    networks = {
        "original": uncompressed(model, SMALL),
        "smaller": uncompressed(build("cnn-8", 3, SMALL, seed=1), SMALL, "cnn-8"),
        "half": prune_channels(model, SMALL, 0.5),
        "sparse": zero_smallest(model, SMALL, 0.9),
    }
    if eight_bits:
        networks |= {"graph": quantize(model, test), "onnx": export_onnx(model, SMALL)}
        networks["onnx8"] = quantize_onnx(model, test)
    rows = {row.name: row for row in measure(networks, test, batch=8, repeats=3)}
    assert list(rows) == list(networks)
    assert (rows["original"].agreement, rows["original"].speed_up) == (1.0, 1.0)
    for name, one in networks.items():
        kept = file_of(one.model, SMALL)
        assert abs(rows[name].bytes - len(kept)) <= 64, "a file of the same network has another size"
        assert rows[name].accuracy == (predict(one.model, test).argmax(axis=1) == test.y).mean()
        assert rows[name].cpu_seconds >= 0
    assert abs(rows["sparse"].bytes - rows["original"].bytes) <= 64
    assert rows["sparse"].zipped_bytes < 0.4 * rows["original"].zipped_bytes
    if eight_bits:
        assert rows["onnx"].agreement == 1.0
        assert rows["onnx8"].bytes < 0.4 * rows["onnx"].bytes
    assert rows["original"].zipped_bytes == len(zlib.compress(file_of(model, SMALL)))


def test_a_network_is_timed_in_the_layout_that_prediction_uses_without_touching_it() -> None:
    model = used("cnn-8")
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(runnable(model, x)(x), model(x), rtol=1e-4, atol=1e-5)
    assert model[4].weight.is_contiguous()  # type: ignore[index]


@pytest.mark.parametrize("ratio", [None, 0.5, 0.3])
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_come_back_from_their_file_with_the_shapes_of_the_pruned_network(
    name: str, ratio: float | None, tmp_path: Path
) -> None:
    model = used(name)
    one = uncompressed(model, SMALL) if ratio is None else prune_channels(model, SMALL, ratio)
    path = save(one, tmp_path / "deep" / "small.pt", SMALL)
    again = load_weights(build(name, 3, SMALL, seed=5), path)
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(again(x), one.model(x))
    assert str(again) == str(one.model)
    again.train()(x).sum().backward()


@pytest.mark.slow
def test_a_pruned_transformer_of_timm_comes_back_from_its_file(tmp_path: Path) -> None:
    def fresh() -> nn.Module:
        return timm.create_model("vit_tiny_patch16_224", num_classes=3, in_chans=1, img_size=8, patch_size=4).eval()

    pruned = prune_channels(fresh(), SMALL, 0.5)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(load_weights(fresh(), save(pruned, tmp_path / "a.pt", SMALL))(x), pruned.model(x))


def test_fine_tuning_leaves_what_it_is_given_and_adds_to_its_cost() -> None:
    pruned = prune_channels(used("cnn-8"), SMALL, 0.5)
    before = copy.deepcopy(pruned.model.state_dict())
    once = finetune(pruned, made(), Recipe(epochs=1, batch=16), seed=0)
    twice = finetune(once, made(), Recipe(epochs=1, batch=16), seed=0)
    assert all(torch.equal(before[key], tensor) for key, tensor in pruned.model.state_dict().items())
    assert twice.training_flops == 2 * once.training_flops == 2 * 3 * 40 * pruned.flops
    assert once.method == "50% of channels out, magnitude, 1 epochs on 40"
    assert finetune(pruned, made(), Recipe(epochs=9, batch=16), seed=0, steps=2).method.endswith(", 2 steps on 40")


@pytest.mark.parametrize("way", [quantize, quantize_onnx])
def test_what_is_quantised_cannot_be_tuned(way: object) -> None:
    small = way(used("mlp-256"), made())  # type: ignore[operator]
    with pytest.raises(TrainmapError, match="cannot be trained"):
        finetune(small, made(), Recipe(epochs=1), seed=0)


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = used("cnn-8")
    path = save(uncompressed(model, SMALL), tmp_path / "a.pt", SMALL)
    with pytest.raises(TrainmapError, match="another architecture"):
        load_weights(build("vit-32", 3, SMALL, seed=0), path)
    with pytest.raises(TrainmapError, match=r"there is no file of weights at .*none\.pt"):
        load_weights(model, tmp_path / "none.pt")
    (tmp_path / "torn.pt").write_bytes(path.read_bytes()[:500])
    (tmp_path / "words.pt").write_text("hello, these are words and no weights")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"weight": np.zeros(3)}))
    torch.save({"weight": np.zeros(3)}, tmp_path / "objects.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    for name in ("torn", "words", "pickle", "objects", "packed"):
        with pytest.raises(TrainmapError, match="not a file of weights"):
            load_weights(model, tmp_path / f"{name}.pt")
    with monkeypatch.context() as patch:
        patch.setattr("trainmap.limits.memory_of_machine", lambda: 1000)
        with pytest.raises(TrainmapError, match=r"asks for .* of memory, a file may take 500 B"):
            load_weights(model, path)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "flipped.pt").write_bytes(flipped)
    with pytest.raises(TrainmapError, match=r"flipped\.pt is damaged: .* does not match its checksum"):
        load_weights(model, tmp_path / "flipped.pt")
    with pytest.raises(TrainmapError, match="another architecture"):
        load_weights(model, tmp_path / "tensor.pt")
    with pytest.raises(TrainmapError, match=r"kept in a \.pt file"):
        save(uncompressed(model, SMALL), tmp_path / "a.onnx", SMALL)
    with pytest.raises(TrainmapError, match="measure needs a network"):
        measure({}, made())
