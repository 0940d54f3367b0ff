from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.experiments.results.statistics import (
    Difference,
    Verdict,
    holm,
    holm_verdicts,
    interval,
    paired_difference,
)

scores = st.floats(0, 1).map(lambda value: round(value, 4))


def spread(values: list[float]) -> bool:
    return max(values) - min(values) > 1e-6


@given(st.lists(scores, min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_is_the_one_of_scipy(values: list[float], level: float) -> None:
    assume(spread(values))
    ours = interval(values, level)
    low, high = scipy.stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert ours.n == len(values)
    assert ours.mean == pytest.approx(np.mean(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert ours.half_width == pytest.approx((high - low) / 2)


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=12))
def test_the_paired_difference_is_the_paired_t_test_of_scipy(pairs: list[tuple[float, float]]) -> None:
    a, b = dict(enumerate(pair[0] for pair in pairs)), dict(enumerate(pair[1] for pair in pairs))
    assume(spread([x - y for x, y in pairs]))
    ours = paired_difference(a, b)
    theirs = scipy.stats.ttest_rel(list(a.values()), list(b.values()))
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (ours.verdict != Verdict.NONE) == (theirs.pvalue < 0.05)


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=8))
def test_changing_sides_changes_the_verdict_to_its_opposite(pairs: list[tuple[float, float]]) -> None:
    a, b = dict(enumerate(pair[0] for pair in pairs)), dict(enumerate(pair[1] for pair in pairs))
    opposite = {Verdict.ABOVE: Verdict.BELOW, Verdict.BELOW: Verdict.ABOVE, Verdict.NONE: Verdict.NONE}
    assert paired_difference(b, a).verdict == opposite[paired_difference(a, b).verdict]


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.7, 0.02, size=(4000, 4))
    inside = [estimate.low <= 0.7 <= estimate.high for estimate in map(interval, draws.tolist())]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_one_value_has_no_interval_and_says_so() -> None:
    estimate = interval([0.5])
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert str(estimate) == "0.5000 (n=1)"


def test_identical_values_have_no_interval_of_width_zero() -> None:
    estimate = interval([0.1 + 0.2, 0.3, 0.3])
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.half_width)
    assert str(estimate) == "0.3000 (n=3, identical)"


def test_an_estimate_prints_its_interval_and_n() -> None:
    assert str(interval([0.5, 0.6, 0.7])) == "0.6000 ± 0.2484 (n=3)"


def test_a_large_mean_with_a_wide_interval_is_no_verdict() -> None:
    difference = paired_difference({0: 0.9, 1: 0.5}, {0: 0.4, 1: 0.4})
    assert difference.mean == pytest.approx(0.3)
    assert difference.verdict == Verdict.NONE


def test_a_small_mean_with_a_narrow_interval_is_one() -> None:
    assert paired_difference({0: 0.502, 1: 0.603, 2: 0.702}, {0: 0.5, 1: 0.6, 2: 0.7}).verdict == Verdict.ABOVE
    assert paired_difference({0: 0.498, 1: 0.597, 2: 0.698}, {0: 0.5, 1: 0.6, 2: 0.7}).verdict == Verdict.BELOW


def test_only_common_seeds_are_compared() -> None:
    difference = paired_difference({0: 0.5, 1: 0.6, 7: 0.0}, {1: 0.5, 0: 0.45, 9: math.nan})
    assert difference.n == 2
    assert difference.mean == pytest.approx(0.075)


@pytest.mark.parametrize("b", [{}, {5: 0.1}])
def test_no_common_seed_shows_no_difference(b: dict[int, float]) -> None:
    difference = paired_difference({0: 0.9, 1: 0.9}, b)
    assert (difference.n, difference.verdict) == (0, Verdict.NONE)
    assert math.isnan(difference.mean)


def test_one_common_seed_shows_no_difference() -> None:
    difference = paired_difference({0: 0.9}, {0: 0.1})
    assert (difference.n, difference.verdict) == (1, Verdict.NONE)
    assert math.isnan(difference.low)
    assert math.isnan(difference.p)


def test_equal_differences_show_no_difference_even_after_rounding() -> None:
    a, b = {0: 0.3, 1: 0.4, 2: 0.9}, {0: 0.2, 1: 0.3, 2: 0.8}
    assert len({a[seed] - b[seed] for seed in a}) > 1  # rounding makes them differ in the last bit
    difference = paired_difference(a, b)
    assert difference.verdict == Verdict.NONE
    assert math.isnan(difference.low)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf], [[0.1, 0.2]]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(TrainmapError, match="an interval needs"):
        interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_in_percent_is_refused(level: float) -> None:
    with pytest.raises(TrainmapError, match="level must lie between 0 and 1"):
        interval([0.1, 0.2], level)


def test_a_nan_at_a_common_seed_is_refused() -> None:
    with pytest.raises(TrainmapError, match="1 of 2"):
        paired_difference({0: 0.5, 1: math.nan}, {0: 0.5, 1: 0.5})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """By definition: a hypothesis falls when every subset of the family that holds it falls by Bonferroni."""
    everyone = range(len(p_values))
    subsets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(everyone, size)]
    closed = [max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets if i in s) for i in everyone]
    assert holm(p_values) == pytest.approx(closed)


def test_holm_agrees_with_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_an_untested_comparison_is_never_rejected_and_still_counts() -> None:
    assert holm([0.02, math.nan]) == pytest.approx([0.04, 1.0])


def test_holm_withdraws_verdicts_and_adds_none() -> None:
    family = [
        Difference(0.02, 0.01, 0.03, 5, Verdict.ABOVE, 0.001),
        Difference(-0.02, -0.04, -0.001, 5, Verdict.BELOW, 0.04),
        Difference(0.0, -0.01, 0.01, 5, Verdict.NONE, 0.9),
    ]
    assert holm_verdicts(family) == [Verdict.ABOVE, Verdict.NONE, Verdict.NONE]
    assert holm_verdicts([]) == []
