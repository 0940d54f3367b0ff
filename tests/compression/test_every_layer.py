"""Compression over every kind of layer and wiring: right, or an error that names the layer; never another network."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import CLASSES, FLAT, NETWORKS, PIXELS, Of, conv, made
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from trainmap.compression import dependencies
from trainmap.compression.compressed import Compressed
from trainmap.compression.measure import finetune, uncompressed
from trainmap.compression.network_files import load_weights, save
from trainmap.compression.onnx_files import export_onnx, quantize_onnx
from trainmap.compression.pruning import prune_channels
from trainmap.compression.quantization import quantize
from trainmap.compression.sparsity import prunable, sparsify, zero_smallest
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.predict import predict
from trainmap.training.recipes import Recipe

REFUSED = {  # kind → the layer that the message names
    "tokens, flattened": "'1' (Linear)",
    "grouped transposed": "'2' (ConvTranspose2d)",
    "depthwise, twice as many": "'depth' (Conv2d)",
    "as many groups as outputs": "'depth' (Conv2d)",
    "bilinear": "'pair' (Bilinear)",
    "bilinear head": "'pair' (Bilinear)",
    "gru behind a layer": "'rnn' (GRU)",
    "lstm head": "'rnn' (LSTM)",
    "transformer": "'encoder.layers.1.self_attn' (MultiheadAttention)",
    "queries by themselves": "'v' (Linear)",
    "shared weights": "'4' (Linear) shares its weight",
    "weight norm": "'2' (ParametrizedConv2d)",
    "spectral norm": "'0' (ParametrizedLinear)",
    "somebody's own layer": "'hidden' (Linear)",
    "shuffled": "'one' (Conv2d)",
    "chunked": "'conv' (Conv2d)",
}
KEPT = {  # what is then named in keep=, and the layers that lose half all the same
    "grouped transposed": (["2"], set()),
    "bilinear": (["pair"], set()),
    "gru behind a layer": (["rnn"], set()),
    "transformer": (["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"], {"encoder.layers.0.linear1"}),
    "shared weights": (["2", "4"], set()),
    "depthwise, twice as many": (["depth"], {"point"}),
    "shuffled": (["one"], {"two"}),
    "weight norm": (["2"], set()),
}


def data_for(inputs: Inputs, n: int = 24) -> Dataset:
    draws = np.random.default_rng(0)
    if inputs.form == "tokens":
        x: Any = draws.integers(1, inputs.vocabulary, (n, *inputs.shape)).astype(np.int32)
    elif inputs.form == "pixels":
        x = draws.integers(0, 256, (n, *inputs.shape)).astype(np.uint8)
    else:
        x = draws.normal(size=(n, *inputs.shape)).astype(np.float32)
    ids = np.arange(n, dtype=np.int64)
    return Dataset("made", ids, x, ids % CLASSES, CLASSES, inputs.vocabulary)


def widths(model: nn.Module) -> dict[str, int]:
    layers = ((name, module) for name, module in model.named_modules() if isinstance(module, _ConvNd | nn.Linear))
    return {name: int(getattr(m, "out_channels", 0) or getattr(m, "out_features", 0)) for name, m in layers}


def check_pruned(kind: str, pruned: Compressed, tmp_path: Path) -> None:
    inputs, model = made(kind)
    before, after = widths(model), widths(pruned.model)
    removed = pruned.numbers["removed"]
    assert removed
    assert {name: before[name] - len(removed.get(name, [])) for name in before} == after
    whole = uncompressed(model, inputs)
    assert pruned.parameters < whole.parameters
    assert pruned.flops < whole.flops
    logits = predict(pruned.model, data_for(inputs))
    assert logits.shape == (24, CLASSES)
    assert np.isfinite(logits).all()
    save(pruned, tmp_path / "small.pt", inputs)
    again = load_weights(made(kind)[1], tmp_path / "small.pt")
    np.testing.assert_array_equal(predict(again, data_for(inputs)), logits)
    assert uncompressed(again, inputs).flops == pruned.flops
    assert widths(again) == after


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "random"])
@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in REFUSED])
def test_half_of_every_layer_goes_and_the_rest_is_saved_and_read(kind: str, importance: Any, tmp_path: Path) -> None:
    inputs, model = made(kind)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pruned = prune_channels(model, inputs, 0.5, importance=importance, calibration=data_for(inputs))
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items()), "the original changed"
    check_pruned(kind, pruned, tmp_path)
    for name, places in pruned.numbers["removed"].items():
        assert len(places) == widths(model)[name] // 2


@pytest.mark.parametrize("round_to", [4, 8])
@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in REFUSED])
def test_every_layer_keeps_a_multiple(kind: str, round_to: int) -> None:
    inputs, model = made(kind)
    pruned = prune_channels(model, inputs, 0.3, round_to=round_to)
    after = widths(pruned.model)
    assert all(after[name] % round_to == 0 for name in pruned.numbers["removed"])
    assert pruned.numbers["removed"]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_pruned_names_the_layer_and_the_others_are_pruned_around_it(kind: str, tmp_path: Path) -> None:
    inputs, model = made(kind)
    with pytest.raises(TrainmapError, match=re.escape(REFUSED[kind]) + r".*keep="):
        prune_channels(model, inputs, 0.5)
    if kind in KEPT:
        keep, halved = KEPT[kind]
        if not halved:
            with pytest.raises(TrainmapError, match=r"no channel can go .* in keep="):
                prune_channels(model, inputs, 0.5, keep=keep)
            return
        pruned = prune_channels(model, inputs, 0.5, keep=keep)
        assert halved <= pruned.numbers["removed"].keys()
        check_pruned(kind, pruned, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in REFUSED])
def test_dead_channels_go_first_and_nothing_changes(kind: str) -> None:
    """Half of each layer's outputs are made zero: by magnitude they go, and the logits stay what they were."""
    inputs, model = made(kind)
    random = prune_channels(model, inputs, 0.5, importance="random", seed=3)
    if any(isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.PReLU) for module in model.modules()):
        pytest.skip("a norm over channels changes when some go")
    with torch.no_grad():
        modules = dict(model.named_modules())
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | nn.InstanceNorm2d)]
        for norm in norms:
            norm.weight.fill_(1)
            norm.bias.fill_(0)
            if norm.running_mean is not None:
                norm.running_mean.fill_(0)
        for name, places in random.numbers["removed"].items():
            layer: Any = modules[name]
            if getattr(layer, "transposed", False) and layer.groups == 1:
                layer.weight[:, places] = 0
            else:
                layer.weight[places] = 0
            if layer.bias is not None:
                layer.bias[places] = 0
    pruned = prune_channels(model, inputs, 0.5)
    if kind not in ("positions", "squeeze and excitation"):  # what is added to it, and sigmoid, of 0 is not 0
        assert pruned.numbers["removed"] == random.numbers["removed"]
        x = torch.from_numpy(data_for(inputs).x).float() if inputs.form != "tokens" else torch.ones(2, 6).long()
        torch.testing.assert_close(pruned.model(x), model(x), rtol=1e-4, atol=1e-4)


def weights_of(module: nn.Module) -> list[Tensor]:
    kinds = (_ConvNd, nn.Linear, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention)
    own = module.named_parameters(recurse=False) if isinstance(module, kinds) else ()
    return [held for name, held in own if held.ndim > 1 and "weight" in name]


@pytest.mark.parametrize("kind", NETWORKS)
def test_zeros_are_exact_over_every_weight(kind: str, tmp_path: Path) -> None:
    inputs, model = made(kind)
    if kind in ("weight norm", "spectral norm"):
        with pytest.raises(TrainmapError, match=r"layer '[02]' .* makes its weight from other parameters"):
            zero_smallest(model, inputs, 0.5)
        return
    sparse = zero_smallest(model, inputs, 0.8)
    matrices = {id(held): held for module in sparse.model.modules() for held in weights_of(module)}
    total = sum(p.numel() for p in matrices.values())
    assert sparse.numbers["prunable"] == total
    assert sparse.numbers["zeros"] == round(0.8 * total) == sum(int((p == 0).sum()) for p in matrices.values())
    assert sparse.parameters == uncompressed(model, inputs).parameters, "shared weights are shared"
    assert predict(sparse.model, data_for(inputs)).shape == (24, CLASSES)
    save(sparse, tmp_path / "sparse.pt", inputs)
    again = load_weights(made(kind)[1], tmp_path / "sparse.pt")
    np.testing.assert_array_equal(predict(again, data_for(inputs)), predict(sparse.model, data_for(inputs)))


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if "l norm" not in kind and kind != "weight norm"])
def test_zeros_stay_through_a_training(kind: str) -> None:
    inputs, model = made(kind)
    data, recipe = data_for(inputs), Recipe(epochs=2, batch=8, peak_lr=0.01)
    sparse = sparsify(model, data, recipe, 0.7, seed=0)
    assert sparse.numbers["zeros"] == round(0.7 * sparse.numbers["prunable"])
    tuned = finetune(sparse, data, recipe, seed=1)
    changed = []
    for (one, name), (other, _) in zip(prunable(sparse.model), prunable(tuned.model), strict=True):
        assert bool((getattr(other, name)[getattr(one, name) == 0] == 0).all())
        changed.append(not torch.equal(getattr(one, name), getattr(other, name)))
    assert any(changed), "it did not train"
    assert tuned.model.state_dict().keys() == model.state_dict().keys()
    assert tuned.nonzero <= sparse.nonzero + 1


@pytest.mark.parametrize("kind", ["tuple", "dict", "list of one number for each", "no batch"])
def test_other_outputs_are_refused_by_name(kind: str) -> None:
    outputs: dict[str, Any] = {
        "tuple": lambda self, x: (self.head(x), x),
        "dict": lambda self, x: {"logits": self.head(x)},
        "list of one number for each": lambda self, x: self.head(x)[:, 0],
        "no batch": lambda self, x: self.head(x).mean(0),
    }
    model = Of(outputs[kind], head=nn.Sequential(nn.Linear(48, 16), nn.Linear(16, CLASSES)))
    for call in (lambda: prune_channels(model, FLAT, 0.5), lambda: zero_smallest(model, FLAT, 0.5)):
        with pytest.raises(TrainmapError, match=r"Of (gives a (tuple|dict)|must give a float tensor)"):
            call()


def test_networks_without_weights_and_that_do_not_run_are_refused() -> None:
    for call in (lambda model: prune_channels(model, FLAT, 0.5), lambda model: zero_smallest(model, FLAT, 0.5)):
        with pytest.raises(TrainmapError, match=r"no convolution and no linear|no weights that could"):
            call(nn.Sequential(nn.BatchNorm1d(48)))
        with pytest.raises(TrainmapError, match=r"does not run on 48 features: .*\(RuntimeError\)"):
            call(nn.Linear(47, 3))
        with pytest.raises(TrainmapError, match=r"does not run on 48 features: .*\(KeyError\)"):
            call(Of(lambda self, x: {}["a"], head=nn.Linear(48, 3)))


def test_nothing_to_take_out_says_why() -> None:
    model = nn.Sequential(nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    with pytest.raises(TrainmapError, match=r"no channel can go .* round_to 8: 0: 6 channels, of which 8"):
        prune_channels(model, FLAT, 0.5, round_to=8)
    longer = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 6), model[2])
    pruned = prune_channels(longer, FLAT, 0.5, round_to=8)
    assert pruned.numbers["whole"] == {"2": "6 channels, of which 8 are the least that may stay"}


class Repeated(nn.Module):
    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.one, self.head = times, nn.Linear(48, 48), nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = torch.relu(self.one(x))
        return self.head(x)


def test_time_and_memory_of_the_graph_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainmapError, match="has 10,001 operations, and channels are followed through at most 10,000"):
        prune_channels(Repeated(5001), FLAT, 0.5)
    followed = dependencies.Dependencies.of

    def little(*args: Any) -> dependencies.Dependencies:
        return replace(followed(*args), left=100)

    monkeypatch.setattr(dependencies.Dependencies, "of", staticmethod(little))
    model = nn.Sequential(conv(2, 3, 64), nn.ReLU(), nn.Flatten(), nn.Linear(4096, CLASSES))
    with pytest.raises(TrainmapError, match=r"layer '0' \(Conv2d\) and of those before are followed through more than"):
        prune_channels(model, PIXELS, 0.5)


IN_FLOAT = {  # kind → weights that torchao leaves; None: all, which is refused
    "linear": [],
    "conv1d, flattened": [],
    "conv3d, flattened": ["1.weight"],
    "conv3d head": None,
    "transposed within": ["2.weight"],
    "bilinear": ["pair.weight"],
    "lstm": ["rnn.weight_ih_l0", "rnn.weight_hh_l0"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", IN_FLOAT)
def test_eight_bits_say_what_stays_in_single_precision(kind: str) -> None:
    inputs, model = made(kind)
    data, left = data_for(inputs), IN_FLOAT[kind]
    if left is None:
        with pytest.raises(TrainmapError, match=r"no weight can be kept in 8 bits: torchao leaves '1' \(Conv3d\), "):
            quantize(model, data)
        return
    small, plain = quantize(model, data), predict(model, data)
    assert small.numbers.get("float", []) == left
    assert np.abs(predict(small.model, data) - plain).max() < 0.05 * np.abs(plain).max()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv3d head", "transposed 1d head", "depthwise transposed", "bilinear", "norms"])
def test_onnx_files_put_out_what_the_networks_do(kind: str) -> None:
    inputs, model = made(kind)
    data = data_for(inputs)
    plain = predict(model, data)
    np.testing.assert_allclose(predict(export_onnx(model, inputs).model, data), plain, rtol=1e-3, atol=1e-4)
    assert np.abs(predict(quantize_onnx(model, data).model, data) - plain).max() < 0.05 * np.abs(plain).max()


@pytest.mark.slow
def test_what_onnx_runtime_cannot_quantise_is_named() -> None:
    inputs, model = made("grouped transposed")
    with pytest.raises(
        TrainmapError, match=r"which has '2' \(ConvTranspose2d\), cannot be quantised: .*; try quantize"
    ):
        quantize_onnx(model, data_for(inputs))


FAMOUS = {  # torchvision's → an error that names a layer, or pruned
    "shufflenet_v2_x0_5": r"behind layer 'stage4.1.branch2.6' \(BatchNorm2d\) cannot be followed",
    "swin_t": r"'features.7.1.attn.qkv' \(Linear\) cannot be made narrower",
    "vit_b_16": r"self_attention' \(MultiheadAttention\) cannot be made narrower",
    "mobilenet_v3_small": "",
    "regnet_y_400mf": "",
    "convnext_tiny": "",
}

PROGRAM = """
import sys, torch, torchvision
from trainmap.errors import TrainmapError
from trainmap.data.inputs import Inputs
from trainmap.compression.pruning import prune_channels
torch.set_num_threads(1)
name, size = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
model = getattr(torchvision.models, name)(num_classes=10).eval()
try:
    made = prune_channels(model, Inputs.images(3, size), 0.5)
    print("pruned", made.parameters / sum(p.numel() for p in model.parameters()))
except TrainmapError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMOUS)
def test_torchvisions_networks_in_six_gigabytes(name: str) -> None:
    pytest.importorskip("torchvision")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    size = "224" if name.startswith("vit") else "64"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, name, size],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if FAMOUS[name]:
        assert re.search(FAMOUS[name], done.stdout), done.stdout
    else:
        assert done.stdout.startswith("pruned"), done.stdout
        assert 0.2 < float(done.stdout.split()[1]) < 0.5
