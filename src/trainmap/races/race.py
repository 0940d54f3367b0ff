"""``race``: which preference of a map helps here? A small, paired, counted race on held-out data says it.

def judge(ids, seed):                        # trains a cheap network, gives its score on held-out data
    return train_and_score(ids, seed)

race = tm.race(datamap, 5000, judge)
print(race.reason)
race.selection.subset(dataset)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from trainmap.errors import StoreError, TrainmapError, number, unknown, whole
from trainmap.kinds import as_path, check_kind
from trainmap.machine import progress
from trainmap.maps.datamap import DataMap
from trainmap.races.candidates import EVEN, Contender, contenders, unfit
from trainmap.races.heats import Heats, halved, within
from trainmap.races.raced import Facts, Kind, Race, Stage, Trained, draw, lead_of, pool_of, read_race, write_race
from trainmap.selection.pool import Pool
from trainmap.selection.words import check_size

Judge = Callable[[Any, int], Any]
"""(ids or schedule, seed) -> a score, higher is better; or an array of scores of parts of the held-out data, whose mean
is the score."""

LIMIT, CONFIDENCE = 0.5, 0.9
SEEDS, CONFIRM = 2, 4


def race(
    datamap: DataMap,
    size: int,
    judge: Judge,
    *,
    kind: Kind = "subset",
    candidates: Mapping[str, Any] | Sequence[str] | None = None,
    seeds: int = SEEDS,
    confirm: int = CONFIRM,
    confidence: float = CONFIDENCE,
    limit: float = LIMIT,
    cost: float | None = None,
    wider: Judge | None = None,
    wider_cost: float | None = None,
    seed: int = 0,
    journal: str | Path | None = None,
) -> Race:
    """Race preferences against even draws, on held-out data; even draws win unless the interval says otherwise.

    Heats: in each round every candidate that is left is trained with ``seeds`` new seeds, and so are even draws with
    the same ones (same initial weights, same noise of the draw); the better half by the mean paired difference stays.
    Final: the one that is left meets even draws with ``confirm`` fresh seeds, which had no part in choosing it, so that
    its interval needs no correction for how many were raced. It wins where that lies above 0.

    A narrow judge likes what its student does not: a lead that is clearly smaller by a ``wider`` judge, which is nearer
    to the student, is not believed. It is asked of a finalist that has won alone, with the draws and seeds of the
    final, and even draws win where its mean lead is not above 0, or where the one-sided interval of how much the lead
    shrank lies above 0.

    Args:
        datamap: of the training data.
        size: how many examples are kept, or visited in an epoch, 1 to N.
        judge: (examples, seed) -> score, higher is better: trains a cheap network and judges it on held-out data (not
            the test data). The examples are ids, (size,) ascending, or with ``kind="fresh"`` a schedule. It may give
            (V,) scores of parts of the held-out data instead, the same parts every time, whose mean is the score: the
            interval then knows that those data are a sample as well. ``trainmap.races.Racer`` is one.
        kind: "subset" for a fixed subset, "fresh" for other examples in every epoch.
        candidates: names of ``trainmap.races.CANDIDATES``, or name -> candidate (see there); None for all.
        seeds: of every round.
        confirm: seeds of the final, at least 2.
        confidence: of the one-sided interval, in (0.5, 1).
        limit: what the race may cost, as a share of what one training of the student on the subset saves; more than 1
            where many students will be trained on it. The plan is the largest that fits (``trainmap.races.Heats``);
            where none does, nothing is trained and even draws are taken.
        cost: of one training of the judge, in trainings of the student on all the data. None: as the judge says
            (``judge.cost(size)``), or else as a training of the student, size / N.
        wider: a second judge, between ``judge`` and the student, that gives as many scores; None to believe the first.
        wider_cost: as ``cost``, of one training of ``wider``; not below that of ``judge``.
        seed: of the race.
        journal: a .json file that is written after every training: a race that was killed goes on from there.

    Returns:
        who won and why (``reason``), and the examples: ``selection`` or ``schedule``.

    Raises:
        TrainmapError: values that cannot be, a judge that gives no finite number, the journal of another race.

    Source: successive halving, Jamieson and Talwalkar 2016, arXiv:1502.07943; the rest is ours (docs/race.md).
    """
    check_kind(datamap, DataMap)
    check_size(size, len(datamap))
    if kind not in get_args(Kind):
        raise unknown("kind of race", kind, get_args(Kind))
    if not callable(judge):
        raise TrainmapError(f"judge must be a function of (examples, seed), got a {type(judge).__name__}")
    seeds, confirm = whole(seeds, "seeds", 1), whole(confirm, "confirm", 2)
    number(confidence, "confidence", 0.5, 1.0)
    if not 0.5 < confidence < 1:
        raise TrainmapError(f"confidence must lie between 0.5 and 1, got {confidence}; 0.9 is usual")
    if wider is not None and not callable(wider):
        raise TrainmapError(f"wider must be a function of (examples, seed), got a {type(wider).__name__}")
    if wider is None and wider_cost is not None:
        raise TrainmapError("wider_cost is of a wider judge, and there is none; leave it out")
    limit, seed, size = number(limit, "limit", 0.0), whole(seed, "seed"), int(size)
    price = price_of(judge, size, len(datamap), cost)
    wider_price = 0.0 if wider is None else price_of(wider, size, len(datamap), wider_cost, "wider_cost")
    if wider is not None and wider_price < price:
        raise TrainmapError(
            f"wider must cost no less than judge, got {wider_price:.3g} and {price:.3g} trainings of the student; the "
            "narrow one races, the wider one is asked about the winner"
        )
    pool, given = pool_of(datamap, size), contenders(candidates)
    out = {name: why for name, one in given.items() if (why := unfit(one, pool, size))}
    able = [name for name in given if name not in out]
    saved = 1 - size / len(datamap)
    plan = within(limit * saved, len(able), seeds, confirm, price, wider_price)
    raced = able[: plan.candidates] if plan else []
    out |= dict.fromkeys(able[len(raced) :], "the bound has no room") if plan else {}
    facts = Facts(
        kind=kind,
        size=size,
        examples=len(datamap),
        seed=seed,
        confidence=confidence,
        judge=told(judge),
        map=datamap.fingerprint,
        dataset=datamap.dataset,
        price=price,
        limit=limit,
        candidates=tuple(raced if plan else able),
        left_out=out,
        rounds=plan.rounds if plan else 0,
        seeds=plan.seeds if plan else 0,
        confirm=plan.confirm if plan else 0,
        wider="" if wider is None else told(wider),
        wider_price=wider_price,
    )
    course = _Course(facts, judge, wider, pool, given, None if journal is None else as_path(journal))
    if plan is None:
        return Race(facts, (), "", datamap, given)
    more = 0 if wider is None else 2 * plan.confirm
    with progress(f"racing for {size:,} examples", plan.trainings + more) as done:
        finalist = course.run(plan, done)
    if course.journal is not None:
        write_race(course.journal, facts, tuple(course.trainings), finalist, finished=True)
    return Race(facts, tuple(course.trainings), finalist, datamap, given)


@dataclass
class _Course:
    """A race under way."""

    facts: Facts
    judge: Judge
    wider: Judge | None
    pool: Pool
    contenders: Mapping[str, Contender]
    journal: Path | None
    trainings: list[Trained] = field(default_factory=list)
    known: dict[tuple[str, Stage, int], Trained] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.journal is None or not self.journal.exists():
            return
        facts, trainings, _, _ = read_race(self.journal)
        same = ("kind", "size", "examples", "seed", "judge", "map", "wider")
        other = [name for name in same if getattr(facts, name) != getattr(self.facts, name)]
        if other:
            raise StoreError(f"{self.journal} is the journal of a race of another {other[0]}; give this one its own")
        self.known = {(one.candidate, one.stage, one.seed): one for one in trainings}

    def run(self, plan: Heats, done: Callable[[int], None]) -> str:
        """The finalist, once it met even draws again; "" where none was better in the heats."""
        left = list(self.facts.candidates)
        for number_, _ in enumerate(halved(plan.candidates)[: plan.rounds]):
            for at in range(plan.seeds):
                for name in (EVEN, *left):
                    self.train(name, "heats", number_ * plan.seeds + at)
                    done(1)
            means = {name: self._mean(name) for name in left}
            left = sorted(left, key=lambda name: -means[name])[: -(-len(left) // 2)]
        best = left[0]
        if plan.rounds and self._mean(best) <= 0:
            return ""
        for at in range(plan.confirm):
            for name in (EVEN, best):
                self.train(name, "final", at)
                done(1)
        final = lead_of(self.trainings, best, ("final",), self.facts.confidence)
        if self.wider is not None and final is not None and final.shown:
            for at in range(plan.confirm):
                for name in (EVEN, best):
                    self.train(name, "wider", at)
                    done(1)
        return best

    def train(self, name: str, stage: Stage, at: int) -> None:
        """One training of the judge, unless the journal has it."""
        found = self.known.get((name, stage, at))
        if found is None:
            judge = self.judge if self.wider is None or stage != "wider" else self.wider
            purpose = get_args(Stage).index("final" if stage == "wider" else stage)
            seed = int(np.random.SeedSequence([self.facts.seed, purpose, at]).generate_state(1)[0]) >> 1
            examples = draw(name, self.contenders, self.pool, self.facts.size, seed, self.facts.kind)
            wall, cpu = time.perf_counter(), time.process_time()
            scores = scores_of(judge(examples, seed))
            found = Trained(name, stage, at, scores, time.perf_counter() - wall, time.process_time() - cpu)
        parts = {len(one.scores) for one in self.trainings} | {len(found.scores)}
        if len(parts) > 1:
            raise TrainmapError(f"judges must give as many scores every time, got {sorted(parts)}")
        self.trainings.append(found)
        self.known[name, stage, at] = found
        if self.journal is not None:
            write_race(self.journal, self.facts, tuple(self.known.values()), "", finished=False)

    def _mean(self, name: str) -> float:
        found = lead_of(self.trainings, name, ("heats",), self.facts.confidence)
        assert found is not None
        return found.mean


def scores_of(given: Any) -> tuple[float, ...]:
    """What a judge gave, as (V,) numbers.

    Raises:
        TrainmapError: no number, no finite one.
    """
    try:
        scores = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError) as error:
        raise TrainmapError(f"a judge must give a number or numbers, got a {type(given).__name__}") from error
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise TrainmapError(f"a judge must give finite numbers in one dimension, got {given!r}")
    return tuple(scores.tolist())


def price_of(judge: Judge, size: int, examples: int, cost: float | None, name: str = "cost") -> float:
    """What one training of the judge costs, in trainings of the student on all the data."""
    if cost is None and hasattr(judge, "cost"):
        cost = judge.cost(size)  # type: ignore[attr-defined]
    price = size / examples if cost is None else number(cost, name, 0.0)
    if price <= 0:
        raise TrainmapError(f"{name} must be above 0, in trainings of the student on all the data, got {price}")
    return price


def told(judge: Judge) -> str:
    """What a judge says that it is (``judge.told``), or the name of a function."""
    said = getattr(judge, "told", None)
    return said if isinstance(said, str) else getattr(judge, "__qualname__", type(judge).__name__)
