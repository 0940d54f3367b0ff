"""The weights that a network multiplies by, whatever its layers are called: what may become zero."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import ParametrizationList

from trainmap.errors import TrainmapError


class Mask(nn.Module):
    """Holds weights at zero: a parametrization, which whoever reads the weight gets to see."""

    kept: Tensor

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept


def prunable(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """The weights that may become zero, each once: (module, name of its attribute).

    Those of every layer in ``KINDS``; not biases, norms, embeddings, and parameters outside of layers (positions). A
    weight that several layers share is one.

    Raises:
        TrainmapError: a layer whose weight is made from other parameters, or a network without any such layer.
    """
    return [places[0] for places in _places(model)]


def fix(model: nn.Module, kept: list[Tensor]) -> None:
    """Hold the weights of ``prunable`` at zero where ``kept`` is 0, in each layer that has them; again and again."""
    for places, mask in zip(_places(model), kept, strict=True):
        for module, name in places:
            if parametrize.is_parametrized(module, name):
                _mask(module, name).kept.copy_(mask)
            else:
                parametrize.register_parametrization(module, name, Mask(mask.clone()))


def free(model: nn.Module) -> None:
    """Plain weights again, some of them zero; those that were shared are shared."""
    for places in _places(model):
        for module, name in places:
            if parametrize.is_parametrized(module, name):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def masks(model: nn.Module) -> list[Tensor]:
    """What of the weights of ``prunable`` is not held at zero: float, 1 or 0."""
    return [
        _mask(module, name).kept.clone()
        if parametrize.is_parametrized(module, name)
        else torch.ones_like(getattr(module, name))
        for module, name in prunable(model)
    ]


def original(module: nn.Module, name: str) -> Tensor:
    """A weight as it is trained, whether it is held at zero or not."""
    if not parametrize.is_parametrized(module, name):
        return getattr(module, name)
    found = _made(module, name).original
    assert isinstance(found, Tensor)
    return found


def is_made(module: nn.Module, name: str) -> bool:
    """Whether a weight is computed from other parameters (weight_norm, spectral_norm, masks of others)."""
    if parametrize.is_parametrized(module, name):
        return not (len(_made(module, name)) == 1 and isinstance(_made(module, name)[0], Mask))
    return name not in module._parameters


def _places(model: nn.Module) -> list[list[tuple[nn.Module, str]]]:
    """For each weight the layers that have it."""
    found: dict[int, list[tuple[nn.Module, str]]] = {}
    for path, module in model.named_modules():
        for kind, names in KINDS.items():
            if isinstance(module, kind):
                for name in names(module):
                    if is_made(module, name):
                        raise TrainmapError(
                            f"layer '{path}' ({type(module).__name__}) makes its {name} from other parameters "
                            "(weight_norm, a mask); make it plain first, by "
                            "torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm or prune.remove"
                        )
                    found.setdefault(id(original(module, name)), []).append((module, name))
    if not found:
        kinds = ", ".join(kind.__name__.strip("_") for kind in KINDS)
        raise TrainmapError(f"the network has no weights that could become zero: no layer of {kinds}")
    return list(found.values())


def _made(module: nn.Module, name: str) -> ParametrizationList:
    made = module.parametrizations[name]  # type: ignore[index]
    assert isinstance(made, ParametrizationList)
    return made


def _mask(module: nn.Module, name: str) -> Mask:
    (mask,) = _made(module, name)
    assert isinstance(mask, Mask)
    return mask


def _matrices(module: nn.Module) -> list[str]:
    """``weight_ih_l0``, ``in_proj_weight``, ...: by name, and also where they are made from others."""
    made = list(module.parametrizations) if parametrize.is_parametrized(module) else []  # type: ignore[arg-type]
    own = [name for name, held in module._parameters.items() if held is not None]
    named = [name.removesuffix("_orig").removesuffix("_g").removesuffix("_v") for name in (*own, *made)]
    return sorted({name for name in named if "weight" in name})


KINDS: dict[type[nn.Module], Callable[[nn.Module], list[str]]] = {
    _ConvNd: lambda _: ["weight"],
    nn.Linear: lambda _: ["weight"],
    nn.Bilinear: lambda _: ["weight"],
    nn.RNNBase: _matrices,
    nn.RNNCellBase: _matrices,
    nn.MultiheadAttention: _matrices,
}
"""Layers that multiply by weights, and which; linear layers within them (``out_proj``) are counted as themselves."""
