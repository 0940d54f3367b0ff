"""The runs of a table as rows: what each must say, the frame that they make, and the means over its cells.

A row without its costs, without its role, or given twice is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from trainmap.errors import TrainmapError, shown, unknown
from trainmap.experiments.results.facts import NAMES, ROLES
from trainmap.experiments.results.price import CLOCKS, ONCE, part_column
from trainmap.experiments.results.statistics import interval
from trainmap.findings.example_cards import RegionCards

Row = Mapping[str, Any]

METRICS = {"test_macro_f1": "Test macro F1", "test_accuracy": "Test accuracy"}
NEEDED = (
    *("subset", "role", "draw", "student", "distilled", "seed", *METRICS),
    *("examples", "fraction", "steps", "train_flops", "train_seconds"),
)
CELL = ("budget", "subset", "student", "taught")
ROW_FACTS = ("opponent", "answers", "distilled", "examples", "fraction", "parameters", "reads_map", "counted", "once")
SHARED = (*NAMES, *ROW_FACTS)
"""Of all runs of a cell; the first one says them."""
WORDS = ("budget", "subset", "role", "draw", "series", "opponent", "student", "taught", "counted", "once")
TYPES: Mapping[str, type] = {
    **dict.fromkeys(WORDS, str),
    **dict.fromkeys(("distilled", "reads_map"), bool),
    **dict.fromkeys(("seed", "examples", "steps", "parameters", "answers"), int),
    **dict.fromkeys(("fraction", "train_flops", "train_seconds", "train_cpu_seconds"), float),
    **dict.fromkeys(("choosing_flops", "choosing_seconds", "choosing_cpu_seconds"), float),
    **dict.fromkeys(("teacher_flops", "proxy_flops", "compress_flops"), float),
    **dict.fromkeys((f"{part}_{unit}" for part in ("once", "whole") for unit in ("flops", *CLOCKS)), float),
    **dict.fromkeys(map(part_column, ONCE), float),
    **dict.fromkeys(("nonzero", "forward_flops", "bytes"), float),
}
UNTOLD = "KD"
"""What a row is taught by that says ``distilled`` and no more."""
SCORES = ("_macro_f1", "_accuracy", "_consistency", "_auroc", "_fpr95")  # how the columns end that are scores


@dataclass(frozen=True)
class Report:
    """Everything a report is made of.

    Attributes:
        title: heading.
        rows: one per run: ``subset`` (its name), ``role`` and ``draw`` (see ``ROLES``), ``student``, ``distilled``,
            ``seed``, ``test_macro_f1`` and ``test_accuracy`` in 0..1, ``examples`` (in the subset), ``fraction`` 0..1,
            ``steps``, ``train_flops``, ``train_seconds``; optional ``series`` (the name without its size: one line of
            a plot), ``opponent`` (the name of the row that it is compared with; without one, random of its size),
            ``taught`` (by which loss, and by which teacher where there are several), ``teacher_flops``,
            ``proxy_flops`` (those among the FLOPs of the training), ``once_flops``, ``whole_flops``, ... (see
            ``price.columns_of``), ``choosing_flops``, ``choosing_seconds`` (of what a selection took besides the map),
            ``answers`` (of random at the map's cost: examples of the subset whose cost and map's it may spend),
            ``reads_map`` (False for a selection that has no use for the map and need not pay it back), ``budget``
            ("equal epochs", "equal steps", ...: one set of tables for each). All else goes to results.csv only.
        costs: what is made once: ``map`` (required where there are selections), ``scoring``, ``teacher``,
            ``teacher inference``, ...: each with ``flops`` and ``seconds`` and, if useful, a ``note``. Map and scoring
            are what a subset has to pay back.
        clock: what "time" is: "wall", or "cpu" for the seconds of all cores together, which do not depend on what else
            ran; then rows have ``train_cpu_seconds`` and costs ``cpu_seconds`` as well.
        models: one per model: ``name``, ``parameters``, ``flops`` (per example, forward), optional ``role``.
        notes: sentences for the reader: what was done, what the numbers do not say.
        provenance: name to value: dataset, fingerprints, command, versions.
        picture: the map as a PNG; part of report.html, referred to by report.md.
        regions: examples of each region of the map; part of report.html.
        level: confidence of the intervals.
    """

    title: str
    rows: Sequence[Row]
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    picture: Path | None = None
    regions: tuple[RegionCards, ...] = ()
    level: float = 0.95
    clock: Literal["wall", "cpu"] = "wall"


def check_rows(rows: Sequence[Row], clock: Literal["wall", "cpu"]) -> None:
    """Refuse rows that cannot be compared.

    Raises:
        TrainmapError: none at all, a field that is missing, a role that is not that of the draw, a score outside 0..1,
            a cost that is not above 0, a run given twice.
    """
    if not rows:
        raise TrainmapError("a report needs at least one row, got none")
    costly = ("train_flops", "train_seconds", *(["train_cpu_seconds"] if clock == "cpu" else []))
    seen: set[tuple[Any, ...]] = set()
    draws: dict[tuple[str, str], str] = {}
    for row in rows:
        what = f"row ({row.get('subset')}, {row.get('student')}, seed {row.get('seed')})"
        if missing := [key for key in dict.fromkeys((*NEEDED, *costly)) if key not in row]:
            raise TrainmapError(f"{what} must have {', '.join(missing)}; it has {', '.join(row)}")
        if row["draw"] not in ROLES:
            raise unknown("draw", row["draw"], ROLES)
        if row["role"] != (role := ROLES[row["draw"]]):
            told = f"the role of a row drawn '{row['draw']}' is '{role}', got {shown(row['role'])}"
            raise TrainmapError(f"{what}: {told}")
        for metric in METRICS:
            if not 0 <= row[metric] <= 1:
                raise TrainmapError(f"{what}: {metric} must be a fraction from 0 to 1, got {row[metric]}")
        for key in costly:
            if not row[key] > 0:
                raise TrainmapError(
                    f"{what}: {key} must be above 0, got {row[key]}; a cost that is unknown is not zero"
                )
        if bool(row["distilled"]) != bool(taught_by(row)):
            raise TrainmapError(f"{what} has distilled {row['distilled']} and is taught by {shown(row['taught'])}")
        cell = (row.get("budget", ""), row["subset"], row["student"], taught_by(row), row["seed"])
        if cell in seen:
            raise TrainmapError(f"{what} is there twice; a seed is one run of a subset under a student")
        if (other := draws.setdefault(cell[:2], row["draw"])) != row["draw"]:
            raise TrainmapError(f"{what} is drawn '{row['draw']}', another row of this name '{other}'; name them apart")
        seen.add(cell)


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """The runs, one line each, with the columns that tables are made of; null where a row says nothing."""
    scores = dict.fromkeys(key for row in rows for key in row if key.endswith(SCORES))
    kinds = {**TYPES, **dict.fromkeys(scores, float)}
    known = [{"budget": "", **row, "taught": taught_by(row)} for row in rows]
    columns = {name: [_as(kind, row.get(name)) for row in known] for name, kind in kinds.items()}
    types = {str: pl.String, bool: pl.Boolean, int: pl.Int64, float: pl.Float64}
    frame = pl.DataFrame(columns, schema={name: types[kind] for name, kind in kinds.items()})
    return frame.with_columns(series=pl.coalesce("series", "subset"))


def taught_by(row: Row) -> str:
    """What a row is taught by besides the labels; "" for nothing."""
    return row.get("taught", UNTOLD if row["distilled"] else "")


def cells_of(frame: pl.DataFrame, by: Sequence[str] = CELL) -> pl.DataFrame:
    """The runs of a cell in one line: each column that the cells are not told apart by is a list over the seeds."""
    return frame.group_by(by, maintain_order=True).agg(pl.all())


def averaged(frame: pl.DataFrame, metric: str, level: float, by: Sequence[str] = CELL) -> pl.DataFrame:
    """The mean over the seeds of each cell, in the order of the runs.

    Returns:
        ``by``; ``n``, ``mean``, ``low``, ``high`` of ``metric`` (NaN for ends that cannot be had); what the runs share;
        and of every other number its mean, NaN where a run does not have it.
    """
    lines: list[dict[str, Any]] = []
    for cell in cells_of(frame, by).iter_rows(named=True):
        found = interval(cell[metric], level)
        line: dict[str, Any] = {name: cell[name] for name in by}
        line |= {"n": found.n, "mean": found.mean, "low": found.low, "high": found.high}
        for name in [name for name in cell if name not in line]:
            if name in SHARED:
                line[name] = cell[name][0]
            elif frame.schema[name].is_numeric():
                line[name] = mean_of(cell[name])
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def mean_of(values: Sequence[float | None]) -> float:
    """The mean; NaN of nothing, and where one is missing."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there and len(there) == len(values) else math.nan


def _as(kind: type, value: Any) -> Any:
    return None if value is None else kind(value)
