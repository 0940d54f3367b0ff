"""``auto``: what to keep when a map and a budget are all that is known, and why.

    selection = tm.select_by(datamap, "auto", 5000)
    print(tm.advise(datamap, 5000).reason)  # a paragraph

The rule reads the map, and one number beside it. Are there labels that the network never came to agree with, and is it
still learning them? Those that it is not are cut. Was the rest understood or learned by heart, and is the budget large
enough for hard examples to be learned from? Then examples are drawn with weights that rise with how ambiguous they are,
and, where nearly everything is learned and much is kept, with how hard. Otherwise they are drawn evenly. Classes
keep the shares that they have after the cut, which takes no more than half of any, and of a rare one no larger share
than of the others; every class keeps an example where the budget has a place for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.given import check_flag
from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError
from trainmap.selection.coverage import weighted_sample
from trainmap.selection.option_limits import check_number
from trainmap.selection.pool import Candidates, Pool
from trainmap.selection.quotas import Balance, at_least, first_by_class, within_class

Array = NDArray[Any]
Generator = np.random.Generator

READS = ("confidence", "variability", "correctness", "aum", "slope")
"""The scores of a map that the rule reads."""

FEWEST = 300
"""Examples below which none is preferred to another. Spoken digits: with 216 examples the ambiguous ones are 2.4 points
worse than random ones, with 713 they are 1.9 points better; handwritten digits gain with 355."""
LEARNED = 0.05
"""How much p(gold) must rise over the recording, on average over the contradicted examples, for them to count as still
being learned. Measured: 0.006 with 30 % wrong labels, 0.02 on a table whose classes overlap, 0.11 to 0.60 on clean
images, texts and sounds."""
KEEPS_UP = 0.5
"""Of the rise of the others: contradicted examples that gain as much of it are learned as fast as a slow network learns
anything. Measured: 0.06 with 30 % wrong labels, 0.29 on the table, 0.76 on clean images with a learning rate so low
that all gain 0.05, where the cut costs 2.4 points."""
HARDLY = 0.2
"""Of the epochs: an example that is right in no more of them is hardly ever right."""
BY_HEART = 0.15
"""Errors on held-out data above those on the training data (the contradicted share) from which on the network counts as
having learned by heart: its map then says what it memorised last, not what is hard. 0.21 on sst2, where the tilt costs
10 to 15 points; 0.08 on 150 intents and less on the other sets, where it pays."""
KNOWN = 0.05
"""Contradicted share below which a map alone cannot tell what was understood from what was learned by heart, and below
which hard examples are preferred beside the ambiguous ones. Where more is contradicted, the
hard end holds what the network has not understood: half of the rank by hardness is 4.9 points worse than random at
10 % of CIFAR-10 and 2 points worse than variability alone at 33 %; on 150 intents it is 0.7 points better."""
RARE = 5
"""How much smaller than the largest a class is from which on it is cut by no more than its share. A rare class is
learned late, so that its labels have the lowest AUM whether they are right or not."""
WEAK = 0.45
"""Contradicted share from which a network understands too little for its map to say anything. With 0.475 (a perceptron
on CIFAR-10) the tilt is 3.1 points worse than random, with 0.419 it gains 0.4, with 0.372 (of which half are wrong
labels) 4."""
LITTLE, MUCH = 0.1, 0.3
"""Kept shares between which the weights grow to twice ``TILT`` and, where they may, move to the hard."""
TILT = 4.0
"""Log-weight between the first and the last rank at ``LITTLE``; twice that from ``MUCH`` on, but not where every epoch
draws afresh: there the same examples again and again are lost variety (150 intents, 33 %: 84.4 at 8, 86.2 at 4)."""


@dataclass(frozen=True)
class Advice:
    """What ``auto`` does with a map and a budget.

    Attributes:
        size, examples: how many are kept, of how many.
        cut: how many of the lowest AUM are never taken.
        lowest: of how many of the lowest AUM they are; the others stay because no class loses more than half, nor a
            rare class more than its share.
        tilt: the log-weight between the first and the last rank; 0 draws evenly.
        hardness: the share of hardness in the ranks, 0 to 0.5; the rest is variability.
        contradicted: share of the examples for which another class was preferred to the label (AUM below 0).
        rise: what their p(gold) gained over the recording; NaN where there are none.
        reason: all of it in a paragraph.
    """

    size: int
    examples: int
    cut: int
    lowest: int
    tilt: float
    hardness: float
    contradicted: float
    rise: float
    reason: str


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
    _check_told(noise, distilled, held_out)
    if not len(pool) or len(pool) < size:
        raise TrainmapError(f"auto needs {size} examples with a label and {', '.join(READS)}; {len(pool)} have them")
    aum, slope = pool.scores["aum"], pool.scores["slope"]
    against = aum < 0
    rise = float(slope[against].mean()) * (pool.epochs - 1) if against.any() else math.nan
    others = float(slope[~against].mean()) * (pool.epochs - 1) if not against.all() else math.nan
    learnable = not rise < LEARNED or rise >= KEEPS_UP * others
    hardly = int((pool.scores["correctness"] <= HARDLY * pool.epochs).sum())
    cut = 0 if learnable else min(hardly, len(pool) - size)
    cut = cut if noise is None else round(noise * len(pool))
    gone = int(_cut(pool, cut).sum())
    if gone > len(pool) - size:
        raise TrainmapError(
            f"noise={noise} cuts {gone} of {len(pool)} examples, which leaves fewer than the {size} asked for; keep "
            "fewer"
        )
    much = min(1.0, max(0.0, (pool.kept - LITTLE) / (MUCH - LITTLE)))
    enough = round(pool.kept * pool.examples) >= FEWEST
    share = float(against.mean())
    understood = share >= KNOWN if held_out is None else (1 - held_out) - share < BY_HEART
    tells = learnable and enough and understood and share < WEAK
    tilt = TILT * (1 if repeated else 1 + much) * min(1.0, pool.kept / LITTLE) if tells else 0.0
    hardness = much / 2 if tilt and share < KNOWN else 0.0
    advice = Advice(size, len(pool), gone, cut, tilt, hardness, share, rise, "")
    return _reasoned(advice, pool, learnable, noise, distilled, held_out, balance, repeated)


def auto(
    pool: Pool,
    size: int,
    generator: Generator,
    *,
    noise: float | None = None,
    distilled: bool = False,
    held_out: float | None = None,
    balance: Balance | None = None,
) -> Array:
    """Rows as ``read_map`` has it: after the cut, drawn without replacement, the classes in proportion unless
    ``balance`` says otherwise.

    The weights are ``exp(tilt rank)``, where rank, from 0 to 1, is that of ``(1 - hardness) rank(variability) +
    hardness rank(1 - confidence)``.

    Args:
        noise: share of wrong labels, where it is known: as many of the lowest AUM are cut.
        distilled: whether the student learns from a teacher as well. The rule is the same; the paragraph says so.
        held_out: accuracy of the network that made the map on other data. Without it a map on which hardly anything is
            contradicted is taken for one that was learned by heart, and the rest is drawn evenly.

    It is no promise: on SUBJ, whose sentences the map's network knows by heart, it is up to 9.5 points worse than
    random (docs/selection.md).

    Source: ours, fitted on the validation parts of Fashion-MNIST (clean and with 30 % wrong labels), CIFAR-10,
    clinc150, adult and spoken digits (docs/selection.md). That random draws keep what plain ranking loses is Ayed and
    Hayou 2023, arXiv:2302.06960; that the preference must follow the budget is Cho et al. 2025, arXiv:2502.06905.
    """
    advice = read_map(pool, size, noise, distilled, held_out, balance)
    if not advice.tilt and not advice.cut and balance is None:
        return _as_random(pool, size, generator)
    return drawn(pool, size, generator, weighed(pool, advice), balance)


def reason(pool: Pool, size: int, balance: Balance | None = None, **options: Any) -> str:
    """What ``auto`` makes of a map, in a paragraph."""
    return read_map(pool, size, balance=balance, **options).reason


def check_auto(
    candidates: Candidates,
    size: int,
    *,
    noise: float | None = None,
    distilled: bool = False,
    held_out: float | None = None,
) -> None:
    """Refuse what ``auto`` cannot take, a noise whose cut leaves too few whichever labels it falls on among it.

    Of the examples of lowest AUM the cut spares half of a class at most, and all of a rare one at best: those may all
    lie in rare classes and in as few others as can hold them.
    """
    _check_told(noise, distilled, held_out)
    if noise is None or not candidates.classes:
        return
    sizes = np.array(candidates.classes)
    common = sizes[sizes * RARE > sizes.max()]
    lowest = round(noise * candidates.count)
    sure = max(0, lowest - int(sizes.sum() - common.sum()) - int((common % 2).sum()) + 1) // 2
    if sure > candidates.count - size:
        usual = int(np.minimum(np.round(noise * sizes), sizes // 2).sum())
        raise TrainmapError(
            f"noise={noise} cuts {usual} of {candidates.count} examples where every class has its share of wrong "
            f"labels, {sure} at least, which leaves fewer than the {size} asked for; keep fewer"
        )


def _check_told(noise: Any, distilled: Any, held_out: Any) -> None:
    if noise is not None:
        check_number(noise, "noise must be a share of wrong labels, 0 to below 1", lambda x: 0 <= x < 1)
    check_flag(distilled, "distilled")
    if held_out is not None:
        check_number(held_out, "held_out must be an accuracy, 0 to 1", lambda x: 0 <= x <= 1)


def weighed(pool: Pool, advice: Advice) -> tuple[Array, Array]:
    """The rows that an advice leaves after its cut, and their log-weights."""
    kept = np.flatnonzero(~_cut(pool, advice.lowest))
    ambiguous, hard = (_ranks(pool.scores[name][kept], pool.ids[kept]) for name in ("variability", "confidence"))
    rank = _ranks((1 - advice.hardness) * ambiguous + advice.hardness * (1 - hard), pool.ids[kept])
    return kept, advice.tilt * rank


def drawn(pool: Pool, size: int, generator: Generator, weights: tuple[Array, Array], balance: Balance | None) -> Array:
    """(size,) rows in the order of the draw, by what ``weighed`` gave."""
    kept, log_weights = weights
    order = kept[weighted_sample(log_weights, len(kept), generator)]
    return first_by_class(order, size, pool.labels, balance or "proportional", floor=1)


def _as_random(pool: Pool, size: int, generator: Generator) -> Array:
    """(size,) rows: what "random" draws with this generator; where that leaves a class without an example and there is
    a place for each, the classes in proportion."""
    order = generator.permutation(len(pool))
    _, label, sizes = np.unique(pool.labels[order], return_inverse=True, return_counts=True)
    quotas = at_least(np.bincount(label[:size], minlength=len(sizes)), sizes, floor=1)
    return order[within_class(label) < quotas[label]]


def _cut(pool: Pool, count: int) -> Array:
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


def _ranks(values: Array, ids: Array) -> Array:
    """(n,) from 0 for the lowest value to 1 for the highest; equals in the order of their ids' hashes."""
    ranks = np.empty(len(values))
    ranks[rising(values, ids)] = (np.arange(len(values)) + 0.5) / len(values)
    return ranks


def _reasoned(
    advice: Advice,
    pool: Pool,
    learnable: bool,
    noise: float | None,
    distilled: bool,
    held_out: float | None,
    balance: Balance | None,
    repeated: bool,
) -> Advice:
    """The advice with its paragraph."""
    if advice.size == advice.examples:
        return replace(advice, reason=f"Keep all {advice.size:,} examples: there is nothing to choose.")
    draw = "drawn afresh in every epoch" if repeated else "drawn at random"
    share = f"{advice.size:,} of {advice.examples:,} examples ({advice.size / advice.examples:.1%})"
    classes = "as many of every class" if balance == "equal" else "the classes in proportion"
    taught = ", for a student that learns from a teacher" if distilled else ""
    said = [f"{f'Visit {share} in an epoch' if repeated else f'Keep {share}'}, {classes}{taught}."]
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
    elif learnable and advice.contradicted:
        said.append("They are being learned, so nothing is cut.")
    if advice.tilt:
        what, by = "ambiguous", "variability"
        if advice.hardness:
            what, by = "ambiguous and hard", f"variability, {advice.hardness:.0%} of it by low confidence"
        said.append(
            f"The rest is {draw}, the most {what} examples {np.exp(advice.tilt):,.0f} times as likely as the "
            f"least (weights exp({advice.tilt:.1f} rank), the rank by {by})."
        )
    elif not learnable:
        said.append("What is hard here is not what teaches: the rest is drawn evenly.")
    elif advice.contradicted >= WEAK:
        said.append(
            f"From {WEAK:.0%} on the network that made the map understands too little, and its ambiguous examples are "
            "hard ones: the rest is drawn evenly. Record a better network, or a longer training."
        )
    elif round(pool.kept * pool.examples) < FEWEST:
        said.append(f"Fewer than {FEWEST} examples teach best when none is preferred: the rest is drawn evenly.")
    elif held_out is None:
        said.append(
            f"Less than {KNOWN:.0%} may mean that all was understood or that it was learned by heart, which a map "
            "cannot tell: the rest is drawn evenly. Pass held_out=, the accuracy of the network on other data."
        )
    else:
        said.append(
            f"On other data it is right for {held_out:.1%} alone, so it learned the rest by heart: what it found hard "
            "says little, and the rest is drawn evenly."
        )
    return replace(advice, reason=" ".join(said))
