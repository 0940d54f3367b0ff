from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.agreement import spearman
from trainmap.maps.datamap import DataMap
from trainmap.maps.stability import _spearman_error, agreement_by_epoch, agreement_matrix, converged, earlier, intervals
from trainmap.scores.compute import compute


def make_map(values: Sequence[float], ids: Sequence[Any] | None = None, **changes: Any) -> DataMap:
    n = len(values)
    table = pl.DataFrame(
        {
            "id": list(range(n)) if ids is None else list(ids),
            "label": [0] * n,
            **{name: pl.Series(values, dtype=pl.Float64) for name in ("confidence", "variability", "correctness")},
            "region": pl.Series([None] * n, dtype=pl.String),
        }
    ).sort("id")
    return replace(DataMap(table, 5, "quantile", 1 / 3, "train", "data"), **changes)


def settling(folder: Path, epochs: int = 16, n: int = 200, noise: float = 0.2, moves: int | None = None) -> Dynamics:
    """Two classes; the margin of example i is i's rank plus noise, and from epoch ``moves`` on it is turned around."""
    rng = np.random.default_rng(0)
    margins = np.linspace(-1, 1, n)
    with Recorder(folder, 2, np.arange(n), np.zeros(n, int), rank=0, world_size=1) as recorder:
        for epoch in range(epochs):
            m = (-margins if moves is not None and epoch >= moves else margins) + rng.normal(0, noise, n)
            recorder.update(np.arange(n), np.stack([m, np.zeros(n)], axis=1), np.zeros(n, int))
            recorder.end_epoch()
    return Dynamics.open(folder)


# --- intervals ---


def test_intervals_by_hand() -> None:
    table = intervals([make_map([0.1, 0.5]), make_map([0.2, 0.5]), make_map([0.6, 0.8])], "confidence")
    mean, half = 0.3, stats.t.ppf(0.975, 2) * math.sqrt((0.04 + 0.01 + 0.09) / 2) / math.sqrt(3)
    assert table.columns == ["id", "mean", "low", "high", "n"]
    first = table.row(0, named=True)
    assert (first["id"], first["n"]) == (0, 3)
    assert first["mean"] == pytest.approx(mean)
    assert (first["low"], first["high"]) == pytest.approx((mean - half, mean + half))


def test_an_interval_needs_a_spread_that_was_seen() -> None:
    maps = [make_map([0.5, np.nan, np.nan, np.inf]), make_map([0.5, 0.3, np.nan, 1.0])]
    table = intervals(maps, "confidence")
    assert table["mean"].to_list() == [0.5, 0.3, None, math.inf]
    assert table["n"].to_list() == [2, 1, 0, 2]
    assert table["low"].null_count() == table["high"].null_count() == 4


def test_one_map_has_means_and_no_intervals() -> None:
    table = intervals([make_map([0.5])], "confidence")
    assert table.row(0) == (0, 0.5, None, None, 1)


@given(st.integers(2, 6), st.integers(1, 8), st.floats(0.5, 0.99), st.integers(0, 9))
def test_intervals_are_scipys_and_ignore_the_order_of_the_maps(k: int, n: int, level: float, seed: int) -> None:
    values = np.random.default_rng(seed).random((k, n))
    maps = [make_map(row) for row in values]
    table = intervals(maps, "confidence", level)
    low, high = stats.t.interval(level, k - 1, values.mean(axis=0), stats.sem(values, axis=0))
    np.testing.assert_allclose(table["low"], low)
    np.testing.assert_allclose(table["high"], high)
    np.testing.assert_allclose(intervals(maps[::-1], "confidence", level)["low"], table["low"])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, (4, 4000))
    table = intervals([make_map(row) for row in values], "confidence", 0.9)
    held = ((table["low"] <= 0.5) & (table["high"] >= 0.5)).mean()
    assert held == pytest.approx(0.9, abs=0.015)


def test_intervals_refuse_other_datasets_sources_levels_and_no_map() -> None:
    a, b = make_map([0.1, 0.2]), make_map([0.3, 0.4], ids=[1, 2], dataset="other")
    with pytest.raises(TrainmapError, match="allow 'dataset'"):
        intervals([a, b], "confidence")
    with pytest.raises(TrainmapError, match="allow 'source'"):
        intervals([a, replace(a, source="sweep")], "confidence")
    both = intervals([a, b], "confidence", allow=["dataset"])
    assert both["id"].to_list() == [0, 1, 2]
    assert both["n"].to_list() == [1, 2, 1]
    with pytest.raises(TrainmapError, match="level must lie between"):
        intervals([a], "confidence", 95)
    with pytest.raises(TrainmapError, match="at least one map"):
        intervals([], "confidence")
    with pytest.raises(TrainmapError, match="some strings"):
        intervals([a, make_map([0.1], ids=["x"])], "confidence")


def test_string_ids_come_back_as_strings() -> None:
    assert intervals([make_map([0.1, 0.2], ids=["b", "a"])], "confidence")["id"].to_list() == ["a", "b"]


def test_the_agreement_matrix_is_symmetric_with_ones_on_its_diagonal() -> None:
    maps = [make_map([0.1, 0.2, 0.3]), make_map([0.3, 0.2, 0.1]), make_map([0.2, 0.1, 0.3])]
    np.testing.assert_allclose(
        agreement_matrix(maps, "confidence"), [[1, -1, 0.5], [-1, 1, -0.5], [0.5, -0.5, 1]], atol=1e-12
    )


# --- over the epochs ---


@pytest.mark.parametrize(
    ("epochs", "window", "b"), [(1, 0.5, 0), (7, 0.5, 3), (8, 0.5, 4), (8, 0.25, 6), (8, 3, 5), (3, 3, 0)]
)
def test_the_earlier_ranking_is_a_share_or_a_number_of_epochs_back(epochs: int, window: float, b: int) -> None:
    assert earlier(epochs, window) == b


@pytest.mark.parametrize("score", ["confidence", "variability", "aum", "correctness", "forgetting", "slope", "el2n"])
def test_every_row_is_the_agreement_of_scores_from_fewer_epochs(record: Any, score: str) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 40, 3))
    logits[2, 5] = logits[:, 6] = np.nan  # one example missed an epoch, one was never seen
    dynamics = record(logits, rng.integers(0, 3, 40))
    table = agreement_by_epoch(dynamics, score)
    for row in table.iter_rows(named=True):
        now = compute(dynamics, [score], epochs=row["epochs"])[score]
        if row["earlier"] is not None:
            before = spearman(now, compute(dynamics, [score], epochs=row["earlier"])[score])
            assert row["spearman"] == (None if math.isnan(before) else pytest.approx(before))
        final = spearman(now, compute(dynamics, [score])[score])
        assert row["final"] == (None if math.isnan(final) else pytest.approx(final))
    assert table["epochs"].to_list() == list(range(2 if score == "slope" else 1, 8))


def test_all_in_row_blocks_gives_what_a_sample_of_all_gives(tmp_path: Path) -> None:
    dynamics = settling(tmp_path / "d", epochs=6)
    for sample in (200, 5000):
        assert agreement_by_epoch(dynamics, sample=None).equals(agreement_by_epoch(dynamics, sample=sample))
    assert agreement_by_epoch(dynamics, sample=None)["error"].drop_nulls().to_list() == [0.0] * 5


def test_a_sample_states_an_error_that_covers_the_whole(tmp_path: Path) -> None:
    dynamics = settling(tmp_path / "d", epochs=4, n=2000, noise=1.0)
    whole = agreement_by_epoch(dynamics, "aum", sample=None).row(3, named=True)
    misses = top_misses = 0
    for seed in range(100):
        part = agreement_by_epoch(dynamics, "aum", sample=200, seed=seed).row(3, named=True)
        misses += abs(part["spearman"] - whole["spearman"]) > part["error"]
        top_misses += abs(part["top"] - whole["top"]) > part["top_error"]
        assert 0 < part["error"] < 0.2
    assert misses <= 10
    assert top_misses <= 20  # 20 places of 200: the normal approximation is rough


def test_the_same_seed_follows_the_same_examples(tmp_path: Path) -> None:
    dynamics = settling(tmp_path / "d", epochs=3)
    assert agreement_by_epoch(dynamics, sample=50).equals(agreement_by_epoch(dynamics, sample=50))
    assert not agreement_by_epoch(dynamics, sample=50).equals(agreement_by_epoch(dynamics, sample=50, seed=1))


def test_a_score_of_your_own_and_logits_can_be_followed(record: Any) -> None:
    rng = np.random.default_rng(0)
    dynamics = record(rng.normal(size=(4, 20, 3)), rng.integers(0, 3, 20), level="logits")

    def last_loss(block: Block) -> np.ndarray:
        return block["loss"][-1].astype(np.float64)

    assert agreement_by_epoch(dynamics, last_loss).equals(agreement_by_epoch(dynamics, last_loss, sample=None))
    assert converged(dynamics, last_loss).score == "last_loss"


def test_a_ranking_that_stands_still_is_found_and_a_noisier_one_later(tmp_path: Path) -> None:
    calm = converged(settling(tmp_path / "calm", noise=0.2), "aum")
    noisy = converged(settling(tmp_path / "noisy", noise=0.6), "aum")
    assert calm
    assert calm.epoch is not None
    assert noisy.epoch is None or noisy.epoch > calm.epoch
    assert f"from {calm.epoch} of 16 epochs on" in str(calm)


def test_a_ranking_that_turns_has_not_converged_although_neighbouring_epochs_agree(tmp_path: Path) -> None:
    dynamics = settling(tmp_path / "d", epochs=12, noise=0.6, moves=6)
    found = converged(dynamics, "aum", window=0.5)
    assert not found
    assert "still moves after 12 epochs" in str(found)
    last = agreement_by_epoch(dynamics, "aum", window=1).row(11, named=True)
    assert last["spearman"] > found.table["spearman"][11]


def test_the_rule_by_hand(tmp_path: Path) -> None:
    dynamics = settling(tmp_path / "d")
    for patience in (1, 2, 3):
        found = converged(dynamics, "aum", threshold=0.97, overlap=0.7, patience=patience)
        holds = [
            rho is not None and rho >= 0.97 and top >= 0.7
            for rho, top in found.table.select("spearman", "top").iter_rows()
        ]
        runs = [e for e in range(patience, 17) if all(holds[e - patience : e])]
        assert found.epoch == (runs[0] if runs else None)
    assert converged(dynamics, "aum", threshold=1.0).epoch is None


def test_deciding_while_recording_is_deciding_afterwards(tmp_path: Path) -> None:
    whole = converged(settling(tmp_path / "whole"), "aum")
    assert whole.epoch is not None
    for epochs in range(1, 17):
        running = converged(settling(tmp_path / f"{epochs}", epochs=epochs), "aum")
        assert running.epoch == (whole.epoch if epochs >= whole.epoch else None)


def test_one_epoch_and_a_constant_score_have_not_converged(record: Any) -> None:
    one = record(np.random.default_rng(0).normal(size=(1, 9, 2)), np.zeros(9, int), name="one")
    assert converged(one).epoch is None
    assert converged(one).table.row(0, named=True)["spearman"] is None
    same = record(np.ones((6, 9, 2)), np.zeros(9, int), name="same")
    assert converged(same).epoch is None


def test_a_single_example_has_no_ranking(record: Any) -> None:
    single = record(np.random.default_rng(0).normal(size=(5, 1, 2)), [0])
    assert converged(single).epoch is None
    assert agreement_by_epoch(single)["final"].null_count() == 5


def test_convergence_is_plain_json(tmp_path: Path) -> None:
    found = converged(settling(tmp_path / "d", epochs=3))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["table"][0]["epochs"] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 0}, "window must be"),
        ({"window": 1.5}, "window must be"),
        ({"fraction": 0}, "fraction must be"),
        ({"sample": 1}, "sample must be"),
        ({"threshold": 0}, "threshold must be"),
        ({"overlap": 1.1}, "overlap must be"),
        ({"patience": 0}, "patience must be"),
        ({"score": "confidnce"}, "did you mean 'confidence'"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    dynamics = settling(tmp_path / "d", epochs=2, n=5)
    with pytest.raises(TrainmapError, match=message):
        converged(dynamics, **wrong)


def test_running_sums_cannot_be_followed_over_the_epochs(record: Any) -> None:
    sums = record(np.random.default_rng(0).normal(size=(2, 4, 2)), [0, 1, 0, 1], level="stats")
    with pytest.raises(TrainmapError, match="level='signals'"):
        converged(sums)


def test_the_error_of_a_spearman_is_that_of_bonett_and_wright() -> None:
    """By hand, n = 103 of 412, rho = 0.6: z = 0.6931, sd = sqrt((1 + 0.18) / 100 * 0.75) = 0.09407, half 0.18438."""
    assert _spearman_error(0.6, 103, 0.75) == pytest.approx(0.6 - math.tanh(0.693147 - 0.184385), abs=1e-5)
    assert _spearman_error(-0.6, 103, 0.75) == pytest.approx(_spearman_error(0.6, 103, 0.75))
    assert _spearman_error(0.0, 103, 1.0) == pytest.approx(math.tanh(0.196))
    assert _spearman_error(0.5, 103, 0.0) == 0.0
