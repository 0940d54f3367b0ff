"""Which channels go together: the graph of a network as torch-pruning builds it, followed within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from trainmap.errors import TrainmapError
from trainmap.models.probe import checked, foreign
from trainmap.models.weights import is_made

MOST_OPERATIONS = 10_000
"""Operations of a forward pass; of a network with more, no graph is built."""
MOST_INDICES = 10_000_000
"""Channels that are followed from one operation to the next, over all layers of a network: some 2 GB at most."""

ROOTS = (_ConvNd, nn.Linear)
NARROWED = (*ROOTS, _BatchNorm, nn.LayerNorm, nn.GroupNorm, _InstanceNorm, nn.PReLU, nn.Embedding)
"""The layers whose channels torch-pruning takes out rightly."""
ADDED = ("add", "sub", "rsub", "mul", "div", "expand", "cat", "unsqueeze", "view", "permute", "tocopy")
"""What may be done with a parameter outside of layers (positions, scales) so that its last dimension is channels."""

CURE = "name it in keep= to prune the others"


def title(name: str, module: nn.Module) -> str:
    """A layer for a message: ``'features.3' (Conv1d)``."""
    return f"'{name}' ({type(module).__name__})" if name else f"the network itself ({type(module).__name__})"


@dataclass
class Dependencies:
    """The graph of one network.

    Attributes:
        pruning: the library.
        graph: its graph.
        names: layer → its path.
        rigid: node → the layer whose channels cannot go there, and why not.
        left: of ``MOST_INDICES``.
        unreached: layers that ran, but to which no gradient comes.
    """

    pruning: Any
    graph: Any
    names: dict[nn.Module, str]
    rigid: dict[Any, tuple[nn.Module, str]] = field(default_factory=dict)
    left: int = MOST_INDICES
    unreached: list[str] = field(default_factory=list)

    @staticmethod
    def of(pruning: Any, model: nn.Module, x: Tensor) -> Dependencies:
        """Follow a forward pass.

        Raises:
            TrainmapError: too many operations, or a network that the library cannot follow.
        """
        ran: list[nn.Module] = []
        layers = [module for module in model.modules() if isinstance(module, ROOTS)]
        hooks = [layer.register_forward_hook(lambda module, *_: ran.append(module)) for layer in layers]
        logits = checked(model, model(x), len(x))
        for hook in hooks:
            hook.remove()
        if logits.grad_fn is None:
            raise TrainmapError(
                f"{type(model).__name__} computes its logits without gradients (torch.no_grad, detach), along which "
                "channels are followed; take that out of its forward"
            )
        operations = _operations(logits)
        if operations > MOST_OPERATIONS:
            raise TrainmapError(
                f"a forward pass of {type(model).__name__} has {operations:,} operations, and channels are followed "
                f"through at most {MOST_OPERATIONS:,}; prune its parts by themselves"
            )
        names = {module: name for name, module in model.named_modules()}
        graph, cure = pruning.DependencyGraph(), "use zeros or 8 bits instead"
        with foreign(lambda error: f"the channels{_near(error, names)} cannot be followed", cure):
            graph.build_dependency(model, example_inputs=x)
        made = Dependencies(pruning, graph, names)
        made.rigid = made._rigid(model)
        made.unreached = [names[layer] for layer in layers if layer in ran and layer not in graph.module2node]
        return made

    def roots(self) -> Iterator[tuple[nn.Module, Any]]:
        """The convolutions and linear layers of the pass, each set of those that go together once, with all their
        channels (a library's group)."""
        visited: set[nn.Module] = set()
        for module in [module for module in self.graph.module2node if isinstance(module, ROOTS)]:
            if module not in visited:
                group = self.group(module, range(self.width(module)))
                visited |= {dep.target.module for dep, _ in group if self.is_out(dep)}
                yield module, group

    def width(self, module: nn.Module) -> int:
        return int(self.graph.get_out_channels(module))

    def is_out(self, dep: Any) -> bool:
        """Whether it is the outputs of its target that go (for norms and activations that is the same)."""
        return self.graph.is_out_channel_pruning_fn(dep.handler)

    def heads(self, group: Any) -> bool:
        """Whether these channels come out of the network."""
        return any(self.is_out(dep) and not dep.target.outputs for dep, _ in group)

    def against(self, group: Any) -> list[tuple[nn.Module, str]]:
        """The layers that stand against taking channels of a group out, and why."""
        return [self.rigid[dep.target] for dep, _ in group if dep.target in self.rigid]

    def parts(self, group: Any, heads: dict[nn.Module, int]) -> int:
        """In how many equal parts of its channels the same places must go: groups of convolutions and norms, heads
        of attention layers."""
        found = [1]
        for dep, _ in group:
            module = dep.target.module
            if isinstance(module, _ConvNd) and not is_depthwise(module):
                found.append(module.groups)
            elif isinstance(module, nn.GroupNorm):
                found.append(module.num_groups)
            elif module in heads and self.is_out(dep):
                found.append(heads[module])
        return lcm(*found)

    def segments(self, group: Any) -> list[list[int]]:
        """The places of a group that go through the same layers: more than one list where layers are concatenated."""
        through: dict[int, list[int]] = {}
        for number, item in enumerate(group.items):
            for place in set(item.root_idxs):
                if place is not None:
                    through.setdefault(place, []).append(number)
        found: dict[tuple[int, ...], list[int]] = {}
        for place in sorted(through):
            found.setdefault(tuple(through[place]), []).append(place)
        return list(found.values())

    def group(self, module: nn.Module, channels: Iterable[int], fn: Any = None) -> Any:
        """All that goes with these channels of a layer: its outputs, or what ``fn`` of the library takes.

        The library's own walk keeps every step and compares each with all; on windows and rolls (swin) its indices
        multiply until the memory is full. This one takes each step once, and counts.

        Raises:
            TrainmapError: indices beyond a layer's channels, or too many of them.
        """
        from torch_pruning._helpers import GroupItem, _HybridIndex

        root = self.graph.module2node[module]
        if fn is None:
            fn = self.graph.get_pruner_of_module(module).prune_out_channels
        first = self.pruning.Dependency(fn, fn, source=root, target=root)
        steps = [(first, [_HybridIndex(idx=int(i), root_idx=int(i)) for i in channels])]
        waiting, seen = list(steps), set()
        while waiting:
            dep, indices = waiting.pop()
            for following in dep.target.dependencies:
                if not following.is_triggered_by(dep.handler):
                    continue
                rigid = following.target in self.rigid  # there it ends, and nobody knows what it would do beyond
                mapped = indices if rigid else self._mapped(following, indices, module)
                step = (following.target, following.handler, tuple(index.idx for index in mapped))
                if mapped and step not in seen:
                    seen.add(step)
                    steps.append((following, mapped))
                    waiting += [] if rigid else [(following, mapped)]
        merged: dict[Any, tuple[Any, dict[int, Any]]] = {}
        for dep, indices in steps:
            _, kept = merged.setdefault((dep.target, dep.handler), (dep, {}))
            for index in indices:
                kept.setdefault(index.idx, index.root_idx)
        group = self.pruning.Group()
        for dep, kept in merged.values():
            item = GroupItem(dep=dep, idxs=list(kept))
            item.root_idxs = list(kept.values())  # pyright: ignore[reportAttributeAccessIssue]
            group.items.append(item)
        group._DG = self.graph
        return group

    def again(self) -> None:
        """After channels went: where the parts of concatenations begin now."""
        self.pruning.dependency.index_mapping.update_index_mapping(self.graph)

    def _mapped(self, dep: Any, indices: list[Any], root: nn.Module) -> list[Any]:
        where = title(self.names[root], root)
        with foreign(f"the channels of layer {where} cannot be followed", CURE):
            for mapping in dep.index_mapping:
                if mapping is not None:
                    indices = mapping(indices)
        self.left -= len(indices)
        if self.left < 0:
            raise TrainmapError(
                f"the channels of layer {where} and of those before are followed through more than {MOST_INDICES:,} "
                f"places; {CURE}"
            )
        count = self.graph.get_out_channels if self.is_out(dep) else self.graph.get_in_channels
        width = count(dep.target)
        if indices and width is not None and not 0 <= max(index.idx for index in indices) < width:
            target = dep.target.module
            there = title(self.names[target], target) if target in self.names else "an operation"
            raise TrainmapError(
                f"the channels of layer {where} cannot be followed: {there} has {width}, but they would be more; {CURE}"
            )
        return indices

    def _rigid(self, model: nn.Module) -> dict[Any, tuple[nn.Module, str]]:
        """The nodes through which no channel may be taken out."""
        owners = {id(p): module for module in model.modules() for p in module._parameters.values() if p is not None}
        uses = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
        loose = {id(parameter) for parameter, _ in self.graph.unwrapped_parameters}
        found: dict[Any, tuple[nn.Module, str]] = {}
        for module, node in self.graph.module2node.items():
            if module in self.names:
                if why := _why_layer(module, uses):
                    found[node] = (module, f"{title(self.names[module], module)} {why}")
                continue
            for parameter, step in _parameters_into(node):
                owner = owners.get(id(parameter))
                if owner is None or (isinstance(owner, NARROWED) and owner in self.graph.module2node):
                    continue
                if not (id(parameter) in loose and step in ADDED and not type(owner).__module__.startswith("torch.")):
                    found[node] = (owner, f"{title(self.names[owner], owner)} cannot be made narrower")
        return found


def is_depthwise(module: _ConvNd) -> bool:
    return module.groups == module.out_channels == module.in_channels and module.groups > 1


def _why_layer(module: nn.Module, uses: Counter[int]) -> str | None:
    """What keeps a layer from being narrowed, if anything."""
    if not isinstance(module, NARROWED):
        return "cannot be made narrower"
    for name in ("weight", "bias"):
        held = getattr(module, name, None)
        if held is not None and is_made(module, name):
            return f"makes its {name} from other parameters; make it plain (remove_parametrizations) first"
        if held is not None and uses[id(held)] > 1:
            return f"shares its {name} with another layer"
    if isinstance(module, nn.LayerNorm) and (not module.elementwise_affine or len(module.normalized_shape) > 1):
        return "has no weight for each channel, which a file of weights would need"
    if isinstance(module, _ConvNd) and module.groups > 1 and not is_depthwise(module):
        if module.transposed:
            return "is transposed and has groups"
        if module.groups in (module.out_channels, module.in_channels):
            return "has a group for each input or output, but more of the others"
    return None


def _near(error: BaseException, names: dict[nn.Module, str]) -> str:
    """The layer before the operation at which the library failed, which its own words do not say."""
    trace, node = error.__traceback__, None
    while trace is not None:
        found = [value for value in trace.tb_frame.f_locals.values() if hasattr(value, "dependencies")]
        node, trace = (found[0] if found else node), trace.tb_next
    waiting, seen = [node] if node is not None else [], set()
    while waiting:
        node = waiting.pop(0)
        if node.module in names:
            return f" behind layer {title(names[node.module], node.module)}"
        waiting += [before for before in node.inputs if before not in seen]
        seen.update(node.inputs)
    return ""


def _operations(logits: Tensor) -> int:
    """How many operations a pass had, as autograd has recorded it; counted to just beyond the bound."""
    waiting, seen = [logits.grad_fn], set()
    while waiting and len(seen) <= MOST_OPERATIONS:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(following for following, _ in node.next_functions)
    return len(seen)


def _parameters_into(node: Any) -> Iterator[tuple[nn.Parameter, str]]:
    """The parameters that an operation takes, and what it is called: ``add``, ``addmm``, ..."""
    for following, _ in getattr(node.grad_fn, "next_functions", ()):
        if following is not None and hasattr(following, "variable"):
            yield following.variable, node.grad_fn.name().lower().partition("backward")[0]


__all__ = ["CURE", "MOST_INDICES", "MOST_OPERATIONS", "ROOTS", "Dependencies", "is_depthwise", "title"]
