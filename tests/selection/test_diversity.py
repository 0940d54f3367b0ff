"""Moderate and D2: by hand on a line, and against loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.selection.diversity import neighbour_graph
from trainmap.selection.pool import Features
from trainmap.selection.select import select_by

MakeMap = Callable[..., DataMap]


def on_a_line(*places: float) -> Features:
    return Features(np.arange(len(places)), np.array(places, float)[:, None])


def test_moderate_by_hand(make_map: MakeMap) -> None:
    # class 0 at 0, 1, 5 (mean 2): distances 2, 1, 3; class 1 at 10, 14 (mean 12): 2, 2. By rank and hash: 1 3 4 0 2
    datamap, features = make_map(5, labels=[0, 0, 0, 1, 1]), on_a_line(0, 1, 5, 10, 14)
    assert select_by(datamap, "moderate", 1, features=features).ids.tolist() == [4]
    assert select_by(datamap, "moderate", 3, features=features).ids.tolist() == [0, 3, 4]
    # medians 1 and 12: distances 1, 0, 4, 2, 2. By rank, equals by hash: 1 0 3 4 2
    assert select_by(datamap, "moderate", 2, features=features, centre="median").ids.tolist() == [0, 3]
    with pytest.raises(TrainmapError, match="centre must be"):
        select_by(datamap, "moderate", 1, features=features, centre="mode")


def test_moderate_with_balance_takes_the_middle_of_every_class(make_map: MakeMap) -> None:
    datamap = make_map(6, labels=[0, 0, 0, 1, 1, 1])
    features = on_a_line(0, 1, 5, 100, 110, 150)  # distances 2 1 3 | 20 10 30
    assert select_by(datamap, "moderate", 2, balance="equal", features=features).ids.tolist() == [0, 3]


def test_d2_by_hand(make_map: MakeMap) -> None:
    # three places: {0, 1} at 0, {2, 3} at 10, and 4 at 20; one neighbour each, distances 0, 0, 10 (to 2 or 3)
    datamap, features = make_map(5, el2n=[0.9, 0.8, 0.7, 0.6, 0.1]), on_a_line(0, 0, 10, 10, 20)
    # x = 0.8 0.7 0.6 0.5 0; y = 1.5 1.5 1.1 1.1 0 (and next to nothing from 10 away); by hash: 3 4 1 2 0
    first = select_by(datamap, "d2", 1, features=features, neighbours=1, relative=False)
    assert first.ids.tolist() == [1]
    second = select_by(datamap, "d2", 2, features=features, neighbours=1, relative=False)
    assert second.ids.tolist() == [1, 3]  # 0 lost all its 1.5 to 1, its twin
    crowd = select_by(datamap, "d2", 2, features=features, neighbours=1, relative=False, gamma=1e9)
    assert crowd.ids.tolist() == [1, 3]  # twins are at distance 0 whatever gamma is


def loop_d2(x: list[float], places: np.ndarray, size: int, k: int, gamma: float, relative: bool) -> list[int]:
    """D2 with dictionaries: the graph, the forward pass, then the greedy choice."""
    n = len(x)
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    edges: dict[int, dict[int, float]] = {i: {} for i in range(n)}
    for i in range(n):
        for j in sorted((j for j in range(n) if j != i), key=lambda j: far[i, j])[:k]:
            edges[i][j] = edges[j][i] = float(far[i, j])
    lengths = [length for near in edges.values() for length in near.values()]
    unit = float(np.median(lengths)) if relative else 1.0
    x = [value - min(x) for value in x]
    y = [x[i] + sum(np.exp(-d / unit) * x[j] for j, d in edges[i].items()) for i in range(n)]
    taken: list[int] = []
    for _ in range(size):
        best = max((i for i in range(n) if i not in taken), key=lambda i: (y[i], -i))
        for j, d in edges[best].items():
            y[j] -= np.exp(-gamma * d / unit) * y[best]
        taken.append(best)
    return sorted(taken)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(5, 30),
    k=st.integers(1, 4),
    gamma=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    relative=st.booleans(),
)
def test_d2_is_the_published_loop(make_map: MakeMap, seed: int, n: int, k: int, gamma: float, relative: bool) -> None:
    draws = np.random.default_rng(seed)
    x, places = draws.random(n), draws.normal(0, 1, (n, 3))
    found = select_by(
        make_map(n, el2n=x),
        "d2",
        n // 2,
        features=Features(np.arange(n), places),
        neighbours=k,
        gamma=gamma,
        relative=relative,
    )
    assert found.ids.tolist() == loop_d2(x.tolist(), places, n // 2, k, gamma, relative)


def test_d2_takes_the_hard_end_and_more_neighbours_than_there_are(make_map: MakeMap) -> None:
    datamap = make_map(4, aum=[3.0, 2.0, 1.0, -5.0])
    features = on_a_line(0, 1000, 2000, 3000)
    assert select_by(datamap, "d2", 1, score="aum", features=features, relative=False).ids.tolist() == [3]
    assert len(select_by(datamap, "d2", 4, score="aum", features=features, neighbours=99)) == 4


def test_d2_refuses_what_it_cannot_do(make_map: MakeMap) -> None:
    datamap, features = make_map(3, el2n=[np.inf, 1, 2]), on_a_line(0, 1, 2)
    with pytest.raises(TrainmapError, match="1 of el2n are infinite"):
        select_by(datamap, "d2", 1, features=features)
    with pytest.raises(TrainmapError, match="neighbours must be"):
        select_by(datamap, "d2", 1, score="aum", features=features, neighbours=0)
    with pytest.raises(TrainmapError, match="gamma must be"):
        select_by(datamap, "d2", 1, score="aum", features=features, gamma=-1)


def test_the_graph_is_symmetric_and_keeps_distances_of_zero() -> None:
    graph = neighbour_graph(np.array([[0.0], [0.0], [3.0]]), 1)
    assert graph.nnz == 4  # 0-1 both ways, 2 to one of the twins and back
    dense = graph.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    assert dense[2].max() == 3
    assert graph.has_sorted_indices
