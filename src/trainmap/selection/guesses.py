"""What a network guesses of examples whose labels nobody knows, epoch by epoch: dynamics without a gold label.

A Recorder keeps the probability of the gold label alone; a pool that waits for its labels has none. ``Guesses`` keeps
running sums of every class in its place, so that memory does not grow with the epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.index import sort_ids
from trainmap.errors import TrainmapError
from trainmap.selection.pool import Features

Array = NDArray[Any]

SUM = 1e-3
"""How far from 1 the probabilities of an example may sum: those of half precision do."""


@dataclass(frozen=True, eq=False)
class Guesses:
    """What was guessed of n examples over E epochs; ``watched`` begins one, ``after`` adds an epoch.

    Attributes:
        ids: (n,) ascending.
        epochs: E; how often each example was looked at.
        last: (n, C) float64, the probabilities after the last epoch.
        mean: (n, C) float64, over the epochs.
        squares: (n, C) float64, the sum of squared deviations from the mean.
        votes: (n, C) int64, the epochs in which a class was the likeliest (the first of equals).
        switches: (n,) int64, how often the likeliest class was another than the epoch before, 0 to E - 1.
        mean_entropy: (n,) float64, of the predictions, in nats.
        features: (n, D) of the last network; None where none were given.
    """

    ids: Array
    epochs: int
    last: Array
    mean: Array
    squares: Array
    votes: Array
    switches: Array
    mean_entropy: Array
    features: Array | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> Array:
        """(n,) the likeliest class after the last epoch."""
        return self.last.argmax(axis=1)

    @property
    def variance(self) -> Array:
        """(n, C) float64: of each class's probability over the epochs, with E below, as a map has it."""
        return self.squares / max(self.epochs, 1)

    def after(self, ids: Any, probabilities: Any) -> Guesses:
        """The guesses with one epoch more.

        Args:
            ids: (n,) the same examples, in any order.
            probabilities: (n, C) of each class, at least 0, which sum to 1.

        Raises:
            TrainmapError: other examples, or what are no probabilities of C classes.
        """
        p = _ordered(self.ids, to_ids(ids), _checked(probabilities, self.last.shape[1]), "probabilities")
        epochs, chosen = self.epochs + 1, p.argmax(axis=1)
        off = p - self.mean
        mean = self.mean + off / epochs
        votes = self.votes.copy()
        votes[np.arange(len(p)), chosen] += 1
        own = entr(p).sum(axis=1)
        return replace(
            self,
            epochs=epochs,
            last=p,
            mean=mean,
            squares=self.squares + off * (p - mean),
            votes=votes,
            switches=self.switches + (chosen != self.predicted) if self.epochs else self.switches,
            mean_entropy=self.mean_entropy + (own - self.mean_entropy) / epochs,
        )

    def with_features(self, features: Features) -> Guesses:
        """The guesses with a vector for each example.

        Raises:
            TrainmapError: they are of other examples.
        """
        return replace(self, features=_ordered(self.ids, features.ids, features.values, "features"))

    def rows(self, chosen: Array) -> Guesses:
        """Some rows (a mask, or ascending positions)."""
        kept = {name: value[chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **kept)


def watched(ids: Any, classes: int) -> Guesses:
    """Guesses of these examples before the first epoch.

    Args:
        ids: (n,) int64 or strings, unique, in any order.
        classes: C, at least 2.

    Raises:
        TrainmapError: ids that repeat, fewer than 2 classes.
    """
    if classes < 2:
        raise TrainmapError(f"guesses need at least 2 classes, got {classes}")
    known, _ = sort_ids(to_ids(ids))
    none, counts = np.zeros((len(known), classes)), np.zeros((len(known), classes), np.int64)
    return Guesses(known, 0, none, none, none, counts, counts[:, 0], none[:, 0])


def _checked(probabilities: Any, classes: int) -> Array:
    p = to_numpy(probabilities, "probabilities").astype(np.float64)
    if p.ndim != 2 or p.shape[1] != classes:
        raise TrainmapError(f"probabilities must be (n, {classes}), one for each class, got {p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and (np.abs(p.sum(axis=1) - 1) < SUM).all()):
        raise TrainmapError("probabilities must be at least 0 and sum to 1 for each example; hand over softmax(logits)")
    return p


def _ordered(ids: Array, given: Array, values: Array, what: str) -> Array:
    """``values``, of the examples ``given``, in the order of ``ids``; each must be there once."""
    known, order = sort_ids(given)
    if len(values) != len(given) or not np.array_equal(known, ids):
        raise TrainmapError(
            f"{what} must be of each of the {len(ids)} examples once, got {len(values)} for {len(given)} ids, "
            f"{int(np.isin(given, ids).sum())} of them known"
        )
    return values[order]
