"""The map as it was after each epoch, and how one example went."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.store import Dynamics

Array = NDArray[Any]

FOLLOWED = ("p_gold", "loss", "margin", "predicted")
"""The signals of a trajectory."""


def has_replay(dynamics: Dynamics | None) -> bool:
    """Whether the recording keeps p(gold) epoch by epoch."""
    return dynamics is not None and "p_gold" in dynamics.signals


def frame(dynamics: Dynamics, epochs: int) -> tuple[Array, Array, Array]:
    """The map after so many epochs, 1 to E.

    ``confidence = mean p_e``, ``variability = sqrt(mean (p_e - confidence)²)`` over the epochs before ``epochs`` in
    which the example was seen, by Welford's running means: one pass over each epoch's column, in double precision.

    Returns:
        confidence (N,) float32 and variability (N,) float32, NaN for what was not seen yet; the class that was
        predicted in the last of these epochs, (N,) int32, -1 where it was not seen or the recording has none.
    """
    seen = np.zeros(dynamics.examples)
    mean, spread = np.zeros(dynamics.examples), np.zeros(dynamics.examples)
    for epoch in range(epochs):
        p = dynamics.column(epoch, "p_gold").astype(np.float64)
        there = ~np.isnan(p)
        seen += there
        step = np.where(there, p - mean, 0.0)
        mean += step / np.maximum(seen, 1)
        spread += step * np.where(there, p - mean, 0.0)
    never = seen == 0
    confidence = np.where(never, np.nan, mean).astype(np.float32)
    variability = np.sqrt(np.maximum(spread, 0) / np.maximum(seen, 1))
    return confidence, np.where(never, np.nan, variability).astype(np.float32), predicted(dynamics, epochs - 1)


def predicted(dynamics: Dynamics, epoch: int) -> Array:
    """The class that was predicted in one epoch, (N,) int32; -1 where there is none."""
    if "predicted" not in dynamics.signals:
        return np.full(dynamics.examples, -1, np.int32)
    return dynamics.column(epoch, "predicted").astype(np.int32)


def trajectory(dynamics: Dynamics, row: int) -> dict[str, list[float | int | None]]:
    """How one example went: the signals of ``FOLLOWED`` that are there, one value an epoch, None where unseen."""
    names = [name for name in FOLLOWED if name in dynamics.signals]
    block = dynamics.block(row, row + 1, names)
    return {name: [_plain(value) for value in block[name][:, 0].tolist()] for name in names}


def _plain(value: float | int) -> float | int | None:
    return None if value != value or value in (float("inf"), float("-inf")) else value
