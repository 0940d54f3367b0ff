"""How a number of examples is shared among groups (classes, strata, clusters) of different sizes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import id_hash, rising

Array = NDArray[Any]
Balance = Literal["equal", "proportional"]


def equal(sizes: Array, count: int) -> Array:
    """Equal quotas that sum to ``count``; what a small group cannot give is shared by the others.

    Where fewer places than groups are left, a hash of the groups' numbers says which get one.
    """
    quotas, turn = np.zeros_like(sizes), id_hash(np.arange(len(sizes)))
    while (left := count - quotas.sum()) > 0:
        open_ = np.flatnonzero(quotas < sizes)
        open_ = open_[np.argsort(turn[open_])]
        share = max(1, left // len(open_))
        for place in open_[: left if share == 1 else None]:
            quotas[place] += min(share, sizes[place] - quotas[place])
    return quotas


def proportional(sizes: Array, count: int) -> Array:
    """Quotas in proportion that sum to ``count`` (largest remainders first, equals by a hash of their numbers)."""
    quotas, remainders = np.divmod(sizes * count, sizes.sum())
    order = rising(-remainders, np.arange(len(sizes)))
    quotas[order[: count - quotas.sum()]] += 1
    return quotas


def smallest_first(sizes: Array, count: int) -> Array:
    """Equal quotas that sum to ``count``, dealt out from the smallest group to the largest.

    Each group in turn gets an equal share (rounded down) of what is left for it and the larger ones, or all it has.

    Source: Zheng et al. 2023, arXiv:2210.15809, algorithm 1; Yang et al. 2024, arXiv:2403.07384, algorithm 1, is the
    same rule. Groups of equal size go in their own order.
    """
    quotas = np.zeros(len(sizes), np.int64)
    left = count
    for turn, group in enumerate(np.argsort(sizes, kind="stable")):
        quotas[group] = min(sizes[group], left // (len(sizes) - turn))
        left -= quotas[group]
    return quotas


def at_least(quotas: Array, sizes: Array, floor: int) -> Array:
    """Quotas of the same sum of which none is below ``floor`` (or its group's size), where the sum has room for that.

    Where one is below, it gets the floor, and the other groups share the rest in proportion.
    """
    least, count = np.minimum(sizes, floor), int(quotas.sum())
    if least.sum() > count:
        return quotas
    raised, low = quotas.copy(), quotas < least
    while (raised < least).any():
        raised[low] = least[low]
        raised[~low] = proportional(sizes[~low], count - int(least[low].sum()))
        low |= raised < least
    return raised


def within_class(label: Array) -> Array:
    """(n,) int64: how many of the same class stand before each."""
    by_label, sizes = np.argsort(label, kind="stable"), np.bincount(label)
    place = np.empty(len(label), np.int64)
    place[by_label] = np.arange(len(label)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place


def first_by_class(candidates: Array, count: int, labels: Array, balance: Balance, floor: int = 0) -> Array:
    """The first ``count`` of the candidates (rows, in the order of preference) under a quota for each class.

    No class has fewer than ``floor``, or its size, where ``count`` has room for that.
    """
    _, label, sizes = np.unique(labels[candidates], return_inverse=True, return_counts=True)
    quotas = proportional(sizes, count) if balance == "proportional" else equal(sizes, count)
    quotas = at_least(quotas, sizes, floor)
    return candidates[within_class(label) < quotas[label]]
