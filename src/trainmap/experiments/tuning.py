"""Best hyperparameters of a distilled student: Optuna over learning rate, temperature and the teacher's weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.experiments.statistics import Difference, paired_difference
from trainmap.training.data import Dataset, Splits
from trainmap.training.evaluate import evaluate, predict
from trainmap.training.fit import Distillation, fit
from trainmap.training.models import build
from trainmap.training.recipes import Recipe

RATE, TEMPERATURE, WEIGHT = (1e-3, 1.0), (1.0, 20.0), (0.0, 1.0)
"""The ranges that are searched; the first two evenly in the logarithm."""


@dataclass(frozen=True)
class Hyperparameters:
    """What is searched: of the recipe the largest learning rate, of Hinton's loss the temperature and the weight."""

    peak_lr: float
    temperature: float
    weight: float


@dataclass(frozen=True)
class Lesson:
    """A student's training but for its hyperparameters.

    Attributes:
        model: its name.
        recipe: its rate is replaced.
        data: trained on ``train``, searched on ``validation``, judged on ``test``.
        teacher_logits: (N, C), rows aligned with ``data.train.ids``; or (N, 2, C) where the recipe flips.
    """

    model: str
    recipe: Recipe
    data: Splits
    teacher_logits: NDArray[np.floating]

    def macro_f1(self, chosen: Hyperparameters, seed: int, part: Dataset) -> float:
        """Of a student with this seed, on a part of the data, in [0, 1]."""
        train = self.data.train
        model = build(self.model, train.classes, train.inputs, seed)
        recipe = replace(self.recipe, peak_lr=chosen.peak_lr)
        how = Distillation("hinton", temperature=chosen.temperature, weight=chosen.weight)
        fit(model, train, recipe, seed=seed, teacher_logits=self.teacher_logits, distillation=how)
        return evaluate(predict(model, part, recipe.flips), part.y).macro_f1


def search(
    lesson: Lesson,
    start: Hyperparameters,
    trials: int,
    seeds: Sequence[int],
    *,
    seed: int = 0,
    storage: str | Path | None = None,
) -> list[tuple[Hyperparameters, float]]:
    """Every trial with its validation macro F1, the best first.

    Each trial trains one student for each of ``seeds``, the same ones, and is judged by their mean on the validation
    data; the test data is not touched. Optuna's tree-structured Parzen estimator chooses what to try next. A search
    that was killed and goes on ends as one that was not.

    Args:
        lesson: what is trained.
        start: tried first, so that the best is never worse than it on the validation data.
        trials: how many, the first included.
        seeds: of the students.
        seed: of the search.
        storage: an SQLite file to go on from, where some of the trials may be done; None for memory.

    Raises:
        TrainmapError: no validation data, no trials or seeds, or no Optuna.

    Source: Bergstra et al. 2011, Algorithms for hyper-parameter optimization (the estimator).
    """
    try:
        import optuna
    except ImportError as error:
        raise TrainmapError("the search needs Optuna: pip install 'trainmap[grid]'") from error
    if not len(lesson.data.validation):
        raise TrainmapError("a search needs validation data, got none; load the data with validation above 0")
    if trials < 1 or not seeds:
        raise TrainmapError(f"a search needs at least one trial and one seed, got {trials} and {len(seeds)}")

    def objective(trial: Any) -> float:
        chosen = Hyperparameters(
            trial.suggest_float("peak_lr", *RATE, log=True),
            trial.suggest_float("temperature", *TEMPERATURE, log=True),
            trial.suggest_float("weight", *WEIGHT),
        )
        return float(np.mean([lesson.macro_f1(chosen, one, lesson.data.validation) for one in seeds]))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="hyperparameters",
        storage=None if storage is None else f"sqlite:///{Path(storage).resolve()}",
        direction="maximize",
        load_if_exists=True,
    )
    finished = (optuna.trial.TrialState.COMPLETE,)
    if not study.get_trials(states=finished):
        study.enqueue_trial(vars(start))
    while (done := len(study.get_trials(states=finished))) < trials:
        own = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])  # a search that goes on draws what is next
        study.sampler = optuna.samplers.TPESampler(seed=own)
        study.optimize(objective, n_trials=1)
    found = [(Hyperparameters(**trial.params), float(trial.values[0])) for trial in study.get_trials(states=finished)]
    return sorted(found, key=lambda pair: -pair[1])


def verdict(
    lesson: Lesson, found: Hyperparameters, start: Hyperparameters, seeds: Sequence[int]
) -> tuple[dict[str, list[float]], Difference]:
    """Test macro F1 of what was found and of the start, on seeds that the search did not use, and their difference.

    Its verdict reads "beats random" where the found ones beat the start.
    """
    scores = {
        name: {seed: lesson.macro_f1(chosen, seed, lesson.data.test) for seed in seeds}
        for name, chosen in (("found", found), ("start", start))
    }
    return {name: list(part.values()) for name, part in scores.items()}, paired_difference(
        scores["found"], scores["start"]
    )
