"""The task that makes a trained student smaller and judges what is left, and how each way is done.

It is tuned and calibrated on the examples that the student was trained on: a subset chosen by a map stays the whole
training set of all that comes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainmap.checksums import read_sealed
from trainmap.compression.compressed import Compressed, uncompressed
from trainmap.compression.measure import finetune
from trainmap.compression.network_files import save, suffix
from trainmap.compression.onnx_files import quantize_onnx
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.compression.pruning import prune_channels
from trainmap.compression.quantization import quantize, train_quantized
from trainmap.compression.sparsity import sparsify, zero_smallest
from trainmap.data.dataset import Dataset
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.judge import judged, prediction_path, weighs
from trainmap.experiments.nodes import data_of, fixed_ids, load_network
from trainmap.files import reading
from trainmap.training.recipes import Recipe

CALIBRATION = 512


def compressed_run(config: dict[str, Any]) -> dict[str, Any]:
    """Make a student smaller and judge it; keeps ``compressed.pt`` (``.pt2``, ``.onnx``) and ``predictions/``.

    Args:
        config: ``data``, ``model``, ``recipe``, ``seed``, ``device``, ``subset``, ``evaluation`` of the student,
            ``student`` (hash), ``compress`` (a way and all its options); ``where``: ``out``, ``student`` and
            ``selection`` (folders), and if wanted ``data_root``.

    Returns:
        The metrics, what the network weighs (``weighs``), ``agreement`` with the student on the test data, and the
        costs: those of the student and of making it smaller together, ``compress_...`` the latter alone.
    """
    data, folder, out = data_of(config), Path(config["where"]["student"]), Path(config["where"]["out"])
    ids = fixed_ids(config, data.train)
    train = data.train if ids is None else data.train.subset(ids)
    original = uncompressed(load_network(config, folder, train), train.inputs)
    how, seed, device = config["compress"], config["seed"], config["device"]
    start, cpu = time.perf_counter(), time.process_time()
    made = WAYS[how["method"]](original, train, Recipe(**config["recipe"]), how, seed, device)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    save(made, out / f"compressed{suffix(made.model)}", train.inputs)
    fixed = isinstance(made.model, OnnxNetwork | torch.fx.GraphModule)  # computed on the CPU
    row = judged(config | ({"device": "cpu"} if fixed else {}), made.model, data, keep=True)
    before, after = (Predictions.open(prediction_path(place, "test")).predicted for place in (folder, out))
    trained = read_sealed(folder / "row.json", "row of a student", "run it again")
    epochs = how.get("finetune_epochs", 0)
    with reading(folder / "row.json", "row of a student", "run it again"):
        row |= {key: trained[key] for key in ("examples", "steps", "train_loss")}
    row |= {key: trained[key] for key in ("fraction", "proxy_flops") if key in trained}
    return row | {
        "examples_seen": trained["examples_seen"] + epochs * len(train),
        "train_flops": trained["train_flops"] + made.training_flops,
        "train_seconds": trained["train_seconds"] + seconds,
        "train_cpu_seconds": trained["train_cpu_seconds"] + cpu_seconds,
        "compress_flops": made.training_flops,
        "compress_seconds": seconds,
        "compress_cpu_seconds": cpu_seconds,
        "agreement": float((before == after).mean()),
        **weighs(made, train.inputs),
    }


Options = Mapping[str, Any]


def _channels(original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str) -> Compressed:
    chosen = {"importance": how["importance"], "round_to": how["round_to"]}
    pruned = prune_channels(original.model, train.inputs, how["ratio"], seed=seed, device=device, **chosen)
    return _tuned(pruned, train, recipe, how, seed, device)


def _magnitude(
    original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str
) -> Compressed:
    zeroed = zero_smallest(original.model, train.inputs, how["sparsity"])
    return _tuned(zeroed, train, recipe, how, seed, device)


def _sparsify(original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str) -> Compressed:
    return sparsify(original.model, train, _slower(recipe, how), how["sparsity"], seed=seed, device=device)


def _int8(original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str) -> Compressed:
    return quantize(original.model, _some(train, seed))


def _int8_trained(
    original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str
) -> Compressed:
    return train_quantized(original.model, train, _slower(recipe, how), seed=seed, device=device)


def _int8_onnx(
    original: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str
) -> Compressed:
    return quantize_onnx(original.model, _some(train, seed))


def _tuned(pruned: Compressed, train: Dataset, recipe: Recipe, how: Options, seed: int, device: str) -> Compressed:
    if not how["finetune_epochs"]:
        return pruned
    return finetune(pruned, train, _slower(recipe, how), seed=seed, device=device)


def _slower(recipe: Recipe, how: Options) -> Recipe:
    return replace(recipe, epochs=how["finetune_epochs"], peak_lr=recipe.peak_lr * how["rate"])


def _some(train: Dataset, seed: int) -> Dataset:
    """At most ``CALIBRATION`` of the examples, at random."""
    return train.subset(np.random.default_rng(seed).permutation(np.sort(train.ids))[:CALIBRATION])


WAYS: dict[str, Callable[[Compressed, Dataset, Recipe, Options, int, str], Compressed]] = {
    "prune-channels": _channels,
    "magnitude": _magnitude,
    "sparsify": _sparsify,
    "int8": _int8,
    "int8-trained": _int8_trained,
    "int8-onnx": _int8_onnx,
}
