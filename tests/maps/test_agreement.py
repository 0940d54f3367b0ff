from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from trainmap.errors import TrainmapError
from trainmap.maps.agreement import compare, open_pair, plain, ranks, region_agreement, spearman, top_overlap
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD

FEW_LEVELS = arrays(np.float64, st.integers(2, 30), elements=st.integers(0, 4).map(float))


def make_map(confidence: Sequence[float], ids: Sequence[Any] | None = None, **changes: Any) -> DataMap:
    n = len(confidence)
    table = pl.DataFrame(
        {
            "id": list(range(n)) if ids is None else list(ids),
            "label": [0] * n,
            "confidence": pl.Series(confidence, dtype=pl.Float64),
            "variability": pl.Series(np.arange(n) / (2 * n)),
            "correctness": pl.Series(np.arange(n) % 6, dtype=pl.Float64),
            "region": pl.Series([(EASY, AMBIGUOUS, HARD, None)[i % 4] for i in range(n)], dtype=pl.String),
        }
    ).sort("id")
    return replace(DataMap(table, 5, "quantile", 1 / 3, "train", "data"), **changes)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    np.testing.assert_array_equal(ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])), [4, 1, 4, 2, 4])
    np.testing.assert_array_equal(ranks(np.array([7.0])), [1])


def test_spearman_by_hand_with_a_tie() -> None:
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@given(FEW_LEVELS.flatmap(lambda a: st.tuples(st.just(a), arrays(np.float64, len(a), elements=st.floats(-3, 3)))))
def test_spearman_is_scipys_whatever_the_ties(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    mine = spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(mine)
    else:
        assert mine == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)  # pyright: ignore[reportAttributeAccessIssue]
        assert spearman(b, a) == mine
        assert spearman(a, a) == 1.0
        assert spearman(a, -a) == -1.0


def test_infinities_are_ranked_and_pairs_with_nan_are_left_out() -> None:
    a = np.array([1.0, np.inf, np.nan, 2.0, np.inf])
    assert spearman(a, np.array([1.0, 3.0, 0.0, 2.0, 3.0])) == 1.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan], [2.0, 2.0, 2.0]])
def test_spearman_of_nothing_of_one_and_of_a_constant_is_nan(values: list[float]) -> None:
    assert math.isnan(spearman(np.array(values), np.arange(len(values), dtype=float)))


def test_spearman_refuses_columns_of_other_lengths() -> None:
    with pytest.raises(TrainmapError, match="alike"):
        spearman(np.arange(3.0), np.arange(4.0))


def test_top_overlap_by_hand() -> None:
    a = np.array([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    b = np.array([9.0, 0, 7, 6, 1, 4, 3, 2, 5, 8])
    top = top_overlap(a, b, 0.4)  # {0, 1, 2, 3} and {0, 9, 2, 3}
    assert (top.count, top.share, top.jaccard, top.tied) == (4, 0.75, 3 / 5, 0)
    assert (top.chance_share, top.chance_jaccard) == (0.4, 4 / 16)


def test_equals_at_the_border_hold_an_equal_part_of_the_places_left() -> None:
    a = np.array([5.0, 1, 1, 1, 0, 0])  # one place is sure, one is left for three: 1/3 each
    b = np.array([5.0, 4, 0, 0, 0, 0])
    top = top_overlap(a, b, 1 / 3)
    assert top.share == pytest.approx((1 + 1 / 3) / 2)
    assert top.tied == 0.5


@given(FEW_LEVELS, st.floats(0.01, 1))
def test_a_constant_ranking_shares_what_chance_does_and_order_does_not_matter(a: np.ndarray, fraction: float) -> None:
    top = top_overlap(a, np.zeros(len(a)), fraction)
    assert top.share == pytest.approx(top.chance_share)
    assert top.jaccard == pytest.approx(top.chance_jaccard)
    shuffled = np.random.default_rng(0).permutation(len(a))
    b = np.arange(len(a)) % 3.0
    assert top_overlap(a[shuffled], b[shuffled], fraction).share == pytest.approx(top_overlap(a, b, fraction).share)


@given(st.integers(1, 50), st.floats(0.01, 1))
def test_a_ranking_without_ties_overlaps_itself_wholly(n: int, fraction: float) -> None:
    a = np.random.default_rng(n).permutation(n).astype(float)
    top = top_overlap(a, 2 * a + 1, fraction)
    assert (top.share, top.jaccard) == (1, 1)
    assert 1 <= top.count <= n


def test_overlap_by_chance_is_what_independent_rankings_show() -> None:
    rng = np.random.default_rng(0)
    tops = [top_overlap(rng.random(200), rng.random(200), 0.25) for _ in range(300)]
    assert np.mean([top.share for top in tops]) == pytest.approx(tops[0].chance_share, abs=0.01)


def test_top_overlap_of_examples_that_nobody_saw_is_nan_and_a_fraction_has_its_range() -> None:
    top = top_overlap(np.array([np.nan]), np.array([1.0]), 0.5)
    assert top.count == 0
    assert math.isnan(top.share)
    with pytest.raises(TrainmapError, match="at most 1, got 33"):
        top_overlap(np.arange(3.0), np.arange(3.0), 33)


def test_region_agreement_by_hand() -> None:
    a = np.array([EASY, EASY, HARD, None], dtype=object)
    b = np.array([EASY, AMBIGUOUS, HARD, None], dtype=object)
    agreed = region_agreement(a, b)
    assert agreed.counts == ((1, 1, 0, 0), (0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    assert agreed.agreed == 0.75
    assert agreed.chance == (2 * 1 + 0 * 1 + 1 + 1) / 16
    assert agreed.kappa == pytest.approx((0.75 - 0.25) / 0.75)


def test_a_map_agrees_with_itself_wholly() -> None:
    datamap = make_map([0.9, 0.1, 0.5, 0.7, 0.3])
    found = compare(datamap, datamap)
    assert [score.score for score in found.scores] == ["confidence", "variability", "correctness"]
    for score in found.scores:
        assert score.spearman == 1
        assert all(top.share == 1 for top in score.top)
    assert found.regions.agreed == found.regions.kappa == 1
    assert (found.examples, found.only_a, found.only_b) == (5, 0, 0)


def test_the_top_is_the_hard_end_of_the_score() -> None:
    a = make_map([0.0, 0.1, 0.8, 0.9])  # low confidence is hard: 0 and 1 on top
    b = make_map([0.0, 0.1, 0.9, 0.8])
    (confidence,) = compare(a, b, ["confidence"], [0.5]).scores
    assert confidence.top[0].share == 1
    (confidence,) = compare(a, make_map([0.8, 0.9, 0.1, 0.0]), ["confidence"], [0.5]).scores
    assert confidence.top[0].share == 0


def test_a_map_of_one_example_compares_without_a_correlation() -> None:
    found = compare(make_map([0.5]), make_map([0.6]))
    assert math.isnan(found.scores[0].spearman)
    assert found.to_dict()["scores"][0]["spearman"] is None
    assert found.scores[0].top[0].share == 1


def test_the_order_of_rows_does_not_matter_and_ids_may_be_strings() -> None:
    a = make_map([0.1, 0.2, 0.3], ids=["x", "y", "z"])
    b = make_map([0.3, 0.2, 0.1], ids=["z", "y", "x"])
    assert compare(a, b, ["confidence"]).scores[0].spearman == 1


def test_maps_of_different_source_dataset_or_rule_are_refused_until_that_is_allowed() -> None:
    a = make_map([0.1, 0.2, 0.3])
    for name, value in (("source", "sweep"), ("dataset", "other"), ("rule", "corner"), ("fraction", 0.1)):
        b = replace(a, **{name: value})
        key: Any = "rule" if name == "fraction" else name
        with pytest.raises(TrainmapError, match=f"allow '{key}'"):
            compare(a, b)
        assert compare(a, b, allow={key}).examples == 3
    with pytest.raises(TrainmapError, match="did you mean 'source'"):
        compare(a, a, allow=["sorce"])  # type: ignore[list-item]


def test_other_datasets_are_compared_over_the_ids_that_both_have() -> None:
    a, b = make_map([0.1, 0.2, 0.3], ids=[1, 2, 3]), make_map([0.5, 0.1, 0.9], ids=[2, 3, 4], dataset="other")
    found = compare(a, b, ["confidence"], allow=["dataset"])
    assert (found.examples, found.only_a, found.only_b) == (2, 1, 1)
    assert found.scores[0].spearman == -1
    with pytest.raises(TrainmapError, match="no id in common"):
        compare(a, make_map([0.1], ids=[9], dataset="other"), allow=["dataset"])


def test_an_unknown_score_is_named() -> None:
    a = make_map([0.1, 0.2])
    with pytest.raises(TrainmapError, match="did you mean 'confidence'"):
        compare(a, a, ["confidnce"])


def test_a_comparison_is_plain_json() -> None:
    found = compare(make_map([0.1, 0.1]), make_map([0.2, 0.3]))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict() == plain(found.to_dict())


def test_a_pair_is_opened_from_folders_and_maps_alike(record: Any, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 12)
    first = record(rng.normal(size=(4, 12, 3)), labels, name="first")
    record(rng.normal(size=(6, 12, 3)), labels, name="second")
    saved = DataMap.from_dynamics(first, ["confidence", "aum"], rule="corner").save(tmp_path / "map.parquet")
    a, b = open_pair(tmp_path / "first", tmp_path / "second", ["aum"], epochs=3)
    assert a.epochs == b.epochs == 3
    assert "aum" in a.scores
    a, b = open_pair(saved, tmp_path / "second")
    assert b.rule == "corner"
    assert a.scores == b.scores
    assert compare(a, b).epochs == (4, 6)
    with pytest.raises(TrainmapError, match="dynamics folders only"):
        open_pair(saved, tmp_path / "second", epochs=2)


@pytest.mark.parametrize(
    ("column", "low_is_hard"), [("aum", True), ("aum_ccs", True), ("forgetting_toneva", False), ("mine", False)]
)
def test_the_top_is_the_hard_end_of_the_score_under_every_convention(column: str, low_is_hard: bool) -> None:
    values = np.arange(20.0)
    other = np.where(values < 10, values, values[::-1] + 10)  # the low ten alike, the high ten turned around
    a, b = (make_map(values.tolist()) for _ in range(2))
    a = replace(a, table=a.table.with_columns(pl.Series(column, values)))
    b = replace(b, table=b.table.with_columns(pl.Series(column, other)))
    (score,) = compare(a, b, [column], [0.25]).scores
    assert score.top[0].share == (1.0 if low_is_hard else 0.0)
