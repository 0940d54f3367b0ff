"""The interval of a race: Student's by hand, held-out data as a sample, and how often it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trainmap.races.lower_bound import Lead, lead


def test_with_one_part_it_is_students_one_sided_interval() -> None:
    """2, 4, 6: mean 4, s 2; t(2, 0.9) = 1.8856; 4 - 1.8856 * 2 / sqrt(3) = 1.8226."""
    found = lead(np.array([[2.0], [4.0], [6.0]]), 0.9)
    assert (found.mean, found.n) == (4.0, 3)
    assert found.low == pytest.approx(1.8226, abs=1e-4)
    assert found.shown


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.99])
def test_it_is_scipys_one_sided_test(confidence: float) -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 7)
    p = float(stats.ttest_1samp(values, 0, alternative="greater")[1])  # type: ignore[arg-type]
    assert lead(values[:, None], confidence).shown == (p < 1 - confidence)


def test_parts_count_as_a_sample_of_their_own() -> None:
    """By hand: means of the seeds 1 and 2, of the parts 0, 3; nothing is left over, so b = 4.5 / 2 and a = 0.5 / 2."""
    differences = np.array([[-0.5, 2.5], [0.5, 3.5]])
    found, variance = lead(differences, 0.9), 0.25 + 2.25
    freedom = variance**2 / (0.25**2 + 2.25**2)
    assert found.mean == 1.5
    assert found.low == pytest.approx(1.5 - stats.t.ppf(0.9, freedom) * math.sqrt(variance))
    assert found.low < lead(differences.mean(axis=1, keepdims=True), 0.9).low


@pytest.mark.parametrize("differences", [[[1.0]], [[1.0], [1.0], [1.0]], [[1.0, 3.0]], [[0.1 + 0.2], [0.3]]])
def test_a_spread_that_was_not_seen_shows_nothing(differences: list[list[float]]) -> None:
    found = lead(np.array(differences), 0.9)
    assert math.isnan(found.low)
    assert not found.shown


def test_a_lead_at_0_is_not_shown() -> None:
    assert not Lead(1.0, 0.0, 4).shown


@pytest.mark.parametrize(("by_seed", "by_part", "rest"), [(1, 0, 0.3), (1, 1, 1), (0.3, 1, 1), (0.5, 0, 2)])
def test_where_there_is_no_difference_it_is_shown_in_one_of_ten_at_most(
    by_seed: float, by_part: float, rest: float
) -> None:
    """1,500 races with four seeds and twenty parts whose true lead is 0, at 90 %: 10 %, and 2 for chance."""
    generator, shown = np.random.default_rng(0), 0
    for _ in range(1500):
        seeds, parts = generator.normal(0, by_seed, (4, 1)), generator.normal(0, by_part, 20)
        shown += lead(seeds + parts + generator.normal(0, rest, (4, 20)), 0.9).shown
    assert shown / 1500 < 0.12
