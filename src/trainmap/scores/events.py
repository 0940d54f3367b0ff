"""Right and wrong over the epochs: how often, how often lost again, and from when on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.errors import TrainmapError

Array = NDArray[Any]


def correctness(block: Block, fraction: bool = False) -> Array:
    """In how many epochs the prediction was the gold label: sum_e 1[argmax_c z_c = y].

    Args:
        block: E epochs of n examples; uses ``predicted``.
        fraction: divide by the number of epochs in which the example was seen.

    Returns:
        (n,) float64 in [0, E], whole numbers; in [0, 1] as a fraction. Low is hard.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2 (the paper plots the fraction, its code counts).
    Differs: from codes that ask p(gold) > 0.5, which is another thing for more than two classes.
    """
    count = block.times_correct.astype(np.float64)
    return block.over_visits(count) if fraction else block.where_seen(count)


def forgetting(block: Block, never_learned: float | Literal["epochs"] = math.inf) -> Array:
    """How often an example went from right to wrong between the epochs in which it was seen.

    Args:
        block: E epochs of n examples; uses ``predicted``.
        never_learned: the value of an example that was never right. ``inf`` (data_diet), ``"epochs"`` (Toneva et al.:
            the number of presentations), ``1000`` (allenai/cartography), ``0`` (DeepCore, CCS: makes the hardest
            examples look like the easiest).

    Returns:
        (n,) float64 in [0, E / 2], or ``never_learned``. High is hard.

    Source: Toneva et al. 2019, arXiv:1812.05159, section 3.
    Differs: counts between epochs; the paper counts between visits in a batch.
    """
    events = block.count(before > now for before, now in pairwise(block.correct)) if block.complete else _lost(block)
    never = block.visits if never_learned == "epochs" else _value("never_learned", never_learned)
    return block.where_seen(np.where(block.times_correct > 0, events.astype(np.float64), never))


def _lost(block: Block) -> Array:
    """Right, then wrong when seen the next time: how often, where epochs are missing."""
    events, last = np.zeros(len(block)), np.zeros(len(block), bool)
    for now, seen in zip(block.correct, block.seen, strict=True):
        events += seen & (last > now)
        last = np.where(seen, now, last)
    return events


def first_learned(block: Block, never_learned: float | Literal["epochs"] = math.inf) -> Array:
    """The first epoch (from 0) in which the prediction was the gold label.

    Args:
        block: E epochs of n examples; uses ``predicted``.
        never_learned: the value of an example that was never right: ``inf``, ``"epochs"`` (E), or a number.

    Returns:
        (n,) float64 in [0, E - 1], or ``never_learned``. High is hard.

    Source: Toneva et al. 2019, arXiv:1812.05159, section 3 ("first learning events").
    """
    never = block.epochs if never_learned == "epochs" else _value("never_learned", never_learned)
    first = block.count(_so_far(~row for row in block.correct)).astype(np.float64)
    return block.where_seen(np.where(block.times_correct > 0, first, float(never)))


def _so_far(flags: Iterable[Array]) -> Iterator[Array]:
    """Row by row: whether all the rows up to here were true. One array, overwritten."""
    rows = iter(flags)
    all_true = next(rows).copy()
    yield all_true
    for row in rows:
        all_true &= row
        yield all_true


def learning_time(block: Block, never_learned: float | Literal["epochs"] = math.inf) -> Array:
    """The first epoch (from 0) from which on the prediction was the gold label to the end of the recording.

    Args:
        block: E epochs of n examples; uses ``predicted``.
        never_learned: the value of an example that was wrong when last seen: ``inf``, ``"epochs"`` (E), or a number.

    Returns:
        (n,) float64 in [0, E - 1], or ``never_learned``. High is hard.

    Source: Maini et al. 2022, arXiv:2210.15031 (first-split learning time). Their code counts epochs from 1 and gives
        E + 1 to an example that is never learned: convention ``"maini"`` plus 1.
    """
    never = block.epochs if never_learned == "epochs" else _value("never_learned", never_learned)
    return _settled(block, right=True, never=never)


def forgetting_time(block: Block, never_forgotten: float | Literal["epochs"] = math.inf) -> Array:
    """The first epoch (from 0) from which on the prediction was wrong to the end of the recording.

    On a recording of the first split's examples while the model trains on the second split, this is the second-split
    forgetting time; ``trainmap.maps.second_split`` joins the two recordings.

    Args:
        block: E epochs of n examples; uses ``predicted``.
        never_forgotten: the value of an example that was right when last seen: ``inf``, ``"epochs"`` (E), or a number.

    Returns:
        (n,) float64 in [0, E - 1], or ``never_forgotten``. Low is hard: mislabelled examples are forgotten first.

    Source: Maini et al. 2022, arXiv:2210.15031. Their code counts epochs from 1 and gives E + 1 to an example that is
        never forgotten.
    """
    never = block.epochs if never_forgotten == "epochs" else _value("never_forgotten", never_forgotten)
    return _settled(block, right=False, never=never)


def _settled(block: Block, right: bool, never: float) -> Array:
    """The first seen epoch from which on all seen predictions were ``right`` (or wrong); ``never`` if there is none."""
    if block.complete:
        settled = block.count(_so_far(row == right for row in block.correct[::-1]))
        return np.where(settled > 0, block.epochs - settled.astype(np.float64), float(never))
    time = np.full(len(block), np.float64(never))
    open_ = np.ones(len(block), bool)  # no epoch of the other kind met yet, going back from the end
    for epoch in range(block.epochs - 1, -1, -1):
        seen = block.seen[epoch]
        open_ &= ~seen | (block.correct[epoch] == right)
        time[open_ & seen] = epoch
    return np.where(block.visits == 0, np.nan, time)


def _value(name: str, value: float | str) -> float:
    if isinstance(value, str):
        raise TrainmapError(f"{name} must be a number or 'epochs', got '{value}'")
    return float(value)
