"""Scores of a sliding window of epochs: dynamic uncertainty, DUAL, and temporal dual-depth scoring.

An example that was not seen in every epoch that a score uses has no window to speak of: its score is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block, read_only
from trainmap.errors import TrainmapError

Array = NDArray[Any]

WINDOW = 10
EARLY = 30
LOG_FLOOR = 1e-8  # added to a probability before its logarithm, as in the published code of TDDS


def dyn_unc(block: Block, window: int = WINDOW, ddof: int = 1, last_window: bool = True, scale: float = 1.0) -> Array:
    """Dynamic uncertainty: the standard deviation of p(gold) in a window of J epochs, averaged over all windows.

    (1/K) sum_{k=0}^{K-1} sqrt((1/(J - ddof)) sum_{e=k}^{k+J-1} (p_e - mean_k)^2) with K = E - J + 1.

    Args:
        block: E epochs of n examples; uses ``p_gold``.
        window: J, at least 2.
        ddof: 1 as in the paper and its code, or 0.
        last_window: use the window that ends with the last epoch too. The authors' code (BAAI) leaves it out,
            the one of DUAL does not.
        scale: a factor; both codes multiply by 10.

    Returns:
        (n,) float64 in [0, 0.53] (J = 10). High is uncertain; an example that is never learned is as low as an easy
        one. NaN where an epoch was missed.

    Raises:
        TrainmapError: fewer than J epochs (J + 1 without the last window).

    Source: He et al. 2024, arXiv:2306.05175, section 3.
    """
    _check("dyn_unc", block.epochs, window + (not last_window), window, 2)
    if ddof not in (0, 1):
        raise TrainmapError(f"ddof must be 0 (population) or 1 (sample), got {ddof}")
    taken = block.epochs - (not last_window)
    roots, _ = _window_sums(block, window, taken)
    return roots * (scale / math.sqrt(window - ddof) / (taken - window + 1))


def dual(block: Block, window: int = WINDOW, epochs: int | None = EARLY, scale: float = 1.0) -> Array:
    """DUAL: difficulty times uncertainty, mean over windows of std_k(p) (1 - mean_k(p)), early in training.

    std_k is the sample standard deviation (ddof 1) of p(gold) in the window of J epochs that begins at epoch k.

    Args:
        block: E epochs of n examples; uses ``p_gold``.
        window: J, at least 2.
        epochs: only the first T epochs, 30 as in the paper on CIFAR (fewer where fewer were recorded); None for all.
        scale: a factor; the authors' code multiplies by 10.

    Returns:
        (n,) float64 in [0, 0.339] (J = 10; up to 0.385 for another J). High is hard and undecided. NaN where an epoch
        of the T was missed.

    Raises:
        TrainmapError: fewer than J epochs, or T below J.

    Source: Cho et al. 2025, arXiv:2502.06905, section 3. Their Beta sampling is a way of selecting, not of scoring.
    """
    taken = len(_first("dual", block.p_gold, window, epochs, 2))
    roots, weighted = _window_sums(block, window, taken)
    return (roots - weighted) * (scale / math.sqrt(window - 1) / (taken - window + 1))


def _window_sums(block: Block, window: int, epochs: int) -> tuple[Array, Array]:
    """Over the windows of p(gold) in the first ``epochs``: sum_k root_k and sum_k mean_k root_k, where root_k is the
    root of the sum of squared deviations. Kept: up to 30 epochs, Dyn-Unc and DUAL look at the same windows."""
    key = ("windows", window, epochs)
    if key not in block.kept:
        roots, weighted = np.zeros(len(block)), np.zeros(len(block))
        for mean, squares in sliding(block.p64[:epochs], window):
            root = np.sqrt(squares, out=squares)
            roots += root
            weighted += np.multiply(root, mean, out=mean)
        block.kept[key] = read_only(roots), read_only(weighted)
    return block.kept[key]


def tdds(block: Block, window: int = WINDOW, epochs: int | None = EARLY, decay: float = 0.9) -> Array:
    """Temporal dual-depth score: how much the change of the prediction from epoch to epoch varies, late windows first.

    With p_e(c) the class probabilities, d_e = sum_c abs(p_{e+1}(c) (log p_{e+1}(c) - log p_e(c))) the change from
    epoch e to e + 1, and R_k = sqrt(sum_{e=k}^{k+J-2} (d_e - mean)^2) in the window of J epochs that begins at epoch k:
    sum_{k=0}^{T-J} decay (1 - decay)^{T-J-k} R_k.

    Args:
        block: E epochs of n examples; uses ``logits`` (a recording at level "logits").
        window: J, at least 3 (two changes).
        epochs: only the first T epochs, 30 as in the repository's example (fewer where fewer were recorded); None for
            all. With decay 0.9 the last window has nine tenths of the weight, so T matters.
        decay: of the moving average, above 0 and at most 1.

    Returns:
        (n,) float64, 0 or more. High is still moving. NaN where an epoch of the T was missed.

    Raises:
        TrainmapError: no logits, fewer than J epochs, T below J, a decay outside (0, 1].

    Source: Zhang et al. 2024, arXiv:2311.13613, section 3, as in zhangxin-xd/Dataset-Pruning-TDDS (which adds 1e-8
        before each logarithm, and so do we). Its softmax is float32, ours is float64 of the recorded logits.
    """
    if block.logits is None:
        raise TrainmapError("tdds needs the logits of every epoch; record with level='logits'")
    if not 0 < decay <= 1:
        raise TrainmapError(f"decay must be above 0 and at most 1, got {decay}")
    logits = _first("tdds", block.logits, window, epochs, 3)
    total, last = np.zeros(len(block)), len(logits) - window
    for start, (_, squares) in enumerate(sliding(_changes(logits), window - 1)):
        total += np.sqrt(squares) * (decay * (1 - decay) ** (last - start))
    return total


def _changes(logits: Array) -> Array:
    """(T - 1, n) float64: sum_c |p_{e+1} (log p_{e+1} - log p_e)|, from (T, n, C) logits, one epoch at a time."""
    changes = np.empty((len(logits) - 1, logits.shape[1]))
    before = np.empty(0)
    for epoch, z in enumerate(logits):
        p = np.ascontiguousarray(z.T, dtype=np.float64)  # (C, n): classes are then added in order, whatever n is
        p -= p.max(axis=0)
        np.exp(p, out=p)
        p /= _sum_rows(p)
        log = np.log(p + LOG_FLOOR)
        if epoch:
            np.subtract(log, before, out=before)
            before *= p
            changes[epoch - 1] = _sum_rows(np.abs(before, out=before))
        before = log
    return changes


def sliding(rows: Array, window: int) -> Iterator[tuple[Array, Array]]:
    """Every window of ``window`` successive rows of (R, n): its mean and its sum of squared deviations, (n,) float64.

    The arrays are the caller's to overwrite.

    Windows are taken ``window`` at a time: those that begin in [s, s + J) all hold row s + J - 1, the pivot, and each
    is a run back from it and a run on from it. Running sums of deviations from the pivot therefore never hold a value
    from outside the window, and the difference of squares is at least a J-th of the first (the pivot's own deviation
    is 0): as exact as two passes over each window, at a cost that does not grow with it.
    """
    rows = rows.astype(np.float64, copy=False)
    windows = len(rows) - window + 1
    for start in range(0, windows, window):
        pivot = rows[start + window - 1]
        back = list(_running(rows[start : start + window - 1][::-1], pivot))
        on = _running(rows[start + window : start + 2 * window - 1], pivot)
        for shift, (sums_on, squares_on) in zip(range(min(window, windows - start)), on, strict=False):
            sums, squares = back[window - 1 - shift]
            sums, squares = sums + sums_on, squares + squares_on
            mean = sums / window
            squares -= np.multiply(sums, mean, out=sums)
            mean += pivot
            yield mean, squares


def _running(rows: Array, pivot: Array) -> Iterator[tuple[Array, Array]]:
    """Sums of the deviations from ``pivot`` and of their squares over the first 0, 1, 2, ... rows."""
    sums, squares = np.zeros(len(pivot)), np.zeros(len(pivot))
    yield sums, squares
    for row in rows:
        deviation = row - pivot
        sums, squares = sums + deviation, squares + deviation * deviation
        yield sums, squares


def _sum_rows(values: Array) -> Array:
    """Sum over axis 0 in order, whatever the shape (numpy regroups the terms of a one-column array)."""
    return np.add.reduce(values, axis=0) if values.shape[1] > 1 else np.add.accumulate(values, axis=0)[-1]


def _first(name: str, values: Array, window: int, epochs: int | None, least: int) -> Array:
    """The first ``epochs`` of what is there, after checking that they hold a window."""
    if epochs is not None and epochs < window:
        raise TrainmapError(f"{name} needs at least a window of epochs: {epochs} epochs are fewer than window={window}")
    taken = values[:epochs]
    _check(name, len(taken), window, window, least)
    return taken


def _check(name: str, epochs: int, needed: int, window: int, least: int) -> None:
    if window < least:
        raise TrainmapError(f"{name}'s window must be at least {least} epochs, got {window}")
    if epochs < needed:
        raise TrainmapError(f"{name} needs at least {needed} epochs, got {epochs}; pass a smaller window")
