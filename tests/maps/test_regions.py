"""The two rules of regions, their precedence, ties, fractions and overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD, assign, deepest_first, depth, overlap

NAN = np.nan


def regions(points: list[tuple[float, float]], **keywords: Any) -> list[str | None]:
    """Regions of (variability, confidence) points with ids 0, 1, 2, ..."""
    v, c = np.array(points).T
    return assign(v, c, np.arange(len(points)), **keywords).tolist()


def test_by_quantiles_ambiguous_is_high_variability_hard_low_and_easy_high_confidence() -> None:
    points = [(0.4, 0.5), (0.1, 0.1), (0.05, 0.95), (0.2, 0.6), (0.3, 0.55), (0.11, 0.2)]
    assert regions(points, fraction=1 / 6) == [AMBIGUOUS, HARD, EASY, None, None, None]
    assert regions(points, fraction=1 / 3) == [AMBIGUOUS, HARD, EASY, EASY, AMBIGUOUS, HARD]


def test_where_regions_overlap_ambiguous_goes_before_hard_before_easy() -> None:
    points = [(0.4, 0.1), (0.1, 0.9)]
    assert regions(points, fraction=0.5) == [AMBIGUOUS, EASY]
    assert regions(points, fraction=1) == [AMBIGUOUS, AMBIGUOUS]
    # one example is the most certain and the least: hard goes before easy, and the ambiguous one is another
    assert regions([(0.1, 0.5), (0.2, 0.5)], fraction=0.5) == [HARD, AMBIGUOUS]


def test_ties_go_to_the_smaller_id_whatever_the_order() -> None:
    ids = np.array([5, 3, 9, 1])
    flat, wide = np.full(4, 0.5), np.full(4, 0.2)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        found = assign(wide, flat, ids[order], fraction=0.25)
        assert dict(zip(ids[order].tolist(), found.tolist(), strict=True)) == {1: AMBIGUOUS, 3: None, 5: None, 9: None}


@pytest.mark.parametrize(
    ("n", "fraction", "count"), [(3, 1 / 3, 1), (4, 1 / 3, 1), (5, 0.5, 3), (10, 0.33, 3), (7, 1, 7)]
)
def test_the_fraction_is_of_all_seen_examples_rounded_half_up(n: int, fraction: float, count: int) -> None:
    v = np.concatenate([np.linspace(0.1, 0.4, n), [NAN, NAN]])
    found = assign(v, np.where(np.isnan(v), NAN, 0.5), np.arange(n + 2), fraction=fraction)
    assert (found == AMBIGUOUS).sum() == count
    assert found[-2:].tolist() == [None, None]


def test_a_variability_that_is_missing_puts_an_example_in_no_region() -> None:
    assert regions([(NAN, 0.99), (0.1, 0.9), (0.2, 0.5)], fraction=0.5) == [None, EASY, AMBIGUOUS]
    assert regions([(NAN, 0.99), (0.1, 0.9)], rule="corner") == [None, EASY]


def test_by_corners_each_example_belongs_to_the_nearest() -> None:
    points = [(0.5, 0.5), (0.1, 0.05), (0.1, 0.95), (0.0, 0.51), (0.0, 0.49), (0.3, 0.5), (NAN, NAN)]
    assert regions(points, rule="corner") == [AMBIGUOUS, HARD, EASY, EASY, HARD, HARD, None]
    assert regions([(0.375, 0.5)], rule="corner") == [AMBIGUOUS]  # as far from all three corners
    assert regions(points, rule="corner", fraction=0.01) == regions(points, rule="corner")


def test_depth_is_the_order_of_selection_by_either_rule() -> None:
    v, c = np.array([0.1, 0.4, 0.2]), np.array([0.9, 0.5, 0.1])
    ids = np.arange(3)
    for rule in ("quantile", "corner"):
        assert deepest_first(depth(AMBIGUOUS, v, c, rule), ids)[0] == 1
        assert deepest_first(depth(HARD, v, c, rule), ids)[0] == 2
        assert deepest_first(depth(EASY, v, c, rule), ids)[0] == 0
    np.testing.assert_allclose(depth(AMBIGUOUS, v, c, "corner"), -np.hypot(v - 1, c - 0.5))


def test_deepest_first_leaves_out_what_has_no_value_and_keeps_infinity() -> None:
    values = np.array([1.0, NAN, np.inf, -np.inf, 1.0])
    assert deepest_first(values, np.array([4, 0, 2, 1, 3])).tolist() == [2, 4, 0, 3]


def test_overlap_is_the_share_of_a_region_before_precedence() -> None:
    v = np.array([0.4, 0.3, 0.2, 0.1, NAN])
    c = np.array([0.1, 0.5, 0.2, 0.9, NAN])
    found = overlap(v, c, np.arange(5), fraction=0.5)
    assert found == {(EASY, AMBIGUOUS): 0.5, (EASY, HARD): 0.0, (AMBIGUOUS, HARD): 0.5}


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    fraction=st.floats(0.01, 1),
    rule=st.sampled_from(["quantile", "corner"]),
)
def test_the_order_of_the_rows_never_changes_a_region(n: int, seed: int, fraction: float, rule: Any) -> None:
    generator = np.random.default_rng(seed)
    v, c = generator.integers(0, 4, n) / 8, generator.integers(0, 5, n) / 4
    v[generator.random(n) < 0.1] = NAN
    ids = generator.permutation(1000)[:n]
    order = generator.permutation(n)
    found = assign(v, c, ids, rule, fraction)
    assert assign(v[order], c[order], ids[order], rule, fraction).tolist() == found[order].tolist()
    shares = overlap(v, c, ids, fraction)
    assert overlap(v[order], c[order], ids[order], fraction) == shares
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, NAN])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(TrainmapError, match="fraction must be above 0 and at most 1"):
        regions([(0.1, 0.5)], fraction=fraction)
    with pytest.raises(TrainmapError, match="fraction must be above 0 and at most 1"):
        overlap(np.array([0.1]), np.array([0.5]), np.array([0]), fraction)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TrainmapError, match="unknown rule 'quantiles'; did you mean 'quantile'"):
        regions([(0.1, 0.5)], rule="quantiles")
