"""Rules that turn the epochs of an example into one number: how suspicious its label is.

A rule is a function of a block and of the epochs' weights; the table ``RULES`` at the end has them all, each with the
suspicion from which on it suspects a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.scores.averages import aum, loss
from trainmap.scores.cartography import confidence
from trainmap.scores.compute import epochs_taken

Array = NDArray[Any]

MIXTURE_SAMPLE = 100_000


def epoch_weights(dynamics: Dynamics, epochs: int | None = None) -> Array:
    """How much each epoch tells of the labels: w_e ~ c_e^2 (1 - a_e), with sum 1.

    a_e is the share of the predictions in epoch e that are the label, and c_e what it is above the share of the largest
    class (0 if below). An epoch before anything is learned says nothing of a label, nor does one in which everything
    is known by heart. Equal weights where that leaves none.

    Returns:
        (E,) float64.

    Measured: a network that learns every label by heart drives the plain mean of the margins to where no fixed
    threshold finds anything; with these weights the same threshold serves it and one that learns nothing by heart
    (docs/audit.md).
    """
    if dynamics.level == "stats":
        raise TrainmapError("a recording at level 'stats' keeps sums and no epochs; record with level='signals'")
    taken = epochs_taken(dynamics, epochs)
    if "predicted" not in dynamics.signals:
        raise TrainmapError(f"an audit needs predicted; {dynamics.path} holds {', '.join(dynamics.signals)} alone")
    known = dynamics.labels[dynamics.labels >= 0]
    if not len(known):
        raise TrainmapError(f"an audit needs labels to look at; {dynamics.path} knows none")
    chance = np.bincount(known).max() / len(known)
    accuracy = np.empty(taken)
    for epoch in range(taken):
        predicted = dynamics.column(epoch, "predicted")
        seen = predicted >= 0
        accuracy[epoch] = np.count_nonzero(seen & (predicted == dynamics.labels)) / max(1, np.count_nonzero(seen))
    weights = np.maximum(accuracy - chance, 0) ** 2 * (1 - accuracy)
    return weights / weights.sum() if weights.any() else np.full(taken, 1 / taken)


def persistent(predicted: Array, labels: Array, classes: int, weights: Array) -> tuple[Array, Array, Array]:
    """The class other than the label that was predicted most.

    Args:
        predicted: (E, n) integers, -1 where an example was not seen.
        labels: (n,) integers.
        classes: predictions from ``classes`` on are no answer (the extra class of threshold samples).
        weights: (E,) of the epochs, not negative.

    Returns:
        (n,) int64: the class, the smaller one among equals; -1 if nothing but the label was predicted.
        (n,) float64: its share of the epochs in which the example was seen, by weight.
        (n,) float64: the label's share. NaN where never seen, or in epochs without weight alone.
    """
    order = np.argsort(predicted, axis=0, kind="stable")  # equal predictions stand together, however many classes
    best, most = np.full(len(labels), -1, np.int64), np.zeros(len(labels))
    run, before = np.zeros(len(labels)), np.full(len(labels), -1)
    seen, right = np.zeros(len(labels)), np.zeros(len(labels))  # summed as a run is, so that no share is above 1
    for places in order:
        row = np.take_along_axis(predicted, places[None], axis=0)[0]
        run = np.where(row == before, run, 0.0) + weights[places]
        longer = (row >= 0) & (row < classes) & (row != labels) & (run > most)
        best, most = np.where(longer, row, best), np.where(longer, run, most)
        before = row
        seen += np.where(row >= 0, weights[places], 0.0)
        right += np.where((row >= 0) & (row == labels), weights[places], 0.0)
    shares = [np.divide(part, seen, out=np.full(len(labels), np.nan), where=seen > 0) for part in (most, right)]
    return best, shares[0], shares[1]


def combined(block: Block, weights: Array) -> Array:
    """How much another class is preferred to the label: sum_e w_e (sqrt(max_{c != y} p_e(c)) - sqrt(p_e(y))).

    Combines the margin with what the epochs tell (``epoch_weights``). The square root stands between the margin of
    logits, which one confident epoch can decide, and the margin of probabilities, which hardly tells the second class
    apart from the rest.

    Args:
        block: uses ``loss`` and ``margin``: p(y) = exp(-loss), and the other one is exp(-(loss + margin)).
        weights: (E,).

    Returns:
        (n,) float64 in [-1, 1]; NaN for an example that was seen in epochs without weight alone.

    Measured: on human label errors (CIFAR-10N) within 0.01 of the best rule's average precision on every recording, and
    far ahead of the plain margin for a network that learns its labels by heart (docs/audit.md).
    """
    total, weight = np.zeros(len(block)), np.zeros(len(block))
    for share, nll, margin, seen in zip(weights, block["loss"], block["margin"], block.seen, strict=True):
        gold = nll.astype(np.float64)
        other = np.maximum(gold + margin, 0)  # -log p of the best other class; rounding may push it below 0
        np.add(total, share * (np.exp(-other / 2) - np.exp(-gold / 2)), out=total, where=seen)
        weight += share * seen
    return np.divide(total, weight, out=np.full(len(block), np.nan), where=weight > 0)


def mixture(loss: Array) -> Array:
    """The probability that a loss belongs to the higher of two Gaussians fitted to all of them.

    Args:
        loss: (N,) mean losses; NaN stays NaN. The fit takes ``MIXTURE_SAMPLE`` of them when there are more.

    Returns:
        (N,) float64 in [0, 1]; 0 where the losses are all the same, since there is one component then.

    Source: Arazo et al. 2019, arXiv:1904.11238 (with Beta components); Li et al. 2020 (DivideMix), arXiv:2002.07394,
        section 3.1 (two Gaussians). Differs: the mean loss over the epochs, not the loss of the last one.
    """
    from sklearn.mixture import GaussianMixture

    known = ~np.isnan(loss)
    values = loss[known]
    posterior = np.full(len(loss), np.nan)
    posterior[known] = 0.0
    if len(values) < 2 or np.ptp(values) == 0:
        return posterior
    picked = values
    if len(values) > MIXTURE_SAMPLE:
        picked = np.random.default_rng(0).choice(np.sort(values), MIXTURE_SAMPLE, replace=False)
    start = np.quantile(picked, [0.1, 0.9])[:, None]
    fit = GaussianMixture(2, means_init=start, random_state=0).fit(picked[:, None])
    assert fit.means_ is not None
    means = fit.means_[:, 0]
    low, high = np.argsort(means)
    raised = fit.predict_proba(values[:, None])[:, high]
    # The wider component wins at both ends; a loss below the lower mean is not suspicious.
    posterior[known] = np.where(values > means[low], raised, 0.0)
    return posterior


@dataclass(frozen=True)
class Rule:
    """A rule with what one must know to use it.

    Attributes:
        function: block of n examples, (E,) weights of the epochs -> (n,) suspicion.
        threshold: suspected from there on, in a class that is as frequent as those it is taken for (``thresholds``).
        needs: the signals that it reads.
        source: the paper.
        whole: a second step that needs all examples, (N,) -> (N,) suspicion.
        centre: where an example is as suspicious with its label as with the other class in its place; None where the
            function cannot tell.
    """

    function: Callable[[Block, Array], Array]
    threshold: float
    needs: tuple[str, ...]
    source: str
    whole: Callable[[Array], Array] | None = None
    centre: float | None = None


RULES: dict[str, Rule] = {
    # From 0 on another class is preferred on average; 0.1 gave the better F1 on 5 of 6 development recordings.
    "combined": Rule(
        combined, 0.1, ("loss", "margin"), "the margin of Pleiss et al. 2020, by what each epoch tells", centre=0.0
    ),
    "aum": Rule(lambda block, _: -aum(block), 0.0, ("margin",), "Pleiss et al. 2020, arXiv:2001.10528", centre=0.0),
    "confidence": Rule(
        lambda block, _: 1 - confidence(block),
        0.75,
        ("p_gold",),
        "Swayamdipta et al. 2020, arXiv:2009.10795",
        centre=0.5,
    ),
    "mixture": Rule(lambda block, _: loss(block), 0.5, ("loss",), "Li et al. 2020, arXiv:2002.07394", mixture),
}
