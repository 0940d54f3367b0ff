"""Which learning rate, temperature and weight of the teacher suit a student? Optuna on the validation data.

Command: python experiments/eq1_hyperparameters.py --out eq1
Time: 92 core-seconds at small scale (digits); paper scale has not been run
Found: nothing. The best trial (rate 0.18, temperature 1.6, weight 0.64) has test macro F1 98.84 ± 0.35 %, the
defaults 98.84 ± 0.30 (n = 10 seeds; +0.00 points [-0.22, +0.22], no difference shown): the defaults stay.

EQ1. Every trial trains the student with the same seeds and is judged on the validation data. The best trial and the
defaults then meet on the test data, on seeds that the search never used. A killed search goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from trainmap.experiments.statistics import interval
from trainmap.experiments.tuning import Hyperparameters, Lesson, search, verdict
from trainmap.files import write_json
from trainmap.training.data import load_splits
from trainmap.training.fit import default_recipe, fit
from trainmap.training.models import build
from trainmap.training.teacher import teacher_logits

WORDS = {"beats random": "better", "no difference shown": "no difference shown", "worse": "worse"}


@dataclass(frozen=True)
class Scale:
    """What is searched, on what, how long."""

    data: str
    teacher: str
    student: str
    epochs: int | None
    trials: int
    seeds: tuple[int, ...]
    judged: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", choices=SCALES, default="small")
    chosen = parser.parse_args()
    scale = SCALES[chosen.scale]
    chosen.out.mkdir(parents=True, exist_ok=True)
    data = load_splits(scale.data, chosen.data_root, seed=42)
    train = data.train
    teacher = build(scale.teacher, train.classes, train.inputs, 1000)
    fit(teacher, train, default_recipe(scale.teacher, scale.data), seed=1000)
    recipe = default_recipe(scale.student, scale.data, scale.epochs)
    logits = teacher_logits(teacher, train, chosen.out / "logits.npy", flips=recipe.flips)
    lesson = Lesson(scale.student, recipe, data, logits)
    start = Hyperparameters(recipe.peak_lr, temperature=4.0, weight=0.9)
    trials = search(lesson, start, scale.trials, scale.seeds, storage=chosen.out / "trials.db")
    for one, score in trials[:5]:
        print(f"{score:.4f}  rate {one.peak_lr:.4g}, temperature {one.temperature:.3g}, weight {one.weight:.2f}")
    scores, difference = verdict(lesson, trials[0][0], start, scale.judged)
    for name, values in scores.items():
        print(f"test macro F1 of {name}: {interval(values)}")
    mean, low, high = (100 * value for value in (difference.mean, difference.low, difference.high))
    print(
        f"found - start: {mean:+.2f} points [{low:+.2f}, {high:+.2f}] (n={difference.n}), {WORDS[difference.verdict]}"
    )
    write_json(
        chosen.out / "found.json",
        {
            "start": vars(start),
            "trials": [{**vars(one), "validation_macro_f1": score} for one, score in trials],
            "test_macro_f1": scores,
        },
    )


SCALES = {
    "small": Scale("digits", "cnn-16", "cnn-8", None, 40, (0, 1), (10, 11, 12, 13, 14, 15, 16, 17, 18, 19)),
    "paper": Scale("cifar10", "resnet50", "resnet18", 10, 100, (42, 43, 44), (45, 46, 47, 48, 49)),
}

if __name__ == "__main__":
    main()
