"""What each way of compression costs in accuracy and saves in size and time, and what it forgets. Fashion-MNIST.

    python benchmarks/compression.py --data-root /usr/share/datasets/fashion-mnist      # tables: docs/compression.md

For each network and seed: train it on part of the training set, compress it in each way, and judge everything on the
whole test set. The map that chooses examples, and the other seed that churn is compared with, come from the next seed's
training of the same network; the regions of the test set from the one after that (a network's own errors would make the
examples hard that it is then seen to change). Latency: CPU time on one thread of a batch of 64, all networks in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

import trainmap as tm
from trainmap.compression.compressed import Compressed, uncompressed
from trainmap.compression.measure import finetune, measure
from trainmap.compression.onnx_files import export_onnx, quantize_onnx
from trainmap.compression.pruning import prune_channels
from trainmap.compression.quantization import quantize, train_quantized
from trainmap.compression.sparsity import sparsify, zero_smallest
from trainmap.data.dataset import Dataset, load_splits
from trainmap.evaluation.flips import flips
from trainmap.evaluation.metrics import evaluate
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.results.statistics import interval
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe, default_recipe
from trainmap.training.watching import Watching

CALIBRATION = 128
SMALLER = {"cnn-16": "cnn-8", "resnet8-16": "resnet8-8"}


@dataclass(frozen=True)
class Base:
    """A trained network, the map of its training set, and the regions of the test set."""

    model: nn.Module
    train_map: tm.DataMap
    test_regions: dict[int, str | None]


def trained(name: str, train: Dataset, test: Dataset, recipe: Recipe, seed: int, folder: Path) -> Base:
    model = build(name, train.classes, train.inputs, seed)
    with (
        tm.Recorder(folder / "train", train.classes, train.ids, train.y) as recorder,
        tm.Recorder(folder / "test", test.classes, test.ids, test.y, source="sweep") as sweep,
    ):

        def look(epoch: int, loss: float) -> None:
            sweep.update(test.ids, predict(model, test), test.y)
            sweep.end_epoch()

        fit(model, train, recipe, seed=seed, watching=Watching(recorder, on_epoch=look))
    maps = [tm.DataMap.from_dynamics(tm.Dynamics.open(folder / part)) for part in ("train", "test")]
    regions = dict(zip(maps[1].ids.tolist(), maps[1].table["region"].to_list(), strict=True))
    return Base(model, maps[0], regions)


def calibrations(base: Base, train: Dataset, seed: int) -> dict[str, Dataset]:
    """The same number of examples from each region of the map, and random ones."""
    specs = {
        "random": f"{CALIBRATION} random",
        "random, another draw": f"{CALIBRATION} random",
        "ambiguous": f"{CALIBRATION} ambiguous",
        "hard-to-learn": f"{CALIBRATION} hard-to-learn",
        "easy-to-learn": f"{CALIBRATION} easy-to-learn",
    }
    return {
        name: train.subset(tm.select(base.train_map, spec, seed=seed + 100 * place).ids)
        for place, (name, spec) in enumerate(specs.items())
    }


def rows_of(
    name: str, base: Base, other: Base, train: Dataset, recipe: Recipe, seed: int, only: str
) -> dict[str, Compressed]:
    """Every way whose name has ``only`` in it, from one trained network; ``other`` gives the map."""
    model, inputs = base.model, train.inputs
    tune = replace(recipe, epochs=2, peak_lr=recipe.peak_lr / 2)
    thirds = {
        spec.split()[1]: train.subset(tm.select(other.train_map, spec, seed=seed).ids)
        for spec in ("33% random", "33% ambiguous")
    }
    calibration = calibrations(other, train, seed)["random"]
    original = uncompressed(model, inputs)
    half = prune_channels(model, inputs, 0.5)
    half_tuned = cache(lambda: finetune(half, train, tune, seed=seed))

    def smaller() -> Compressed:
        small = build(SMALLER[name], train.classes, inputs, seed)
        cost = fit(small, train, recipe, seed=seed).flops
        return replace(uncompressed(small, inputs, SMALLER[name]), training_flops=cost)

    made: dict[str, Callable[[], Compressed]] = {
        "original": lambda: original,
        "original, trained on": lambda: finetune(original, train, tune, seed=seed),
        f"{SMALLER[name]} from scratch": smaller,
        "channels 50 %": lambda: half,
        "channels 50 %, tuned": half_tuned,
        "channels 50 % at random, tuned": lambda: finetune(
            prune_channels(model, inputs, 0.5, importance="random", seed=seed), train, tune, seed=seed
        ),
        "channels 50 %, tuned on a random third": lambda: finetune(half, thirds["random"], tune, seed=seed),
        "channels 50 %, tuned on the ambiguous third": lambda: finetune(half, thirds["ambiguous"], tune, seed=seed),
        "zeros 90 % at once": lambda: zero_smallest(model, inputs, 0.9),
        "zeros 90 % over 3 epochs": lambda: sparsify(model, train, replace(tune, epochs=3), 0.9, seed=seed, end=2 / 3),
        "int8 (PT2E)": lambda: quantize(model, calibration),
        "int8, trained 1 epoch (PT2E)": lambda: train_quantized(
            model, train, replace(tune, epochs=1, peak_lr=recipe.peak_lr / 10), seed=seed
        ),
        "float32 (ONNX)": lambda: export_onnx(model, inputs),
        "int8 (ONNX)": lambda: quantize_onnx(model, calibration),
        "channels 50 %, tuned, int8 (ONNX)": lambda: quantize_onnx(half_tuned().model, calibration),
    }
    done = {}
    for way, make in made.items():
        if way != "original" and only not in way:
            continue
        start = time.process_time()
        done[way] = make()
        print(f"  {way}: {time.process_time() - start:.0f} CPU-s", flush=True)
    return done


def forgets(logits: dict[str, np.ndarray], other: Base, third: Base, test: Dataset) -> dict[str, list[dict[str, Any]]]:
    def of(found: np.ndarray) -> Predictions:
        return Predictions.of(test.ids, test.y, found.argmax(axis=1))

    before, baseline = of(logits["original"]), of(predict(other.model, test))
    groups = {"region": third.test_regions}
    return {
        way: flips(before, of(found), baseline=baseline, groups=groups).table.to_dicts()
        for way, found in logits.items()
        if way != "original" and "ONNX" not in way
    }


def one_seed(
    name: str, bases: list[Base], seed: int, train: Dataset, test: Dataset, recipe: Recipe, only: str
) -> dict[str, Any]:
    base, other, third = (bases[(seed + step) % len(bases)] for step in range(3))
    rows = rows_of(name, base, other, train, recipe, seed, only)
    logits = {way: predict(one.model, test) for way, one in rows.items()}
    calibrated = {
        way: evaluate(predict(quantize_onnx(base.model, part).model, test), test.y).accuracy
        for way, part in calibrations(other, train, seed).items()
    }
    return {
        "model": name,
        "seed": seed,
        "measured": [asdict(row) for row in measure(rows, test, logits=logits)],
        "forgets": forgets(logits, other, third, test),
        "calibration": calibrated,
    }


def percent(values: list[float]) -> str:
    found = interval([100 * value for value in values])
    return f"{found.mean:.2f}" if np.isnan(found.low) else f"{found.mean:.2f} ± {found.half_width:.2f}"


def show(results: list[dict[str, Any]]) -> None:
    for name in dict.fromkeys(result["model"] for result in results):
        runs = [result for result in results if result["model"] == name]
        print(f"\n{name}, n = {len(runs)} seeds\n")
        print(
            "| network | parameters | not zero | FLOPs | bytes | zipped | CPU ms / 64 | speed-up | accuracy % "
            "| difference | agrees % |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for place, row in enumerate(runs[0]["measured"]):
            same = [run["measured"][place] for run in runs]
            difference = [r["accuracy"] - run["measured"][0]["accuracy"] for r, run in zip(same, runs, strict=True)]
            print(
                f"| {row['name']} | {row['parameters']:,} | {row['nonzero']:,} | {row['flops'] / 1e6:.2f} M "
                f"| {row['bytes']:,} | {row['zipped_bytes']:,} "
                f"| {np.median([r['cpu_seconds'] for r in same]) * 64e3:.2f} "
                f"| {np.median([r['speed_up'] for r in same]):.2f} | {percent([r['accuracy'] for r in same])} "
                f"| {percent(difference) if place else ''} | {percent([r['agreement'] for r in same])} |"
            )
        print("\n| int8 (ONNX) calibrated on 128 examples | accuracy % |\n|---|---|")
        for way in runs[0]["calibration"]:
            print(f"| {way} | {percent([run['calibration'][way] for run in runs])} |")
        print("\n| network | group | changed % | right to wrong % | changed by another seed % | excess % |")
        print("|---|---|---|---|---|---|")
        for way in runs[0]["forgets"]:
            for row in runs[0]["forgets"][way]:
                if row["grouping"] in ("all", "region"):
                    same = [
                        next(
                            r
                            for r in run["forgets"][way]
                            if (r["grouping"], r["group"]) == (row["grouping"], row["group"])
                        )
                        for run in runs
                    ]
                    cells = [
                        percent([r[key] for r in same]) for key in ("churn", "forgotten", "baseline_churn", "excess")
                    ]
                    print(f"| {way} | {row['group']} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--models", nargs="+", default=["cnn-16", "resnet8-16"], choices=sorted(SMALLER))
    parser.add_argument("--examples", type=int, default=8_000, help="of the training set")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="ways with these letters in their name; the original stays")
    parser.add_argument("--out", type=Path, help="FILE.json: every number")
    arguments = parser.parse_args()
    if arguments.seeds < 3:
        parser.error("three seeds at least: one is compressed, one is its baseline, one gives the regions")
    torch.set_num_threads(1)
    data = load_splits("fashion-mnist", arguments.data_root, validation=0)
    train = data.train.subset(data.train.ids[: arguments.examples])
    results = []
    for name in arguments.models:
        recipe = default_recipe(name, "fashion-mnist", epochs=arguments.epochs)
        with tempfile.TemporaryDirectory() as scratch:
            bases = []
            for seed in range(arguments.seeds):
                bases.append(trained(name, train, data.test, recipe, seed, Path(scratch, str(seed))))
                print(f"{name} seed {seed}: trained", flush=True)
            for seed in range(arguments.seeds):
                results.append(one_seed(name, bases, seed, train, data.test, recipe, arguments.only))
                if arguments.out is not None:
                    arguments.out.write_text(json.dumps(results))
                print(f"{name} seed {seed}: compressed", flush=True)
    show(results)


if __name__ == "__main__":
    main()
