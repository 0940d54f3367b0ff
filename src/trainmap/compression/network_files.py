"""Compressed networks as files: what they weigh on disk is the size of these."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from trainmap.checksums import check_zip, onnx_sealed
from trainmap.compression.compressed import Compressed
from trainmap.compression.dependencies import is_depthwise
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.compression.quantization import graph_of, program_of
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.files import reading, writing
from trainmap.training.state_file import load_state


def save(compressed: Compressed, path: str | Path, inputs: Inputs) -> Path:
    """Write the network to a file, atomically.

    ``.pt`` (the weights of a network in plain torch: ``load_weights`` reads it), ``.pt2`` (the graph of PT2E
    quantisation, with its weights: ``load_graph`` reads it) or ``.onnx``.

    Raises:
        TrainmapError: the name does not end as this kind of network must.
    """
    target, ending = Path(path), suffix(compressed.model)
    if target.suffix != ending:
        raise TrainmapError(f"'{compressed.method}' is kept in a {ending} file, got {target.name}")
    with writing(target) as handle:
        handle.write(file_of(compressed.model, inputs))
    return target


def suffix(model: nn.Module) -> str:
    """How the name of this network's file ends."""
    if isinstance(model, OnnxNetwork):
        return ".onnx"
    return ".pt2" if isinstance(model, torch.fx.GraphModule) else ".pt"


def file_of(model: nn.Module, inputs: Inputs) -> bytes:
    """The bytes of the network's file."""
    if isinstance(model, OnnxNetwork):
        return onnx_sealed(model.content)
    content = io.BytesIO()
    if isinstance(model, torch.fx.GraphModule):
        torch.export.save(program_of(model, inputs), content)
    else:
        torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, content)
    return content.getvalue()


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Give ``model`` the weights of a ``.pt`` file and, where channels were pruned, its shapes; in place, in eval mode.

    Args:
        model: freshly built as the original was: ``build(name, classes, inputs, seed)``.
        path: what ``save`` wrote.

    Raises:
        TrainmapError: the file is missing, no such file, or of another architecture.
    """
    state = load_state(path, "file of weights", "save it again")
    mine = model.state_dict()
    if not isinstance(state, dict) or state.keys() != mine.keys():
        raise TrainmapError(f"{path} holds the weights of another architecture; build the one that was saved")
    if wrong := [name for name in mine if not _like(mine[name], state[name])]:
        raise TrainmapError(f"{path} holds the weights of another architecture ({wrong[0]} differs)")
    with reading(path, "file of weights of this network", "build the one that was saved"):
        _put(model, state)
    return model.eval()


def load_graph(path: str | Path) -> torch.fx.GraphModule:
    """The quantised network of a ``.pt2`` file; it predicts and cannot be trained.

    Raises:
        TrainmapError: the file is missing, damaged, or no such file.
    """
    file, what, cure = Path(path), "file of a quantised network", "save it again"
    check_zip(file, what, cure)
    with reading(file, what, cure):
        return graph_of(torch.export.load(file))


def _like(mine: Any, other: Any) -> bool:
    return isinstance(other, Tensor) and other.ndim == mine.ndim and other.dtype == mine.dtype


def _put(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Give every layer its tensors, and its sizes theirs."""
    for name, module in model.named_modules():
        own = {key: state[f"{name}.{key}" if name else key] for key, _ in _own_tensors(module)}
        for key, tensor in _own_tensors(module):
            kind = nn.Parameter(own[key], tensor.requires_grad) if isinstance(tensor, nn.Parameter) else own[key]
            setattr(module, key, kind)
        for key in [key for key in ("weight", "running_mean") if key in own][:1]:
            _set_sizes(module, own[key].shape)
    set_attention_sizes(model)


def set_attention_sizes(model: nn.Module) -> None:
    """Make the sizes that attention layers (timm's) keep as numbers those of their projections."""
    module: Any
    for module in model.modules():
        qkv = getattr(module, "qkv", None)
        if isinstance(qkv, nn.Linear) and isinstance(getattr(module, "head_dim", None), int):
            module.attn_dim = qkv.out_features // 3
            module.head_dim = qkv.out_features // (3 * module.num_heads)


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    buffers = [(key, tensor) for key, tensor in module.named_buffers(recurse=False)]
    kept = {key for key in module.state_dict(keep_vars=True) if "." not in key}
    return [(key, tensor) for key, tensor in [*module.named_parameters(recurse=False), *buffers] if key in kept]


def _set_sizes(module: nn.Module, shape: torch.Size) -> None:
    """The numbers that a layer keeps beside its weight (or, without one, its running mean)."""
    if isinstance(module, _ConvNd):
        if is_depthwise(module):
            module.groups = shape[0]
        before, after = (shape[0], shape[1]) if module.transposed else (shape[1], shape[0])
        module.in_channels = before * (1 if module.transposed else module.groups)
        module.out_channels = after * (module.groups if module.transposed else 1)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, _NormBase):
        module.num_features = shape[0]
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shape[0]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = shape[0]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = shape
