"""SeTa: of a random part those whose loss lies in a window that slides from the easy to the hard."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import whole
from trainmap.schedules.memory import Memory, Remembers
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit

ROUNDS = 100  # of Lloyd; a line of losses settles in far fewer


@dataclass(frozen=True)
class SeTaOptions(Options):
    """Of ``SeTa``."""

    source: ClassVar[str] = "Zhou et al. 2025 (CVPR), arXiv:2503.13385"
    guessed: ClassVar[bool] = True
    inside: ClassVar[float] = 0.75
    """Share of the drawn whose group lies in the window by the defaults, a guess: measured on digits, 20 epochs of
    cnn-8."""

    ratio: float = option(0.1, "share of the examples that is left out at random", ge=0, lt=1)
    groups: int = option(5, "groups of like losses", ge=1)
    window: float = option(0.9, "share of the groups that is visited", gt=0, le=1)
    anneal: float = option(0.875, "from this share of the epochs on everything is visited", ge=0, le=1)

    def share(self) -> float:
        return (1 - self.ratio) * (self.inside if self.window < 1 else 1)

    def visits(self, examples: int, epochs: int) -> int:
        whole_ = min(epochs, 1 + epochs - math.ceil(self.anneal * epochs)) / epochs
        return max(1, round((whole_ * (1 - self.ratio) + (1 - whole_) * self.share()) * examples))

    def make(self, run: Run) -> SeTa:
        return SeTa(run.ids, run.epochs, **asdict(self), seed=run.seed)


class SeTa(Remembers):
    """A random part, grouped by loss, and of the groups a window that slides from the easy to the hard, over and over.

    Each epoch draws round((1 - ratio) N) examples. Their last losses are grouped by k-means (on the line) into
    ``groups``, ordered by their centres. Of G groups the epoch t after the first one visits
    w = max(1, round(window G)), those from t mod (G - w + 1) on. The first epoch and those from ``anneal`` times the
    epochs on visit all that was drawn. Weights are 1.

    Args:
        ids: the examples.
        epochs: of the whole training.
        ratio: r, the share that is left out at random, 0 to below 1.
        groups: k.
        window: alpha, the share of the groups that is visited, above 0 to 1.
        anneal: delta, 0 to 1.
        seed: of the draws.

    Source: Zhou et al. 2025 (CVPR), arXiv:2503.13385, section 3 (random pruning, loss-guided grouping, the sliding
    window, partial annealing), and its code, github.com/mrazhou/SeTa 341df62, whose defaults for CIFAR these are.
    Differs: k-means starts from the quantiles and so needs no seed; groups without an example are no groups (the code
    starts at random); losses that are all the same make equal groups of examples in the order of their hash (the code:
    in random order); an example that was never seen counts as the hardest (the code: as a loss of 3).
    """

    def __init__(
        self,
        ids: Any,
        epochs: int,
        ratio: float = 0.1,
        groups: int = 5,
        window: float = 0.9,
        anneal: float = 0.875,
        seed: int = 0,
    ) -> None:
        SeTaOptions(ratio, groups, window, anneal)
        self.ids, self.ratio, self.groups, self.window = ascending(ids), ratio, whole(groups, "groups", 1), window
        self.epochs, self.anneal, self.seed = whole(epochs, "epochs", 1), anneal, whole(seed, "seed")
        self.memory = Memory(self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        size = max(1, round((1 - self.ratio) * len(self.ids)))
        drawn = np.sort(np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))[:size])
        last = self.memory.last[drawn]
        if epoch == 0 or epoch >= self.anneal * self.epochs or np.isnan(last).all():
            return Visit(self.ids[drawn])
        group = self.grouped(np.where(np.isnan(last), np.nanmax(last), last), self.ids[drawn])
        count = int(group.max()) + 1
        wide = max(1, round(self.window * count))
        start = epoch % (count - wide + 1)
        return Visit(self.ids[drawn[(group >= start) & (group < start + wide)]])

    def grouped(self, losses: NDArray[np.float64], ids: NDArray[Any]) -> NDArray[np.int64]:
        """(n,) the group of each, 0 the easiest; numbers without a gap."""
        count = min(self.groups, len(losses))
        if np.ptp(losses) > 0:
            return line_groups(losses, count)
        place = np.empty(len(losses), np.int64)
        place[rising(losses, ids)] = np.arange(len(losses))
        return place * count // len(losses)


def line_groups(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """k-means of numbers on a line, by Lloyd from the means of ``count`` equal parts of the sorted numbers.

    A number belongs to the nearest centre (a tie to the lower one), a centre is the mean of its numbers; both in turn,
    until nothing moves, at most ``ROUNDS`` times. A centre that loses all its numbers is dropped.

    Returns:
        (n,) int64, 0 for the group of the lowest numbers, without a gap.

    Source: Lloyd 1982.
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    edges = np.unique(np.round(np.linspace(0, len(ordered), count + 1)).astype(np.int64))
    for _ in range(ROUNDS):
        centres = np.diff(sums[edges]) / np.diff(edges)
        moved = np.unique(np.r_[0, np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2, "right"), len(ordered)])
        if np.array_equal(moved, edges):
            break
        edges = moved
    return np.searchsorted(ordered[edges[1:-1]], values, "right")
