"""DataMap: one table with a row for every example: id, label, scores, region."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import UNKNOWN_LABEL, Dynamics, fingerprint
from trainmap.errors import StoreError, TrainmapError
from trainmap.files import write_atomically
from trainmap.maps.compute import available, compute
from trainmap.maps.regions import Rule, assign, check_rule, overlap

Array = NDArray[Any]

KEY = b"trainmap"
VERSION = 1
AXES = ("confidence", "variability", "correctness")


@dataclass(frozen=True)
class DataMap:
    """The map of a dataset; made by ``DataMap.from_dynamics`` or ``DataMap.open``.

    Attributes:
        table: polars, sorted by id: ``id``, ``label``, one column for each score, ``region``.
        epochs: how many epochs the scores were made from.
        rule: how regions are defined, "quantile" or "corner".
        fraction: the share of examples in each region before precedence (quantile rule).
        source: "train" or "sweep", as recorded.
        dataset: fingerprint of the ids and labels.
    """

    table: pl.DataFrame
    epochs: int
    rule: Rule
    fraction: float
    source: str
    dataset: str

    @staticmethod
    def from_dynamics(
        dynamics: Dynamics,
        scores: Sequence[str | Callable[[Block], Array]] | None = None,
        rule: Rule = "quantile",
        fraction: float = 1 / 3,
        *,
        epochs: int | None = None,
        workers: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> DataMap:
        """Score every example of a recording and assign the regions.

        Args:
            scores: names or functions of a block; None for all that the recording can give. Confidence, variability
                and correctness are always there, for they are the map's axes.
            rule, fraction: see ``trainmap.maps.regions``.
            epochs: use only the first so many epochs.
        """
        check_rule(rule)
        wanted = list(available(dynamics) if scores is None else scores)
        wanted = [*(name for name in AXES if name not in wanted), *wanted]
        values = compute(dynamics, wanted, epochs=epochs, workers=workers, on_progress=on_progress)
        return DataMap(
            table=to_table(dynamics, values).with_columns(
                pl.Series(
                    "region",
                    assign(values["variability"], values["confidence"], dynamics.ids, rule, fraction),
                    dtype=pl.String,
                )
            ),
            epochs=dynamics.epochs if epochs is None else epochs,
            rule=rule,
            fraction=fraction,
            source=dynamics.source,
            dataset=dynamics.fingerprint,
        )

    def __len__(self) -> int:
        return self.table.height

    @property
    def scores(self) -> list[str]:
        """The names of the score columns."""
        return [name for name in self.table.columns if name not in ("id", "label", "region")]

    @cached_property
    def ids(self) -> Array:
        """(N,) int64 or str, ascending."""
        ids = self.table["id"]
        return np.array(ids.to_list(), dtype=np.str_) if ids.dtype == pl.String else ids.to_numpy()

    @cached_property
    def labels(self) -> Array:
        """(N,) int64; -1 where no label is known."""
        return self.table["label"].fill_null(UNKNOWN_LABEL).to_numpy()

    def values(self, score: str) -> Array:
        """One score, (N,) float64, in id order."""
        if score not in self.scores:
            raise TrainmapError(
                f"score '{score}' is not in this map; it has {', '.join(sorted(self.scores))}. "
                "Make the map again with that score"
            )
        return self.table[score].to_numpy()

    def overlap(self) -> dict[tuple[str, str], float]:
        """How much the quantile regions share, pair by pair, as a fraction of a region."""
        return overlap(self.values("variability"), self.values("confidence"), self.ids, self.fraction)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the ids, labels, scores and rule: two maps with one fingerprint select the same examples."""
        digest = hashlib.sha256(f"{self.dataset} {self.rule}".encode())
        for name in sorted(self.scores):
            digest.update(name.encode() + self.values(name).astype("<f8").tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the table as Parquet, with what made it in the file's metadata."""
        target = Path(path)
        if target.suffix != ".parquet":
            raise TrainmapError(f"a map is saved as Parquet: its name must end in .parquet, got {target.name}")
        about = {
            "version": VERSION,
            "epochs": self.epochs,
            "rule": self.rule,
            "fraction": self.fraction,
            "source": self.source,
            "dataset": self.dataset,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as handle:
            pq.write_table(to_arrow(self.table).replace_schema_metadata({KEY: json.dumps(about)}), handle)
        return target

    @staticmethod
    def open(path: str | Path) -> DataMap:
        """Open a saved map. The order of its rows does not matter: they are sorted by id."""
        try:
            table = pq.read_table(path)
        except FileNotFoundError as error:
            raise StoreError(f"there is no map at {path}") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"{path} is not a Parquet file ({error}); a map is made by `trainmap map`") from error
        metadata = (table.schema.metadata or {}).get(KEY)
        if metadata is None:
            raise StoreError(f"{path} is a table, but not a map: it was not written by `trainmap map`")
        about = json.loads(metadata)
        if about["version"] > VERSION:
            raise StoreError(f"{path} has map version {about['version']}, this trainmap reads up to {VERSION}: upgrade it")
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return DataMap(frame.sort("id"), about["epochs"], about["rule"], about["fraction"], about["source"], about["dataset"])


def to_table(dynamics: Dynamics, values: dict[str, Array]) -> pl.DataFrame:
    """id, label and one column for each score, in row order."""
    labels = pl.Series("label", dynamics.labels)
    return pl.DataFrame(
        {
            "id": pl.Series(dynamics.ids.tolist() if dynamics.ids.dtype.kind == "U" else dynamics.ids),
            "label": labels.set(labels == UNKNOWN_LABEL, None),
            **{name: pl.Series(column) for name, column in values.items()},
        }
    )


def to_arrow(table: pl.DataFrame) -> pa.Table:
    """With plain strings, which every Parquet reader knows."""
    arrow = table.to_arrow()
    for position, column in enumerate(arrow.schema):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            arrow = arrow.set_column(position, column.name, arrow.column(position).cast(pa.string()))
    return arrow


def write_scores(dynamics: Dynamics, values: dict[str, Array], path: str | Path) -> Path:
    """One row for each example: id, label and the scores, as Parquet or CSV by the name's ending."""
    target = Path(path)
    table = to_table(dynamics, values)
    if target.suffix not in (".parquet", ".csv"):
        raise TrainmapError(f"scores are written as .parquet or .csv, got {target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as handle:
        if target.suffix == ".csv":
            table.write_csv(handle)
        else:
            pq.write_table(to_arrow(table), handle)
    return target


__all__ = ["DataMap", "fingerprint", "to_table", "write_scores"]
