"""How far the maps of one dataset agree, two by two, beside what each cost and how good its teacher is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainmap.experiments.results.price import price_of
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.titles import Title, map_titles
from trainmap.experiments.runs.folder import Entry, Study, made
from trainmap.experiments.tasks.place import MAP
from trainmap.experiments.tasks.result_fields import MAPS
from trainmap.experiments.tasks.task import Task
from trainmap.maps.agreement import compare
from trainmap.maps.datamap import DataMap

Done = Mapping[str, Mapping[str, Any]]

AXES = ("confidence", "variability")
TOP = 1 / 3  # ambiguous: the highest variability; hard-to-learn: the lowest confidence


@dataclass(frozen=True)
class Pair:
    """Two maps of one dataset.

    Attributes:
        first, second: their names.
        first_maker, second_maker, first_seed, second_seed: the same apart: which kind of map, and of which training;
            None for several.
        examples: in both.
        confidence, variability: Spearman's correlation of each.
        ambiguous, hard: the share of one map's top third that is in the other's.
        first_accuracy, second_accuracy: of the teachers, on the test data; the mean of several.
        first_flops, second_flops, first_cpu_seconds, second_cpu_seconds: what each map took, training included.
        sources: "train", "sweep", or both where the two differ: then they measure different quantities.
    """

    dataset: str
    first: Title
    second: Title
    first_maker: Title
    second_maker: Title
    first_seed: int | None
    second_seed: int | None
    examples: int
    confidence: float
    variability: float
    ambiguous: float
    hard: float
    first_accuracy: float
    second_accuracy: float
    first_flops: float
    second_flops: float
    first_cpu_seconds: float
    second_cpu_seconds: float
    sources: str

    def flat(self) -> dict[str, Any]:
        """For a CSV file."""
        return {key: str(value) if isinstance(value, Title) else value for key, value in vars(self).items()}


def pairs(study: Study, done: Done, folder: Path) -> list[Pair]:
    """Every two finished maps of the same examples and labels, in the order of the plan."""
    entries = {entry.hash: entry for entry in study.entries}
    titles, makers = map_titles(study), map_titles(study, seeds=False)
    groups: dict[str, list[Entry]] = {}
    for entry in study.entries:
        if entry.kind in MAPS and entry.hash in done:
            groups.setdefault(done[entry.hash]["dataset"], []).append(entry)
    found: list[Pair] = []
    for group in groups.values():
        if len(group) > 1:
            maps = [DataMap.open(made(folder, entry) / MAP) for entry in group]
            told = [
                {
                    "name": titles[entry.hash],
                    "maker": makers[entry.hash],
                    "seed": entries[entry.after[0]].config["seed"] if len(entry.after) == 1 else None,
                    **_told(entry, study.tasks[entry.hash], done),
                }
                for entry in group
            ]
            found += [
                _pair(group[0].dataset, (maps[a], told[a]), (maps[b], told[b]))
                for a, b in itertools.combinations(range(len(group)), 2)
            ]
    return found


def _told(entry: Entry, task: Task, done: Done) -> dict[str, Any]:
    spent = price_of([task], done).whole
    accuracy = mean_of([done[one]["test_accuracy"] for one in entry.after])
    return {"accuracy": accuracy, "flops": spent.flops, "cpu_seconds": spent.cpu_seconds}


def _pair(dataset: str, first: tuple[DataMap, dict[str, Any]], second: tuple[DataMap, dict[str, Any]]) -> Pair:
    (a, of_a), (b, of_b) = first, second
    compared = compare(a, b, AXES, [TOP], allow=("source", "rule"))
    confidence, variability = compared.scores
    return Pair(
        dataset,
        *(of_a["name"], of_b["name"], of_a["maker"], of_b["maker"], of_a["seed"], of_b["seed"], compared.examples),
        *(confidence.spearman, variability.spearman, variability.top[0].share, confidence.top[0].share),
        *(of_a["accuracy"], of_b["accuracy"], of_a["flops"], of_b["flops"]),
        *(of_a["cpu_seconds"], of_b["cpu_seconds"], " and ".join(dict.fromkeys(compared.sources))),
    )
