"""Pool: the examples that a strategy may choose from, with what it needs to know of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.index import MISSING, find_rows, rising
from trainmap.errors import TrainmapError, some
from trainmap.maps.regions import Rule

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Features:
    """A vector for each example: a network's last hidden layer, an embedding.

    Attributes:
        ids: (N,) unique, in any order.
        values: (N, D) finite numbers.
    """

    ids: Array
    values: Array

    def __post_init__(self) -> None:
        ids = to_ids(self.ids)
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "values", to_numpy(self.values, "features"))
        if self.values.ndim != 2 or len(self.values) != len(ids) or not np.issubdtype(self.values.dtype, np.number):
            raise TrainmapError(
                f"features must be numbers (N, D) for N = {len(ids)} ids, got {self.values.dtype} {self.values.shape}"
            )
        if len(np.unique(ids)) != len(ids):
            raise TrainmapError("features must have one row for each id; some ids repeat")
        if broken := int((~np.isfinite(self.values)).any(axis=1).sum()):
            raise TrainmapError(f"features must be finite; those of {broken} of {len(ids)} examples are not")

    def fingerprint(self) -> str:
        """SHA-256 (hex), whatever the order of the rows."""
        order = np.argsort(self.ids, kind="stable")
        digest = hashlib.sha256("\0".join(map(str, self.ids[order].tolist())).encode())
        digest.update(np.ascontiguousarray(self.values[order], "<f4").data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Pool:
    """n examples, ids ascending. A strategy orders them by ``rising``, so that ties do not follow the ids.

    Attributes:
        ids: (n,) ascending.
        labels: (n,) int64; -1 where no label is known.
        scores: name -> (n,) float64, NaN where there is none.
        kept: the share of the whole dataset that is asked for, above 0 and at most 1.
        features: (n, D) or None.
        clusters: (n,) int64, -1 for an example without one; or None.
        epochs: of the recording that the scores come from.
        examples: N of the whole dataset; ``kept`` of them are asked for in all, also where a pool is one class.
        rule: of the map's regions.
        ends: of the scores, which one is hard ("high", "low"), as the map says; what is not in it is told by its name.
        source: of the recording: "train", "sweep" or "held-out".
    """

    ids: Array
    labels: Array
    scores: Mapping[str, Array]
    kept: float
    features: Array | None = None
    clusters: Array | None = None
    epochs: int = 0
    examples: int = 0
    rule: Rule = "quantile"
    ends: Mapping[str, str | None] = field(default_factory=dict)
    source: str = "train"

    def __len__(self) -> int:
        return len(self.ids)

    def rising(self, values: Array) -> Array:
        """Rows from the lowest of ``values`` (n,) to the highest; equals by the hash of their ids."""
        return rising(values, self.ids)

    def rows(self, chosen: Array) -> Pool:
        """Some rows (a mask, or ascending positions)."""
        return replace(
            self,
            ids=self.ids[chosen],
            labels=self.labels[chosen],
            scores={name: values[chosen] for name, values in self.scores.items()},
            features=None if self.features is None else self.features[chosen],
            clusters=None if self.clusters is None else self.clusters[chosen],
        )


@dataclass(frozen=True)
class Candidates:
    """What is known of a pool before there is a map.

    Attributes:
        count: how many examples.
        classes: how many of each class; () where that is not known.
    """

    count: int
    classes: tuple[int, ...] = ()


def aligned(ids: Array, other: Array, values: Array, what: str) -> Array:
    """``values``, of the examples ``other``, in the order of ``ids``.

    Raises:
        TrainmapError: an id that is not among ``other``, or ids of another kind.
    """
    if (ids.dtype.kind == "U") != (other.dtype.kind == "U"):
        raise TrainmapError(f"the {what} have ids of type {other.dtype}, the map's are {ids.dtype}")
    place = find_rows(other, ids)
    lacking = ids[place == MISSING]
    if len(lacking):
        raise TrainmapError(f"{len(lacking)} examples of the map have no {what} (first: {some(lacking.tolist())})")
    return values[place]
