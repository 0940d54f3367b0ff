"""Structured pruning: whole channels are taken out, so that what is left is a smaller network of the same kind."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from trainmap.errors import TrainmapError, unknown
from trainmap.training.compressed import MISSING, Compressed, copy_of, counts
from trainmap.training.compressed_files import set_attention_sizes
from trainmap.training.data import Dataset
from trainmap.training.inputs import Inputs, to_input

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

    Each convolution and linear layer keeps ``floor(channels (1 - ratio))`` channels, rounded down to a multiple of
    ``round_to``, at least ``round_to`` (or all, when it has fewer). Layers that are added or multiplied to each other
    lose the same channels. The classifier keeps its outputs; the heads of attention layers keep their number and get
    narrower.

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
        keep: names of modules that keep all their outputs.
        seed: of "random".
        device: where the gradients of "taylor" are computed.

    Returns:
        The copy; ``numbers`` has ``ratio`` and ``removed``, the places of the channels that each layer lost.

    Raises:
        TrainmapError: a ratio or name out of range, weights that are not finite, "taylor" without calibration, or a
            network that cannot be pruned by following its graph.

    Source: Fang et al. 2023, arXiv:2301.12900 (the graph of dependencies; their library torch-pruning does this);
    Molchanov et al. 2019, arXiv:1906.10771 (Taylor).
    """
    pruning = _library()
    if not 0 < ratio < 1 or round_to < 1:
        raise TrainmapError(f"ratio must lie between 0 and 1 and round_to be at least 1, got {ratio} and {round_to}")
    if importance not in get_args(Importance):
        raise unknown("importance", importance, get_args(Importance))
    if importance == "taylor" and (calibration is None or not len(calibration)):
        raise TrainmapError("importance 'taylor' needs examples: calibration=train.subset(ids)")
    pruned = copy_of(model)
    if not all(bool(parameter.isfinite().all()) for parameter in pruned.parameters()):
        raise TrainmapError("the network has weights that are NaN or infinite; channels cannot be compared")
    modules = dict(pruned.named_modules())
    if strange := [name for name in keep if name not in modules]:
        raise unknown("module to keep", strange[0], modules)

    example = inputs.example(2)
    roots = {name: module for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)}
    kept_whole = [classifier(pruned, inputs), *(modules[name] for name in keep)]
    qkv = {m.qkv: _heads(m) for m in modules.values() if isinstance(getattr(m, "qkv", None), nn.Linear)}
    with _following_the_graph(seed):
        pruner = pruning.pruner.BasePruner(
            pruned,
            example,
            importance=_importance(pruning, importance),
            pruning_ratio=ratio,
            pruning_ratio_dict={module: _share(module, ratio, round_to) for module in roots.values()},
            ignored_layers=kept_whole,
            num_heads=qkv,
        )
        if importance == "taylor" and calibration is not None:
            _backward(pruned, calibration, device)
        removed = _prune(pruner, {module: name for name, module in roots.items()})
    set_attention_sizes(pruned)
    pruned.zero_grad(set_to_none=True)
    try:
        total, nonzero, flops = counts(pruned, inputs)
    except RuntimeError as error:
        raise TrainmapError(
            f"this network does not run with fewer channels ({str(error).splitlines()[0]}); name layers in keep="
        ) from error
    numbers = {"ratio": ratio, "importance": importance, "removed": removed}
    return Compressed(pruned, f"{ratio:.0%} of channels out, {importance}", total, nonzero, flops, numbers=numbers)


def classifier(model: nn.Module, inputs: Inputs) -> nn.Module:
    """The last convolution or linear layer that a forward pass goes through: the one that makes the logits."""
    last: list[nn.Module] = []
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(lambda module, *_: last.append(module)) for layer in layers]
    with torch.inference_mode():
        model(inputs.example(2))
    for hook in hooks:
        hook.remove()
    if not last:
        raise TrainmapError("the network has no convolution and no linear layer to prune")
    return last[-1]


def _share(module: nn.Module, ratio: float, round_to: int) -> float:
    """The ratio that makes the library keep the number of channels that is promised."""
    channels: Any = module.out_channels if isinstance(module, nn.Conv2d) else module.out_features
    kept = int(channels * (1 - ratio) + 1e-9) // round_to * round_to
    kept = min(channels, max(kept, round_to))
    return 1 - (kept + 0.5) / channels if kept < channels else 0.0  # the library rounds the rest down, to ``kept``


def _prune(pruner: Any, names: dict[nn.Module, str]) -> dict[str, list[int]]:
    removed: dict[str, list[int]] = {}
    for group in pruner.step(interactive=True):
        for dependency, places in group:
            name = names.get(dependency.target.module)
            if name is not None and pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                removed[name] = sorted({*removed.get(name, []), *map(int, places)})
        group.prune()
    return {name: removed[name] for name in names.values() if name in removed}


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


def _heads(attention: nn.Module) -> int:
    heads = getattr(attention, "num_heads", None) or getattr(attention, "heads", None)
    return int(heads)  # pyright: ignore[reportArgumentType]


@contextlib.contextmanager
def _following_the_graph(seed: int) -> Iterator[None]:
    """Gradients on, for the library reads the graph of autograd; its random numbers from ``seed``, and no warning that
    parameters outside of layers (positions) are pruned along their last dimension, which is what is wanted."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        warnings.filterwarnings("ignore", message="Unwrapped parameters detected", category=UserWarning)
        torch.default_generator.manual_seed(seed)
        yield


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise TrainmapError(MISSING) from error
    return torch_pruning
