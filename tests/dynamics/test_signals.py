"""The six signals: by hand, against a float64 reference, and bit for bit whatever the chunk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr, log_softmax, softmax

from trainmap.dynamics.signals import (
    LIMIT,
    SIGNALS,
    Block,
    chunk_rows,
    empty_signals,
    predicted_dtype,
    signals_from_logits,
)
from trainmap.errors import TrainmapError


def reference(logits: Any, labels: Any) -> dict[str, Any]:
    """The module's formulas in float64, through scipy."""
    z = logits.astype(np.float64)
    p, rows = softmax(z, axis=1), np.arange(len(labels))
    others, error = z.copy(), p.copy()
    others[rows, labels] = -np.inf
    error[rows, labels] -= 1
    return {
        "p_gold": p[rows, labels],
        "margin": z[rows, labels] - others.max(axis=1),
        "loss": -log_softmax(z, axis=1)[rows, labels],
        "entropy": entr(p).sum(axis=1),
        "el2n": np.linalg.norm(error, axis=1),
        "predicted": z.argmax(axis=1),
    }


def some_logits(seed: int, rows: int, classes: int, scale: float) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, scale, (rows, classes)).astype(np.float32)
    return logits, generator.integers(0, classes, rows)


def test_two_classes_by_hand() -> None:
    """p = (1/4, 3/4): z = (0, log 3), gold 0."""
    found = signals_from_logits(np.array([[0, math.log(3)]]), np.array([0]))
    expected = {
        "p_gold": 0.25,
        "margin": -math.log(3),
        "loss": math.log(4),
        "entropy": 0.25 * math.log(4) + 0.75 * math.log(4 / 3),
        "el2n": math.hypot(0.75, 0.75),
        "predicted": 1,
    }
    assert tuple(found) == SIGNALS
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-6)


def test_equal_logits_by_hand() -> None:
    found = signals_from_logits(np.full((1, 8), -5.0), np.array([3]))
    assert found["predicted"][0] == 0
    assert found["p_gold"][0] == pytest.approx(1 / 8)
    assert found["loss"][0] == pytest.approx(math.log(8))
    assert found["entropy"][0] == pytest.approx(math.log(8))
    assert found["margin"][0] == 0


def test_the_smaller_class_wins_a_tie() -> None:
    logits = np.array([[1, 2, 2, 0], [3, 3, 3, 3], [0, 0, -1, 0], [-2, -1, -3, -1]])
    assert signals_from_logits(logits, np.zeros(4, int))["predicted"].tolist() == [1, 0, 0, 1]


def test_a_tie_is_one_in_the_type_of_the_logits() -> None:
    assert signals_from_logits(np.array([[1.0, 1.0 + 1e-12]]), np.array([0]))["predicted"].tolist() == [1]
    assert signals_from_logits(np.array([[1.0, 1.0 + 1e-17]]), np.array([0]))["predicted"].tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([2, 3, 10, 101, 1000]),
    st.sampled_from([1e-3, 1, 10, 100]),
)
def test_signals_equal_a_double_precision_reference(seed: int, rows: int, classes: int, scale: float) -> None:
    agree(*some_logits(seed, rows, classes, scale))


def agree(logits: Any, labels: Any) -> None:
    found = signals_from_logits(logits, labels)
    for name, expected in reference(logits, labels).items():
        if name == "predicted":
            np.testing.assert_array_equal(found[name], expected)
        else:
            np.testing.assert_allclose(found[name], expected, rtol=3e-6, atol=3e-6, err_msg=name)


def test_very_many_classes_cost_no_digits() -> None:
    """A sum in class order would be off by 1e-4 here: every term is rounded the same way."""
    agree(*some_logits(0, 3, 50_000, 1e-3))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(2, 70), st.integers(1, 80), st.sampled_from([1, 30]))
def test_the_size_of_a_chunk_changes_no_bit(seed: int, rows: int, classes: int, chunk: int, scale: float) -> None:
    logits, labels = some_logits(seed, rows, classes, scale)
    whole, parts = signals_from_logits(logits, labels), signals_from_logits(logits, labels, chunk)
    for name in SIGNALS:
        assert whole[name].tobytes() == parts[name].tobytes(), name


@pytest.mark.parametrize("classes", [2, 10, 1000, 40_000])
def test_the_neighbours_of_an_example_change_no_bit_of_it(classes: int) -> None:
    """Beyond the chunk's size and for one example alone, where numpy takes other paths."""
    rows = min(chunk_rows(classes) + 3, 3000)
    logits, labels = some_logits(3, rows, classes, 4)
    whole = signals_from_logits(logits, labels)
    for row in (0, 1, rows // 2, rows - 1):
        alone = signals_from_logits(logits[row : row + 1], labels[row : row + 1])
        for name in SIGNALS:
            assert whole[name][row].tobytes() == alone[name][0].tobytes(), name


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.float32])
def test_signals_do_not_depend_on_dtype_or_memory_order(dtype: Any) -> None:
    logits = np.random.default_rng(0).integers(-20, 20, (50, 6))
    labels = np.arange(50) % 6
    expected = signals_from_logits(logits.astype(np.float32), labels)
    for given_logits in (
        logits.astype(dtype),
        np.asfortranarray(logits.astype(dtype)),
        logits.astype(dtype)[::-1][::-1],
    ):
        before = given_logits.copy()
        found = signals_from_logits(given_logits, labels.astype(np.uint8))
        assert all(found[name].tobytes() == expected[name].tobytes() for name in SIGNALS)
        np.testing.assert_array_equal(given_logits, before)


def test_labels_of_a_narrow_dtype_do_not_overflow() -> None:
    """The place of a gold logit is label times rows: 100 * 300 is no int8."""
    logits, labels = some_logits(0, 300, 101, 3)
    narrow = signals_from_logits(logits, labels.astype(np.int8))
    assert all(
        narrow[name].tobytes() == column.tobytes() for name, column in signals_from_logits(logits, labels).items()
    )


def test_extreme_logits_stay_finite_and_in_range() -> None:
    logits = np.array([[LIMIT, -LIMIT], [-LIMIT, LIMIT], [1e-45, 0], [-1e4, 1e4], [88, -88]], np.float32)
    for labels in (np.zeros(5, int), np.ones(5, int)):
        found = signals_from_logits(logits, labels)
        assert all(np.isfinite(found[name]).all() for name in SIGNALS)
        assert ((found["p_gold"] >= 0) & (found["p_gold"] <= 1)).all()
        assert (found["loss"] >= 0).all()
        assert (found["entropy"] >= 0).all()
        assert (found["entropy"] <= math.log(2) + 1e-6).all()
        assert (found["el2n"] <= math.sqrt(2) + 1e-6).all()


def test_an_overflow_of_float32_is_no_warning() -> None:
    """Warnings are errors here."""
    signals_from_logits(np.array([[0, 1e4], [-1e4, 0]]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("classes", "dtype"), [(2, np.int16), (32_767, np.int16), (32_768, np.int32), (70_000, np.int32)]
)
def test_predicted_has_room_for_every_class(classes: int, dtype: Any) -> None:
    assert predicted_dtype(classes) == dtype
    logits = np.zeros((1, classes), np.float32)
    logits[0, -1] = 1
    found = signals_from_logits(logits, np.array([0]))["predicted"]
    assert found.dtype == dtype
    assert found.tolist() == [classes - 1]


def test_no_examples_give_no_signals() -> None:
    found = signals_from_logits(np.empty((0, 3), np.float32), np.empty(0, int))
    assert all(found[name].shape == (0,) for name in SIGNALS)


def test_an_example_that_was_not_seen_is_nan_and_minus_one() -> None:
    empty = empty_signals(2, 5)
    assert empty.pop("predicted").tolist() == [-1, -1]
    assert all(np.isnan(column).all() and column.dtype == np.float32 for column in empty.values())


# --- Block -----------------------------------------------------------------------------------------------------------


def test_a_block_of_logits_has_the_signals_of_each_epoch() -> None:
    logits = np.stack([some_logits(seed, 20, 4, 2)[0] for seed in range(3)])
    labels = np.arange(20) % 4
    block = Block.from_logits(logits, labels)
    assert (block.epochs, len(block), block.classes, block.complete) == (3, 20, 4, True)
    for epoch in range(3):
        for name, column in signals_from_logits(logits[epoch], labels).items():
            assert block[name][epoch].tobytes() == column.tobytes()


def test_an_example_without_logits_in_an_epoch_was_not_seen() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4, 2))
    logits[1, 2] = np.nan
    logits[:, 3] = np.nan
    block = Block.from_logits(logits, np.zeros(4, int))
    assert not block.complete
    assert block.seen.tolist() == [[True, True, True, False], [True, True, False, False], [True, True, True, False]]
    assert block.visits.tolist() == [3, 3, 2, 0]
    assert not block.correct[1, 2]
    expected = np.float64(block.p_gold[0, 2]) + np.float64(block.p_gold[2, 2])
    assert block.mean("p_gold")[2] == expected / 2
    assert np.isnan(block.mean("p_gold")[3])


def test_an_example_with_an_unknown_label_is_never_correct() -> None:
    block = Block(np.array([-1, 1]), 2, {"predicted": np.array([[-1, 1]], np.int16)}, complete=False)
    assert block.correct.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 0], r"logits must be \(epochs, n, classes\)"),
        (np.zeros((2, 3, 4)), [0, 0], r"labels \(n,\), got \(2, 3, 4\) and \(2,\)"),
        (np.zeros((2, 3, 4)), [0, 0, 4], "labels must be 0 to 3, got 0 to 4"),
        (np.full((1, 1, 2), np.inf), [0], "logits must be finite"),
        (np.array([[[np.nan, 0.0]]]), [0], "logits must be finite"),
        (np.array([[[3e38, 0.0]]]), [0], "logits must lie within ±1.7e\\+38"),
    ],
)
def test_a_block_of_wrong_logits_is_refused(logits: Any, labels: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        Block.from_logits(logits, np.array(labels))


def test_a_signal_that_a_block_lacks_is_named() -> None:
    block = Block(np.zeros(1, int), 2, {"p_gold": np.zeros((1, 1))})
    with pytest.raises(TrainmapError, match=r"this block holds 'p_gold'; a score asked for 'margin'"):
        block["margin"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12), st.floats(0, 0.6))
def test_means_and_variances_of_a_block_do_not_depend_on_where_it_is_cut(
    seed: int, rows: int, cut: int, missing: float
) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(5, rows, 3))
    logits[generator.random((5, rows)) < missing] = np.nan
    labels = generator.integers(0, 3, rows)
    whole = Block.from_logits(logits, labels)
    cut = min(cut, rows)
    halves = [Block.from_logits(logits[:, part], labels[part]) for part in (slice(cut), slice(cut, rows))]
    for values in (lambda b: b.mean("p_gold"), lambda b: b.variance, lambda b: b.mean("margin")):
        assert values(whole).tobytes() == b"".join(values(half).tobytes() for half in halves)


@pytest.mark.parametrize("classes", [63, 64, 200])
def test_many_classes_give_the_same_signals_as_float64_whatever_the_chunks(classes: int) -> None:
    rng = np.random.default_rng(classes)
    logits = rng.normal(0, 3, (301, classes)).astype(np.float32)
    labels = rng.integers(0, classes, 301)
    got = signals_from_logits(logits, labels)
    z = logits.astype(np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    here = np.arange(301)
    others = z.copy()
    others[here, labels] = -np.inf
    wanted = {
        "p_gold": p[here, labels],
        "loss": -np.log(p[here, labels]),
        "entropy": -(p * np.log(p)).sum(axis=1),
        "margin": z[here, labels] - others.max(axis=1),
        "el2n": np.linalg.norm(p - np.eye(classes)[labels], axis=1),
        "predicted": z.argmax(axis=1),
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, atol=2e-5, err_msg=name)
    for rows in (1, 7, 300):
        again = signals_from_logits(logits, labels, rows)
        for name, column in got.items():
            np.testing.assert_array_equal(again[name], column, err_msg=name)


@pytest.mark.parametrize("missing", [False, True])
def test_what_scores_share_cannot_be_changed_by_one_of_them(missing: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5, 4))
    if missing:
        logits[1, 2] = np.nan
    block = Block.from_logits(logits, np.zeros(5, int))
    shared = {
        "mean": block.mean("p_gold"),
        "mean of another": block.mean("loss"),
        "p64": block.p64,
        "variance": block.variance,
        "seen": block.seen,
        "visits": block.visits,
        "correct": block.correct,
        "times_correct": block.times_correct,
    }
    for name, values in shared.items():
        before = values.copy()
        with pytest.raises(ValueError, match="read-only"):
            values += values.dtype.type(1)
        np.testing.assert_array_equal(values, before, err_msg=name)


def test_a_block_is_one_thing_among_others() -> None:
    block = Block.from_logits(np.zeros((1, 2, 2)), np.zeros(2, int))
    assert block == block
    assert block != Block.from_logits(np.zeros((1, 2, 2)), np.zeros(2, int))
    assert block in {block}
