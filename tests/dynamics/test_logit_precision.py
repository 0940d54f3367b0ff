"""Large logits, every dtype and masked classes, against a reference in high precision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.dynamics.logit_precision import HALF_FAR, LEAST, check_logits, halved, narrowed, widened
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import SIGNALS, Block, signals_from_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError

INF = float("inf")
CLASSES = [2, 3, 10, 63, 64, 65, 1000]


def reference(logits: Any, labels: Any) -> dict[str, Any]:
    """The formulas in long double, integers as Python has them, for masks -inf; sums without what is 0."""
    rows = [[int(v) if logits.dtype.kind in "iu" else np.longdouble(v) for v in row] for row in logits.tolist()]
    if logits.dtype == np.longdouble:
        rows = [list(row) for row in logits]
    z = np.array([[np.longdouble(v - max(row)) for v in row] for row in rows], np.longdouble)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    here = np.arange(len(labels))
    others, error = z.copy(), p.copy()
    others[here, labels] = -INF
    error[here, labels] -= 1
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p), 0)
    return {
        "p_gold": p[here, labels],
        "margin": np.minimum(z[here, labels] - others.max(axis=1), 1e9),
        "loss": np.log(np.exp(z).sum(axis=1)) - z[here, labels],
        "entropy": -terms.sum(axis=1),
        "el2n": np.sqrt((error**2).sum(axis=1)),
        "predicted": z.argmax(axis=1),
    }


def agree(found: Any, expected: Any) -> None:
    for name in SIGNALS:
        if name == "predicted":
            np.testing.assert_array_equal(found[name], expected[name])
        else:
            np.testing.assert_allclose(found[name], expected[name].astype(float), rtol=3e-6, atol=3e-6, err_msg=name)


SHIFTS = {
    np.float16: [0, 100, -1000],
    np.float32: [0, 1e4, -1e8, 1e30],
    np.float64: [0, 1e4, 1e8, -1e8, 1e15, 1e30],
    np.longdouble: [0, 1e8, -1e15, 1e18],
    np.int8: [0, 100],
    np.uint8: [40, 200],
    np.int32: [0, 2**30, -(2**30)],
    np.int64: [0, 10**8, 2**62, -(2**62)],
    np.uint64: [40, 2**63],
}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CLASSES), st.sampled_from(list(SHIFTS)), st.data())
def test_signals_of_shifted_logits_of_every_type_are_those_of_a_long_reference(
    seed: int, classes: int, dtype: Any, data: st.DataObject
) -> None:
    shift = data.draw(st.sampled_from(SHIFTS[dtype]))
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        logits = generator.integers(-20, 20, (5, classes)).astype(dtype) + dtype(shift)
    else:
        logits = dtype(shift) + generator.normal(0, 3, (5, classes)).astype(dtype)
    if data.draw(st.booleans()):
        logits[:, 0] = logits[:, -1]  # a tie, often at the top
    labels = generator.integers(0, classes, 5)
    agree(signals_from_logits(logits, labels), reference(logits, labels))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CLASSES), st.sampled_from(["e", "f", "d", "g"]), st.data())
def test_masked_classes_count_in_no_signal(seed: int, classes: int, code: str, data: st.DataObject) -> None:
    generator, dtype = np.random.default_rng(seed), np.dtype(code)
    logits, labels = generator.normal(0, 3, (6, classes)).astype(dtype), generator.integers(0, classes, 6)
    masked = generator.random(logits.shape) < data.draw(st.sampled_from([0.1, 0.6, 1]))
    masked[np.arange(6), labels] = False
    logits[masked] = -INF
    expected = reference(logits, labels)
    for mask in (-INF, np.finfo(dtype).min) if code != "g" else (-INF,):
        logits[masked] = mask
        agree(signals_from_logits(check_logits(np.arange(6), logits, labels), labels), expected)
    if code in "fd":
        logits[masked] = -1e9
        agree(signals_from_logits(logits, labels), expected)


@pytest.mark.parametrize("level", ["signals", "logits", "stats"])
@pytest.mark.parametrize("shift", [0.0, 1e8, -1e8])
def test_a_recorder_keeps_large_and_masked_logits_at_every_level(level: Any, shift: float, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    z, labels = generator.normal(0, 3, (3, 300, 4)), np.arange(300) % 4
    z[:, np.arange(0, 300, 2), (labels[::2] + 1) % 4] = -INF
    with Recorder(tmp_path / "d", 4, level=level) as recorder:
        for epoch in range(3):
            for rows in np.array_split(np.arange(300), 7):
                recorder.update(rows, shift + z[epoch, rows], labels[rows])
            recorder.end_epoch()
    made = Dynamics.open(tmp_path / "d")
    made.verify()
    expected = [reference(z[epoch], labels) for epoch in range(3)]
    if level == "stats":
        mean = np.mean([one["p_gold"] for one in expected], axis=0)
        np.testing.assert_allclose(made.stats.mean("p_gold"), mean.astype(float), atol=1e-6)
        return
    for epoch in range(3):
        for name in SIGNALS:
            np.testing.assert_allclose(
                made.column(epoch, name), expected[epoch][name].astype(float), atol=2e-6, rtol=2e-6
            )
        if level == "logits":
            kept = made.column(epoch, "logits")
            assert (np.isneginf(kept) == np.isneginf(z[epoch])).all()
            close = kept.astype(float) - kept.max(axis=1, keepdims=True)
            seen = np.isfinite(close)
            np.testing.assert_allclose(close[seen], (z[epoch] - z[epoch].max(axis=1, keepdims=True))[seen], atol=0.02)


def test_half_precision_keeps_logits_as_they_are_up_to_its_limit_and_less_the_largest_beyond() -> None:
    logits = np.array([[HALF_FAR, -3.25, -6e4], [1e8 + 1, 1e8, 1e8 - 2], [-1000.25, -1000.0, -INF]])
    expected = [[HALF_FAR, -3.25, -6e4], [0, -1, -3], [-0.25, 0, -INF]]
    np.testing.assert_array_equal(halved(logits), np.array(expected, np.float16))


def test_an_example_whose_other_classes_are_all_masked_has_the_margin_of_minus_1e9() -> None:
    found = signals_from_logits(np.array([[-INF, 2.5, -INF]]), np.array([1]))
    assert {name: float(found[name][0]) for name in SIGNALS} == {
        "p_gold": 1,
        "margin": 1e9,
        "loss": 0,
        "entropy": 0,
        "el2n": 0,
        "predicted": 1,
    }


def test_a_mask_never_stands_between_the_gold_class_and_a_class_that_lies_lower_still() -> None:
    logits = np.array([[0, -1e20, -INF], [1e30, -1e30, -INF]], np.float32)
    np.testing.assert_allclose(signals_from_logits(logits, np.array([0, 0]))["margin"], [1e20, 2e30], rtol=1e-6)


@pytest.mark.parametrize("mask", LEAST)
def test_a_gold_class_that_is_masked_is_refused_without_blaming_the_training(mask: float) -> None:
    logits = np.zeros((3, 4))
    logits[1, 2] = mask
    with pytest.raises(RecordingError, match=r"gold class must not be masked.*\(first: 8\): unmask") as caught:
        check_logits(np.array([7, 8, 9]), logits, np.array([0, 2, 1]))
    assert "diverged" not in str(caught.value)
    assert check_logits(np.array([7, 8, 9]), logits, np.array([0, 1, 1])) is logits


def test_widened_and_narrowed_leave_what_needs_no_change() -> None:
    plain = np.zeros((2, 3), np.float32)
    assert narrowed(widened(plain)) is plain


def test_a_block_takes_large_and_masked_logits_and_scores_of_stored_masks_are_finite() -> None:
    from trainmap.scores.windows import tdds

    z = np.random.default_rng(0).normal(size=(12, 5, 4))
    z[:, :, 3] = -INF
    labels = np.array([0, 1, 2, 0, 1])
    block, low = Block.from_logits(1e8 + z, labels), Block.from_logits(np.where(z == -INF, -1e9, z), labels)
    np.testing.assert_allclose(tdds(block), tdds(low), atol=1e-5)
    for name in SIGNALS:
        np.testing.assert_allclose(block[name], low[name], atol=2e-6, rtol=2e-6)
    assert math.isfinite(block.mean("margin").max())
