"""What an audit found: every label with its suspicion, the classes with their thresholds, and what cannot be told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.audits.precision import Quality
from trainmap.audits.thresholds import warnings_of
from trainmap.cells import cells
from trainmap.dynamics.index import ids_from_arrow
from trainmap.dynamics.supervision import Kind, Per
from trainmap.errors import TrainmapError, counted, whole
from trainmap.files import writing
from trainmap.maps.map_file import to_arrow
from trainmap.told import Lines, Told

Array = NDArray[Any]

DENSE = 11_000  # classes up to which a matrix of all pairs is made: 968 MB, and as much again for ``confusion + 1``


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Told):
    """What an audit found; made by ``audit`` or ``audit_threshold_samples``.

    Attributes:
        table: polars, the most suspicious first (equals by the hash), one row for each example: ``id``; ``label``;
            ``suspicion`` (the higher, the more likely wrong; null if it cannot be told); ``suspected``; ``suggested``
            (the class other than the label that was predicted most, null where it is not suspected and the label was
            predicted more); ``support`` (the share of the epochs in which that class was predicted, by their weights).
        rule: its name.
        threshold: of the rule, or the one asked for: suspected from there on, but for the classes that have their own.
        source, dataset, epochs: of the recording.
        quality: precision and recall, estimated from planted flips; or None.
        kind: of the recording. Of regression ``label`` is null, and ``target``, ``residual`` (its mean over the epochs,
            by their weights: prediction less target) and ``suggested`` (the mean prediction) are numbers; of several
            labels and of sequences, pooled, there is no ``suggested``.
        per: "label" or "token", where the examples are parts of others; the table then has ``example`` and ``part``.
        class_names: what the classes are called; the table then has ``label_name`` and ``suggested_name``.
        by_class: polars, a row for each class of which a label was judged: ``label``; ``examples`` (so many were);
            ``threshold`` (of suspicion; above the rule's where the class is rare; infinite where nothing can be told);
            ``preferred`` (how many the rule's threshold would suspect in every class alike); ``suspected``; ``note``
            (``thresholds.NOTES``, null for most).
    """

    table: pl.DataFrame
    rule: str
    threshold: float
    source: str
    dataset: str
    epochs: int
    quality: Quality | None = None
    by_class: pl.DataFrame = field(default_factory=pl.DataFrame)
    kind: Kind = "classes"
    per: Per | None = None
    class_names: tuple[str | int, ...] | None = None

    def __len__(self) -> int:
        return self.table.height

    def told(self) -> Lines:
        """What it is in a few lines."""
        found = self.suspected
        lines: dict[str, object] = {
            "labels": f"{len(self):,}, {len(found):,} look wrong ({len(found) / max(1, len(self)):.1%})",
            "first": ", ".join(map(str, found[:5].tolist())) + (", ..." if len(found) > 5 else "") or "none",
            "rule": f"{self.rule}, from {self.threshold:g} on; {counted(self.epochs, 'epoch')} ({self.source})",
        }
        if self.quality is not None:
            lines["quality"] = str(self.quality)
        if self.warnings:
            lines["mind"] = self.warnings[0] + (f" (and {len(self.warnings) - 1} more)" if self.warnings[1:] else "")
        return "Audit", lines | {"look": "audit.table, audit.suspected, audit.by_class"}

    @property
    def suspected(self) -> Array:
        """Ids of the suspected labels, the most suspicious first."""
        return ids_from_arrow(self.table.filter("suspected")["id"].to_arrow())

    @property
    def warnings(self) -> list[str]:
        """Lines about classes that cannot be judged: too small, learned late or mostly wrong, much of it suspected."""
        return warnings_of(self.by_class) if self.by_class.height else []

    def first(self, count: int) -> Array:
        """Ids of the ``count`` labels that lie furthest above the threshold of their class.

        In balanced data they are the first of the table. Of a rare class the table's first are labels that any of its
        labels could be: cutting by suspicion alone takes the class away.
        """
        if not self.by_class.height:
            return ids_from_arrow(self.table["id"].to_arrow())[:count]
        own = self.table.join(self.by_class.select("label", "threshold"), "label", how="left", maintain_order="left")
        above = (own["suspicion"] - own["threshold"]).fill_null(-math.inf).to_numpy()
        return ids_from_arrow(self.table["id"].to_arrow())[np.argsort(-above, kind="stable")[:count]]

    def per_example(self) -> pl.DataFrame:
        """The parts of each example pooled: the most suspicious of its labels or tokens speaks for it.

        Returns:
            polars, the most suspicious first, a row for each example: ``id``, ``suspicion`` (the highest of its parts),
            ``suspected`` (how many of its parts are), ``parts`` (how many were judged), ``worst`` (the part).

        Raises:
            TrainmapError: an audit whose examples are no parts of others.
        """
        if self.per is None:
            raise TrainmapError("per_example pools the parts of examples; record with per='label' or per='token'")
        judged = self.table.filter(pl.col("suspicion").is_not_null())
        pooled = judged.group_by("example", maintain_order=True).agg(
            pl.col("suspicion").max(),
            pl.col("suspected").sum().cast(pl.Int64),
            pl.len().cast(pl.Int64).alias("parts"),
            pl.col("part").sort_by("suspicion", descending=True, maintain_order=True).first().alias("worst"),
        )
        return pooled.rename({"example": "id"})

    def confusion(self, classes: int) -> Array:
        """(C, C) int64: how many suspected labels of class i have the suggestion j; for ``planted.plan_flips``."""
        if whole(classes, "classes", 1) > DENSE:
            raise TrainmapError(
                f"a confusion of {classes} classes takes {8e-9 * classes**2:,.0f} GB (up to {DENSE} are made); count "
                "the pairs of label and suggested in the table instead"
            )
        if self.kind != "classes":
            raise TrainmapError(f"a confusion is of classes; this audit is of kind '{self.kind}'")
        found = self.table.filter(
            pl.col("suspected") & pl.col("label").is_not_null() & pl.col("suggested").is_not_null()
        )
        label, suggested = found["label"].to_numpy(), found["suggested"].to_numpy()
        if len(label) and max(label.max(), suggested.max()) >= classes:
            raise TrainmapError(f"classes must be above {max(label.max(), suggested.max())}, got {classes}")
        return np.bincount(label * classes + suggested, minlength=classes**2).reshape(classes, classes)

    def save(self, path: str | Path) -> Path:
        """Write the table as Parquet or CSV, by the name's ending."""
        target = check_audit_name(path)
        with writing(target) as handle:
            if target.suffix == ".csv":
                cells(self.table).write_csv(handle)
            else:
                pq.write_table(to_arrow(self.table), handle)
        return target


def check_audit_name(path: str | Path) -> Path:
    """Refuse a file name that an audit cannot be written to."""
    target = Path(path)
    if target.suffix not in (".parquet", ".csv"):
        raise TrainmapError(f"an audit is written as .parquet or .csv, got {target.name}")
    return target
