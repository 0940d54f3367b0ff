"""What a report answers, in three sentences and two pictures, for a reader who knows none of its words.

Did it pay? By what, and for how much? How sure is that? The sentences are made from verdicts that stay under Holm's
correction over their family: what does not stay is said to look better, never to be so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainmap.errors import counted
from trainmap.experiments.report.formats import show_difference
from trainmap.experiments.report.judged_cells import Tally, tally_of
from trainmap.experiments.report.verdict_words import Tone
from trainmap.experiments.results.statistics import Difference, Verdict
from trainmap.views.amounts import show_percent

QUESTIONS = ("Did it pay?", "By what, and how much?", "How sure is that?")
FEW = 4  # runs of each row, below which a report says that only large differences can show
SHARES = {0.1: "a tenth", 0.2: "a fifth", 0.25: "a quarter", 1 / 3: "a third", 0.5: "half", 2 / 3: "two thirds"}
SHARES |= {0.75: "three quarters", 1.0: "all"}
NEAR = 0.012  # a share this near to one of these has its word
SAME_COST = 0.03  # costs that differ by at most this share of all of it are the same in words


@dataclass(frozen=True)
class Compared:
    """One row held against one opponent.

    Attributes:
        name: of the row.
        where: what tells it from other rows of that name: network, dataset, budget; "" where there are none.
        opponent: what it is held against, in words.
        difference: of scores in 0..1.
        firm: whether its verdict stays under Holm's correction over its family.
        judged: whether it is what the report is about; False for random and full data beside random.
    """

    name: str
    where: str
    opponent: str
    difference: Difference
    firm: bool
    judged: bool = True

    @property
    def won(self) -> bool:
        """Whether it beats its opponent."""
        return self.firm and self.difference.verdict is Verdict.ABOVE

    @property
    def tone(self) -> Tone:
        tones: dict[Verdict, Tone] = {Verdict.ABOVE: "better", Verdict.BELOW: "worse", Verdict.NONE: "same"}
        return tones[self.difference.verdict]


@dataclass(frozen=True)
class Spot:
    """One row in the picture of accuracy against cost: cost in FLOPs, score in 0..1; ``where`` as in ``Compared``."""

    name: str
    where: str
    cost: float
    score: float
    kind: Literal["random", "full data", "row"]
    tone: Tone = ""
    firm: bool = False


@dataclass(frozen=True)
class Answer:
    """The opening of a report on one matter.

    Attributes:
        about: the matter, a heading: "Choosing training examples".
        paid, what, sure: the answers to ``QUESTIONS``.
        tone: of the first.
        measure: what is compared: "test macro F1".
        compared: every comparison, for the picture of differences.
        spots: for the picture of accuracy against cost; nothing without one.
        of: which runs the spots are of.
    """

    about: str
    paid: str
    what: str
    sure: str
    tone: Tone
    measure: str
    compared: tuple[Compared, ...]
    spots: tuple[Spot, ...] = ()
    of: str = ""

    @property
    def sentences(self) -> tuple[tuple[str, str], ...]:
        """Each question with its answer."""
        return tuple(zip(QUESTIONS, (self.paid, self.what, self.sure), strict=True))


def tone_of(compared: Sequence[Compared]) -> Tone:
    """Of the first sentence: something stands above its opponent, or nothing does, or only below."""
    tally = verdicts_of(compared)
    if tally.firm_above:
        return "better"
    return "worse" if tally.firm_below else "same"


def verdicts_of(compared: Sequence[Compared]) -> Tally:
    return tally_of([(one.difference.verdict, one.firm) for one in compared])


def paid_of(compared: Sequence[Compared], did: str, than: str) -> str:
    """The first sentence.

    Args:
        compared: what is judged, not empty.
        did: what was done, as the subject of a sentence: "choosing the training examples".
        than: what it is held against: "picking as many at random".
    """
    tally, of = verdicts_of(compared), counted(len(compared), "comparison")
    if not any(one.difference.n > 1 for one in compared):
        return f"Cannot be said yet: one run cannot tell whether {did} does better than {than}, or was lucky."
    rest = _rest(tally, len(compared))
    if tally.firm_above:
        if tally.firm_above == len(compared):
            everywhere = of if len(compared) == 1 else f"all of {of}"
            return f"Yes, in {everywhere}: {did} did better than {than}."
        return f"Yes, in {tally.firm_above} of {of}: {did} did better than {than}{rest}."
    if tally.weak_above:
        if len(compared) == 1:
            return f"Not shown: {did} looked better than {than}, but that may be chance."
        return (
            f"Not shown: in {tally.weak_above} of {of} {did} looked better than {than}, but not after correction for "
            f"that many comparisons{rest}."
        )
    told = "in no comparison" if len(compared) == 1 else f"in none of {of}"
    return f"No: {told} did {did} do better than {than}{rest}."


def _rest(tally: Tally, of: int) -> str:
    """How the comparisons came out that did not win, as the end of a sentence."""
    if of == 1:
        alone = ("it did worse", "it looked worse, but may be chance", "no difference is shown")
        there = (tally.firm_below, tally.weak_below, tally.none)
        return next((f"; {text}" for text, number in zip(alone, there, strict=True) if number), "")
    told = [f"in {tally.firm_below} it did worse"] if tally.firm_below else []
    told += [f"in {tally.weak_below} it looked worse, but not after correction"] if tally.weak_below else []
    if tally.none:
        told.append(
            "in the others no difference is shown"
            if told or tally.firm_above or tally.weak_above
            else "no difference is shown"
        )
    return "".join(f"; {text}" for text in told)


def sure_of(compared: Sequence[Compared], level: float, families: int) -> str:
    """The third sentence.

    Args:
        compared: every comparison of the tables, not empty.
        level: of the intervals.
        families: in how many tables they stand, each corrected by itself.
    """
    runs = sorted({one.difference.n for one in compared if one.difference.n})
    if not runs or runs[-1] < 2:
        return "Not at all: each was trained once, which cannot tell a difference from chance; give at least 3 seeds."
    tally = verdicts_of(compared)
    n = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    firm, weak = tally.firm_above + tally.firm_below, tally.weak_above + tally.weak_below
    told = f"Each was run {n} times with other seeds; "
    if len(compared) == 1:
        holds = "the difference is more than chance gives" if firm else "the difference may be chance"
        told += f"{holds} (at {100 * level:g} %)"
    else:
        by = "" if families < 2 else f", in each of {families} tables by itself"
        told += f"corrected for {len(compared)} comparisons (Holm, at {100 * level:g} %{by}) "
        told += f"{firm} of the differences hold{'s' * (firm == 1)}" if firm else "none of the differences holds"
        sides = ((tally.firm_above, "better"), (tally.firm_below, "worse"))
        told += f", {' and '.join(f'{number} {side}' for number, side in sides if number)}" if firm else ""
        told += f"; {weak} more would count alone, but may be chance" if weak else ""
    return f"{told}. So few runs show only large differences." if runs[-1] < FEW else f"{told}."


def share_words(share: float) -> str:
    """``a third``, ``half``, ``42 %``: of a whole."""
    near = min(SHARES, key=lambda known: abs(known - share))
    return SHARES[near] if abs(near - share) <= NEAR else show_percent(share)


def cost_words(share: float, whole: str = "training cost") -> str:
    """``a third of the training cost``, ``the same training cost``, ``1.4 times the training cost``."""
    if abs(share - 1) <= SAME_COST:
        return f"the same {whole}"
    return f"{share_words(share)} of the {whole}" if share < 1 else f"{share:.2g} times the {whole}"


def points(value: float) -> str:
    """``0.4 points``: the size of a difference of scores in 0..1."""
    size = abs(100 * value)
    return f"{size:.1f} point{'' if f'{size:.1f}' == '1.0' else 's'}"


def beside(difference: float, other: str) -> str:
    """How a score stands to another one, without a verdict: ``comes within 0.4 points of all of it``."""
    if math.isnan(difference):
        return ""
    if difference >= 0:
        return f"comes out {points(difference)} above {other}"
    return f"comes within {points(difference)} of {other}"


def of_chance(one: Compared) -> str:
    """What a difference that does not stay is worth, as the end of a clause; "" for one that stays."""
    if one.firm:
        return ""
    return ", no more than chance can give" if one.tone == "same" else ", which does not stand after correction"


def shown_difference(one: Compared) -> str:
    """``+1.5 points [+0.5, +2.6]``: with its interval where there is one."""
    if not one.difference.n:
        return "not comparable (no common seed)"
    return show_difference(one.difference, 1, one.difference.n, " points")
