"""One dataset, one network, four frameworks: do the maps agree as well as two seeds of one framework do?

    python benchmarks/four_frameworks.py                  # about a minute on 2 cores

scikit-learn's digits (1,797 examples), 64-64-10 with ReLU, plain gradient descent at 0.1, batches of 32, 15 epochs,
from initial weights of a seed that are the same everywhere; each framework shuffles in its own way. Rank agreement
(Spearman) of two recordings: of one framework with different seeds (the mean over its pairs of seeds; n frameworks),
and of two frameworks (the mean over their pairs of seeds; n pairs of frameworks). 95 % intervals, Student's t.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats
from sklearn.datasets import load_digits

import trainmap as tm

QUIET: Any = 0  # Keras calls it a text and takes a number

EPOCHS, BATCH, RATE = 15, 32, 0.1
Weights = list[Any]
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)


def initial(seed: int) -> Weights:
    """Two layers by Glorot's uniform rule: (64, 64), (64,), (64, 10), (10,)."""
    generator, found = np.random.default_rng(seed), []
    for before, after in ((64, 64), (64, 10)):
        edge = (6 / (before + after)) ** 0.5
        found += [generator.uniform(-edge, edge, (before, after)).astype(np.float32), np.zeros(after, np.float32)]
    return found


def torch_network(weights: Weights) -> Any:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value.T))
    return network


def loader(seed: int) -> Any:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    pairs = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return DataLoader(pairs, batch_size=BATCH, shuffle=True, generator=torch.Generator().manual_seed(seed))


def plain(folder: Path, seed: int) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    network, batches = torch_network(initial(seed)), tm.with_ids(loader(seed))
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    with tm.Recorder(folder, 10) as recorder:
        for _ in range(EPOCHS):
            for ids, images, labels in batches:
                logits = network(images)
                optimizer.zero_grad()
                cross_entropy(logits, labels).backward()
                optimizer.step()
                recorder.update(ids, logits, labels)
            recorder.end_epoch()


def lightning(folder: Path, seed: int) -> None:
    import pytorch_lightning as pl
    import torch
    from torch.nn.functional import cross_entropy

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch_network(initial(seed))

        def training_step(self, batch: Any, number: int) -> Any:
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=RATE)

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    recorder = tm.LightningRecorder(folder, logits="net")
    trainer = pl.Trainer(
        max_epochs=EPOCHS, callbacks=[recorder], accelerator="cpu", enable_model_summary=False, **quiet
    )
    trainer.fit(Module(), loader(seed))


def keras(folder: Path, seed: int) -> None:
    import keras as k

    k.utils.set_random_seed(seed)
    network = k.Sequential([k.Input((64,)), k.layers.Dense(64, "relu"), k.layers.Dense(10)])
    network.set_weights(initial(seed))
    network.compile(k.optimizers.SGD(RATE), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    tm.KerasRecorder(network, folder)
    network.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=QUIET)


def jax(folder: Path, seed: int) -> None:
    import jax as j
    import optax

    @j.jit
    def step(weights: Weights, images: Any, labels: Any) -> Any:
        def loss_of(weights: Weights) -> Any:
            logits = j.nn.relu(images @ weights[0] + weights[1]) @ weights[2] + weights[3]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

        gradient, logits = j.grad(loss_of, has_aux=True)(weights)
        return j.tree.map(lambda one, slope: one - RATE * slope, weights, gradient), logits

    weights, generator = initial(seed), np.random.default_rng(seed)
    with tm.JaxRecorder(folder, 10) as recorder:
        for _ in range(EPOCHS):
            order = generator.permutation(len(y))
            for start in range(0, len(y), BATCH):
                ids = order[start : start + BATCH]
                weights, logits = step(weights, x[ids], y[ids])
                recorder.update(ids, logits, y[ids])
            recorder.end_epoch()


FRAMEWORKS: dict[str, Callable[[Path, int], None]] = {
    "torch": plain, "Lightning": lightning, "Keras": keras, "JAX": jax,
}  # fmt: skip


def told(values: list[float]) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} ± {half:.3f} (n = {len(values)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, train in FRAMEWORKS.items():
            for seed in range(arguments.seeds):
                folder = Path(scratch) / f"{name}-{seed}"
                train(folder, seed)
                found[name, seed] = tm.compute(tm.Dynamics.open(folder), ["confidence", "variability"])
                print(f"{name}, seed {seed}: mean confidence {found[name, seed]['confidence'].mean():.4f}", flush=True)
    seeds = range(arguments.seeds)
    print("\n| | confidence | variability |\n|---|---|---|")
    for title, pairs, of_seeds in (
        ("one framework, two seeds", [(name, name) for name in FRAMEWORKS], list(combinations(seeds, 2))),
        ("two frameworks, two seeds", list(combinations(FRAMEWORKS, 2)), list(permutations(seeds, 2))),
        ("two frameworks, the same initial weights", list(combinations(FRAMEWORKS, 2)), [(s, s) for s in seeds]),
    ):
        cells = [
            told([
                float(np.mean([stats.spearmanr(found[a, s][score], found[b, t][score])[0] for s, t in of_seeds]))  # pyright: ignore
                for a, b in pairs
            ])
            for score in ("confidence", "variability")
        ]  # fmt: skip
        print(f"| {title} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
