"""Audits of recordings that have no gold class: of targets (regression), of several labels and of sequences, pooled.

Weights w_e of the epochs, with sum 1, as in an audit of classes: what an epoch has learned times what it has not
learned by heart, w_e ~ g_e^2 (1 - g_e), g_e being the share of what there is to learn: of the variance that epoch e
explains (R^2, 0 where it is below), of the labels and tokens the accuracy above that of the first epoch::

    regression          r = sum_e w_e (prediction_e - target); suspicion = |r - median r| / (1.4826 MAD of r)
    multilabel, tokens  suspicion = 1 - sum_e w_e exp(-loss_e): exp(-loss) is the geometric mean of the probabilities of
                        what was given, which one label that the network is sure of being wrong pulls down (of several
                        labels their arithmetic mean hides it: average precision 0.44 and 0.46 against 0.81 and 0.85 on
                        two development seeds of benchmarks/audit_kinds.py)

A target is suspected above 3.5 robust standard deviations (Iglewicz and Hoaglin 1993). A pooled suspicion has no value
that means the same on two datasets: it is suspected where it stands out among the others, above median +
3.5 (1.4826 MAD).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.audits.suspects import Audit
from trainmap.dynamics.index import ids_to_arrow, rising
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.scores.compute import epochs_taken

Array = NDArray[Any]

OUTLIER = 3.5
TO_SIGMA = 1.4826  # of a bell, from the median absolute deviation
BLOCK_ROWS = 1 << 16


def audit_numbers(dynamics: Dynamics, threshold: float | None = None, epochs: int | None = None) -> Audit:
    """Which targets, or examples of several labels or tokens, look wrong; see the head of this file.

    Args:
        dynamics: of kind regression, multilabel or tokens.
        threshold: suspected from this suspicion on, in place of the rule's.
        epochs: use only the first so many epochs.

    Raises:
        TrainmapError: plain numbers, of which nobody knows what was given; nothing that was seen.
    """
    if dynamics.kind == "numbers":
        raise TrainmapError(
            f"an audit compares what was given with what was learned; {dynamics.path} holds plain numbers alone: rank "
            f"by a score, such as {dynamics.main_signal}_mean"
        )
    taken = epochs_taken(dynamics, epochs)
    regression = dynamics.kind == "regression"
    weights = _weights(dynamics, taken)
    if regression:
        residual = _weighted(dynamics, "residual", weights)
        suspicion = _outliers(np.abs(residual - np.nanmedian(residual)), residual)
        rule, cut = "residual", OUTLIER
    else:
        residual, suspicion = None, 1 - _weighted(dynamics, "loss", weights, lambda row: np.exp(-row))
        rule, cut = "exp(-loss)", _stands_out(suspicion)
    cut = cut if threshold is None else threshold
    suspected = suspicion >= cut
    order = rising(-suspicion, dynamics.ids)  # NaN comes last
    columns: dict[str, Any] = {
        "id": pl.Series(ids_to_arrow(dynamics.ids)),
        "label": pl.Series([None] * len(dynamics), dtype=pl.Int64),
        "suspicion": pl.Series(suspicion).fill_nan(None),
        "suspected": pl.Series(suspected),
    }
    if residual is not None and dynamics.targets is not None:
        columns |= {
            "target": pl.Series(dynamics.targets).fill_nan(None),
            "residual": pl.Series(residual).fill_nan(None),
            "suggested": pl.Series(dynamics.targets + residual).fill_nan(None),
        }
    about = (dynamics.source, dynamics.fingerprint, taken)
    return Audit(pl.DataFrame(columns)[order], rule, float(cut), *about, kind=dynamics.kind)


def _weights(dynamics: Dynamics, taken: int) -> Array:
    """(E,) of the epochs; equal where none tells more than another."""
    learned = np.zeros(taken)
    targets = dynamics.targets
    for epoch in range(taken):
        if targets is not None:
            loss = dynamics.column(epoch, "loss").astype(np.float64)
            seen = ~np.isnan(loss)
            spread = float(np.var(targets[seen])) if seen.any() else 0.0
            learned[epoch] = 1 - float(loss[seen].mean()) / spread if spread > 0 else 0.0
            continue
        name = "accuracy" if "accuracy" in dynamics.signals else "p_gold"
        values = dynamics.column(epoch, name).astype(np.float64)
        seen = ~np.isnan(values)
        learned[epoch] = values[seen].mean() if seen.any() else 0.0
    above = learned if targets is not None else learned - learned[0]
    weights = np.maximum(above, 0) ** 2 * np.maximum(1 - learned, 0)
    return weights / weights.sum() if weights.sum() > 0 else np.full(taken, 1 / taken)


def _weighted(dynamics: Dynamics, name: str, weights: Array, of: Callable[[Array], Array] = lambda row: row) -> Array:
    """(N,) float64: the mean of a signal, or ``of`` it, by the weights of the epochs in which an example was seen; NaN
    where there was none."""
    out, start = np.full(len(dynamics), np.nan), 0
    for block in dynamics.blocks(BLOCK_ROWS, [name], len(weights)):
        total, weight = np.zeros(len(block)), np.zeros(len(block))
        for share, row in zip(weights, block[name], strict=True):
            seen = ~np.isnan(row)
            np.add(total, share * of(row.astype(np.float64)), out=total, where=seen)
            weight += share * seen
        part = out[start : start + len(block)]
        np.divide(total, weight, out=part, where=weight > 0)
        start += len(block)
    if np.isnan(out).all():
        raise TrainmapError(f"an audit needs examples that were seen; {dynamics.path} has none in the epochs that tell")
    return out


def _deviation(values: Array) -> float:
    """1.4826 times the median absolute deviation."""
    return TO_SIGMA * float(np.nanmedian(np.abs(values - np.nanmedian(values))))


def _outliers(away: Array, values: Array) -> Array:
    """How many robust standard deviations ``away`` is. Where half are alike, whatever is not is infinitely far."""
    scale = _deviation(values)
    if scale > 0:
        return away / scale
    return np.where(np.isnan(away), np.nan, np.where(away > 0, np.inf, 0.0))


def _stands_out(suspicion: Array) -> float:
    middle, scale = float(np.nanmedian(suspicion)), _deviation(suspicion)
    return middle + OUTLIER * scale if scale > 0 else float(np.nextafter(middle, np.inf))
