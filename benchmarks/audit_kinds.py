"""Audits of several labels, tokens and targets beside cleanlab's, with planted errors in scikit-learn's data.

    python benchmarks/audit_kinds.py --seeds 5          # about 2 CPU-minutes

multilabel  digits (1,797 images): even, at least 5, with a loop, prime; 3 % of the (image, label) pairs are turned.
tokens      the same images in lines of 8; 5 % of the tokens get another digit.
regression  diabetes (442 rows); 10 % of the targets are those of other rows.

One small network (scikit-learn's MLP, 64 units) for both sides. trainmap audits the recording of one training of E
epochs; cleanlab gets out-of-sample predictions of 3 folds, with as many steps as that training in all ("equal steps")
or with E epochs in each fold ("generous", twice the steps). Average precision of the ranking; mean, half of the 95 %
Student t interval over the seeds, and the difference paired by seed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.multilabel_classification.rank import get_label_quality_scores, get_label_quality_scores_per_class
from cleanlab.regression.rank import get_label_quality_scores as regression_scores
from cleanlab.token_classification.rank import get_label_quality_scores as token_scores
from scipy.stats import t as student
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import trainmap as tm

FOLDS, LINE = 3, 8
Model = Callable[[int], Any]


def trained(x: Any, y: Any, epochs: int, seed: int, look: Callable[[Any], None] | None = None) -> Any:
    """A network after so many epochs over (x, y); ``look`` sees it after each."""
    numbers = y.dtype.kind == "f"
    model: Any = (MLPRegressor if numbers else MLPClassifier)(
        hidden_layer_sizes=64, learning_rate_init=0.005, random_state=seed
    )
    classes = {} if numbers else {"classes": np.arange(y.shape[1] if y.ndim == 2 else 10)}
    for _ in range(epochs):
        model.partial_fit(x, y, **classes)
        if look is not None:
            look(model)
    return model


def predicted(model: Any, x: Any) -> Any:
    return model.predict(x) if isinstance(model, MLPRegressor) else np.clip(model.predict_proba(x), 1e-6, 1 - 1e-6)


def out_of_sample(x: Any, y: Any, epochs: int, seed: int) -> Any:
    """Predictions of every row by a network that did not train on it."""
    fold = np.random.default_rng([seed, 7]).permutation(len(x)) % FOLDS
    found: list[Any] = [None] * FOLDS
    for number in range(FOLDS):
        found[number] = predicted(trained(x[fold != number], y[fold != number], epochs, seed), x[fold == number])
    out = np.empty((len(x), *found[0].shape[1:]))
    for number in range(FOLDS):
        out[fold == number] = found[number]
    return out


def recorded(
    folder: Path, x: Any, y: Any, epochs: int, seed: int, show: Callable[[Any, Any], None], **said: Any
) -> Any:
    """The recording of one training."""
    with tm.Recorder(folder, source="sweep", **said) as recorder:

        def look(model: Any) -> None:
            show(recorder, predicted(model, x))
            recorder.end_epoch()

        trained(x, y, epochs, seed, look)
    return tm.Dynamics.open(folder)


def in_order(found: Any, ids: Any) -> Any:
    """The suspicion of each id."""
    told = dict(zip(found.table["id"].to_list(), found.table["suspicion"].to_list(), strict=True))
    return np.array([told[one] for one in ids])


def multilabel(seed: int, epochs: int, folder: Path) -> dict[str, dict[str, float]]:
    x, digit = load_digits(return_X_y=True)
    x, rng = x / 16, np.random.default_rng(seed)
    y = np.stack([digit % 2 == 0, digit >= 5, np.isin(digit, [0, 6, 8, 9]), np.isin(digit, [2, 3, 5, 7])], 1).astype(
        int
    )
    wrong = rng.random(y.shape) < 0.03
    given, ids = np.where(wrong, 1 - y, y), np.arange(len(x))
    how: dict[str, Any] = {"classes": 4, "kind": "multilabel", "as_": "probabilities"}
    show = lambda recorder, p: recorder.update(ids, p, given)  # noqa: E731
    parts = tm.audit(recorded(folder / "parts", x, given, epochs, seed, show, per="label", **how))
    pooled = tm.audit(recorded(folder / "pooled", x, given, epochs, seed, show, **how))
    names = [f"{one}/{label}" for one in ids for label in range(4)]
    worst = dict(parts.per_example().select("id", "suspicion").iter_rows())
    rows = {
        "trainmap, per label": (in_order(parts, names), [worst[one] for one in ids.tolist()]),
        "trainmap, pooled": (None, in_order(pooled, ids.tolist())),
    }
    for what, count in (("equal steps", epochs // 2), ("generous", epochs)):
        p = out_of_sample(x, given, count, seed)
        listed = [np.flatnonzero(row).tolist() for row in given]
        each = get_label_quality_scores_per_class(listed, p)
        rows[f"cleanlab, {what}"] = (-each.ravel(), -get_label_quality_scores(listed, p))
    of_pairs, of_examples = wrong.ravel(), wrong.any(axis=1)
    return {
        "several labels: pairs": {
            n: average_precision_score(of_pairs, a) for n, (a, _) in rows.items() if a is not None
        },
        "several labels: examples": {n: average_precision_score(of_examples, b) for n, (_, b) in rows.items()},
    }


def tokens(seed: int, epochs: int, folder: Path) -> dict[str, dict[str, float]]:
    x, digit = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    kept = rng.permutation(len(x))[: len(x) // LINE * LINE]
    x, digit = x[kept] / 16, digit[kept]
    wrong = rng.random(len(x)) < 0.05
    given = np.where(wrong, (digit + rng.integers(1, 10, len(x))) % 10, digit)
    lines, ids = given.reshape(-1, LINE), np.arange(len(x) // LINE)
    show = lambda recorder, p: recorder.update(ids, p.reshape(-1, LINE, 10), lines)  # noqa: E731
    how: dict[str, Any] = {"classes": 10, "kind": "tokens", "as_": "probabilities"}
    parts = tm.audit(recorded(folder / "parts", x, given, epochs, seed, show, per="token", **how))
    pooled = tm.audit(recorded(folder / "pooled", x, given, epochs, seed, show, **how))
    names = [f"{one}/{place}" for one in ids for place in range(LINE)]
    worst = dict(parts.per_example().select("id", "suspicion").iter_rows())
    rows = {
        "trainmap, per token": (in_order(parts, names), [worst[one] for one in ids.tolist()]),
        "trainmap, pooled": (None, in_order(pooled, ids.tolist())),
    }
    for what, count in (("equal steps", epochs // 2), ("generous", epochs)):
        p = out_of_sample(x, given, count, seed).reshape(-1, LINE, 10)
        p /= p.sum(axis=2, keepdims=True)
        sentence, each = token_scores([row.tolist() for row in lines], list(p))
        rows[f"cleanlab, {what}"] = (-np.concatenate([np.asarray(one) for one in each]), -np.asarray(sentence))
    of_lines = wrong.reshape(-1, LINE).any(axis=1)
    return {
        "tokens": {n: average_precision_score(wrong, a) for n, (a, _) in rows.items() if a is not None},
        "sequences": {n: average_precision_score(of_lines, b) for n, (_, b) in rows.items()},
    }


def regression(seed: int, epochs: int, folder: Path) -> dict[str, dict[str, float]]:
    x, y = (np.asarray(values) for values in load_diabetes(return_X_y=True))
    x, y, rng = StandardScaler().fit_transform(x), (y - y.mean()) / y.std(), np.random.default_rng(seed)
    wrong = rng.random(len(y)) < 0.1
    given, ids = np.where(wrong, y[rng.permutation(len(y))], y), np.arange(len(y))
    show = lambda recorder, p: recorder.update(ids, p, given)  # noqa: E731
    found = tm.audit(recorded(folder / "d", x, given, epochs, seed, show, kind="regression"))
    rows = {"trainmap": in_order(found, ids.tolist())}
    for what, count in (("equal steps", epochs // 2), ("generous", epochs)):
        p = out_of_sample(x, given, count, seed)
        for method in ("residual", "outre"):
            rows[f"cleanlab {method}, {what}"] = -regression_scores(given, p, method=method)
    return {"targets": {n: average_precision_score(wrong, values) for n, values in rows.items()}}


def interval(values: Any) -> float:
    return float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(arguments.seeds):
        for task in (multilabel, tokens, regression):
            with tempfile.TemporaryDirectory() as folder:
                for what, rows in task(seed, arguments.epochs, Path(folder)).items():
                    for name, value in rows.items():
                        found.setdefault(what, {}).setdefault(name, []).append(value)
    print(f"average precision, n = {arguments.seeds} seeds")
    for what, rows in found.items():
        first = np.array(next(iter(rows.values())))
        for name, values in rows.items():
            away = first - np.array(values)
            beside = f"{away.mean():+.3f} ± {interval(away):.3f}" if away.any() else ""
            print(f"| {what} | {name} | {np.mean(values):.3f} ± {interval(values):.3f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
