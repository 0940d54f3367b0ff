"""Runs beside the random row that each is compared with, and the differences from it, paired by seed.

A comparison without random selection of the same size is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainmap.errors import TrainmapError, counted
from trainmap.experiments.results.facts import OF_A_MAP, PRICED, reads_map
from trainmap.experiments.results.run_rows import Report, Row, cells_of, check_rows, frame_of, mean_of
from trainmap.experiments.results.statistics import Difference, paired_difference
from trainmap.experiments.tasks.draws import SAME_SIZE

Column = tuple[str, str]  # student, what it is taught by: "" for the labels alone
Runs = Mapping[str, Any]  # of one cell: each column as a list over the seeds

UNITS = ("flops", "seconds")
CLOCKS = {"wall": "seconds", "cpu": "cpu_seconds"}  # which seconds are compared: the field of costs; train_... of rows


@dataclass(frozen=True)
class Comparison:
    """The runs of one training budget, grouped; names, columns and seeds in the order of the rows."""

    budget: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, Column], Runs]
    opponents: Mapping[str, str]  # the row that each subset is compared with, random of its size; full data has none
    level: float
    clock: Literal["wall", "cpu"] = "wall"

    def values(self, name: str, column: Column, key: str) -> dict[int, float]:
        """By seed; nothing where there is no such cell."""
        cell = self.cells.get((name, column), {"seed": [], key: []})
        return dict(zip(cell["seed"], cell[key], strict=True))

    def draw(self, name: str) -> str:
        return self.first(name, "draw")

    def first(self, name: str, key: str) -> Any:
        """What the first run of a subset says."""
        return next(cell[key][0] for (other, _), cell in self.cells.items() if other == name)

    def all(self, name: str, key: str) -> list[Any]:
        """What every run of a subset says."""
        return [value for (other, _), cell in self.cells.items() if other == name for value in cell[key]]

    def rival(self, name: str) -> str:
        """The opponent that a subset itself names; "" where it is random of its size."""
        return self.first(name, "opponent") or ""

    @property
    def full(self) -> str:
        """The name of the full-data row; "" without one."""
        return next((name for name in self.names if self.draw(name) == "full"), "")

    def cost(self, name: str, column: Column) -> dict[str, float]:
        """Mean FLOPs and seconds of one training run; NaN where there is none."""
        fields = {"flops": "train_flops", "seconds": f"train_{CLOCKS[self.clock]}"}
        return {unit: mean_of([*self.values(name, column, field).values()]) for unit, field in fields.items()}

    def choosing(self, name: str, column: Column) -> dict[str, float]:
        """Mean FLOPs and seconds of what was made for a subset besides the map, such as features; 0 for most."""
        fields = {"flops": "choosing_flops", "seconds": f"choosing_{CLOCKS[self.clock]}"}
        return {
            unit: mean_of([value or 0.0 for value in self.values(name, column, field).values()])
            for unit, field in fields.items()
        }

    def against_random(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every cell from its random cell, except in random rows and full data."""
        return {
            (name, column): self._difference(metric, (name, column), (self.opponents[name], column))
            for name, column in self.cells
            if name in self.opponents
        }

    def against_full(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every chosen subset and schedule from all the data, and of the random ones."""
        return {
            (name, column): self._difference(metric, (name, column), (self.full, column))
            for name, column in self.cells
            if self.draw(name) != "full" and (self.full, column) in self.cells
        }

    def against_price(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every subset that reads the map from random that may spend what that subset and the map
        cost together, where it was run."""
        priced = {name: self.first(name, "answers") for name in self.names if self.draw(name) == PRICED}
        return {
            (name, column): self._difference(metric, (name, column), (opponent, column))
            for name, column in self.cells
            if reads_map(self.draw(name), self.first(name, "reads_map"))
            for opponent, size in priced.items()
            if _same(self.first(name, "examples"), size) and (opponent, column) in self.cells
        }

    def from_distillation(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """Distilled minus plain, by subset, student and what it is taught by, where both were run."""
        return {
            (name, (student, taught)): self._difference(metric, (name, (student, taught)), (name, (student, "")))
            for name, (student, taught) in self.cells
            if taught and (name, (student, "")) in self.cells
        }

    def _difference(self, metric: str, ours: tuple[str, Column], theirs: tuple[str, Column]) -> Difference:
        return paired_difference(self.values(*ours, metric), self.values(*theirs, metric), self.level)


def compare(report: Report) -> list[Comparison]:
    """The rows of a report, checked and grouped, one comparison per budget."""
    check_rows(report.rows, report.clock)
    budgets: dict[str, dict[tuple[str, Column], Runs]] = {}
    for cell in cells_of(frame_of(report.rows)).iter_rows(named=True):
        group = budgets.setdefault(cell["budget"], {})
        group[cell["subset"], (cell["student"], cell["taught"])] = cell
    comparisons = []
    for budget, group in budgets.items():
        names = tuple(dict.fromkeys(name for name, _ in group))
        students = dict.fromkeys(student for _, (student, _) in group)
        ways = sorted(dict.fromkeys(taught for _, (_, taught) in group), key=bool)  # plain first
        there = {column for _, column in group}
        columns = tuple((student, way) for student in students for way in ways if (student, way) in there)
        firsts = {name: next(cell for (other, _), cell in group.items() if other == name) for name in names}
        comparisons.append(Comparison(budget, names, columns, group, _opponents(firsts), report.level, report.clock))
    return comparisons


def unopposed(rows: Sequence[Row]) -> list[Row]:
    """The rows that ``compare`` would refuse: random selection of their size, or the row that they name as their
    opponent, is not, or not yet, in their budget."""
    found: list[Row] = []
    for budget in dict.fromkeys(row.get("budget", "") for row in rows):
        own = [row for row in rows if row.get("budget", "") == budget]
        sizes = {row["subset"]: row["examples"] for row in reversed(own)}  # the first row of each name
        random = {sizes[row["subset"]] for row in own if row["draw"] == "random"}
        for row in own:
            size = sizes[row["subset"]]
            if opponent := row.get("opponent"):
                alone = not random or opponent not in sizes
            else:
                alone = not random or (row["draw"] in OF_A_MAP and not any(_same(size, other) for other in random))
            if alone:
                found.append(row)
    return found


def _opponents(firsts: Mapping[str, Runs]) -> dict[str, str]:
    """Which random row each subset is compared with: the one of its size; for schedules (by what an epoch visited) and
    random that is drawn again in every epoch, the nearest in size; for full data at equal steps, the nearest in
    steps. Full data has none of its size. A row that names its opponent is compared with that one."""
    about = {name: {key: cell[key][0] for key in ("draw", "examples", "steps")} for name, cell in firsts.items()}
    random = [name for name, one in about.items() if one["draw"] == "random"]
    if not random:
        name, one = next(iter(about.items()))
        raise TrainmapError(
            "a comparison without random selection says nothing: no row is drawn 'random'; "
            f"add one of the size of '{name}' ({counted(one['examples'], 'example')})"
        )
    found = {}
    for name, one in about.items():
        if opponent := firsts[name]["opponent"][0]:
            if opponent not in about:
                raise TrainmapError(f"'{name}' is compared with '{opponent}', which is not among the rows; add it")
            found[name] = opponent
            continue
        near = "steps" if one["draw"] == "full, equal steps" else "examples"
        nearest = min(random, key=lambda other: abs(about[other][near] - one[near]))
        if one["draw"] in OF_A_MAP and not _same(one["examples"], about[nearest]["examples"]):
            raise TrainmapError(
                f"a comparison without random of the same size says nothing: '{name}' has "
                f"{counted(one['examples'], 'example')}, the nearest is '{nearest}' with "
                f"{about[nearest]['examples']}; add a random subset of {one['examples']}"
            )
        if one["draw"] not in ("random", "full", PRICED):
            found[name] = nearest
    return found


def _same(size: int, other: int) -> bool:
    return abs(other - size) <= SAME_SIZE * size
