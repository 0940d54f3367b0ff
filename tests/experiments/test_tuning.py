"""The search for hyperparameters: what it tries, that it goes on, that the test data stays out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainmap.data.dataset import Splits, load_splits
from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.tuning import RANGES, Hyperparameters, Lesson, search
from trainmap.training.recipes import Recipe

START = Hyperparameters(0.05, 4.0, 0.5)


@pytest.fixture(scope="module")
def data() -> Splits:
    whole = load_splits("digits", seed=1)
    return replace(whole, train=whole.train.subset(np.sort(whole.train.ids)[:200]))


@pytest.fixture(scope="module")
def lesson(data: Splits) -> Lesson:
    logits = 5 * np.eye(10, dtype=np.float16)[data.train.y]  # a teacher that knows the labels
    return Lesson("mlp-256", Recipe(epochs=2, batch=32), data, logits)


def test_the_start_is_tried_and_the_best_is_no_worse(lesson: Lesson) -> None:
    found = search(lesson, START, 4, [0])
    assert len(found) == 4
    assert START in [trial.chosen for trial in found]
    scores = [trial.macro_f1 for trial in found]
    assert scores == sorted(scores, reverse=True)
    for trial in found:
        assert all(RANGES[name][0] <= value <= RANGES[name][1] for name, value in vars(trial.chosen).items())


def test_the_costs_of_a_trial_are_those_of_all_its_students(lesson: Lesson) -> None:
    (one,), (two,) = search(lesson, START, 1, [0]), search(lesson, START, 1, [0, 1])
    assert two.flops == 2 * one.flops > 0
    assert one.seconds > 0


def test_other_ranges_are_kept_to_and_a_start_outside_is_refused(lesson: Lesson) -> None:
    ranges = {"peak_lr": (0.04, 0.06), "temperature": (3.0, 5.0), "weight": (0.4, 0.6)}
    for trial in search(lesson, START, 3, [0], ranges=ranges):
        assert all(low <= getattr(trial.chosen, name) <= high for name, (low, high) in ranges.items())
    with pytest.raises(TrainmapError, match=r"temperature starts at 4, which is not from 5 to 9; widen its range"):
        search(lesson, START, 1, [0], ranges={**ranges, "temperature": (5.0, 9.0)})


def test_a_training_that_diverges_counts_as_the_worst(lesson: Lesson) -> None:
    wild = Hyperparameters(1e30, 4.0, 0.5)
    (trial,) = search(lesson, wild, 1, [0], ranges={**RANGES, "peak_lr": (1e-3, 1e31)})
    assert trial.macro_f1 == 0
    assert trial.flops == search(lesson, START, 1, [0])[0].flops


def test_the_same_search_finds_the_same(lesson: Lesson) -> None:
    assert search(lesson, START, 3, [0], seed=5) == search(lesson, START, 3, [0], seed=5)


def test_a_search_goes_on_where_it_was(lesson: Lesson, tmp_path: Path) -> None:
    first = search(lesson, START, 2, [0], storage=tmp_path / "trials.db")
    more = search(lesson, START, 4, [0], storage=tmp_path / "trials.db")
    assert {trial.chosen for trial in first} < {trial.chosen for trial in more}
    assert more == search(lesson, START, 4, [0])
    assert search(lesson, START, 4, [0], storage=tmp_path / "trials.db") == more


def test_the_search_never_sees_the_test_data(lesson: Lesson, data: Splits) -> None:
    wrong = replace(data.test, y=(data.test.y + 1) % 10)
    other = replace(lesson, data=replace(data, test=wrong))
    assert search(lesson, START, 2, [0]) == search(other, START, 2, [0])


def test_a_rate_that_learns_nothing_is_worse_than_one_that_does(lesson: Lesson) -> None:
    slow = Hyperparameters(1e-6, 4.0, 0.5)
    assert lesson.macro_f1(slow, 1)[0] < lesson.macro_f1(START, 1)[0]


def test_a_search_needs_validation_data_and_trials(lesson: Lesson, data: Splits) -> None:
    bare = replace(lesson, data=replace(data, validation=data.validation.subset([])))
    with pytest.raises(TrainmapError, match="validation data"):
        search(bare, START, 2, [0])
    with pytest.raises(TrainmapError, match="at least one trial"):
        search(lesson, START, 0, [0])
