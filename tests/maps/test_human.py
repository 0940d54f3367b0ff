"""Scores beside the disagreement of people: by hand, against scipy, and the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import entropy, spearmanr
from sklearn.metrics import roc_auc_score

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.human import human_agreement, label_entropy


def a_map(confidence: Any, ids: Any = None, **more: Any) -> DataMap:
    confidence = np.asarray(confidence, dtype=np.float64)
    n = len(confidence)
    columns = {"confidence": confidence, "variability": np.zeros(n), "correctness": np.zeros(n), **more}
    ids = np.arange(n) if ids is None else np.asarray(ids)
    table = pl.DataFrame({"id": ids, "label": np.zeros(n, np.int64), **columns, "region": [None] * n})
    return DataMap(table.cast({"region": pl.String}), 2, "quantile", 1 / 3, "sweep", "made")


def test_entropy_is_in_bits_and_that_of_scipy() -> None:
    np.testing.assert_allclose(label_entropy([[4, 0], [2, 2], [1, 3]]), [0, 1, 0.8112781], atol=1e-7)
    counts = np.random.default_rng(0).integers(0, 50, (30, 10)) + 1
    np.testing.assert_allclose(label_entropy(counts), entropy(counts, base=2, axis=1))
    assert not np.signbit(label_entropy([[3, 0, 0]])).any()


@pytest.mark.parametrize("counts", [[[1, -1]], [[0, 0]], [[np.nan, 1]], [1, 2]])
def test_counts_that_are_none_are_refused(counts: Any) -> None:
    with pytest.raises(TrainmapError, match="counts must be"):
        label_entropy(counts)


def test_what_people_find_hard_correlates_positively_whichever_end_of_the_score_is_hard() -> None:
    disagreement = [0.0, 0.5, 1.0, 1.5]
    datamap = a_map([0.9, 0.8, 0.3, 0.1], variability=[0.0, 0.1, 0.2, 0.3])
    by = {one.score: one for one in human_agreement(datamap, datamap.ids, disagreement)}
    assert by["confidence"].spearman == pytest.approx(1)
    assert by["variability"].spearman == pytest.approx(1)
    assert by["confidence"].examples == 4


def test_ties_share_their_ranks_as_in_scipy_and_the_order_of_the_ids_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    confidence, disagreement = generator.integers(0, 4, 200) / 4, generator.integers(0, 3, 200) / 2
    datamap = a_map(confidence)
    wanted = spearmanr(-confidence, disagreement)[0]
    order = generator.permutation(200)
    straight = human_agreement(datamap, np.arange(200), disagreement, ["confidence"], draws=50)
    turned = human_agreement(datamap, order, disagreement[order], ["confidence"], draws=50)
    assert straight[0].spearman == pytest.approx(wanted)
    assert straight == turned


def test_the_interval_is_the_bootstrap_of_scipys_correlation() -> None:
    generator = np.random.default_rng(2)
    hidden = generator.normal(size=300)
    confidence = np.round(-hidden + generator.normal(size=300), 1)
    disagreement = np.maximum(0, np.round(hidden, 1))
    found = human_agreement(a_map(confidence), np.arange(300), disagreement, ["confidence"], draws=400, seed=3)[0]
    draws = np.random.default_rng(3)
    rows = [draws.integers(300, size=300) for _ in range(400)]
    by_hand = [spearmanr(-confidence[row], disagreement[row])[0] for row in rows]
    np.testing.assert_allclose([found.low, found.high], np.quantile(by_hand, [0.025, 0.975]))
    assert found.low < found.spearman < found.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    inside = 0
    for _ in range(200):
        one = human_agreement(
            a_map(generator.normal(size=80)), np.arange(80), generator.normal(size=80), ["confidence"], draws=200
        )[0]
        inside += one.low <= 0 <= one.high
    assert 175 <= inside <= 199


def test_how_well_a_score_finds_the_disputed_is_the_auroc_of_scikit_learn_ties_counting_half() -> None:
    generator = np.random.default_rng(5)
    hidden = generator.normal(size=400)
    confidence, disagreement = np.round(-hidden + generator.normal(size=400)), hidden
    found = human_agreement(a_map(confidence), np.arange(400), disagreement, ["confidence"], draws=300, seed=6)[0]
    disputed = disagreement >= np.sort(disagreement)[-40]
    assert (found.disputed, found.auroc) == (40, pytest.approx(roc_auc_score(disputed, -confidence)))
    draws = np.random.default_rng(6)
    rows = [draws.integers(400, size=400) for _ in range(300)]
    by_hand = [roc_auc_score(disputed[row], -confidence[row]) for row in rows]
    np.testing.assert_allclose([found.auroc_low, found.auroc_high], np.quantile(by_hand, [0.025, 0.975]))


def test_those_that_are_equal_to_the_last_disputed_are_disputed_too() -> None:
    disagreement = [0.0] * 6 + [1.0] * 3 + [2.0]
    found = human_agreement(a_map(np.linspace(1, 0, 10)), np.arange(10), disagreement, ["confidence"], top=0.2)[0]
    assert (found.disputed, found.auroc) == (4, 1)
    constant = human_agreement(a_map(np.linspace(1, 0, 10)), np.arange(10), [0.0] * 10, ["confidence"], top=0.2)[0]
    assert constant.disputed == 10
    assert np.isnan([constant.auroc, constant.auroc_low, constant.auroc_high]).all()


def test_people_may_have_judged_a_part_of_the_map_and_values_may_be_missing() -> None:
    datamap = a_map([0.9, np.nan, 0.5, 0.1, 0.7], ids=[10, 20, 30, 40, 50])
    found = human_agreement(datamap, [40, 30, 20, 10], [3.0, 2.0, 9.0, 1.0], ["confidence"], draws=20)[0]
    assert (found.examples, found.spearman) == (3, pytest.approx(1))


def test_where_nothing_varies_there_is_no_correlation() -> None:
    found = human_agreement(a_map([0.5, 0.6, 0.7]), np.arange(3), [1.0, 1.0, 1.0], ["confidence"])[0]
    assert np.isnan([found.spearman, found.low, found.high]).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ids": [0, 1, 9]}, "not in the map"),
        ({"ids": [0, 1, 1]}, "must not repeat"),
        ({"disagreement": [1.0, 2.0]}, "one for each id"),
        ({"disagreement": [1.0, 2.0, np.inf]}, "finite"),
        ({"scores": ["confidenze"]}, "did you mean 'confidence'"),
        ({"level": 1.0}, "level"),
        ({"top": 1.0}, "top"),
    ],
)
def test_what_does_not_fit_is_refused(how: dict[str, Any], message: str) -> None:
    settings = {"ids": [0, 1, 2], "disagreement": [0.0, 1.0, 2.0], **how}
    with pytest.raises(TrainmapError, match=message):
        human_agreement(a_map([0.5, 0.6, 0.7]), **settings)
