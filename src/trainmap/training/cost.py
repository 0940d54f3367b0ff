"""What a network costs: parameters, bytes, FLOPs. Pure counts; seconds are measured where the work is done."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

TRAINING_FACTOR = 3
"""Forward + backward in units of the forward pass: the backward pass has two products for each one of the forward pass,
one for the gradient of the inputs and one for that of the weights. The first layer needs no gradient for its input, so
the true figure is a little lower: 2.8 to 2.97 for the convolutional networks and transformers here, 2.1 to 2.3 for the
perceptron, which is mostly first layer. The optimizer's step is not counted."""


def parameters(model: nn.Module) -> int:
    """Number of parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def parameter_bytes(model: nn.Module) -> int:
    """Bytes of all the parameters and buffers (batch-norm statistics) as they are in memory."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def forward_flops(model: nn.Module, channels: int, size: int) -> int:
    """FLOPs of one forward pass of one ``channels x size x size`` image, as ``torch.utils.flop_counter`` counts.

    A multiplication and an addition are two FLOPs. Counted are convolutions, matrix products and attention; norms,
    activations, pooling and additions are not (a few percent here). The same number on every device.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    # Attention as two plain products: the counter has no formula for the fused kernel of the CPU.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, channels, size, size, device=device))
    model.train(training)
    return counter.get_total_flops()


def training_flops(forward: int, examples_seen: int) -> int:
    """FLOPs of training: 3 x ``forward`` for every example of every step (see ``TRAINING_FACTOR``)."""
    return TRAINING_FACTOR * forward * examples_seen


def inference_flops(forward: int, examples: int, flips: bool = False) -> int:
    """FLOPs of predicting ``examples`` once, or twice when each image's mirror image is predicted as well."""
    return forward * examples * (2 if flips else 1)
