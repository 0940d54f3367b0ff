"""Logits in, columns out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.dynamics.epoch import Epoch
from trainmap.dynamics.logit_precision import check_logits
from trainmap.dynamics.signals import chunk_rows, signals_from_logits
from trainmap.errors import RecordingError


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 1300), st.integers(1, 900), st.booleans(), st.booleans())
def test_the_buffer_changes_no_bit(seed: int, rows: int, batch: int, growing: bool, half: bool) -> None:
    """With 600 classes the buffer holds 436 examples: batches go across its end."""
    generator = np.random.default_rng(seed)
    classes = 600
    assert chunk_rows(classes) == 436
    logits = generator.normal(0, 4, (rows, classes)).astype(np.float32)
    labels = generator.integers(0, classes, rows)
    order = np.arange(rows) if growing else generator.permutation(rows)
    epoch = Epoch(0 if growing else rows, classes, "logits" if half else "signals")
    for start in range(0, rows, batch):
        here = order[start : start + batch]
        epoch.add(here, logits[here], labels[here])
    columns = epoch.columns(rows)
    for name, expected in signals_from_logits(logits, labels).items():
        assert columns[name].tobytes() == expected.tobytes()
    assert ("logits" in columns) == half
    if half:
        assert columns["logits"].tobytes() == logits.astype(np.float16).tobytes()


def test_rows_that_were_not_shown_are_nan_and_so_are_all_after_clearing() -> None:
    epoch = Epoch(3, 2, "logits")
    epoch.add(np.array([1]), np.ones((1, 2)), np.array([0]))
    columns = epoch.columns(3)
    assert columns["predicted"].tolist() == [-1, 0, -1]
    assert np.isnan(columns["loss"]).tolist() == [True, False, True]
    assert np.isnan(columns["logits"]).all(axis=1).tolist() == [True, False, True]
    epoch.add(np.array([2]), np.ones((1, 2)), np.array([0]))
    epoch.clear()
    columns = epoch.columns(3)
    assert columns["predicted"].tolist() == [-1, -1, -1]
    assert all(np.isnan(columns[name]).all() for name in ("loss", "logits"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.8e38, -1.8e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 5, 5000])
def test_one_bad_logit_among_many_is_found(bad: float, dtype: Any, rows: int) -> None:
    logits = np.zeros((rows, 3), dtype)
    logits[-1, 1] = bad
    with pytest.raises(RecordingError, match=rf"{rows} examples .*\(first: {rows - 1}\)"):
        check_logits(np.arange(rows), logits, np.zeros(rows, int))


@pytest.mark.parametrize("good", [0.0, 6e4, -6.5e4, 1e19, -1e25, 1.7e38, 1e-45])
@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_large_and_tiny_logits_are_good(good: float, rows: int) -> None:
    logits = np.full((rows, 3), good, np.float32)
    assert check_logits(np.arange(rows), logits, np.zeros(rows, int)) is logits


def test_integers_and_narrow_floats_are_widened() -> None:
    for dtype, wide in ((np.uint8, np.float32), (np.float16, np.float32), (np.int64, np.float64)):
        assert check_logits(np.arange(2), np.ones((2, 3), dtype), np.zeros(2, int), half=True).dtype == wide
