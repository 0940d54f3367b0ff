"""Scores that need gradients: GraNd and VoG. A pass of their own over trained networks, not part of a recording.

Logits do not hold them, so they cost what the recorder avoids: a forward and a backward pass of every example for each
network. Add them to a map by ``datamap.with_scores(dataset.ids, {"grand": values})``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import as_tensor, to_input
from trainmap.errors import TrainmapError, unknown
from trainmap.modes import device_of, evaluating

Parameters = Literal["last", "all"]

BATCH = 500
EXAMPLES = 4096
"""How many examples' saliency maps are in memory at a time (VoG)."""
GRADIENT_BYTES = 256 << 20
"""How much the gradients of one chunk of examples may take (GraNd, ``parameters="all"``)."""


def grand(
    model: nn.Module, dataset: Dataset, parameters: Parameters = "last", device: str | None = None
) -> NDArray[np.float64]:
    """GraNd: the length of the gradient of each example's cross entropy, || d loss / d parameters ||_2.

    Args:
        model: takes the dataset's form of input, gives (B, C). Used in eval mode, so that batch normalisation does
            not mix examples, and left in the mode it came in.
        dataset: N examples.
        parameters: ``"last"``: weight and bias of the last layer, exact at the cost of a forward pass, because the
            gradient there is (p - onehot(y)) h^T with h the layer's input. ``"all"``: every parameter that requires a
            gradient; a backward pass for each example, in chunks.
        device: where to compute, and the model is moved to; None: where it is.

    Returns:
        (N,) float64, 0 or more, rows as in the dataset. High is hard.

    Raises:
        TrainmapError: ``"last"`` and a model whose logits do not come out of an ``nn.Linear``.

    Source: Paul et al. 2021, arXiv:2107.07075, section 2.1, early in training and averaged over about ten
        initialisations (average the values yourself). Differs: not at initialisation, where the paper's figures could
        not be reproduced (Kirsch 2023, arXiv:2303.14753).
    """
    if parameters not in get_args(Parameters):
        raise unknown("choice of parameters", str(parameters), get_args(Parameters))
    norms = _last_layer if parameters == "last" else _all_parameters
    device = device or device_of(model)
    with evaluating(model.to(device)):
        return torch.cat(list(norms(model, dataset, device))).cpu().numpy().astype(np.float64)


def _last_layer(model: nn.Module, dataset: Dataset, device: str) -> Iterator[Tensor]:
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        assert isinstance(layer, nn.Linear)
        calls.append((layer, inputs[0], output))

    hooks = [layer.register_forward_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    try:
        with torch.inference_mode():
            for x, labels in _batches(dataset, device):
                calls.clear()
                logits = model(x)
                layer, features = next(
                    ((layer, features) for layer, features, output in calls if output is logits), (None, logits)
                )
                if layer is None or features.ndim != 2:
                    raise TrainmapError(
                        "parameters='last' needs a model whose logits are the output of an nn.Linear on (B, features); "
                        "this one's are not: use parameters='all'"
                    )
                error = logits.double().softmax(dim=1)
                error[torch.arange(len(labels), device=labels.device), labels] -= 1
                squares = features.double().square().sum(dim=1) + (layer.bias is not None)
                yield error.norm(dim=1) * squares.sqrt()
    finally:
        for hook in hooks:
            hook.remove()


def _all_parameters(model: nn.Module, dataset: Dataset, device: str) -> Iterator[Tensor]:
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    fixed = {name: value.detach() for name, value in model.named_parameters() if not value.requires_grad}
    state = fixed | {name: value.detach() for name, value in model.named_buffers()}
    if not trained:
        raise TrainmapError("the model has no parameter that requires a gradient")

    def loss(parameters: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, parameters | state, (x[None],))
        return nn.functional.cross_entropy(logits, label[None])

    gradient: Callable[..., dict[str, Tensor]] = vmap(grad(loss), in_dims=(None, 0, 0))
    chunk = max(1, GRADIENT_BYTES // (4 * sum(value.numel() for value in trained.values())))
    for x, labels in _batches(dataset, device, min(chunk, BATCH)):
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no gradient for each example
            parts = gradient(trained, x, labels).values()
        yield torch.stack([part.double().flatten(1).square().sum(dim=1) for part in parts]).sum(dim=0).sqrt()


def vog(
    models: Sequence[nn.Module], dataset: Dataset, per_class: bool = True, device: str | None = None
) -> NDArray[np.float64]:
    """Variance of gradients: how much the saliency of each example moves from checkpoint to checkpoint.

    With S_k (H, W) the gradient of the gold class's logit by the pixels at checkpoint k, averaged over the channels
    (features: the gradient (D,) as it is): mean over pixels of sqrt((1/K) sum_k (S_k - mean_k S)^2), and then (value -
    mean of its class) / standard deviation of its class.

    Args:
        models: K checkpoints of one run, at least 2, each taking the dataset's form of input. Used in eval mode.
        dataset: N examples.
        per_class: normalise by class, as in the paper (population standard deviation). False: the plain value.
        device: where to compute, and the models are moved to; None: where each of them is.

    Returns:
        (N,) float64, rows as in the dataset; 0 or more without ``per_class``. High is hard. With it, NaN for the
        examples of a class that have all the same value (a class of one example, say).

    Raises:
        TrainmapError: fewer than two checkpoints, or tokens, which have no gradient.

    Source: Agarwal et al. 2022, arXiv:2008.11600, section 2. Differs: the authors' toy script takes the gradient of
        the probability, the paper and its image scripts that of the logit, as here.
    """
    if len(models) < 2:
        raise TrainmapError(f"vog needs at least 2 checkpoints to see a variance, got {len(models)}")
    values = np.concatenate(
        [
            _spread(models, dataset.subset(dataset.ids[start : start + EXAMPLES]), device)
            for start in range(0, max(1, len(dataset)), EXAMPLES)
        ]
    )
    return _by_class(values, dataset.y) if per_class else values


def _spread(models: Sequence[nn.Module], dataset: Dataset, device: str | None) -> NDArray[np.float64]:
    """mean over pixels of the saliency's standard deviation over the checkpoints (Welford), (N,)."""
    sides = dataset.inputs.shape[-2:]  # (H, W) of pixels, (D,) of features
    mean = np.zeros((len(dataset), *sides))
    squares = np.zeros_like(mean)
    for count, model in enumerate(models, start=1):
        deviation = input_gradients(model, dataset, device) - mean
        mean += deviation / count
        squares += deviation**2 * ((count - 1) / count)
    return np.sqrt(squares / len(models)).mean(axis=tuple(range(1, mean.ndim)))


def input_gradients(model: nn.Module, dataset: Dataset, device: str | None = None) -> NDArray[np.float64]:
    """The gradient of the gold class's logit by the pixels (as the network gets them), averaged over the channels.

    Returns:
        (N, H, W) float64; (N, D) for features.
    """
    if dataset.inputs.form == "tokens":
        raise TrainmapError(f"{dataset.name} has tokens, which no gradient leads to; use pixels or features")
    parts: list[Tensor] = []
    device = device or device_of(model)
    with evaluating(model.to(device)), torch.enable_grad():
        for x, labels in _batches(dataset, device):
            x = x.detach().requires_grad_(True)
            gold = model(x).gather(1, labels[:, None]).sum()
            slopes = torch.autograd.grad(gold, x)[0]
            parts.append(slopes.mean(dim=1) if slopes.ndim == 4 else slopes)
    return torch.cat(parts).cpu().numpy().astype(np.float64)


def _by_class(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.full(len(values), np.nan)
    for label in np.unique(labels):
        here = labels == label
        mean, deviation = values[here].mean(), values[here].std()
        if deviation > 0:
            out[here] = (values[here] - mean) / deviation
    return out


def _batches(dataset: Dataset, device: str, batch: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
    if len(dataset) == 0:
        raise TrainmapError(f"nothing to score: the dataset '{dataset.name}' has no examples")
    examples, labels = as_tensor(dataset.x, device), as_tensor(dataset.y, device)
    for part, gold in zip(examples.split(batch), labels.split(batch), strict=True):
        yield to_input(part), gold
