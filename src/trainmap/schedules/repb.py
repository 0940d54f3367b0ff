"""RePB: what is easy within its own batch is skipped next time, and weights follow how often each was visited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import whole
from trainmap.schedules.memory import Memory, Remembers
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.places import ascending, check_state
from trainmap.schedules.protocol import Visit

Array = NDArray[Any]


@dataclass(frozen=True)
class RePBOptions(Options):
    """Of ``RePB``."""

    source: ClassVar[str] = "Inconsistency Biases in Dynamic Data Pruning, ICLR 2026"
    guessed: ClassVar[bool] = True
    easy: ClassVar[float] = 0.75
    """Share of the examples below the mean loss of their batch, a guess: measured on digits, 20 epochs of cnn-8."""

    ratio: float = option(0.5, "probability that an example below the mean loss is skipped", ge=0, lt=1)
    batches: int = option(1, "batches in a window of comparable losses", ge=1)

    def share(self) -> float:
        return 1 - self.easy * self.ratio

    def whole_epochs(self, epochs: int) -> int:
        return 1

    def make(self, run: Run) -> RePB:
        return RePB(run.ids, **asdict(self), seed=run.seed)


class RePB(Remembers):
    """Losses are compared within a window of batches, where the network hardly changes; rare visits weigh more.

    The first epoch visits everything. Of what epoch E visited, with s_i the loss of the training step and mu the mean
    of the window's losses, i is visited next time if ``s_i >= mu`` or u_i >= ratio, u_i uniform in [0, 1) (local
    window pruning). What epoch E did not visit comes back with probability 1 - ratio (uniform resampling). After E
    epochs, of which N_i visited i, its loss has the weight E / N_i (cumulative temporal rescaling).

    Args:
        ids: the examples.
        ratio: rho, 0 to below 1.
        batches: W, calls of ``update`` in a window; with 1 all losses of a window are of the same weights. The batches
            that are left at the end of an epoch are a window of their own.
        seed: of the draws.

    Source: "Inconsistency Biases in Dynamic Data Pruning", ICLR 2026 (openreview.net/forum?id=Zw1Uw7u6Su), as its
    abstract, its reviews and a public summary of its section 3 describe it; neither the paper itself nor its code
    could be read here.
    Not described there, ours: rho = 0.5; the weights of epoch E + 1 are of the E epochs before it; there is no
    annealing at the end.
    """

    def __init__(self, ids: Any, ratio: float = 0.5, batches: int = 1, seed: int = 0) -> None:
        RePBOptions(ratio, batches)
        self.ids, self.ratio, self.batches = ascending(ids), ratio, whole(batches, "batches", 1)
        self.seed = whole(seed, "seed")
        self.memory = Memory(self.ids)
        self._next = np.ones(len(self.ids), bool)
        self._ended = np.zeros((), np.int64)  # an array: what counts on is none of the settings
        self._sizes: list[int] = []  # of the steps of the epoch under way

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        visited = np.flatnonzero(self._next)
        weights = self._ended / np.maximum(self.memory.visits[visited], 1)
        return Visit(self.ids[visited], weights if self._ended else None)

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """What a training step saw: a batch of its own."""
        super().update(ids, logits, labels)
        self._sizes.append(len(ids))

    def end_epoch(self) -> None:
        places, losses = self.memory.pending()
        chance = np.random.default_rng([self.seed, int(self._ended)]).random(len(self.ids))
        kept = chance >= self.ratio  # what was not visited comes back so
        for part in self._windows():
            at, loss = places[part], losses[part]
            kept[at] = (loss >= loss.mean()) | (chance[at] >= self.ratio)
        super().end_epoch()
        kept |= self.memory.visits == 0  # nothing is known of it
        self._next = kept if kept.any() else np.ones(len(self.ids), bool)
        self._ended, self._sizes = np.asarray(self._ended + 1), []

    def _windows(self) -> list[slice]:
        """The parts of the epoch's examples, in the order of its steps, that are compared with each other."""
        ends = np.cumsum([0, *self._sizes])
        edges = [*ends[: -1 : self.batches], ends[-1]]
        return [slice(start, end) for start, end in pairwise(edges) if end > start]

    def state(self) -> dict[str, Array]:
        own = {"next": self._next.copy(), "ended": self._ended.copy(), "sizes": np.array(self._sizes, np.int64)}
        return super().state() | own

    def restore(self, state: Mapping[str, Array]) -> None:
        own = {"next": self.ids.shape, "ended": (), "sizes": np.shape(state.get("sizes", ()))[:1]}
        check_state({name: value for name, value in state.items() if name in own}, own)
        super().restore({name: value for name, value in state.items() if name not in own})
        self._next, self._ended = np.array(state["next"], bool), np.array(state["ended"])
        self._sizes = np.asarray(state["sizes"]).tolist()
