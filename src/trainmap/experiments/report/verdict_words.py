"""The words for a verdict, by what was compared with what, and the colour that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainmap.experiments.results.statistics import Verdict

Tone = Literal["better", "same", "worse", ""]


@dataclass(frozen=True)
class Words:
    """What is said of an interval above zero, of one below, and of one around it."""

    above: str
    below: str
    none: str = "no difference shown"
    more_is_better: bool = True

    def of(self, verdict: Verdict) -> str:
        return {Verdict.ABOVE: self.above, Verdict.BELOW: self.below, Verdict.NONE: self.none}[verdict]

    def tone(self, verdict: Verdict) -> Tone:
        """Good, bad or neither."""
        if verdict is Verdict.NONE:
            return "same"
        return "better" if (verdict is Verdict.ABOVE) == self.more_is_better else "worse"


VERSUS_RANDOM = Words("beats random", "worse")
VERSUS_ENTROPY = Words("beats entropy", "worse")
VERSUS_FULL = Words("beats full data", "worse")
VERSUS_ALL = Words("better than what it found", "worse than what it found")
VERSUS_PRICED = Words("beats random at that cost", "worse")
VERSUS_ALL_DATA = Words("beats all", "worse")
VERSUS_EQUAL_COMPUTE = Words("beats all at equal compute", "worse")
SAVES = Words("takes more", "takes less", more_is_better=False)
DISTILLED = Words("helps", "hurts")
CHANGED = Words("better", "worse")
FORGOTTEN = Words("more than another seed", "less than another seed", more_is_better=False)

SYMBOLS: Mapping[Tone, str] = {"better": "▲", "same": "○", "worse": "▼", "": ""}
