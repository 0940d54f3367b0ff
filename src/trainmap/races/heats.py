"""How many trainings a race has: the largest plan within its bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Heats:
    """The plan of a race.

    Attributes:
        candidates: how many are raced, the first of the list.
        rounds: of all, the better half, a quarter ...; 0 where there is one candidate alone.
        seeds: new ones in every round.
        confirm: fresh seeds on which the one that is left meets even draws.
    """

    candidates: int
    rounds: int
    seeds: int
    confirm: int

    @property
    def trainings(self) -> int:
        """All of them, those of even draws included."""
        fields = halved(self.candidates)[: self.rounds]
        return self.seeds * sum(field + 1 for field in fields) + 2 * self.confirm


def halved(candidates: int) -> list[int]:
    """How many are in each round until one is left: 7 -> [7, 4, 2]."""
    fields: list[int] = []
    while candidates > 1:
        fields.append(candidates)
        candidates = -(-candidates // 2)
    return fields


def largest(candidates: int, seeds: int, confirm: int, trainings: int) -> Heats | None:
    """The largest plan of at most so many trainings; None where there is none.

    More candidates go before more rounds, and rounds before seeds: what a first look misses the last seeds refuse, but
    a candidate that does not start cannot win. What the last seeds need is never cut.
    """
    least = [Heats(1, 0, 0, confirm)] if candidates else []
    plans = [
        Heats(field, rounds, count, confirm)
        for field in range(2, candidates + 1)
        for rounds, count in product(range(1, len(halved(field)) + 1), range(1, seeds + 1))
    ]
    fitting = [plan for plan in (*least, *plans) if plan.trainings <= trainings]
    return max(fitting, key=lambda plan: (plan.candidates, plan.rounds, plan.seeds), default=None)


def within(bound: float, candidates: int, seeds: int, confirm: int, price: float, wider_price: float) -> Heats | None:
    """The largest plan within a bound, with room for the final and, where it has a price, for the wider judge's."""
    return largest(candidates, seeds, confirm, math.floor((bound - 2 * confirm * wider_price) / price * (1 + 1e-9)))
