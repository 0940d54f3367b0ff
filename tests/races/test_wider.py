"""A wider judge: it is asked about the winner alone, with the same draws, and what shrinks by it is not believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.races.heats import within

MakeMap = Callable[..., tm.DataMap]


@pytest.fixture(scope="module")
def datamap(make_map: MakeMap) -> tm.DataMap:
    return make_map(500, labels=np.repeat([0, 1], [100, 400]))


class Likes:
    """Likes examples of high confidence by ``gain``; notes what it was handed, and fails after so many trainings."""

    def __init__(self, datamap: tm.DataMap, gain: float, noise: float = 0.003, told: str = "", left: int = 999) -> None:
        self.confidence = dict(zip(datamap.ids.tolist(), datamap.values("confidence"), strict=True))
        self.gain, self.noise, self.left, self.calls = gain, noise, left, []
        self.told = told or f"likes {gain}"

    def __call__(self, examples: Any, seed: int) -> float:
        if len(self.calls) == self.left:
            raise KeyboardInterrupt
        self.calls.append((tuple(examples.tolist()), seed))
        liked = float(np.mean([self.confidence[one] for one in examples.tolist()]))
        own = np.random.default_rng([seed, *examples[:3].tolist(), round(100 * abs(self.gain))]).normal(0, self.noise)
        return 0.7 + self.gain * liked + own


def raced(datamap: tm.DataMap, narrow: Any, wide: Any, **options: Any) -> tm.Race:
    return tm.race(datamap, 50, narrow, **{"cost": 0.001, "wider": wide, "wider_cost": 0.01, **options})


def test_a_winner_by_both_stays_and_the_wider_one_saw_the_draws_and_seeds_of_the_final(datamap: tm.DataMap) -> None:
    narrow, wide = Likes(datamap, 0.2), Likes(datamap, 0.25)
    race = raced(datamap, narrow, wide)
    assert race.winner == "easy"
    assert race.agreed
    assert race.wider is not None
    assert race.wider.n == 4
    assert wide.calls == narrow.calls[-8:]
    assert {one.candidate for one in race.trainings if one.stage == "wider"} == {"even", "easy"}
    assert race.spent == pytest.approx(0.001 * len(narrow.calls) + 0.01 * 8)
    assert f"By likes 0.25, with the same draws and seeds, it is {race.wider.mean:+.4f}: a lead as well" in race.reason
    assert f"Cost: {len(narrow.calls)} trainings of the judge and 8 of the wider one" in race.reason
    assert race.table.filter(race.table["won"])["wider"].item() == race.wider.mean


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.0, "no lead|clearly less"),
        (-0.2, "no lead, so that it is none of the student's"),
        (0.02, "clearly less: a lead that shrinks"),
    ],
)
def test_a_lead_that_is_gone_or_shrinks_is_not_believed(datamap: tm.DataMap, gain: float, said: str) -> None:
    race = raced(datamap, Likes(datamap, 0.2), Likes(datamap, gain, noise=0.0005))
    assert race.final is not None
    assert race.final.shown
    assert not race.agreed
    assert race.winner == "even"
    assert race.selection.spec.split("raced(")[1].startswith("even")
    assert re.search(said, race.reason)


def test_the_same_judge_again_agrees_with_itself(datamap: tm.DataMap) -> None:
    """No spread is seen in how much the lead shrinks, which is 0 for every seed: nothing is shown, nothing refused."""
    race = raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.2), wider_cost=0.001)
    assert race.agreed
    assert race.winner == "easy"
    assert "nan" not in f"{race}{race.reason}"


def test_what_even_draws_scored_is_told_of_the_judge_that_raced(datamap: tm.DataMap) -> None:
    plain = tm.race(datamap, 50, Likes(datamap, 0.2), cost=0.001)
    race = raced(datamap, Likes(datamap, 0.2), lambda examples, seed: 5 + Likes(datamap, 0.2)(examples, seed))
    assert race.winner == "easy"
    assert race.score == plain.score < 1
    assert race.table["score"].to_list() == plain.table["score"].to_list()
    assert race.table["trainings"].sum() == len(race.trainings) == len(plain.trainings) + 8


def test_it_is_not_asked_about_who_did_not_win(datamap: tm.DataMap) -> None:
    wide = Likes(datamap, 0.2)
    for race in (
        raced(datamap, lambda examples, seed: 0.5, wide, candidates=["cut"]),
        raced(datamap, Likes(datamap, -0.3), wide, candidates=["easy"], seeds=1, confirm=2),
    ):
        assert race.winner == "even"
        assert race.wider is None
        assert race.shrinks is None
    assert not wide.calls


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("wider_cost", [0.01, 0.02, 0.1])
def test_both_together_never_cost_more_than_the_bound(datamap: tm.DataMap, limit: float, wider_cost: float) -> None:
    race = raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.2), cost=0.01, wider_cost=wider_cost, limit=limit)
    assert race.spent <= race.facts.limit * race.facts.saved * (1 + 1e-9)
    if not race.facts.confirm:
        assert not race.trainings
        assert f"one of the wider judge {wider_cost:.3g}" in race.reason
    assert not race.wider or race.wider.n == 4


def test_a_killed_race_goes_on_and_trains_nothing_twice(datamap: tm.DataMap, tmp_path: Path) -> None:
    path, narrow, wide = tmp_path / "race.json", Likes(datamap, 0.2), Likes(datamap, 0.25)
    whole = raced(datamap, narrow, wide)
    for left in (0, 3, 7):
        with pytest.raises(KeyboardInterrupt):
            raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.25, left=left), journal=path)
        again = Likes(datamap, 0.25)
        race = raced(datamap, Likes(datamap, 0.2, left=0), again, journal=path)
        assert race.trainings == whole.trainings
        assert len(again.calls) == 8 - left
        assert tm.Race.open(path, datamap).winner == "easy"
        path.unlink()


def test_the_journal_of_a_race_with_another_wider_judge_is_refused(datamap: tm.DataMap, tmp_path: Path) -> None:
    path = tmp_path / "race.json"
    raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.25), journal=path)
    with pytest.raises(tm.TrainmapError, match="of another wider"):
        raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.3), journal=path)
    with pytest.raises(tm.TrainmapError, match="of another wider"):
        raced(datamap, Likes(datamap, 0.2), None, wider_cost=None, journal=path)


def test_what_was_refused_stays_refused_when_it_is_opened(datamap: tm.DataMap, tmp_path: Path) -> None:
    race = raced(datamap, Likes(datamap, 0.2), Likes(datamap, -0.2))
    opened = tm.Race.open(race.save(tmp_path / "race.json"), datamap)
    assert (opened.winner, opened.wider, opened.shrinks) == ("even", race.wider, race.shrinks)
    assert opened.reason == race.reason


def test_fresh_draws_are_asked_about_too(datamap: tm.DataMap) -> None:
    likes, dislikes = Likes(datamap, 0.2), Likes(datamap, -0.2)

    def of(judge: Likes) -> Callable[[Any, int], float]:
        return lambda schedule, seed: judge(schedule.plan(0).ids, seed)

    assert raced(datamap, of(likes), of(likes), kind="fresh").winner == "easy"
    assert raced(datamap, of(likes), of(dislikes), kind="fresh").winner == "even"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wider": 3}, "wider must be a function"),
        ({"wider": None}, "wider_cost is of a wider judge"),
        ({"wider_cost": 0}, "wider_cost must be above 0"),
        ({"wider_cost": "much"}, "wider_cost must be a finite number"),
        ({"wider_cost": 0.0001}, "wider must cost no less than judge"),
        ({"wider": lambda examples, seed: np.full(3, seed % 7 / 7)}, r"as many scores every time, got \[1, 3\]"),
        ({"wider": lambda examples, seed: np.nan}, "finite numbers"),
    ],
)
def test_what_cannot_be_is_refused(datamap: tm.DataMap, options: dict[str, Any], said: str) -> None:
    with pytest.raises(tm.TrainmapError, match=said):
        raced(datamap, Likes(datamap, 0.2), Likes(datamap, 0.2), **options)


def test_the_plan_leaves_room_for_the_wider_judge() -> None:
    plan = within(1.0, 7, 2, 4, 0.01, 0.0)
    less = within(1.0, 7, 2, 4, 0.01, 0.1)
    assert plan is not None
    assert less is not None
    assert plan.trainings == 40
    assert 0.01 * less.trainings + 8 * 0.1 <= 1.0
    assert within(1.0, 7, 2, 4, 0.01, 0.13) is None
