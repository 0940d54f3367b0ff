"""A map's privacy curve: exact without noise but for the bins, worse with less epsilon."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike

from trainmap import DataMap, fingerprint, parse
from trainmap.errors import TrainmapError
from trainmap.federated import Privacy, PrivacyPoint, privacy_curve, told_histograms
from trainmap.federated.global_thresholds import Cut, Thresholds
from trainmap.federated.histograms import SHAPE, histogram
from trainmap.federated.privacy import variance
from trainmap.federated.secure_sum import enough
from trainmap.federated.under_noise import _point


def a_map(confidence: ArrayLike, variability: ArrayLike, first: int = 0) -> DataMap:
    """Of examples at these places."""
    values = {"confidence": np.asarray(confidence), "variability": np.asarray(variability)}
    ids = np.arange(first, first + len(values["confidence"]))
    labels = np.zeros(len(ids), np.int64)
    table = pl.DataFrame({"id": ids, "label": labels, **values, "correctness": values["confidence"]})
    table = table.with_columns(region=pl.lit(None, pl.String))
    return DataMap(table, 5, "quantile", 1 / 3, "sweep", fingerprint(ids, labels)).with_rule("quantile")


@pytest.fixture(scope="module")
def maps() -> list[DataMap]:
    """Five clients of 400 examples."""
    random, made = np.random.default_rng(0), []
    for client in range(5):
        confidence = random.beta(4, 1 + client, 400)
        made.append(a_map(confidence, np.sqrt(confidence * (1 - confidence)) * random.random(400), 400 * client))
    return made


def mean(points: list[PrivacyPoint], epsilon: float, name: str) -> float:
    return float(np.mean([getattr(one, name) for one in points if one.epsilon == epsilon]))


@pytest.mark.parametrize("spec", ["33% ambiguous", "20% hard-to-learn + 20% easy-to-learn", "50% top confidence"])
def test_less_epsilon_is_less_agreement_and_none_is_lost_but_to_the_bins(spec: str, maps: list[DataMap]) -> None:
    epsilons = (10.0, 0.3, 0.02)
    points = privacy_curve(maps, spec, [None, *map(Privacy, epsilons)], seeds=range(3))
    assert [(one.epsilon, one.seed) for one in points] == [
        (math.inf, 0),
        *((epsilon, seed) for epsilon in epsilons for seed in range(3)),
    ]
    exact = points[0]
    assert exact.jaccard > 0.95
    assert exact.rank_error < 0.02
    assert exact.kept == pytest.approx(exact.wanted, abs=0.03)
    found = [mean(points, epsilon, "jaccard") for epsilon in epsilons]
    assert exact.jaccard + 0.02 > found[0] > found[1] - 0.02 > found[2] - 0.04
    assert found[2] < 0.9
    assert mean(points, 10.0, "rank_error") < mean(points, 0.02, "rank_error")


def test_the_share_of_secure_aggregation_is_less_noise_and_more_releases_are_more(maps: list[DataMap]) -> None:
    def off(privacy: Privacy, releases: int = 1) -> float:
        exact = told_histograms(maps)
        told = told_histograms(maps, privacy, releases)
        return float(np.var(np.array(told) - np.array(exact)))

    plain = off(Privacy(0.5))
    assert plain == pytest.approx(float(variance(Privacy(0.5), 1)), rel=0.1)
    assert off(Privacy(0.5, secure=True)) == pytest.approx(plain / enough(5), rel=0.1)
    assert off(Privacy(0.5), 4) > 2 * plain


def test_clients_tell_their_own_maps_and_not_the_same_noise(maps: list[DataMap]) -> None:
    exact = told_histograms(maps)
    assert all(one.shape == SHAPE for one in exact)
    expected = histogram(maps[2].values("confidence"), maps[2].values("variability"))
    np.testing.assert_array_equal(exact[2], expected)
    noise = [told - one for told, one in zip(told_histograms(maps, Privacy(), seed=3), exact, strict=True)]
    assert not np.array_equal(noise[0], noise[1])
    again = told_histograms(maps, Privacy(), seed=3)
    np.testing.assert_array_equal(again[0] - exact[0], noise[0])


def test_a_point_by_hand() -> None:
    one = a_map([0.1, 0.2, 0.3, 0.9, 0.95], [0.0, 0.1, 0.3, 0.2, 0.1])
    plan = parse("20% ambiguous + 40% hard-to-learn")
    exact = np.array([0, 1, 2])  # the most variable one, and the two least sure of those left
    cuts = Thresholds((Cut("variability", "high", 0.2), Cut("confidence", "low", 0.1)))  # keep 2 and 3, then 0
    point = _point(1.0, 7, one, plan, exact, cuts)
    assert point == PrivacyPoint(1.0, 7, 2 / 4, 3 / 5, pytest.approx(0.6), pytest.approx(0.2))  # type: ignore[arg-type]
    nothing = _point(1.0, 7, one, plan, exact, None)
    assert nothing == PrivacyPoint(1.0, 7, 0.0, 0.0, pytest.approx(0.6), pytest.approx(0.3))  # type: ignore[arg-type]


def test_what_has_no_threshold_is_refused(maps: list[DataMap]) -> None:
    with pytest.raises(TrainmapError, match="'20 ambiguous' must say a percentage"):
        privacy_curve(maps, "20 ambiguous", [None])
    with pytest.raises(TrainmapError, match="has no threshold that clients could share"):
        privacy_curve(maps, "20% random", [None])
    with pytest.raises(TrainmapError, match="an example is with one client"):
        privacy_curve([maps[0], maps[0]], "20% ambiguous", [None])
    with pytest.raises(TrainmapError, match="the same source"):
        privacy_curve([maps[0], replace(maps[1], source="train")], "20% ambiguous", [None])
