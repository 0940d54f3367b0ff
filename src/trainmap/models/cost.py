"""What a network costs: parameters, bytes, FLOPs. Pure counts; seconds are measured where the work is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainmap.data.inputs import Inputs
from trainmap.models.budget import TRAINING_FACTOR, break_even, inference_flops, training_flops
from trainmap.models.weights import KINDS
from trainmap.modes import device_of, evaluating

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

    A multiplication and an addition are two FLOPs. Counted are convolutions of every kind, matrix products (those of
    recurrent layers too), attention, and for a bilinear layer the product with its weights; norms, activations,
    pooling, additions and the look-up of embeddings are not (a few percent here). The same number on every device.

    Differs: torch's counter alone knows no fused LSTM, no fused transformer layer and no bilinear layer (all 0).
    """
    with evaluating(model), torch.inference_mode(), _counting() as counter:
        model(inputs.example(1, device_of(model)))
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
        torch.autograd.grad(model(inputs.example(1, device_of(model))).sum(), trained, allow_unused=True)
    return counter.get_total_flops()


def activations(model: nn.Module, inputs: Inputs) -> int:
    """Numbers that the layers which multiply by weights (convolutions, linear, recurrent and attention layers, ...) put
    out for one example: what decides memory and, often, seconds.

    Source: Radosavovic et al. 2020, arXiv:2003.13678, section 3 (there convolutions alone).
    """
    found = []

    def count(_layer: nn.Module, _args: object, out: Tensor | tuple[Tensor, ...]) -> None:
        found.append(out.numel() if isinstance(out, Tensor) else out[0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, tuple(KINDS))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(model), torch.inference_mode():
            model(inputs.example(1, device_of(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found)


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    """torch's counter, with formulas for what it does not know, or without its fused kernels (attention)."""
    aten: Any = torch.ops.aten
    mapping = {
        aten.convolution_backward: _convolution_backward,
        aten._trilinear: _trilinear,
        aten.mkldnn_rnn_layer: _recurrent,
        aten.mkldnn_rnn_layer_backward: lambda *shapes, **_: 2 * _recurrent(*shapes),
    }
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            sdpa_kernel(SDPBackend.MATH),
            _Counter(display=False, custom_mapping=mapping) as counter,
        ):
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Counter(FlopCounterMode):
    """A counter of sums alone: the one of sums by module cannot follow a weight that is a module's input, as those
    under a mask or weight_norm are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mod_tracker = _NoModules()  # type: ignore[assignment]


class _NoModules(nullcontext[None]):
    parents = frozenset(["Global"])


def _recurrent(x: Sequence[int], of_input: Sequence[int], of_state: Sequence[int], *_: Any, **__: Any) -> int:
    """One layer of an LSTM in one direction, on the CPU: x (L, B, D)."""
    return 2 * prod(x[:2]) * (prod(of_input) + prod(of_state))


def _trilinear(
    one: Sequence[int],
    two: Sequence[int],
    three: Sequence[int],
    *expanded: Sequence[int],
    **_rest: Any,
) -> int:
    """A product over all places of three tensors of which each lacks some dimensions."""
    shapes = []
    for shape, lacking in zip((one, two, three), expanded, strict=False):
        full = list(shape)
        for place in sorted(lacking):
            full.insert(place, 1)
        shapes.append(full)
    return 2 * prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _convolution_backward(
    gradient: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **_rest: Any,
) -> int:
    """The gradients of the input and of the weights, where they are wanted, cost what the forward pass costs."""
    forward = 2 * gradient[0] * prod((x if transposed else gradient)[2:]) * prod(weight)
    return forward * sum(wanted[:2])
