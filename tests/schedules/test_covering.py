"""Draws that cover: each example as often as its weight says, at exact sizes, and no heavy ones first."""

from __future__ import annotations

import numpy as np
import pytest

from trainmap.schedules.covering import CoveringDraws, Turns, capped, class_quotas
from trainmap.selection.quotas import Balance


def all_visits(draws: CoveringDraws, n: int, epochs: int) -> np.ndarray:
    """(epochs, n) bool."""
    seen = np.zeros((epochs, n), bool)
    for epoch in range(epochs):
        seen[epoch, draws.rows(epoch)] = True
    return seen


@pytest.mark.parametrize("tilt", [0.0, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("share", [0.1, 0.33, 0.5, 0.9])
def test_after_any_number_of_epochs_each_has_come_as_often_as_its_weight_says(tilt: float, share: float) -> None:
    n = 500
    draws = CoveringDraws(tilt * np.arange(n) / n, np.zeros(n, int), round(share * n), "proportional", seed=1)
    seen = all_visits(draws, n, 40)
    assert (seen.sum(axis=1) == round(share * n)).all()
    owed = np.arange(1, 41)[:, None] * draws.expected
    assert np.abs(np.cumsum(seen, axis=0) - owed).max() <= 1 + 1e-6


@pytest.mark.parametrize("pool", range(30))
def test_of_a_few_examples_none_is_far_from_what_its_weight_says(pool: int) -> None:
    random = np.random.default_rng(pool)
    n = int(random.integers(2, 40))
    draws = CoveringDraws(8 * random.random(n), np.zeros(n, int), int(random.integers(1, n + 1)), "proportional", pool)
    seen = all_visits(draws, n, 60)
    assert len(set(seen.sum(axis=1))) == 1
    assert np.abs(np.cumsum(seen, axis=0) - np.arange(1, 61)[:, None] * draws.expected).max() < 1.5


def test_equal_weights_are_random_parts_of_which_all_come_before_any_comes_again() -> None:
    draws = CoveringDraws(np.zeros(100), np.zeros(100, int), 25, "proportional", seed=0)
    seen = all_visits(draws, 100, 8)
    assert (seen[:4].sum(axis=0) == 1).all()
    assert (seen.sum(axis=0) == 2).all()
    other = all_visits(CoveringDraws(np.zeros(100), np.zeros(100, int), 25, "proportional", seed=1), 100, 8)
    assert (seen[0] != other[0]).any()


def test_in_the_first_epochs_heavy_examples_come_no_more_often_than_later() -> None:
    n, epochs = 4000, 20
    draws = CoveringDraws(4 * np.arange(n) / n, np.zeros(n, int), 400, "proportional", seed=2)
    seen = all_visits(draws, n, epochs)
    weight = (seen * draws.expected).sum(axis=1) / seen.sum(axis=1)  # of those that come
    assert np.abs(weight / weight.mean() - 1).max() < 0.15, "with equal phases the first epoch has 1.6 times the mean"


def test_an_epoch_is_the_same_whichever_was_asked_for_before() -> None:
    def fresh() -> CoveringDraws:
        return CoveringDraws(np.arange(60) / 20, np.arange(60) % 3, 20, "proportional", seed=5)

    in_order, jumping = fresh(), fresh()
    epochs = [in_order.rows(epoch) for epoch in range(10)]
    for epoch in (9, 3, 3, 0, 7):
        np.testing.assert_array_equal(jumping.rows(epoch), epochs[epoch])


def test_classes_keep_their_shares_in_every_epoch_and_exactly_over_the_epochs() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    draws = CoveringDraws(np.random.default_rng(0).random(1000), labels, 125, "proportional", seed=0)
    seen = all_visits(draws, 1000, 16)
    counts = np.stack([seen[:, labels == label].sum(axis=1) for label in range(3)], axis=1)
    assert (np.abs(counts - [62.5, 37.5, 25]) < 1).all()
    assert counts.sum(axis=0).tolist() == [1000, 600, 400]
    equal = all_visits(CoveringDraws(np.zeros(1000), labels, 125, "equal", seed=0), 1000, 9)
    assert np.ptp([equal[:, labels == label].sum() for label in range(3)]) <= 1


def test_where_classes_are_more_than_places_each_has_its_turn() -> None:
    draws = CoveringDraws(np.zeros(40), np.arange(40), 10, "equal", seed=0)
    assert (all_visits(draws, 40, 8).sum(axis=0) == 2).all()


@pytest.mark.parametrize(
    ("sizes", "size", "balance", "wanted"),
    [
        ([500, 300, 200], 125, "proportional", [62.5, 37.5, 25.0]),
        ([500, 300, 200], 100, "equal", [100 / 3, 100 / 3, 100 / 3]),
        ([900, 80, 20], 300, "equal", [200.0, 80.0, 20.0]),
        ([990, 6, 4], 100, "proportional", [98.0, 1.0, 1.0]),  # none below 1
        ([1, 1, 1, 1], 2, "proportional", [0.5, 0.5, 0.5, 0.5]),  # but where there are fewer places
    ],
)
def test_the_places_of_classes_by_hand(sizes: list[int], size: int, balance: Balance, wanted: list[float]) -> None:
    np.testing.assert_allclose(class_quotas(np.array(sizes), size, balance), wanted)


def test_what_is_above_its_most_is_shared_by_the_others() -> None:
    np.testing.assert_allclose(capped(np.array([8.0, 2.0, 1.0, 1.0]), 2.0, np.ones(4)), [1, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(capped(np.array([8.0, 4.0, 1.0, 1.0]), 3.0, np.ones(4)), [1, 1, 0.5, 0.5])
    np.testing.assert_allclose(capped(np.arange(1.0, 5.0), 4.0, np.ones(4)), np.ones(4))


def test_who_is_owed_a_whole_visit_comes_before_all_others() -> None:
    turns = Turns(np.array([1.0, 0.5, 0.5]), np.random.default_rng(0))
    for _ in range(10):
        assert 0 in turns.next(2)
