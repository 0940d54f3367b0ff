"""Choosing the channels that go, taking them out, and holding what is left against the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainmap.compression.compressed import copy_of
from trainmap.compression.dependencies import CURE, ROOTS, Dependencies, is_depthwise, title
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.probe import foreign, logits_of


@dataclass(frozen=True)
class Chosen:
    """Channels that go together: the places of the outputs of a layer, or of its inputs."""

    layer: str
    outputs: bool
    places: tuple[int, ...]


def choose(
    along: Dependencies,
    importance: Callable[[Any], Tensor | None],
    ratio: float,
    round_to: int,
    kept_whole: set[nn.Module],
) -> tuple[list[Chosen], dict[str, str]]:
    """The least important channels of each group, and the layers that keep theirs with the reason.

    Raises:
        TrainmapError: a group that goes through a layer which cannot be made narrower and is not in ``kept_whole``.
    """
    heads: dict[nn.Module, int] = {
        m.qkv: _heads(name, m) for m, name in along.names.items() if isinstance(getattr(m, "qkv", None), nn.Linear)
    }  # pyright: ignore[reportAssignmentType]
    chosen: list[Chosen] = []
    whole = dict.fromkeys(along.unreached, "computed without gradients (torch.no_grad, detach), cannot be followed")
    for root, group in along.roots():
        if along.heads(group):
            continue
        places, why = _least(along, root, group, importance, ratio, round_to, kept_whole, heads)
        if places is None:
            outs = [dep.target.module for dep, _ in group if along.is_out(dep)]
            whole |= {along.names[module]: why for module in outs if isinstance(module, ROOTS)}
        else:
            chosen.append(places)
    return chosen, {name: whole[name] for name in along.names.values() if name in whole}


def _least(
    along: Dependencies,
    root: nn.Module,
    group: Any,
    importance: Callable[[Any], Tensor | None],
    ratio: float,
    round_to: int,
    kept_whole: set[nn.Module],
    heads: dict[nn.Module, int],
) -> tuple[Chosen | None, str]:
    where, outputs = title(along.names[root], root), True
    if any(along.is_out(dep) and dep.target.module in kept_whole for dep, _ in group):
        return None, "in keep="
    for layer, why in along.against(group):
        if layer not in kept_whole:
            raise TrainmapError(f"channels of layer {where} cannot go: {why}; name either in keep= to prune the others")
        return None, f"feeds {title(along.names[layer], layer)}, in keep="
    if any(along.is_out(dep) and dep.target.module in heads for dep, _ in group):
        root, group = _after_attention(along, where, group)
        outputs = False
    width = len(group[0].idxs)
    parts, segments = along.parts(group, heads), along.segments(group)
    if parts > 1 and (len(segments) > 1 or width % parts):
        raise TrainmapError(f"channels of layer {where} go through {parts} groups beside those of other layers; {CURE}")
    with foreign(f"the importance of the channels of layer {where} cannot be told", CURE):
        found = importance(group)
    if found is None or len(found) != width:
        raise TrainmapError(f"the importance of the channels of layer {where} cannot be told; {CURE}")
    places: list[int] = []
    for segment in segments:
        count, step = len(segment), lcm(round_to, parts)
        kept = min(count, max(step, int(count * (1 - ratio) + 1e-9) // step * step))
        means = found.cpu()[segment].view(parts, -1).mean(dim=0)
        least = torch.topk(means, k=(count - kept) // parts, largest=False).indices
        places += [segment[part * (count // parts) + int(place)] for part in range(parts) for place in least]
    if not places:
        return None, f"{width} channels, of which {step} are the least that may stay"
    return Chosen(along.names[root], outputs, tuple(sorted(places))), ""


def _after_attention(along: Dependencies, where: str, group: Any) -> tuple[nn.Module, Any]:
    """The group seen from the layer behind an attention layer: there the heads lie one after another."""
    behind = [(dep, idxs) for dep, idxs in group if isinstance(dep.target.module, ROOTS) and not along.is_out(dep)]
    if not behind:
        raise TrainmapError(f"layer {where} has no layer behind its attention; {CURE}")
    dep, idxs = behind[-1]
    return dep.target.module, along.group(dep.target.module, idxs, dep.handler)


def _heads(name: str, attention: nn.Module) -> int:
    heads = getattr(attention, "num_heads", None) or getattr(attention, "heads", None)
    qkv: Any = attention.qkv
    if not isinstance(heads, int) or qkv.out_features % (3 * heads):
        raise TrainmapError(
            f"layer {title(name, attention)} must say its number of heads as num_heads or heads, by which a third "
            f"of the outputs of its qkv can be divided; got {heads} for {qkv.out_features}"
        )
    return heads


def take_out(
    pruning: Any, model: nn.Module, inputs: Inputs, chosen: list[Chosen]
) -> tuple[nn.Module, dict[str, list[int]]]:
    """A copy without the chosen channels, and which each convolution and linear layer lost.

    Raises:
        TrainmapError: a network that then puts out something else than the original with those weights at zero; the
            layer is named.
    """
    network, removed, same = _taken(pruning, model, inputs, chosen)
    if same:
        return network, removed
    for one in chosen:  # which of them it was
        if not _taken(pruning, model, inputs, [one])[2]:
            layer = dict(model.named_modules())[one.layer]
            raise TrainmapError(
                f"taking channels of layer {title(one.layer, layer)} out would change what the network does with the "
                "others: its channels are shuffled, split or reshaped on the way in a manner that cannot be followed; "
                "name it in keep="
            )
    raise TrainmapError(
        f"taking channels of {len(chosen)} layers out would change what the network does with the others; name some in "
        "keep="
    )


def _taken(
    pruning: Any, model: nn.Module, inputs: Inputs, chosen: list[Chosen]
) -> tuple[nn.Module, dict[str, list[int]], bool]:
    network = copy_of(model)
    along = Dependencies.of(pruning, network, inputs.example(2))
    modules = dict(network.named_modules())
    fns = [_function(along, modules[one.layer], one.outputs) for one in chosen]
    removed: dict[str, set[int]] = {}
    norms: dict[nn.Module, set[int]] = {}
    for one, fn in zip(chosen, fns, strict=True):
        for dep, idxs in along.group(modules[one.layer], one.places, fn):
            module = dep.target.module
            if isinstance(module, ROOTS) and along.is_out(dep):
                removed.setdefault(along.names[module], set()).update(map(int, idxs))
            elif isinstance(module, ROOTS):
                _silence(module, idxs)
            elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
                norms.setdefault(module, set()).update(map(int, idxs))
    qkv = [m.qkv for m in along.names if isinstance(getattr(m, "qkv", None), nn.Linear)]
    comparable = not any(along.names.get(layer) in removed for layer in qkv)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with _over_the_rest(norms):
        expected = logits_of(network, inputs)
    for one, fn in zip(chosen, fns, strict=True):
        layer = modules[one.layer]
        with foreign(f"channels of layer {title(one.layer, layer)} cannot be taken out", "name it in keep="):
            along.again()
            group = along.group(layer, one.places, fn)
            if not along.graph.check_pruning_group(group):
                raise TrainmapError(f"layer {title(one.layer, layer)} would leave nothing of a layer; name it in keep=")
            group.prune(record_history=False)
    sorted_places = {name: sorted(removed[name]) for name in modules if name in removed}
    network.zero_grad(set_to_none=True)
    if not comparable:
        return network, sorted_places, True
    return network, sorted_places, _agree(network, inputs, expected)


def _agree(network: nn.Module, inputs: Inputs, expected: Tensor) -> bool:
    try:
        found = logits_of(network, inputs)
    except TrainmapError:
        return False  # it does not run; which layer that comes from is looked for
    if found.shape != expected.shape:
        return False
    size = float(expected.abs().nan_to_num(posinf=0).max())
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * size + 1e-12, equal_nan=True)


def _function(along: Dependencies, layer: nn.Module, outputs: bool) -> Any:
    pruner = along.graph.get_pruner_of_module(layer)
    return pruner.prune_out_channels if outputs else pruner.prune_in_channels


@torch.no_grad()
def _silence(layer: nn.Module, places: list[int]) -> None:
    """Set what a layer has for inputs that will go to zero: then it does what it will do without them."""
    weight: Any = layer.weight
    if isinstance(layer, nn.Linear):
        weight[:, places] = 0
    elif getattr(layer, "transposed", False):
        weight[places] = 0
    elif not is_depthwise(layer):  # type: ignore[arg-type]
        weight[:, sorted({place % weight.shape[1] for place in places})] = 0


@contextmanager
def _over_the_rest(norms: dict[nn.Module, set[int]]) -> Iterator[None]:
    """Norms over what is left of their channels, as they will be."""

    def apart(norm: Any, lost: set[int]) -> Callable[..., Tensor]:
        count = norm.normalized_shape[0] if isinstance(norm, nn.LayerNorm) else norm.num_channels
        rest = torch.tensor([place for place in range(count) if place not in lost])
        weight, bias = (None if held is None else held[rest] for held in (norm.weight, norm.bias))

        def forward(_module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            dim = _dim(norm, args[0], count)
            x = args[0].index_select(dim, rest)
            if isinstance(norm, nn.LayerNorm):
                y = F.layer_norm(x.movedim(dim, -1), (len(rest),), weight, bias, norm.eps).movedim(-1, dim)
            else:
                y = F.group_norm(x, norm.num_groups, weight, bias, norm.eps)
            return torch.zeros_like(out).index_copy_(dim, rest, y)

        return forward

    with ExitStack() as hooks:
        for norm, lost in norms.items():
            hooks.callback(norm.register_forward_hook(apart(norm, lost)).remove)
        yield


def _dim(norm: nn.Module, x: Tensor, count: int) -> int:
    """Where the channels are: the last dimension for a layer norm, the second for a group norm and for the layer norms
    of others (torchvision, timm) that take images."""
    if type(norm).forward is nn.LayerNorm.forward:
        return -1
    return 1 if x.shape[1] == count and (x.shape[-1] != count or not isinstance(norm, nn.LayerNorm)) else -1
