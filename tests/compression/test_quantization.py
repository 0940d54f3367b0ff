from __future__ import annotations

import copy
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.compression.measure import Compressed, finetune
from trainmap.compression.network_files import save
from trainmap.compression.onnx_files import quantize_onnx
from trainmap.compression.quantization import lower, quantize, train_quantized
from trainmap.data.dataset import Dataset, Splits, load_splits
from trainmap.data.inputs import Inputs, to_input
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.fit import Watching, default_recipe, fit
from trainmap.training.recipes import Recipe

FAMILIES = ["cnn-8", "resnet8-8", "effnet-8", "vit-32", "mlp-256"]


@cache
def digits() -> Splits:
    return load_splits("digits")


@cache
def _trained(name: str) -> nn.Module:
    train = digits().train
    model = build(name, 10, train.inputs, seed=0)
    fit(model, train, default_recipe(name, "digits", epochs=8), seed=0)
    return model


def trained(name: str) -> nn.Module:
    return copy.deepcopy(_trained(name))


def calibration(n: int = 64) -> Dataset:
    return digits().train.subset(digits().train.ids[:n])


def agreement(one: nn.Module, other: nn.Module) -> float:
    test = digits().test
    return float((predict(one, test).argmax(axis=1) == predict(other, test).argmax(axis=1)).mean())


@pytest.mark.parametrize("way", [quantize, quantize_onnx])
@pytest.mark.parametrize("name", ["mlp-256", *(pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES[:4])])
def test_eight_bits_predict_what_the_network_predicts_whatever_the_batch(name: str, way: object) -> None:
    model = trained(name)
    before = copy.deepcopy(model.state_dict())
    small: Compressed = way(model, calibration())  # type: ignore[operator]
    assert agreement(model, small.model) > 0.97
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()), "the original changed"
    x = to_input(torch.from_numpy(digits().test.x[:7]))
    with torch.inference_mode():
        whole = small.model(x)
        for batch in (1, 2, 7):
            torch.testing.assert_close(small.model(x[:batch]), whole[:batch], rtol=1e-3, atol=1e-3)
    assert small.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_calibration_examples_set_the_ranges_and_no_others_do() -> None:
    """The input's scale is the range of the calibration pixels / 255, by hand, and zero is a level."""
    train = digits().train
    dark = train.x // 4
    data = Dataset("dark", train.ids, dark, train.y, 10)
    model = trained("mlp-256")
    low, high = (0 - 127.5) / 64, (float(dark[:32].max()) - 127.5) / 64
    small = quantize_onnx(model, data.subset(data.ids[:32]))
    import onnx

    content: Any = small.model.content
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(content).graph.initializer}
    scale = next(float(value) for name, value in tensors.items() if name == "view_scale")
    assert scale == pytest.approx((max(high, 0) - low) / 255, rel=1e-5)
    ids = data.ids[:32]
    for made in (small, quantize(model, data.subset(ids))):
        assert made.numbers["calibration"] == hashlib.sha256(ids.tobytes()).hexdigest()
        assert made.numbers["calibration_examples"] == 32


def test_another_calibration_set_gives_another_network_and_the_batch_size_does_not() -> None:
    model, train = trained("mlp-256"), digits().train
    bright = Dataset("bright", train.ids, np.minimum(train.x.astype(int) * 2, 255).astype(np.uint8), train.y, 10)

    def scales(data: Dataset) -> list[float]:
        graph: Any = quantize(model, data.subset(data.ids[:48])).model
        return [node.args[1] for node in graph.graph.nodes if ".quantize_per_tensor" in str(node.target)]

    assert len(scales(train)) == 3
    assert scales(train) == scales(train)
    assert scales(train) != scales(bright)
    x = to_input(torch.from_numpy(digits().test.x[:5]))
    with torch.inference_mode():
        one, other = (quantize_onnx(model, calibration(), batch=batch).model(x) for batch in (7, 64))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["mlp-256", pytest.param("resnet8-8", marks=pytest.mark.slow)])
def test_training_with_rounding_learns_and_ends_in_eight_bits(name: str) -> None:
    model = trained(name)
    recipe = Recipe(epochs=2, batch=64, peak_lr=0.01)
    before = copy.deepcopy(model.state_dict())
    small = train_quantized(model, digits().train, recipe, seed=0)
    float_, eight = (evaluate(predict(net, digits().test), digits().test.y).accuracy for net in (model, small.model))
    assert eight > float_ - 0.02
    assert small.training_flops == 3 * small.flops * 2 * len(digits().train)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()), "the original changed"
    assert any(tensor.dtype == torch.int8 for tensor in small.model.state_dict().values())
    with pytest.raises(TrainmapError, match="cannot be trained"):
        finetune(small, digits().train, recipe, seed=0)


def test_training_with_rounding_moves_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainmap.compression import quantization

    moved: list[bool] = []

    def watched(model: nn.Module, *args: Any, **options: Any) -> Any:
        before = [parameter.detach().clone() for parameter in model.parameters()]
        result = fit(model, *args, **options)
        moved.extend(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
        return result

    monkeypatch.setattr(quantization, "fit", watched)
    train_quantized(trained("mlp-256"), digits().train, Recipe(epochs=1, batch=64, peak_lr=0.01), seed=0)
    assert moved == [True] * 6


def test_a_batch_of_one_trains_with_rounding_and_evaluation_changes_no_range() -> None:
    from trainmap.compression import quantization

    one = calibration(1)
    kept: dict[str, torch.Tensor] = {}
    prepared: list[nn.Module] = []

    class Watched(quantization._Prepared):
        def __init__(self, graph: torch.fx.GraphModule) -> None:
            super().__init__(graph)
            prepared.append(self)

    def look(epoch: int, loss: float) -> None:
        del epoch, loss
        net = prepared[0].eval()
        kept.update({name: tensor.clone() for name, tensor in net.state_dict().items()})
        predict(net, digits().test)
        assert all(torch.equal(kept[name], tensor) for name, tensor in net.state_dict().items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantization, "_Prepared", Watched)
        train_quantized(
            trained("mlp-256"), one, Recipe(epochs=2, batch=1, peak_lr=1e-3), seed=0, watching=Watching(on_epoch=look)
        )
    assert any("min_val" in name for name in kept)


def test_a_norm_that_starts_at_zero_is_refused_for_training_with_rounding() -> None:
    model = build("resnet8-8", 10, digits().train.inputs, seed=0)
    with torch.no_grad():
        model[3].second_norm.weight.zero_()  # type: ignore[index]
    with pytest.raises(TrainmapError, match=r"3\.second_norm.*zero_init_last=False"):
        train_quantized(model, digits().train, Recipe(epochs=1), seed=0)


@pytest.mark.slow
def test_a_constant_activation_is_quantised_without_nan() -> None:
    model = trained("cnn-8")
    with torch.no_grad():
        model[0].weight.zero_(), model[1].weight.zero_(), model[1].bias.fill_(1.0)  # type: ignore[index]
    for small in (quantize(model, calibration()), quantize_onnx(model, calibration())):
        assert np.isfinite(predict(small.model, digits().test)).all()


@pytest.mark.parametrize("way", [quantize, quantize_onnx])
def test_mistakes_are_named(way: object) -> None:
    model = trained("mlp-256")
    with pytest.raises(TrainmapError, match="at least one example"):
        way(model, digits().train.subset([]))  # type: ignore[operator]
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")  # type: ignore[index]
    with pytest.raises(TrainmapError, match="finite"):
        way(model, calibration())  # type: ignore[operator]


@pytest.mark.slow
def test_the_kernels_of_the_cpu_give_the_same_answer_as_the_graph() -> None:
    small = quantize(trained("cnn-8"), calibration())
    x = to_input(torch.from_numpy(digits().test.x[:16]))
    with torch.no_grad():
        torch.testing.assert_close(lower(small.model, x)(x), small.model(x), rtol=0.05, atol=0.1)  # type: ignore[arg-type]


def test_the_files_are_a_quarter_of_the_float_weights_and_can_be_read_back(tmp_path: Path) -> None:
    inputs = Inputs.images(1, 28)
    model = build("mlp-256", 10, inputs, seed=0)
    data = Dataset(
        "made",
        np.arange(20),
        np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28)).astype(np.uint8),
        np.arange(20) % 10,
        10,
    )
    x = to_input(torch.from_numpy(data.x))
    graph, session = quantize(model, data), quantize_onnx(model, data)
    pt2 = save(graph, tmp_path / "small.pt2", inputs)
    onnx = save(session, tmp_path / "small.onnx", inputs)
    floats = 4 * 269_322
    assert onnx.stat().st_size < 0.27 * floats
    assert pt2.stat().st_size < 0.33 * floats
    with torch.inference_mode():
        assert torch.equal(torch.export.load(pt2).module()(x), graph.model(x))
    with pytest.raises(TrainmapError, match=r"kept in a \.onnx file"):
        save(session, tmp_path / "small.pt", inputs)
