"""ONNX files, plain and with eight bits: what is shipped, its true size, and the speed it has in ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from trainmap.compression.compressed import MISSING, Compressed, copy_of, counts, ranges_from
from trainmap.compression.dependencies import title
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.probe import check_same_shape, foreign, logits_of

INPUT = "x"


def export_onnx(model: nn.Module, inputs: Inputs, threads: int = 1) -> Compressed:
    """The network as an ONNX file in single precision, for any batch size.

    Args:
        model: in plain torch; left as it is.
        inputs: what it takes.
        threads: of the session that runs it here.
    """
    network = copy_of(model)
    before = logits_of(network, inputs)
    made = OnnxNetwork(_file(network, inputs), threads)
    after = check_same_shape(made, before, inputs, "onnx")
    size = float(before.abs().max())
    if bool(before.isfinite().all()) and float((after - before).abs().max()) > 1e-3 * size + 1e-6:
        raise TrainmapError(
            f"the ONNX file of {type(network).__name__} puts out something else than the network: up to "
            f"{float((after - before).abs().max()):g} off logits of up to {size:g}; nothing was returned"
        )
    return Compressed(made, "onnx float32", *counts(network, inputs))


def quantize_onnx(model: nn.Module, calibration: Dataset, *, batch: int = 64, threads: int = 1) -> Compressed:
    """The network as an ONNX file with eight bits after training (static, quantise-dequantise pairs).

    Weights int8 with one scale for each channel, activations uint8 whose range is the minimum and maximum over all
    calibration examples.

    Args:
        model: trained; left as it is.
        calibration: the examples that the ranges are learnt from.
        batch: examples at a time; the result does not depend on it.
        threads: of the session that runs it here.

    Returns:
        ``numbers`` has ``calibration_examples`` and ``calibration``, the SHA-256 of their ids in row order.

    Raises:
        TrainmapError: no calibration examples, weights or activations that are not finite.
    """
    network, inputs = copy_of(model), calibration.inputs
    x, numbers = ranges_from(calibration, batch, network)
    total, nonzero, flops = counts(network, inputs)
    before = logits_of(network, inputs)
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise TrainmapError(MISSING) from error
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, small = (Path(folder, f"{name}.onnx") for name in ("plain", "ready", "small"))
        plain.write_bytes(_file(network, inputs))
        with foreign(f"{type(network).__name__}{_suspects(network)} cannot be quantised", "try quantize"):
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
            quantization.quantize_static(
                ready,
                small,
                _Reader(x, batch),  # type: ignore[arg-type]
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        content = small.read_bytes()
    made = OnnxNetwork(content, threads)
    check_same_shape(made, before, inputs, "8 bits")
    words = f"onnx int8 after training, calibrated on {len(calibration):,}"
    return Compressed(made, words, total, nonzero, flops, numbers=numbers)


def _suspects(network: nn.Module) -> str:
    """ONNX Runtime does not say where it fails; transposed convolutions with groups are known to be too much for it."""
    found = [
        title(name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, _ConvNd) and layer.transposed and layer.groups > 1
    ]
    return f", which has {', '.join(found[:3])}," if found else ""


class _Reader:
    """What ONNX Runtime's calibration asks for one batch after the other."""

    def __init__(self, x: torch.Tensor, batch: int) -> None:
        self.parts = iter(x.split(batch))

    def get_next(self) -> dict[str, Any] | None:
        part = next(self.parts, None)
        return None if part is None else {INPUT: part.numpy()}


def _file(network: nn.Module, inputs: Inputs) -> bytes:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise TrainmapError(MISSING) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        with foreign(f"{type(network).__name__} cannot be exported as ONNX", "save its weights instead"):
            torch.onnx.export(
                network,
                (inputs.example(2),),
                path,
                input_names=[INPUT],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                external_data=False,
                verbose=False,
            )
        return path.read_bytes()
