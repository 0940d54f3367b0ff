"""Label errors from training dynamics, beside cleanlab on out-of-sample predictions, at the same number of steps.

    python benchmarks/audit.py --data-root DATA --noisy cifar10n.npz         # about 15 minutes on one core
    python benchmarks/audit.py                                               # digits with flipped labels, a minute

DATA holds cifar10.npz (x_train, y_train, x_test, y_test); cifar10n.npz holds clean_label, aggre_label, random_label1 in
the order of the training images: labels that people gave (Wei et al. 2022, arXiv:2110.12088).

Both sides get the same network, recipe and total number of optimizer steps:

    trainmap   one run on all the examples, recorded as it trains; no other pass over the data
    cleanlab   K runs, each on all but one K-th (stratified) and with a K-th of the steps; out-of-sample predictions
               of the held-out parts (image and mirror image averaged, which is not counted as cost)

``--generous`` adds cleanlab with K times the steps: every fold is trained as long as trainmap's one run.

The figure is the average precision (area under the precision-recall curve) of the ranking by suspicion, with its 95 %
Student t interval over the seeds; the difference is paired by seed. A random ranking has the share of wrong labels.
"precision" and "recall" are those of what each side flags by itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.special import softmax
from sklearn.metrics import average_precision_score

import trainmap as tm
from trainmap.audits.audit import audit
from trainmap.audits.planted import plan_flips
from trainmap.audits.suspicion import RULES
from trainmap.data.dataset import Dataset, load_splits
from trainmap.experiments.results.statistics import interval, paired_difference
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.fit import even_batches, fit
from trainmap.training.recipes import Recipe, default_recipe
from trainmap.training.watching import Watching

METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
OURS, THEIRS = "trainmap combined", "cleanlab self_confidence"
Flagged = tuple[np.ndarray, np.ndarray]  # (N,) suspicion, (N,) flagged


def noisy_sets(arguments: argparse.Namespace) -> dict[str, tuple[Dataset, np.ndarray]]:
    """name -> (examples with noisy labels, which of the labels are wrong)."""
    if arguments.data_root is None:
        clean = load_splits("digits", validation=0).train
        flips = plan_flips(clean.y, 0.1, seed=0, ids=clean.ids)
        noisy = flips.apply(clean.ids, clean.y)
        return {"digits, 10 % flipped": (replace(clean, y=noisy), noisy != clean.y)}
    whole = load_splits("cifar10", arguments.data_root, validation=0).train
    rows = np.arange(arguments.first, min(arguments.first + arguments.examples, len(whole)))
    sets = {}
    with np.load(arguments.noisy or Path(arguments.data_root) / "cifar10n.npz") as labels:
        for name in arguments.labels.split(","):
            noisy, clean = labels[name][whole.ids].astype(np.int64), labels["clean_label"][whole.ids]
            if not np.array_equal(clean, whole.y):
                raise SystemExit("clean_label must be the labels of the training images, in the official order")
            data = Dataset("cifar10", whole.ids[rows], whole.x[rows], noisy[rows], 10)
            sets[name] = (data, (noisy != clean)[rows])
    return sets


def from_dynamics(data: Dataset, model: str, recipe: Recipe, seed: int) -> tuple[dict[str, Flagged], int]:
    """One recorded run; every rule of the audit on it."""
    network = build(model, data.classes, data.inputs, seed)
    with tempfile.TemporaryDirectory() as folder:
        with tm.Recorder(folder, classes=data.classes, ids=data.ids, labels=data.y) as recorder:
            result = fit(network, data, recipe, seed=seed, watching=Watching(recorder))
        dynamics = tm.Dynamics.open(folder)
        found = {}
        for rule in RULES:
            table = audit(dynamics, rule).table.sort("id")
            found[f"trainmap {rule}"] = (table["suspicion"].to_numpy(), table["suspected"].to_numpy())
    return found, result.steps


def from_folds(
    data: Dataset, model: str, recipe: Recipe, seed: int, folds: int, steps: int
) -> tuple[dict[str, Flagged], int]:
    """Out-of-sample predictions from ``folds`` runs with ``steps`` steps in all; cleanlab's rankings of them."""
    random, fold = np.random.default_rng(seed), np.empty(len(data), np.int64)
    for label in range(data.classes):
        rows = np.flatnonzero(data.y == label)
        fold[random.permutation(rows)] = np.arange(len(rows)) % folds
    logits, taken = np.empty((len(data), data.classes), np.float32), 0
    for k in range(folds):
        network = build(model, data.classes, data.inputs, 1000 * seed + k)
        rest, held = data.subset(data.ids[fold != k]), data.subset(data.ids[fold == k])
        taken += fit(network, rest, recipe, seed=1000 * seed + k, steps=steps // folds).steps
        logits[fold == k] = predict(network, held, flips=recipe.flips)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    flagged = find_label_issues(data.y, probabilities, n_jobs=1)
    found = {
        f"cleanlab {method}": (1 - get_label_quality_scores(data.y, probabilities, method=method), flagged)
        for method in METHODS
    }
    return found, taken


def row(name: str, steps: int, runs: dict[int, tuple[float, float, float]], against: dict[int, float]) -> str:
    precision, flagged, recall = (np.array([run[i] for run in runs.values()]) for i in range(3))
    ap = interval(precision.tolist())
    width = f"± {ap.half_width:.3f}" if ap.half_width == ap.half_width else "       "
    difference = paired_difference({seed: run[0] for seed, run in runs.items()}, against)
    other = "" if difference.mean == 0 else f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"{name:<48} {steps:>6}  {ap.mean:.3f} {width}  {other:<26} {flagged.mean():.3f}      {recall.mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder with cifar10.npz; digits without it")
    parser.add_argument("--noisy", type=Path, help="cifar10n.npz; by default in --data-root")
    parser.add_argument("--labels", default="aggre_label,random_label1")
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first training image that is used")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--model", help="cnn-16; cnn-8 for the digits")
    parser.add_argument("--folds", type=int, default=3, help="K of cleanlab's predictions; 3 was its best of 3, 5, 10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generous", action="store_true", help="also cleanlab with K times the steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)

    model = arguments.model or ("cnn-8" if arguments.data_root is None else "cnn-16")
    for title, (data, wrong) in noisy_sets(arguments).items():
        recipe = default_recipe(model, data.name, arguments.epochs)
        steps = recipe.epochs * len(even_batches(torch.arange(len(data)), recipe.batch))
        runs: dict[str, dict[int, tuple[float, float, float]]] = defaultdict(dict)
        taken: dict[str, int] = {}
        start = time.process_time()
        for seed in range(arguments.seeds):
            sides = [("", *from_dynamics(data, model, recipe, seed))]
            sides.append((f", {arguments.folds} folds", *from_folds(data, model, recipe, seed, arguments.folds, steps)))
            if arguments.generous:
                more = from_folds(data, model, recipe, seed, arguments.folds, steps * arguments.folds)
                sides.append((f", {arguments.folds} folds, {arguments.folds} x steps", *more))
            for note, found, count in sides:
                for name, (suspicion, flagged) in found.items():
                    hits = int((flagged & wrong).sum())
                    ap = float(average_precision_score(wrong, suspicion))
                    runs[name + note][seed] = (ap, hits / max(1, int(flagged.sum())), hits / int(wrong.sum()))
                    taken[name + note] = count
        against = {seed: run[0] for seed, run in runs[f"{THEIRS}, {arguments.folds} folds"].items()}
        print(
            f"\n{title}: {len(data)} examples, {wrong.mean():.2%} wrong labels, {model}, {recipe.epochs} epochs, "
            f"{arguments.seeds} seeds, {time.process_time() - start:.0f} CPU-seconds\n"
            f"{'':<48} {'steps':>6}  average precision  against {THEIRS[9:]:<18} precision  recall"
        )
        print(f"{'random ranking':<48} {'':>6}  {wrong.mean():.3f}")
        for name, results in sorted(runs.items(), key=lambda item: -np.mean([run[0] for run in item[1].values()])):
            print(row(name, taken[name], results, against), flush=True)


if __name__ == "__main__":
    main()
