"""DataMap: one table with a row for every example: id, label, scores, region."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.given import check_flag
from trainmap.dynamics.index import ids_from_arrow, ids_to_arrow, rows_of
from trainmap.dynamics.signals import UNKNOWN_LABEL, Block
from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.dynamics.supervision import End, Kind, Signal
from trainmap.errors import StoreError, TrainmapError, counted, shown
from trainmap.kinds import check_name
from trainmap.maps.axes import axis_scores, is_bounded, with_axes
from trainmap.maps.ensemble import check_members, ensemble_scores
from trainmap.maps.map_file import AXES, check_map, check_ranges, read_map, write_map
from trainmap.maps.regions import OR_NONE, REGIONS, Rule, check_fraction, check_rule, overlap, region_numbers, unclear
from trainmap.scores.compute import available, check_question, compute, epochs_taken
from trainmap.scores.table import OF_SEVERAL, hard_end, score_named
from trainmap.told import Lines, Told

Array = NDArray[Any]

KEYS = ("id", "label")


@dataclass(frozen=True, eq=False, repr=False)
class DataMap(Told):
    """The map of a dataset; made by ``DataMap.from_dynamics`` or ``DataMap.open``.

    Attributes:
        table: polars, sorted by id: ``id``, ``label``, one column for each score, ``region`` (null in none, and in all
            rows where ``unclear`` says why the map cannot tell).
        epochs: how many epochs the scores were made from.
        rule: how regions are defined, "quantile" or "corner".
        fraction: the share of examples in each region's third (quantile rule).
        source: "train", "sweep" or "held-out", as recorded.
        dataset: fingerprint of the ids and labels.
        members: how many recordings it is of.
        kind: of the recording: what its examples were trained on.
        signals: its columns, where that is not classes; () otherwise. What the axes are then: ``trainmap.maps.axes``.
        class_names: what the classes are called, by number; None where nobody said.
    """

    table: pl.DataFrame
    epochs: int
    rule: Rule
    fraction: float
    source: str
    dataset: str
    members: int = 1
    kind: Kind = "classes"
    signals: tuple[Signal, ...] = ()
    class_names: tuple[str | int, ...] | None = None

    def __post_init__(self) -> None:
        check_rule(self.rule)
        check_fraction(self.fraction)
        lacking = [name for name in (*KEYS, *AXES, "region") if name not in self.table.columns]
        if lacking:
            raise TrainmapError(
                f"a map's table must have columns {', '.join((*KEYS, *AXES))}, region; it lacks {', '.join(lacking)}"
            )
        ids = self.table["id"]
        if not len(ids) or ids.null_count() or not (ids.slice(1) > ids.slice(0, len(ids) - 1)).all():
            raise TrainmapError("a map's table must have at least one row, and its ids must ascend without repeating")

    def told(self) -> Lines:
        """What it is in a few lines."""
        counts = dict(self.table["region"].value_counts().iter_rows())
        regions = ", ".join(f"{name} {counts[name]:,}" for name in REGIONS if name in counts)
        several = f" of {counted(self.members, 'recording')}" if self.members > 1 else ""
        return "DataMap", {
            "examples": f"{len(self):,}, {counted(self.epochs, 'epoch')} ({self.source}){several}",
            "regions": f"cannot be told: {self.unclear}" if self.unclear else f"{regions} (rule {self.rule})",
            "scores": ", ".join(self.scores),
            "look": "datamap.table, tm.plot_map(datamap, 'map.png'), tm.select(datamap, '33% random')",
        }

    @staticmethod
    def from_dynamics(
        dynamics: Dynamics | Sequence[Dynamics],
        scores: Sequence[str | Callable[[Block], Array]] | None = None,
        rule: Rule = "quantile",
        fraction: float = 1 / 3,
        *,
        epochs: int | None = None,
        workers: int | None = None,
        max_memory: int | str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> DataMap:
        """Score every example of a recording, or of several recordings together, and assign the regions.

        Args:
            dynamics: a recording; or two or more of the same examples, such as the seeds of one network: the map then
                has the mean of every score over them and, besides, ``pooled_variability`` and ``disagreement``
                (``trainmap.maps.ensemble``). Their order does not matter, nor in which order each had the ids.
            scores: names or functions of a block; None for all that the recording can give. Confidence, variability
                and correctness are always there, for they are the map's axes.
            rule, fraction: see ``trainmap.maps.regions``.
            epochs: use only the first so many epochs.
            workers, max_memory, on_progress: see ``trainmap.compute``; several recordings are read one after another.

        Raises:
            TrainmapError: a score that cannot be had; several recordings that do not belong together, see
                ``trainmap.maps.ensemble.check_members``.
        """
        how: dict[str, Any] = {"epochs": epochs, "workers": workers, "max_memory": max_memory}
        how["on_progress"] = on_progress
        check_rule(rule)
        check_fraction(fraction)
        if isinstance(dynamics, Dynamics | str) or not isinstance(dynamics, Sequence):
            check_question(dynamics, scores)
            assert isinstance(dynamics, Dynamics)
            members = [dynamics]
            wanted = list(available(dynamics, epochs) if scores is None else scores)
            values = compute(
                dynamics, [*(name for name in axis_scores(dynamics) if name not in wanted), *wanted], **how
            )
        else:
            members = check_members(dynamics, epochs)
            check_question(members[0], scores)
            values = ensemble_scores(members, scores, axes=axis_scores(members[0]), **how)
        first = members[0]
        signals = tuple(first.manifest.signals or ())
        bounded, values = is_bounded(first.kind, signals), with_axes(first, values)
        taken = epochs_taken(first, epochs)
        return DataMap(
            table=to_table(first, values).with_columns(
                region_column(values["variability"], values["confidence"], taken, rule, fraction, bounded)
            ),
            epochs=taken,
            rule=rule,
            fraction=fraction,
            source=first.source,
            dataset=first.fingerprint,
            members=len(members),
            kind=first.kind,
            signals=signals,
            class_names=first.class_names,
        )

    def __len__(self) -> int:
        return self.table.height

    @property
    def scores(self) -> list[str]:
        """The names of the score columns."""
        return [n for n, kind in self.table.schema.items() if kind.is_float() and n not in (*KEYS, "region")]

    @property
    def bounded(self) -> bool:
        """Whether confidence lies in 0 to 1: a probability, or a share."""
        return is_bounded(self.kind, self.signals)

    @property
    def signal(self) -> str:
        """What the axes are of: "p_gold", or the main signal of a recording of regression or plain numbers."""
        return self.signals[0].name if self.kind in ("regression", "numbers") else "p_gold"

    def hard_end(self, score: str) -> End | None:
        """Which end of a column is hard; None for one of your own, and where neither is."""
        if self.kind in ("regression", "numbers") and score in AXES:
            return {"confidence": "low", "variability": "high"}.get(score)  # type: ignore[return-value]
        return hard_end(score, self.signals)

    @cached_property
    def ids(self) -> Array:
        """(N,) int64 or str, ascending."""
        return ids_from_arrow(self.table["id"].to_arrow())

    @cached_property
    def labels(self) -> Array:
        """(N,) int64; -1 where no label is known."""
        return self.table["label"].fill_null(UNKNOWN_LABEL).to_numpy()

    def values(self, score: str) -> Array:
        """One score, (N,) float64, in id order."""
        check_name(score, "a score")
        if score not in self.scores:
            raise TrainmapError(
                f"score '{score}' is not in this map; it has {', '.join(sorted(self.scores))}. "
                f"{self._how_to_get(score)}"
            )
        return self.table[score].to_numpy()

    def _how_to_get(self, score: str) -> str:
        """What to do where a score is not there."""
        try:
            known = score_named(score)
        except TrainmapError:
            near = get_close_matches(score.lower(), self.scores, 1)
            return f"Did you mean '{near[0]}'?" if near else "Add a score of your own by with_scores"
        if self.kind not in known.kinds:
            return f"It is not defined for kind '{self.kind}'"
        if score in OF_SEVERAL:
            return "A map of several recordings has it: DataMap.from_dynamics([a, b, ...])"
        if self.epochs < known.epochs:
            return f"It needs {known.epochs} epochs and the map has {self.epochs}: record more of them"
        return "Make the map again with that score"

    def overlap(self) -> dict[tuple[str, str], float]:
        """How much the thirds of the quantile rule share, pair by pair, as a fraction of a third."""
        return overlap(self.values("variability"), self.values("confidence"), self.fraction)

    @cached_property
    def unclear(self) -> str:
        """Why this map cannot tell regions (one epoch, all examples alike), in a few words; "" where it can."""
        return unclear(self.values("variability"), self.values("confidence"), self.epochs, self.rule)

    def with_rule(self, rule: Rule, fraction: float | None = None) -> DataMap:
        """The same map with its regions by another rule or fraction."""
        share = self.fraction if fraction is None else fraction
        axes = self.values("variability"), self.values("confidence")
        regions = region_column(*axes, self.epochs, rule, share, self.bounded)
        return replace(self, table=self.table.with_columns(regions), rule=rule, fraction=share)

    def with_scores(self, ids: Any, scores: Mapping[str, Any], allow_missing: bool = False) -> DataMap:
        """The same map with more columns: scores that were made elsewhere (gradients, a second split, your own).

        Args:
            ids: (k,) the examples that ``scores`` are of, in any order.
            scores: name -> (k,) numbers.
            allow_missing: give an example of the map that is not among ``ids`` NaN instead of refusing.

        Raises:
            TrainmapError: ids that are unknown, repeat or are missing; a name that is taken; lengths that differ.
        """
        allow_missing, ids = check_flag(allow_missing, "allow_missing"), to_ids(ids)
        rows = rows_of(self.ids, ids, "this map", distinct=True)
        if len(rows) != len(self) and not allow_missing:
            raise TrainmapError(
                f"{len(self) - len(rows)} of the {len(self)} examples of this map have no value; "
                "pass allow_missing=True to keep them as NaN"
            )
        if not isinstance(scores, Mapping):
            raise TrainmapError(f"scores must be a dict, name -> values, got {shown(scores)}")
        columns: list[pl.Series] = []
        for name, values in scores.items():
            check_name(name, "a score")
            column = np.full(len(self), np.nan)
            try:
                given = np.asarray(values, dtype=np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                raise TrainmapError(f"{name} must be one number for each id, got {shown(values)}") from error
            if name in self.table.columns:
                raise TrainmapError(f"this map has a column '{name}' already; give the score another name")
            if given.shape != ids.shape:
                raise TrainmapError(f"{name} must be one number for each of the {len(ids)} ids, got {given.shape}")
            column[rows] = given
            columns.append(pl.Series(name, column))
        region = self.table["region"]
        return replace(self, table=self.table.drop("region").with_columns(columns).with_columns(region))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the ids, labels, scores and rule: two maps with one fingerprint select the same examples."""
        digest = hashlib.sha256(f"{fingerprint(self.ids, self.labels)} {self.rule}".encode())
        for name in sorted(self.scores):
            values = self.values(name)
            plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
            digest.update(f"\0{name}\0".encode() + plain.astype("<f8").tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the table as Parquet, with what made it in the file's metadata."""
        about = {name: getattr(self, name) for name in ("epochs", "rule", "fraction", "source", "dataset")}
        about |= {"members": self.members} if self.members > 1 else {}
        if self.kind != "classes":
            about |= {"kind": self.kind, "signals": [signal.model_dump() for signal in self.signals]}
        if self.class_names is not None:
            about["class_names"] = list(self.class_names)
        return write_map(path, self.table, about)

    @staticmethod
    def open(path: str | Path, verify: bool = True) -> DataMap:
        """Open a saved map. The order of its rows does not matter: they are sorted by id.

        The regions are assigned anew from the values, so that a map of an earlier version has those of today's rule.

        Args:
            path: what ``save`` wrote.
            verify: compare all that it says with its checksum (maps of 0.1 have none).

        Raises:
            StoreError: no map, a newer one, or one that was changed or damaged.
        """
        verify = check_flag(verify, "verify")
        frame, told, about = read_map(path)
        try:
            datamap = DataMap(frame, **told)
        except TrainmapError as error:
            raise StoreError(f"{path} was changed: {error}") from error
        of_targets = datamap.kind == "regression"  # which are part of the dataset, and stand in no column
        if not of_targets and fingerprint(datamap.ids, datamap.labels) != datamap.dataset:
            raise StoreError(f"{path} was changed: its ids or labels are not those that the map was made for")
        if verify:
            check_map(path, datamap.table, about)
        check_ranges(path, datamap.table, datamap.epochs, datamap.bounded)
        return datamap.with_rule(datamap.rule)


def region_column(
    variability: Array, confidence: Array, epochs: int, rule: Rule, fraction: float, bounded: bool = True
) -> pl.Series:
    """The column ``region`` of a map's table."""
    places = region_numbers(variability, confidence, epochs, rule, fraction, bounded)
    return pl.Series("region", OR_NONE, dtype=pl.String).gather(places)


def to_table(dynamics: Dynamics, values: dict[str, Array]) -> pl.DataFrame:
    """id, label and one column for each score, in row order."""
    if taken := [name for name in values if name in (*KEYS, "region")]:
        raise TrainmapError(f"a score cannot be called '{taken[0]}': that is a column of its own; rename the function")
    labels = pl.Series("label", dynamics.labels)
    return pl.DataFrame(
        {
            "id": pl.Series(ids_to_arrow(dynamics.ids)),
            "label": labels.set(labels == UNKNOWN_LABEL, None),
            **{name: pl.Series(column) for name, column in values.items()},
        }
    )


__all__ = ["DataMap", "fingerprint", "to_table"]
