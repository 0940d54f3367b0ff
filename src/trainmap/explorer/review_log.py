"""What a person decided about labels, written down as it is decided: one line of JSON for each decision.

    {"format": "trainmap-review", "version": 1, "dataset": "...", "examples": 1797}
    {"id": 17, "decision": "relabel", "label": 3, "before": 8}
    {"id": 17, "decision": null, "label": null, "before": 8}

The last line of an id counts; a decision of null takes the earlier one back. A line is on the disk when the page says
so; a kill can tear the last line only, which is then said and written over.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.index import ids_to_arrow
from trainmap.errors import StoreError, TrainmapError, shown, unknown
from trainmap.files import parse_json, reading, sync_folder, writing
from trainmap.locks import Lock

Array = NDArray[Any]

DECISIONS = ("keep", "relabel", "drop", "unsure")
FORMAT, VERSION = "trainmap-review", 1


@dataclass(frozen=True)
class Decision:
    """What was decided about one label.

    Attributes:
        id: whose.
        decision: one of ``DECISIONS``; None takes an earlier one back.
        label: the new class, of "relabel".
        before: the class that it had.
    """

    id: int | str
    decision: str | None
    label: int | None = None
    before: int | None = None

    def __post_init__(self) -> None:
        if self.decision is not None and self.decision not in DECISIONS:
            raise unknown("decision", self.decision, DECISIONS)
        if (self.decision == "relabel") != (self.label is not None):
            raise TrainmapError("a decision has a label exactly where it is 'relabel'")


class Review:
    """The decisions about one dataset; kept in a file, where there is a path for it.

    Args:
        path: of the file, made with the first decision; None keeps them in memory alone.
        dataset: fingerprint of the ids and labels that they are about.
        examples: how many there are.

    Raises:
        StoreError: a file that is no review, or one of another dataset, or one that another explorer has open.
    """

    def __init__(self, path: Path | None, dataset: str, examples: int) -> None:
        self.path = path
        self.head = {"format": FORMAT, "version": VERSION, "dataset": dataset, "examples": examples}
        self.notes: list[str] = []
        self._latest: dict[int | str, Decision] = {}
        self._thread = threading.Lock()
        self._whole = 0  # bytes of the file up to its last whole line
        self._lock: Lock | None = None
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def decisions(self) -> list[Decision]:
        """Those that count, in the order in which their ids first came."""
        return [one for one in self._latest.values() if one.decision is not None]

    def decide(self, decision: Decision) -> None:
        """Keep a decision; when this returns it is on the disk.

        Raises:
            StoreError: it cannot be written, or another explorer has the file.
        """
        with self._thread:
            if self.path is not None:
                self._append(self.path, decision)
            self._latest[decision.id] = decision

    def close(self) -> None:
        """Let another explorer go on with the file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _append(self, path: Path, decision: Decision) -> None:
        lines = [] if self._whole else [self.head]
        content = b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, vars(decision)])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = Lock(
                    path.with_name(f"{path.name}.lock"), lambda number: os.write(number, b"an explorer\n")
                )
            new = not path.exists()
            with open(path, "ab") as handle:
                handle.truncate(self._whole)
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            if new:
                sync_folder(path.parent)
        except TimeoutError as error:
            raise StoreError(f"{path} is open in another explorer; close that one first") from error
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
        self._whole += len(content)

    def _read(self, path: Path) -> None:
        with reading(path, "review"):
            lines = path.read_bytes().split(b"\n")
            torn = lines.pop()
            head, *rest = [parse_json(line.decode()) for line in lines] or [None]
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise StoreError(f"{path} is not a review of trainmap; name another file")
            if head.get("version") != VERSION:
                raise StoreError(f"{path} is a review of version {shown(head.get('version'))}: upgrade trainmap")
            if head.get("dataset") != self.head["dataset"]:
                raise StoreError(f"{path} is a review of other ids or labels than these; name another file")
            found = [Decision(**line) for line in rest]
        self._latest = {one.id: one for one in found}
        self._whole = sum(len(line) + 1 for line in lines)
        if torn:
            self.notes.append(f"{path.name}: its last line was torn by a kill, and is not counted; decide it again")


def relabel_sheet(decisions: Iterable[Decision], names: tuple[str, ...]) -> pl.DataFrame:
    """Decisions as a table: ``id``, ``label`` (what it shall be), ``decision``, ``before``, and the names of both.

    ``trainmap.data.relabelled`` takes it as it is: relabelled ids have the new label, dropped ones are left out, the
    others stay.
    """
    rows = sorted(decisions, key=lambda one: one.id)
    labels = [one.before if one.label is None else one.label for one in rows]
    columns: dict[str, Any] = {
        "id": ids_to_arrow(np.asarray([one.id for one in rows])) if rows else pl.Series("id", [], pl.Int64),
        "label": pl.Series(labels, dtype=pl.Int64),
        "decision": pl.Series([one.decision for one in rows], dtype=pl.String),
        "before": pl.Series([one.before for one in rows], dtype=pl.Int64),
    }
    if names:
        called = dict(enumerate(names))
        columns["name"] = pl.Series([called.get(one, "") if one is not None else "" for one in labels], dtype=pl.String)
    return pl.DataFrame({name: pl.Series(values) for name, values in columns.items()})


def write_sheet(sheet: pl.DataFrame, path: Path) -> Path:
    """A sheet as CSV or Parquet, by its name."""
    if path.suffix not in (".csv", ".parquet"):
        raise TrainmapError(f"a sheet is FILE.csv or FILE.parquet, got {path.name}")
    with writing(path) as handle:
        if path.suffix == ".parquet":
            sheet.write_parquet(handle)
        else:
            from trainmap.cells import cells

            cells(sheet).write_csv(handle)
    return path
