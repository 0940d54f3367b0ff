"""Is choosing by the map worth a try? An answer in words, from what the map itself shows.

It is the rule of ``auto`` (``trainmap.selection.auto_rule``) read as an answer: where the rule prefers and cuts
nothing, choices by such maps have lost to random. It says what is worth the runs that would show it, never what they
will show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.selection.select import advise

Answer = Literal["worth a try", "not likely", "cannot be told"]

SHARE = 1 / 3
"""Of the examples: the size that is asked about, that of most of our own comparisons."""


@dataclass(frozen=True)
class Worth:
    """An answer and its reasons.

    Attributes:
        answer: one of three.
        reasons: sentences, the most important first.
    """

    answer: Answer
    reasons: tuple[str, ...]


def is_worth(
    datamap: DataMap, *, suspected: int = 0, stands_still: bool | None = None, held_out: float | None = None
) -> Worth:
    """Whether training on a part of the data that this map chooses is worth a try.

    Args:
        suspected: how many labels an audit of the same recording suspects.
        stands_still: whether the map's ranking stands still (``trainmap.converged``); None where nobody looked.
        held_out: accuracy of the network that made the map on data that it was not trained on, 0 to 1.
    """
    size = max(1, round(SHARE * len(datamap)))
    try:
        advice = advise(datamap, size, held_out=held_out)
    except TrainmapError as error:
        return Worth("cannot be told", (f"The rule of auto cannot read this map: {error}.",))
    after: list[str] = []
    if suspected:
        after.append(
            f"{suspected:,} of {len(datamap):,} labels ({suspected / len(datamap):.1%}) look wrong. Look at them "
            "first: where labels were wrong, leaving them out has paid."
        )
    if stands_still is False:
        after.append("The ranking still moves: record more epochs before anything is chosen by it.")
    after.append("Whatever you try, train on as many examples drawn at random beside it: that is what it must beat.")
    answer: Answer = "worth a try" if advice.tilt > 0 or advice.cut > 0 else "not likely"
    if answer == "not likely" and held_out is None and advise(datamap, size, held_out=1.0).tilt > 0:
        answer = "cannot be told"
        after.insert(
            0,
            "From the training alone one cannot tell whether the network understood its labels or knows them by heart, "
            "and choices by maps of the second kind have lost up to 13 points to random: say its accuracy on data that "
            "it was not trained on (--held-out 0.9).",
        )
    return Worth(answer, (advice.reason, *after))
