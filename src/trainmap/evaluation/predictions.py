"""What networks predict, kept by id: the two sides of a comparison, from a file or from a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, some
from trainmap.files import is_dir, reading, writing
from trainmap.maps.datamap import DataMap
from trainmap.maps.map_file import to_arrow
from trainmap.maps.table_file import check_table, read_table, write_table
from trainmap.parquet_files import to_frame

Array = NDArray[Any]

FORMAT = "trainmap-predictions"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes that K trainings of one network predict, rows in order of id.

    Attributes:
        ids: (N,) distinct, ascending.
        labels: (N,) int.
        predicted: (K, N) int: one row for each training (seed).
    """

    ids: Array
    labels: Array
    predicted: Array

    @staticmethod
    def of(ids: Any, labels: Any, predicted: Any) -> Predictions:
        """Predictions in any order of the rows.

        Args:
            ids: (N,) distinct integers or strings.
            labels: (N,) gold labels.
            predicted: (N,) or (K, N) classes.

        Raises:
            TrainmapError: shapes that do not fit, ids that repeat, values that are no classes.
        """
        ids, labels, predicted = to_ids(ids), to_labels(labels), np.atleast_2d(np.asarray(predicted))
        if labels.shape != ids.shape or predicted.ndim != 2 or predicted.shape[1:] != ids.shape or not len(ids):
            raise TrainmapError(
                f"predictions need ids (N,), labels (N,) and classes (N,) or (K, N) with N > 0, "
                f"got {ids.shape}, {labels.shape}, {predicted.shape}"
            )
        if not np.issubdtype(predicted.dtype, np.integer) or predicted.min() < 0:
            raise TrainmapError(f"predicted classes must be integers from 0 on, got {predicted.dtype}; take the argmax")
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        if (repeated := ids[1:][ids[1:] == ids[:-1]]).size:
            raise TrainmapError(f"ids must be unique, {repeated.size} repeat (first: {some(repeated.tolist())})")
        return Predictions(ids, labels[order], predicted[:, order].astype(np.int64))

    @staticmethod
    def from_dynamics(dynamics: Dynamics, epoch: int | None = None) -> Predictions:
        """What a recording's network predicted in one epoch (the last unless told), for the examples seen in it.

        Raises:
            TrainmapError: no such epoch, or no ``predicted`` was recorded.
        """
        dynamics.check_classes("what a network predicted")
        at = dynamics.epochs - 1 if epoch is None else epoch
        if not 0 <= at < dynamics.epochs:
            raise TrainmapError(f"epoch must be 0 to {dynamics.epochs - 1}, got {at}")
        if "predicted" not in dynamics.signals:
            raise TrainmapError("this recording has no 'predicted'; record it with level 'signals' or 'logits'")
        predicted = np.asarray(dynamics.column(at, "predicted"), dtype=np.float64)
        seen = np.isfinite(predicted) & (predicted >= 0)
        return Predictions.of(dynamics.ids[seen], dynamics.labels[seen], predicted[seen].astype(np.int64))

    @property
    def modal(self) -> Array:
        """(N,) the class that most trainings predict, the smaller one winning a tie."""
        votes = np.stack([(self.predicted == row).sum(axis=0) for row in self.predicted])
        most = np.where(votes == votes.max(axis=0), self.predicted, np.iinfo(np.int64).max)
        return most.min(axis=0)

    def save(self, path: str | Path) -> Path:
        """Write a table (.parquet): id, label, and ``predicted_0``, ``predicted_1``, ..."""
        target = Path(path)
        if target.suffix != ".parquet":
            raise TrainmapError(f"predictions are kept in a .parquet file, got {target.name}")
        columns = {"id": self.ids, "label": self.labels}
        columns |= {f"predicted_{number}": row for number, row in enumerate(self.predicted)}
        with writing(target) as handle:
            write_table(handle, to_arrow(pl.DataFrame(columns)), {"format": FORMAT})
        return target

    @staticmethod
    def open(path: str | Path, verify: bool = True) -> Predictions:
        """A table of ``save`` or of your own, or the last epoch of a dynamics folder.

        Args:
            path: of either.
            verify: compare what is read with its checksum, where it has one.

        Raises:
            TrainmapError: neither of them.
        """
        if is_dir(path):
            return Predictions.from_dynamics(Dynamics.open(path, verify=verify))
        arrow, about = read_table(path, "table of predictions")
        if verify and isinstance(about, dict):
            check_table(path, arrow, about)
        with reading(path, "table of predictions", "make it again"):
            table = to_frame(arrow)
        columns = [name for name in table.columns if name.startswith("predicted_")]
        if (
            lacking := [name for name in ("id", "label") if name not in table.columns]
            or ["predicted_0"][len(columns) :]
        ):
            raise StoreError(
                f"{path} holds no predictions: it needs columns id, label, predicted_0, ...; {lacking[0]} is missing"
            )
        with reading(path, "table of predictions", "make it again"):
            ids, labels = table["id"].to_numpy(), table["label"].to_numpy()
            return Predictions.of(ids, labels, np.stack([table[name].to_numpy() for name in columns]))


def regions_of(datamap: DataMap, side: Predictions) -> dict[Any, str | None]:
    """id → region of a map, for a grouping of ``flips``.

    Raises:
        TrainmapError: the map has not all of the examples, or other labels.
    """
    there = dict(zip(datamap.ids.tolist(), datamap.labels.tolist(), strict=True))
    lost = [example for example in side.ids.tolist() if example not in there]
    if lost:
        raise TrainmapError(
            f"{len(lost)} of {len(side.ids)} predicted examples are not on the map (first: {some(lost)}); "
            "give a map that was recorded on the same examples"
        )
    if wrong := [
        one for one, label in zip(side.ids.tolist(), side.labels.tolist(), strict=True) if there[one] != label
    ]:
        raise TrainmapError(f"the map has other labels for {len(wrong)} examples (first: id {some(wrong, 1)})")
    return dict(zip(datamap.ids.tolist(), datamap.table["region"].to_list(), strict=True))


def check_same_examples(a: Predictions, b: Predictions, first: str, second: str) -> None:
    """Refuse predictions of other examples or with other labels."""
    if len(a.ids) != len(b.ids) or a.ids.dtype.kind != b.ids.dtype.kind or not np.array_equal(a.ids, b.ids):
        lost, new = np.setdiff1d(a.ids, b.ids).tolist(), np.setdiff1d(b.ids, a.ids).tolist()
        raise TrainmapError(
            f"{first} and {second} must be predictions of the same examples: {len(lost)} ids are in {first} alone "
            f"({some(lost)}), {len(new)} in {second} alone ({some(new)})"
        )
    if (wrong := np.flatnonzero(a.labels != b.labels)).size:
        raise TrainmapError(
            f"{first} and {second} have other labels for {wrong.size} examples (first: id {a.ids[wrong[0]]}): "
            "they are not of one dataset"
        )
