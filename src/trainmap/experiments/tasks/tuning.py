"""Best hyperparameters: Optuna over learning rate, temperature and the teacher's weight of a distilled student, over
learning rate and weight decay of a plain one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.checksums import card_of, read_sealed, write_sealed
from trainmap.data.dataset import Splits
from trainmap.distillation.settings import Distillation
from trainmap.errors import DivergedError, StoreError, TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.budget import training_flops
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.step import Teaching

Ends = tuple[float, float]

RANGES: Mapping[str, Ends] = {
    "peak_lr": (1e-3, 1.0),
    "temperature": (1.0, 20.0),
    "weight": (0.0, 1.0),
    "weight_decay": (1e-5, 1e-1),
}
"""What is searched; the weight evenly, the others evenly in the logarithm."""


@dataclass(frozen=True)
class Hyperparameters:
    """What is searched of a distilled student: of the recipe the largest learning rate, of the loss the temperature and
    the weight."""

    peak_lr: float
    temperature: float
    weight: float


@dataclass(frozen=True)
class PlainHyperparameters:
    """What is searched of a network without a teacher: of the recipe the largest learning rate and the weight decay."""

    peak_lr: float
    weight_decay: float


Values = Hyperparameters | PlainHyperparameters


def values_of(told: Mapping[str, float]) -> Values:
    """Either kind, by its names."""
    return Hyperparameters(**told) if "temperature" in told else PlainHyperparameters(**told)


def recipe_with(recipe: Recipe, chosen: Values) -> Recipe:
    """A recipe with those of the values that are of a recipe."""
    decay = {"weight_decay": chosen.weight_decay} if isinstance(chosen, PlainHyperparameters) else {}
    return replace(recipe, peak_lr=chosen.peak_lr, **decay)


@dataclass(frozen=True)
class Trial:
    """One try: the mean macro F1 on the validation data in [0, 1], and what its students took, judging included."""

    chosen: Values
    macro_f1: float
    flops: int
    seconds: float = field(compare=False)
    cpu_seconds: float = field(compare=False)


@dataclass(frozen=True)
class Lesson:
    """A network's training but for its hyperparameters.

    Attributes:
        model: its name.
        recipe: what is searched of it is replaced.
        data: trained on ``train``, judged on ``validation``; the test data is not touched.
        teacher_logits: (N, C), rows aligned with ``data.train.ids``; or (N, 2, C) where the recipe flips; None without
            a teacher.
        distillation: its temperature and weight are replaced.
        device: where to compute.
        ids: of the training examples that are trained on, for as many epochs; None for all.
    """

    model: str
    recipe: Recipe
    data: Splits
    teacher_logits: NDArray[np.floating] | None
    distillation: Distillation = field(default_factory=Distillation)
    device: str = "cpu"
    ids: NDArray[Any] | None = None

    def macro_f1(self, chosen: Values, seed: int) -> tuple[float, int]:
        """Of a student with this seed on the validation data, and the FLOPs of its training. One that diverges has 0,
        and counts as if it had gone to its end."""
        whole, ids, logits = self.data.train, self.ids, self.teacher_logits
        train = whole if ids is None else whole.subset(ids)
        model = build(self.model, train.classes, train.inputs, seed)
        recipe, taught = recipe_with(self.recipe, chosen), None
        if logits is not None:
            assert isinstance(chosen, Hyperparameters)
            how = replace(self.distillation, temperature=chosen.temperature, weight=chosen.weight)
            taught = Teaching(logits if ids is None else logits[whole.rows(ids)], how)
        try:
            flops = fit(model, train, recipe, seed=seed, device=self.device, teaching=taught).all_flops
        except DivergedError:
            return 0.0, training_flops(forward_flops(model, train.inputs), recipe.epochs * len(train))
        logits = predict(model, self.data.validation, recipe.flips, self.device)
        return evaluate(logits, self.data.validation.y).macro_f1, flops


def search(
    lesson: Lesson,
    start: Values,
    trials: int,
    seeds: Sequence[int],
    *,
    ranges: Mapping[str, Ends] = RANGES,
    seed: int = 0,
    storage: str | Path | None = None,
) -> list[Trial]:
    """Every trial, the best first.

    Each trial trains one student for each of ``seeds``, the same ones, and is judged by their mean on the validation
    data. Optuna's tree-structured Parzen estimator chooses what to try next. A search that was killed and goes on ends
    as one that was not.

    Args:
        lesson: what is trained.
        start: tried first, so that the best is never worse than it on the validation data; its kind says what is
            searched.
        trials: how many, the first included.
        seeds: of the students.
        ranges: the two ends for each of its values.
        seed: of the search.
        storage: an SQLite file to go on from, where some of the trials may be done; None for memory.

    Raises:
        TrainmapError: no validation data, no trials or seeds, a start out of its range, or no Optuna.

    Source: Bergstra et al. 2011, Algorithms for hyper-parameter optimization (the estimator).
    """
    try:
        import optuna
    except ImportError as error:
        raise TrainmapError("the search needs Optuna: pip install 'trainmap[grid]'") from error
    check_search(len(lesson.data.validation), start, ranges)
    if trials < 1 or not seeds:
        raise TrainmapError(f"a search needs at least one trial and one seed, got {trials} and {len(seeds)}")

    def objective(trial: Any) -> float:
        tried = {name: ends for name, ends in ranges.items() if name in vars(start)}
        chosen = values_of({name: trial.suggest_float(name, *tried[name], log=name != "weight") for name in tried})
        began, cpu = time.perf_counter(), time.process_time()
        found = [lesson.macro_f1(chosen, one) for one in seeds]
        trial.set_user_attr("flops", sum(flops for _, flops in found))
        trial.set_user_attr("seconds", time.perf_counter() - began)
        trial.set_user_attr("cpu_seconds", time.process_time() - cpu)
        return float(np.mean([score for score, _ in found]))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="hyperparameters",
        storage=None if storage is None else f"sqlite:///{Path(storage).resolve()}",
        direction="maximize",
        load_if_exists=True,
    )
    finished = (optuna.trial.TrialState.COMPLETE,)
    _check_trials(storage, study.get_trials(states=finished))
    if not study.get_trials(states=finished):
        study.enqueue_trial(vars(start))
    while (done := len(study.get_trials(states=finished))) < trials:
        own = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])  # a search that goes on draws what is next
        study.sampler = optuna.samplers.TPESampler(seed=own)
        study.optimize(objective, n_trials=1)
        if storage is not None:
            write_sealed(card_of(Path(storage)), {"trials": _told(study.get_trials(states=finished))})
    found = [
        Trial(values_of(trial.params), float(trial.values[0]), **trial.user_attrs)
        for trial in study.get_trials(states=finished)
    ]
    return sorted(found, key=lambda trial: -trial.macro_f1)


def _told(trials: Sequence[Any]) -> list[dict[str, Any]]:
    """Trials as JSON has them."""
    return [{"params": one.params, "values": one.values, "spent": one.user_attrs} for one in trials]


def _check_trials(storage: str | Path | None, trials: Sequence[Any]) -> None:
    """Compare the trials of a search that goes on with what they were: an SQLite file has no checksums. After a kill
    there may be one trial more than was written down."""
    if storage is None or not card_of(Path(storage)).exists():
        return
    kept = read_sealed(card_of(Path(storage)), "list of trials", "remove both to search again")["trials"]
    if json.loads(json.dumps(_told(trials)))[: len(kept)] != kept or len(trials) > len(kept) + 1:
        raise StoreError(f"{storage} is damaged: its trials are not those that were made; remove it to search again")


def check_search(validation: int, start: Values, ranges: Mapping[str, Ends]) -> None:
    """Refuse a search that cannot be.

    Raises:
        TrainmapError: no examples to judge on, or a start that is not in the ranges.
    """
    if not validation:
        raise TrainmapError("a search needs validation data, got none; load the data with validation above 0")
    for name, value in vars(start).items():
        low, high = ranges[name]
        if not low <= value <= high:
            raise TrainmapError(f"{name} starts at {value:g}, which is not from {low:g} to {high:g}; widen its range")
