"""Each score on a table small enough to work out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError
from trainmap.scores.averages import aum, el2n, entropy, loss
from trainmap.scores.cartography import aleatoric, confidence, slope, threshold_closeness, variability
from trainmap.scores.events import correctness, first_learned, forgetting, forgetting_time, learning_time

NAN, INF = math.nan, math.inf


def of_p(*examples: list[float]) -> Block:
    """Two classes, gold label 0, p(gold) as given: one list for each example, one number for each epoch."""
    p = np.array(examples, dtype=np.float64).T
    z = np.log(p / (1 - p))
    return Block.from_logits(np.stack([z, np.where(np.isnan(z), NAN, 0)], axis=2), np.zeros(len(examples), int))


def of_events(*examples: str) -> Block:
    """Right (1), wrong (0) or not seen (.), epoch by epoch: "0110" for each example."""
    logits = [[{"1": (2, 0), "0": (0, 2), ".": (NAN, NAN)}[e] for e in example] for example in examples]
    return Block.from_logits(np.array(logits, dtype=np.float64).transpose(1, 0, 2), np.zeros(len(examples), int))


def near(values: Any, expected: Any) -> None:
    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-7)


def test_confidence_is_the_mean_of_p_gold_over_the_epochs_seen() -> None:
    near(confidence(of_p([0.2, 0.4, 0.9], [0.5, NAN, 0.7], [NAN, NAN, NAN])), [0.5, 0.6, NAN])


def test_variability_is_the_population_standard_deviation() -> None:
    near(variability(of_p([0.2, 0.4, 0.9], [0.5, NAN, 0.7], [NAN, 0.3, NAN])), [math.sqrt(0.26 / 3), 0.1, 0])


def test_variability_with_ddof_1_and_with_the_confidence_interval() -> None:
    block = of_p([0.2, 0.4, 0.9], [0.5, NAN, 0.7], [NAN, 0.3, NAN])
    v = 0.26 / 3
    near(variability(block, ddof=1), [math.sqrt(0.13), math.sqrt(0.02), NAN])
    near(variability(block, include_ci=True), [math.sqrt(v + v * v / 2), math.sqrt(0.01 + 0.0001), NAN])
    with pytest.raises(TrainmapError, match="include_ci is defined with ddof=0"):
        variability(block, ddof=1, include_ci=True)
    with pytest.raises(TrainmapError, match="ddof must be 0"):
        variability(block, ddof=2)


def test_threshold_closeness_is_of_the_mean_and_aleatoric_the_mean_of() -> None:
    block = of_p([0.2, 0.4, 0.9], [0.5, NAN, 0.7])
    near(threshold_closeness(block), [0.25, 0.24])
    near(aleatoric(block), [(0.16 + 0.24 + 0.09) / 3, 0.23])
    near(aleatoric(block), threshold_closeness(block) - variability(block) ** 2)


def test_slope_is_the_least_squares_line_through_the_epochs_seen() -> None:
    near(slope(of_p([0.1, 0.3, 0.5], [0.6, 0.5, 0.1])), [0.2, -0.25])
    examples = [[0.1, NAN, 0.5, 0.9], [NAN, 0.2, 0.4, NAN], [NAN, NAN, 0.4, NAN], [0.9, 0.1, 0.3, 0.2]]
    expected = []
    for p in examples:
        seen = np.flatnonzero(~np.isnan(p))
        expected.append(np.polyfit(seen, np.array(p)[seen], 1)[0] if len(seen) > 1 else NAN)
    near(slope(of_p(*examples)), expected)


def test_correctness_counts_the_epochs_that_were_right() -> None:
    block = of_events("0110", "0000", "1.1.", "....")
    assert correctness(block).tolist()[:3] == [2, 0, 2]
    assert correctness(block, fraction=True).tolist()[:3] == [0.5, 0, 1]
    assert np.isnan(correctness(block)[3])


def test_a_tie_of_logits_goes_to_the_smaller_class() -> None:
    block = Block.from_logits(np.zeros((1, 3, 3)), np.arange(3))
    assert correctness(block).tolist() == [1, 0, 0]


def test_forgetting_counts_right_to_wrong_and_nothing_else() -> None:
    block = of_events("1111", "0111", "1010", "0101", "1.0.", "1..1", ".10.", "0000", "0..0")
    assert forgetting(block).tolist() == [0, 0, 2, 1, 1, 0, 1, INF, INF]
    assert forgetting(block, never_learned="epochs").tolist()[-2:] == [4, 2]
    assert forgetting(block, never_learned=1000).tolist()[-2:] == [1000, 1000]
    assert forgetting(of_events("101", "010", "000")).tolist() == [1, 1, INF]
    with pytest.raises(TrainmapError, match="never_learned must be a number or 'epochs', got 'never'"):
        forgetting(block, never_learned="never")  # type: ignore[arg-type]


def test_first_learned_is_the_first_right_epoch() -> None:
    block = of_events("1000", "0010", "0000", "..10", "....")
    assert first_learned(block).tolist()[:4] == [0, 2, INF, 2]
    assert first_learned(block, never_learned="epochs")[2] == 4
    assert np.isnan(first_learned(block)[4])


def test_learning_time_is_the_epoch_from_which_on_it_stays_right() -> None:
    block = of_events("1111", "0111", "1011", "1010", "0000", "0.11", "01..", "1.0.", "0..1", "....")
    assert learning_time(block).tolist()[:9] == [0, 1, 2, INF, INF, 2, 1, INF, 3]
    assert np.isnan(learning_time(block)[9])
    assert learning_time(block, never_learned="epochs")[3] == 4


def test_forgetting_time_is_learning_time_with_right_and_wrong_exchanged() -> None:
    words = ["1111", "0111", "1011", "1010", "0000", "0.11", "01..", "1.0.", "0..1"]
    swapped = [word.translate(str.maketrans("01", "10")) for word in words]
    assert forgetting_time(of_events(*swapped)).tolist() == learning_time(of_events(*words)).tolist()
    assert forgetting_time(of_events("1100"), never_forgotten="epochs").tolist() == [2]
    assert forgetting_time(of_events("0001"), never_forgotten="epochs").tolist() == [4]


def margins() -> Block:
    """Two examples, three epochs, three classes; the second was not seen in the second epoch."""
    logits = np.array(
        [[[3, 1, 0], [0, 0, 0]], [[1, 2, 0], [NAN] * 3], [[0, 0, 4], [2, 5, 1]]],
        dtype=np.float64,
    )
    return Block.from_logits(logits, np.zeros(2, int))


def test_aum_is_the_mean_margin_of_the_logits() -> None:
    near(aum(margins()), [(2 - 1 - 4) / 3, (0 - 3) / 2])
    near(aum(margins(), total=True), [-3, -3])


def test_aum_of_probabilities_is_had_without_the_logits() -> None:
    block = margins()
    assert block.logits is not None
    z = np.nan_to_num(block.logits)
    p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    margin = p[:, :, 0] - p[:, :, 1:].max(axis=2)
    near(aum(block, probability=True), [margin[:, 0].mean(), margin[[0, 2], 1].mean()])
    near(aum(block, probability=True, total=True), [margin[:, 0].sum(), margin[[0, 2], 1].sum()])


def test_aum_of_probabilities_holds_where_the_probability_is_too_small_to_record() -> None:
    logits = np.array([[[0, 500, 0]], [[0, 60, 59]], [[500, 0, 0]]], dtype=np.float64)
    block = Block.from_logits(logits, np.zeros(1, int))
    assert block.p_gold[0, 0] == 0
    second = 1 / (1 + math.exp(-1))
    assert aum(block, probability=True)[0] == pytest.approx((-1 - second + 1) / 3, abs=1e-5)


def test_margins_of_probabilities_never_leave_their_range(random_block: Callable[..., Block]) -> None:
    for seed in range(30):
        values = aum(random_block(seed, 1, 2000, 3), probability=True)
        assert values.min() >= -1
        assert values.max() <= 1


def test_el2n_averages_the_window_that_it_is_given() -> None:
    p = np.array([[0.2, 0.4, 0.9], [0.5, NAN, 0.7]])
    block = of_p(*p.tolist())
    length = math.sqrt(2) * (1 - p)  # two classes: both coordinates are off by 1 - p
    near(el2n(block), np.nanmean(length, axis=1))
    near(el2n(block, window=(0, 2)), [length[0, :2].mean(), length[1, 0]])
    near(el2n(block, window=(1, 2)), [length[0, 1], NAN])
    near(el2n(block, window=(1, 9)), [length[0, 1:].mean(), length[1, 2]])
    near(el2n(block, total=True), np.nansum(length, axis=1))
    near(el2n(block, window=(1, 3), total=True), [length[0, 1:].sum(), length[1, 2]])


@pytest.mark.parametrize("window", [(3, 4), (2, 2), (2, 1), (-1, 2)])
def test_el2n_refuses_a_window_outside_the_recording(window: tuple[int, int]) -> None:
    with pytest.raises(TrainmapError, match="el2n's window must begin within the 3 epochs"):
        el2n(of_p([0.2, 0.4, 0.9]), window=window)


@pytest.mark.parametrize(
    ("score", "formula"),
    [(entropy, lambda p: -p * math.log(p) - (1 - p) * math.log(1 - p)), (loss, lambda p: -math.log(p))],
)
def test_entropy_and_loss_are_means_or_the_last_epoch(
    score: Callable[..., Any], formula: Callable[[float], float]
) -> None:
    block = of_p([0.2, 0.4, 0.9], [0.5, 0.7, NAN])
    near(score(block), [(formula(0.2) + formula(0.4) + formula(0.9)) / 3, (formula(0.5) + formula(0.7)) / 2])
    near(score(block, last=True), [formula(0.9), NAN])


@pytest.mark.parametrize("p", [0.1, 0.3, 1 / 3, 0.7, 0.9, 1.0])
def test_a_probability_that_never_moves_has_slope_0_exactly(p: float) -> None:
    for epochs in range(2, 100):
        signals = {"p_gold": np.full((epochs, 3), p, np.float32)}
        assert slope(Block(np.zeros(3, int), 2, signals)).tolist() == [0, 0, 0]
