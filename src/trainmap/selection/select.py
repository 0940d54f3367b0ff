"""A map, a plan and an exact size -> a Selection. Deterministic; the order of the input never changes the answer."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS, deepest_first, depth
from trainmap.maps.scores import score_named
from trainmap.selection.card import Selection, Taken
from trainmap.selection.spec import Part, Plan, parse

Array = NDArray[Any]
Balance = Literal["equal", "proportional"]


def select(
    datamap: DataMap, spec: str | Plan, size: int | None = None, seed: int = 0, balance: Balance | None = None
) -> Selection:
    """Choose examples.

    Args:
        spec: for example ``"17% ambiguous + 25% easy-to-learn"``; see ``trainmap.selection.spec``. The parts are
            disjoint and the total is their sum: where a part would take what an earlier one has, it takes its next
            best instead.
        size: an exact total; the parts share it in proportion.
        seed: of the random parts. A smaller random sample is a part of a larger one with the same seed.
        balance: within each part, ``"equal"`` numbers of every class (a class that runs out leaves its places to the
            others) or numbers ``"proportional"`` to the classes' sizes. None: as the scores fall.

    Raises:
        TrainmapError: an unknown score, a budget outside 1 to N, too few examples with a value (NaN: never seen).
    """
    if balance is not None and balance not in get_args(Balance):
        raise unknown("balance", str(balance), get_args(Balance))
    plan = parse(spec) if isinstance(spec, str) else spec
    if balance is not None and (datamap.labels < 0).any():
        raise TrainmapError(f"balance needs every label; {(datamap.labels < 0).sum()} examples of this map have none")
    free = np.ones(len(datamap), bool)
    taken: list[Taken] = []
    for part, count in zip(plan.parts, plan.sizes(len(datamap), size), strict=True):
        order = _order(datamap, part, seed)
        candidates = order[free[order]]
        if len(candidates) < count:
            raise TrainmapError(
                f"'{part}' needs {count} examples and {len(candidates)} are left that have a value and are not taken "
                "by an earlier part"
            )
        chosen = candidates[:count] if balance is None else _balanced(candidates, count, datamap.labels, balance)
        last = np.flatnonzero(order == chosen[-1])[0] if count else 0
        free[chosen] = False
        taken.append(Taken(str(part), count, int(last + 1 - count) if balance is None and count else 0))
    return Selection(
        ids=datamap.ids[~free],
        spec=str(plan),
        seed=seed,
        balance=balance,
        rule=datamap.rule,
        examples=len(datamap),
        parts=tuple(taken),
        dataset=datamap.dataset,
        map=datamap.fingerprint,
    )


def _order(datamap: DataMap, part: Part, seed: int) -> Array:
    """Rows of the map from the first to be taken to the last; without those that have no value."""
    if part.what == "all":
        return np.arange(len(datamap))
    if part.what == "random":
        return np.random.Generator(np.random.PCG64(seed)).permutation(len(datamap))
    if part.what in REGIONS:
        variability, confidence = datamap.values("variability"), datamap.values("confidence")
        return deepest_first(depth(part.what, variability, confidence, datamap.rule), datamap.ids)
    values = datamap.values(part.what)
    end = part.end
    if end in ("hardest", "easiest"):
        end = "top" if (score_named(part.what).direction == "high") == (end == "hardest") else "bottom"
    if end == "middle":
        ranks = np.empty(len(values))
        rising = deepest_first(-values, datamap.ids)
        ranks[:] = np.nan
        ranks[rising] = -np.abs(np.arange(len(rising)) - (len(rising) - 1) / 2)
        return deepest_first(ranks, datamap.ids)
    return deepest_first(values if end == "top" else -values, datamap.ids)


def _balanced(candidates: Array, count: int, labels: Array, balance: Balance) -> Array:
    """The first ``count`` candidates under a quota for each class."""
    classes, sizes = np.unique(labels[candidates], return_counts=True)
    quotas = _proportional(sizes, count) if balance == "proportional" else _equal(sizes, count)
    keep = np.zeros(len(candidates), bool)
    for label, quota in zip(classes, quotas, strict=True):
        keep[np.flatnonzero(labels[candidates] == label)[:quota]] = True
    return candidates[keep]


def _equal(sizes: Array, count: int) -> Array:
    """Equal quotas that sum to ``count``; what a small class cannot give is shared by the others."""
    quotas = np.zeros_like(sizes)
    while (left := count - quotas.sum()) > 0:
        open_ = np.flatnonzero(quotas < sizes)
        share = max(1, left // len(open_))
        for place in open_[: left if share == 1 else None]:
            quotas[place] += min(share, sizes[place] - quotas[place])
    return quotas


def _proportional(sizes: Array, count: int) -> Array:
    """Quotas in proportion that sum to ``count`` (largest remainders first, ties to the smaller class)."""
    exact = sizes * count / sizes.sum()
    quotas = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - quotas), kind="stable")
    quotas[order[: count - quotas.sum()]] += 1
    return quotas
