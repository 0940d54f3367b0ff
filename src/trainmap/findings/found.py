"""All that one recording says about its data: the map, its labels, its classes, and what may be done with them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.audits.audit import audit
from trainmap.audits.suspects import Audit
from trainmap.dynamics.index import ids_from_arrow
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, number
from trainmap.explorer.example_sources import Examples
from trainmap.findings.same_examples import Same, find_same
from trainmap.findings.worth_trying import Worth, is_worth
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap
from trainmap.maps.stability import Convergence, converged
from trainmap.scores.compute import available

Array = NDArray[Any]
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]

SUSPECTS = 48
COMPARED = 20_000
"""Examples up to which all are compared with each other; of more the most suspicious so many."""
RARE = 0.2
"""A class of fewer examples than this share of the mean class is called rare."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found; made by ``find_out``.

    Attributes:
        dynamics, datamap: the recording, and its map.
        audit: its labels; None where it cannot be audited, ``without_audit`` says why.
        stands: whether its ranking stands still; None where that cannot be told (fewer than two epochs).
        worth: whether choosing by it is worth a try.
        classes: polars, a row for each class, the least learned first: ``label``, ``name``, ``examples``, ``rare``,
            ``confidence`` (mean), ``learned`` (share right at the end), ``suspected``.
        same: examples that stand twice; None where nobody knows what they are.
        compared: how many examples were compared for it.
        examples: where they are; None where nobody said.
    """

    dynamics: Dynamics
    datamap: DataMap
    audit: Audit | None
    without_audit: str
    stands: Convergence | None
    worth: Worth
    classes: pl.DataFrame
    same: list[Same] | None = None
    compared: int = 0
    examples: Examples | None = field(default=None, repr=False)

    @property
    def suspected(self) -> int:
        """How many labels look wrong."""
        return 0 if self.audit is None else len(self.audit.suspected)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the recording, or of its data; () where neither says."""
        own = self.dynamics.class_names or (() if self.examples is None else self.examples.class_names)
        return tuple(map(str, own))

    def called(self, label: int | None) -> str:
        """The name of a class."""
        if label is None or label < 0:
            return "none"
        return self.class_names[label] if label < len(self.class_names) else str(label)


def find_out(
    dynamics: Dynamics,
    examples: Examples | None = None,
    *,
    held_out: float | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Look at everything that a recording says about its data.

    Args:
        examples: what the examples are (``trainmap.explorer.examples_of``); None: they are told by their ids.
        held_out: accuracy of the recorded network on data that it was not trained on, 0 to 1.
        progress: (what, how many) -> a context with a function that is told how many more are done.

    Raises:
        TrainmapError: no recording, or one without an epoch.
    """
    check_kind(dynamics, Dynamics)
    if held_out is not None and not 0 <= number(held_out, "held_out") <= 1:
        raise TrainmapError(f"held_out must be an accuracy, 0 to 1, got {held_out}")
    datamap = DataMap.from_dynamics(dynamics)
    audited, why = None, ""
    try:
        audited = audit(dynamics)
    except TrainmapError as error:
        why = str(error)
    stands = None
    if dynamics.epochs > 1 and dynamics.level != "stats":
        known = "confidence" in available(dynamics)
        stands = converged(dynamics, "confidence" if known else f"{datamap.signal}_mean")
    worth = is_worth(
        datamap,
        suspected=0 if audited is None else len(audited.suspected),
        stands_still=None if stands is None else bool(stands),
        held_out=held_out,
    )
    same, compared = None, 0
    if examples is not None:
        ids, labels = _compared(datamap, audited)
        compared = len(ids)
        with nullcontext() if progress is None else progress("comparing examples", compared) as done:
            same = find_same(examples, ids, labels, done)
    found = Findings(dynamics, datamap, audited, why, stands, worth, pl.DataFrame(), same, compared, examples)
    return replace(found, classes=_classes(found))


def _compared(datamap: DataMap, audited: Audit | None) -> tuple[Array, Array]:
    """The examples that are compared with each other, and their labels."""
    if len(datamap) <= COMPARED or audited is None:
        rows = np.arange(min(len(datamap), COMPARED))
    else:
        first = ids_from_arrow(audited.table["id"].head(COMPARED).to_arrow())
        rows = np.flatnonzero(np.isin(datamap.ids, first))
    return datamap.ids[rows], datamap.labels[rows]


def _classes(found: Findings) -> pl.DataFrame:
    """A row for each class, the least learned first."""
    dynamics, datamap = found.dynamics, found.datamap
    labels = datamap.labels
    suspected = np.zeros(len(datamap), bool)
    if found.audit is not None:
        suspected = np.isin(datamap.ids, found.audit.suspected)
    learned = np.full(len(datamap), np.nan)
    if "predicted" in dynamics.signals:
        last = dynamics.column(dynamics.epochs - 1, "predicted")
        learned = np.where(last >= 0, (last == dynamics.labels).astype(float), np.nan)
    table = pl.DataFrame(
        {
            "label": labels,
            "confidence": datamap.values("confidence"),
            "learned": learned,
            "suspected": suspected,
        }
    ).filter(pl.col("label") >= 0)
    by_class = table.group_by("label").agg(
        pl.len().alias("examples"),
        pl.col("confidence").fill_nan(None).mean(),
        pl.col("learned").fill_nan(None).mean(),
        pl.col("suspected").sum(),
    )
    mean = float(by_class["examples"].to_numpy().mean()) if by_class.height else 0.0
    names = [found.called(label) for label in by_class["label"]]
    return by_class.with_columns(
        pl.Series("name", names, dtype=pl.String), (pl.col("examples") < RARE * mean).alias("rare")
    ).sort("confidence", "label", nulls_last=True)
