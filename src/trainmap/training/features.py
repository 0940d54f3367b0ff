"""A network's inner values: taken while it runs, and brought to the width of another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs, as_tensor, to_input
from trainmap.errors import TrainmapError, unknown
from trainmap.models.layout import is_convolutional
from trainmap.models.predict import BATCH
from trainmap.modes import device_of, evaluating


@contextmanager
def tapped(model: nn.Module, layer: str | None) -> Iterator[list[Tensor]]:
    """The features of every forward pass within, in order: the output of ``layer``, or for None what goes into the
    last ``nn.Linear``.

    Raises:
        TrainmapError: no such layer.
    """
    kept: list[Tensor] = []
    if layer is None:
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise TrainmapError("the network has no nn.Linear whose input could be its features; name a layer")

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            kept.append(inputs[0])

        handle = linear[-1].register_forward_pre_hook(before)
    else:
        named = dict(model.named_modules())
        if layer not in named:
            raise unknown("layer", layer, named)

        def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            kept.append(output.clone())  # a layer that works in place (ReLU) may come next

        handle = named[layer].register_forward_hook(after)
    try:
        yield kept
    finally:
        handle.remove()


def _last(kept: list[Tensor], layer: str | None) -> Tensor:
    """What was taken last. Linear layers within ``nn.MultiheadAttention``, and unused ones, give nothing."""
    if not kept:
        raise TrainmapError(
            f"{f'layer {layer!r}' if layer else 'the last nn.Linear'} is not called; name another layer"
        )
    return kept[-1]


def projector_between(
    student: nn.Module,
    teacher: nn.Module,
    layers: tuple[str | None, str | None],
    inputs: Inputs,
    seed: int,
    device: str,
) -> nn.Module | None:
    """The projector from the student's layer to the teacher's; None when their features have one shape already."""
    shapes = []
    for network, layer in zip((student, teacher), layers, strict=True):
        with evaluating(network.to(device)), torch.no_grad(), tapped(network, layer) as kept:
            network(inputs.example(1, device))
        shapes.append(tuple(_last(kept, layer).shape[1:]))
    if shapes[0] == shapes[1]:
        return None
    state = np.random.SeedSequence([seed, 0, 2]).generate_state(1, np.uint32)
    return projector(shapes[0], shapes[1], int(state[0])).to(device)


def projector(shape: tuple[int, ...], teacher_shape: tuple[int, ...], seed: int) -> nn.Module:
    """A layer from the student's features to the teacher's: a 1x1 convolution for maps, else a linear layer.

    Args:
        shape, teacher_shape: of one example's features: (D,), (L, D) or (channels, H, W).
        seed: of its initial weights; the global random state is untouched.

    Raises:
        TrainmapError: features that differ in more than their width.
    """
    maps = len(shape) == 3
    width, rest = (shape[0], shape[1:]) if maps else (shape[-1], shape[:-1])
    teacher_width, teacher_rest = (
        (teacher_shape[0], teacher_shape[1:]) if maps else (teacher_shape[-1], teacher_shape[:-1])
    )
    if len(shape) != len(teacher_shape) or rest != teacher_rest:
        raise TrainmapError(
            f"features to match may differ in width alone, got {shape} for the student and {teacher_shape} for the "
            "teacher; name other layers"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Conv2d(width, teacher_width, 1) if maps else nn.Linear(width, teacher_width)


def features_of(
    model: nn.Module, dataset: Dataset, layer: str | None = None, device: str | None = None
) -> NDArray[np.float32]:
    """The features of every example, in eval mode: (N, D) float32; a map (channels, H, W) is averaged over its places.

    ``trainmap.Features(dataset.ids, features_of(model, dataset))`` is what the strategies over features take.

    Args:
        model: takes the dataset's inputs; left in the mode it came in.
        dataset: N examples.
        layer: whose output; None for what goes into the last ``nn.Linear``.
        device: where to compute, and the model is moved to; None: where it is.

    Raises:
        TrainmapError: no such layer, or features that are neither (D,), (L, D) nor (channels, H, W).
    """
    channels_last, device = is_convolutional(model), device or device_of(model)
    parts: list[Tensor] = []
    with evaluating(model.to(device)), torch.inference_mode(), tapped(model, layer) as kept:
        for part in as_tensor(dataset.x, device).split(BATCH):
            kept.clear()
            model(to_input(part, channels_last))
            features = _last(kept, layer)
            if features.ndim not in (2, 3, 4):
                raise TrainmapError(
                    f"features must be (D,), (L, D) or (channels, H, W), got {tuple(features.shape[1:])}"
                )
            parts.append(features.mean(dim=(2, 3) if features.ndim == 4 else 1) if features.ndim > 2 else features)
    return torch.cat(parts).float().cpu().numpy()
