"""Fine-tuning what was compressed, and one table for all of it.

Every step (``prune_channels``, ``zero_smallest``, ``sparsify``, ``quantize``, ``train_quantized``, ``quantize_onnx``)
takes a trained network, leaves it as it is, and returns a ``Compressed``. A smaller architecture is ``uncompressed``
of another model, so it stands in the same table.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainmap.compression.compressed import Compressed, copy_of, counts, uncompressed
from trainmap.compression.latency import paired_latency
from trainmap.compression.network_files import file_of
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.compression.quantization import lower
from trainmap.compression.sparsity import fix_zeros, free_zeros
from trainmap.data.dataset import Dataset
from trainmap.data.inputs import to_input
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.layout import is_convolutional
from trainmap.models.predict import predict
from trainmap.modes import device_of
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import watching_of

__all__ = ["Compressed", "Measured", "finetune", "measure", "uncompressed"]


@dataclass(frozen=True)
class Measured:
    """One row of the table; fractions are 0 to 1.

    Attributes:
        name, method: which network, and what was done to it.
        parameters, nonzero, flops, training_flops: as in ``Compressed``.
        bytes: of the file that ``save`` writes.
        zipped_bytes: of that file under zlib, where zeros weigh next to nothing.
        cpu_seconds: median over the repeats, per example.
        speed_up: median over the repeats of the first row's time / this one's, measured next to each other.
        accuracy, macro_f1: on the test data.
        agreement: the share of the test data where it predicts what the first row predicts.
    """

    name: str
    method: str
    parameters: int
    nonzero: int
    flops: int
    training_flops: int
    bytes: int
    zipped_bytes: int
    cpu_seconds: float
    speed_up: float
    accuracy: float
    macro_f1: float
    agreement: float


def finetune(
    compressed: Compressed, train: Dataset, recipe: Recipe, *, seed: int, device: str | None = None, **options: Any
) -> Compressed:
    """Train a pruned network further; weights that sparsity made zero stay zero.

    Args:
        compressed: of a pruning step (what is quantised has no gradient: ``train_quantized`` trains before that).
        train: the examples, such as ``data.train.subset(selection.ids)``.
        recipe, seed, device: as for ``fit`` (what comes back is on the CPU); a learning rate of a tenth or less of the
            original's is usual.
        options: more arguments of ``fit``, such as ``teaching``; ``watching`` may be a function of the network that is
            trained, which is a copy.

    Raises:
        TrainmapError: a network that cannot be trained.
    """
    if isinstance(compressed.model, OnnxNetwork | torch.fx.GraphModule):
        raise TrainmapError(
            f"'{compressed.method}' cannot be trained; prune and fine-tune first, or use train_quantized"
        )
    model, fixed = copy_of(compressed.model), "sparsity" in compressed.numbers
    device = device or device_of(compressed.model)
    if fixed:
        fix_zeros(model)
    options["watching"] = watching_of(options.get("watching"), model)
    result = fit(model, train, recipe, seed=seed, device=device, **options)
    if fixed:
        free_zeros(model)
    model.cpu()
    total, nonzero, flops = counts(model, train.inputs)
    length = f"{recipe.epochs} epochs" if options.get("steps") is None else f"{result.steps} steps"
    return replace(
        compressed,
        model=model,
        method=f"{compressed.method}, {length} on {len(train):,}",
        parameters=total,
        nonzero=nonzero,
        flops=flops,
        training_flops=compressed.training_flops + result.all_flops,
        tuning=result,
    )


def measure(
    networks: Mapping[str, Compressed],
    test: Dataset,
    *,
    batch: int = 64,
    repeats: int = 21,
    calls: int = 1,
    logits: Mapping[str, NDArray[np.floating]] | None = None,
) -> list[Measured]:
    """One row for each network, all measured in this process on the CPU; the others are compared with the first.

    In each repeat every network predicts the same batch once (``calls`` times), one after the other, so that a slow
    moment of the machine meets them all. CPU time of all threads; set ``torch.set_num_threads(1)`` for one.

    Args:
        networks: names in order, the original first.
        test: examples with labels; its first ``batch`` examples are the batch that is timed.
        batch: examples in a timed call.
        repeats: timed rounds, after one that is not counted.
        calls: predictions in a round; more for networks of microseconds.
        logits: name → (N, C) on ``test``, where they are known already.

    Raises:
        TrainmapError: no networks, or sizes below 1.
    """
    if not networks or min(batch, repeats, calls) < 1:
        raise TrainmapError(f"measure needs a network and sizes of at least 1, got {len(networks)} networks")
    known = dict(logits or {})
    known |= {name: predict(one.model, test) for name, one in networks.items() if name not in known}
    x = inputs_batch(test, batch)
    timed = {name: runnable(one.model, x) for name, one in networks.items()}
    latency = paired_latency(timed, x, threads=torch.get_num_threads(), repeat=repeats, warmup=1, calls=calls)
    first, *_ = networks
    rows = []
    for (name, one), took in zip(networks.items(), latency.iter_rows(named=True), strict=True):
        metrics = evaluate(known[name], test.y)
        kept = file_of(one.model, test.inputs)
        rows.append(
            Measured(
                name=name,
                method=one.method,
                parameters=one.parameters,
                nonzero=one.nonzero,
                flops=one.flops,
                training_flops=one.training_flops,
                bytes=len(kept),
                zipped_bytes=len(zlib.compress(kept)),
                cpu_seconds=took["seconds"],
                speed_up=1 / took["ratio"],
                accuracy=metrics.accuracy,
                macro_f1=metrics.macro_f1,
                agreement=float((known[name].argmax(axis=1) == known[first].argmax(axis=1)).mean()),
            )
        )
    return rows


def inputs_batch(dataset: Dataset, batch: int) -> Tensor:
    """The first ``batch`` examples as a network takes them."""
    return to_input(torch.from_numpy(dataset.x[:batch].copy()))


def runnable(model: nn.Module, x: Tensor) -> Callable[[Tensor], object]:
    """What is timed: a network as ``fit`` and ``predict`` lay it out, a quantised graph as the int8 kernels of this CPU
    for batches like ``x``."""
    if isinstance(model, torch.fx.GraphModule):
        lowered = lower(model, x)
        return lambda batch: lowered(batch)  # no module, whose mode would be set
    if not is_convolutional(model) or x.ndim != 4:
        return model.eval() if device_of(model) == "cpu" else copy_of(model)
    # A copy: tuned networks are laid out so already, and would look faster than the others for that alone.
    laid_out = copy_of(model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return lambda batch: laid_out(batch.to(memory_format=torch.channels_last))
