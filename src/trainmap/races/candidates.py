"""What is raced: preferences, each a log-weight for every example, and how examples are drawn by them::

    def short_first(pool):                       # one of your own: a log-weight for each example of the pool
        return -0.01 * pool.scores["length"]

    tm.race(datamap, 5000, judge, candidates={**CANDIDATES, "short": Candidate(short_first)})

A weight of 0 (-inf) is never drawn. A strategy that returns rows, its name or a function (pool, size, generator), can
stand in a candidate's place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown
from trainmap.selection.coverage import weighted_sample
from trainmap.selection.entry import Strategy, choose
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance, equal, first_by_class, proportional, within_class
from trainmap.selection.strategies import named

Array = NDArray[Any]
EVEN = "even"
"""What every candidate is raced against: random draws, the classes in proportion; fresh ones are repeated random."""


@dataclass(frozen=True)
class Candidate:
    """A preference among the examples.

    Attributes:
        weights: a pool -> (n,) log-weights; -inf for what is never drawn.
        balance: how the places of a subset are dealt out to the classes.
        scores: columns of the map that it reads.
    """

    weights: Callable[[Pool], Array]
    balance: Balance = "proportional"
    scores: tuple[str, ...] = ()

    def of(self, pool: Pool) -> Array:
        """(n,) float64 log-weights; an example without a value of what is read has -inf.

        Raises:
            TrainmapError: other than one number or -inf for each example.
        """
        lacking = [name for name in self.scores if name not in pool.scores]
        if lacking:
            raise TrainmapError(f"the map has no {', '.join(lacking)}")
        found = np.zeros(len(pool), bool)
        for name in self.scores:
            found |= np.isnan(pool.scores[name])
        weights = np.full(len(pool), -np.inf)
        given = np.asarray(self.weights(pool.rows(np.flatnonzero(~found))), np.float64)
        if given.shape != ((~found).sum(),) or np.isnan(given).any() or np.isposinf(given).any():
            raise TrainmapError(
                f"a candidate's weights must be a number or -inf for each of {(~found).sum()} examples, got "
                f"{given.shape} with {int((np.isnan(given) | np.isposinf(given)).sum())} that are none"
            )
        weights[~found] = given
        return weights


def evenly(pool: Pool) -> Array:
    """The same weight for all."""
    return np.zeros(len(pool))


def tilted(pool: Pool, score: str, tilt: float) -> Array:
    """``tilt rank(score)``, the rank from 0 (lowest) to 1: the last is exp(tilt) times as likely as the first."""
    return tilt * _ranks(pool, pool.scores[score])


def middle(pool: Pool, tilt: float) -> Array:
    """``tilt (1 - rank |rank(confidence) - 1/2|)``: those about the median are the most likely."""
    return tilt * (1 - _ranks(pool, np.abs(_ranks(pool, pool.scores["confidence"]) - 0.5)))


def cut(pool: Pool, share: float) -> Array:
    """Never the ``share`` of lowest confidence, but of no class more than half; the others evenly."""
    lowest = pool.rising(pool.scores["confidence"])[: round(share * len(pool))]
    _, label, sizes = np.unique(pool.labels, return_inverse=True, return_counts=True)
    weights = np.zeros(len(pool))
    weights[lowest[within_class(label[lowest]) < (sizes // 2)[label[lowest]]]] = -np.inf
    return weights


_CONFIDENCE, _VARIABILITY = ("confidence",), ("variability",)

CANDIDATES: Mapping[str, Candidate] = {
    "cut": Candidate(partial(cut, share=0.1), scores=_CONFIDENCE),
    "middle": Candidate(partial(middle, tilt=4.0), scores=_CONFIDENCE),
    "ambiguous 4": Candidate(partial(tilted, score="variability", tilt=4.0), scores=_VARIABILITY),
    "easy": Candidate(partial(tilted, score="confidence", tilt=2.0), scores=_CONFIDENCE),
    "ambiguous 2": Candidate(partial(tilted, score="variability", tilt=2.0), scores=_VARIABILITY),
    "balanced": Candidate(evenly, balance="equal"),
    "hard": Candidate(partial(tilted, score="confidence", tilt=-2.0), scores=_CONFIDENCE),
}
"""Those that are raced unless told, in the order in which a bound that has no room for all keeps them: first those
that never cost much on ten datasets (docs/race.md). The numbers are three steps of a scale (1, e^2, e^4 to 1; a tenth),
not fitted."""

Contender = Candidate | Strategy
"""What is raced: weights, or a strategy that returns rows."""


def contenders(given: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Contender]:
    """The candidates by name: all of ``CANDIDATES`` for None, some of them by their names, or a mapping of your own.

    Raises:
        TrainmapError: an unknown name, the name "even", something that is no candidate, none at all.
    """
    if given is None:
        return dict(CANDIDATES)
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
        raise TrainmapError(f"candidates must be names, or name -> candidate, got a {type(given).__name__}")
    found: dict[str, Contender] = {}
    for name in given:
        if not isinstance(name, str) or not name or name == EVEN:
            raise TrainmapError(f"a candidate needs a name that is not '{EVEN}', got {name!r}")
        one = given[name] if isinstance(given, Mapping) else CANDIDATES.get(name)
        if one is None:
            raise unknown("candidate", name, CANDIDATES)
        found[name] = one if isinstance(one, Candidate) else named(one)
    if not found:
        raise TrainmapError("a race needs at least one candidate beside even draws, got none")
    return found


def unfit(one: Contender, pool: Pool, size: int) -> str:
    """Why a candidate cannot be raced on this map, in a few words; "" where it can."""
    if isinstance(one, Strategy):
        lacking = [name for name in one.columns(one.defaults) if name not in pool.scores]
        lacking += [need for need in one.needs if need != "labels"]
        return f"needs {', '.join(lacking)}" if lacking else ""
    lacking = [name for name in one.scores if name not in pool.scores]
    if lacking:
        return f"the map has no {', '.join(lacking)}"
    left = int(np.isfinite(one.of(pool)).sum())
    if left < size:
        return f"leaves {left:,} examples"
    if one.balance == "equal":
        sizes = np.unique(pool.labels, return_counts=True)[1]
        if (equal(sizes, size) == proportional(sizes, size)).all():
            return "the classes are as large as each other"
    return ""


def drawn(one: Contender, pool: Pool, size: int, seed: int) -> Array:
    """(size,) ids, ascending: drawn without replacement by the weights, the classes by the candidate's balance.

    With the same seed all candidates are drawn with the same noise, so that they differ by what they prefer alone.
    """
    if isinstance(one, Strategy):
        return pool.ids[choose(one, pool, size, seed, "proportional" if one.shares else None)]
    weights = one.of(pool)
    order = weighted_sample(weights, int(np.isfinite(weights).sum()), np.random.default_rng(seed))
    return pool.ids[np.sort(first_by_class(order, size, pool.labels, one.balance, floor=1))]


def _ranks(pool: Pool, values: Array) -> Array:
    """(n,) from 0 for the lowest value to 1 for the highest; equals in the order of their ids' hashes."""
    ranks = np.empty(len(values))
    ranks[pool.rising(values)] = (np.arange(len(values)) + 0.5) / len(values)
    return ranks
