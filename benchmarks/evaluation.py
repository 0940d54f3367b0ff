"""A network in and out of its distribution: corruptions, a shifted set, and whether it knows what it does not know.

    python benchmarks/evaluation.py                                                        # digits, half a minute
    python benchmarks/evaluation.py --dataset mnist --data-root DATA --shift usps --outside fashion-mnist

DATA holds mnist.npz and usps.npz; Fashion-MNIST is looked for as ``load_splits`` does. Every figure is a mean over the
seeds (weights and data order) with its 95 % Student t interval. Corruptions are of the first ``--examples`` images of
the test set.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from trainmap.data.dataset import load_splits
from trainmap.evaluation.corruptions import CORRUPTIONS
from trainmap.evaluation.ood import detect
from trainmap.evaluation.shifts import evaluate_everywhere, load_shift, mean_corruption_error
from trainmap.experiments.results.statistics import interval
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.fit import fit
from trainmap.training.recipes import default_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--shift", help="a name of trainmap.evaluation.shifts.SHIFTS")
    parser.add_argument("--outside", help="a dataset with inputs of the same shape and none of the classes")
    parser.add_argument("--model", default="cnn-16")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    splits = load_splits(args.dataset, args.data_root)
    few = splits.test.subset(splits.test.ids[: args.examples])
    shifts = {args.shift: load_shift(args.shift, args.data_root)} if args.shift else {}
    outside = load_splits(args.outside, args.data_root).test if args.outside else None
    found: dict[str, list[float]] = defaultdict(list)
    start = time.process_time()
    for seed in range(args.seeds):
        model = build(args.model, splits.train.classes, splits.train.inputs, seed)
        recipe = default_recipe(args.model, args.dataset, args.epochs, splits.train.inputs)
        fit(model, splits.train, recipe, seed=seed)
        for row in evaluate_everywhere(model, splits.test, shifts):
            for name in ("accuracy", "macro_f1", "calibration_error", "loss"):
                found[f"{row.set} ({row.n}): {name}"].append(getattr(row.metrics, name))
        rows = evaluate_everywhere(model, few, None, CORRUPTIONS, seed=seed)
        for kind in CORRUPTIONS:
            of_kind = [row.metrics.accuracy for row in rows if row.set.startswith(f"{kind} ")]
            found[f"{kind}: accuracy over severities"].append(sum(of_kind) / len(of_kind))
        found["mean corruption error"].append(mean_corruption_error(rows))
        if outside is not None:
            for name, detection in detect(predict(model, splits.test), predict(model, outside)).items():
                found[f"{args.outside} ({len(outside)}) by {name}: AUROC"].append(detection.auroc)
                found[f"{args.outside} ({len(outside)}) by {name}: FPR95"].append(detection.fpr95)
    for name, values in found.items():
        estimate = interval(values)
        print(f"{name:60s} {estimate.mean:7.4f}  [{estimate.low:.4f}, {estimate.high:.4f}]  n = {len(values)}")
    print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
