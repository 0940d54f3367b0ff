"""How far two maps of one dataset agree: ranks, the top of the ranking, regions.

Maps of different sources ("train", "sweep" and "held-out" measure different quantities), of different datasets, or with
regions of different rules are compared only when the caller allows it by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import MISSING, find_rows
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, number, shown, unknown
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS
from trainmap.scores.compute import available

Array = NDArray[Any]
Allow = Literal["source", "dataset", "rule"]

FRACTIONS = (0.1, 1 / 3)
NONE = "none"


@dataclass(frozen=True)
class TopOverlap:
    """How much of the top (the hard end) of two rankings is the same.

    Attributes:
        fraction: of the examples that both maps have a value for.
        count: k, how many that is.
        share: the part of one top that is in the other, in [0, 1].
        jaccard: intersection over union, in [0, 1].
        chance_share, chance_jaccard: the same for two independent rankings: k / N and k / (2 N - k).
        tied: the share of the k places that equal values compete for (the higher of the two maps), in [0, 1].
    """

    fraction: float
    count: int
    share: float
    jaccard: float
    chance_share: float
    chance_jaccard: float
    tied: float


@dataclass(frozen=True)
class ScoreAgreement:
    """One score in two maps; ``examples`` have a value in both."""

    score: str
    examples: int
    spearman: float
    top: tuple[TopOverlap, ...]


@dataclass(frozen=True)
class RegionAgreement:
    """The regions of two maps: ``counts[a][b]`` examples are in region a of the first and b of the second map.

    ``agreed`` is the share on the diagonal, ``chance`` what it would be if the two columns were independent, and
    ``kappa`` = (agreed - chance) / (1 - chance) (Cohen 1960), 1 for full agreement, 0 for chance, NaN if chance is 1.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    agreed: float
    chance: float
    kappa: float


@dataclass(frozen=True)
class Comparison:
    """Two maps side by side; made by ``compare``.

    Attributes:
        examples: how many both have.
        only_a, only_b: how many one has alone (0 unless another dataset was allowed).
        sources, epochs, datasets: of the two.
        scores: one entry for each score that both have.
    """

    examples: int
    only_a: int
    only_b: int
    sources: tuple[str, str]
    epochs: tuple[int, int]
    datasets: tuple[str, str]
    scores: tuple[ScoreAgreement, ...]
    regions: RegionAgreement

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN (nothing to correlate) becomes None."""
        return plain(asdict(self))


def compare(
    a: DataMap,
    b: DataMap,
    scores: Sequence[str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    allow: Collection[Allow] = (),
) -> Comparison:
    """Agreement of two maps, over the examples that both have.

    Args:
        a, b: of two seeds, two models, or two numbers of epochs.
        scores: names; None for all that both have. The top of a score is its hard end, under every convention; of a
            column that trainmap does not know it is the high end.
        fractions: of the tops that are compared, each in (0, 1].
        allow: what may differ: ``"source"`` (train, sweep, held-out), ``"dataset"`` (ids or labels; the shared ids are
            compared), ``"rule"`` (how regions are defined). Nothing by default.

    Raises:
        TrainmapError: the maps differ in what is not allowed, share no id, or a name is unknown.
    """
    check_alike([a, b], allow)
    if scores is not None and (isinstance(scores, str) or not isinstance(scores, Iterable)):
        raise TrainmapError(f"scores must be a list of names, got {shown(scores)}")
    if isinstance(fractions, str) or not isinstance(fractions, Iterable):
        raise TrainmapError(f"fractions must be a list of numbers, got {shown(fractions)}")
    same = [name for name in a.scores if name in b.scores]
    names = same if scores is None else list(scores)
    for name in names:
        if name not in same:
            raise unknown("score in both maps", name, same)
    places = find_rows(b.ids, a.ids)
    rows_a = np.flatnonzero(places != MISSING)
    rows_b = places[rows_a]
    if not len(rows_a):
        raise TrainmapError(f"the maps have no id in common ({a.ids[:1].tolist()} ... and {b.ids[:1].tolist()} ...)")
    agreements = []
    for name in names:
        x, y = a.values(name)[rows_a], b.values(name)[rows_b]
        sign = -1 if a.hard_end(name) == "low" else 1
        both = ~(np.isnan(x) | np.isnan(y))
        top = tuple(top_overlap(sign * x, sign * y, fraction) for fraction in fractions)
        agreements.append(ScoreAgreement(name, int(both.sum()), spearman(x, y), top))
    regions = region_agreement(
        a.table["region"].to_numpy()[rows_a].astype(object), b.table["region"].to_numpy()[rows_b].astype(object)
    )
    return Comparison(
        examples=len(rows_a),
        only_a=len(a) - len(rows_a),
        only_b=len(b) - len(rows_a),
        sources=(a.source, b.source),
        epochs=(a.epochs, b.epochs),
        datasets=(a.dataset, b.dataset),
        scores=tuple(agreements),
        regions=regions,
    )


def open_pair(
    a: str | Path,
    b: str | Path,
    scores: Sequence[str] | None = None,
    epochs: int | None = None,
    verify: bool = True,
) -> tuple[DataMap, DataMap]:
    """Two maps, each from a dynamics folder or a saved map (.parquet).

    Args:
        scores: what a folder is scored with; None for all that both can have.
        epochs: use only the first so many epochs of a folder.
        verify: compare what is read with its checksums.

    Raises:
        TrainmapError: ``epochs`` with a saved map, whose scores are made already.
    """
    opened = [
        DataMap.open(path, verify) if Path(path).suffix == ".parquet" else Dynamics.open(path, verify=verify)
        for path in (a, b)
    ]
    saved = [one for one in opened if isinstance(one, DataMap)]
    if saved and epochs is not None:
        raise TrainmapError("epochs can be chosen for dynamics folders only; a saved map has its scores already")
    if scores is None:
        first, second = (one.scores if isinstance(one, DataMap) else available(one, epochs) for one in opened)
        scores = [name for name in first if name in second]
    rule, fraction = (saved[0].rule, saved[0].fraction) if saved else ("quantile", 1 / 3)
    first, second = (
        one if isinstance(one, DataMap) else DataMap.from_dynamics(one, scores, rule, fraction, epochs=epochs)
        for one in opened
    )
    return first, second


def check_alike(maps: Sequence[DataMap], allow: Collection[Allow] = ()) -> None:
    """Refuse maps that must not be compared silently; see ``compare``."""
    for one in maps:
        check_kind(one, DataMap)
    for name in allow if isinstance(allow, Iterable) and not isinstance(allow, str) else [allow]:
        if name not in get_args(Allow):
            raise unknown("difference to allow", name, get_args(Allow))
    facts: dict[Allow, tuple[str, list[str]]] = {
        "source": ("source (the two are different quantities)", [m.source for m in maps]),
        "dataset": ("dataset (ids or labels differ)", [m.dataset[:16] for m in maps]),
        "rule": ("rule of regions", [f"{m.rule} {m.fraction:.4g}" if m.rule == "quantile" else m.rule for m in maps]),
    }
    of = [f"{m.kind} of {', '.join(signal.name for signal in m.signals)}" if m.signals else m.kind for m in maps]
    if len(set(of)) > 1:
        raise TrainmapError(f"maps that are compared must be of one kind, got {' and '.join(dict.fromkeys(of))}")
    for name, (what, values) in facts.items():
        if name not in allow and len(set(values)) > 1:
            raise TrainmapError(
                f"maps that are compared must have the same {what}, got {' and '.join(dict.fromkeys(values))}; "
                f"allow '{name}' if that is what you want to compare"
            )


def ranks(values: Array) -> Array:
    """Ranks from 1 on, (n,) float64; equal values share the mean of their ranks. No NaN may be among them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation with mean ranks for ties: Pearson's correlation of the ranks.

    Args:
        a, b: (n,) floats, infinities allowed; a pair with a NaN is left out.

    Returns:
        in [-1, 1]; NaN for fewer than two pairs, or when one side is constant (it has no ranking to agree with).
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise TrainmapError(f"two rankings must be one-dimensional and alike, got {a.shape} and {b.shape}")
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2:
        return math.nan
    x, y = ranks(a[both]), ranks(b[both])
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return max(-1.0, min(1.0, float(x @ y) / scale)) if scale else math.nan


def top_overlap(a: Array, b: Array, fraction: float) -> TopOverlap:
    """How much the highest ``fraction`` of ``a`` and of ``b`` (n,) share; a pair with a NaN is left out.

    Equal values at the border hold an equal share of the places that are left there, in each ranking by itself. So
    the figure is the expectation over random orders of the equals: two constant columns agree no more than chance,
    which breaking ties by id would hide, and a coarse score (correctness) does not overlap fully with itself; ``tied``
    says how many places are concerned. k = round(fraction n), at least 1.
    """
    if not 0 < number(fraction, "fractions") <= 1:
        raise TrainmapError(f"fractions must be above 0 and at most 1, got {fraction}")
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = ~(np.isnan(a) | np.isnan(b))
    n = int(both.sum())
    if n == 0:
        return TopOverlap(fraction, 0, *[math.nan] * 5)
    k = max(1, int(fraction * n + 0.5))
    (in_a, tied_a), (in_b, tied_b) = _places(a[both], k), _places(b[both], k)
    shared = float(in_a @ in_b)
    return TopOverlap(fraction, k, shared / k, shared / (2 * k - shared), k / n, k / (2 * n - k), max(tied_a, tied_b))


def _places(values: Array, k: int) -> tuple[Array, float]:
    """Each example's part of a place among the k highest, and the share of the places that equals compete for."""
    border = np.partition(values, len(values) - k)[len(values) - k]
    above, level = values > border, values == border
    left, equals = k - int(above.sum()), int(level.sum())
    return above + level * (left / equals), (left / k if equals > left else 0.0)


def region_agreement(a: Array, b: Array) -> RegionAgreement:
    """The confusion table of two region columns, (n,) of str or None in the same order."""
    names = (*REGIONS, NONE)
    place_a, place_b = (np.full(len(column), len(REGIONS)) for column in (a, b))
    for i, name in enumerate(REGIONS):
        place_a[a == name], place_b[b == name] = i, i
    size, n = len(names), len(a)
    counts = np.bincount(place_a * size + place_b, minlength=size * size).reshape(size, size)
    agreed = float(np.trace(counts)) / n if n else math.nan
    chance = float(counts.sum(axis=1) @ counts.sum(axis=0)) / n**2 if n else math.nan
    kappa = (agreed - chance) / (1 - chance) if chance < 1 else math.nan
    return RegionAgreement(names, tuple(map(tuple, counts.tolist())), agreed, chance, kappa)


def plain(value: Any) -> Any:
    """Values that JSON has: NaN and the infinities become None."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
