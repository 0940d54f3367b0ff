"""Scores by kind of supervision: what a recording of each can be asked for.

Of every signal s of a recording that is not of classes, over the J epochs in which an example was seen, s_e in e::

    s_mean          (1/J) sum_e s_e                                        hard where s is
    s_variability   sqrt((1/J) sum_e (s_e - mean)^2)                       high
    s_slope         least squares, per epoch; NaN for fewer than two       hard where s is
    s_drop          s when first seen less s when last seen                the other end
    s_last          s when last seen                                       hard where s is
    s_entropy       -m log m - (1 - m) log(1 - m), nats, m = s_mean        high; where s lies in 0 to 1

Several labels and sequences have, besides, the scores of p(gold) and of the cross entropy, ``correctness`` (the sum of
``accuracy`` over the epochs, 0 to E), and sequences ``perplexity`` = exp(mean loss).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from trainmap.dynamics.store import Dynamics
from trainmap.dynamics.supervision import Kind
from trainmap.errors import TrainmapError, unknown
from trainmap.scores.score_entry import Score
from trainmap.scores.signal_family import CORRECTNESS, PERPLEXITY, family_of
from trainmap.scores.table import OF_SEVERAL, SCORES, score_named

Array = NDArray[Any]


OWN: Mapping[Kind, tuple[Score, ...]] = {"multilabel": (CORRECTNESS,), "tokens": (CORRECTNESS, PERPLEXITY)}


def named_scores(kind: Kind) -> dict[str, Score]:
    """The published scores that recordings of a kind have, by their default conventions."""
    own = {score.name: score for score in OWN.get(kind, ())}
    return {name: score for name, score in SCORES.items() if kind in score.kinds} | own


def scores_of(dynamics: Dynamics) -> dict[str, Score]:
    """Every score that recordings of this kind have, by name; which of them this one can give: ``available``."""
    found = named_scores(dynamics.kind)
    for signal in dynamics.manifest.signals or ():
        found |= family_of(signal, dynamics.kind)
    return found


def usual_scores(dynamics: Dynamics) -> list[Score]:
    """Those that a recording is scored by when none is named: all but the doubles of others (the family of p(gold)
    and the mean loss, where confidence and the like say the same) and entropies of what may lie beyond 0 to 1."""
    found = list(named_scores(dynamics.kind).values())
    for signal in dynamics.manifest.signals or ():
        if signal.name == "p_gold" and dynamics.kind != "numbers":
            continue
        family = family_of(signal, dynamics.kind)
        if not signal.is_share:
            del family[f"{signal.name}_entropy"]
        if dynamics.kind in ("multilabel", "tokens"):
            family.pop("loss_mean", None)
        found += family.values()
    return found


def score_in(dynamics: Dynamics, name: str) -> Score:
    """The score of that name of this recording.

    Raises:
        TrainmapError: recordings of this kind have none of it; names those that they have.
    """
    kind, have = dynamics.kind, scores_of(dynamics)
    if name in have:
        return have[name]
    if name in OF_SEVERAL:
        return OF_SEVERAL[name]
    if kind == "classes":
        found = score_named(name)
        if kind in found.kinds:
            return found
        raise of_another_kind(found.name, kind, have)
    try:
        found = score_named(name)
    except TrainmapError:
        raise unknown("score", name, have) from None
    if kind in found.kinds and name not in have:
        return found  # a convention
    raise of_another_kind(name, kind, have)


def of_another_kind(name: str, kind: Kind, have: Iterable[str]) -> TrainmapError:
    """The error for a score that recordings of this kind do not have."""
    return TrainmapError(
        f"{name} is not defined for kind '{kind}'; such a recording can have {', '.join(sorted(have))}"
    )
