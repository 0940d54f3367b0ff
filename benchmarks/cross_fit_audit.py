"""Does an audit gain from networks that did not train on the labels? Training steps, out of fold, and cleanlab.

    python benchmarks/cross_fit_audit.py --data DATA --out found.jsonl      # about ten minutes of one core; goes on
    python benchmarks/cross_fit_audit.py --out found.jsonl --tables         # the tables of what is there

DATA holds the sets of ``SETS`` as ``load_splits`` reads them, and cifar10n.npz (Wei et al. 2022, arXiv:2110.12088). Of
each 3,000 training examples (clinc150 and cifar10n 6,000), drawn once; 10 % of the labels are flipped to another class,
afresh for each seed, but for cifar10n (the first images, the first annotator's labels). "usps, rare": a class has 2 %.

One recipe, the default of network and data (E epochs), for each seed recorded twice:

    training          the logits of the training steps: costs one training
    held-out          two folds; after each epoch each network's logits of the other fold: one training and E passes,
                      a pass being a third of an epoch: 4/3

On them, by average precision of finding the wrong labels:

    audit RULE        the rules of ``tm.audit``
    cleanlab METHOD   its label quality from in-sample probabilities (of the training, the mean over its epochs or the
                      last) or from out-of-sample ones (held-out likewise; of the last epoch alone it costs 1 + 1 / 3E)
    both              the mean of the ranks of ``combined`` of training and held-out: costs 7/3

and every score of a map: its average precision, and the rank correlation with itself between two seeds, over the
examples whose labels are right in both. Means over seeds with the 95 % Student t interval, differences paired by seed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

import trainmap as tm
from trainmap.audits.suspicion import RULES
from trainmap.data.dataset import Dataset, load_splits
from trainmap.experiments.results.statistics import interval, paired_difference
from trainmap.models.build import build
from trainmap.scores import hard_end
from trainmap.training import Watching, default_recipe
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe

Array = NDArray[Any]

SETS: dict[str, tuple[str, str, int]] = {  # name -> (path, network, examples)
    "subj": ("subj.parquet", "text-bag-64", 3000),
    "sst2": ("sst2", "text-bag-64", 3000),
    "clinc150": ("clinc150", "text-bag-64", 6000),
    "adult": ("adult", "mlp-256", 3000),
    "usps": ("usps", "cnn-8", 3000),
    "usps, rare": ("usps", "cnn-8", 3000),
    "cifar10n": ("cifar10", "cnn-8", 6000),
}
FLIPPED, RARE = 0.1, 0.02
METHODS = ("self_confidence", "normalized_margin")
FIRST = "audit combined, training"


def examples_of(name: str, root: Path) -> tuple[Dataset, Array | None]:
    """Training examples with true labels; and the wrong labels that people gave, where there are such."""
    path, _, count = SETS[name]
    whole = load_splits(path, root, validation=0).train
    if name == "cifar10n":
        with np.load(root / "cifar10n.npz") as labels:
            rows = np.arange(count)
            people = labels["random_label1"][whole.ids[rows]].astype(np.int64)
        return whole.subset(whole.ids[rows]), people
    random = np.random.default_rng(17)
    order = random.permutation(len(whole))
    if name.endswith("rare"):
        rare = order[whole.y[order] == 7][: round(RARE * count)]
        order = np.concatenate([rare, order[whole.y[order] != 7]])
    return whole.subset(np.sort(whole.ids[order[:count]])), None


def trained(data: Dataset, model: str, recipe: Recipe, seed: int, folder: str) -> tm.Dynamics:
    network = build(model, data.classes, data.inputs, seed)
    how: dict[str, Any] = {"ids": data.ids, "labels": data.y, "level": "logits"}
    with tm.Recorder(folder, data.classes, **how) as recorder:
        fit(network, data, recipe, seed=seed, watching=Watching(recorder))
    return tm.Dynamics.open(folder)


def crossed(data: Dataset, model: str, recipe: Recipe, seed: int, folder: str) -> tm.Dynamics:
    def network(own: int) -> torch.nn.Module:
        return build(model, data.classes, data.inputs, own)

    return tm.cross_fit(network, data, recipe, folder, seed=seed, level="logits").dynamics


def suspicions(dynamics: tm.Dynamics, rule: str) -> Array:
    """(N,) in the order of the ids."""
    table: Any = tm.audit(dynamics, rule).table.sort("id")
    return table["suspicion"].to_numpy()


def probabilities(dynamics: tm.Dynamics) -> Array:
    """(E, N, C)."""
    logits = dynamics.block(signals=["logits"]).logits
    assert logits is not None
    return softmax(logits.astype(np.float64), axis=2)


def measured(name: str, data: Dataset, people: Array | None, seed: int) -> dict[str, Any]:
    """Everything of one seed; scores as lists, for the correlations."""
    flips = None if people is not None else tm.plan_flips(data.y, FLIPPED, seed, ids=data.ids, classes=data.classes)
    labels = people if flips is None else flips.apply(data.ids, data.y)
    assert labels is not None
    order = np.argsort(data.ids)
    given, wrong = replace(data, y=labels), (labels != data.y)[order]
    gold = labels[order]
    model = SETS[name][1]
    recipe = default_recipe(model, data.name, inputs=data.inputs)
    seconds: dict[str, float] = {}
    found: dict[str, Array] = {}
    scores: dict[str, dict[str, Array]] = {}
    ways: dict[str, tuple[Callable[..., tm.Dynamics], int]] = {
        "training": (trained, 100 + seed),
        "held-out": (crossed, 200 + 2 * seed),
    }
    for way, (record, own) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            dynamics = record(given, model, recipe, own, f"{folder}/d")
            seconds[way] = time.process_time() - start
            for rule in RULES:
                found[f"audit {rule}, {way}"] = suspicions(dynamics, rule)
            p, sample = probabilities(dynamics), "out-of-sample" if way == "held-out" else "in-sample"
            for method in METHODS:
                for which, one in (("last epoch", p[-1]), ("mean", p.mean(axis=0))):
                    quality = get_label_quality_scores(gold, one / one.sum(axis=1, keepdims=True), method=method)
                    found[f"cleanlab {method}, {sample}, {which}"] = 1 - quality
            computed = tm.compute(dynamics)
            signs = {score: -1.0 if hard_end(score) == "low" else 1.0 for score in computed}
            scores[way] = {score: signs[score] * values for score, values in computed.items()}
    halves = [rankdata(found[f"audit combined, {way}"]) for way in ("training", "held-out")]
    found["both"] = np.mean(halves, axis=0)
    inside = gold == 7 if name.endswith("rare") else np.ones(len(gold), bool)

    def precision(values: Array, of: Array) -> float:
        return float(average_precision_score(wrong[of], np.nan_to_num(values[of], posinf=1e9, neginf=-1e9)))

    return {
        "set": name,
        "seed": seed,
        "wrong": float(wrong.mean()),
        "epochs": recipe.epochs,
        "seconds": seconds,
        "ap": {side: precision(values, np.ones(len(gold), bool)) for side, values in found.items()},
        "ap_rare": {side: precision(values, inside) for side, values in found.items()},
        "scores": {
            way: {score: precision(values, np.ones(len(gold), bool)) for score, values in its.items()}
            for way, its in scores.items()
        },
        "right": np.flatnonzero(~wrong).tolist(),
        "values": {
            way: {score: np.round(rankdata(np.nan_to_num(v, posinf=1e9)), 1).tolist() for score, v in its.items()}
            for way, its in scores.items()
        },
    }


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def shown(values: list[float]) -> str:
    one = interval(values)
    return f"{one.mean:.3f} ± {one.half_width:.3f}" if len(values) > 1 else f"{one.mean:.3f}"


def tables(runs: list[dict[str, Any]]) -> None:
    by_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_set[run["set"]].append(run)
    names = [name for name in SETS if name in by_set]
    head = [f"{name} ({by_set[name][0]['wrong']:.1%}, n = {len(by_set[name])})" for name in names]
    print("| average precision | " + " | ".join(head) + " |\n" + "|---" * (len(head) + 1) + "|")
    for side in by_set[names[0]][0]["ap"]:
        cells = []
        for name in names:
            first = {run["seed"]: run["ap"][FIRST] for run in by_set[name]}
            own = {run["seed"]: run["ap"][side] for run in by_set[name]}
            other = paired_difference(own, first)
            against = (
                "" if side == FIRST or len(own) < 2 else f", {other.mean:+.3f} [{other.low:+.3f}, {other.high:+.3f}]"
            )
            cells.append(shown([*own.values()]) + against)
        print(f"| {side} | " + " | ".join(cells) + " |")
    if rare := by_set.get("usps, rare"):
        print("\n| among the labels of the rare class | average precision |\n|---|---|")
        for side in rare[0]["ap_rare"]:
            print(f"| {side} | {shown([run['ap_rare'][side] for run in rare])} |")
    print(
        "\n| score | "
        + " | ".join(f"{name}: AP, with itself" for name in names)
        + " |\n"
        + "|---" * (len(head) + 1)
        + "|"
    )
    for score in by_set[names[0]][0]["scores"]["training"]:
        cells = []
        for name in names:
            parts = [shown_score(by_set[name], way, score) for way in ("training", "held-out")]
            cells.append(" / ".join(parts))
        print(f"| {score} | " + " | ".join(cells) + " |")
    spent = {way: sum(run["seconds"][way] for run in runs) for way in ("training", "held-out")}
    print(f"\n{len(runs)} runs; CPU-seconds: " + ", ".join(f"{way} {value:.0f}" for way, value in spent.items()))


def shown_score(runs: list[dict[str, Any]], way: str, score: str) -> str:
    """Mean average precision of a score, and its mean rank correlation between neighbouring seeds."""
    runs = [run for run in runs if score in run["scores"][way]]  # some need more epochs than a recipe has
    if not runs:
        return "–"
    precision = float(np.mean([run["scores"][way][score] for run in runs]))
    alike = []
    for one, other in pairwise(runs):
        both = np.intersect1d(one["right"], other["right"])
        a, b = (np.array(run["values"][way][score])[both] for run in (one, other))
        if np.ptp(a) and np.ptp(b):
            alike.append(float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
    return f"{precision:.2f}, {np.mean(alike):.2f}" if alike else f"{precision:.2f}, –"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(name for name in SETS if "," not in name) + ",usps; rare")
    parser.add_argument("--tables", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("trainmap").setLevel(logging.ERROR)
    if not arguments.tables:
        if arguments.data is None:
            raise SystemExit("say --data DIR, or --tables for what is in --out")
        done = {(run["set"], run["seed"]) for run in read(arguments.out)}
        for seed in range(arguments.seeds):
            for name in _names(arguments.sets):
                if (name, seed) in done:
                    continue
                data, people = examples_of(name, arguments.data)
                run = measured(name, data, people, seed)
                with arguments.out.open("a") as handle:
                    handle.write(json.dumps(run) + "\n")
                print(name, seed, run["seconds"], {k: round(v, 3) for k, v in run["ap"].items()}, flush=True)
    tables(read(arguments.out))


def _names(said: str) -> list[str]:
    return [name.replace(";", ",") for name in said.split(",")]


if __name__ == "__main__":
    main()
