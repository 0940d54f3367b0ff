"""The windowed scores against the papers' formulas, written out with plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError
from trainmap.scores.windows import dual, dyn_unc, sliding, tdds

Array = NDArray[Any]

EXACT = 1e-12


def literal_deviation(p: list[float], ddof: int) -> float:
    mean = sum(p) / len(p)
    return math.sqrt(sum((x - mean) ** 2 for x in p) / (len(p) - ddof))


def literal_dyn_unc(p: list[float], j: int, windows: int) -> float:
    return sum(literal_deviation(p[k : k + j], 1) for k in range(windows)) / windows


def literal_dual(p: list[float], j: int) -> float:
    windows = len(p) - j + 1
    return sum(literal_deviation(p[k : k + j], 1) * (1 - sum(p[k : k + j]) / j) for k in range(windows)) / windows


def literal_tdds(logits: Array, j: int, decay: float) -> float:
    """(T, C) logits of one example: softmax, change by epoch, its deviation in a window, weighted windows."""
    p = [[math.exp(z - max(row)) for z in row] for row in logits.tolist()]
    p = [[x / sum(row) for x in row] for row in p]
    t, score = len(p), 0.0
    for k in range(t - j + 1):
        changes = []
        for e in range(k, k + j - 1):
            logs = [math.log(new + 1e-8) - math.log(old + 1e-8) for new, old in zip(p[e + 1], p[e], strict=True)]
            changes.append(sum(abs(new * log) for new, log in zip(p[e + 1], logs, strict=True)))
        mean = sum(changes) / (j - 1)
        score += math.sqrt(sum((c - mean) ** 2 for c in changes)) * decay * (1 - decay) ** (t - j - k)
    return score


def make(seed: int, epochs: int, n: int = 6, classes: int = 4) -> tuple[Block, list[list[float]]]:
    """A block, and p(gold) of each example as the block holds it."""
    generator = np.random.default_rng(seed)
    start, speed = generator.normal(0, 2, (1, n, classes)), generator.normal(0, 0.5, (1, n, classes))
    logits = start + speed * np.arange(epochs)[:, None, None] + generator.normal(0, 0.5, (epochs, n, classes))
    block = Block.from_logits(logits, generator.integers(0, classes, n))
    return block, block.p_gold.T.astype(np.float64).tolist()


@pytest.mark.parametrize(("epochs", "j"), [(10, 10), (11, 10), (20, 10), (33, 10), (7, 3), (5, 2), (12, 7)])
def test_dyn_unc_is_the_formula(epochs: int, j: int) -> None:
    block, p = make(epochs, epochs)
    expected = [literal_dyn_unc(example, j, epochs - j + 1) for example in p]
    np.testing.assert_allclose(dyn_unc(block, window=j), expected, rtol=EXACT)
    np.testing.assert_allclose(dyn_unc(block, window=j, scale=10), [10 * x for x in expected], rtol=EXACT)


def test_dyn_unc_by_the_authors_code_leaves_the_last_window_out() -> None:
    block, p = make(1, 14)
    expected = [literal_dyn_unc(example, 10, 4) for example in p]
    np.testing.assert_allclose(dyn_unc(block, last_window=False), expected, rtol=EXACT)
    with pytest.raises(TrainmapError, match="dyn_unc needs at least 11 epochs, got 10"):
        dyn_unc(make(1, 10)[0], last_window=False)


def test_dyn_unc_with_ddof_0_is_smaller_by_a_known_factor() -> None:
    block, _ = make(2, 14)
    np.testing.assert_allclose(dyn_unc(block, ddof=0), dyn_unc(block) * math.sqrt(9 / 10), rtol=EXACT)
    with pytest.raises(TrainmapError, match="ddof must be 0"):
        dyn_unc(block, ddof=2)


@pytest.mark.parametrize(
    ("epochs", "first", "j"), [(10, 30, 10), (30, 30, 10), (41, 30, 10), (41, None, 10), (9, 6, 4)]
)
def test_dual_is_the_formula_over_the_first_epochs(epochs: int, first: int | None, j: int) -> None:
    block, p = make(epochs, epochs)
    expected = [literal_dual(example[:first], j) for example in p]
    np.testing.assert_allclose(dual(block, window=j, epochs=first), expected, rtol=EXACT)


@pytest.mark.parametrize(
    ("epochs", "first", "j", "decay"),
    [(10, 30, 10, 0.9), (14, 30, 10, 0.9), (33, 30, 10, 0.9), (33, None, 10, 0.5), (12, 8, 3, 0.9), (12, 12, 5, 1.0)],
)
def test_tdds_is_the_formula(epochs: int, first: int | None, j: int, decay: float) -> None:
    block, _ = make(epochs, epochs)
    assert block.logits is not None
    expected = [literal_tdds(block.logits[:first, i], j, decay) for i in range(len(block))]
    np.testing.assert_allclose(tdds(block, window=j, epochs=first, decay=decay), expected, rtol=1e-9)


def test_tdds_of_a_prediction_that_does_not_move_is_0_and_of_one_that_jumps_once_is_known() -> None:
    logits = np.zeros((5, 2, 2))
    logits[3:, 1, 0] = math.log(3)  # from (1/2, 1/2) to (3/4, 1/4): one change among three, of c
    c = 0.75 * math.log(1.5) + 0.25 * math.log(2)
    block = Block.from_logits(logits, np.zeros(2, int))
    deviation = math.sqrt(2 * (c / 3) ** 2 + (2 * c / 3) ** 2)
    np.testing.assert_allclose(tdds(block, window=4), [0, deviation * (0.9 + 0.09)], atol=1e-7)


@pytest.mark.parametrize("score", [dyn_unc, dual, tdds])
def test_an_example_that_missed_an_epoch_of_the_windows_has_no_value(score: Callable[[Block], Array]) -> None:
    block, _ = make(3, 12)
    assert block.logits is not None
    logits = block.logits.copy()
    logits[7, 2] = np.nan
    values, whole = score(Block.from_logits(logits, block.labels)), score(block)
    assert np.isnan(values[2])
    assert np.array_equal(np.delete(values, 2), np.delete(whole, 2))


@pytest.mark.parametrize("score", [dual, tdds])
def test_an_epoch_missed_after_the_epochs_that_count_does_no_harm(score: Callable[..., Array]) -> None:
    block, _ = make(4, 14)
    assert block.logits is not None
    logits = block.logits.copy()
    logits[12, 2] = np.nan
    assert np.array_equal(score(Block.from_logits(logits, block.labels), epochs=12), score(block, epochs=12))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: dyn_unc(b), "dyn_unc needs at least 10 epochs, got 5; pass a smaller window"),
        (lambda b: dual(b), "dual needs at least 10 epochs, got 5"),
        (lambda b: tdds(b), "tdds needs at least 10 epochs, got 5"),
        (lambda b: dyn_unc(b, window=1), "dyn_unc's window must be at least 2 epochs, got 1"),
        (lambda b: dual(b, window=1), "dual's window must be at least 2"),
        (lambda b: tdds(b, window=2), "tdds's window must be at least 3"),
        (lambda b: dual(b, window=4, epochs=3), "dual needs at least a window of epochs: 3 epochs are fewer than"),
        (lambda b: tdds(b, window=4, epochs=3), "tdds needs at least a window of epochs"),
        (lambda b: tdds(b, window=4, decay=0), "decay must be above 0 and at most 1, got 0"),
        (lambda b: tdds(b, window=4, decay=1.5), "decay must be above 0"),
        (
            lambda b: tdds(Block(b.labels, b.classes, b.signals)),
            "tdds needs the logits of every epoch; record with level='logits'",
        ),
    ],
)
def test_what_a_windowed_score_cannot_do_it_says(call: Callable[[Block], Array], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        call(make(5, 5)[0])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 40),
    window=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1.0, 1e-6, 1e6]),
)
def test_sliding_is_as_exact_as_two_passes_over_each_window(rows: int, window: int, seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(scale, scale, (rows, 3))
    values[rows // 2 :] = 1 + 1e-7 * values[rows // 2 :] / scale  # a flat end after large values
    found = list(sliding(values, window))
    assert len(found) == max(0, rows - window + 1)
    for start, (mean, squares) in enumerate(found):
        part = values[start : start + window]
        np.testing.assert_allclose(mean, part.mean(axis=0), rtol=1e-12, atol=1e-12 * scale)
        two_pass = ((part - part.mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(squares, two_pass, rtol=1e-9, atol=1e-12 * part.std(axis=0).max() ** 2 + 1e-30)


def test_a_flat_window_after_steep_ones_is_flat_to_the_last_bit() -> None:
    p = np.concatenate([np.linspace(0.01, 0.9, 10), np.full(15, np.float32(0.9991))])[:, None]
    _, squares = list(sliding(p, 10))[-1]
    assert squares[0] == 0


def test_the_window_sums_that_two_scores_share_are_read_only(random_block: Callable[..., Block]) -> None:
    block = random_block(0, 12, 5, 3)
    dyn_unc(block)
    for kept in block.kept.values():
        assert not any(part.flags.writeable for part in (kept if isinstance(kept, tuple) else (kept,)))


def test_the_largest_dual_that_a_window_of_ten_can_have_is_what_its_range_says() -> None:
    """For a given mean the spread is largest at a corner of the cube: ones, zeros, and one value between."""
    windows = [
        [1.0] * ones + [between] + [0.0] * (9 - ones) for ones in range(10) for between in np.linspace(0, 1, 101)
    ]
    values = np.array(windows)
    largest = float((values.std(axis=1, ddof=1) * (1 - values.mean(axis=1))).max())
    assert largest == pytest.approx(0.33813, abs=1e-5)
