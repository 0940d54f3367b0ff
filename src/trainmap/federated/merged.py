"""One map of all clients' examples, to hold it beside that of a training in one place; nobody has it but in a
simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.errors import TrainmapError, counted, some
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import Rule

Array = NDArray[Any]


def merged_map(
    recordings: Sequence[Dynamics],
    scores: Sequence[str] | None = None,
    rule: Rule = "quantile",
    fraction: float = 1 / 3,
    *,
    epochs: int | None = None,
) -> DataMap:
    """The map of the examples of all clients together, regions by all of them.

    A federation of one client that has everything is ordinary training, and records at the same checkpoints: its map is
    the centralised one. ``trainmap.compare`` tells how far the two agree, score by score and region by region::

        compare(merged_map([Dynamics.open(one.folder) for one in clients]), merged_map([Dynamics.open(alone.folder)]))

    Args:
        recordings: of the clients, each of its own examples.
        scores: names; None for all that every recording can give. Confidence, variability and correctness always.
        rule, fraction: see ``trainmap.maps.regions``.
        epochs: use only the first so many of each; None: as many as all of them have.

    Raises:
        TrainmapError: no recordings, of different sources or classes, with an id in two of them.
    """
    for one in recordings:
        check_kind(one, Dynamics)
    if len(found := {one.classes for one in recordings}) != 1:
        raise TrainmapError(f"a merged map is of recordings with one number of classes, got {sorted(found) or 'none'}")
    first = min(one.epochs for one in recordings) if epochs is None else epochs
    how: dict[str, Any] = {"rule": rule, "fraction": fraction, "epochs": first, "workers": 1}
    return joined([DataMap.from_dynamics(one, scores, **how) for one in recordings])


def joined(maps: Sequence[DataMap]) -> DataMap:
    """One map of the examples of several, with the scores that all of them have and regions by all examples together.

    Raises:
        TrainmapError: no maps, of different sources, rules or numbers of epochs, with an id in two of them.
    """
    if not len(maps):
        raise TrainmapError("a merged map is of one map or more, got none")
    first = maps[0]
    for what, found in (
        ("source", {one.source for one in maps}),
        ("rule of regions", {f"{one.rule} {one.fraction:.4g}" for one in maps}),
        ("number of epochs", {one.epochs for one in maps}),
        ("kind of ids", {str(one.table["id"].dtype) for one in maps}),
    ):
        if len(found) > 1:
            raise TrainmapError(f"maps that are merged must have the same {what}, got {some(sorted(found))}")
    shared = ["id", "label", *(name for name in first.scores if all(name in one.scores for one in maps))]
    table = pl.concat([one.table.select(shared) for one in maps]).sort("id")
    if twice := table.filter(pl.col("id").is_duplicated())["id"].unique(maintain_order=True).to_list():
        raise TrainmapError(
            f"an example is with one client, {counted(len(twice), 'id')} are with several (first: {some(twice)})"
        )
    made = replace(first, table=table.with_columns(region=pl.lit(None, pl.String)), dataset="").with_rule(first.rule)
    return replace(made, dataset=fingerprint(made.ids, made.labels))
