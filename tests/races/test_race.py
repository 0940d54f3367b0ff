"""The race: who wins, even draws unless shown, the bound, a journal that trains nothing twice, saved and opened."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.races.candidates import CANDIDATES, Candidate, drawn, evenly
from trainmap.races.raced import pool_of
from trainmap.schedules import DisjointRandom

MakeMap = Callable[..., tm.DataMap]


@pytest.fixture(scope="module")
def datamap(make_map: MakeMap) -> tm.DataMap:
    return make_map(500, labels=np.repeat([0, 1], [100, 400]))


class Judge:
    """Likes examples of high or low confidence by ``gain``, with noise that all candidates of a seed share, and some
    of their own."""

    def __init__(self, datamap: tm.DataMap, gain: float, noise: float = 0.003, fails_after: int = 10**9) -> None:
        self.confidence = dict(zip(datamap.ids.tolist(), datamap.values("confidence"), strict=True))
        self.gain, self.noise, self.calls, self.left = gain, noise, [], fails_after

    def __call__(self, examples: Any, seed: int) -> float:
        if len(self.calls) == self.left:
            raise KeyboardInterrupt
        ids = examples.plan(0).ids if hasattr(examples, "plan") else examples
        self.calls.append((tuple(ids.tolist()), seed))
        liked = float(np.mean([self.confidence[one] for one in ids.tolist()]))
        own = np.random.default_rng([seed, *ids[:3].tolist()]).normal(0, self.noise)
        return 0.7 + self.gain * liked + own + np.random.default_rng(seed).normal(0, 0.05)


def test_who_is_better_wins_and_the_reason_says_by_how_much(datamap: tm.DataMap) -> None:
    judge = Judge(datamap, gain=0.2)
    race = tm.race(datamap, 50, judge, cost=0.001)
    assert race.winner == "easy"
    assert race.final is not None
    assert race.final.n == 4
    assert 0 < race.final.low < race.final.mean
    trained = len(judge.calls)
    assert "drawn by 'easy'" in race.reason
    assert f"{race.final.mean:+.4f}" in race.reason
    assert f"{trained} trainings of the judge" in race.reason
    assert "Raced against even draws by Judge" in race.reason
    assert f"scored {race.score:.4f} on average; a judge that scores far below the student" in race.reason
    assert race.spent == pytest.approx(trained * 0.001)
    assert race.spent <= 0.5 * 0.9
    assert len(str(race).splitlines()) == 6


def test_even_draws_win_where_nothing_helps(datamap: tm.DataMap) -> None:
    """Of 20 races of a judge to whom all are alike, at 90 %, even draws lose 2, and 3 for chance."""
    lost = sum(tm.race(datamap, 50, Judge(datamap, 0.0), seed=seed, cost=0.001).winner != "even" for seed in range(20))
    assert lost <= 5


def test_even_draws_win_where_all_are_worse_without_a_final(datamap: tm.DataMap) -> None:
    judge = Judge(datamap, gain=0.3)
    race = tm.race(datamap, 50, judge, candidates=["hard", "ambiguous 2"], cost=0.001, seed=3)
    assert race.winner == "even"
    assert race.final is None or race.final.low <= 0
    if race.final is None:
        assert "None was better than even draws in the heats." in race.reason


def test_the_race_of_fresh_draws_gives_a_schedule(datamap: tm.DataMap) -> None:
    race = tm.race(datamap, 50, Judge(datamap, gain=0.2), kind="fresh", cost=0.001)
    assert race.winner == "easy"
    assert "against repeated random" in race.reason
    assert len(race.schedule.plan(0)) == 50
    with pytest.raises(tm.TrainmapError, match=r"race\.schedule"):
        _ = race.selection
    even = tm.race(datamap, 50, Judge(datamap, gain=0.2), kind="fresh", limit=0.0, seed=9)
    assert (even.schedule.plan(3).ids == DisjointRandom(datamap.ids, 50, 9).plan(3).ids).all()


def test_the_selection_is_a_draw_by_what_won_and_its_card_names_the_race(datamap: tm.DataMap, tmp_path: Path) -> None:
    race = tm.race(datamap, 50, Judge(datamap, gain=0.2), cost=0.001, seed=7)
    pool = pool_of(datamap, 50)
    assert (race.selection.ids == drawn(CANDIDATES["easy"], pool, 50, 7)).all()
    assert (race.draw(3).ids == drawn(CANDIDATES["easy"], pool, 50, 3)).all()  # type: ignore[union-attr]
    race.selection.save(tmp_path / "card.json")
    assert "raced(easy" in tm.Selection.open(tmp_path / "card.json").spec
    none = tm.race(datamap, 50, Judge(datamap, gain=0.2), limit=0)
    assert (none.selection.ids == drawn(Candidate(evenly), pool, 50, 0)).all()


def test_all_candidates_of_a_seed_meet_the_same_seed_and_no_seed_of_the_heats_is_in_the_final(
    datamap: tm.DataMap,
) -> None:
    judge = Judge(datamap, gain=0.2)
    race = tm.race(datamap, 50, judge, cost=0.001)
    by_stage = {(one.stage, one.seed, seed) for one, (_, seed) in zip(race.trainings, judge.calls, strict=True)}
    assert len(by_stage) == len({(stage, at) for stage, at, _ in by_stage}) == len({seed for _, _, seed in by_stage})
    assert {one.candidate for one in race.trainings if one.stage == "final"} == {"even", "easy"}


def test_a_judge_without_a_spread_shows_nothing(datamap: tm.DataMap) -> None:
    race = tm.race(datamap, 50, lambda examples, seed: 0.5, candidates=["cut"], cost=0.001)
    assert race.winner == "even"
    assert "no spread was seen, so no lead" in race.reason
    assert "nan" not in f"{race}{race.reason}{race.selection}"


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("size", [25, 165, 250, 500])
def test_a_race_never_costs_more_than_its_bound(datamap: tm.DataMap, limit: float, size: int) -> None:
    judge = Judge(datamap, gain=0.2)
    race = tm.race(datamap, size, judge, limit=limit, cost=0.01)
    assert len(judge.calls) * 0.01 <= limit * (1 - size / 500) + 1e-9
    assert race.spent == pytest.approx(len(judge.calls) * 0.01)
    if not judge.calls:
        assert race.winner == "even"
        assert "Nothing was raced" in race.reason
    assert len(race.selection) == size


def test_what_the_bound_has_no_room_for_is_named(datamap: tm.DataMap) -> None:
    race = tm.race(datamap, 50, Judge(datamap, 0.2), limit=0.1, cost=0.01)  # nine trainings: one candidate
    assert race.facts.candidates == ("cut",)
    assert race.out["easy"] == "the bound has no room"
    assert "Not raced: middle (the bound has no room)" in race.reason
    assert race.table.filter(~race.table["won"])["candidate"].to_list()[-1] == "hard"


def test_a_judge_that_says_its_cost_is_asked_and_one_that_does_not_counts_as_a_student(datamap: tm.DataMap) -> None:
    judge = Judge(datamap, 0.2)
    assert tm.race(datamap, 50, judge).facts.price == 0.1
    judge.cost = lambda size: size / 100_000  # type: ignore[attr-defined]
    assert tm.race(datamap, 50, judge).facts.price == 0.0005


def test_a_race_that_was_killed_trains_nothing_twice(datamap: tm.DataMap, tmp_path: Path) -> None:
    whole = Judge(datamap, 0.2)
    expected = tm.race(datamap, 50, whole, cost=0.001)
    for kill in (0, 1, 17, len(whole.calls) - 1):
        journal = tmp_path / f"race-{kill}.json"
        killed, resumed = Judge(datamap, 0.2, fails_after=kill), Judge(datamap, 0.2)
        with pytest.raises(KeyboardInterrupt):
            tm.race(datamap, 50, killed, cost=0.001, journal=journal)
        if kill:
            with pytest.raises(tm.StoreError, match="not over; race again with it"):
                tm.Race.open(journal)
        race = tm.race(datamap, 50, resumed, cost=0.001, journal=journal)
        assert killed.calls + resumed.calls == whole.calls
        assert race.reason == expected.reason
        assert race.trainings == expected.trainings
        again = Judge(datamap, 0.2)
        assert tm.race(datamap, 50, again, cost=0.001, journal=journal).reason == expected.reason
        assert not again.calls


def test_a_larger_race_goes_on_from_a_smaller_ones_journal(datamap: tm.DataMap, tmp_path: Path) -> None:
    small, large = Judge(datamap, 0.2), Judge(datamap, 0.2)
    first = tm.race(datamap, 50, small, cost=0.02, journal=tmp_path / "race.json")
    second = tm.race(datamap, 50, large, cost=0.02, limit=10, journal=tmp_path / "race.json")
    assert len(second.trainings) > len(large.calls) > 0
    assert second.trainings[:3] == first.trainings[:3]
    assert second.trainings == tm.race(datamap, 50, Judge(datamap, 0.2), cost=0.02, limit=10).trainings


@pytest.mark.parametrize("change", [{"seed": 1}, {"kind": "fresh"}, {"size": 60}])
def test_the_journal_of_another_race_is_refused(datamap: tm.DataMap, tmp_path: Path, change: dict[str, Any]) -> None:
    journal = tmp_path / "race.json"
    tm.race(datamap, 50, Judge(datamap, 0.2), journal=journal, limit=2)
    with pytest.raises(tm.StoreError, match=f"a race of another {next(iter(change))}"):
        tm.race(datamap, **{"size": 50, "judge": Judge(datamap, 0.2), "journal": journal, "limit": 2, **change})


def test_a_race_is_saved_and_opened(datamap: tm.DataMap, tmp_path: Path, make_map: MakeMap) -> None:
    race = tm.race(datamap, 50, Judge(datamap, 0.2), cost=0.001)
    path = race.save(tmp_path / "race.json")
    again = tm.Race.open(path, datamap)
    assert again.reason == race.reason
    assert again.table.equals(race.table)
    assert (again.selection.ids == race.selection.ids).all()
    with pytest.raises(tm.TrainmapError, match=r"Race.open\(path, datamap\)"):
        _ = tm.Race.open(path).selection
    with pytest.raises(tm.TrainmapError, match="another map"):
        tm.Race.open(path, make_map(500, seed=1))
    with pytest.raises(tm.TrainmapError, match=r"must end in \.json"):
        race.save(tmp_path / "race.txt")


def test_a_race_that_was_changed_is_refused(datamap: tm.DataMap, tmp_path: Path) -> None:
    path = tm.race(datamap, 50, Judge(datamap, 0.2), cost=0.001).save(tmp_path / "race.json")
    told = json.loads(path.read_text())
    told["finalist"] = "hard"
    path.write_text(json.dumps(told))
    with pytest.raises(tm.StoreError, match="does not match its checksum; race again"):
        tm.Race.open(path)
    path.write_text("{}")
    with pytest.raises(tm.StoreError, match="is not a race"):
        tm.Race.open(path)


def test_candidates_of_ones_own_race_too(datamap: tm.DataMap, tmp_path: Path) -> None:
    def easiest(pool: Any, size: int, generator: np.random.Generator) -> np.ndarray:
        return np.argsort(-pool.scores["confidence"])[:size]

    own = {"weights": Candidate(lambda pool: 9 * pool.scores["confidence"]), "rows": easiest, "named": "ccs"}
    race = tm.race(datamap, 50, Judge(datamap, 0.2), candidates=own, cost=0.001)
    assert race.winner in ("weights", "rows")
    path = race.save(tmp_path / "race.json")
    with pytest.raises(tm.TrainmapError, match="which is your own"):
        _ = tm.Race.open(path, datamap).selection
    assert (tm.Race.open(path, datamap, own).selection.ids == race.selection.ids).all()
    fresh = tm.race(datamap, 50, Judge(datamap, 0.2), candidates={"rows": "ccs"}, kind="fresh", cost=0.001)
    assert len(fresh.schedule.plan(1)) == 50


def test_a_judge_of_parts_makes_the_held_out_data_a_sample(datamap: tm.DataMap) -> None:
    """The same mean lead, by all parts alike or by one of twenty alone: the second may be the luck of that part."""
    alike, single = Judge(datamap, 0.2), np.eye(20)[0] * 20

    def of_parts(examples: Any, seed: int, weights: np.ndarray) -> np.ndarray:
        return weights * alike(examples, seed)

    found = [
        tm.race(datamap, 50, lambda examples, seed, w=w: of_parts(examples, seed, w), cost=0.001)
        for w in (np.ones(20), single)
    ]
    leads = [race.final for race in found]
    assert leads[0] is not None
    assert leads[1] is not None
    assert leads[0].mean == pytest.approx(leads[1].mean)
    assert found[0].winner == "easy"
    assert found[1].winner == "even"


def more_each_time(calls: Iterator[int]) -> Callable[[Any, int], np.ndarray]:
    return lambda examples, seed: np.zeros(next(calls))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "1 to 500"),
        ({"size": 501}, "1 to 500"),
        ({"kind": "fixed"}, "unknown kind of race 'fixed'"),
        ({"judge": 3}, "judge must be a function"),
        ({"seeds": 0}, "seeds must be"),
        ({"confirm": 1}, "confirm must be"),
        ({"confidence": 1.0}, "confidence must lie"),
        ({"confidence": 90}, "confidence must be a finite number"),
        ({"limit": -1}, "limit must be"),
        ({"limit": math.nan}, "limit must be"),
        ({"cost": 0}, "cost must be above 0"),
        ({"cost": "much"}, "cost must be a finite number"),
        ({"seed": -1}, "seed must be"),
        ({"candidates": ["best"]}, "unknown candidate 'best'"),
        ({"judge": lambda examples, seed: math.nan}, "finite numbers"),
        ({"judge": lambda examples, seed: "good"}, "a number or numbers"),
        ({"judge": lambda examples, seed: None}, "a number or numbers|finite numbers"),
        ({"judge": lambda examples, seed: np.zeros((2, 2))}, "in one dimension"),
        ({"judge": more_each_time(count(1))}, "as many scores every time"),
        ({"journal": "race.txt"}, r"must end in \.json"),
    ],
)
def test_what_cannot_be_is_refused(datamap: tm.DataMap, options: dict[str, Any], said: str) -> None:
    given = {"size": 50, "judge": Judge(datamap, 0.2), "limit": 4, **options}
    with pytest.raises(tm.TrainmapError, match=said):
        tm.race(datamap, **given)
