"""``auto``: what to keep when a map and a budget are all that is known, and why.

    selection = tm.select_by(datamap, "auto", 5000)
    print(tm.advise(datamap, 5000).reason)  # a paragraph

The rule is ``auto_rule``'s. This draws by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError
from trainmap.selection.auto_rule import RARE, Advice, check_told, cut_of, few_places, read_map
from trainmap.selection.coverage import weighted_sample
from trainmap.selection.pool import Candidates, Pool
from trainmap.selection.quotas import Balance, first_by_class

Array = NDArray[Any]
Generator = np.random.Generator


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
    """Rows as ``read_map`` has it.

    Where that prefers nothing and cuts nothing, those that "random" of the same seed takes, but the classes in
    proportion where one has few places (``few_places``); else, after the cut, drawn
    without replacement with weights ``exp(tilt rank)``, where rank, from 0 to 1, is that of variability. Then the
    classes are in proportion, unless ``balance`` says otherwise.

    Args:
        noise: share of wrong labels, where it is known: as many of the lowest AUM are cut.
        distilled: whether the student learns from a teacher as well. The rule is the same; the paragraph says so.
        held_out: accuracy of the network that made the map on other data. Without it nothing is preferred.

    It promises nothing: docs/selection.md has what it gained and lost, docs/leave-one-out.md what its numbers do on a
    dataset that they were not fitted on.

    Source: ours. That random draws keep what plain ranking loses is Ayed and Hayou 2023, arXiv:2302.06960; that the
    preference must follow the budget is Cho et al. 2025, arXiv:2502.06905.
    """
    advice = read_map(pool, size, noise, distilled, held_out, balance)
    if advice.nothing and balance is None:
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
    check_told(noise, distilled, held_out)
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


def weighed(pool: Pool, advice: Advice) -> tuple[Array, Array]:
    """The rows that an advice leaves after its cut, and their log-weights."""
    kept = np.flatnonzero(~cut_of(pool, advice.lowest))
    return kept, advice.tilt * _ranks(pool.scores["variability"][kept], pool.ids[kept])


def drawn(pool: Pool, size: int, generator: Generator, weights: tuple[Array, Array], balance: Balance | None) -> Array:
    """(size,) rows in the order of the draw, by what ``weighed`` gave."""
    kept, log_weights = weights
    order = kept[weighted_sample(log_weights, len(kept), generator)]
    return first_by_class(order, size, pool.labels, balance or "proportional", floor=1)


def _as_random(pool: Pool, size: int, generator: Generator) -> Array:
    """(size,) rows: what "random" draws with this generator; where a class would have few, classes in proportion."""
    order = generator.permutation(len(pool))
    if not few_places(pool.labels, size):
        return order[:size]
    return first_by_class(order, size, pool.labels, "proportional", floor=1)


def _ranks(values: Array, ids: Array) -> Array:
    """(n,) from 0 for the lowest value to 1 for the highest; equals in the order of their ids' hashes."""
    ranks = np.empty(len(values))
    ranks[rising(values, ids)] = (np.arange(len(values)) + 0.5) / len(values)
    return ranks
