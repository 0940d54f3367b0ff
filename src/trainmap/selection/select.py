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
            others) or numbers ``"proportional"`` to what the classes have left. None: as the scores fall.

    Returns:
        the ids and what they came from. Ties go to the smaller id; an example without a value (NaN: never seen) is
        never taken by its score, only at random; infinite values are values.

    Raises:
        TrainmapError: an unknown score, a budget outside 1 to N, too few examples with a value.
    """
    if balance is not None and balance not in get_args(Balance):
        raise unknown("balance", str(balance), get_args(Balance))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise TrainmapError(f"seed must be a whole number of at least 0, got {seed!r}")
    if not isinstance(spec, str | Plan):
        raise TrainmapError(f"a spec must be text such as '33% ambiguous', or a plan, got {type(spec).__name__}")
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
        passed_over = 0 if balance is not None else _taken_before(free[order], count)
        free[chosen] = False
        taken.append(Taken(str(part), count, passed_over))
    return Selection(
        ids=datamap.ids[~free],
        spec=str(plan),
        seed=int(seed),
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
        end = "top" if (_direction(part) == "high") == (end == "hardest") else "bottom"
    if end == "middle":
        rising = deepest_first(-values, datamap.ids)
        ranks = np.full(len(values), np.nan)
        ranks[rising] = -np.abs(np.arange(len(rising)) - (len(rising) - 1) / 2)
        return deepest_first(ranks, datamap.ids)
    return deepest_first(values if end == "top" else -values, datamap.ids)


def _direction(part: Part) -> str:
    """The hard end of a score that trainmap knows."""
    try:
        return score_named(part.what).direction
    except TrainmapError as error:
        raise TrainmapError(
            f"'{part}': trainmap does not know which end of {part.what} is hard; write top or bottom"
        ) from error


def _taken_before(free: Array, count: int) -> int:
    """How many that an earlier part took stand before the last of the first ``count`` free ones."""
    return int(np.flatnonzero(free)[count - 1] + 1 - count) if count else 0


def _balanced(candidates: Array, count: int, labels: Array, balance: Balance) -> Array:
    """The first ``count`` candidates under a quota for each class."""
    _, label, sizes = np.unique(labels[candidates], return_inverse=True, return_counts=True)
    quotas = _proportional(sizes, count) if balance == "proportional" else _equal(sizes, count)
    by_label = np.argsort(label, kind="stable")
    place = np.empty(len(candidates), np.int64)  # of a candidate within its class
    place[by_label] = np.arange(len(candidates)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return candidates[place < quotas[label]]


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
    quotas, remainders = np.divmod(sizes * count, sizes.sum())
    order = np.argsort(-remainders, kind="stable")
    quotas[order[: count - quotas.sum()]] += 1
    return quotas
