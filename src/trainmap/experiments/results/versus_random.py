"""The rows of runs, checked and grouped: which cells there are, and which random row each is compared with.

A comparison without random selection of the same size is refused, and so is a row without its costs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from trainmap.errors import TrainmapError, counted
from trainmap.experiments.results.statistics import Difference, paired_difference

Row = Mapping[str, Any]
Column = tuple[str, bool]  # student, distilled
Role = Literal["random", "repeated random", "full data", "full data, equal steps", "schedule", "selection", ""]

METRICS = {"test_macro_f1": "Test macro F1", "test_accuracy": "Test accuracy"}
NEEDED = (
    *("subset", "student", "distilled", "seed", *METRICS),
    *("examples", "fraction", "steps", "train_flops", "train_seconds"),
)
UNITS = ("flops", "seconds")
CLOCKS = {"wall": "seconds", "cpu": "cpu_seconds"}  # which seconds are compared: the field of costs; train_... of rows
SCHEDULE = "schedule"  # how the name of such a row begins
SAME_SIZE = 0.01  # sizes that differ by at most this share are the same size (class balance may cost a few examples)


@dataclass(frozen=True)
class Report:
    """Everything a report is made of.

    Attributes:
        title: heading.
        rows: one per run: ``subset`` (a name, or the selection language), ``student``, ``distilled``, ``seed``,
            ``test_macro_f1`` and ``test_accuracy`` in 0..1, ``examples`` (in the subset), ``fraction`` 0..1,
            ``steps``, ``train_flops``, ``train_seconds``; optional ``choosing_flops``, ``choosing_seconds`` (of what
            was made for a selection besides the map), ``reads_map`` (False for a selection that has no use for the map
            and need not pay it back), ``budget`` ("equal epochs", "equal steps", ...: one set of tables for each).
            All else goes to results.csv only.
        costs: what is made once: ``map`` (required where there are selections), ``scoring``, ``teacher``,
            ``teacher inference``, ...: each with ``flops`` and ``seconds`` and, if useful, a ``note``. Map and scoring
            are what a subset has to pay back.
        clock: what "time" is: "wall", or "cpu" for the seconds of all cores together, which do not depend on what else
            ran; then rows have ``train_cpu_seconds`` and costs ``cpu_seconds`` as well.
        models: one per model: ``name``, ``parameters``, ``flops`` (per example, forward), optional ``role``.
        notes: sentences for the reader: what was done, what the numbers do not say.
        provenance: name to value: dataset, fingerprints, command, versions.
        picture: the map as a PNG; part of report.html, referred to by report.md.
        level: confidence of the intervals.
    """

    title: str
    rows: Sequence[Row]
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    picture: Path | None = None
    level: float = 0.95
    clock: Literal["wall", "cpu"] = "wall"


@dataclass(frozen=True)
class Comparison:
    """The runs of one training budget, grouped; names, columns and seeds in the order of the rows."""

    budget: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    runs: Mapping[tuple[str, Column], Mapping[int, Row]]
    opponents: Mapping[str, str]  # the random row that each subset is compared with; full data has none
    level: float
    clock: Literal["wall", "cpu"] = "wall"

    def values(self, name: str, column: Column, key: str) -> dict[int, float]:
        return {seed: row[key] for seed, row in self.runs.get((name, column), {}).items()}

    def mean(self, name: str, column: Column, key: str) -> float:
        found = self.values(name, column, key)
        return sum(found.values()) / len(found) if found else math.nan

    @property
    def full(self) -> str:
        """The name of the full-data row; "" without one."""
        return next((name for name in self.names if role(name) == "full data"), "")

    def cost(self, name: str, column: Column) -> dict[str, float]:
        """Mean FLOPs and seconds of one training run; NaN where there is none."""
        fields = {"flops": "train_flops", "seconds": f"train_{CLOCKS[self.clock]}"}
        return {unit: self.mean(name, column, field) for unit, field in fields.items()}

    def choosing(self, name: str, column: Column) -> dict[str, float]:
        """Mean FLOPs and seconds of what was made for a subset besides the map, such as features; 0 for most."""
        fields = {"flops": "choosing_flops", "seconds": f"choosing_{CLOCKS[self.clock]}"}
        rows = list(self.runs[name, column].values())
        return {unit: sum(row.get(field, 0.0) for row in rows) / len(rows) for unit, field in fields.items()}

    def first(self, name: str) -> Row:
        return next(row for (other, _), runs in self.runs.items() if other == name for row in runs.values())

    def against_random(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every cell from its random cell, except in random rows and full data."""
        return {
            (name, column): paired_difference(
                self.values(name, column, metric), self.values(self.opponents[name], column, metric), self.level
            )
            for name, column in self.runs
            if name in self.opponents
        }

    def against_full(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every chosen subset and schedule from all the data, and of the random ones."""
        return {
            (name, column): paired_difference(
                self.values(name, column, metric), self.values(self.full, column, metric), self.level
            )
            for name, column in self.runs
            if role(name) != "full data" and (self.full, column) in self.runs
        }

    def from_distillation(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """Distilled minus plain, by subset and student, where both were run."""
        return {
            (name, (student, True)): paired_difference(
                self.values(name, (student, True), metric), self.values(name, (student, False), metric), self.level
            )
            for name, (student, distilled) in self.runs
            if distilled and (name, (student, False)) in self.runs
        }


def compare(report: Report) -> list[Comparison]:
    """The rows of a report, checked and grouped, one comparison per budget."""
    if not report.rows:
        raise TrainmapError("a report needs at least one row, got none")
    costly = ("train_flops", "train_seconds", *(["train_cpu_seconds"] if report.clock == "cpu" else []))
    budgets: dict[str, dict[tuple[str, Column], dict[int, Row]]] = {}
    for row in report.rows:
        what = f"row ({row.get('subset')}, {row.get('student')}, seed {row.get('seed')})"
        missing = [key for key in dict.fromkeys((*NEEDED, *costly)) if key not in row]
        if missing:
            raise TrainmapError(f"{what} must have {', '.join(missing)}; it has {', '.join(row)}")
        for metric in METRICS:
            if not 0 <= row[metric] <= 1:
                raise TrainmapError(f"{what}: {metric} must be a fraction from 0 to 1, got {row[metric]}")
        for key in costly:
            if not row[key] > 0:
                raise TrainmapError(
                    f"{what}: {key} must be above 0, got {row[key]}; a cost that is unknown is not zero"
                )
        group = budgets.setdefault(row.get("budget", ""), {})
        runs = group.setdefault((subset_name(row["subset"]), (row["student"], bool(row["distilled"]))), {})
        if row["seed"] in runs:
            raise TrainmapError(f"{what} is there twice; a seed is one run of a subset under a student")
        runs[row["seed"]] = row
    comparisons = []
    for budget, group in budgets.items():
        names = tuple(dict.fromkeys(name for name, _ in group))
        students = dict.fromkeys(student for _, (student, _) in group)
        kinds = sorted({distilled for _, (_, distilled) in group})
        columns = tuple((student, kind) for student in students for kind in kinds)
        draft = Comparison(budget, names, columns, group, {}, report.level, report.clock)
        sizes, steps = ({name: int(draft.first(name)[key]) for name in names} for key in ("examples", "steps"))
        comparisons.append(replace(draft, opponents=_opponents(sizes, steps)))
    return comparisons


def unopposed(rows: Sequence[Row]) -> list[Row]:
    """The rows that ``compare`` would refuse: random selection of their size is not, or not yet, in their budget."""
    found: list[Row] = []
    for budget in dict.fromkeys(row.get("budget", "") for row in rows):
        own = [row for row in rows if row.get("budget", "") == budget]
        sizes = {subset_name(row["subset"]): row["examples"] for row in reversed(own)}  # the first row of each name
        random = [examples for name, examples in sizes.items() if role(name) == "random"]
        for row in own:
            name = subset_name(row["subset"])
            near = any(abs(other - sizes[name]) <= SAME_SIZE * sizes[name] for other in random)
            if not random or (role(name) == "selection" and not near):
                found.append(row)
    return found


def _opponents(sizes: Mapping[str, int], steps: Mapping[str, int]) -> dict[str, str]:
    """Which random row each subset is compared with: the one of its size; for schedules (by what an epoch visited), the
    nearest in size; for full data at equal steps, the nearest in steps. Full data has none of its size."""
    random = [name for name in sizes if role(name) == "random"]
    found = {}
    for name, examples in sizes.items():
        near = steps if role(name) == "full data, equal steps" else sizes
        nearest = min(random, key=lambda other: abs(near[other] - near[name]), default=None)
        if nearest is None:
            raise TrainmapError(
                "a comparison without random selection says nothing: no subset is called 'random ...'; "
                f"add one of the size of '{name}' ({counted(examples, 'example')})"
            )
        if role(name) == "selection" and abs(sizes[nearest] - examples) > SAME_SIZE * examples:
            raise TrainmapError(
                f"a comparison without random of the same size says nothing: '{name}' has "
                f"{counted(examples, 'example')}, the nearest is '{nearest}' with {sizes[nearest]}; "
                f"add a random subset of {examples}"
            )
        if role(name) not in ("random", "full data"):
            found[name] = nearest
    return found


def role(name: str) -> Role:
    """The part that a subset plays in the comparison, by its name."""
    if re.match(r"repeated random\b", name):
        return "repeated random"
    if re.match(r"random\b", name):
        return "random"
    if re.match(r"full data\b", name):
        return "full data, equal steps" if "equal steps" in name else "full data"
    if re.match(rf"{SCHEDULE}\b", name):
        return "schedule"
    return "selection"


def subset_name(spec: str) -> str:
    """A subset as a reader says it; names that are not in the selection language stay as they are.

    ``"33% ambiguous"`` → "ambiguous 33 %", ``"top 33% slope"`` → "high forgetfulness 33 %" (the study's word for the
    slope), ``"17% ambiguous + 25% easy-to-learn"`` → "ambiguous 17 % + easy-to-learn 25 %", ``"100%"`` → "full data".
    """
    said = []
    for part in spec.split(" + "):
        match = re.fullmatch(r"(top |bottom )?(\d+(?:\.\d+)?)(%?)(?: ([a-z0-9_-]+))?", part.strip())
        if match is None:
            return spec
        end, number, percent, what = match.groups()
        if what is None and (number, percent) != ("100", "%"):
            return spec
        words = {None: "full data", "slope": "forgetfulness"}.get(what, (what or "").replace("_", " "))
        size = f" {number} %" if percent else f", {number} examples"
        said.append({"top ": "high ", "bottom ": "low "}.get(end or "", "") + words + (size if what else ""))
    return " + ".join(said)
