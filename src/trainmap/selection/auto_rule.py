"""What ``auto`` makes of a map, a budget and one number beside them, and why.

The rule does nothing where it cannot know: it is random of the same seed then. It knows two things. Labels that the
network never came to agree with and is not learning are cut, and the rest is drawn evenly. And where what is hard was
understood and not learned by heart, which takes a number beside the map (how often the network is right on other data),
examples are drawn with weights that rise with how ambiguous they are.

After a cut, or by weights, classes keep their shares; a cut takes no more than half of any, and of a rare one no larger
share than of the others. Every class keeps an example where the budget has a place for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.given import check_flag
from trainmap.errors import TrainmapError
from trainmap.selection.option_limits import check_number
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance, proportional, within_class

Array = NDArray[Any]

READS = ("variability", "correctness", "aum", "slope")
"""The scores of a map that the rule reads."""

FEWEST = 300
"""Examples below which none is preferred to another. Spoken digits: with 216 examples the ambiguous ones are 2.4 points
worse than random ones, with 713 they are 1.9 points better; handwritten digits gain with 355."""
LEARNED = 0.05
"""How much p(gold) must rise over the recording, on average over the contradicted examples, for them not to be cut.
Measured: 0.006 with 30 % wrong labels, 0.02 on a table whose classes overlap, 0.11 to 0.60 on clean images, texts and
sounds."""
KEEPS_UP = 0.5
"""Of the rise of the others: contradicted examples that gain as much of it are learned as fast as a slow network learns
anything, and are not cut. Measured: 0.06 with 30 % wrong labels, 0.29 on the table, 0.76 on clean images with a
learning rate so low that all gain 0.05, where the cut costs 2.4 points."""
HARDLY = 0.2
"""Of the epochs: an example that is right in no more of them is hardly ever right."""
SEEN = 0.75
"""The least share of its errors on other data that the network must make on the training data as well (contradicted
labels over errors), for its map to say what is hard and not what was memorised last. Measured: 0.02 to 0.2 on texts
where the tilt loses up to 20 points, 0.7 on a made table whose classes overlap, where it gains nothing, 0.8 on 10,000
images of Fashion-MNIST, where it gains (docs/leave-one-out.md). It leaves out digits that are known by heart and
understood as well (USPS: 0.12, where the tilt gains half a point)."""
RARE = 5
"""How much smaller than the largest a class is from which on it is cut by no more than its share. A rare class is
learned late, so that its labels have the lowest AUM whether they are right or not."""
WEAK = 0.45
"""Contradicted share from which a network understands too little for its map to say anything. With 0.475 (a perceptron
on CIFAR-10) the tilt is 3.1 points worse than random, with 0.419 it gains 0.4, with 0.372 (of which half are wrong
labels) 4."""
LITTLE, MUCH = 0.1, 0.3
"""Kept shares between which the weights grow to twice ``TILT``."""
TILT = 4.0
"""Log-weight between the first and the last rank at ``LITTLE``; twice that from ``MUCH`` on, but not where every epoch
draws afresh: there the same examples again and again are lost variety (150 intents, 33 %: 84.4 at 8, 86.2 at 4)."""

FEW = 30
"""Places of a class from which on it may have as many as chance gives it. With 10 of each of 150 intents proportion is
worth 2.25 points (n = 5: 1.2 to 2.8), with 20 0.7, with 33 nothing."""


@dataclass(frozen=True)
class Advice:
    """What ``auto`` does with a map and a budget.

    Attributes:
        size, examples: how many are kept, of how many.
        cut: how many of the lowest AUM are never taken.
        lowest: of how many of the lowest AUM they are; the others stay because no class loses more than half, nor a
            rare class more than its share.
        tilt: the log-weight between the first and the last rank of variability; 0 draws evenly.
        contradicted: share of the examples for which another class was preferred to the label (AUM below 0).
        rise: what their p(gold) gained over the recording; NaN where there are none.
        reason: all of it in a paragraph.
    """

    size: int
    examples: int
    cut: int
    lowest: int
    tilt: float
    contradicted: float
    rise: float
    reason: str

    @property
    def nothing(self) -> bool:
        """Whether nothing is preferred and nothing cut: it is random of the same seed (see ``few_places``)."""
        return not self.tilt and not self.cut


def read_map(
    pool: Pool,
    size: int,
    noise: float | None = None,
    distilled: bool = False,
    held_out: float | None = None,
    balance: Balance | None = None,
    repeated: bool = False,
) -> Advice:
    """What the rule makes of a map; ``trainmap.advise`` for a DataMap.

    Args:
        pool: every example of the map with the scores ``READS``, of at least 2 epochs. An epoch in which an example was
            not seen counts as one in which it was not right.
        size: how many are to be kept.
        noise: share of wrong labels, 0 to below 1, where it is known; None reads it off the map.
        distilled: whether the student learns from a teacher as well.
        held_out: accuracy of the network that made the map on data that it was not trained on, 0 to 1; None where it is
            not known.
        balance: how the places are dealt out to the classes; None as "proportional".
        repeated: whether every epoch draws afresh.

    Raises:
        TrainmapError: a share out of range, a cut that leaves fewer than ``size``.
    """
    check_told(noise, distilled, held_out)
    if not len(pool) or len(pool) < size:
        raise TrainmapError(f"auto needs {size} examples with a label and {', '.join(READS)}; {len(pool)} have them")
    aum, slope = pool.scores["aum"], pool.scores["slope"]
    against = aum < 0
    rise = float(slope[against].mean()) * (pool.epochs - 1) if against.any() else math.nan
    others = float(slope[~against].mean()) * (pool.epochs - 1) if not against.all() else math.nan
    # Of a network that never trained on them it says nothing whether they are learned.
    learnable = pool.source == "held-out" or not rise < LEARNED or rise >= KEEPS_UP * others
    hardly = int((pool.scores["correctness"] <= HARDLY * pool.epochs).sum())
    cut = 0 if learnable else min(hardly, len(pool) - size)
    cut = cut if noise is None else round(noise * len(pool))
    gone = int(cut_of(pool, cut).sum())
    if gone > len(pool) - size:
        raise TrainmapError(
            f"noise={noise} cuts {gone} of {len(pool)} examples, which leaves fewer than the {size} asked for; keep "
            "fewer"
        )
    much = min(1.0, max(0.0, (pool.kept - LITTLE) / (MUCH - LITTLE)))
    share = float(against.mean())
    advice = Advice(size, len(pool), gone, cut, 0.0, share, rise, "")
    if (why := _why_even(advice, pool, learnable, held_out)) is None:
        tilt = TILT * (1 if repeated else 1 + much) * min(1.0, pool.kept / LITTLE)
        advice = replace(advice, tilt=tilt)
    return replace(advice, reason=_reason(advice, pool, learnable, why, noise, distilled, balance, repeated))


def check_told(noise: Any, distilled: Any, held_out: Any) -> None:
    if noise is not None:
        check_number(noise, "noise must be a share of wrong labels, 0 to below 1", lambda x: 0 <= x < 1)
    check_flag(distilled, "distilled")
    if held_out is not None:
        check_number(held_out, "held_out must be an accuracy, 0 to 1", lambda x: 0 <= x <= 1)


def cut_of(pool: Pool, count: int) -> Array:
    """(n,) bool: the ``count`` of lowest AUM, but of no class more than half, and of a rare one no more than of the
    others together."""
    lowest = pool.rising(pool.scores["aum"])[:count]
    mask = np.zeros(len(pool), bool)
    if not count:
        return mask
    _, label, sizes = np.unique(pool.labels, return_inverse=True, return_counts=True)
    rare = sizes * RARE <= sizes.max()
    lost = np.minimum(np.bincount(label[lowest], minlength=len(sizes)), sizes // 2)
    most = np.where(rare, sizes * lost[~rare].sum() // sizes[~rare].sum(), lost)
    mask[lowest[within_class(label[lowest]) < most[label[lowest]]]] = True
    return mask


def few_places(labels: Array, size: int) -> bool:
    """Whether a class would have fewer than ``FEW`` of ``size`` places, so that the classes are held in proportion."""
    return int(proportional(np.unique(labels, return_counts=True)[1], size).min()) < FEW


def _why_even(advice: Advice, pool: Pool, learnable: bool, held_out: float | None) -> str | None:
    """Why nothing is preferred, as the end of a sentence that names what is done; None where something is."""
    if not learnable:
        return "What is hard here is not what teaches"
    if pool.source == "held-out":
        return (
            "This is a map of predictions on unseen examples, which tells what is hard, but not whether the hard ones "
            "teach"
        )
    if advice.contradicted >= WEAK:
        return (
            f"From {WEAK:.0%} on the network that made the map understands too little, and its ambiguous examples are "
            "hard ones (record a better network, or a longer training)"
        )
    if round(pool.kept * pool.examples) < FEWEST:
        return f"Fewer than {FEWEST} examples teach best when none is preferred"
    if not advice.contradicted:
        return "Nothing says which examples are hard"
    if held_out is None:
        return (
            "Whether the rest was understood or learned by heart a map cannot tell (pass held_out=, the accuracy of "
            "the network on other data)"
        )
    if advice.contradicted < SEEN * (1 - held_out):
        return (
            f"On other data the network is wrong for {1 - held_out:.1%}, of which the map shows less than {SEEN:.0%}, "
            "so it learned the rest by heart and what it found hard says little"
        )
    return None


def _reason(
    advice: Advice,
    pool: Pool,
    learnable: bool,
    why: str | None,
    noise: float | None,
    distilled: bool,
    balance: Balance | None,
    repeated: bool,
) -> str:
    """The advice as a paragraph; ``why`` is that of ``_why_even``."""
    if advice.size == advice.examples:
        return f"Keep all {advice.size:,} examples: there is nothing to choose."
    share = f"{advice.size:,} of {advice.examples:,} examples ({advice.size / advice.examples:.1%})"
    classes = ", as many of every class" if balance == "equal" else ", the classes in proportion"
    classes = "" if advice.nothing and balance is None else classes
    taught = ", for a student that learns from a teacher" if distilled else ""
    said = [f"{f'Visit {share} in an epoch' if repeated else f'Keep {share}'}{classes}{taught}."]
    if advice.contradicted:
        said.append(
            f"For {advice.contradicted:.1%} of them another class was preferred to the label over the {pool.epochs} "
            f"epochs; their p(gold) changed by {advice.rise:+.2f}."
        )
    else:
        said.append(f"No other class was preferred to a label over the {pool.epochs} epochs.")
    spared = advice.lowest - advice.cut
    but = ""
    if spared:
        but = f" (all but {spared:,}, because no class loses more than half, nor a rare one more than its share)"
    if noise is not None:
        said.append(
            f"You say that {noise:.1%} of the labels are wrong: the {advice.lowest:,} of lowest AUM are cut{but}."
        )
    elif advice.cut:
        said.append(
            f"That is less than {LEARNED} and than half of what the others gained, so nothing is learned from them: "
            f"the {advice.lowest:,} of lowest AUM are cut{but}, as many as are right in at most {HARDLY:.0%} of the "
            "epochs (and can be spared)."
        )
    elif learnable and advice.contradicted and pool.source != "held-out":
        said.append("They are being learned, so nothing is cut.")
    if why is None:
        often = "visited" if repeated else "likely"
        draw = "spread over the epochs" if repeated else "drawn at random"
        said.append(
            f"The rest is {draw}, the most ambiguous examples {np.exp(advice.tilt):,.0f} times as "
            f"{'often ' if repeated else ''}{often} as the least (weights exp({advice.tilt:.1f} rank), the rank by "
            "variability)."
        )
    else:
        same = "repeated random" if repeated else "random"
        done = f"it is {same} of the same seed" if advice.nothing and balance is None else "the rest is drawn evenly"
        if advice.nothing and balance is None and not repeated and few_places(pool.labels, advice.size):
            done += f", but for the classes, which are in proportion because one has fewer than {FEW} places"
        said.append(f"{why}: {done}.")
    return " ".join(said)
