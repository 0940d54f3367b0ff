"""The mean and the spread of p(gold) over the epochs: the axes of the map and what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError

Array = NDArray[Any]


def confidence(block: Block) -> Array:
    """Mean probability of the gold class: (1/E) sum_e p_e(y).

    Returns:
        (n,) float64 in [0, 1]. Low is hard.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2.
    """
    return block.mean("p_gold")


def variability(block: Block, ddof: int = 0, include_ci: bool = False) -> Array:
    """Standard deviation of p(gold) over the epochs: sqrt((1/(E - ddof)) sum_e (p_e - mean)^2).

    Args:
        block: E epochs of n examples; uses ``p_gold``.
        ddof: 0, the population's, as in the paper; 1 as in FTFT.
        include_ci: sqrt(v + v^2 / (E - 1)) with v the population variance, as the paper's code does on request.

    Returns:
        (n,) float64 in [0, 0.5] (ddof=0). High is ambiguous. NaN where it needs a second epoch and there is none.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2; include_ci: allenai/cartography.
    """
    if include_ci and ddof:
        raise TrainmapError("include_ci is defined with ddof=0; pass one of the two")
    if ddof not in (0, 1):
        raise TrainmapError(f"ddof must be 0 (population) or 1 (sample), got {ddof}")
    variance = block.variance
    if not ddof and not include_ci:
        return np.sqrt(variance)
    more = np.divide(1.0, block.visits - 1, out=np.full(len(block), np.nan), where=block.visits > 1)
    return np.sqrt(variance + variance**2 * more if include_ci else variance * block.visits * more)


def threshold_closeness(block: Block) -> Array:
    """c (1 - c) with c the confidence: how near the mean probability lies to one half.

    Returns:
        (n,) float64 in [0, 0.25]. High is ambiguous.

    Source: allenai/cartography (Swayamdipta et al. 2020). Not the mean of p(1 - p): that one is ``aleatoric``.
    """
    mean = block.mean("p_gold")
    return mean * (1 - mean)


def aleatoric(block: Block) -> Array:
    """Data-IQ's aleatoric uncertainty: (1/E) sum_e p_e(y) (1 - p_e(y)).

    Returns:
        (n,) float64 in [0, 0.25]. High is inherently ambiguous.

    Source: Seedat et al. 2022, arXiv:2210.13043, section 3.2. Equals threshold_closeness - variability^2.
    """
    # As that difference: three vector operations. It can round to a hair below 0, where the exact value is 0.
    return np.maximum(threshold_closeness(block) - block.variance, 0.0)


def slope(block: Block) -> Array:
    """Least-squares slope of p(gold) over the epochs: sum_e (e - mean e)(p_e - mean p) / sum_e (e - mean e)^2.

    Returns:
        (n,) float64, in probability per epoch, in [-1, 1]. Low is hard (it is being forgotten); NaN where fewer than
        two epochs were seen.

    Source: the study that trainmap grew from, which calls it forgetfulness (github.com/timohromadka/L46_datamaps).
    """
    return slope_of(block, "p_gold")


def slope_of(block: Block, signal: str) -> Array:
    """The least-squares slope of any signal over the epochs, (n,) float64, per epoch."""
    if block.epochs == 1:
        return np.full(len(block), np.nan)
    epochs = np.arange(block.epochs, dtype=np.float64)
    if block.complete:
        weights = (epochs - epochs.mean()) / ((epochs - epochs.mean()) ** 2).sum()
        mean, total, product = block.mean(signal), np.zeros(len(block)), np.empty(len(block))
        for weight, row in zip(weights, block.wide(signal), strict=True):
            np.subtract(row, mean, out=product)  # the weights add up to 0 only nearly: a constant p must have slope 0
            product *= weight
            total += product
        return total
    centre = block.mean_of(np.broadcast_to(epochs[:, None], block.seen.shape))
    mean, spread, product = block.mean(signal), np.zeros(len(block)), np.zeros(len(block))
    for epoch, row, seen in zip(epochs, block[signal], block.seen, strict=True):
        spread += np.where(seen, (epoch - centre) ** 2, 0)
        product += np.where(seen, (epoch - centre) * (row - mean), 0)
    return np.divide(product, spread, out=np.full(len(block), np.nan), where=spread > 0)
