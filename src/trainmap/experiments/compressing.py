"""The task that makes a trained student smaller and judges what is left.

It is tuned and calibrated on the examples that the student was trained on: a subset chosen by a map stays the whole
training set of all that comes of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from trainmap.checksums import read_sealed
from trainmap.compression.compressed import uncompressed
from trainmap.compression.network_files import save, suffix
from trainmap.compression.onnx_network import OnnxNetwork
from trainmap.compression.ways import WAYS
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.judge import judged, prediction_path, weighs
from trainmap.experiments.nodes import data_of, fixed_ids, load_network
from trainmap.files import reading
from trainmap.training.recipes import Recipe


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
    way = WAYS[how["method"]](**{name: value for name, value in how.items() if name != "method"})
    made = way.make(original, train, Recipe(**config["recipe"]), seed, device)
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
