"""What a network costs: parameters, bytes, FLOPs. Pure counts; seconds are measured where the work is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainmap.training.budget import TRAINING_FACTOR, break_even, inference_flops, training_flops
from trainmap.training.inputs import Inputs
from trainmap.training.modes import evaluating

__all__ = [
    "TRAINING_FACTOR",
    "activations",
    "break_even",
    "counted_training_flops",
    "forward_flops",
    "inference_flops",
    "parameter_bytes",
    "parameters",
    "training_flops",
]


def parameters(model: nn.Module) -> int:
    """Number of parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def parameter_bytes(model: nn.Module) -> int:
    """Bytes of all the parameters and buffers (batch-norm statistics) as they are in memory."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def forward_flops(model: nn.Module, inputs: Inputs) -> int:
    """FLOPs of one forward pass of one example, as ``torch.utils.flop_counter`` counts.

    A multiplication and an addition are two FLOPs. Counted are convolutions, matrix products and attention; norms,
    activations, pooling, additions and the look-up of embeddings are not (a few percent here). The same number on
    every device.
    """
    with evaluating(model), torch.inference_mode(), _counting() as counter:
        model(inputs.example(1, _device(model)))
    return counter.get_total_flops()


def counted_training_flops(model: nn.Module, inputs: Inputs) -> int:
    """FLOPs of a forward and a backward pass of one example, counted; ``training_flops`` says 3 x forward.

    Counted as by ``forward_flops``; the example itself gets no gradient. Weights, their gradients and the running
    statistics stay as they are. Works on the meta device as well, in no time.

    Differs: torch's counter takes the weight gradient of a convolution with groups for that of a full one (so a
    depthwise one too high by the number of channels); here it costs what the forward pass costs.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with evaluating(model), _counting() as counter:
        torch.autograd.grad(model(inputs.example(1, _device(model))).sum(), trained, allow_unused=True)
    return counter.get_total_flops()


def activations(model: nn.Module, inputs: Inputs) -> int:
    """Numbers that convolutions and linear layers put out for one example: what decides memory and, often, seconds.

    Source: Radosavovic et al. 2020, arXiv:2003.13678, section 3 (there convolutions alone).
    """
    found = []

    def count(_layer: nn.Module, _args: object, out: Tensor) -> None:
        found.append(out.numel())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(model), torch.inference_mode():
            model(inputs.example(1, _device(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    """torch's counter. Attention is made two plain products: it has no formula for the fused kernel of the CPU."""
    mapping = {torch.ops.aten.convolution_backward: _convolution_backward}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        yield counter


def _convolution_backward(
    gradient: Sequence[int],
    _x: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    _transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **_rest: Any,
) -> int:
    """The gradients of the input and of the weights, where they are wanted, cost what the forward pass costs."""
    forward = 2 * gradient[0] * prod(gradient[2:]) * prod(weight)
    return forward * sum(wanted[:2])
