"""The mini-language of subsets: "17% ambiguous + 25% easy-to-learn" -> a plan.

::

    spec    part + part + ...
    part    AMOUNT ambiguous | easy-to-learn | hard-to-learn      a region of the map, the deepest first
            AMOUNT random                                         a random sample
            top|bottom|middle AMOUNT SCORE                        the highest, lowest or middle values of a score
            hardest|easiest AMOUNT SCORE                          the hard or easy end of a score, whichever that is
            AMOUNT ccs | dual-beta | beta | ...                   a strategy of ``trainmap.STRATEGIES``, by its defaults
            100%                                                  everything
    AMOUNT  33%, 16.5% (of all examples) or 1000 (examples)

Words may stand in any order ("33% top variability"), ``high`` and ``low`` mean top and bottom, and ``easy``, ``hard``
mean the regions: exactly so many by variability or confidence (or by distance to the corner, under the corner rule),
also where the column ``region`` has fewer. Without amounts, or with a size that differs from them, ``select(...,
size=n)`` scales the parts to n examples in their proportions; "100%" has no proportion to scale. A score is one of the
map's columns; ``hardest`` and ``easiest`` need a score that trainmap knows the hard end of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from trainmap.errors import TrainmapError, short, shown, unknown
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD
from trainmap.selection.entry import Word
from trainmap.selection.strategies import WORDS

End = Literal["top", "bottom", "middle", "hardest", "easiest"]

ENDS: dict[str, End] = {
    "top": "top",
    "high": "top",
    "bottom": "bottom",
    "low": "bottom",
    "middle": "middle",
    "hardest": "hardest",
    "easiest": "easiest",
}
BY_THEMSELVES = tuple(name for name in WORDS if name not in (*ENDS, "all"))
"""The words that stand without a score: regions, random, strategies."""
SHORT = {"easy": EASY, "hard": HARD, "ambiguous": AMBIGUOUS, "random": "random"}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class Part:
    """One part of a plan.

    Attributes:
        what: a region, "random", "all" (every example), a strategy, or the name of a score.
        end: which end of the score; None for all others.
        percent: of all examples, or None.
        count: examples, or None.
    """

    what: str
    end: End | None = None
    percent: Decimal | None = None
    count: int | None = None

    @property
    def word(self) -> Word:
        """The entry of ``WORDS`` that draws it."""
        name = self.end or self.what
        if name not in WORDS:
            raise _no_end(str(self), name)
        return WORDS[name]

    @property
    def options(self) -> dict[str, Any]:
        """Of the word: its defaults, and the score that an end is of."""
        return self.word.options({} if self.end is None else {"score": self.what})

    def __str__(self) -> str:
        amount = f"{self.percent:f}%" if self.percent is not None else "" if self.count is None else str(self.count)
        words = [self.end or "", amount, "" if self.what == "all" else self.what]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Plan:
    """The parts of a spec, in order; ``str(plan)`` is the spec in its plainest form."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))

    def sizes(self, examples: int, size: int | None = None) -> list[int]:
        """How many examples each part takes of ``examples``.

        Percentages are rounded (half up) on the running sum, so that the total is the sum of the percentages and
        parts that make 100 % take every example once. With ``size`` the parts share that total in proportion.

        Raises:
            TrainmapError: a total outside 1 to ``examples``, a part without an amount and no size.
        """
        weights = [self._weight(part, examples) for part in self.parts]
        if size is not None:
            weights = self._scaled(weights, examples, size)
        sizes: list[int] = []
        running = Fraction(0)
        for part, weight in zip(self.parts, weights, strict=True):
            if weight is None:
                raise TrainmapError(f"'{part}' says no amount: write for example '33% {part}', or pass a size")
            running += weight
            sizes.append(int(running + Fraction(1, 2)) - sum(sizes))
        if not 1 <= sum(sizes) <= examples:
            raise TrainmapError(
                f"budget must be 1 to {examples} (the examples in this map), got {sum(sizes)} from '{self}'"
            )
        return sizes

    def _scaled(self, weights: list[Fraction | None], examples: int, size: int) -> list[Fraction | None]:
        """Weights in the same proportions that sum to ``size``."""
        check_size(size, examples)
        if size != examples and any(part.what == "all" for part in self.parts):
            raise TrainmapError(f"'{self}' is every example, {examples} of them; ask for 'random' to take {size}")
        if all(weight is None for weight in weights):
            weights = [Fraction(1)] * len(weights)
        known = [weight for weight in weights if weight is not None]
        if len(known) < len(weights):
            raise TrainmapError(f"in '{self}' every part needs an amount, or none of them")
        return [weight * int(size) / sum(known, start=Fraction(0)) for weight in known]

    @staticmethod
    def _weight(part: Part, examples: int) -> Fraction | None:
        if part.percent is not None:
            return Fraction(part.percent) * examples / 100
        return None if part.count is None else Fraction(part.count)


def check_size(size: Any, examples: int) -> None:
    """Refuse a size that is not 1 to ``examples``."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TrainmapError(f"size must be a whole number of examples, got {shown(size)}")
    if not 1 <= size <= examples:
        raise TrainmapError(f"budget must be 1 to {examples} (the examples in this map), got {size}")


def parse(spec: str) -> Plan:
    """Read a spec.

    Raises:
        TrainmapError: says which part is not understood, and shows one that is.
    """
    if not isinstance(spec, str):
        raise TrainmapError(f"a spec is text, for example '33% ambiguous', got a {type(spec).__name__}")
    return Plan(tuple(_part(text) for text in spec.split("+")))


def _part(text: str) -> Part:
    plain = re.sub(r"\b(easy|hard)[ -]to[ -]learn\b", r"\1", text.strip(), flags=re.IGNORECASE)
    words = re.sub(r"(\d)\s*%", r"\1% ", plain).split()
    amounts = [word for word in words if _AMOUNT.fullmatch(word)]
    ends = [word.lower() for word in words if word.lower() in ENDS]
    names = [word for word in words if word.lower() not in ENDS and word not in amounts]
    example = "for example '33% ambiguous', 'top 1000 variability' or '33% random'"
    if not words or len(amounts) > 1 or len(ends) > 1 or len(names) > 1:
        raise TrainmapError(f"a part of a spec must be an amount and a name, {example}; got '{text.strip()}'")
    percent, count = _amount(amounts[0]) if amounts else (None, None)
    if not names:
        if ends or percent != 100:
            raise TrainmapError(f"'{text.strip()}' does not say which examples: {example}")
        return Part("all", None, percent, count)
    name = SHORT.get(names[0].lower(), names[0])
    end = ENDS[ends[0]] if ends else None
    if end is None and name not in BY_THEMSELVES:
        raise _no_end(text.strip(), name)
    if end is not None and name in BY_THEMSELVES:
        raise TrainmapError(f"'{text.strip()}': '{ends[0]}' goes with a score, and '{name}' is none")
    return Part(name, end, percent, count)


def _no_end(text: str, name: str) -> TrainmapError:
    """Why a bare name is no part: a score that does not say which end, or a word that means nothing."""
    from trainmap.scores.table import SCORES

    if name in SCORES:
        return TrainmapError(f"'{text}' does not say which end of {name}: write 'top' or 'bottom' before it")
    return unknown("subset", name, (*BY_THEMSELVES, *(f"top {score}" for score in SCORES)))


def _amount(word: str) -> tuple[Decimal | None, int | None]:
    number, sign = _AMOUNT.fullmatch(word).groups()  # type: ignore[union-attr]
    if sign:
        percent = Decimal(number)
        if not 0 < percent <= 100:
            raise TrainmapError(f"a percentage must be above 0 and at most 100, got {word}")
        return percent, None
    if "." in number or len(number) > 18 or int(number) == 0:
        raise TrainmapError(
            f"an amount must be a percentage or a whole number above 0 of at most 18 digits, got {short(word)}"
        )
    return None, int(number)
