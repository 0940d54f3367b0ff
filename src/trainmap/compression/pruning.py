"""Structured pruning: whole channels are taken out, so that what is left is a smaller network of the same kind."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from trainmap.compression.compressed import MISSING, Compressed, check_fraction, copy_of, counts
from trainmap.compression.dependencies import ROOTS, Dependencies
from trainmap.compression.narrowing import choose, take_out
from trainmap.compression.network_files import set_attention_sizes
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs, to_input
from trainmap.errors import TrainmapError, shown, unknown, whole
from trainmap.models.probe import check_same_shape, logits_of

Importance = Literal["magnitude", "taylor", "random"]


def prune_channels(
    model: nn.Module,
    inputs: Inputs,
    ratio: float,
    *,
    importance: Importance = "magnitude",
    calibration: Dataset | None = None,
    round_to: int = 1,
    keep: Sequence[str] = (),
    seed: int = 0,
    device: str = "cpu",
) -> Compressed:
    """Take out the least important channels of every layer, and what other layers have for them.

    Each convolution (of one to three dimensions, transposed, with groups) and linear layer keeps
    ``floor(channels (1 - ratio))`` channels, rounded down to a multiple of ``round_to``, at least ``round_to`` (or all,
    when it has fewer). Layers that are added or multiplied to each other lose the same channels; what makes the logits
    keeps its outputs. Frozen layers (``requires_grad`` False) are pruned as the others, and stay frozen. Where the
    channels go through groups (of a convolution, a group norm, the heads of an attention layer), the same places go in
    each of them, which keep their number.

    The result is held against the original: the logits have the same shape, and are those of the original with the
    weights of what went at zero (norms over what is left; not compared through attention layers with ``qkv``, whose
    scale depends on their width).

    Args:
        model: trained; left as it is.
        inputs: what it takes.
        ratio: share of the channels that go, above 0 and below 1. The parameters fall by about its square.
        importance: of a channel, summed over all the layers that it goes through:
            "magnitude": mean over its weights of ``w^2``, relative to the layer's mean (L2);
            "taylor": ``|sum of w dL/dw|`` over its weights, the loss being the cross entropy of ``calibration``;
            "random": for comparison.
        calibration: the examples of "taylor", in one batch: some hundred.
        round_to: kernels are fastest on multiples of 8 or 16.
        keep: names of modules that keep all their outputs; and of layers that cannot be made narrower (recurrent,
            bilinear, ``nn.MultiheadAttention``, with shared or made weights, ...), around which the others are pruned.
        seed: of "random".
        device: where the gradients of "taylor" are computed.

    Returns:
        The copy; ``numbers`` has ``ratio``, ``removed``, the places of the channels that each layer lost, and
        ``whole``, the other convolutions and linear layers with the reason why they kept theirs (if there are any; not
        those that make the logits).

    Raises:
        TrainmapError: a ratio or name out of range, weights that are not finite, "taylor" without calibration, logits
            that are not one tensor; channels that go through a layer that cannot be made narrower (it is named), that
            cannot be followed, or not within ``dependencies.MOST_INDICES``; a network that would put out something
            else; nothing to take out.

    Source: Fang et al. 2023, arXiv:2301.12900 (the graph of dependencies; their library torch-pruning does this);
    Molchanov et al. 2019, arXiv:1906.10771 (Taylor).
    """
    pruning = _library()
    check_fraction(ratio, "ratio")
    if not 0 < ratio < 1:
        raise TrainmapError(f"ratio must lie between 0 and 1, got {shown(ratio)}")
    round_to, seed = whole(round_to, "round_to", 1), whole(seed, "seed")
    if not isinstance(keep, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in keep):
        raise TrainmapError(f"keep must be a list of names of modules, keep=['fc'], or left out, got {shown(keep)}")
    if importance not in get_args(Importance):
        raise unknown("importance", importance, get_args(Importance))
    if importance == "taylor" and (calibration is None or not len(calibration)):
        raise TrainmapError("importance 'taylor' needs examples: calibration=train.subset(ids)")
    looked_at = _without_frozen(model)
    before = logits_of(looked_at, inputs)
    if not all(bool(parameter.isfinite().all()) for parameter in looked_at.parameters()):
        raise TrainmapError("the network has weights that are NaN or infinite; channels cannot be compared")
    modules = dict(looked_at.named_modules())
    if strange := [name for name in keep if name not in modules]:
        raise unknown("module to keep", strange[0], modules)
    if not any(isinstance(module, ROOTS) for module in modules.values()):
        raise TrainmapError("the network has no convolution and no linear layer to prune")
    kept_whole = {inner for name in keep for inner in modules[name].modules()}
    with _following_the_graph(seed):
        along = Dependencies.of(pruning, looked_at, inputs.example(2))
        if importance == "taylor" and calibration is not None:
            _backward(looked_at, calibration, device)
        chosen, wholes = choose(along, _importance(pruning, importance), ratio, round_to, kept_whole)
        if not chosen:
            raise TrainmapError(f"no channel can go at ratio {ratio} and round_to {round_to}: {_reasons(wholes)}")
        pruned, removed = take_out(pruning, _without_frozen(model), inputs, chosen)
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in pruned.named_parameters():
        parameter.requires_grad_(trained[name])
    set_attention_sizes(pruned)
    words = f"{ratio:.0%} of channels out, {importance}"
    check_same_shape(pruned, before, inputs, words)
    total, nonzero, flops = counts(pruned, inputs)
    numbers = {"ratio": ratio, "importance": importance, "removed": removed}
    if wholes:
        numbers["whole"] = wholes
    return Compressed(pruned, words, total, nonzero, flops, numbers=numbers)


def _without_frozen(model: nn.Module) -> nn.Module:
    """A copy all of whose parameters have gradients: the graph of channels follows them."""
    copied = copy_of(model)
    for parameter in copied.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    return copied


def _reasons(wholes: dict[str, str], most: int = 3) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in list(wholes.items())[:most])
    return told + ("; ..." if len(wholes) > most else "") or "every layer makes the logits"


def classifier(model: nn.Module, inputs: Inputs) -> nn.Module:
    """The last convolution or linear layer that a forward pass goes through: the one that makes the logits."""
    last: list[nn.Module] = []
    layers = [module for module in model.modules() if isinstance(module, ROOTS)]
    hooks = [layer.register_forward_hook(lambda module, *_: last.append(module)) for layer in layers]
    with torch.inference_mode():
        model(inputs.example(2))
    for hook in hooks:
        hook.remove()
    if not last:
        raise TrainmapError("the network has no convolution and no linear layer to prune")
    return last[-1]


def _importance(pruning: Any, importance: Importance) -> Any:
    if importance == "random":
        return pruning.importance.RandomImportance()
    if importance == "taylor":
        return pruning.importance.GroupTaylorImportance()
    return pruning.importance.GroupMagnitudeImportance(p=2)


def _backward(model: nn.Module, calibration: Dataset, device: str) -> None:
    """Gradients of the mean cross entropy, in eval mode, so that the batch's statistics change nothing."""
    model.to(device)
    x, y = to_input(torch.from_numpy(calibration.x.copy())), torch.from_numpy(calibration.y.copy())
    F.cross_entropy(model(x.to(device)), y.to(device)).backward()
    model.cpu()  # and its gradients with it


@contextlib.contextmanager
def _following_the_graph(seed: int) -> Iterator[None]:
    """Gradients on, for the library reads the graph of autograd; its random numbers from ``seed``, and no warning that
    parameters outside of layers (positions) are pruned along their last dimension, which is what is wanted."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        warnings.filterwarnings("ignore", module="torch_pruning", category=UserWarning)
        torch.default_generator.manual_seed(seed)
        yield


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise TrainmapError(MISSING) from error
    return torch_pruning
