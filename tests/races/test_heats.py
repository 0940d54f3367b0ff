"""The plan of a race: counted by hand, the largest within a bound, never cut where it decides."""

from __future__ import annotations

import pytest

from trainmap.races.heats import Heats, halved, largest


def test_rounds_are_halved_until_one_is_left() -> None:
    assert [halved(count) for count in (1, 2, 3, 7, 8)] == [[], [2], [3, 2], [7, 4, 2], [8, 4, 2]]


def test_trainings_are_counted_by_hand() -> None:
    assert Heats(7, 3, 1, 4).trainings == (7 + 1) + (4 + 1) + (2 + 1) + 2 * 4
    assert Heats(7, 1, 2, 4).trainings == 2 * 8 + 8
    assert Heats(1, 0, 0, 5).trainings == 10


@pytest.mark.parametrize(
    ("trainings", "plan"),
    [
        (7, None),
        (8, Heats(1, 0, 0, 4)),
        (10, Heats(1, 0, 0, 4)),
        (11, Heats(2, 1, 1, 4)),
        (15, Heats(6, 1, 1, 4)),
        (16, Heats(7, 1, 1, 4)),
        (21, Heats(7, 2, 1, 4)),
        (24, Heats(7, 3, 1, 4)),
        (39, Heats(7, 3, 1, 4)),
        (40, Heats(7, 3, 2, 4)),
        (10**6, Heats(7, 3, 2, 4)),
    ],
)
def test_the_largest_plan_within_a_bound(trainings: int, plan: Heats | None) -> None:
    assert largest(7, 2, 4, trainings) == plan


@pytest.mark.parametrize("candidates", range(1, 10))
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_no_plan_is_above_its_bound_and_all_of_it_comes_with_room(candidates: int, seeds: int) -> None:
    for trainings in range(60):
        plan = largest(candidates, seeds, 3, trainings)
        assert (plan is None) == (trainings < 6)
        assert plan is None or (plan.trainings <= trainings and plan.confirm == 3)
    rounds = len(halved(candidates))
    assert largest(candidates, seeds, 3, 10**6) == Heats(candidates, rounds, seeds if rounds else 0, 3)


def test_without_candidates_there_is_no_race() -> None:
    assert largest(0, 2, 4, 10**6) is None
