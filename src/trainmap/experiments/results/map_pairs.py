"""How far the maps of one dataset agree, two by two, beside what each cost and how good its teacher is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.errors import counted
from trainmap.experiments.report.formats import MINUS, show_flops, show_percent, show_seconds
from trainmap.experiments.report.grid_cells import Cell, Grid
from trainmap.experiments.runs.folder import Entry, Study, made
from trainmap.maps.agreement import compare
from trainmap.maps.datamap import DataMap

Done = Mapping[str, Mapping[str, Any]]

AXES = ("confidence", "variability")
TOP = 1 / 3  # ambiguous: the highest variability; hard-to-learn: the lowest confidence
FOLDED = 15  # pairs from which on the table is folded at first


@dataclass(frozen=True)
class Pair:
    """Two maps of one dataset.

    Attributes:
        first, second: their names.
        examples: in both.
        confidence, variability: Spearman's correlation of each.
        ambiguous, hard: the share of one map's top third that is in the other's.
        first_accuracy, second_accuracy: of the teachers, on the test data.
        first_flops, second_flops, first_cpu_seconds, second_cpu_seconds: what each map took, training included.
        sources: "train", "sweep", or both where the two differ: then they measure different quantities.
    """

    dataset: str
    first: str
    second: str
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


def map_costs(entry: Entry, entries: Mapping[str, Entry], done: Done) -> dict[str, float]:
    """What it took to record the epochs that a map was made of: ``flops``, ``seconds``, ``cpu_seconds``."""
    scored, trained = done[entry.hash], done[entries[entry.after[0]].hash]
    share = scored["epochs"] / scored["recorded_epochs"]
    return {
        "flops": trained["train_flops"] * share,
        "seconds": (trained["train_seconds"] + trained["sweep_seconds"]) * share,
        "cpu_seconds": (trained["train_cpu_seconds"] + trained["sweep_seconds"]) * share,
    }


def pairs(study: Study, done: Done, folder: Path) -> list[Pair]:
    """Every two finished maps of the same examples and labels, in the order of the plan."""
    entries = {entry.hash: entry for entry in study.entries}
    groups: dict[str, list[Entry]] = {}
    for entry in study.entries:
        if entry.kind == "map" and entry.hash in done:
            groups.setdefault(done[entry.hash]["dataset"], []).append(entry)
    found: list[Pair] = []
    for group in groups.values():
        if len(group) > 1:
            maps = [DataMap.open(made(folder, entry) / "map.parquet") for entry in group]
            told = [_told(entry, entries, done) for entry in group]
            found += [
                _pair(group[0].dataset, (maps[a], told[a]), (maps[b], told[b]))
                for a, b in itertools.combinations(range(len(group)), 2)
            ]
    return found


def _told(entry: Entry, entries: Mapping[str, Entry], done: Done) -> dict[str, Any]:
    costs = map_costs(entry, entries, done)
    return {
        "name": entry.name.removeprefix("map of ").replace(f" on {entry.dataset}", ""),
        "accuracy": done[entry.after[0]]["test_accuracy"],
        "flops": costs["flops"],
        "cpu_seconds": costs["cpu_seconds"] + done[entry.hash]["scoring_cpu_seconds"],
    }


def _pair(dataset: str, first: tuple[DataMap, dict[str, Any]], second: tuple[DataMap, dict[str, Any]]) -> Pair:
    (a, of_a), (b, of_b) = first, second
    compared = compare(a, b, AXES, [TOP], allow=("source", "rule"))
    confidence, variability = compared.scores
    return Pair(
        dataset,
        *(of_a["name"], of_b["name"], compared.examples),
        *(confidence.spearman, variability.spearman, variability.top[0].share, confidence.top[0].share),
        *(of_a["accuracy"], of_b["accuracy"], of_a["flops"], of_b["flops"]),
        *(of_a["cpu_seconds"], of_b["cpu_seconds"], " and ".join(dict.fromkeys(compared.sources))),
    )


def agreement_grids(found: Sequence[Pair]) -> list[Grid]:
    """One table for each dataset, a line for each pair."""
    datasets = dict.fromkeys(pair.dataset for pair in found)
    return [_grid(dataset, [pair for pair in found if pair.dataset == dataset]) for dataset in datasets]


def _grid(dataset: str, found: Sequence[Pair]) -> Grid:
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = []
    labels = {re.sub(r"^.*?( \(.*\))?$", r"\1", name) for pair in found for name in (pair.first, pair.second)}
    shared = labels.pop() if len(labels) == 1 else ""  # the point of the grid that all of them are of
    for pair in found:
        first, second = (name.removesuffix(shared) for name in (pair.first, pair.second))
        mixed = "" if " and " not in pair.sources else f", {pair.sources}"
        cells = [
            *(_rank(value) for value in (pair.confidence, pair.variability)),
            *(Cell(show_percent(share)) for share in (pair.ambiguous, pair.hard)),
            Cell(f"{100 * pair.first_accuracy:.1f} and {100 * pair.second_accuracy:.1f}"),
            Cell(
                f"{show_flops(pair.first_flops)} and {show_flops(pair.second_flops)}",
                f"{show_seconds(pair.first_cpu_seconds)} and {show_seconds(pair.second_cpu_seconds)}",
            ),
        ]
        lines.append((f"{first} | {second}{mixed}", "", tuple(cells)))
    heads = (
        *("Spearman, confidence", "Spearman, variability", "same ambiguous", "same hard-to-learn"),
        *("teachers' test accuracy", "cost of the maps, CPU time"),
    )
    lead = (
        f"Two maps of the same {counted(found[0].examples, 'example')}: correlation of the ranks, and the share of one "
        "map's ambiguous (hard-to-learn) third that is in the other's; 33 % would be chance. Accuracy in percent; "
        "cost: the training that was recorded, and scoring. Each is one pair, n=1: two seeds of one network show how "
        "much chance does. Networks of one seed meet the examples in one order, which makes their maps more alike."
    )
    title = f"Agreement of maps, {dataset}"
    return Grid(title, lead, "maps", heads, ("",) * len(heads), tuple(lines), aside=len(lines) > FOLDED)


def _rank(value: float) -> Cell:
    return Cell("–" if np.isnan(value) else f"{value:.2f}".replace("-", MINUS))
