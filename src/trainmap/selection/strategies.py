"""The strategies that look at the whole distribution, in one table, and the one way to run them.

    coverage.py    bands, strata (CCS), Beta sampling, trajectory clusters
    diversity.py   Moderate, D2: they need features
    pool.py        what a strategy is handed
    quotas.py      sharing a number among classes, strata, clusters

A strategy of your own is a plain function of (pool, size, generator, options) that returns ``size`` different rows of
the pool: pass it to ``trainmap.select_by`` where a name can stand. A keyword ``score`` of it names a column of the map.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown, whole
from trainmap.kinds import check_name
from trainmap.selection.auto import READS, auto
from trainmap.selection.coverage import band, beta, ccs, dual_beta, s2l
from trainmap.selection.diversity import d2, moderate
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance, equal, proportional

Array = NDArray[Any]
Need = Literal["labels", "features", "clusters"]


@dataclass(frozen=True)
class Strategy:
    """A way to choose, with what one must know to use it.

    Attributes:
        name: what it is called.
        function: ``(pool, size, generator, **options) -> (size,)`` rows of the pool.
        source: the paper.
        random: whether the seed matters.
        scores: columns of the map that it reads, besides the one that its option ``score`` names.
        needs: what else it reads.
        preset: options that are another value here than in the function.
        epochs: of the recording that a map must come from, at least.
        shares: whether it deals out places to classes itself: it is called once, with ``balance``.
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

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options with their default values."""
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
        return (*self.scores, options["score"]) if "score" in options else self.scores


def named(strategy: str | Strategy | Callable[..., Array]) -> Strategy:
    """The strategy of that name, or one made of a plain function."""
    if isinstance(strategy, Strategy):
        return strategy
    if callable(strategy):
        return Strategy(getattr(strategy, "__name__", "strategy"), strategy, "your own", random=True)
    check_name(strategy, "a strategy")
    if strategy not in STRATEGIES:
        raise unknown("strategy", str(strategy), STRATEGIES)
    return STRATEGIES[strategy]


def choose(
    strategy: Strategy,
    pool: Pool,
    size: int,
    seed: int = 0,
    balance: Balance | None = None,
    options: Mapping[str, Any] | None = None,
) -> Array:
    """Rows of a pool.

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
        generator = np.random.default_rng([seed, purpose, *key])
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
    quotas = proportional(sizes, size) if balance == "proportional" else equal(sizes, size)
    parts = [run(rows[label == place], int(quota), int(classes[place])) for place, quota in enumerate(quotas) if quota]
    return np.sort(np.concatenate(parts))


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


def usable(strategy: Strategy, pool: Pool, columns: tuple[str, ...], balance: Balance | None = None) -> Array:
    """(n,) bool: the examples that have what a strategy reads.

    Raises:
        TrainmapError: features, clusters or epochs that it needs and the pool lacks.
    """
    check_epochs(strategy.name, strategy.epochs, pool.epochs)
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


def check_epochs(what: str, needed: int, epochs: int) -> None:
    """Refuse a map with fewer epochs than a score or a strategy needs.

    Raises:
        TrainmapError: says how many it must be.
    """
    if epochs < needed:
        raise TrainmapError(f"{what} needs a map of at least {needed} epochs, got {epochs}; record more of them")


_BETA = Strategy("beta", beta, "Cho et al. 2025, arXiv:2502.06905; Wu et al. 2026, arXiv:2606.25488", random=True)
_BAND = Strategy("band", band, "a band of ranks")

STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "auto",
            auto,
            "ours: docs/selection.md",
            random=True,
            scores=READS,
            needs=("labels",),
            epochs=2,
            shares=True,
        ),
        _BAND,
        replace(_BAND, name="medium", source="Chen et al. 2025 (ICLR)", preset={"score": "teacher_loss"}),
        Strategy("ccs", ccs, "Zheng et al. 2023, arXiv:2210.15809", random=True),
        Strategy(
            "dual-beta", dual_beta, "Cho et al. 2025, arXiv:2502.06905", random=True, scores=("dual", "confidence")
        ),
        _BETA,
        replace(_BETA, name="beta-distilled", preset={"distilled": True}),
        Strategy("s2l", s2l, "Yang et al. 2024, arXiv:2403.07384", random=True, needs=("clusters",)),
        Strategy("moderate", moderate, "Xia et al. 2023 (ICLR)", needs=("labels", "features")),
        Strategy("d2", d2, "Maharana et al. 2023, arXiv:2310.07931", needs=("features",)),
    )
}
"""Regions, the top and bottom of a score and random samples are the mini-language's (``trainmap.selection.words``)."""
