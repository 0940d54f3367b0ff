"""What every compression step gives back: a network, what was done to it, and what can be counted on it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainmap.errors import TrainmapError
from trainmap.training.cost import forward_flops
from trainmap.training.data import Dataset
from trainmap.training.inputs import Inputs, to_input

MISSING = "compression needs torch-pruning, torchao, onnx and onnxruntime: pip install 'trainmap[compress]'"


@dataclass(frozen=True, eq=False)
class Compressed:
    """A network that a compression step made.

    Attributes:
        model: takes what the original takes, in eval mode; ``predict`` and ``evaluate`` work on it. After quantisation
            it is a graph (PT2E) or a session (ONNX) and cannot be trained.
        method: what was done, in words.
        parameters: how many weights it has, zeros included.
        nonzero: how many of them are not zero.
        flops: of one forward pass of one example, zeros and 8-bit products counted like any other.
        training_flops: what making it has cost beyond the original.
        numbers: what belongs to the step, such as ``sparsity`` or ``calibration_examples``.
    """

    model: nn.Module
    method: str
    parameters: int
    nonzero: int
    flops: int
    training_flops: int = 0
    numbers: Mapping[str, Any] = field(default_factory=dict)


def uncompressed(model: nn.Module, inputs: Inputs, name: str = "original") -> Compressed:
    """A network as it is: the original, or a smaller architecture beside it. The model itself, not a copy."""
    return Compressed(model.eval(), name, *counts(model, inputs))


def counts(model: nn.Module, inputs: Inputs) -> tuple[int, int, int]:
    """(parameters, non-zero parameters, FLOPs of one forward pass) of a network in plain torch."""
    total = sum(parameter.numel() for parameter in model.parameters())
    return total, count_nonzero(model), forward_flops(model, inputs)


def count_nonzero(model: nn.Module) -> int:
    """How many parameters are not zero."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())


def ranges_from(calibration: Dataset, batch: int, network: nn.Module) -> tuple[Tensor, dict[str, Any]]:
    """The calibration examples as the network takes them, and what a report says of them.

    Raises:
        TrainmapError: no examples, or logits on them that are not finite.
    """
    if not len(calibration) or batch < 1:
        raise TrainmapError(f"calibration needs at least one example and batch >= 1, got {len(calibration)}, {batch}")
    x = to_input(torch.from_numpy(calibration.x.copy()))
    with torch.inference_mode():
        if not all(bool(network(part).isfinite().all()) for part in x.split(batch)):
            raise TrainmapError("the network gives logits that are not finite on the calibration examples")
    ids = hashlib.sha256(calibration.ids.tobytes()).hexdigest()
    return x, {"bits": 8, "calibration_examples": len(calibration), "calibration": ids}


def copy_of(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in eval mode."""
    return copy.deepcopy(model).cpu().eval()
