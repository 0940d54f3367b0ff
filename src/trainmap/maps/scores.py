"""Every published score that one recording gives: a pure function of a block, (E, n) in and (n,) out.

Each says its formula, its range, its source, which end is hard, and where papers and codes differ from each other and
from us. Epochs in which an example was not seen are left out of its score; an example that was never seen is NaN.
The table ``SCORES`` at the end is the whole family. A score of your own is a plain function of a block: pass it where
a name can stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError, unknown

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
        ddof: 0, the population's, as in the paper; 1 as in FTFT.
        include_ci: sqrt(v + v^2 / (E - 1)) with v the population variance, as the paper's code does on request.

    Returns:
        (n,) float64 in [0, 0.5] (ddof=0). High is ambiguous. NaN where it needs a second epoch and there is none.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2; include_ci: allenai/cartography.
    """
    if include_ci and ddof:
        raise TrainmapError("include_ci is defined with ddof=0; pass one of the two")
    variance = block.variance
    if not ddof and not include_ci:
        return np.sqrt(variance)
    more = np.divide(1.0, block.visits - 1, out=np.full(len(block), np.nan), where=block.visits > 1)
    return np.sqrt(variance + variance**2 * more if include_ci else variance * block.visits * more)


def correctness(block: Block, fraction: bool = False) -> Array:
    """In how many epochs the prediction was the gold label: sum_e 1[argmax_c z_c = y].

    Args:
        fraction: divide by the number of epochs in which the example was seen.

    Returns:
        (n,) float64 in [0, E], whole numbers; in [0, 1] as a fraction. Low is hard.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2 (the paper plots the fraction, its code counts).
    Differs: from codes that ask p(gold) > 0.5, which is another thing for more than two classes.
    """
    count = np.zeros(len(block))
    for row in block.correct:
        count += row
    return np.divide(
        count, block.visits if fraction else 1.0, out=np.full(len(block), np.nan), where=block.visits > 0
    )


def forgetting(block: Block, never_learned: float | Literal["epochs"] = math.inf) -> Array:
    """How often an example went from right to wrong between the epochs in which it was seen.

    Args:
        never_learned: the value of an example that was never right. ``inf`` (data_diet), ``"epochs"`` (Toneva et al.:
            the number of presentations), ``1000`` (allenai/cartography), ``0`` (DeepCore, CCS: makes the hardest
            examples look like the easiest).

    Returns:
        (n,) float64 in [0, E - 1], or ``never_learned``. High is hard.

    Source: Toneva et al. 2019, arXiv:1812.05159, section 3.
    Differs: counts between epochs; the paper counts between visits in a batch.
    """
    correct = block.correct
    events = np.zeros(len(block))
    if block.complete:
        for before, now in zip(correct[:-1], correct[1:], strict=True):
            events += before > now
    else:
        last = np.zeros(len(block), bool)
        for now, seen in zip(correct, block.seen, strict=True):
            events += seen & (last > now)
            last = np.where(seen, now, last)
    never = block.visits if never_learned == "epochs" else np.float64(never_learned)
    return np.where(block.visits == 0, np.nan, np.where(correct.any(axis=0), events, never))


def slope(block: Block) -> Array:
    """Least-squares slope of p(gold) over the epochs: sum_e (e - mean e)(p_e - mean p) / sum_e (e - mean e)^2.

    Returns:
        (n,) float64, in probability per epoch, in [-1, 1]. Low is hard (it is being forgotten); NaN with one epoch.

    Source: the study that trainmap grew from, which calls it forgetfulness (github.com/timohromadka/L46_datamaps).
    """
    if block.epochs == 1:
        return np.full(len(block), np.nan)
    epochs = np.arange(block.epochs, dtype=np.float64)
    if block.complete:
        weights = (epochs - epochs.mean()) / ((epochs - epochs.mean()) ** 2).sum()
        total = np.zeros(len(block))
        mean = block.mean("p_gold")
        for weight, row in zip(weights, block.p_gold, strict=True):
            total += weight * (row - mean)
        return total
    centre = block.mean_of(np.broadcast_to(epochs[:, None], block.seen.shape))
    mean, spread, product = block.mean("p_gold"), np.zeros(len(block)), np.zeros(len(block))
    for epoch, row, seen in zip(epochs, block.p_gold, block.seen, strict=True):
        spread += np.where(seen, (epoch - centre) ** 2, 0)
        product += np.where(seen, (epoch - centre) * (row - mean), 0)
    return np.divide(product, spread, out=np.full(len(block), np.nan), where=spread > 0)


def threshold_closeness(block: Block) -> Array:
    """c (1 - c) with c the confidence: how near the mean probability lies to one half.

    Returns:
        (n,) float64 in [0, 0.25]. High is ambiguous.

    Source: allenai/cartography (Swayamdipta et al. 2020). Not the mean of p(1 - p): that one is ``aleatoric``.
    """
    mean = block.mean("p_gold")
    return mean * (1 - mean)


def aum(block: Block) -> Array:
    """Area under the margin: (1/E) sum_e (z_y - max_{c != y} z_c), on logits.

    Returns:
        (n,) float64, unbounded. Low (negative) is hard: another class is preferred.

    Source: Pleiss et al. 2020, arXiv:2001.10528, section 3.1.
    Differs: from CCS, which sums margins of probabilities.
    """
    return block.mean("margin")


def el2n(block: Block, window: tuple[int, int] = (0, 10)) -> Array:
    """Mean over early epochs of the error's length: ||p_e - onehot(y)||_2.

    Args:
        window: the epochs [from, to) that are averaged; the first ten by default (fewer where there are fewer).

    Returns:
        (n,) float64 in [0, sqrt(2)]. High is hard.

    Source: Paul et al. 2021, arXiv:2107.07075, section 2.2 (one early epoch, averaged over seeds). CCS sums ten epochs.
    """
    start, stop = window
    if not 0 <= start < stop or start >= block.epochs:
        raise TrainmapError(f"el2n's window must lie within the {block.epochs} epochs recorded, got {window}")
    if start == 0 and stop >= block.epochs:
        return block.mean("el2n")
    early = Block(block.labels, block.classes, {"el2n": block["el2n"][start:stop]}, block.complete)
    return early.mean("el2n")


def entropy(block: Block) -> Array:
    """Mean over the epochs of the prediction's entropy: -sum_c p_c log p_c, in nats.

    Returns:
        (n,) float64 in [0, log C]. High is hard (unsure).

    Source: Coleman et al. 2020, arXiv:1906.11829, section 3.1 (there: at the last epoch).
    """
    return block.mean("entropy")


def loss(block: Block) -> Array:
    """Mean over the epochs of the cross entropy: -log p_e(y), in nats.

    Returns:
        (n,) float64, 0 or more. High is hard.
    """
    return block.mean("loss")


def aleatoric(block: Block) -> Array:
    """Data-IQ's aleatoric uncertainty: (1/E) sum_e p_e(y) (1 - p_e(y)).

    Returns:
        (n,) float64 in [0, 0.25]. High is inherently ambiguous.

    Source: Seedat et al. 2022, arXiv:2210.13043, section 3.2. Equals threshold_closeness - variability^2.
    """
    return block.mean_of(row * (1 - row) for row in block.p_gold.astype(np.float64, copy=False))


def first_learned(block: Block) -> Array:
    """The first epoch (from 0) in which the prediction was the gold label; infinity if there was none.

    Returns:
        (n,) float64 in [0, E - 1] or inf. High is hard.
    """
    first = block.correct.argmax(axis=0).astype(np.float64)
    return np.where(block.visits == 0, np.nan, np.where(block.correct.any(axis=0), first, np.inf))


@dataclass(frozen=True)
class Score:
    """A score with what one must know to use it.

    Attributes:
        name: its column's name.
        function: block -> (n,) float64.
        direction: the end that is hard, "high" or "low".
        needs: the signals that it reads.
        range: in words.
        source: the paper.
        epochs: how many it needs at least.
    """

    name: str
    function: Callable[[Block], Array]
    direction: Literal["high", "low"]
    needs: tuple[str, ...]
    range: str
    source: str
    epochs: int = 1


CARTOGRAPHY = "Swayamdipta et al. 2020, arXiv:2009.10795"

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("confidence", confidence, "low", ("p_gold",), "[0, 1]", CARTOGRAPHY),
        Score("variability", variability, "high", ("p_gold",), "[0, 0.5]", CARTOGRAPHY),
        Score("correctness", correctness, "low", ("predicted",), "0 to E", CARTOGRAPHY),
        Score("forgetting", forgetting, "high", ("predicted",), "0 to E - 1, inf", "Toneva et al. 2019, arXiv:1812.05159"),
        Score("slope", slope, "low", ("p_gold",), "[-1, 1]", "Hromadka and Rex 2024, L46_datamaps", epochs=2),
        Score("threshold_closeness", threshold_closeness, "high", ("p_gold",), "[0, 0.25]", CARTOGRAPHY),
        Score("aum", aum, "low", ("margin",), "unbounded", "Pleiss et al. 2020, arXiv:2001.10528"),
        Score("el2n", el2n, "high", ("el2n",), "[0, 1.415]", "Paul et al. 2021, arXiv:2107.07075"),
        Score("entropy", entropy, "high", ("entropy",), "[0, log C]", "Coleman et al. 2020, arXiv:1906.11829"),
        Score("loss", loss, "high", ("loss",), "0 or more", "cross entropy"),
        Score("aleatoric", aleatoric, "high", ("p_gold",), "[0, 0.25]", "Seedat et al. 2022, arXiv:2210.13043"),
        Score("first_learned", first_learned, "high", ("predicted",), "0 to E - 1, inf", "Toneva et al. 2019"),
    )
}


def score_named(name: str) -> Score:
    """The score of that name, or an error that lists them."""
    if name not in SCORES:
        raise unknown("score", name, SCORES)
    return SCORES[name]


def hard_first(score: str | Score, values: Array, ids: Array) -> Array:
    """The ids from the hardest to the easiest, so that nobody picks the wrong end.

    Args:
        score: which one ``values`` (n,) are; its ``direction`` decides.
        ids: (n,) the examples.

    Returns:
        (n,) ids. The smaller id comes first among equals; NaN (never seen) comes last.
    """
    direction = (score_named(score) if isinstance(score, str) else score).direction
    values, ids = np.asarray(values, dtype=np.float64), np.asarray(ids)
    if values.shape != ids.shape:
        raise TrainmapError(f"values and ids must be alike, got {values.shape} and {ids.shape}")
    return ids[np.lexsort((ids, -values if direction == "high" else values))]
