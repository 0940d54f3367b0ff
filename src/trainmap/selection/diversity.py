"""Strategies that look at features: Moderate (the middle of the distances to the class centre), D2 (a graph).

See ``trainmap.selection.coverage`` for what a strategy is.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.given import check_flag
from trainmap.errors import TrainmapError, shown, whole
from trainmap.selection.coverage import Generator, direction
from trainmap.selection.option_limits import check_hard, check_number
from trainmap.selection.pool import Candidates, Pool

Array = NDArray[Any]


def moderate(pool: Pool, size: int, generator: Generator, *, centre: Literal["mean", "median"] = "mean") -> Array:
    """The examples whose distance to their class's centre is nearest to the median distance, by rank.

    Sorted by Euclidean distance to the centre of the class (equals by the hash of their ids), the middle
    ``size`` are taken.

    Args:
        centre: of a class, in each feature: the mean, as in the paper, or the median, as in its code.

    Source: Xia et al. 2023 (Moderate coreset, ICLR), section 3. The ranks are over all classes together, as in the
    code; ``balance="proportional"`` takes the middle of every class.
    """
    assert pool.features is not None
    check_moderate(Candidates(len(pool)), size, centre=centre)
    features, distance = pool.features.astype(np.float64), np.empty(len(pool))
    for label in np.unique(pool.labels):
        of_class = pool.labels == label
        middle = getattr(np, centre)(features[of_class], axis=0)
        distance[of_class] = np.linalg.norm(features[of_class] - middle, axis=1)
    start = (len(pool) - size) // 2
    return pool.rising(distance)[start : start + size]


def d2(
    pool: Pool,
    size: int,
    generator: Generator,
    *,
    score: str = "el2n",
    neighbours: int = 10,
    gamma: float = 1.0,
    relative: bool = True,
    hard: Literal["high", "low"] | None = None,
) -> Array:
    """Difficult and diverse: difficulty passed on over a graph of neighbours, then taken greedily.

    With x_i >= 0 the difficulty (the score, turned so that high is hard, less its lowest value), d_ij the distance of
    the features and N(i) the symmetric k-nearest neighbours:

    1. forward: ``y_i = x_i + sum_{j in N(i)} exp(-d_ij) x_j``;
    2. ``size`` times: take i with the highest y (ties by the hash of the ids), and for its neighbours that are left
       ``y_j -= exp(-gamma d_ij) y_i``.

    Args:
        score: any score of the map with finite values.
        neighbours: k; 10 as in the paper.
        gamma: how far a taken example keeps others away; the paper searches it for each budget.
        relative: measure distances in units of the median distance to a neighbour, so that gamma means the same for
            any features; False: as they are, as in the paper.
        hard: which end of the score is hard, for one that trainmap does not know.

    Source: Maharana et al. 2023 (D2 pruning), arXiv:2310.07931, section 3, and its code's graph mode "sum" with
    sampling mode "weighted". Memory and time: n k numbers, and n^2 D multiplications for the graph.
    """
    assert pool.features is not None
    known = {"score": score, "neighbours": neighbours, "gamma": gamma, "relative": relative, "hard": hard}
    check_d2(Candidates(len(pool)), size, **known)
    order = pool.rising(np.zeros(len(pool)))  # by the hash alone: who comes first among equals, and among neighbours
    values = pool.scores[score][order]
    if np.isinf(values).any():
        raise TrainmapError(f"d2 needs finite values; {int(np.isinf(values).sum())} of {score} are infinite")
    x = values if direction(score, hard) == "high" else -values
    x = x - x.min()
    if len(pool) == 1:
        return np.zeros(size, np.int64)
    graph = neighbour_graph(pool.features[order], min(neighbours, len(pool) - 1))
    unit = np.median(graph.data) if relative and np.median(graph.data) > 0 else 1.0
    near = graph.copy()
    near.data = np.exp(-graph.data / unit)
    away = np.exp(-gamma * graph.data / unit)
    y = x + near @ x
    taken = np.empty(size, np.int64)
    for step in range(size):
        taken[step] = i = int(np.argmax(y))
        edges = slice(graph.indptr[i], graph.indptr[i + 1])
        y[graph.indices[edges]] -= away[edges] * y[i]  # one that is taken stays at -inf
        y[i] = -np.inf
    return order[taken]


def check_moderate(candidates: Candidates, size: int, *, centre: Any) -> None:
    """Refuse options that ``moderate`` cannot take."""
    if not isinstance(centre, str) or centre not in ("mean", "median"):
        raise TrainmapError(f"centre must be 'mean' or 'median', got {shown(centre)}")


def check_d2(
    candidates: Candidates, size: int, *, score: str, neighbours: int, gamma: float, relative: bool, hard: Any
) -> None:
    """Refuse options that ``d2`` cannot take."""
    whole(neighbours, "neighbours", 1)
    check_number(gamma, "gamma must be at least 0", lambda x: x >= 0)
    check_flag(relative, "relative")
    check_hard(score, hard)


def neighbour_graph(features: Array, neighbours: int) -> Any:
    """The symmetric k-nearest-neighbour graph: two examples are joined if either is among the other's nearest.

    Returns:
        scipy CSR matrix (n, n) float64 of Euclidean distances; columns ascend in every row; a distance of 0 is stored.
    """
    from scipy.sparse import csr_matrix
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the same sums whatever the number of cores
        distances, places = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(features).kneighbors()
    n = len(features)
    rows, columns = np.repeat(np.arange(n), neighbours), places.ravel()
    edges = np.concatenate([rows * n + columns, columns * n + rows])
    edges, first = np.unique(edges, return_index=True)
    length = np.concatenate([distances.ravel(), distances.ravel()])[first].astype(np.float64)
    starts = np.searchsorted(edges, np.arange(n + 1) * n)
    return csr_matrix((length, edges % n, starts), shape=(n, n))
