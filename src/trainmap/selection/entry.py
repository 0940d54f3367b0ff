"""What a word of the mini-language is: what it reads, whether it draws at random, from how many epochs on, and how.

There are two kinds. A ``Ranking`` puts all examples in an order and takes the first that are left. A ``Strategy`` looks
at the whole distribution of those that are left. ``strategies.py`` has the table of all of them.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown, whole
from trainmap.kinds import check_name
from trainmap.scores.compute import check_epochs
from trainmap.scores.table import hard_end, score_named
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance, equal, first_by_class, proportional

Array = NDArray[Any]
Need = Literal["labels", "features", "clusters"]


@dataclass(frozen=True)
class Ask:
    """What is asked of a word.

    Attributes:
        size: how many examples.
        seed: of what draws at random.
        balance: within each class, ``"equal"`` numbers or numbers ``"proportional"`` to the candidates.
        options: of the word.
        told: how the user wrote it, for errors.
    """

    size: int
    seed: int = 0
    balance: Balance | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""


@dataclass(frozen=True)
class Word:
    """A word with what one must know to use it.

    Attributes:
        name: what it is called.
        function: of a strategy ``(pool, size, generator, **options)`` -> (size,) rows of the pool; of a ranking
            ``(pool, generator, told, **options)`` -> rows, the first to be taken first.
        source: the paper.
        random: whether the seed matters.
        scores: columns of the map that it reads, besides the one that its option ``score`` names.
        needs: what else it reads.
        preset: options that are another value here than in the function.
        epochs: of the recording that a map must come from, at least.
        shares: whether it deals out places to classes itself: it is called once, with ``balance``.
        held_out: whether it chooses better when it is told how good the map's network is on data that it was not
            trained on (its option ``held_out``), which only a run can tell.
        explain: ``(pool, size, balance, **options)`` -> a paragraph that says what it makes of a map, and why.
        check: ``(candidates, size, **options)`` refuses what is bound to fail, before there is a map.
    """

    name: str
    function: Callable[..., Array]
    source: str
    random: bool = False
    scores: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    preset: Mapping[str, Any] = field(default_factory=dict, hash=False)
    epochs: int = 1
    shares: bool = False
    held_out: bool = False
    explain: Callable[..., str] | None = None
    check: Callable[..., None] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options with their default values; an empty text where one must be named (the score of an end)."""
        signature = inspect.signature(self.function).parameters.values()
        named = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY and p.name != "balance"}
        return named | dict(self.preset)

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults with what was given in their place.

        Raises:
            TrainmapError: an option that it does not have.
        """
        defaults = self.defaults
        for name in given:
            if name not in defaults:
                if not defaults:
                    raise TrainmapError(f"{self.name} has no options, got '{name}'")
                raise unknown(f"option of {self.name}", name, defaults)
        return defaults | dict(given)

    def columns(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The columns of the map that it reads under these options."""
        if "score" not in options:
            return self.scores
        check_name(options["score"], "a score")
        return (*self.scores, options["score"])

    @property
    def reads_map(self) -> bool:
        """Whether it needs a map at all."""
        return bool(self.needs or self.scores or "score" in self.defaults)

    def least_epochs(self, options: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        """What it needs epochs for (itself, columns that trainmap knows) and how many of them."""
        yield self.name, self.epochs
        for column in self.columns(options):
            yield column, score_named(column).epochs if hard_end(column) else 1

    def check_map(self, epochs: int) -> None:
        """Refuse a map of too few epochs."""
        check_epochs(self.name, self.epochs, epochs)

    def draw(self, pool: Pool, free: Array, ask: Ask) -> tuple[Array, int]:
        """Rows of a pool of all examples of the map, and how many better ones an earlier part took.

        Args:
            free: (N,) bool, those that may be taken.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Ranking(Word):
    """A word that puts all examples in an order, whichever are left, and takes the first of those."""

    def least_epochs(self, options: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        yield from super().least_epochs(options)
        if "variability" in self.columns(options):
            yield "variability", 2  # over one epoch nothing varies

    def check_map(self, epochs: int) -> None:
        """Its function says more of such a map."""

    def draw(self, pool: Pool, free: Array, ask: Ask) -> tuple[Array, int]:
        order = self.function(pool, chance(ask.seed), ask.told, **ask.options)
        candidates = order[free[order]]
        if len(candidates) < ask.size:
            raise TrainmapError(
                f"'{ask.told}' needs {ask.size} examples and {len(candidates)} are left that have a value and are not "
                "taken by an earlier part"
            )
        if ask.balance is not None:
            return first_by_class(candidates, ask.size, pool.labels, ask.balance), 0
        passed_over = int(np.flatnonzero(free[order])[ask.size - 1] + 1 - ask.size) if ask.size else 0
        return candidates[: ask.size], passed_over


@dataclass(frozen=True)
class Strategy(Word):
    """A word that looks at the whole distribution of the examples that are left."""

    @property
    def reads_map(self) -> bool:
        """A function of one's own is handed every column, whatever it says that it reads."""
        return True

    def draw(self, pool: Pool, free: Array, ask: Ask) -> tuple[Array, int]:
        rows = np.flatnonzero(free)
        if not ask.size:
            return rows[:0], 0
        return rows[choose(self, pool.rows(rows), ask.size, ask.seed, ask.balance, ask.options)], 0


def choose(
    strategy: Word,
    pool: Pool,
    size: int,
    seed: int = 0,
    balance: Balance | None = None,
    options: Mapping[str, Any] | None = None,
) -> Array:
    """Rows of a pool by a strategy.

    Args:
        pool: the candidates, ids ascending. Those that lack what the strategy reads (a score that is NaN, a label, a
            cluster) are never taken.
        size: how many.
        seed: of the random strategies.
        balance: run the strategy within each class, for ``"equal"`` numbers of every class (a class that runs out
            leaves its places to the others) or numbers ``"proportional"`` to the candidates. None: over all at once.
            One that ``shares`` runs over all at once and deals out the places in this way.
        options: of the strategy.

    Returns:
        (size,) int64, ascending.

    Raises:
        TrainmapError: an unknown option, something that the strategy needs and the pool lacks, too few candidates.
    """
    chosen_options = strategy.options(options or {})
    rows = np.flatnonzero(usable(strategy, pool, strategy.columns(chosen_options), balance))
    if len(rows) < size:
        raise TrainmapError(
            f"'{strategy.name}' needs {size} examples and {len(rows)} are left that have what it reads "
            f"({', '.join((*strategy.columns(chosen_options), *strategy.needs)) or 'nothing'})"
        )
    purpose = zlib.crc32(strategy.name.encode())

    def run(part: Array, count: int, *key: int) -> Array:
        # One that runs over all at once has the draws of "random": where it knows nothing, it is random of that seed.
        generator = chance(seed) if strategy.shares else np.random.default_rng([seed, purpose, *key])
        taken = np.asarray(strategy.function(pool.rows(part), count, generator, **chosen_options))
        if taken.shape != (count,) or len(np.unique(taken)) != count or taken.min() < 0 or taken.max() >= len(part):
            raise TrainmapError(
                f"{strategy.name} must return {count} different rows, 0 to {len(part) - 1}; it returned {taken.shape}"
            )
        return part[taken]

    if strategy.shares:
        chosen_options["balance"] = balance
    if balance is None or strategy.shares:
        return np.sort(run(rows, size))
    classes, label, sizes = np.unique(pool.labels[rows], return_inverse=True, return_counts=True)
    quotas = by_class(sizes, size, balance)
    parts = [run(rows[label == place], int(quota), int(classes[place])) for place, quota in enumerate(quotas) if quota]
    return np.sort(np.concatenate(parts))


def chance(seed: int) -> np.random.Generator:
    """The draws of the word "random"."""
    return np.random.Generator(np.random.PCG64(seed))


def by_class(sizes: Array, size: int, balance: Balance) -> Array:
    """How many of every class are taken, of classes with so many examples."""
    return proportional(sizes, size) if balance == "proportional" else equal(sizes, size)


def check_request(seed: Any, balance: Any, labels: Array) -> None:
    """Refuse a seed or a balance that cannot be.

    Raises:
        TrainmapError: says which.
    """
    if balance is not None and balance not in get_args(Balance):
        raise unknown("balance", str(balance), get_args(Balance))
    whole(seed, "seed")
    if balance is not None and (labels < 0).any():
        raise TrainmapError(f"balance needs every label; {(labels < 0).sum()} examples of this map have none")


def usable(strategy: Word, pool: Pool, columns: tuple[str, ...], balance: Balance | None = None) -> Array:
    """(n,) bool: the examples that have what a strategy reads.

    Raises:
        TrainmapError: features, clusters or epochs that it needs and the pool lacks.
    """
    strategy.check_map(pool.epochs)
    found = np.ones(len(pool), bool)
    for name in columns:
        found &= ~np.isnan(pool.scores[name])
    if "labels" in strategy.needs or balance is not None:
        found &= pool.labels >= 0
    if "features" in strategy.needs and pool.features is None:
        raise TrainmapError(
            f"'{strategy.name}' needs features; use select_by(..., features=Features(ids, values)) with a vector for "
            "each example"
        )
    if "clusters" in strategy.needs:
        if pool.clusters is None:
            raise TrainmapError(
                f"'{strategy.name}' needs clusters of trajectories; use select_by(..., clusters=cluster(dynamics)) "
                "from trainmap.scores.trajectories"
            )
        found &= pool.clusters >= 0
    return found
