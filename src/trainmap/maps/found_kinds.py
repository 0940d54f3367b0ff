"""Which score finds which kind of example, where the kinds are known: planted, made (synthetic data), or looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainmap.errors import TrainmapError, shown
from trainmap.scores.table import hard_end

Array = NDArray[Any]

CLEAN = "clean"
GUESSING = "random"
"""What a score is called in tables that knows nothing: drawn at random."""


@dataclass(frozen=True)
class FoundKind:
    """How well one score tells the examples of one kind from all the others.

    Attributes:
        score, kind: their names.
        examples: of the kind; ``others``: all that are not. Examples whose score is NaN are in neither.
        auroc: the chance that of a random pair the one of the kind is at the hard end, ties counting half: 0.5 is
            guessing, and below it the kind stands at the easy end. NaN where there is nothing to tell.
        hard_precision: average precision from the hard end on; guessing gives ``base``. NaN as before.
        easy_precision: the same from the easy end on.
        clean_auroc: AUROC against the clean examples alone: what is told apart where no other kind stands in the way.
    """

    score: str
    kind: str
    examples: int
    others: int
    auroc: float
    hard_precision: float
    easy_precision: float
    clean_auroc: float

    @property
    def base(self) -> float:
        """The kind's share of the examples; NaN of none."""
        return self.examples / total if (total := self.examples + self.others) else math.nan


def find_kinds(scores: Mapping[str, ArrayLike], kinds: ArrayLike, of: Sequence[str] | None = None) -> list[FoundKind]:
    """AUROC and average precision of every score for every kind, one kind against all the rest.

    Args:
        scores: name -> (N,) numbers. Which end is hard follows from the name (``trainmap.SCORES``, also with a
            convention); it is the high one for a column that trainmap does not know.
        kinds: (N,) the kind of each example, text; ``CLEAN`` for those that are as most are.
        of: the kinds that are looked for; all but ``CLEAN`` by default, in the order of the alphabet.

    Returns:
        One entry for each score and kind, scores outside.

    Raises:
        TrainmapError: shapes that do not fit, no numbers.

    Average precision is ``sum_n (R_n - R_(n-1)) P_n`` over the thresholds, equal values being one threshold
    (scikit-learn's).
    """
    known = np.asarray(kinds, dtype=np.str_)
    if known.ndim != 1 or not len(known):
        raise TrainmapError(f"kinds must be one word for each example, got shape {known.shape}")
    wanted = sorted(set(known.tolist()) - {CLEAN}) if of is None else list(of)
    found: list[FoundKind] = []
    for name, given in scores.items():
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise TrainmapError(f"{name} must be one number for each example, got {shown(given)}") from error
        if values.shape != known.shape:
            raise TrainmapError(f"{name} must be one number for each of {len(known)} examples, got {values.shape}")
        there = ~np.isnan(values)
        hard = np.unique(values[there], return_inverse=True)[1]  # ranks: infinities are numbers like others
        hard = -hard if hard_end(name) == "low" else hard
        found += [_found(name, kind, hard, known[there]) for kind in wanted]
    return found


def _found(name: str, kind: str, hard: Array, known: Array) -> FoundKind:
    from sklearn.metrics import average_precision_score

    is_kind = known == kind
    count, others = int(is_kind.sum()), int((~is_kind).sum())
    first = second = math.nan
    if count and others:
        first, second = (float(average_precision_score(is_kind, end)) for end in (hard, -hard))
    alone = is_kind | (known == CLEAN)
    return FoundKind(
        name, kind, count, others, _auroc(is_kind, hard), first, second, _auroc(is_kind[alone], hard[alone])
    )


def _auroc(is_kind: Array, hard: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return math.nan if is_kind.all() or not is_kind.any() else float(roc_auc_score(is_kind, hard))
