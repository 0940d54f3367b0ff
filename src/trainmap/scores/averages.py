"""A signal averaged over epochs: the margin, the error's length, the entropy, the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError

Array = NDArray[Any]


def aum(block: Block, probability: bool = False, total: bool = False) -> Array:
    """Area under the margin: (1/E) sum_e (z_y - max_{c != y} z_c), on logits.

    Args:
        block: E epochs of n examples; uses ``margin``, and ``loss`` for probabilities.
        probability: margins of probabilities, p_y - max_{c != y} p_c. Had from the recorded signals, without the
            logits: p_y = exp(-loss), and the other one is exp(-(loss + margin)).
        total: the sum over the epochs in which an example was seen, in place of their mean.

    Returns:
        (n,) float64, unbounded; in [-1, 1] with ``probability``. Low (negative) is hard: another class is preferred.

    Source: Pleiss et al. 2020, arXiv:2001.10528, section 3.1. CCS (Zheng et al. 2023, arXiv:2210.15809): the sum of
        probability margins.
    """
    mean = block.mean_of(_probability_margins(block)) if probability else block.mean("margin")
    return mean * block.visits if total else mean


def _probability_margins(block: Block) -> Iterator[Array]:
    for loss, margin in zip(block["loss"].astype(np.float64), block["margin"], strict=True):
        yield np.exp(-loss) - np.exp(-(loss + margin))


def el2n(block: Block, window: tuple[int, int] = (0, 10), total: bool = False) -> Array:
    """Mean over early epochs of the error's length: ||p_e - onehot(y)||_2.

    Args:
        block: E epochs of n examples; uses ``el2n``.
        window: the epochs [from, to) that are averaged; the first ten by default (fewer where there are fewer).
        total: their sum, over the epochs in which an example was seen, in place of their mean.

    Returns:
        (n,) float64 in [0, sqrt(2)]. High is hard. NaN where an example was not seen in the window.

    Raises:
        TrainmapError: a window that begins after the last epoch, or is empty.

    Source: Paul et al. 2021, arXiv:2107.07075, section 2.2 (one early epoch, averaged over seeds). CCS sums ten epochs.
    """
    start, stop = window
    if not 0 <= start < stop or start >= block.epochs:
        raise TrainmapError(
            f"el2n's window must begin within the {block.epochs} epochs recorded and end after that, got {window}"
        )
    early = block
    if start or stop < block.epochs:
        early = Block(block.labels, block.classes, {"el2n": block["el2n"][start:stop]}, block.complete)
    mean = early.mean("el2n")
    return mean * early.visits if total else mean


def entropy(block: Block, last: bool = False) -> Array:
    """Mean over the epochs of the prediction's entropy: -sum_c p_c log p_c, in nats.

    Args:
        block: E epochs of n examples; uses ``entropy``.
        last: the last epoch alone, in place of the mean; NaN where an example was not seen in it.

    Returns:
        (n,) float64 in [0, log C]. High is hard (unsure).

    Source: Coleman et al. 2020, arXiv:1906.11829, section 3.1 (there: at the last epoch).
    """
    return block["entropy"][-1].astype(np.float64) if last else block.mean("entropy")


def loss(block: Block, last: bool = False) -> Array:
    """Mean over the epochs of the cross entropy: -log p_e(y), in nats.

    Args:
        block: E epochs of n examples; uses ``loss``.
        last: the last epoch alone, in place of the mean; NaN where an example was not seen in it.

    Returns:
        (n,) float64, 0 or more. High is hard.
    """
    return block["loss"][-1].astype(np.float64) if last else block.mean("loss")
