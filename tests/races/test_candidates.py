"""What is raced: weights by hand, draws that follow them, paired noise, and what cannot be raced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

import trainmap as tm
from trainmap.races.candidates import CANDIDATES, Candidate, contenders, cut, drawn, evenly, middle, tilted, unfit
from trainmap.races.fresh_draws import schedule_of
from trainmap.races.raced import pool_of
from trainmap.selection.pool import Pool

MakeMap = Callable[..., tm.DataMap]


def pool(confidence: list[float], labels: list[int] | None = None) -> Pool:
    n = len(confidence)
    scores = {"confidence": np.array(confidence), "variability": np.arange(n) / n}
    return Pool(np.arange(n), np.array(labels or [0] * n), scores, kept=0.5, epochs=3, examples=n)


def test_weights_are_what_their_formulas_say() -> None:
    four = pool([0.1, 0.9, 0.4, 0.5])
    assert tilted(four, "confidence", 2.0).tolist() == [0.25, 1.75, 0.75, 1.25]
    assert tilted(four, "confidence", -2.0).tolist() == [-0.25, -1.75, -0.75, -1.25]
    five = pool([0.1, 0.2, 0.4, 0.5, 0.9])  # from the median outwards: 0.4; then 0.2 and 0.5; then the ends
    weights = middle(five, 4.0)
    assert weights[2] == max(weights) == 4 * (1 - 0.1)
    assert min(weights[1], weights[3]) > max(weights[0], weights[4])


def test_a_cut_takes_the_lowest_of_all_but_no_class_loses_more_than_half() -> None:
    ten = pool([0.9] * 6 + [0.1, 0.2, 0.3, 0.4], [0] * 6 + [1] * 4)
    gone = np.flatnonzero(np.isneginf(cut(ten, 0.3)))
    assert gone.tolist() == [6, 7]  # of the three lowest, two: half of their class
    assert np.isfinite(cut(ten, 0.0)).all()


def test_examples_without_a_value_are_never_drawn_by_it_but_evenly() -> None:
    some = pool([0.5, np.nan, 0.7, 0.9])
    assert np.isneginf(CANDIDATES["easy"].of(some)).tolist() == [False, True, False, False]
    assert np.isfinite(Candidate(evenly).of(some)).all()


@pytest.mark.parametrize("name", [name for name, one in CANDIDATES.items() if one.balance == "proportional"])
def test_every_candidate_draws_the_classes_in_proportion(name: str, make_map: MakeMap) -> None:
    datamap = make_map(300, labels=np.repeat([0, 1, 2], [30, 90, 180]))
    one = pool_of(datamap, 100)
    rows = np.isin(one.ids, drawn(CANDIDATES[name], one, 100, seed=4))
    weights = CANDIDATES[name].of(one)
    assert rows.sum() == 100
    assert not rows[np.isneginf(weights)].any()
    left = np.bincount(one.labels[np.isfinite(weights)])
    assert np.abs(np.bincount(one.labels[rows]) - 100 * left / left.sum()).max() <= 1


def test_balanced_draws_as_many_of_every_class(make_map: MakeMap) -> None:
    one = pool_of(make_map(300, labels=np.repeat([0, 1, 2], [30, 90, 180])), 60)
    assert np.bincount(one.labels[np.isin(one.ids, drawn(CANDIDATES["balanced"], one, 60, 0))]).tolist() == [20] * 3


def test_a_preference_is_drawn_more_often_by_its_weight() -> None:
    """Two classes of examples, one e^2 as heavy, one drawn of ten: 5 e^2 / (5 e^2 + 5) of the draws are heavy."""
    ten = pool([0.1] * 5 + [0.9] * 5)
    one = Candidate(lambda known: 2.0 * (known.scores["confidence"] > 0.5))
    heavy = np.mean([drawn(one, ten, 1, seed)[0] >= 5 for seed in range(1500)])
    assert abs(heavy - np.exp(2) / (np.exp(2) + 1)) < 0.03


def test_the_same_seed_gives_all_candidates_the_same_noise(make_map: MakeMap) -> None:
    """Weights of a hair's breadth draw nearly the even subset; another seed another one."""
    one, even = pool_of(make_map(1000), 100), Candidate(evenly)
    slight = Candidate(lambda known: 0.01 * known.scores["confidence"])
    alike = len(np.intersect1d(drawn(even, one, 100, 1), drawn(slight, one, 100, 1)))
    other = len(np.intersect1d(drawn(even, one, 100, 1), drawn(slight, one, 100, 2)))
    assert alike >= 95
    assert other <= 30


def test_fresh_draws_visit_each_example_as_often_as_its_weight_says() -> None:
    """Weights 1 and 3 of four examples each, two visits an epoch: 1/8 and 3/8 of the epochs, one more or less."""
    eight = pool([0.1] * 4 + [0.9] * 4)
    one = Candidate(lambda known: np.log(3.0) * (known.scores["confidence"] > 0.5))
    schedule = schedule_of(one, eight, 2, seed=0)
    visits = np.bincount(np.concatenate([schedule.plan(epoch).ids for epoch in range(32)]), minlength=8)
    assert visits.sum() == 64
    assert np.abs(visits - np.repeat([4, 12], 4)).max() <= 1


def test_fresh_draws_follow_from_the_epoch_and_the_seed_alone(make_map: MakeMap) -> None:
    one = pool_of(make_map(100), 20)
    for name, candidate in contenders({**CANDIDATES, "ccs": "ccs"}).items():
        if unfit(candidate, one, 20):
            continue
        ahead, again = schedule_of(candidate, one, 20, seed=5), schedule_of(candidate, one, 20, seed=5)
        third = ahead.plan(3).ids
        assert (again.plan(0).ids == ahead.plan(0).ids).all(), name
        assert (again.plan(3).ids == third).all(), name
        assert len(np.unique(third)) == 20, name


def test_what_cannot_be_raced_says_why(make_map: MakeMap) -> None:
    even_classes = pool_of(make_map(100, labels=np.arange(100) % 4), 20)
    assert unfit(CANDIDATES["balanced"], even_classes, 20) == "the classes are as large as each other"
    assert unfit(CANDIDATES["cut"], even_classes, 95) == "leaves 90 examples"
    assert "no aum" in unfit(Candidate(lambda known: known.scores["aum"], scores=("aum",)), pool([0.1, 0.2]), 1)
    (features,) = contenders({"moderate": "moderate"}).values()
    assert unfit(features, even_classes, 20) == "needs features"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cut", "must be names, or name -> candidate"),
        (["nosuch"], "unknown candidate 'nosuch'"),
        ({"even": Candidate(evenly)}, "a name that is not 'even'"),
        ({"": Candidate(evenly)}, "a name that is not 'even'"),
        ([], "at least one candidate"),
        ({"x": "nosuch"}, "unknown strategy 'nosuch'"),
        (5, "must be names, or name -> candidate"),
    ],
)
def test_candidates_that_are_none_are_refused(given: object, said: str) -> None:
    with pytest.raises(tm.TrainmapError, match=said):
        contenders(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "weights", [lambda known: 1.0, lambda known: np.full(len(known), np.nan), lambda known: [np.inf] * 4]
)
def test_weights_that_are_no_numbers_are_refused(weights: Callable[[Pool], np.ndarray]) -> None:
    with pytest.raises(tm.TrainmapError, match="must be a number or -inf for each of 4 examples"):
        Candidate(weights).of(pool([0.1, 0.2, 0.3, 0.4]))


def test_a_map_of_regression_has_candidates_too(make_map: MakeMap) -> None:
    """Without classes all examples are one class."""
    datamap = make_map(50)
    bare = tm.DataMap(
        datamap.table.with_columns(pl.lit(None, pl.Int64).alias("label")), 3, "quantile", 1 / 3, "train", "x"
    )
    one = pool_of(bare, 10)
    assert len(drawn(CANDIDATES["middle"], one, 10, 0)) == 10
