"""Do people find the same examples hard? Teacher → map of the test data beside people's judgement, and the tables.

The test data are passive probes: the teacher records them after each epoch and never learns from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmap.errors import TrainmapError
from trainmap.experiments.report.grid_cells import Cell, Grid
from trainmap.experiments.results.statistics import interval
from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.people import People, counts_path, fingerprint, read_counts
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import score_named
from trainmap.selection.strategies import check_epochs

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner

Done = Mapping[str, Mapping[str, Any]]


def plan_people(planner: Planner) -> None:
    """Add the comparison with people for every run of every teacher."""
    human, wrong = planner.experiment.human, planner.variant.wrong
    if human is None:
        return
    if not planner.teachers:
        raise wrong(("human",), "people are compared with a teacher; add one under teachers")
    recorded = min(one.recipe.epochs for runs in planner.teachers.values() for one in runs.values())
    for at, score in enumerate(human.scores):
        try:
            check_epochs(score, score_named(score).epochs, recorded)
        except TrainmapError as error:
            raise wrong(("human", "scores", at), error) from error
    path = counts_path(human.counts, planner.experiment.data.root)
    test = planner.splits.test
    try:
        counts = read_counts(path)
        if counts.shape != (len(test), test.classes):
            raise TrainmapError(
                f"counts must be ({len(test)}, {test.classes}), the test examples and classes of {test.name}, "
                f"got {counts.shape}"
            )
    except TrainmapError as error:
        raise wrong(("human", "counts"), error) from error
    for name, runs in planner.teachers.items():
        for seed, teacher in runs.items():
            told: dict[str, Any] = {"top": human.top, "level": planner.experiment.level}
            task = People(teacher=teacher, counts=fingerprint(counts), scores=tuple(human.scores), **told)
            title = f"people beside {name} on {planner.splits.train.name}, seed {seed}"
            planner.add(task, title, name, {"counts": path})


def people_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables for each teacher, what they say in a sentence, a row for each run and score; empty without people."""
    teachers: dict[str, list[Mapping[str, Any]]] = {}
    rows: list[dict[str, Any]] = []
    for entry in study.entries:
        if entry.kind == "people" and entry.hash in done:
            name, _, seed = entry.name.removeprefix("people beside ").partition(", seed ")
            seed, _, label = seed.partition(" ")
            name = f"{name} {label}".strip()
            teachers.setdefault(name, []).append(done[entry.hash])
            rows += [{"teacher": name, "seed": seed, **score} for score in done[entry.hash]["scores"]]
    grids: list[Grid] = []
    said: list[str] = []
    for name, runs in teachers.items():
        grids += [_scores_grid(name, runs, study.level), _regions_grid(name, runs, study.level)]
        said += _sentence(name, runs, study.level)
    return grids, said, rows


def _sentence(name: str, runs: Sequence[Mapping[str, Any]], level: float) -> list[str]:
    def mean(key: str, at: int) -> float:
        return float(np.mean([np.nan if run["scores"][at][key] is None else run["scores"][at][key] for run in runs]))

    there = [at for at in range(len(runs[0]["scores"])) if not np.isnan(mean("spearman", at))]
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
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = []
    for at, first in enumerate(runs[0]["scores"]):
        cells: list[Cell] = []
        for key, low, high in (("spearman", "low", "high"), ("auroc", "auroc_low", "auroc_high")):
            cells.append(_over_runs([run["scores"][at][key] for run in runs], level))
            ends = "" if first[low] is None else f" [{_signed(first[low])}, {_signed(first[high])}]"
            cells.append(Cell("–" if first[key] is None else f"{_signed(first[key])}{ends}"))
        lines.append((first["score"], "", tuple(cells)))
    one = runs[0]["scores"][0]
    lead = (
        "Spearman's correlation of each score with the entropy of people's choices, equal values sharing their mean "
        f"rank, and the AUROC for the {one['disputed']:,} of {one['examples']:,} examples with the highest entropy; "
        "the hard end of a score counts as high, so above 0 and above 0.5 the network finds hard what people do. Over "
        f"trainings: mean ± half of Student's {100 * level:g} % interval; over examples: bootstrap, first training."
    )
    heads = ("Spearman over trainings", "over examples", "AUROC over trainings", "over examples")
    return Grid(f"People beside {name}", lead, "score", heads, ("",) * 4, tuple(lines))


def _regions_grid(name: str, runs: Sequence[Mapping[str, Any]], level: float) -> Grid:
    names = [region for region in (*REGIONS, "none") if all(region in run["regions"] for run in runs)]
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = [
        (
            region,
            "",
            (
                _over_runs([run["regions"][region]["entropy"] for run in runs], level),
                Cell(f"{runs[0]['regions'][region]['examples']:,}"),
            ),
        )
        for region in names
    ]
    lead = "Mean entropy of people's choices in bits, over trainings."
    heads = ("entropy", "examples, first training")
    return Grid(f"How much people disagree by region, {name}", lead, "region", heads, ("",) * 2, tuple(lines))


def _over_runs(values: Sequence[float | None], level: float) -> Cell:
    there = [value for value in values if value is not None]
    if not there:
        return Cell("–")
    found = interval(there, level)
    half = f" ± {found.half_width:.3f}" if len(there) > 1 else ""
    return Cell(f"{_signed(found.mean)}{half} (n={found.n})")


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
