"""The search for hyperparameters: what it tries, that it goes on, that the test data stays out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainmap.errors import TrainmapError
from trainmap.experiments.tuning import RATE, TEMPERATURE, WEIGHT, Hyperparameters, Lesson, search, verdict
from trainmap.training.data import Splits, load_splits
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
    assert START in [one for one, _ in found]
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    for one, _ in found:
        assert RATE[0] <= one.peak_lr <= RATE[1]
        assert TEMPERATURE[0] <= one.temperature <= TEMPERATURE[1]
        assert WEIGHT[0] <= one.weight <= WEIGHT[1]


def test_the_same_search_finds_the_same(lesson: Lesson) -> None:
    assert search(lesson, START, 3, [0], seed=5) == search(lesson, START, 3, [0], seed=5)


def test_a_search_goes_on_where_it_was(lesson: Lesson, tmp_path: Path) -> None:
    first = search(lesson, START, 2, [0], storage=tmp_path / "trials.db")
    more = search(lesson, START, 4, [0], storage=tmp_path / "trials.db")
    assert {one for one, _ in first} < {one for one, _ in more}
    assert more == search(lesson, START, 4, [0])
    assert search(lesson, START, 4, [0], storage=tmp_path / "trials.db") == more


def test_the_search_never_sees_the_test_data(lesson: Lesson, data: Splits) -> None:
    wrong = replace(data.test, y=(data.test.y + 1) % 10)
    other = replace(lesson, data=replace(data, test=wrong))
    assert search(lesson, START, 2, [0]) == search(other, START, 2, [0])


def test_a_rate_that_learns_nothing_is_worse_than_one_that_does(lesson: Lesson) -> None:
    scores, difference = verdict(lesson, Hyperparameters(1e-6, 4.0, 0.5), START, [1, 2, 3])
    assert difference.verdict == "worse"
    assert max(scores["found"]) < min(scores["start"])


def test_a_search_needs_validation_data_and_trials(lesson: Lesson, data: Splits) -> None:
    bare = replace(lesson, data=replace(data, validation=data.validation.subset([])))
    with pytest.raises(TrainmapError, match="validation data"):
        search(bare, START, 2, [0])
    with pytest.raises(TrainmapError, match="at least one trial"):
        search(lesson, START, 0, [0])
