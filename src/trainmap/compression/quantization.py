"""Eight-bit networks: after training with a calibration set, or trained for it, with torchao's PT2E.

The network is exported as a graph (any batch size), and observers learn the range of every activation from calibration
examples: which ones is the caller's choice, for example the ids of a selection. Weights are int8 with one scale for
each output channel, activations uint8 with one scale. The result computes what int8 kernels compute, in slow reference
operations; ``lower`` turns it into the kernels of an x86 CPU for one batch size.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from trainmap.compression.compressed import MISSING, Compressed, copy_of, counts, ranges_from
from trainmap.compression.dependencies import title
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.probe import check_same_shape, foreign, logits_of
from trainmap.models.weights import KINDS
from trainmap.modes import device_of
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import watching_of

CURE = "try quantize_onnx, or fewer channels"


def quantize(model: nn.Module, calibration: Dataset, *, batch: int = 64) -> Compressed:
    """Eight bits after training.

    Args:
        model: trained; left as it is. Computed on the CPU.
        calibration: the examples that the ranges are learnt from, in row order; some hundred.
        batch: examples at a time; no more than that are held.

    Returns:
        The graph; ``numbers`` has ``calibration_examples``, ``calibration``, the SHA-256 of their ids in row order,
        and ``float``, the weights that torchao leaves in single precision (if there are any): those of volumes,
        transposed convolutions, recurrent and bilinear layers, ``nn.MultiheadAttention``.

    Raises:
        TrainmapError: no calibration examples, weights or activations that are not finite, a network that torchao
            cannot follow or leaves in single precision as a whole.
    """
    pt2e = _library()
    network, inputs = copy_of(model), calibration.inputs
    x, numbers = ranges_from(calibration, batch, network)
    total, nonzero, flops = counts(network, inputs)
    before = logits_of(network, inputs)
    with foreign(f"{type(network).__name__} cannot be quantised", CURE):
        prepared = pt2e.prepare_pt2e(_graph(network, inputs), _quantizer(qat=False))
        with torch.inference_mode():
            for part in x.split(batch):
                prepared(part)
        made = _converted(pt2e, prepared)
    check_same_shape(made, before, inputs, "8 bits")
    words = f"int8 after training, calibrated on {len(calibration):,}"
    return Compressed(made, words, total, nonzero, flops, numbers=numbers | _left(network, made))


def train_quantized(
    model: nn.Module, train: Dataset, recipe: Recipe, *, seed: int, device: str | None = None, **options: Any
) -> Compressed:
    """Train further with eight-bit rounding in the forward pass (the gradient passes it by), then quantise.

    The ranges of the activations are moving averages over the training steps; evaluating on the way changes nothing.

    Args:
        model: trained; left as it is. A residual network whose last batch norm of a block starts at zero (as in timm,
            unless ``zero_init_last=False``) must be trained: folding a norm divides by its scale.
        train: the examples, such as ``data.train.subset(selection.ids)``.
        recipe, seed, device: as for ``fit`` (what comes back is on the CPU); a learning rate of a tenth or less of the
            original's is usual.
        options: more arguments of ``fit``, such as ``teaching``; ``watching`` may be a function of the network that is
            trained, which rounds.

    Raises:
        TrainmapError: a batch norm whose scale is exactly zero, and what ``quantize`` raises.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.
    """
    pt2e = _library()
    network, device = copy_of(model), device or device_of(model)
    check_scales(network)
    total, nonzero, flops = counts(network, train.inputs)
    before = logits_of(network, train.inputs)
    with foreign(f"{type(network).__name__} cannot be trained with rounding", CURE):
        graph = _graph(network.to(device).train(), train.inputs, device)
        prepared = _Prepared(pt2e.prepare_qat_pt2e(graph, _quantizer(qat=True)))
    options["watching"] = watching_of(options.get("watching"), prepared)
    result = fit(prepared, train, recipe, seed=seed, device=device, **options)
    with foreign(f"{type(network).__name__} cannot be quantised", CURE):
        made = _converted(pt2e, prepared.cpu().eval().graph)
    check_same_shape(made, before, train.inputs, "8 bits")
    words = f"int8, {recipe.epochs} epochs on {len(train):,} with rounding"
    return Compressed(
        made,
        words,
        total,
        nonzero,
        flops,
        training_flops=result.all_flops,
        numbers={"bits": 8} | _left(network, made),
        tuning=result,
    )


def check_scales(model: nn.Module) -> None:
    """Whether the norms of a network can be folded into its convolutions, as training with rounding does.

    Raises:
        TrainmapError: a batch norm whose scale is exactly zero.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine and bool((module.weight == 0).any()):
            raise TrainmapError(
                f"{name}: a batch norm's scale is exactly 0, and folding it divides by it; "
                "train the network first, or build it with zero_init_last=False"
            )


def _left(network: nn.Module, made: torch.fx.GraphModule) -> dict[str, list[str]]:
    """The layers that torchao leaves in single precision (volumes, transposed, recurrent and bilinear layers, ...).

    Raises:
        TrainmapError: it leaves all of them.
    """
    state = made.state_dict()
    left = [
        f"{name}.{weight}"
        for name, module in network.named_modules()
        for weight, _ in module.named_parameters(recurse=False)
        if isinstance(module, tuple(KINDS)) and getattr(state.get(f"{name}.{weight}"), "ndim", 0) > 1
    ]
    if not any(tensor.dtype == torch.int8 for tensor in state.values()):
        layers = dict(network.named_modules())
        names = dict.fromkeys(one.rpartition(".")[0] for one in left)
        told = ", ".join(title(name, layers[name]) for name in list(names)[:3]) or type(network).__name__
        raise TrainmapError(f"no weight can be kept in 8 bits: torchao leaves {told} in single precision; {CURE}")
    return {"float": left} if left else {}


def lower(graph: torch.fx.GraphModule, x: Tensor) -> torch.fx.GraphModule:
    """A quantised graph as the int8 kernels of an x86 CPU, for batches of the shape of ``x`` alone."""
    from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86

    with torch.no_grad():
        return lower_pt2e_quantized_to_x86(graph, (x,))


def graph_of(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """The quantised graph of such a program, in eval mode for good."""
    return _as_it_is(program.module(), training=False)  # pyright: ignore[reportArgumentType]


def program_of(graph: torch.fx.GraphModule, inputs: Inputs) -> torch.export.ExportedProgram:
    """A quantised graph as the program that ``torch.export.save`` writes; takes any batch size."""
    return torch.export.export(graph, (inputs.example(2),), dynamic_shapes=_any_batch())


class _Prepared(nn.Module):
    """A graph under quantisation-aware training, whose observers look on in train mode alone."""

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        super().__init__()
        from torchao.quantization.pt2e import allow_exported_model_train_eval

        targets = {str(node.target) for node in graph.graph.nodes}
        changes = any(word in target for target in targets for word in ("dropout", "batch_norm"))
        self.graph = allow_exported_model_train_eval(graph) if changes else _as_it_is(graph, training=True)
        self.learning = [parameter for parameter in graph.parameters() if parameter.requires_grad]
        self.train(True)

    def train(self, mode: bool = True) -> _Prepared:
        from torchao.quantization.pt2e import disable_observer, enable_observer

        self.training = mode
        self.graph.train(mode)
        self.graph.apply(enable_observer if mode else disable_observer)
        for parameter in self.learning:  # torch's counter of FLOPs cannot follow a weight that is a module's input
            parameter.requires_grad_(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x)


def _graph(model: nn.Module, inputs: Inputs, device: str = "cpu") -> torch.fx.GraphModule:
    example = inputs.example(2, device)
    return torch.export.export(model, (example,), dynamic_shapes=_any_batch(), strict=True).module()  # pyright: ignore[reportReturnType]


def _any_batch() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim.DYNAMIC},)


def _quantizer(qat: bool) -> Any:
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    return x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config(is_qat=qat))


def _converted(pt2e: Any, prepared: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The int8 graph, without the float weights that it no longer uses."""
    graph = pt2e.convert_pt2e(prepared)
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name, tensor in list(graph.state_dict().items()):
        owner, _, leaf = name.rpartition(".")
        module = graph.get_submodule(owner)
        delattr(module, leaf)
        if name in used:  # a copy: what is left of the observers' larger tensors would be written to the file
            module.register_buffer(leaf, tensor.detach().clone(memory_format=torch.contiguous_format))
    return _as_it_is(graph, training=False)


def _as_it_is(graph: torch.fx.GraphModule, training: bool) -> torch.fx.GraphModule:
    """A graph that ``train`` and ``eval`` leave alone. torch's refuse an exported graph, and torchao's rewrite dropout
    and norms, by exporting a dozen patterns each time (4 s for a ``predict``); a converted graph is to stay in eval."""
    for name in ("train", "eval"):
        setattr(graph, name, MethodType(lambda self, *_: self, graph))
    for module in graph.modules():
        module.training = training
    return graph


def _library() -> Any:
    try:
        from torchao.quantization.pt2e import quantize_pt2e
    except ImportError as error:
        raise TrainmapError(MISSING) from error
    return quantize_pt2e
