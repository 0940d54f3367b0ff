"""The words that put all examples in an order: regions, the ends of a score, chance.

A ranking is a pure function (pool, generator, told, options) -> rows of the pool, the first to be taken first; without
those that have no value. ``told`` is how the user wrote it, for errors. See ``trainmap.selection.entry``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD, deepest_first, depth, unclear
from trainmap.scores.table import hard_end
from trainmap.selection.pool import Pool

Array = NDArray[Any]
Generator = np.random.Generator


def everything(pool: Pool, generator: Generator, told: str) -> Array:
    """All examples, by their ids."""
    return np.arange(len(pool))


def chance(pool: Pool, generator: Generator, told: str) -> Array:
    """All examples in a random order: a smaller random sample is a part of a larger one with the same seed."""
    return generator.permutation(len(pool))


def region(pool: Pool, generator: Generator, told: str, name: str) -> Array:
    """The deepest in a region first (``trainmap.maps.regions.depth``).

    Raises:
        TrainmapError: a map that cannot tell regions.
    """
    variability, confidence = pool.scores["variability"], pool.scores["confidence"]
    if len(pool) > 1 and (why := unclear(variability, confidence, pool.epochs, pool.rule)):
        raise TrainmapError(
            f"'{told}': this map cannot tell regions ({why}); record more epochs, or take an end of a score ('bottom "
            "33% confidence') or 'random'"
        )
    return deepest_first(depth(name, variability, confidence, pool.rule), pool.ids)


easy, ambiguous, hard = (partial(region, name=name) for name in (EASY, AMBIGUOUS, HARD))


def top(pool: Pool, generator: Generator, told: str, *, score: str = "") -> Array:
    """The highest values first."""
    return deepest_first(_values(pool, told, score), pool.ids)


def bottom(pool: Pool, generator: Generator, told: str, *, score: str = "") -> Array:
    """The lowest values first."""
    return deepest_first(-_values(pool, told, score), pool.ids)


def middle(pool: Pool, generator: Generator, told: str, *, score: str = "") -> Array:
    """From the median outwards, by rank; of two places as far out, the lower first."""
    order = bottom(pool, generator, told, score=score)
    away = np.abs(np.arange(len(order)) - (len(order) - 1) / 2)
    return order[np.argsort(away, kind="stable")]


def hardest(pool: Pool, generator: Generator, told: str, *, score: str = "") -> Array:
    """The hard end first, of a score that trainmap knows it of."""
    return (top if _hard(pool, told, score) == "high" else bottom)(pool, generator, told, score=score)


def easiest(pool: Pool, generator: Generator, told: str, *, score: str = "") -> Array:
    """The easy end first, of a score that trainmap knows it of."""
    return (bottom if _hard(pool, told, score) == "high" else top)(pool, generator, told, score=score)


def _values(pool: Pool, told: str, score: str) -> Array:
    if score == "variability" and pool.epochs == 1:
        raise TrainmapError(f"'{told}' needs a map of at least 2 epochs: over one nothing varies; record more of them")
    return pool.scores[score]


def _hard(pool: Pool, told: str, score: str) -> str:
    end = pool.ends[score] if score in pool.ends else hard_end(score)
    if end is None:
        raise TrainmapError(f"'{told}': trainmap does not know which end of {score} is hard; write top or bottom")
    return end
