"""Synthetic data with known truth: every example knows which kind it is, and what could be known of its label.

A mixture of Gaussians of unit variance, each with its classes. In D dimensions with the axes e_0, e_1, ...::

    class c          mean s / sqrt(2) e_c, label c: two classes lie s apart
    between c and d  mean halfway between two neighbouring classes, label c or d, each with probability 1/2
    rare group g     mean s / sqrt(2) e_(C + g), label g mod C: as far from its own class as from the others

Hence the posterior p(y | x) is known, and an example between two classes is truly ambiguous: no network can tell. Three
kinds are made of examples of a class: some get a wrong label, of some there is a copy, of some a copy that is moved a
little. Outliers lie far out, in any direction, and belong to no class. Settings have a name,
``synthetic:wrong=0.2,seed=3``, which stands wherever the name of a dataset can.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainmap.data.raw_rows import PARTS, Rows
from trainmap.errors import TrainmapError, number, shown, unknown, whole
from trainmap.files import writing
from trainmap.limits import memory_allowed
from trainmap.machine import human

if TYPE_CHECKING:
    import polars as pl

Array = NDArray[Any]

SYNTHETIC = "synthetic"
KINDS = ("clean", "overlap", "wrong-label", "duplicate", "near-duplicate", "rare-group", "outlier")
"""What an example can be; "clean" is an example of its class as most are."""

COPIES = ("duplicate", "near-duplicate")
NEAR = 0.1
"""Standard deviation by which a near-duplicate is moved, of every feature; that of a class is 1."""
WIDE = 3.0
"""Standard deviation of the outliers' features."""
GREYS = 16
"""Levels of grey of one standard deviation, where the examples are images."""

MOST = 10**15
"""Of a whole number."""
_NUMBERS = {"int": re.compile(r"[0-9]{1,18}"), "float": re.compile(r"[0-9]{0,18}\.?[0-9]{1,40}(e-?[0-9]{1,3})?")}


@dataclass(frozen=True)
class Synthetic:
    """Settings of a synthetic dataset; ``name`` is how a dataset is asked for.

    The shares are of the training part, and the counts exact: ``round(share * examples)``. What is left is clean.

    Attributes:
        examples: N of the training part.
        classes: C, at least 2.
        features: D of a table, at least ``classes + groups``.
        side: above 0 the examples are grey images of so many pixels a side (D is their number) in place of a table.
        separation: s, the distance between two classes in standard deviations.
        overlap: share that lies halfway between two classes.
        wrong: share whose label is exchanged for another class, each as likely.
        duplicates: share that are copies of clean examples, each of another, label and all.
        near: share that are such copies, moved by ``NEAR`` standard deviations.
        rare: share of all rare groups together.
        groups: how many rare groups there are.
        outliers: share that belongs to no class; labels of all classes evenly.
        tests: examples of the validation and of the test part, each. They have no wrong labels, copies or outliers.
        seed: of all of it.

    Raises:
        TrainmapError: a value out of range, shares that leave too few clean examples.
    """

    examples: int = 2000
    classes: int = 5
    features: int = 32
    side: int = 0
    separation: float = 5.0
    overlap: float = 0.1
    wrong: float = 0.1
    duplicates: float = 0.05
    near: float = 0.05
    rare: float = 0.05
    groups: int = 5
    outliers: float = 0.05
    tests: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"examples": 1, "classes": 2, "features": 1, "groups": 1, "tests": 1}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "int":
                value = whole(value, f"{SYNTHETIC}: {one.name}", least.get(one.name, 0))
                number(value, f"{SYNTHETIC}: {one.name}", 0, MOST)
            else:
                value = number(value, f"{SYNTHETIC}: {one.name}", 0, 100 if one.name == "separation" else 1) + 0.0
            object.__setattr__(self, one.name, value)
        if self.side and self.features != type(self).features:
            raise TrainmapError(f"{SYNTHETIC}: images of side {self.side} have no features={self.features}; leave one")
        if (needed := self.classes + (self.groups if self.rare else 0)) > self.dimensions:
            what = f"side={self.side} has {self.dimensions} pixels" if self.side else f"got {self.dimensions}"
            raise TrainmapError(
                f"{SYNTHETIC}: each class and rare group has a dimension of its own, so features must be at least "
                f"{needed}, {what}"
            )
        held = (self.examples + 2 * self.tests + 2 * needed) * (3 * self.dimensions + 4 * self.classes)
        if 8 * held > (most := memory_allowed()):
            raise TrainmapError(
                f"{SYNTHETIC}: these settings ask for {human(8 * held)} of memory, at most {human(most)} may be taken; "
                "lower examples, tests or features"
            )
        counts = self.counts
        if counts["clean"] < (needed := max(self.classes, counts["duplicate"] + counts["near-duplicate"])):
            raise TrainmapError(
                f"{SYNTHETIC}: the shares take {self.examples - counts['clean']} of {self.examples} examples and leave "
                f"{max(0, counts['clean'])} clean; at least {needed} must be: one of each class, and one for each copy"
            )
        if 0 < counts["rare-group"] < self.groups:
            raise TrainmapError(
                f"{SYNTHETIC}: {counts['rare-group']} examples cannot be {self.groups} rare groups; lower groups or "
                "raise rare"
            )

    @property
    def dimensions(self) -> int:
        """D."""
        return self.side**2 if self.side else self.features

    @property
    def counts(self) -> dict[str, int]:
        """How many examples of each of ``KINDS`` the training part has."""
        shares = (self.overlap, self.wrong, self.duplicates, self.near, self.rare, self.outliers)
        counts = [round(share * self.examples) for share in shares]
        return dict(zip(KINDS, [self.examples - sum(counts), *counts], strict=True))

    @property
    def name(self) -> str:
        """``synthetic``, or ``synthetic:`` with what differs from the defaults, in the order of the settings."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return named({name: value for name, value in told.items() if value != getattr(type(self), name)})

    @property
    def without_seed(self) -> str:
        """The name without the seed: what several draws of one dataset share."""
        return re.sub(r"[:,]seed=[0-9]+$", "", self.name)

    @staticmethod
    def of(name: str) -> Synthetic:
        """The settings that a name tells.

        Raises:
            TrainmapError: no such name, a setting that is unknown, told twice, no number or out of range.
        """
        word, colon, told = name.partition(":")
        if word != SYNTHETIC or (colon and not told):
            raise TrainmapError(
                f"synthetic data are '{SYNTHETIC}' or '{SYNTHETIC}:wrong=0.1,seed=3', got {shown(name)}"
            )
        kinds = {one.name: str(one.type) for one in fields(Synthetic)}
        found: dict[str, Any] = {}
        for part in told.split(",") if told else ():
            key, equals, value = part.partition("=")
            if not equals:
                raise TrainmapError(f"{SYNTHETIC}: settings are key=value with commas between, got {shown(part)}")
            if key not in kinds:
                raise unknown(f"setting of {SYNTHETIC}", key, kinds)
            if key in found:
                raise TrainmapError(f"{SYNTHETIC}: {key} stands twice; keep one of them")
            if not _NUMBERS[kinds[key]].fullmatch(value):
                what = "a whole number" if kinds[key] == "int" else "a number"
                raise TrainmapError(f"{SYNTHETIC}: {key} must be {what}, not negative, as {key}=1, got {shown(value)}")
            found[key] = int(value) if kinds[key] == "int" else float(value)
        return Synthetic(**found)


def named(told: dict[str, Any]) -> str:
    """The name of settings: those that are told, in their order."""
    values = {key: f"{value:.0f}" if float(value).is_integer() else repr(value) for key, value in told.items()}
    return SYNTHETIC + (":" + ",".join(f"{key}={value}" for key, value in values.items()) if told else "")


def is_synthetic(name: str | Path) -> bool:
    """Whether a dataset's name is that of synthetic data."""
    return str(name).partition(":")[0] == SYNTHETIC


@dataclass(frozen=True, eq=False)
class _Drawn:
    """n examples; ``kind`` and ``part`` are places in ``KINDS`` and ``PARTS``, ``component`` is the Gaussian and ``of``
    the row of which an example is a copy (-1 for none)."""

    x: Array  # (n, D) float64; all others (n,) int64
    part: Array
    kind: Array
    component: Array
    label: Array
    clean: Array
    of: Array

    def __len__(self) -> int:
        return len(self.label)

    def taken(self, rows: Array) -> _Drawn:
        """Some of the examples."""
        return _Drawn(**{name: values[rows] for name, values in vars(self).items()})

    @staticmethod
    def joined(pieces: Sequence[_Drawn]) -> _Drawn:
        """One after another; ``of`` stays as it is."""
        names = [one.name for one in fields(_Drawn)]
        return _Drawn(**{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


@lru_cache(maxsize=2)
def _draw(settings: Synthetic) -> _Drawn:
    """All three parts, in the order of their ids."""
    train = settings.counts
    population = settings.examples - train["outlier"]
    judged = {kind: settings.tests * train[kind] // population for kind in ("overlap", "rare-group")}
    judged["clean"] = settings.tests - sum(judged.values())
    first = _part(settings, 0, train)
    return _Drawn.joined([first, *(_part(settings, place, judged) for place in (1, 2))])


def _part(settings: Synthetic, place: int, counts: Mapping[str, int]) -> _Drawn:
    """One part, shuffled, so that an id tells nothing. Each kind has random numbers of its own: more of one leaves the
    others what they are, as far as their counts stay."""

    def random(stream: int) -> np.random.Generator:
        return np.random.default_rng([settings.seed, place, stream])

    copies = [counts.get(kind, 0) for kind in COPIES]
    originals = random(len(KINDS)).permutation(counts["clean"])
    pieces: list[_Drawn] = []
    for number_, kind in enumerate(KINDS):
        count = counts.get(kind, 0)
        if kind in COPIES:
            before = sum(copies[: COPIES.index(kind)])
            rows = originals[before : before + count]
            noise = random(number_).standard_normal((count, settings.dimensions))
            same = pieces[0].taken(rows)
            x = same.x if kind == "duplicate" else same.x + NEAR * noise
            pieces.append(replace(same, x=x, kind=np.full(count, number_), of=rows))
        else:
            pieces.append(_new(settings, kind, count, random(number_)))
    whole_part = _Drawn.joined(pieces)
    order = random(len(KINDS) + 1).permutation(len(whole_part))
    row = np.argsort(order)  # of each example in the order in which they were made: the clean ones first
    shuffled = whole_part.taken(order)
    of = np.where(shuffled.of < 0, -1, row[shuffled.of])
    return replace(shuffled, of=of, part=np.full(len(order), place))


def _new(settings: Synthetic, kind: str, count: int, random: np.random.Generator) -> _Drawn:
    """Examples of a kind that is no copy."""
    means, classes = _components(settings)
    c, pairs, nothing = settings.classes, len(_pairs(settings)), np.full(count, -1)
    noise = random.standard_normal((count, settings.dimensions))
    if kind == "outlier":
        x, component, clean = WIDE * noise, nothing, _evenly(count, c)
    else:
        first, among = {"overlap": (c, pairs), "rare-group": (c + pairs, settings.groups)}.get(kind, (0, c))
        component = first + _evenly(count, among)
        turn = np.arange(count) - np.searchsorted(component, component)  # the how-manieth of its Gaussian
        x, clean = means[component] + noise, classes[component, turn % 2]
    label = (clean + 1 + random.integers(0, c - 1, count)) % c if kind == "wrong-label" else clean
    return _Drawn(x, nothing, np.full(count, KINDS.index(kind)), component, label, clean, nothing)


def _pairs(settings: Synthetic) -> list[tuple[int, int]]:
    """Neighbouring classes, in a ring."""
    c = settings.classes
    return [(one, (one + 1) % c) for one in range(c if c > 2 else 1)]


def _components(settings: Synthetic) -> tuple[Array, Array]:
    """Of the K Gaussians, classes first, then pairs, then rare groups: means (K, D), and both their classes (K, 2)."""
    groups = settings.groups if settings.rare else 0
    axes = settings.separation / math.sqrt(2) * _axes(settings, settings.classes + groups)
    pairs = _pairs(settings)
    halfway = np.array([(axes[a] + axes[b]) / 2 for a, b in pairs])
    means = np.concatenate([axes[: settings.classes], halfway, axes[settings.classes :]])
    own = [(c, c) for c in range(settings.classes)]
    return means, np.array([*own, *pairs, *((g % settings.classes,) * 2 for g in range(groups))])


def _axes(settings: Synthetic, count: int) -> Array:
    """(count, D) orthonormal: features themselves, of images waves of growing frequency (the discrete cosines)."""
    if not settings.side:
        return np.eye(count, settings.dimensions)
    side = settings.side
    waves = np.cos(np.pi * np.arange(side)[:, None] * (np.arange(side) + 0.5) / side) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    order = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda both: (sum(both), both))
    both = [np.outer(waves[u], waves[v]).ravel() for u, v in [*order[1:], order[0]][:count]]
    return np.array(both)  # the constant image comes last: brightness is the easiest to learn


def _evenly(count: int, among: int) -> Array:
    """(count,) int64, ascending: each number below ``among`` as often as the others, the first ones once more."""
    return np.sort(np.arange(count) % among)


def synthetic_rows(name: str) -> Rows:
    """The rows of synthetic data, for ``names.open_rows``.

    Raises:
        TrainmapError: no such name.
    """
    settings = Synthetic.of(name)
    drawn = _draw(settings)
    if settings.side:
        shape = (-1, 1, settings.side, settings.side)
        x = np.clip(np.rint(127.5 + GREYS * drawn.x), 0, 255).astype(np.uint8).reshape(shape)
    else:
        x = drawn.x.astype(np.float32)
    part = np.array(PARTS, "<U24")[drawn.part]
    return Rows(settings.name, drawn.label, settings.classes, part, lambda train: (x, 0))


def truth_of(settings: Synthetic | str) -> pl.DataFrame:
    """What is known of every example of synthetic data.

    Args:
        settings: or their name; the data are ``load_splits(settings.name)``.

    Returns:
        A polars table, a row for each id, ascending: ``id``; ``part`` (train, validation, test); ``kind`` (of
        ``KINDS``); ``group`` ("class 0", "between 0 and 1", "rare 2", "outlier": which Gaussian); ``label`` (as it is
        trained on); ``clean`` (the label before it was exchanged; of an outlier its label); ``of`` (the id of which it
        is a copy, else null); ``posterior``, C numbers, p(y | x) in the population without wrong labels and outliers
        (null for outliers; of an image, before its values were rounded)::

            p(y | x) = sum_k w_k N(x; m_k, 1) q_k(y) / sum_k w_k N(x; m_k, 1)

        with w_k the share of Gaussian k in that population, m_k its mean, and q_k(y) 1, or 1/2 for each of two classes.

    Raises:
        TrainmapError: no such name.
    """
    import polars as pl

    made = Synthetic.of(settings) if isinstance(settings, str) else settings
    drawn = _draw(made)
    names = [f"class {c}" for c in range(made.classes)] + [f"between {a} and {b}" for a, b in _pairs(made)]
    names += [f"rare {g}" for g in range(made.groups)] + ["outlier"]
    inside, of = pl.Series(drawn.component >= 0), pl.Series(drawn.of)
    chances = pl.Series(_posterior(made, drawn.x)).cast(pl.List(pl.Float64))
    return pl.DataFrame(
        {
            "id": np.arange(len(drawn.label), dtype=np.int64),
            "part": [PARTS[place] for place in drawn.part],
            "kind": [KINDS[place] for place in drawn.kind],
            "group": [names[place] for place in drawn.component],
            "label": drawn.label,
            "clean": drawn.clean,
            "of": of.set(of < 0, None),
            "posterior": chances.zip_with(inside, pl.Series([None], dtype=chances.dtype)),
        }
    )


def write_truth(settings: Synthetic | str, path: str | Path) -> Path:
    """Write ``truth_of`` as a Parquet file.

    Raises:
        TrainmapError: another ending, no such name.
    """
    target = check_truth_name(path)
    table = truth_of(settings)
    with writing(target) as handle:
        table.write_parquet(handle)
    return target


def check_truth_name(path: str | Path) -> Path:
    """The path, where it ends in .parquet; before any work."""
    if (target := Path(path)).suffix != ".parquet":
        raise TrainmapError(f"the truth is a table with lists in it: its name must end in .parquet, got {target.name}")
    return target


def _posterior(settings: Synthetic, x: Array) -> Array:
    """(N, C): p(y | x) for (N, D)."""
    means, classes = _components(settings)
    counts, pairs = settings.counts, len(_pairs(settings))
    clean = settings.examples - counts["overlap"] - counts["rare-group"] - counts["outlier"]
    sizes = [clean, counts["overlap"], counts["rare-group"]]
    among = [settings.classes, pairs, len(means) - settings.classes - pairs]
    weights = np.repeat([size / max(1, parts) for size, parts in zip(sizes, among, strict=True)], among)
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + x @ means.T - (means**2).sum(axis=1) / 2
    logs -= logs.max(axis=1, keepdims=True)
    shares = np.exp(logs)
    labels = np.zeros((len(means), settings.classes))
    for side in (0, 1):
        labels[np.arange(len(means)), classes[:, side]] += 0.5
    return shares / shares.sum(axis=1, keepdims=True) @ labels


def best_accuracy(settings: Synthetic | str) -> float:
    """The accuracy on the test part that none can beat on average: the mean of max_y p(y | x)."""
    made = Synthetic.of(settings) if isinstance(settings, str) else settings
    drawn = _draw(made)
    return float(np.mean(_posterior(made, drawn.x)[drawn.part == PARTS.index("test")].max(axis=1)))
