"""What every compression step gives back: a network, what was done to it, and what can be counted on it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs, to_input
from trainmap.errors import TrainmapError, shown
from trainmap.models.cost import forward_flops
from trainmap.training.fit import FitResult

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
        tuning: what its last further training did and took; None without one.
    """

    model: nn.Module
    method: str
    parameters: int
    nonzero: int
    flops: int
    training_flops: int = 0
    numbers: Mapping[str, Any] = field(default_factory=dict)
    tuning: FitResult | None = None


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
    """A copy on the CPU, in eval mode.

    Raises:
        TrainmapError: something else than a network in plain torch; see ``check_network``.
    """
    check_network(model)
    return copy.deepcopy(model).cpu().eval()


def check_network(model: object) -> None:
    """Whether it is a network in plain torch with all its weights.

    Raises:
        TrainmapError: no module, one that was compiled or scripted (or holds such a one), or weights that have no size.
    """
    if not isinstance(model, nn.Module):
        raise TrainmapError(
            f"model must be a network (torch.nn.Module), got {type(model).__name__} {shown(model, 40)}; build or "
            "load it first"
        )
    for name, module in model.named_modules():
        where = f"module '{name}'" if name else "the network"
        if "_orig_mod" in module._modules:
            raise TrainmapError(
                f"{where} was made by torch.compile; pass the module that was compiled (model._orig_mod)"
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise TrainmapError(
                f"{where} is a torch.jit {type(module).__name__}, whose layers cannot be changed; pass the module that "
                "it was made from"
            )
        held = [*module._parameters.items(), *module._buffers.items()]
        if lazy := [inner for inner, tensor in held if tensor is not None and is_lazy(tensor)]:
            raise TrainmapError(
                f"{where} ({type(module).__name__}) has no size for its {lazy[0]} yet; call the network on one batch "
                "first"
            )


def check_fraction(value: object, name: str) -> None:
    """Whether it is a number at all. Raises TrainmapError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TrainmapError(f"{name} must be a number between 0 and 1, got {shown(value)}")
