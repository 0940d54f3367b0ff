from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from trainmap.audits.precision import best_separation, estimate_quality
from trainmap.errors import TrainmapError


@pytest.mark.parametrize(("rate", "n"), [(0.1, 20_000), (0.2, 20_000), (0.5, 4000)])
def test_errors_like_the_flips_are_counted_and_judged_right(rate: float, n: int) -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(n) < rate
    others = np.where(wrong, rng.normal(2, 1, n), rng.normal(-1, 1, n))
    quality = estimate_quality(rng.normal(2, 1, 400), others, 1.0)
    flagged = others >= 1.0
    assert quality.error_rate == pytest.approx(wrong.mean(), abs=0.025)
    assert quality.precision == pytest.approx((flagged & wrong).sum() / flagged.sum(), abs=0.2)
    assert quality.recall_low <= (flagged & wrong).sum() / wrong.sum() <= quality.recall_high
    assert quality.suspected == flagged.sum()


def test_clean_labels_have_few_errors() -> None:
    rng = np.random.default_rng(0)
    assert estimate_quality(rng.normal(4, 1, 300), rng.normal(-1, 1, 10_000), 1.0).error_rate < 0.01


@given(st.integers(1, 60), st.integers(0, 60))
def test_the_interval_of_recall_is_clopper_and_pearsons(planted: int, caught: int) -> None:
    caught = min(caught, planted)
    values = np.where(np.arange(planted) < caught, 1.0, 0.0)
    quality = estimate_quality(values, np.array([0.0, 1.0]), 0.5)
    expected = binomtest(caught, planted).proportion_ci(method="exact")
    assert (quality.caught, quality.recall) == (caught, caught / planted)
    assert (quality.recall_low, quality.recall_high) == pytest.approx((expected.low, expected.high))
    assert 0 <= quality.error_rate <= 1
    assert 0 <= quality.precision <= 1


def test_by_hand_where_the_flips_stand_above_all_clean_examples() -> None:
    others = np.array([9.0, 8, *[0.0] * 18])  # two wrong of 20
    quality = estimate_quality(np.array([9.0, 9, 8, 8]), others, 5)
    assert (quality.recall, quality.error_rate, quality.precision) == (1, 0.1, 1)
    assert "4 of 4 suspected" in str(quality)


def test_nothing_suspected_has_no_precision() -> None:
    quality = estimate_quality(np.array([1.0]), np.array([0.0, np.nan]), 2)
    assert (quality.caught, quality.suspected) == (0, 0)
    assert math.isnan(quality.precision)


def test_never_seen_examples_are_neither_caught_nor_suspected() -> None:
    quality = estimate_quality(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), 0)
    assert (quality.planted, quality.caught, quality.suspected) == (2, 1, 1)
    assert estimate_quality(np.array([np.nan]), np.array([1.0]), 0).error_rate == 0


def test_best_separation_by_hand() -> None:
    planted, others = np.array([5.0, 4, 1]), np.array([4.5, 1.5, 0, 0])
    # at 5: 1/3 - 0; at 4: 2/3 - 1/4; at 1: 1 - 2/4
    assert best_separation(planted, others) == 1
    assert best_separation(planted, np.array([4.5, 3, 2, 1.5])) == 4


def test_an_estimate_needs_flips_and_others() -> None:
    with pytest.raises(TrainmapError, match="got 0 and 1"):
        estimate_quality(np.array([]), np.array([1.0]), 0)
    with pytest.raises(TrainmapError, match="got none"):
        best_separation(np.array([np.nan]), np.array([1.0]))
