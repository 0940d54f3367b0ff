"""The words for a verdict, by what was compared with what, and the colour that goes with it.

Several comparisons stand side by side, and one in twenty leaves zero outside its 95 % interval by chance alone. So a
verdict has its full words ("beats random") where it stays under Holm's correction over its family, and else says
that it does not: "better, not after correction".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainmap.experiments.results.statistics import Verdict

Tone = Literal["better", "same", "worse", ""]


@dataclass(frozen=True)
class Words:
    """What is said of an interval above zero, of one below, and of one around it.

    Attributes:
        above, below: of a verdict that stays under Holm's correction.
        none: of an interval around zero.
        more_is_better: whether above is good.
        leaning: in place of ``above`` where the verdict does not stay; "" for the same word.
    """

    above: str
    below: str
    none: str = "no difference shown"
    more_is_better: bool = True
    leaning: str = ""

    def of(self, verdict: Verdict, firm: bool) -> str:
        """The words of a verdict; ``firm`` is whether it stays under Holm's correction."""
        if verdict is Verdict.NONE:
            return self.none
        if firm:
            return self.above if verdict is Verdict.ABOVE else self.below
        return f"{(self.leaning or self.above) if verdict is Verdict.ABOVE else self.below}, {UNCORRECTED}"

    def tone(self, verdict: Verdict) -> Tone:
        """Good, bad or neither."""
        if verdict is Verdict.NONE:
            return "same"
        return "better" if (verdict is Verdict.ABOVE) == self.more_is_better else "worse"


UNCORRECTED = "not after correction"


def versus(opponent: str) -> Words:
    """Against an opponent by its name."""
    return Words(f"beats {opponent}", "worse", leaning="better")


def against(opponent: str | None) -> Words:
    """Against the row that a row itself names; random of its size without one."""
    return versus(opponent) if opponent else VERSUS_RANDOM


VERSUS_RANDOM = versus("random")
VERSUS_ENTROPY = versus("entropy")
VERSUS_FULL = versus("full data")
VERSUS_ALL = Words("better than what it found", "worse than what it found")
VERSUS_PRICED = versus("random at that cost")
VERSUS_ALL_DATA = versus("all")
VERSUS_EQUAL_COMPUTE = versus("all at equal compute")
SAVES = Words("takes more", "takes less", more_is_better=False)
DISTILLED = Words("helps", "hurts")
CHANGED = Words("better", "worse")
FORGOTTEN = Words("more than another seed", "less than another seed", more_is_better=False)


def symbol_of(tone: Tone, firm: bool) -> str:
    """Its mark: filled where the verdict stays under Holm's correction, hollow where it does not."""
    return {"better": "△▲"[firm], "same": "○", "worse": "▽▼"[firm], "": ""}[tone]


LEGEND: tuple[tuple[Tone, bool, str], ...] = (
    ("better", True, "beats {}"),
    ("better", False, f"better, {UNCORRECTED}: may be chance"),
    ("same", False, "no difference shown"),
    ("worse", False, f"worse, {UNCORRECTED}: may be chance"),
    ("worse", True, "worse"),
)
"""Tone, whether the verdict stays, and what that says of a row beside its opponent: every mark of a report."""
