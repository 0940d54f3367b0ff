"""What compression saves, what it changes and what it forgets: the tables of compressed students."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainmap.experiments.report.formats import show_difference
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.judged_cells import judged_of, with_verdict
from trainmap.experiments.report.student_columns import column_name, column_names
from trainmap.experiments.report.verdict_words import CHANGED, FORGOTTEN
from trainmap.experiments.results.facts import REFERENCES, facts_of
from trainmap.experiments.results.forgotten import Forgotten, Runs, compressed_cells, forgotten_of
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import Difference, paired_difference
from trainmap.experiments.results.versus_random import Column
from trainmap.experiments.runs.folder import Study
from trainmap.maps.regions import REGIONS
from trainmap.views.amounts import show_flops

GROUPS = ("all", *REGIONS)
SETS = {"test": "the test data", "corrupted": "the corrupted test data"}
METRICS = ("test_macro_f1", "corrupted_macro_f1")
Done = Mapping[str, Mapping[str, Any]]
Place = tuple[str, str]  # subset, column


def compression_grids(study: Study, done: Done, folder: Path) -> tuple[list[Grid], list[Forgotten]]:
    """The tables, and every run's shares; nothing where nothing is compressed."""
    entries = {entry.hash: entry for entry in study.entries}
    grids: list[Grid] = []
    found: list[Forgotten] = []
    for title, by_student in compressed_cells(study, done).items():
        heads = column_names(dict.fromkeys(column for _, column in by_student))
        cells = {(name, heads[column]): runs for (name, column), runs in by_student.items()}
        subsets: dict[str, bool] = {}
        for runs in cells.values():
            line = next(iter(runs.values()))[0]
            subsets.setdefault(line.labels["subset"], facts_of(line, entries)["draw"] in REFERENCES)
        grids.append(_weights(title, by_student, heads, done))
        grids += [_changes((title, metric), cells, subsets, done, study.level) for metric in METRICS]
        shares = {place: forgotten_of(runs, entries, folder) for place, runs in cells.items()}
        found += [one for part in shares.values() for one in part]
        for set_ in SETS:
            for column in dict.fromkeys(column for _, column in cells):
                rows = {subset: shares[subset, column] for subset in subsets if (subset, column) in shares}
                grids.append(_shares((title, column, set_), rows, subsets, study.level))
    return [grid for grid in grids if grid.lines], found


def _weights(title: str, cells: Mapping[tuple[str, Column], Runs], names: Mapping[Column, str], done: Done) -> Grid:
    """A line for each compressed student and each original: what they weigh, the mean over subsets and seeds."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for (_, column), members in cells.items():
        for _, entry in members.values():
            original = column_name(f"{entry.model} as it was", column[1])
            runs.setdefault(original, []).append(done[entry.config["student"]])
            runs.setdefault(names[column], []).append(done[entry.hash])
    lines: list[GridLine] = []
    for name, part in runs.items():
        keys = ("parameters", "nonzero", "bytes", "zipped_bytes", "forward_flops", "agreement")
        means = {key: mean_of([run.get(key) for run in part]) for key in keys}
        counts = [f"{means[key]:,.0f}" for key in ("parameters", "nonzero")]
        sizes = [f"{means[key] / 1000:,.1f} kB" for key in ("bytes", "zipped_bytes")]
        agrees = "–" if math.isnan(means["agreement"]) else f"{100 * means['agreement']:.1f} %"
        told = [*counts, show_flops(means["forward_flops"]), *sizes, agrees]
        lines.append(GridLine(name, tuple(map(Cell, told))))
    heads = ("parameters", "not zero", "FLOPs per example", "bytes", "zipped", "agrees with the original")
    lead = "Mean over subsets and seeds. Zeros and 8-bit products count as FLOPs like any other."
    return Grid(f"What compression saves, {title}", lead, "network", heads, tuple(lines))


def _changes(
    what: tuple[str, str], cells: Mapping[Place, Runs], subsets: Mapping[str, bool], done: Done, level: float
) -> Grid:
    """Compressed minus original by subset and column, paired by seed.

    Args:
        what: title of the table, metric.
        cells: the compressed runs.
        subsets: whether each is one that others are held against.
        done: results by hash.
        level: of the intervals.
    """
    title, metric = what

    def difference(runs: Runs) -> Difference:
        after = {seed: done[entry.hash][metric] for seed, (_, entry) in runs.items()}
        before = {seed: done[entry.config["student"]][metric] for seed, (_, entry) in runs.items()}
        return paired_difference(after, before, level)

    there = all(metric in done[entry.hash] for runs in cells.values() for _, entry in runs.values())
    judged = judged_of({place: difference(runs) for place, runs in cells.items()} if there else {}, level)

    def cell(place: Place) -> Cell:
        if place not in judged:
            return NOTHING
        found, firm = judged[place]
        return Cell(show_difference(found, 1, found.n)).judged(found.verdict, CHANGED, firm)

    columns = tuple(dict.fromkeys(column for _, column in cells))
    lines = tuple(
        GridLine(name, tuple(cell((name, column)) for column in columns), reference)
        for name, reference in (subsets.items() if there else ())
    )
    where = "" if metric.startswith("test") else " on corrupted test data"
    lead = (
        f"Macro F1{where}, compressed minus original of the same seed, in points with its interval; a hollow symbol "
        "does "
        "not stay under Holm's correction over the table."
    )
    return Grid(f"What compression changes{where}, {title}", lead, "subset", columns, lines)


def _shares(
    what: tuple[str, str, str], rows: Mapping[str, list[Forgotten]], subsets: Mapping[str, bool], level: float
) -> Grid:
    """A line for each subset, a column for each region; ``what`` is the title of the table, the column, the set."""
    title, column, set_ = what
    there = {one.group for part in rows.values() for one in part if one.set == set_}
    heads = tuple(group for group in GROUPS if group in there)
    cells = {
        (subset, group): [one for one in part if (one.set, one.group) == (set_, group)]
        for subset, part in rows.items()
        for group in heads
    }
    judged = judged_of({place: _beyond(its, level) for place, its in cells.items() if its}, level)
    lines = [
        GridLine(
            subset, tuple(_share_cell(cells[subset, at], judged.get((subset, at))) for at in heads), subsets[subset]
        )
        for subset in (rows if there else ())
    ]
    lead = (
        "Examples that go from right to wrong, in percent of the group, mean over n seeds; below it all that change "
        "class, and those that change between the originals of two seeds. The verdict is on changed minus that, by "
        "its interval over the seeds; a hollow symbol does not stay under Holm's correction over the table. Regions: "
        "of the map of the test data."
    )
    name = f"What {column} forgets on {SETS[set_]}, {title}"
    return Grid(name, lead, "subset", heads, tuple(lines), aside=True)


def _beyond(part: Sequence[Forgotten], level: float) -> Difference:
    """What changes class minus what changes between the originals of two seeds; without n where that is not known."""
    churn, baseline = ({at: getattr(one, key) for at, one in enumerate(part)} for key in ("churn", "baseline"))
    known = {at: value for at, value in baseline.items() if not math.isnan(value)}
    return paired_difference(churn, known if len(known) == len(churn) else {}, level)


def _share_cell(part: Sequence[Forgotten], found: tuple[Difference, bool] | None) -> Cell:
    if not part:
        return NOTHING
    forgotten, churn, baseline = (
        mean_of([getattr(one, key) for one in part]) for key in ("forgotten", "churn", "baseline")
    )
    text, changed = f"{100 * forgotten:.1f} (n={len(part)})", f"changed {100 * churn:.1f}"
    if math.isnan(baseline):
        return Cell(text, changed)
    return with_verdict(Cell(text, f"{changed}, another seed {100 * baseline:.1f}"), found, FORGOTTEN)
