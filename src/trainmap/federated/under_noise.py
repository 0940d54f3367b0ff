"""What the noise of privacy does to thresholds of all clients: the selection by them beside the exact one, where a
simulation knows both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, whole
from trainmap.federated.federation import Privacy
from trainmap.federated.global_thresholds import Thresholds, thresholds
from trainmap.federated.histograms import histogram
from trainmap.federated.merged import joined
from trainmap.federated.privacy import noised, randomness, share, variance
from trainmap.federated.secure_sum import enough
from trainmap.maps.datamap import DataMap
from trainmap.selection import Plan, parse
from trainmap.selection.select import select

Array = NDArray[Any]


def told_histograms(
    maps: Sequence[DataMap], privacy: Privacy | None = None, releases: int = 1, seed: int = 0
) -> list[Array]:
    """What clients with these maps tell in one of ``releases`` rounds, each ``histograms.SHAPE`` int64: exact without
    privacy, else with the noise that they add: all of it, or by secure aggregation their share of it."""
    exact = [histogram(one.values("confidence"), one.values("variability")) for one in maps]
    if privacy is None:
        return exact
    noise = variance(privacy, whole(releases, "releases", 1))
    part = share(noise, enough(len(maps))) if privacy.secure else noise
    return [noised(one, part, randomness("seed", seed, client, 0)) for client, one in enumerate(exact)]


@dataclass(frozen=True)
class PrivacyPoint:
    """What thresholds keep that were read under one privacy, beside the exact selection from the merged map.

    Attributes:
        epsilon: infinity without noise; what is off then comes of the width of the bins.
        seed: of the noise.
        jaccard: of the examples kept and those of the exact selection, intersection over union, 0 to 1.
        kept: share of all examples that is kept; 0 where the noise left no threshold.
        wanted: the share that the spec asks for.
        rank_error: how far the share that a part keeps is from what it asks for, in the mean over the parts.
    """

    epsilon: float
    seed: int
    jaccard: float
    kept: float
    wanted: float
    rank_error: float


def privacy_curve(
    maps: Sequence[DataMap],
    spec: str | Plan,
    privacies: Iterable[Privacy | None],
    *,
    releases: int = 1,
    seeds: Iterable[int] = range(5),
) -> list[PrivacyPoint]:
    """How well the selection by thresholds of all clients agrees with the exact one, privacy by privacy.

    Args:
        maps: of the clients.
        spec: parts with a percentage, each of a region or an end of an axis.
        privacies: None for no noise, which has one point.
        releases: how many histograms share the epsilon, see ``Federation.releases``; the thresholds are read from one.
        seeds: of the noise; one point for each.

    Raises:
        TrainmapError: a part without a percentage or without a threshold, an id that two clients have.
    """
    plan = parse(spec) if isinstance(spec, str) else spec
    if lacking := [str(part) for part in plan.parts if part.percent is None]:
        raise TrainmapError(f"'{lacking[0]}' must say a percentage")
    together, drawn = joined(maps), list(seeds)
    exact, points = select(together, plan).ids, []
    for privacy in privacies:
        for seed in drawn if privacy is not None else drawn[:1]:
            counts = np.sum(told_histograms(maps, privacy, releases, seed), axis=0)
            epsilon = math.inf if privacy is None else privacy.epsilon
            points.append(_point(epsilon, seed, together, plan, exact, thresholds(counts, plan)))
    return points


def _point(
    epsilon: float, seed: int, together: DataMap, plan: Plan, exact: Array, found: Thresholds | None
) -> PrivacyPoint:
    shares = [float(part.percent or 0) / 100 for part in plan.parts]
    left, errors = np.ones(len(together), bool), []
    for cut, wanted in zip(() if found is None else found.cuts, shares, strict=found is not None):
        beyond = np.isin(together.ids, Thresholds((cut,)).beyond(together)) & left
        errors.append(abs(float(beyond.mean()) - wanted))
        left &= ~beyond
    ids = together.ids[~left]
    jaccard = len(np.intersect1d(ids, exact)) / len(np.union1d(ids, exact))
    off = float(np.mean(errors or shares))
    return PrivacyPoint(epsilon, seed, jaccard, len(ids) / len(together), sum(shares), off)
