"""Acquisition functions: each by hand on a tiny table, one contract over the table, and labels that stay hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import pairwise_distances
from threadpoolctl import threadpool_limits

from trainmap.errors import TrainmapError
from trainmap.selection import acquisitions as acq
from trainmap.selection.acquisitions import ACQUISITIONS, Acquisition, Question, acquire
from trainmap.selection.guesses import Guesses, watched
from trainmap.selection.pool import Features

TABLE = np.array(  # (E, n, C): three epochs of three examples
    [
        [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]],
        [[0.9, 0.1, 0.0], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]],
        [[1.0, 0.0, 0.0], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1]],
    ]
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take a hundred times as long as such small sums."""
    with threadpool_limits(1):
        yield


def guessed(table: np.ndarray, features: np.ndarray | None = None, ids: Any = None) -> Guesses:
    ids = np.arange(table.shape[1]) if ids is None else ids
    found = watched(ids, table.shape[2])
    for epoch in table:
        found = found.after(ids, epoch)
    return found if features is None else found.with_features(Features(np.asarray(ids), features))


def asked(labelled: int = 12, pool: int = 40, seed: int = 0, classes: int = 4) -> Question:
    generator = np.random.default_rng(seed)
    ids = generator.permutation(1000)[: labelled + pool]
    table = softmax(2 * generator.normal(size=(5, len(ids), classes)), axis=2)
    found = guessed(table, generator.normal(size=(len(ids), 6)), ids)
    mine = np.arange(len(ids)) % 4 == 0
    mine[np.flatnonzero(mine)[labelled:]] = False
    labels = generator.integers(0, classes, int(mine.sum()))
    return Question(found.ids[~mine], found.rows(~mine), found.rows(mine), labels)


def test_running_sums_are_those_of_the_whole_table() -> None:
    found = guessed(TABLE)
    np.testing.assert_allclose(found.mean, TABLE.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.variance, TABLE.var(axis=0), atol=1e-12)
    assert found.votes.tolist() == [[3, 0, 0], [2, 1, 0], [1, 1, 1]]
    assert found.switches.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.mean_entropy, [scipy_entropy(TABLE[:, i], axis=1).mean() for i in range(3)])
    assert found.predicted.tolist() == [0, 0, 1]


def test_the_order_in_which_the_examples_come_changes_nothing() -> None:
    order, found = np.array([2, 0, 1]), watched([7, 3, 5], 3)
    for epoch in TABLE:
        found = found.after(np.array([3, 5, 7])[order], epoch[order])
    for name, value in vars(guessed(TABLE, ids=np.array([3, 5, 7]))).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_values_by_hand() -> None:
    found = guessed(TABLE)
    log = np.log
    h = [0.0, -0.4 * log(0.4) - 0.6 * log(0.3), -0.8 * log(0.8) - 0.2 * log(0.1)]
    np.testing.assert_allclose(acq.entropy(found), h)
    np.testing.assert_allclose(acq.margin(found), [0, 0.9, 0.3])
    m = TABLE.mean(axis=0)
    np.testing.assert_allclose(acq.mean_entropy(found), scipy_entropy(m, axis=1))
    np.testing.assert_allclose(acq.mean_margin(found), [1 - (0.9 - 1 / 15), 1 - (0.4 - 1 / 3), 1 - (7 / 15 - 1 / 3)])
    spread = [np.std([0.8, 0.9, 1.0]), np.std([0.2, 0.6, 0.4]), np.std([0.4, 0.2, 0.8])]
    np.testing.assert_allclose(acq.variability(found), spread)
    assert acq.switches(found).tolist() == [0, 1, 2]
    np.testing.assert_allclose(acq.dispersion(found), [0, 1 / 3, 2 / 3])
    kl = [np.mean([scipy_entropy(TABLE[t, i], m[i]) for t in range(3)]) for i in range(3)]
    np.testing.assert_allclose(acq.disagreement(found), kl)


def test_density_is_entropy_times_how_like_the_pool_an_example_is() -> None:
    features = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    likeness = np.array([(1 + 1 + 0.5) / 3, (1 + 1 + 0.5) / 3, (0.5 + 0.5 + 1) / 3])
    found = guessed(TABLE, features)
    np.testing.assert_allclose(acq.density(found), acq.entropy(found) * likeness)


def test_density_of_an_example_without_a_direction_is_half() -> None:
    found = guessed(TABLE, np.zeros((3, 2)))
    np.testing.assert_allclose(acq.density(found), acq.entropy(found) / 2)


def test_cartography_asks_where_early_and_late_meet() -> None:
    sure, late = [[0.9, 0.1]] * 4, [[0.1, 0.9]] * 2 + [[0.9, 0.1]] * 2
    features = np.linspace(-1, 1, 8)[:, None]
    labelled = guessed(np.array([sure] * 4 + [late] * 4).transpose(1, 0, 2), features)
    pool = guessed(np.full((2, 3, 2), 0.5), np.array([[-0.9], [0.05], [0.9]]))
    question = Question(pool.ids, pool, labelled, np.zeros(8, np.int64))
    assert acq.cartography(question).argmax() == 1
    assert acquire("cartography", question, 1, np.random.default_rng(0)).tolist() == [1]
    alike = replace(question, labelled=guessed(np.array([sure] * 8).transpose(1, 0, 2), features))
    assert acq.cartography(alike).tolist() == [0, 0, 0]


def test_k_centers_are_the_farthest_from_all_that_is_labelled_or_taken() -> None:
    question = asked()
    assert question.pool is not None
    assert question.labelled is not None
    x, known = question.pool.features, question.labelled.features
    assert x is not None
    assert known is not None
    distance, taken = pairwise_distances(x, known).min(axis=1), []
    for _ in range(5):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, pairwise_distances(x, x[taken[-1:]])[:, 0])
    found = acquire("k-centers", question, 5, np.random.default_rng(0))
    assert found.tolist() == sorted(question.ids[taken].tolist())


def test_badge_begins_with_the_longest_gradient() -> None:
    question = asked()
    pool = question.pool
    assert pool is not None
    assert pool.features is not None
    off = pool.last - np.eye(4)[pool.predicted]
    length = np.linalg.norm(off, axis=1) * np.linalg.norm(pool.features, axis=1)
    assert acquire("badge", question, 1, np.random.default_rng(0)).tolist() == [question.ids[length.argmax()]]


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_every_acquisition_draws_so_many_different_ids_and_the_same_again(name: str) -> None:
    question, way = asked(), ACQUISITIONS[name]
    for size in (1, 7, len(question.ids)):
        found, again = (acquire(name, question, size, np.random.default_rng(3)) for _ in range(2))
        assert len(set(found.tolist())) == size
        assert set(found.tolist()) <= set(question.ids.tolist())
        np.testing.assert_array_equal(found, again)
    others = [acquire(name, question, 7, np.random.default_rng(seed)).tolist() for seed in range(8)]
    assert way.random or all(other == others[0] for other in others)
    assert way.source
    assert way.name == name


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_every_acquisition_reads_what_it_says_and_no_more(name: str) -> None:
    question, way = asked(), ACQUISITIONS[name]
    assert question.pool is not None
    assert question.labelled is not None
    less = question
    if not way.labelled:
        less = replace(less, labelled=None, labels=None)
    if not way.features:
        less = replace(less, pool=replace(question.pool, features=None))
    if way.reads == "last":
        assert less.pool is not None
        junk = np.full_like(question.pool.mean, np.nan)
        less = replace(less, pool=replace(less.pool, epochs=1, mean=junk, squares=junk, votes=junk, switches=junk))
    if way.reads == "nothing":
        less = Question(question.ids)
    full, read = (acquire(name, one, 7, np.random.default_rng(1)) for one in (question, less))
    np.testing.assert_array_equal(full, read)


@pytest.mark.parametrize("name", [name for name, way in ACQUISITIONS.items() if way.reads != "nothing"])
def test_every_acquisition_refuses_a_question_without_what_it_reads(name: str) -> None:
    question, way, generator = asked(), ACQUISITIONS[name], np.random.default_rng(0)
    assert question.pool is not None
    with pytest.raises(TrainmapError, match=f"{name} reads what was guessed"):
        acquire(name, replace(question, pool=None), 1, generator)
    few = replace(question.pool, epochs=1 if way.reads == "epochs" else 0)
    with pytest.raises(TrainmapError, match=f"{name} needs guesses of"):
        acquire(name, replace(question, pool=few), 1, generator)
    if way.features:
        with pytest.raises(TrainmapError, match=f"{name} needs the features of the pool"):
            acquire(name, replace(question, pool=replace(question.pool, features=None)), 1, generator)
    if way.labelled:
        with pytest.raises(TrainmapError, match=f"{name} reads the labelled examples"):
            acquire(name, replace(question, labels=None), 1, generator)
        assert question.labels is not None
        with pytest.raises(TrainmapError, match=r"labels must be 0 to 3 \(the classes guessed\), got 4"):
            acquire(name, replace(question, labels=np.full_like(question.labels, 4)), 1, generator)
    with pytest.raises(TrainmapError, match="are of other examples"):
        acquire(name, replace(question, ids=question.ids + 1), 1, generator)


@pytest.mark.parametrize("size", [0, 41, 1.5, True, "3"])
def test_sizes_that_are_none_are_refused(size: Any) -> None:
    with pytest.raises(TrainmapError, match="size must be"):
        acquire("random", asked(), size, np.random.default_rng(0))


def test_a_question_has_no_place_for_a_label_of_the_pool() -> None:
    assert set(Question.__dataclass_fields__) == {"ids", "pool", "labelled", "labels"}
    assert not any("label" in name or name in ("y", "gold") for name in Guesses.__dataclass_fields__)


def test_a_function_of_your_own_is_a_strategy() -> None:
    def first(question: Question, size: int, generator: np.random.Generator) -> np.ndarray:
        return np.arange(size)

    question = Question(np.array([5, 6, 9]))
    assert acquire(first, question, 2, np.random.default_rng(0)).tolist() == [5, 6]
    for rows in ([0, 0], [0, 3], [-1, 0], [0], [0.0, 1.0]):
        with pytest.raises(TrainmapError, match="<lambda> must return 2 different rows, 0 to 2"):
            acquire(lambda *_, rows=rows: np.array(rows), question, 2, np.random.default_rng(0))


def test_unknown_names_and_missing_libraries_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainmapError, match="unknown acquisition 'entropie'; did you mean 'entropy'"):
        acquire("entropie", asked(), 1, np.random.default_rng(0))
    monkeypatch.setattr(acq, "find_spec", lambda _: None)
    with pytest.raises(TrainmapError, match=r"badge needs scikit-activeml: pip install 'trainmap\[active\]'"):
        acquire("badge", asked(), 1, np.random.default_rng(0))
    assert acquire("entropy", asked(), 1, np.random.default_rng(0)).shape == (1,)


def test_badge_says_how_much_memory_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acq, "memory_allowed", lambda: 1000)
    with pytest.raises(TrainmapError, match=r"badge needs 15\.4 kB of memory for 40 examples, 4 classes and 6 "):
        acquire("badge", asked(), 1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.ones((3, 3)), "sum to 1"),
        (np.array([[2.0, -1.0, 0.0]] * 3), "at least 0"),
        (np.full((3, 3), np.nan), "at least 0"),
        (np.full((3, 2), 0.5), r"probabilities must be \(n, 3\)"),
        (np.full(3, 1.0), r"probabilities must be \(n, 3\)"),
        (np.full((2, 3), 1 / 3), "each of the 3 examples once"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities: np.ndarray, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        watched([1, 2, 3], 3).after([1, 2, 3], probabilities)


@pytest.mark.parametrize("ids", [[1, 2, 2], [1, 2, 4], [1, 2], ["1", "2", "3"]])
def test_guesses_of_other_examples_are_refused(ids: list[Any]) -> None:
    with pytest.raises(TrainmapError, match=r"each of the 3 examples once|distinct"):
        watched([1, 2, 3], 3).after(ids, np.full((3, 3), 1 / 3))
    with pytest.raises(TrainmapError):
        guessed(TABLE).with_features(Features(np.array([0, 1, 5]), np.zeros((3, 2))))


@pytest.mark.parametrize(("ids", "classes"), [([], 2), ([1, 1], 2), ([1, 2], 1)])
def test_nothing_to_guess_is_refused(ids: list[int], classes: int) -> None:
    with pytest.raises(TrainmapError):
        watched(ids, classes)


def test_equal_values_do_not_follow_the_ids() -> None:
    alike = guessed(np.full((2, 100, 2), 0.5))
    found = acquire(ACQUISITIONS["entropy"], Question(alike.ids, alike), 50, np.random.default_rng(0))
    assert 10 < (found < 50).sum() < 40


def test_the_table_is_of_acquisitions() -> None:
    assert all(isinstance(way, Acquisition) for way in ACQUISITIONS.values())
    assert all(f"``{name}``" in (acq.__doc__ or "") for name in ACQUISITIONS)
