"""AlignPrune: InfoBatch by how the losses of an example went, beside those of clean ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError, whole
from trainmap.schedules.infobatch import InfoBatch, InfoBatchOptions
from trainmap.schedules.options import Run, option
from trainmap.schedules.places import check_state, places_of

Array = NDArray[Any]

CLEAN = 0.01  # of the examples; "1 % of the data is sufficient" (ablation of the paper)


@dataclass(frozen=True)
class AlignPruneOptions(InfoBatchOptions):
    """Of ``AlignPrune``."""

    source: ClassVar[str] = "Qin et al. 2026 (CVPR), arXiv:2604.07306"
    easy: ClassVar[float] = 0.5
    """Share of the examples below the mean alignment, a guess: measured on digits, 20 epochs of cnn-8."""

    span: int = option(10, "epochs of losses that are held beside those of clean examples", ge=2)

    def make(self, run: Run) -> AlignPrune:
        return AlignPrune(run.ids, run.epochs, self.ratio, self.anneal, self.span, seed=run.seed)


class AlignPrune(InfoBatch):
    """InfoBatch whose score is no loss but how far an example's losses went the way of those of clean examples.

    With v_i the losses of example i over the last ``span`` epochs and v_clean their mean over the clean examples, the
    score is Pearson's correlation of v_i and v_clean (dynamic alignment score). Of the n examples whose score lies
    below the mean of all, round((1 - ratio) n) are kept, with weight n / kept, as in ``InfoBatch``; until ``span``
    epochs are over, the score is the last loss. An example that an epoch left out keeps its last loss; one whose
    losses did not change at all has the score 0.

    Args:
        ids: the examples.
        epochs: of the whole training.
        ratio, anneal: of ``InfoBatch``.
        span: N, at least 2.
        clean: ids of examples whose labels are known to be right; None for the 1 % (one at least) with the highest
            mean p(gold) so far.
        seed: of the draws.

    Source: Qin et al. 2026 (CVPR), arXiv:2604.07306, section 3 (InfoBatch with the dynamic alignment score; N = 10), as
    its abstract, its reviews and a public summary describe it.
    Differs: the paper's clean examples are a set of its own, which is looked at after every epoch; here they are among
    the training examples, or guessed from the training, and cost nothing. With SeTa in InfoBatch's place: not made.
    """

    def __init__(
        self,
        ids: Any,
        epochs: int,
        ratio: float = 0.5,
        anneal: float = 0.875,
        span: int = 10,
        clean: Any = None,
        seed: int = 0,
    ) -> None:
        super().__init__(ids, epochs, ratio, anneal, seed)
        AlignPruneOptions(ratio, anneal, span)
        self.span = whole(span, "span", 2)
        self.clean = None if clean is None else places_of(self.ids, to_ids(clean), "the schedule's examples")
        if self.clean is not None and not len(self.clean):
            raise TrainmapError("clean must name one example at least, got none; leave it out to have them guessed")
        self._losses = np.full((len(self.ids), min(span, self.epochs)), np.nan)  # the newest in the last column

    def scores(self) -> NDArray[np.float64]:
        """(N,) the alignment; the last losses until there are enough epochs."""
        seen = ~np.isnan(self._losses[:, 0])
        if self.span > self.epochs or not seen.any():
            return self.memory.last
        clean = self._guessed() if self.clean is None else self.clean
        clean = clean[seen[clean]]
        if not len(clean):
            return self.memory.last
        found = np.full(len(self.ids), np.nan)
        found[seen] = alignment(self._losses[seen], self._losses[clean].mean(axis=0))
        return found

    def _guessed(self) -> Array:
        """Places of the examples that were right most surely."""
        mean = np.where(self.memory.visits > 0, self.memory.mean, -np.inf)
        return rising(-mean, self.ids)[: max(1, round(CLEAN * len(self.ids)))]

    def end_epoch(self) -> None:
        super().end_epoch()
        self._losses = np.concatenate([self._losses[:, 1:], self.memory.last[:, None]], axis=1)

    def state(self) -> dict[str, Array]:
        return super().state() | {"losses": self._losses.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        own = {"losses": self._losses.shape}
        check_state({name: value for name, value in state.items() if name in own}, own)
        super().restore({name: value for name, value in state.items() if name not in own})
        self._losses = np.array(state["losses"])


def alignment(losses: NDArray[np.float64], clean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of every example's losses with the mean losses of clean examples.

    Args:
        losses: (n, epochs).
        clean: (epochs,).

    Returns:
        (n,) float64 in [-1, 1]; 0 where either does not vary.

    Source: Qin et al. 2026, arXiv:2604.07306, the dynamic alignment score.
    """
    ours, theirs = losses - losses.mean(axis=1, keepdims=True), clean - clean.mean()
    product = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs)
    return np.where(product > 0, (ours @ theirs) / np.where(product > 0, product, 1), 0.0)
