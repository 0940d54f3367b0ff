"""Kinds of supervision: what is recorded of an example at one epoch, by what it is trained on.

    classes      one class of C: the six signals of ``signals``
    multilabel   any of L labels: loss, p_gold, accuracy, exact
    tokens       a sequence: loss, p_gold, accuracy, tokens
    regression   a number: loss, prediction, residual
    numbers      whatever one number an example and step means, by names of one's own

All but classes keep float32 columns that the manifest names, each with the end that is hard; NaN: not seen. The first
of them is the main one, which a map shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainmap.errors import RecordingError, shown, some

Kind = Literal["classes", "multilabel", "tokens", "regression", "numbers"]
Per = Literal["label", "token"]
End = Literal["high", "low"]

MOST_SIGNALS = 64
TAKEN = ("id", "ids", "label", "labels", "logits", "arrival", "row", "region", "target", "predicted")


class Signal(BaseModel):
    """One column of the epochs of a recording that is not of classes.

    Attributes:
        name: of the column.
        hard: the end that is hard, "high" or "low"; None for a number that is neither (a prediction, a length).
        low, high: what it cannot lie beyond; None where nobody said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
    hard: End | None = None
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _fits(self) -> Signal:
        if self.name in TAKEN:
            raise ValueError(f"a signal cannot be called '{self.name}', which a recording has as a column of its own")
        return self

    @property
    def is_share(self) -> bool:
        """Whether it lies in 0 to 1, as shares and probabilities do."""
        return (self.low, self.high) == (0.0, 1.0)


LOSS = Signal(name="loss", hard="high", low=0.0)
P_GOLD = Signal(name="p_gold", hard="low", low=0.0, high=1.0)
ACCURACY = Signal(name="accuracy", hard="low", low=0.0, high=1.0)
EXACT = Signal(name="exact", hard="low", low=0.0, high=1.0)
TOKENS = Signal(name="tokens", low=1.0)

BY_KIND: Mapping[Kind, tuple[Signal, ...]] = {
    "multilabel": (P_GOLD, LOSS, ACCURACY, EXACT),
    "tokens": (P_GOLD, LOSS, ACCURACY, TOKENS),
    "regression": (LOSS, Signal(name="prediction"), Signal(name="residual")),
}
"""The columns of a kind; those of numbers are the caller's, and classes have their own six."""

KNOWN_ENDS: Mapping[str, End] = {
    **dict.fromkeys(("loss", "error", "perplexity", "nll", "residual"), "high"),
    **dict.fromkeys(("reward", "accuracy", "pass_rate", "p_gold", "score", "return"), "low"),
}
"""Which end of a number is hard, by its name alone."""
SHARES = ("accuracy", "pass_rate", "p_gold")
"""Names of numbers that lie in 0 to 1."""


def signals_said(signals: Any) -> list[Signal]:
    """What a caller names as the numbers of a recording: a list of names, or a mapping name -> hard end.

    Raises:
        RecordingError: none, too many, a name twice or one that no column can have, an end that is neither.
    """
    if isinstance(signals, str) or not isinstance(signals, Mapping | Sequence) or not len(signals):
        raise RecordingError(
            f"signals must be a list of names, ['loss', 'reward'], or name -> hard end, {{'bleu': 'low'}}, got "
            f"{shown(signals)}"
        )
    if len(signals) > MOST_SIGNALS:
        raise RecordingError(f"signals must be at most {MOST_SIGNALS} names, got {len(signals)}")
    names = list(signals)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise RecordingError(f"signals must be names, got {shown(odd[0])} among them")
    if len(set(names)) < len(names):
        raise RecordingError(f"signals must be distinct, got {some(names, 9)}")
    return [_signal(name, signals[name] if isinstance(signals, Mapping) else None) for name in names]


def _signal(name: str, end: object) -> Signal:
    if end is None and name not in KNOWN_ENDS:
        raise RecordingError(
            f"say which end of {shown(name)} is hard, signals={{{shown(name)}: 'high'}} or 'low'; it is known of "
            f"{', '.join(KNOWN_ENDS)} alone"
        )
    if end not in (None, "high", "low"):
        raise RecordingError(f"the hard end of {shown(name)} must be 'high' or 'low', got {shown(end)}")
    bounds = {"low": 0.0, "high": 1.0} if name in SHARES else {}
    try:
        return Signal(name=name, hard=KNOWN_ENDS[name] if end is None else end, **bounds)  # type: ignore[arg-type]
    except ValueError as error:
        said = str(error)
        why = said[said.index("a signal cannot") :].split(" [")[0] if "a signal cannot" in said else ""
        raise RecordingError(
            why or f"a signal's name must be letters, digits and _, a letter first and 64 at most, got {shown(name)}"
        ) from None


def outside(signal: Signal) -> tuple[float, float]:
    """The ends of a signal's range, infinite where nobody said."""
    return -math.inf if signal.low is None else signal.low, math.inf if signal.high is None else signal.high
