"""UGIES: the examples that are hard by themselves and unlike each other, as a heavy clique of a graph.

See ``trainmap.selection.coverage`` for what a strategy is.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, whole
from trainmap.selection.coverage import Generator, direction
from trainmap.selection.option_limits import check_hard, check_number
from trainmap.selection.pool import Candidates, Pool

Array = NDArray[Any]


def ugies(
    pool: Pool,
    size: int,
    generator: Generator,
    *,
    score: str = "entropy",
    alpha: float = 1.0,
    cluster: int = 50,
    hard: Literal["high", "low"] | None = None,
) -> Array:
    """Difficulty, less what those that are taken already have in common with an example; the best first.

    With x_i the score (turned so that high is hard), D_ij = 1 - cos of the features and N(i) the examples of i's
    class that k-means puts beside it, ``size`` times the i with the highest unified importance is taken (ties by the
    hash of the ids)::

        I(i | S) = alpha x_i + sum_{j in S and N(i)} g(D_ij)        g(D) = -2 / (1 + exp(D / d))

    so that g is -1 for examples that are alike and goes to 0; d is the median distance within the clusters.

    Args:
        score: any score of the map with finite values: the intrinsic importance.
        alpha: how much it counts beside one neighbour.
        cluster: about how many examples a cluster has.
        hard: which end of the score is hard, for one that trainmap does not know.

    Source: Wu et al. 2026 (ICML), arXiv:2606.12913, equations 2 to 8 and algorithm 1: greedy for a maximum weight
    clique, entropy as intrinsic importance, neighbourhoods by class and k-means (ten clusters of 50 on CIFAR-100).
    Differs: the authors train by choosing anew in every epoch, by the entropy of the network as it stands; this
    chooses once, by that of the map, averaged over its epochs. The paper's g is a non-positive sigmoid of the distance
    whose form could not be read: this one is ours, and so is its unit. The authors' code
    (github.com/dywu98/Data-Selection-on-Graphs) does something else again: it draws by softmax of the entropy less the
    mean distance to the neighbours. Memory: the distances of one cluster at a time.
    """
    assert pool.features is not None
    check_ugies(Candidates(len(pool)), size, score=score, alpha=alpha, cluster=cluster, hard=hard)
    order = pool.rising(np.zeros(len(pool)))  # by the hash alone: who comes first among equals
    values = pool.scores[score][order]
    if not np.isfinite(values).all():
        raise TrainmapError(f"ugies needs finite values; {int((~np.isfinite(values)).sum())} of {score} are not")
    importance = alpha * (values if direction(score, hard) == "high" else -values)
    unit = directions_of(pool.features[order])
    group = groups_in_classes(unit, pool.labels[order], cluster)
    near = [np.flatnonzero(group == one) for one in range(group.max() + 1)]
    scale = median_distance(unit, near)
    taken = np.empty(size, np.int64)
    for step in range(size):
        taken[step] = i = int(np.argmax(importance))
        beside = near[group[i]]
        importance[beside] += interaction(1 - unit[beside] @ unit[i], scale)  # one that is taken stays at -inf
        importance[i] = -np.inf
    return order[taken]


def check_ugies(candidates: Candidates, size: int, *, score: str, alpha: float, cluster: int, hard: Any) -> None:
    """Refuse options that ``ugies`` cannot take."""
    check_number(alpha, "alpha must be at least 0", lambda x: x >= 0)
    whole(cluster, "cluster", 1)
    check_hard(score, hard)


def interaction(distance: Array, scale: float) -> Array:
    """g(D) = -2 / (1 + exp(D / d)): -1 at distance 0, towards 0 with it."""
    return -2 / (1 + np.exp(np.minimum(np.maximum(distance, 0) / scale, 700)))


def directions_of(features: Array) -> Array:
    """(n, D) float64 of length 1; a row of zeros stays one."""
    rows = features.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def groups_in_classes(unit: Array, labels: Array, cluster: int) -> Array:
    """(n,) int64 from 0 without a gap: k-means within each class, into clusters of about so many examples; the
    same again for the same examples."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    group, found = np.empty(len(labels), np.int64), 0
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows, count = unit[of_class], max(1, round(len(of_class) / cluster))
        count = min(count, len(np.unique(rows, axis=0)))
        with threadpool_limits(1):  # the same sums whatever the number of cores
            inside = np.asarray(KMeans(count, n_init=1, random_state=0).fit_predict(rows))  # pyright: ignore
        group[of_class] = found + np.unique(inside, return_inverse=True)[1]
        found = int(group[of_class].max()) + 1
    return group


def median_distance(unit: Array, near: list[Array]) -> float:
    """Of the cosine distances of two different examples of one cluster; 1 where there are none above 0."""
    every = [1 - (unit[one] @ unit[one].T)[np.triu_indices(len(one), 1)] for one in near]
    found = float(np.median(np.concatenate(every))) if sum(map(len, every)) else 0.0
    return found if found > 1e-12 else 1.0
