"""What compressed networks predict differently from their originals.

What a compressed network predicts differently is set beside what another seed of the original predicts differently, on
the same examples: forgotten is only what goes beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainmap.evaluation.flips import flips
from trainmap.evaluation.predictions import Predictions, regions_of
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.results.facts import NAMES, facts_of
from trainmap.experiments.results.group_titles import group_key, group_titles
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.versus_random import Column
from trainmap.experiments.runs.folder import Entry, Study, made
from trainmap.experiments.tasks.datasets import Elsewhere
from trainmap.experiments.tasks.judge import prediction_path
from trainmap.experiments.tasks.place import TEST_MAP
from trainmap.maps.datamap import DataMap

UNTOLD = ("fraction", *NAMES)
Done = Mapping[str, Mapping[str, Any]]
Runs = Mapping[int, tuple[Line, Entry]]  # seed -> a compressed run


@dataclass(frozen=True)
class Forgotten:
    """What one compressed network predicts differently from its original; the mean over the sets.

    Attributes:
        labels: of the run: dataset, map, subset, student, distilled, taught, budget, seed.
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


def compressed_cells(study: Study, done: Done) -> dict[str, dict[tuple[str, Column], Runs]]:
    """The finished compressed runs by the title of their table, and there by subset and column."""
    entries, titles = {entry.hash: entry for entry in study.entries}, group_titles(study.lines)
    tables: dict[str, dict[tuple[str, Column], dict[int, tuple[Line, Entry]]]] = {}
    for line in study.lines:
        entry, labels = entries[line.run], line.labels
        if entry.kind == "compressed" and entry.hash in done:
            cells = tables.setdefault(f"{titles[group_key(line)].whole}, {labels['budget']}", {})
            column = (labels["student"], facts_of(line, entries)["taught"])
            cells.setdefault((labels["subset"], column), {})[labels["seed"]] = (line, entry)
    return {title: dict(cells) for title, cells in tables.items()}


def forgotten_of(runs: Mapping[int, tuple[Line, Entry]], entries: Mapping[str, Entry], folder: Path) -> list[Forgotten]:
    """The shares of each seed's run on the test data and, as the mean over the sets, on corrupted ones."""
    seeds, found = list(runs), []
    for place, seed in enumerate(seeds):
        line, entry = runs[seed]
        other = runs[seeds[(place + 1) % len(seeds)]][1]
        original, churned = (made(folder, entries[one.config["student"]]) for one in (entry, other))
        regions = None
        if line.map and (path := made(folder, entries[line.map]) / TEST_MAP).is_file():
            regions = DataMap.open(path)
        labels = {**line.group, **{key: value for key, value in line.labels.items() if key not in UNTOLD}}
        labels["taught"] = facts_of(line, entries)["taught"]
        elsewhere = Elsewhere.model_validate(entry.config["evaluation"], strict=False)
        for set_, names in {"test": ["test"], "corrupted": elsewhere.corrupted}.items():
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
    learnt = [row["wrong to right"] / row["examples"] for row in rows]
    forgotten, churn, baseline = ([row[key] for row in rows] for key in ("forgotten", "churn", "baseline_churn"))
    return mean_of(forgotten), mean_of(learnt), mean_of(churn), mean_of(baseline)
