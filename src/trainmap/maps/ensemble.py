"""One map of several recordings: what their members say together, and where they do not agree.

With K members (recordings of the same examples, such as the seeds of one network), c_k, v_k the confidence and the
variability of an example in member k, and n_k the epochs of it in which the example was seen::

    every score          its mean over the members, (1/K) sum_k s_k
    variability          so too: the mean of the members' own standard deviations, (1/K) sum_k v_k
    pooled_variability   the standard deviation of p(gold) over all epochs of all members together,
                         sqrt(sum_k n_k (v_k^2 + (c_k - m)^2) / sum_k n_k) with m = sum_k n_k c_k / sum_k n_k
    disagreement         the standard deviation of the members' confidences, sqrt((1/K) sum_k (c_k - mean c)^2)

The first kind of variability is within a training, the last one between trainings, and the pooled one is both: where
every member saw the example in as many epochs, pooled^2 = mean_k v_k^2 + disagreement^2 (the law of total variance).

A member that never saw an example says nothing of it and is left out there. An infinite value (an example that a member
never learned) makes the mean infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import MISSING, find_rows, of_one_kind
from trainmap.dynamics.stats import Stats
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.kinds import check_kind
from trainmap.scores.compute import available, check_progress, epochs_taken, estimate, resolve, score_blocks
from trainmap.scores.table import OF_SEVERAL, Score

Array = NDArray[Any]

VISITS = "visits of an example"  # no score's name: it is handed out to nobody


def check_members(members: Sequence[Any], epochs: int | None = None) -> list[Dynamics]:
    """The members of an ensemble in an order of their own, that of their checksums: no bit of what is made of them
    depends on the order in which they were handed in.

    Args:
        members: recordings.
        epochs: the first so many of each; None for all.

    Raises:
        TrainmapError: fewer than two, one that is no recording; other ids, labels, classes or sources; other numbers of
            epochs without ``epochs`` (a count of epochs is no mean of counts over other numbers); a recording that
            stands twice, which would be agreement with itself.
    """
    for one in members:
        check_kind(one, Dynamics)
    if len(members) < 2:
        raise TrainmapError(
            f"an ensemble needs at least two recordings, got {len(members)}; for a map of one pass the recording itself"
        )
    first, *rest = members
    for other in rest:
        _check_alike(first, other)
    counts = {str(one.path): epochs_taken(one, epochs) for one in members}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{path} has {count}" for path, count in counts.items())
        raise TrainmapError(
            f"the members of an ensemble must have the same number of epochs: {told}; "
            f"pass epochs={min(counts.values())} to take the first so many of each"
        )
    kept: dict[tuple[Any, ...], Dynamics] = {}
    for one in members:
        key = _content(one, counts[str(one.path)])
        if key in kept:
            raise TrainmapError(
                f"{one.path} holds the same epochs as {kept[key].path}: each member must be a training of its own"
            )
        kept[key] = one
    return [kept[key] for key in sorted(kept)]


def ensemble_scores(
    members: Sequence[Dynamics],
    scores: Sequence[str | Callable[[Any], Array]] | None,
    *,
    axes: Sequence[str],
    epochs: int | None = None,
    workers: int | None = None,
    max_memory: int | str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Array]:
    """The columns of a map of several recordings, name -> (N,) float64, in row order; see the head of this file.

    Args:
        members: as ``check_members`` gives them.
        scores: names or functions of a block; None for all that every member can give.
        axes: scores that are always there; the first two are the mean and the standard deviation of what the map is of.
        epochs, workers, max_memory: see ``trainmap.compute``; one member is read at a time.
        on_progress: called with the number of examples done, of each member.
    """
    check_progress(on_progress)
    if scores is None:
        held = [available(one, epochs) for one in members]
        wanted: list[Any] = [name for name in held[0] if all(name in other for other in held)]
    else:
        wanted = [name for name in scores if not isinstance(name, str) or name not in OF_SEVERAL]
    wanted = [*(name for name in axes if name not in wanted), *wanted]
    total: dict[str, Array] = {}
    count: dict[str, Array] = {}
    between, pooled = Spread(members[0].examples), Spread(members[0].examples)
    for one in members:
        chosen = resolve(one, wanted, epochs)
        seen_by = ("p_gold",) if one.manifest.signals is None else (one.manifest.signals[0].name,)
        visits = Score(
            VISITS, _visits, "high", seen_by if one.level != "stats" else (), "0 to E", "ours", kinds=(one.kind,)
        )
        names = list(chosen)
        if taken := [name for name in names if name in OF_SEVERAL]:
            raise TrainmapError(f"'{taken[0]}' is a column of every map of several recordings; rename the function")
        if not total:  # written to, so that the plan below sees the memory that they take
            total = {name: np.full(one.examples, 0.0) for name in names}
            count = {name: np.full(one.examples, 0, np.uint16) for name in names}
        chosen[VISITS] = visits
        plan = estimate(one, chosen, epochs=epochs, workers=workers, max_memory=max_memory, collect=False)
        for start, values in score_blocks(one, chosen, plan, epochs):
            rows = slice(start, start + len(values[VISITS]))
            for name in names:
                there = ~np.isnan(values[name])
                with np.errstate(invalid="ignore"):  # a score of one's own may have both infinities
                    np.add(total[name][rows], values[name], out=total[name][rows], where=there)
                count[name][rows] += there
            mean, seen = values[axes[0]], values[VISITS]
            between.add(rows, mean, 0.0, (seen > 0).astype(np.float64))
            pooled.add(rows, mean, values[axes[1]] ** 2, seen)
            if on_progress is not None:
                on_progress(len(seen))
    for name, values in total.items():
        np.divide(values, count[name], out=values, where=count[name] > 0)
        values[count[name] == 0] = np.nan
    return total | {"pooled_variability": pooled.deviation(1), "disagreement": between.deviation(2)}


class Spread:
    """Mean and variance of weighted groups of values, one group after another.

    Source: Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance (the sum of two groups).
    """

    def __init__(self, examples: int) -> None:
        self.weight, self.mean, self.squares = (np.full(examples, 0.0) for _ in range(3))
        self.groups = np.full(examples, 0, np.uint16)

    def add(self, rows: slice, mean: Array, variance: Array | float, weight: Array) -> None:
        """A group of ``weight`` values with this mean and population variance for each of these rows; where the weight
        is 0 nothing is added, whatever the rest says."""
        there = weight > 0
        before, after = self.weight[rows], self.weight[rows] + weight
        away = np.where(there, mean - self.mean[rows], 0.0)
        share = np.divide(weight, after, out=np.zeros(len(weight)), where=there)
        self.squares[rows] += np.where(there, weight * variance, 0.0) + away * away * before * share
        self.mean[rows] += away * share
        self.weight[rows] = after
        self.groups[rows] += there

    def deviation(self, groups: int) -> Array:
        """(N,) float64: the population standard deviation; NaN of fewer groups than asked for."""
        enough = self.groups >= groups
        return np.sqrt(np.divide(self.squares, self.weight, out=np.full(len(enough), np.nan), where=enough))


def _names(one: Dynamics) -> list[str] | None:
    said = one.manifest.signals
    return None if said is None else [f"{signal.name} ({signal.hard})" for signal in said]


def _visits(block: Any) -> Array:
    return np.asarray(block["visits"] if isinstance(block, Stats) else block.visits, np.float64)


def _check_alike(one: Dynamics, other: Dynamics) -> None:
    """Refuse two recordings that are not of the same thing."""
    for what, a, b in (
        ("source (the two are different quantities)", one.source, other.source),
        ("kind", one.kind, other.kind),
        ("number of classes", one.classes, other.classes),
        ("signals", _names(one), _names(other)),
        ("names of classes", one.class_names, other.class_names),
    ):
        if a != b:
            raise TrainmapError(
                f"the members of an ensemble must have the same {what}: {one.path} has {a} and {other.path} {b}"
            )
    if one.fingerprint == other.fingerprint:
        return
    ask = f"the members of an ensemble must be of the same examples: {one.path} and {other.path}"
    if not of_one_kind(one.ids, other.ids):
        raise TrainmapError(f"{ask} have no id in common, some have integer ids and some strings")
    rows = find_rows(other.ids, one.ids)
    lacking = np.flatnonzero(rows == MISSING)
    only = len(lacking) + len(other.ids) - (len(one.ids) - len(lacking))
    if only:
        first = one.ids[lacking[0]] if len(lacking) else other.ids[find_rows(one.ids, other.ids) == MISSING][0]
        raise TrainmapError(f"{ask} differ in {only} ids (first: {first})")
    differ = np.flatnonzero(one.labels != other.labels[rows])
    first, a, b = (column[differ[0]] for column in (one.ids, one.labels, other.labels[rows]))
    raise TrainmapError(f"{ask} differ in {len(differ)} labels (first: id {first} is {a} and {b})")


def _content(one: Dynamics, epochs: int) -> tuple[Any, ...]:
    """What tells a recording from another one, whatever it is called: the checksums of its epochs."""
    sums = one.manifest.stats
    entries = one.manifest.epochs[:epochs] if sums is None else [sums]
    return tuple((entry.crc32, entry.bytes) for entry in entries)
