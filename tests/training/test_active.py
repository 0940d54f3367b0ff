"""Rounds that ask for labels: what is hidden stays hidden, a kill loses one round at most, every mistake is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from trainmap.data.dataset import Dataset, load_splits
from trainmap.errors import StoreError, TrainmapError
from trainmap.models.budget import inference_flops
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.selection.acquisitions import ACQUISITIONS
from trainmap.selection.guesses import Guesses, watched
from trainmap.selection.pool import Features
from trainmap.training.active import PoolWatch, Round, looks, rounds
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import Watching

N, CLASSES = 60, 3
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(N, 4))
LABELS = GENERATOR.integers(0, CLASSES, N)
SIZES = (6, 12, 18, 30)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take a hundred times as long as such small sums."""
    with threadpool_limits(1):
        yield


def learn(one: Round) -> tuple[Guesses, dict[str, Any]]:
    """A classifier by the nearest class centre, whose three epochs are three temperatures."""
    centres = np.stack([X[one.ids[one.labels == c]].mean(axis=0) if (one.labels == c).any() else 9 * np.ones(4)
                        for c in range(CLASSES)])  # fmt: skip
    distance = np.linalg.norm(X[:, None] - centres, axis=2)
    found = watched(np.arange(N), CLASSES)
    for heat in (0.2, 1.0, 3.0):
        found = found.after(np.arange(N), softmax(-heat * distance, axis=1))
    return found.with_features(Features(np.arange(N), X)), {"labels": len(one.ids)}


def oracle(labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda ids: labels[ids]


def asked(strategy: Any, labels: np.ndarray = LABELS, **how: Any) -> list[list[int]]:
    """The ids that are new in each round."""
    found = rounds(np.arange(N), SIZES, learn, oracle(labels), strategy=strategy, **how)
    return [sorted(one.ids[-one.new :].tolist()) for one in found]


@pytest.mark.parametrize("strategy", ACQUISITIONS)
def test_labels_that_were_not_asked_for_change_nothing(strategy: str) -> None:
    first = asked(strategy)
    for last in range(1, len(SIZES)):  # what is asked next depends on nothing but the labels that were given
        known = np.concatenate(first[:last])
        other = np.random.default_rng(1).permutation(LABELS)
        other[known] = LABELS[known]
        assert asked(strategy, other)[: last + 1] == first[: last + 1]


def test_the_oracle_is_asked_for_each_label_once_and_for_no_other() -> None:
    questions: list[list[int]] = []

    def person(ids: np.ndarray) -> np.ndarray:
        questions.append(ids.tolist())
        return LABELS[ids]

    found = list(rounds(np.arange(N), SIZES, learn, person))
    assert [len(question) for question in questions] == [6, 6, 6, 12]
    assert len({id_ for question in questions for id_ in question}) == 30
    assert [len(one.ids) for one in found] == list(SIZES)
    assert [one.last for one in found] == [False, False, False, True]
    np.testing.assert_array_equal(found[-1].labels, LABELS[found[-1].ids])


def test_all_strategies_of_a_seed_begin_alike_and_seeds_do_not() -> None:
    starts = {seed: {tuple(asked(strategy, seed=seed)[0]) for strategy in ("random", "badge")} for seed in range(4)}
    assert all(len(start) == 1 for start in starts.values())
    assert len(set.union(*starts.values())) == 4


def test_the_order_of_the_ids_changes_nothing() -> None:
    shuffled = np.random.default_rng(5).permutation(N)
    for strategy in ("random", "entropy", "k-centers"):
        found = rounds(shuffled, SIZES, learn, oracle(LABELS), strategy=strategy)
        assert [sorted(one.ids[-one.new :].tolist()) for one in found] == asked(strategy)


def test_random_needs_no_guesses_and_the_last_round_none_at_all() -> None:
    def blind(one: Round) -> tuple[None, dict[str, Any]]:
        return None, {}

    assert len(list(rounds(range(N), SIZES, blind, oracle(LABELS), strategy="random"))) == 4
    assert len(list(rounds(range(N), SIZES[:1], blind, oracle(LABELS), strategy="badge"))) == 1
    with pytest.raises(TrainmapError, match="entropy reads what was guessed"):
        list(rounds(range(N), SIZES, blind, oracle(LABELS), strategy="entropy"))


def test_ids_may_be_names() -> None:
    names = [f"text {number:02}" for number in range(N)]

    def named(one: Round) -> tuple[Guesses, dict[str, Any]]:
        p = np.random.default_rng(len(one.ids)).dirichlet(np.ones(CLASSES), N)
        return watched(names, CLASSES).after(names, p), {}

    found = list(rounds(names, SIZES, named, lambda ids: [int(name[-1]) % 3 for name in ids], strategy="margin"))
    assert found[-1].ids.dtype.kind == "U"
    assert found[-1].labels.tolist() == [int(name[-1]) % 3 for name in found[-1].ids.tolist()]


class Killed(Exception):
    pass


@pytest.mark.parametrize("strategy", ["random", "variability", "badge"])
@pytest.mark.parametrize("where", ["learn", "oracle", "loop"])
def test_a_killed_run_goes_on_after_its_last_finished_round(tmp_path: Path, strategy: str, where: str) -> None:
    whole = asked(strategy)
    for at in range(len(SIZES)):
        file = tmp_path / f"{where}-{at}.json"
        trained: list[int] = []

        def dying(one: Round, at: int = at, trained: list[int] = trained) -> tuple[Guesses, dict[str, Any]]:
            trained.append(one.number)
            if where == "learn" and one.number == at and trained.count(at) == 1:
                raise Killed
            return learn(one)

        questions: list[int] = []

        def silent(ids: np.ndarray, at: int = at, questions: list[int] = questions) -> np.ndarray:
            questions.append(len(ids))
            if where == "oracle" and len(questions) == at + 1:
                raise Killed
            return LABELS[ids]

        def run(file: Path = file, dying: Any = dying, silent: Any = silent) -> Any:
            return rounds(np.arange(N), SIZES, dying, silent, strategy=strategy, file=file)

        with pytest.raises(Killed):  # noqa: PT012
            for one in run():
                if where == "loop" and one.number == at:
                    raise Killed
        found = list(run())
        assert [sorted(one.ids[-one.new :].tolist()) for one in found] == whole
        assert [one.told for one in found] == [{"labels": size} for size in SIZES]
        once_more = 1 if where == "learn" else 0
        assert len(questions) == len(SIZES) + (where == "oracle")  # no label is asked for twice
        assert len(trained) == len(SIZES) + once_more
        again = list(run())  # a finished one trains nothing and says the same
        assert len(trained) == len(SIZES) + once_more
        assert [one.choosing_cpu_seconds for one in again] == [one.choosing_cpu_seconds for one in found]


def test_a_file_of_other_rounds_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rounds.json"
    kept = asked("entropy", file=file)
    for change, name in (
        ({"strategy": "margin"}, "strategy"),
        ({"seed": 1}, "seed"),
    ):
        with pytest.raises(StoreError, match=rf"is of other rounds \(other {name}\); remove it"):
            asked(**{"strategy": "entropy", "file": file, **change})
    with pytest.raises(StoreError, match="other sizes"):
        rounds(np.arange(N), (6, 12), learn, oracle(LABELS), file=file)
    with pytest.raises(StoreError, match="other ids"):
        rounds(np.arange(N + 1), SIZES, learn, oracle(LABELS), file=file)
    assert asked("entropy", file=file) == kept
    held = json.loads(file.read_text())
    held["rounds"][0]["labels"][0] ^= 1
    file.write_text(json.dumps(held))
    with pytest.raises(StoreError, match="checksum"):
        asked("entropy", file=file)


@pytest.mark.parametrize("sizes", [(), (0,), (5, 5), (6, 5), (5, 61), (5.5,), (True,)])
def test_sizes_that_do_not_rise_or_fit_are_refused_at_the_door(sizes: Any) -> None:
    with pytest.raises(TrainmapError, match="sizes must"):
        rounds(np.arange(N), sizes, learn, oracle(LABELS))


@pytest.mark.parametrize("answer", [lambda ids: LABELS[ids][1:], lambda ids: -np.ones(len(ids), int), lambda ids: None])
def test_answers_that_are_no_labels_are_refused(answer: Any) -> None:
    with pytest.raises(TrainmapError):
        next(rounds(np.arange(N), SIZES, learn, answer))


def test_guesses_of_other_examples_and_results_that_json_cannot_hold_are_refused() -> None:
    def part(one: Round) -> tuple[Guesses, dict[str, Any]]:
        return learn(one)[0].rows(np.arange(N) < 50), {}

    with pytest.raises(TrainmapError, match="guesses of all the examples"):
        next(rounds(np.arange(N), SIZES, part, oracle(LABELS)))
    for told in ({"x": np.nan}, {"x": object()}):
        with pytest.raises(TrainmapError, match="what JSON can hold"):
            next(rounds(np.arange(N), SIZES, lambda one, told=told: (learn(one)[0], told), oracle(LABELS)))


@pytest.mark.parametrize(
    ("strategy", "epochs", "sweeps", "expected"),
    [
        ("random", 10, 5, []),
        ("entropy", 10, 5, [9]),
        ("variability", 10, 5, [1, 3, 5, 7, 9]),
        ("variability", 10, 3, [3, 6, 9]),
        ("variability", 3, 10, [0, 1, 2]),
    ],
)
def test_a_strategy_looks_as_often_as_it_reads(strategy: str, epochs: int, sweeps: int, expected: list[int]) -> None:
    assert sorted(looks(ACQUISITIONS[strategy], epochs, sweeps)) == expected


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_splits("digits").train.subset(load_splits("digits").train.ids[:200])


@pytest.mark.parametrize("strategy", ["random", "entropy", "disagreement", "cartography"])
def test_a_watch_predicts_the_pool_after_the_epochs_and_counts_what_it_took(digits: Dataset, strategy: str) -> None:
    recipe, way = Recipe(epochs=5, batch=32, peak_lr=0.05), ACQUISITIONS[strategy]
    model, again = (build("mlp-256", digits.classes, digits.inputs, 0) for _ in range(2))
    watch = PoolWatch(model, digits, way, 5, 3, "cpu")
    part = digits.subset(digits.ids[:64])
    fit(model, part, recipe, seed=0, watching=Watching(on_epoch=watch))
    fit(again, part, recipe, seed=0)
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)  # to be looked at changes nothing
    seen = {"random": 0, "entropy": 1, "disagreement": 3, "cartography": 3}[strategy]
    assert watch.guesses.epochs == seen
    passes = seen + (strategy == "cartography")
    assert watch.flops == inference_flops(forward_flops(model, digits.inputs), passes * len(digits))
    assert (watch.guesses.features is not None) == way.features
