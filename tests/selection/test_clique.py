"""UGIES: by hand on a circle, and against the objective that it is greedy for."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.selection.clique import groups_in_classes, interaction, median_distance
from trainmap.selection.pool import Features
from trainmap.selection.select import select_by

MakeMap = Callable[..., DataMap]


def on_a_circle(*degrees: float) -> Features:
    turned = np.radians(degrees)
    return Features(np.arange(len(degrees)), np.stack([np.cos(turned), np.sin(turned)], axis=1))


def test_ugies_by_hand(make_map: MakeMap) -> None:
    # one class, one cluster. 0 and 1 point the same way, 2 turns away by 90 degrees: D = 0, 1, 1; their median is 1
    datamap, features = make_map(3, entropy=[1.0, 0.9, 0.5], labels=[0, 0, 0]), on_a_circle(0, 0, 90)
    assert interaction(np.array([0.0, 1.0]), 1.0) == pytest.approx([-1, -2 / (1 + math.e)])
    assert select_by(datamap, "ugies", 1, features=features).ids.tolist() == [0]
    # then 1 has 0.9 - 1, and 2 has 0.5 - 0.54
    assert select_by(datamap, "ugies", 2, features=features).ids.tolist() == [0, 2]
    # what is hard counts for more: 1 has 1.8 - 1, and 2 has 1 - 0.54
    assert select_by(datamap, "ugies", 2, features=features, alpha=2.0).ids.tolist() == [0, 1]


def test_another_class_is_no_neighbour(make_map: MakeMap) -> None:
    datamap, features = make_map(3, entropy=[1.0, 0.9, 0.5], labels=[0, 1, 1]), on_a_circle(0, 0, 90)
    assert select_by(datamap, "ugies", 2, features=features).ids.tolist() == [0, 1]


def test_the_hard_end_of_the_score_counts(make_map: MakeMap) -> None:
    datamap, features = make_map(3, confidence=[0.1, 0.5, 0.9], labels=[0, 1, 2]), on_a_circle(0, 0, 0)
    assert select_by(datamap, "ugies", 1, features=features, score="confidence").ids.tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 9), alpha=st.sampled_from([0.0, 0.5, 3.0]))
def test_every_step_takes_what_adds_most_to_the_clique(seed: int, n: int, alpha: float) -> None:
    generator = np.random.default_rng(seed)
    features = Features(np.arange(n), generator.normal(size=(n, 3)))
    entropy = generator.uniform(size=n)
    from trainmap.selection.clique import ugies
    from trainmap.selection.pool import Pool

    pool = Pool(np.arange(n), np.zeros(n, np.int64), {"entropy": entropy}, 0.5, features=features.values)
    unit = features.values / np.linalg.norm(features.values, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    scale = float(np.median([distance[i, j] for i, j in combinations(range(n), 2)]))

    def weight(chosen: list[int]) -> float:
        pairs = sum(float(interaction(distance[i, j], scale)) for i, j in combinations(chosen, 2))
        return alpha * float(entropy[chosen].sum()) + pairs

    order = ugies(pool, n, np.random.default_rng(0), alpha=alpha, cluster=n).tolist()
    assert sorted(order) == list(range(n))
    for step in range(n):
        best = max(weight([*order[:step], other]) for other in range(n) if other not in order[:step])
        assert weight(order[: step + 1]) == pytest.approx(best, abs=1e-9)


def test_clusters_lie_within_classes_and_are_about_as_large_as_asked(make_map: MakeMap) -> None:
    generator = np.random.default_rng(0)
    labels, unit = np.repeat([0, 1, 2], [100, 40, 3]), generator.normal(size=(143, 4))
    group = groups_in_classes(unit, labels, 20)
    assert sorted(set(group.tolist())) == list(range(5 + 2 + 1))
    assert all(len(set(labels[group == one].tolist())) == 1 for one in range(8))


def test_twins_and_rows_of_zeros_have_a_distance_to_measure_by() -> None:
    assert median_distance(np.ones((3, 1)), [np.arange(3)]) == 1
    assert median_distance(np.ones((3, 1)), [np.array([one]) for one in range(3)]) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alpha": -1}, "alpha must be at least 0"),
        ({"cluster": 0}, "cluster must be"),
        ({"score": "learning_time"}, "needs finite values; 1 of learning_time"),
    ],
)
def test_ugies_refuses_what_it_cannot_take(make_map: MakeMap, options: dict[str, Any], told: str) -> None:
    datamap = make_map(3, entropy=[1.0, 0.9, 0.5], learning_time=[1, 2, math.inf], labels=[0, 0, 0])
    with pytest.raises(TrainmapError, match=told):
        select_by(datamap, "ugies", 2, features=on_a_circle(0, 0, 90), **options)
