"""What an audit suspects where classes are rare, with and without wrong labels, beside cleanlab at equal cost.

    python benchmarks/rare_classes.py --data DATA       # sms_spam, subj, usps: about 12 minutes on one core
    python benchmarks/rare_classes.py                   # scikit-learn's digits, two minutes

DATA holds sms_spam/sms_spam.parquet and subj/subj.parquet (columns text, label) and usps/usps.npz (x_train, y_train).
None of the three was looked at when the thresholds by class were set (``trainmap.audits.thresholds``; they were set on
digits, adult, clinc150 and made data).

One class is made rare (its share of all examples: equal to the others, 10 %, 2 %, 0.5 %; at most 5,000 examples) and
three kinds of labels are given:

    none          the labels as they are
    5 %           one label in twenty is exchanged, wherever it is: in two classes of which one is rare most labels of
                  the rare one are wrong then
    in the class  examples of other classes are given the rare label, so that one in ten of its labels is wrong

    before      trainmap's rule ``combined`` with its one threshold of 0.1
    now         the same recording with thresholds by class
    in-sample   cleanlab on the mean of the recording's probabilities over the epochs: no other cost
    2 folds     cleanlab on out-of-sample probabilities of two networks, each trained on half the examples for as many
                epochs: the same number of steps

with a linear classifier (SGD, 10 passes) and a network of 128 units (Adam, 12 epochs, recorded as it trains). Figures
are means over sets and models for each seed; then the mean over seeds with its 95 % Student t interval.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from cleanlab.filter import find_label_issues
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier

import trainmap as tm
from trainmap.experiments.results.statistics import interval

BALANCES = (None, 0.1, 0.02, 0.005)
FLIPS = ("none", "5 %", "in the class")
MOST = 5000
FIGURES = ("suspected", "precision", "recall", "of the rare class's right labels", "of its wrong labels")
Data = tuple[Any, np.ndarray]


def datasets(root: Path | None) -> dict[str, Data]:
    if root is None:
        x, y = load_digits(return_X_y=True)
        return {"digits": (np.asarray(x) / 16, np.asarray(y))}
    sets: dict[str, Data] = {}
    for name in ("sms_spam", "subj"):
        table = pl.read_parquet(root / name / f"{name}.parquet")
        x = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(table["text"].to_list())
        sets[name] = (x, np.unique(table["label"].to_numpy(), return_inverse=True)[1])
    with np.load(root / "usps" / "usps.npz") as usps:
        sets["usps"] = (usps["x_train"].reshape(len(usps["x_train"]), -1) / 255, usps["y_train"].astype(np.int64))
    return sets


def with_rare(data: Data, share: float | None, random: np.random.Generator) -> tuple[Any, np.ndarray, int]:
    """Some examples, among which a class has that share of all; as many of every class for None."""
    x, y = data
    counts = np.bincount(y)
    rare = int(random.integers(len(counts))) if len(counts) > 2 else 1
    if share is None:
        want = np.full(len(counts), min(counts.min(), MOST // len(counts)))
    else:
        others = np.where(np.arange(len(counts)) == rare, 0, counts)
        want = (others * min(1.0, MOST * (1 - share) / others.sum())).astype(np.int64)
        want[rare] = max(2, round(share / (1 - share) * want.sum()))
    order = random.permutation(len(y))
    kept = np.sort(np.concatenate([order[y[order] == label][:n] for label, n in enumerate(want)]))
    return x[kept], y[kept], rare


def with_flips(y: np.ndarray, kind: str, rare: int, random: np.random.Generator) -> np.ndarray:
    labels, classes = y.copy(), int(y.max()) + 1
    if kind == "5 %":
        at = random.choice(len(y), round(0.05 * len(y)), replace=False)
        labels[at] = (y[at] + random.integers(1, classes, len(at))) % classes
    elif kind == "in the class":
        count = max(1, round((y == rare).sum() / 9))
        labels[random.choice(np.flatnonzero(y != rare), count, replace=False)] = rare
    return labels


def linear(x: Any, y: np.ndarray, classes: int, seed: int, see: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    model, random = SGDClassifier(loss="log_loss", random_state=seed), np.random.default_rng(seed)

    def logits(x: Any) -> np.ndarray:
        return np.log(np.maximum(model.predict_proba(x), 1e-30))

    for _ in range(10):
        order = random.permutation(len(y))
        model.partial_fit(x[order], y[order], classes=np.arange(classes))
        see(np.arange(len(y)), logits(x))
    return logits


def network(x: Any, y: np.ndarray, classes: int, seed: int, see: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    torch.manual_seed(seed)
    inputs, labels = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)
    sizes = (inputs.shape[1], 128, 128, classes)
    layers = [part for a, b in itertools.pairwise(sizes) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(12):
        said = np.empty((len(y), classes), np.float32)
        for batch in torch.randperm(len(y)).split(64):
            z = model(inputs[batch])
            said[batch.numpy()] = z.detach().numpy()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(z, labels[batch]).backward()
            optimizer.step()
        see(np.arange(len(y)), said)
    return lambda x: model(torch.as_tensor(x, dtype=torch.float32)).detach().numpy()


def suspects(model: Any, x: Any, labels: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    """(N,) bool for each side."""
    epochs: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        with tm.Recorder(folder, classes, np.arange(len(labels)), labels) as recorder:

            def see(ids: Any, logits: Any) -> None:
                recorder.update(ids, logits, labels)
                recorder.end_epoch()
                epochs.append(softmax(logits.astype(np.float64), axis=1))

            model(x, labels, classes, seed, see)
        dynamics = tm.Dynamics.open(folder)
        ours = {"before": tm.audit(dynamics, threshold=0.1), "now": tm.audit(dynamics)}
    fold = np.random.default_rng(seed).permutation(len(labels)) % 2
    held = np.empty((len(labels), classes))
    for k in (0, 1):
        predict = model(x[fold != k], labels[fold != k], classes, seed + 100, lambda *_: None)
        held[fold == k] = softmax(predict(x[fold == k]).astype(np.float64), axis=1)
    theirs = {"cleanlab, in-sample": np.mean(epochs, axis=0), "cleanlab, 2 folds": held}
    return {
        **{side: found.table.sort("id")["suspected"].to_numpy() for side, found in ours.items()},
        **{side: find_label_issues(labels, probabilities, n_jobs=1) for side, probabilities in theirs.items()},
    }


def figures(suspected: np.ndarray, labels: np.ndarray, truth: np.ndarray, rare: int) -> tuple[float, ...]:
    wrong, inside = labels != truth, labels == rare

    def share(part: np.ndarray, whole: np.ndarray) -> float:
        return float((part & whole).sum() / whole.sum()) if whole.any() else np.nan

    return (
        float(suspected.mean()),
        share(wrong, suspected),
        share(suspected, wrong),
        share(suspected, inside & ~wrong),
        share(suspected, inside & wrong),
    )


def said(values: np.ndarray, kind: str) -> str:
    """Mean and half of the interval; nothing where no seed has a value, or no label is wrong."""
    known = values[~np.isnan(values)]
    if not len(known) or (kind == "none" and not known.any()):
        return ""
    one = interval(known.tolist())
    return f"{one.mean:.3f} ± {one.half_width:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with sms_spam, subj and usps; digits without it")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("trainmap").setLevel(logging.ERROR)
    start, sets = time.process_time(), datasets(arguments.data)
    print("| rare class | wrong labels | | " + " | ".join(FIGURES) + " |\n" + "|---" * (3 + len(FIGURES)) + "|")
    for share in BALANCES:
        for kind in FLIPS:
            found: dict[str, list[np.ndarray]] = defaultdict(list)
            for seed in range(arguments.seeds):
                cells: dict[str, list[tuple[float, ...]]] = defaultdict(list)
                for data in sets.values():
                    random = np.random.default_rng([seed, 7])
                    x, truth, rare = with_rare(data, share, random)
                    labels = with_flips(truth, kind, rare, random)
                    dense = x if isinstance(x, np.ndarray) else TruncatedSVD(100, random_state=0).fit_transform(x) * 10
                    for model, inputs in ((linear, x), (network, dense)):
                        sides = suspects(model, inputs, labels, int(truth.max()) + 1, seed)
                        for side, suspected in sides.items():
                            cells[side].append(figures(suspected, labels, truth, rare))
                for side, values in cells.items():
                    found[side].append(np.nanmean(np.array(values), axis=0))
            for side, seeds in found.items():
                rows = [said(values, kind) for values in np.array(seeds).T]
                name = "as the others" if share is None else f"{share:.1%}"
                print(f"| {name} | {kind} | {side} | {' | '.join(rows)} |", flush=True)
    print(f"\n{arguments.seeds} seeds, {', '.join(sets)}, {time.process_time() - start:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
