"""The scores that running sums give: for a recording at level "stats", which keeps no epochs.

Each is the score of the same name in ``SCORES`` by its default convention, from (n,) sums instead of (E, n) signals:
the same bits where both add up the same numbers in the same order, and the same within rounding for variability,
aleatoric and slope. A score that looks at the epochs one by one cannot be had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.stats import NEVER, Stats
from trainmap.errors import TrainmapError

Array = NDArray[Any]


def confidence(stats: Stats) -> Array:
    """(1/J) sum_e p_e."""
    return stats.mean("p_gold")


def variability(stats: Stats) -> Array:
    """sqrt((1/J) sum_e (p_e - mean p)^2)."""
    return np.sqrt(stats.mean("p_spread"))


def correctness(stats: Stats) -> Array:
    """The number of epochs with a right prediction."""
    return _if_seen(stats, stats["correct"])


def forgetting(stats: Stats) -> Array:
    """The number of changes from right to wrong; infinity for an example that was never right."""
    return _if_seen(stats, np.where(stats["correct"] > 0, stats["forgotten"], np.inf))


def slope(stats: Stats) -> Array:
    """sum_e (e - mean e)(p_e - mean p) / sum_e (e - mean e)^2; NaN for fewer than two visits."""
    spread = stats["epoch_spread"]
    return np.divide(stats["p_by_epoch"], spread, out=np.full(len(stats), np.nan), where=spread > 0)


def threshold_closeness(stats: Stats) -> Array:
    """c (1 - c) with c the confidence."""
    mean = stats.mean("p_gold")
    return mean * (1 - mean)


def aum(stats: Stats) -> Array:
    """(1/J) sum_e margin_e."""
    return stats.mean("margin")


def el2n(stats: Stats) -> Array:
    """Mean over the first ten epochs."""
    return stats.early_mean()


def entropy(stats: Stats) -> Array:
    """(1/J) sum_e entropy_e."""
    return stats.mean("entropy")


def loss(stats: Stats) -> Array:
    """(1/J) sum_e loss_e."""
    return stats.mean("loss")


def aleatoric(stats: Stats) -> Array:
    """(1/J) sum_e p_e (1 - p_e)."""
    return stats.mean("aleatoric")


def first_learned(stats: Stats) -> Array:
    """The first epoch with a right prediction; infinity if none."""
    return _epoch(stats, "first_right")


def learning_time(stats: Stats) -> Array:
    """The first epoch from which on the prediction was right to the end; infinity if it was wrong when last seen."""
    return _epoch(stats, "right_since")


def _epoch(stats: Stats, name: str) -> Array:
    return _if_seen(stats, np.where(stats[name] == NEVER, np.inf, stats[name]))


def _if_seen(stats: Stats, values: Array) -> Array:
    return np.where(stats["visits"] > 0, values, np.nan)


FROM_STATS: dict[str, Callable[[Stats], Array]] = {
    function.__name__: function
    for function in (
        confidence,
        variability,
        correctness,
        forgetting,
        slope,
        threshold_closeness,
        aum,
        el2n,
        entropy,
        loss,
        aleatoric,
        first_learned,
        learning_time,
    )
}


def score_from_stats(name: str) -> Callable[[Stats], Array]:
    """The function of running sums that gives this score.

    Raises:
        TrainmapError: this score needs the epochs.
    """
    if name not in FROM_STATS:
        raise needs_epochs(name)
    return FROM_STATS[name]


def needs_epochs(name: str) -> TrainmapError:
    """The error for a score that running sums cannot give."""
    return TrainmapError(
        f"{name} needs the epochs, and level 'stats' keeps running sums; record with level='signals', or take one "
        f"of {', '.join(sorted(FROM_STATS))}"
    )
