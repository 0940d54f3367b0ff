"""What compression saves, what it changes and what it forgets: the tables of an experiment with compressed students.

What a compressed network predicts differently is set beside what another seed of the original predicts differently, on
the same examples: forgotten is only what goes beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainmap.evaluation.flips import flips
from trainmap.evaluation.predictions import Predictions, regions_of
from trainmap.experiments.graph import Line
from trainmap.experiments.report.formats import show_difference, show_flops
from trainmap.experiments.report.grid_cells import VERDICTS, Cell, Grid, Lines
from trainmap.experiments.results.statistics import Estimate, interval, paired_difference
from trainmap.experiments.results.versus_random import Role, role
from trainmap.experiments.runs.folder import Entry, Study, made
from trainmap.experiments.tasks.datasets import Elsewhere
from trainmap.experiments.tasks.judge import prediction_path
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS

GROUPS = ("all", *REGIONS)
SETS = {"test": "the test data", "corrupted": "the corrupted test data"}
Done = Mapping[str, Mapping[str, Any]]
Cells = dict[tuple[str, str], dict[int, tuple[Line, Entry]]]  # (subset, column) -> seed -> a compressed run


@dataclass(frozen=True)
class Forgotten:
    """What one compressed network predicts differently from its original; the mean over the sets.

    Attributes:
        labels: of the run: dataset, map, subset, student, distilled, budget, seed.
        set: "test" or "corrupted".
        group: "all" or a region of the map of the test data, which another training made.
        examples: in the group.
        forgotten: share that goes from right to wrong.
        learnt: share that goes from wrong to right.
        churn: share whose class changes.
        baseline: the churn between the original and the original of the next seed; NaN with one seed.
    """

    labels: Mapping[str, Any]
    set: str
    group: str
    examples: int
    forgotten: float
    learnt: float
    churn: float
    baseline: float

    def flat(self) -> dict[str, Any]:
        """One level deep, for a CSV file."""
        rest = {key: value for key, value in vars(self).items() if key != "labels"}
        return {**self.labels, **{key: "" if value != value else value for key, value in rest.items()}}


def compression_grids(study: Study, done: Done, folder: Path) -> tuple[list[Grid], list[Forgotten]]:
    """The tables, and every run's shares; nothing where nothing is compressed."""
    entries = {entry.hash: entry for entry in study.entries}
    tables: dict[str, Cells] = {}
    for line in study.lines:
        entry = entries[line.run]
        if entry.kind == "compressed" and entry.hash in done:
            title = ", ".join(
                [str(line.group["dataset"]), *(f"{k} {v}" for k, v in line.group.items() if k != "dataset")]
            )
            column = f"{line.labels['student']} + KD" if line.labels["distilled"] else line.labels["student"]
            cells = tables.setdefault(f"{title}, {line.labels['budget']}", {})
            cells.setdefault((line.labels["subset"], column), {})[line.labels["seed"]] = line, entry
    grids: list[Grid] = []
    found: list[Forgotten] = []
    for title, cells in tables.items():
        grids.append(_weights(title, cells, done))
        grids += [
            _changes(title, cells, done, study.level, metric) for metric in ("test_macro_f1", "corrupted_macro_f1")
        ]
        shares = {key: _forgotten(runs, entries, folder) for key, runs in cells.items()}
        found += [one for part in shares.values() for one in part]
        for set_ in SETS:
            for column in dict.fromkeys(column for _, column in cells):
                rows = {subset: part for (subset, other), part in shares.items() if other == column}
                grids.append(_shares(title, column, set_, rows, study.level))
    return [grid for grid in grids if grid.lines], found


def _weights(title: str, cells: Cells, done: Done) -> Grid:
    """A line for each compressed student and each original: what they weigh, the mean over subsets and seeds."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for (_, column), members in cells.items():
        for line, entry in members.values():
            original = done[entry.config["student"]]
            runs.setdefault(f"{entry.model} as it was{' + KD' if line.labels['distilled'] else ''}", []).append(
                original
            )
            runs.setdefault(column, []).append(done[entry.hash])

    def mean(part: Sequence[Mapping[str, Any]], key: str) -> float:
        return sum(run.get(key, math.nan) for run in part) / len(part)

    lines: list[tuple[str, Role, tuple[Cell, ...]]] = []
    for name, part in runs.items():
        counts = [f"{mean(part, key):,.0f}" for key in ("parameters", "nonzero")]
        sizes = [f"{mean(part, key) / 1000:,.1f} kB" for key in ("bytes", "zipped_bytes")]
        agreement = mean(part, "agreement")
        agrees = "–" if math.isnan(agreement) else f"{100 * agreement:.1f} %"
        told = [*counts, show_flops(mean(part, "forward_flops")), *sizes, agrees]
        lines.append((name, "", tuple(map(Cell, told))))
    heads = ("parameters", "not zero", "FLOPs per example", "bytes", "zipped", "agrees with the original")
    lead = "Mean over subsets and seeds. Zeros and 8-bit products count as FLOPs like any other."
    return Grid(f"What compression saves, {title}", lead, "network", heads, ("",) * len(heads), tuple(lines))


def _changes(title: str, cells: Cells, done: Done, level: float, metric: str) -> Grid:
    """Compressed minus original by subset and column, paired by seed."""
    words = {"beats random": "better", "no difference shown": "no difference shown", "worse": "worse"}

    def cell(runs: Mapping[int, tuple[Line, Entry]] | None) -> Cell:
        if runs is None:
            return Cell("–")
        after = {seed: done[entry.hash][metric] for seed, (_, entry) in runs.items()}
        before = {seed: done[entry.config["student"]][metric] for seed, (_, entry) in runs.items()}
        found = paired_difference(after, before, level)
        return Cell(show_difference(found, 1, found.n), "", words[found.verdict], VERDICTS[found.verdict])

    there = all(metric in done[entry.hash] for runs in cells.values() for _, entry in runs.values())
    columns = tuple(dict.fromkeys(column for _, column in cells))
    names = dict.fromkeys(subset for subset, _ in cells) if there else ()
    lines: Lines = tuple((name, role(name), tuple(cell(cells.get((name, c))) for c in columns)) for name in names)
    where = "" if metric.startswith("test") else " on corrupted test data"
    lead = f"Macro F1{where}, compressed minus original of the same seed, in points with its interval."
    return Grid(f"What compression changes{where}, {title}", lead, "subset", columns, ("",) * len(columns), lines)


def _forgotten(runs: Mapping[int, tuple[Line, Entry]], entries: Mapping[str, Entry], folder: Path) -> list[Forgotten]:
    """The shares of each seed's run on the test data and, as the mean over the sets, on corrupted ones."""
    seeds, found = list(runs), []
    for place, seed in enumerate(seeds):
        line, entry = runs[seed]
        other = runs[seeds[(place + 1) % len(seeds)]][1]
        original, churned = (made(folder, entries[one.config["student"]]) for one in (entry, other))
        regions = None
        if line.map and (path := made(folder, entries[line.map]) / "test-map.parquet").is_file():
            regions = DataMap.open(path)
        labels = {**line.group, **{key: value for key, value in line.labels.items() if key != "fraction"}}
        for set_, names in {
            "test": ["test"],
            "corrupted": Elsewhere.model_validate(entry.config["evaluation"], strict=False).corrupted,
        }.items():
            tables: dict[str, list[Mapping[str, Any]]] = {}
            for name in names:
                before, after, again = (
                    Predictions.open(prediction_path(place_, name))
                    for place_ in (original, made(folder, entry), churned)
                )
                groups = {} if regions is None else {"region": regions_of(regions, before)}
                compared = flips(before, after, baseline=again if len(seeds) > 1 else None, groups=groups)
                for row in compared.table.iter_rows(named=True):
                    if row["grouping"] in ("all", "region"):
                        tables.setdefault(row["group"], []).append(row)
            found += [
                Forgotten(labels, set_, group, rows[0]["examples"], *_means(rows)) for group, rows in tables.items()
            ]
    return found


def _means(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float, float]:
    """Forgotten, learnt, churn, baseline: each set counts the same."""
    learnt = sum(row["wrong to right"] / row["examples"] for row in rows) / len(rows)
    baseline = sum(math.nan if row["baseline_churn"] is None else row["baseline_churn"] for row in rows) / len(rows)
    forgotten, churn = (sum(row[key] for row in rows) / len(rows) for key in ("forgotten", "churn"))
    return forgotten, learnt, churn, baseline


def _shares(title: str, column: str, set_: str, rows: Mapping[str, list[Forgotten]], level: float) -> Grid:
    """A line for each subset, a column for each region."""
    there = {one.group for part in rows.values() for one in part if one.set == set_}
    heads = tuple(group for group in GROUPS if group in there)
    lines = []
    for subset, part in rows.items() if there else ():
        by_group = {group: [one for one in part if (one.set, one.group) == (set_, group)] for group in heads}
        lines.append((subset, role(subset), tuple(_cell(by_group[group], level) for group in heads)))
    lead = (
        "Examples that go from right to wrong, in percent of the group, mean over n seeds; below it all that change "
        "class, and those that change between the originals of two seeds. The verdict is on changed minus that, by "
        "its interval over the seeds. Regions: of the map of the test data."
    )
    name = f"What {column} forgets on {SETS[set_]}, {title}"
    return Grid(name, lead, "subset", heads, ("",) * len(heads), tuple(lines), aside=True)


def _cell(part: Sequence[Forgotten], level: float) -> Cell:
    if not part:
        return Cell("–")
    n = len(part)
    forgotten, churn, baseline = (
        sum(getattr(one, key) for one in part) / n for key in ("forgotten", "churn", "baseline")
    )
    text, changed = f"{100 * forgotten:.1f} (n={n})", f"changed {100 * churn:.1f}"
    if math.isnan(baseline):
        return Cell(text, changed)
    beyond: Estimate = interval([one.churn - one.baseline for one in part], level)
    words, verdict = "no difference shown", "same"
    if beyond.low > 0:
        words, verdict = "more than another seed", "worse"
    elif beyond.high < 0:
        words, verdict = "less than another seed", "better"
    return Cell(text, f"{changed}, another seed {100 * baseline:.1f}", words, verdict)  # pyright: ignore
