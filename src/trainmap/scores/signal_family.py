"""The scores that every signal has, whatever it is: mean, variability, slope, drop, last, entropy.

The formulas, and which end of each is hard, stand in the head of ``by_kind``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.supervision import KNOWN_ENDS, SHARES, End, Kind, Signal
from trainmap.errors import TrainmapError
from trainmap.scores.cartography import slope_of
from trainmap.scores.score_entry import Score

Array = NDArray[Any]

ROUNDING = 1e-6


def mean_of_signal(block: Block, signal: str) -> Array:
    """(1/J) sum_e s_e, (n,) float64."""
    return block.mean(signal)


def variability_of(block: Block, signal: str) -> Array:
    """The population standard deviation of a signal over the epochs, (n,) float64. Its square is the variance that
    post-training selects prompts by (of rewards)."""
    return np.sqrt(block.variance_of(signal))


def last_of(block: Block, signal: str) -> Array:
    """A signal in the last epoch in which an example was seen, (n,) float64; NaN if never."""
    return _end_of(block[signal][::-1])


def drop_of(block: Block, signal: str) -> Array:
    """A signal when first seen less the same when last seen, (n,) float64: of a loss, how much was learned.

    Source: of the loss, TailSFT, arXiv:2608.25756.
    """
    return _end_of(block[signal]) - last_of(block, signal)


def entropy_of(block: Block, signal: str) -> Array:
    """The entropy of a coin with the signal's mean as its probability, in nats, (n,) float64 in [0, log 2].

    Raises:
        TrainmapError: a mean beyond 0 to 1.
    """
    mean = block.mean(signal)
    if np.any((mean < -ROUNDING) | (mean > 1 + ROUNDING)):
        raise TrainmapError(
            f"{signal}_entropy needs a {signal} from 0 to 1, as shares of passed trials are; got a mean of "
            f"{np.nanmin(mean):.4g} to {np.nanmax(mean):.4g}"
        )
    p = np.minimum(np.maximum(mean, 0.0), 1.0)
    both = np.stack([p, 1 - p])
    terms = np.where(both > 0, -both * np.log(np.where(both > 0, both, 1.0)), 0.0)
    return np.where(np.isnan(mean), np.nan, terms[0] + terms[1])


def _end_of(rows: Array) -> Array:
    """The first value of each example that is one, (n,) float64."""
    found = np.full(rows.shape[1], np.nan)
    for row in rows:
        open_ = np.isnan(found)
        if not open_.any():
            break
        found[open_] = row[open_]
    return found


FAMILY: Mapping[str, Callable[[Block, str], Array]] = {
    "mean": mean_of_signal,
    "variability": variability_of,
    "slope": slope_of,
    "drop": drop_of,
    "last": last_of,
    "entropy": entropy_of,
}
OTHER: Mapping[End, End] = {"high": "low", "low": "high"}


def family_of(signal: Signal, kind: Kind) -> dict[str, Score]:
    """The scores of one signal, by name."""
    ends: dict[str, End | None] = dict.fromkeys(("mean", "slope", "last"), signal.hard)
    ends |= {"drop": OTHER[signal.hard] if signal.hard else None, "variability": "high", "entropy": "high"}
    found = {}
    for what, function in FAMILY.items():
        name = f"{signal.name}_{what}"
        found[name] = Score(
            name,
            partial(cast(Any, function), signal=signal.name),
            ends[what],
            (signal.name,),
            "[0, 0.693]" if what == "entropy" else "unbounded",
            f"the {what} of {signal.name} over the epochs",
            epochs=2 if what == "slope" else 1,
            kinds=(kind,),
        )
    return found


def end_in(column: str, signals: Iterable[Signal]) -> tuple[End | None] | None:
    """Which end of a column is hard, of a map with these signals; None where it is a column of none of them."""
    for signal in signals:
        if column in (found := family_of(signal, "numbers")):
            return (found[column].direction,)
    return None


def mean_accuracy(block: Block) -> Array:
    """The sum of the accuracy over the epochs, (n,) float64 in [0, E]; NaN where never seen. Low is hard."""
    total = np.zeros(len(block))
    for row, seen in block.rows(block["accuracy"]):
        np.add(total, row, out=total, where=seen)
    return block.where_seen(total)


def perplexity(block: Block) -> Array:
    """exp of the mean loss a token, (n,) float64, 1 or more. High is hard."""
    with np.errstate(over="ignore"):
        return np.exp(block.mean("loss"))


CORRECTNESS = Score(
    "correctness",
    mean_accuracy,
    "low",
    ("accuracy",),
    "0 to E",
    "the accuracy over the epochs",
    kinds=("multilabel", "tokens"),
)
PERPLEXITY = Score("perplexity", perplexity, "high", ("loss",), "1 or more", "exp of the loss", kinds=("tokens",))


def known_by_name(name: str) -> Score | None:
    """The score of a signal whose hard end its name tells, wherever it was recorded; None for any other name."""
    if name == PERPLEXITY.name:
        return PERPLEXITY
    for signal, end in KNOWN_ENDS.items():
        if name.startswith(f"{signal}_") and name.removeprefix(f"{signal}_") in FAMILY and signal != "residual":
            bounds = {"low": 0.0, "high": 1.0} if signal in SHARES else {}
            return family_of(Signal(name=signal, hard=end, **bounds), "numbers")[name]
    return None
