"""Do people find the same examples hard? The tables of a teacher's map of the test data beside people's judgement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainmap.experiments.report.formats import show_between, show_number
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import interval
from trainmap.experiments.results.titles import people_titles
from trainmap.experiments.runs.folder import Study
from trainmap.maps.regions import REGIONS

Done = Mapping[str, Mapping[str, Any]]


def people_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables for each teacher, what they say in a sentence, a row for each run and score; empty without people."""
    entries = {entry.hash: entry for entry in study.entries}
    teachers: dict[str, list[Mapping[str, Any]]] = {}
    rows: list[dict[str, Any]] = []
    for digest, title in people_titles(study).items():
        if digest in done:
            name, seed = str(title), entries[entries[digest].config["teacher"]].config["seed"]
            teachers.setdefault(name, []).append(done[digest])
            rows += [{"teacher": name, "seed": seed, **score} for score in done[digest]["scores"]]
    grids: list[Grid] = []
    said: list[str] = []
    for name, runs in teachers.items():
        grids += [_scores_grid(name, runs, study.level), _regions_grid(name, runs, study.level)]
        said += _sentence(name, runs, study.level)
    return grids, said, rows


def _sentence(name: str, runs: Sequence[Mapping[str, Any]], level: float) -> list[str]:
    def mean(key: str, at: int) -> float:
        return mean_of([run["scores"][at][key] for run in runs])

    there = [at for at in range(len(runs[0]["scores"])) if not math.isnan(mean("spearman", at))]
    if not there:
        return []
    best = max(there, key=lambda at: mean("spearman", at))
    cells = (_over_runs([run["scores"][best][key] for run in runs], level).text for key in ("spearman", "auroc"))
    rank, auroc = cells
    return [
        f"{name}: of {len(there)} scores {runs[0]['scores'][best]['score']} goes best with people's disagreement: "
        f"Spearman {rank}, AUROC {auroc}."
    ]


def _scores_grid(name: str, runs: Sequence[Mapping[str, Any]], level: float) -> Grid:
    lines: list[GridLine] = []
    for at, first in enumerate(runs[0]["scores"]):
        cells: list[Cell] = []
        for key, low, high in (("spearman", "low", "high"), ("auroc", "auroc_low", "auroc_high")):
            cells.append(_over_runs([run["scores"][at][key] for run in runs], level))
            known = first[key] is not None
            cells.append(Cell(show_between(first[key], first[low], first[high])) if known else NOTHING)
        lines.append(GridLine(first["score"], tuple(cells)))
    one = runs[0]["scores"][0]
    lead = (
        "Spearman's correlation of each score with the entropy of people's choices, equal values sharing their mean "
        f"rank, and the AUROC for the {one['disputed']:,} of {one['examples']:,} examples with the highest entropy; "
        "the hard end of a score counts as high, so above 0 and above 0.5 the network finds hard what people do. Over "
        f"trainings: mean ± half of Student's {100 * level:g} % interval; over examples: bootstrap, first training."
    )
    heads = ("Spearman over trainings", "over examples", "AUROC over trainings", "over examples")
    return Grid(f"People beside {name}", lead, "score", heads, tuple(lines))


def _regions_grid(name: str, runs: Sequence[Mapping[str, Any]], level: float) -> Grid:
    names = [region for region in (*REGIONS, "none") if all(region in run["regions"] for run in runs)]
    lines = tuple(
        GridLine(
            region,
            (
                _over_runs([run["regions"][region]["entropy"] for run in runs], level),
                Cell(f"{runs[0]['regions'][region]['examples']:,}"),
            ),
        )
        for region in names
    )
    lead = "Mean entropy of people's choices in bits, over trainings."
    heads = ("entropy", "examples, first training")
    return Grid(f"How much people disagree by region, {name}", lead, "region", heads, lines)


def _over_runs(values: Sequence[float | None], level: float) -> Cell:
    there = [value for value in values if value is not None]
    if not there:
        return NOTHING
    found = interval(there, level)
    half = f" ± {found.half_width:.3f}" if len(there) > 1 else ""
    return Cell(f"{show_number(found.mean)}{half} (n={found.n})")
