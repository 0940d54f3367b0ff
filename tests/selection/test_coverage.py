"""Bands, strata, Beta sampling and clusters: by hand on small tables, and against loops over the published rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import beta as beta_distribution

from trainmap.dynamics.index import id_hash
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.scores.trajectories import Clusters
from trainmap.selection.coverage import beta_parameters, dual_beta, log_beta, teacher_loss, weighted_sample
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import equal, proportional, smallest_first
from trainmap.selection.select import select, select_by

MakeMap = Callable[..., DataMap]
NAN, INF = np.nan, np.inf


# --- quotas ---------------------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), share=st.floats(0, 1))
def test_quotas_sum_to_the_count_and_no_group_gives_more_than_it_has(sizes: list[int], share: float) -> None:
    has, count = np.array(sizes), int(share * sum(sizes))
    for rule in (equal, smallest_first, proportional)[: 3 if sum(sizes) else 2]:
        quotas = rule(has, count)
        assert quotas.sum() == count
        assert (quotas <= has).all()
        assert (quotas >= 0).all()


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), share=st.floats(0, 1))
def test_the_smallest_groups_give_all_before_a_larger_one_gives_more(sizes: list[int], share: float) -> None:
    """Written again from the algorithm: while there are groups, the smallest gives an equal share or all it has."""
    count = int(share * sum(sizes))
    waiting, expected, left = list(range(len(sizes))), [0] * len(sizes), count
    while waiting:
        group = min(waiting, key=lambda g: (sizes[g], g))
        expected[group] = min(sizes[group], left // len(waiting))
        left -= expected[group]
        waiting.remove(group)
    assert smallest_first(np.array(sizes), count).tolist() == expected


def test_quotas_by_hand() -> None:
    assert smallest_first(np.array([10, 2, 5]), 9).tolist() == [4, 2, 3]  # 2 of 9//3; then 7//2; then the rest
    assert smallest_first(np.array([0, 8, 8]), 7).tolist() == [0, 3, 4]


# --- bands ----------------------------------------------------------------------------------------------------------


def test_bands_by_hand(make_map: MakeMap) -> None:
    datamap = make_map(6, loss=[0.5, 0.1, 0.9, 0.3, 0.3, 0.7])  # by rank: 1 3 4 0 5 2
    assert select_by(datamap, "band", 2).ids.tolist() == [0, 4]
    assert select_by(datamap, "band", 3).ids.tolist() == [0, 3, 4]
    assert select_by(datamap, "band", 2, centre=0).ids.tolist() == [1, 3]
    assert select_by(datamap, "band", 2, centre=1).ids.tolist() == [2, 5]
    assert select_by(datamap, "band", 2, centre=0.25).ids.tolist() == [3, 4]
    with pytest.raises(TrainmapError, match="centre must be"):
        select_by(datamap, "band", 2, centre=1.2)


def test_the_ends_of_a_band_are_top_and_bottom(make_map: MakeMap) -> None:
    datamap = make_map(40)
    for centre, end in ((0, "bottom"), (1, "top")):
        found = select_by(datamap, "band", 13, score="aum", centre=centre)
        assert found.ids.tolist() == select(datamap, f"{end} 13 aum").ids.tolist()


def test_medium_takes_the_middle_of_the_teachers_loss(make_map: MakeMap) -> None:
    draws = np.random.default_rng(0)
    logits, labels = draws.normal(0, 3, (30, 4)).astype(np.float16), draws.integers(0, 4, 30)
    loss = teacher_loss(logits, labels)
    np.testing.assert_allclose(loss, -log_softmax(logits.astype(float), axis=1)[np.arange(30), labels])
    datamap = make_map(30, labels=labels, teacher_loss=loss)
    kept = select_by(datamap, "medium", 10).ids
    assert sorted(kept) == sorted(np.argsort(loss)[10:20])  # [n (1 - r) / 2, n (1 - r) / 2 + r n) with r = 1/3


# --- CCS ------------------------------------------------------------------------------------------------------------


def test_ccs_by_hand(make_map: MakeMap) -> None:
    # easy is high. The hardest fifth (ids 0, 1) goes; strata of width 2.5 over [0, 10]: {2, 3, 4}, {}, {5}, {6, ..., 9}
    datamap = make_map(10, labels=np.zeros(10, int), aum=[-9, -5, 0, 1, 2, 6, 8, 8.5, 9, 10])
    for seed in range(8):
        found = set(select_by(datamap, "ccs", 5, seed=seed, cut=0.2, strata=4).ids.tolist())
        assert 5 in found  # the smallest stratum gives all it has
        assert len(found & {2, 3, 4}) == 2
        assert len(found & {6, 7, 8, 9}) == 2


def loop_ccs(values: list[float], size: int, cut: float, strata: int) -> tuple[list[int], dict[int, int]]:
    """The published algorithm as a loop (low is hard): the stratum of each kept example, and each stratum's budget."""
    hashes = id_hash(np.arange(len(values)))
    order = sorted(range(len(values)), key=lambda i: (-values[i], int(hashes[i])))
    kept = sorted(order[: len(values) - int(cut * len(values))])
    low, high = min(values[i] for i in kept), max(values[i] for i in kept)
    bins: dict[int, list[int]] = {}
    for i in kept:
        place = 0
        while place < strata - 1 and high > low and values[i] >= low + (place + 1) * (high - low) / strata:
            place += 1
        bins.setdefault(place, []).append(i)
    budgets, left = {}, size
    for turn, place in enumerate(sorted(bins, key=lambda b: (len(bins[b]), b))):
        budgets[place] = min(len(bins[place]), left // (len(bins) - turn))
        left -= budgets[place]
    stratum = [-1] * len(values)
    for place, members in bins.items():
        for i in members:
            stratum[i] = place
    return stratum, budgets


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-40, 40), min_size=3, max_size=40),
    cut=st.sampled_from([0.0, 0.1, 0.35]),
    strata=st.sampled_from([1, 4, 16]),
    share=st.floats(0.05, 0.6),
)
def test_ccs_spends_the_budget_of_the_published_loop(
    make_map: MakeMap, values: list[int], cut: float, strata: int, share: float
) -> None:
    size = max(1, int(share * len(values)))
    floats = [float(value) for value in values]
    stratum, budgets = loop_ccs(floats, size, cut, strata)
    found = select_by(make_map(len(values), aum=floats), "ccs", size, cut=cut, strata=strata).ids
    spent = {place: sum(stratum[i] == place for i in found) for place in budgets}
    assert spent == budgets


def test_ccs_knows_which_end_is_hard_or_is_told(make_map: MakeMap) -> None:
    values = np.arange(10.0)
    datamap = make_map(10, el2n=values, aum=values, mine=values)
    assert select_by(datamap, "ccs", 5, score="el2n", cut=0.5).ids.tolist() == [0, 1, 2, 3, 4]
    assert select_by(datamap, "ccs", 5, score="aum", cut=0.5).ids.tolist() == [5, 6, 7, 8, 9]
    assert select_by(datamap, "ccs", 5, score="mine", cut=0.5, hard="low").ids.tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(TrainmapError, match="which end of mine is hard"):
        select_by(datamap, "ccs", 5, score="mine")
    with pytest.raises(TrainmapError, match="hard must be"):
        select_by(datamap, "ccs", 5, score="mine", hard="up")


def test_ccs_refuses_what_it_cannot_do(make_map: MakeMap) -> None:
    datamap = make_map(10, forgetting=[INF, *range(9)])
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"score": "forgetting"}, "1 of 10 of forgetting are infinite"),
        ({"cut": 0.6}, "leaves 4 of 10 examples, fewer than the 5"),
        ({"cut": 1.0}, "cut must be 0 to below 1"),
        ({"strata": 0}, "strata must be a whole number"),
    ]
    for options, message in mistakes:
        with pytest.raises(TrainmapError, match=message):
            select_by(datamap, "ccs", 5, **options)


def test_values_that_are_all_one_are_one_stratum(make_map: MakeMap) -> None:
    assert len(select_by(make_map(20, aum=np.full(20, -3.0)), "ccs", 7)) == 7


# --- S2L ------------------------------------------------------------------------------------------------------------


def test_s2l_takes_equal_numbers_of_every_cluster(make_map: MakeMap) -> None:
    clusters = np.repeat([0, 1, 2, -1], [2, 5, 9, 4])
    found = select_by(make_map(20), "s2l", 10, clusters=Clusters(np.arange(20), clusters, np.zeros((3, 2)))).ids
    assert np.bincount(clusters[found]).tolist() == [2, 4, 4]


# --- Beta sampling --------------------------------------------------------------------------------------------------


def test_the_parameters_are_the_published_ones() -> None:
    for kept, anchor in ((0.1, 0.3), (0.7, 0.55), (1.0, 0.2)):
        pruned = 1 - kept
        b = 15 * (1 - anchor) * (1 - pruned**4)
        assert beta_parameters(kept, anchor) == pytest.approx((16 - b, b))
    with pytest.raises(TrainmapError, match="c must be above 0"):
        beta_parameters(0.5, 0.5, 0)


def test_the_density_is_scipys_up_to_a_constant() -> None:
    x = np.linspace(0.01, 0.99, 30)
    for a, b in ((3.0, 13.0), (15.9, 0.1), (8.0, 8.0)):
        gap = log_beta(x, a, b) - beta_distribution.logpdf(x, a, b)
        np.testing.assert_allclose(gap, gap[0])


def test_weighted_sampling_draws_one_after_the_other() -> None:
    """Chances of every pair of four, without replacement, worked out by hand."""
    weights = np.array([1.0, 2.0, 3.0, 0.0])
    first = weights / weights.sum()
    expected = np.zeros((4, 4))
    for i in range(3):
        for j in range(3):
            if i != j:
                expected[i, j] = first[i] * weights[j] / (weights.sum() - weights[i])
    counts, generator = np.zeros((4, 4)), np.random.default_rng(0)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    for _ in range(20_000):
        i, j = weighted_sample(log_weights, 2, generator)
        counts[i, j] += 1
    np.testing.assert_allclose(counts / 20_000, expected, atol=0.012)


def test_weight_zero_comes_last_and_at_random() -> None:
    log_weights = np.array([-INF, 0.0, -INF, -50.0, -INF])
    last = set()
    for seed in range(30):
        order = weighted_sample(log_weights, 5, np.random.default_rng(seed)).tolist()
        assert order[:2] == [1, 3]
        last.add(order[2])
    assert last == {0, 2, 4}


@pytest.mark.parametrize("option", [{"anchors": 0}, {"anchors": 2.5}, {"floor": 0.0}, {"floor": 0.5}])
def test_dual_beta_refuses_what_gives_no_weights(option: dict[str, Any]) -> None:
    scores = {"dual": np.linspace(0, 0.3, 12), "confidence": np.linspace(0, 1, 12)}
    pool = Pool(np.arange(12), np.zeros(12, np.int64), scores, 0.5)
    with pytest.raises(TrainmapError, match=f"{next(iter(option))} must be"):
        dual_beta(pool, 3, np.random.default_rng(0), **option)


def test_dual_beta_samples_with_the_published_weights() -> None:
    draws = np.random.default_rng(1)
    confidence, dual = draws.random(12), draws.random(12)
    pool = Pool(np.arange(12), np.zeros(12, np.int64), {"confidence": confidence, "dual": dual}, kept=0.25)
    anchor = confidence[np.argsort(-dual)[:10]].mean()
    b = 15 * (1 - anchor) * (1 - 0.75**4)
    weights = beta_distribution.pdf(confidence, 16 - b, b) * dual
    generator = np.random.default_rng(2)
    counts = np.bincount([dual_beta(pool, 1, generator)[0] for _ in range(20_000)], minlength=12)
    np.testing.assert_allclose(counts / 20_000, weights / weights.sum(), atol=0.012)


def test_sure_examples_have_a_finite_weight_and_scores_of_zero_none(make_map: MakeMap) -> None:
    datamap = make_map(6, confidence=[0, 1, 0.5, 0.5, 1, 0], dual=[0.1, 0.1, 0.1, 0, 0, 0])
    for seed in range(5):
        assert select_by(datamap, "dual-beta", 3, seed=seed).ids.tolist() == [0, 1, 2]
        assert len(select_by(datamap, "dual-beta", 5, seed=seed)) == 5


def test_beta_sampling_moves_to_the_easy_as_less_is_kept(make_map: MakeMap) -> None:
    confidence = np.random.default_rng(0).permutation(4000) / 4000

    def middle(size: int, **options: Any) -> float:
        ids = select_by(make_map(4000, confidence=confidence), "beta", size, **options).ids
        return float(confidence[ids].mean())

    assert middle(40) > middle(400) > middle(1600) + 0.05
    assert middle(400, distilled=True) > middle(400)
    assert middle(400, anchor=0.1) < middle(400)
    a, b = beta_parameters(0.1, 0.25)
    assert middle(400) == pytest.approx(a / (a + b), abs=0.05)
    with pytest.raises(TrainmapError, match="anchor must be"):
        middle(40, anchor=1.5)


def test_beta_ranks_from_the_hard_end_of_any_score(make_map: MakeMap) -> None:
    values = np.random.default_rng(0).permutation(500) / 500
    datamap = make_map(500, confidence=values, el2n=1 - values)
    same = [select_by(datamap, "beta", 50, seed=2, score=score).ids.tolist() for score in ("confidence", "el2n")]
    assert same[0] == same[1]
