"""The page of an experiment: one big table, the plots, and below them the report of each group of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainmap.errors import counted, last_line
from trainmap.experiments.people import people_grids
from trainmap.experiments.report.formats import show_estimate, show_flops, show_percent, show_seconds
from trainmap.experiments.report.grid_cells import VERDICTS, Cell, Grid, Lines
from trainmap.experiments.report.longtable import by_budget, latex, table_csv
from trainmap.experiments.report.report import escape, html_page, listed, markdown, markdown_grids, picture, rows_csv
from trainmap.experiments.results.forgotten import compression_grids
from trainmap.experiments.results.map_pairs import agreement_grids, pairs
from trainmap.experiments.results.records import Group, Record, groups, has_random, records, report_of
from trainmap.experiments.results.statistics import Estimate, interval
from trainmap.experiments.results.versus_random import Report, role
from trainmap.experiments.runs.folder import Study, failures, open_study, results
from trainmap.experiments.searches import search_grids
from trainmap.files import reading, write_json, writing
from trainmap.views.result_plots import Panel, Point, Series, plot_costs, plot_sizes


@dataclass(frozen=True)
class Page:
    """What stands on the page besides the reports of the groups.

    Attributes:
        title: heading.
        summary: what the tables say, in sentences.
        grids: the big tables, the teachers, the overlap of regions.
        pictures: caption and PNG file.
        reports: of the groups that have a random row.
        notes, provenance: at the end.
    """

    title: str
    summary: Sequence[str]
    grids: Sequence[Grid]
    pictures: Sequence[tuple[str, Path]]
    reports: Sequence[Report]
    notes: Sequence[str]
    provenance: Mapping[str, object]


def write_study(folder: str | Path) -> dict[str, Path]:
    """Write the reports of what is finished in a folder: ``report.html`` (stands alone), ``report.md``,
    ``report.tex`` (the big tables), ``table.csv`` (one line for each cell), ``results.csv`` (one for each run),
    ``results.json`` (every finished task) and ``plots/``; where there is something to say ``forgotten.csv`` (what each
    compressed student predicts differently, by region), ``trials.csv`` (of a search), ``people.csv`` (each score of a
    map beside people's judgement), ``agreement.csv`` (every two maps of a dataset).

    Raises:
        StoreError: a folder without an experiment, a damaged file.
        TrainmapError: rows that cannot be compared.
    """
    place = Path(folder)
    study = open_study(place)
    with reading(place, "folder of an experiment whose files fit together", "run the experiment again"):
        return _write(study, place)


def _write(study: Study, place: Path) -> dict[str, Path]:
    done = results(study, place)
    found = [(group, report_of(study, group, done, place)) for group in groups(study, done)]
    tables = [(group, records(group, report)) for group, report in found if group.rows]
    failed = failures(study, place)
    compressed, forgotten = compression_grids(study, done, place)
    searched, found_out, trials = search_grids(study, done)
    people, told, judged = people_grids(study, done)
    agreeing = pairs(study, done, place)
    page = Page(
        study.title,
        [*_summary(study, done, tables, failed), *found_out, *told],
        [
            *(*_big_tables(tables), *_elsewhere(found), *compressed, *searched, *people),
            *(*teachers_grids(study, done), *agreement_grids(agreeing), *_overlaps(study, done)),
        ],
        _pictures(tables, place / "plots"),
        [report for group, report in found if has_random(group)],
        [*study.notes, *(f"Failed: {name}: {last_line(text)}" for name, text in failed.items())],
        study.provenance,
    )
    flat = [record for _, part in tables for record in part]
    rows = [row for group, _ in found for row in group.rows]
    texts: dict[str, str] = {
        "report.html": html_page(page),
        "report.md": _markdown(page, place),
        "report.tex": latex(page.title, tables),
        "table.csv": table_csv(flat),
        "results.csv": rows_csv(rows) if rows else "",
    }
    beside: dict[str, Sequence[Mapping[str, Any]]] = {
        "forgotten.csv": [one.flat() for one in forgotten],
        "trials.csv": trials,
        "people.csv": judged,
        "agreement.csv": [vars(pair) for pair in agreeing],
    }
    texts |= {name: rows_csv(part) for name, part in beside.items() if part}
    for name in beside.keys() - texts.keys():  # of a plan that had something to say there
        (place / name).unlink(missing_ok=True)
    for name, text in texts.items():
        with writing(place / name) as handle:
            handle.write(text.encode())
    write_json(
        place / "results.json",
        [
            {
                "kind": entry.kind,
                "name": entry.name,
                "hash": entry.hash,
                "config": entry.config,
                "result": done[entry.hash],
            }
            for entry in study.entries
            if entry.hash in done
        ],
    )
    return {name: place / name for name in (*texts, "results.json")}


def _elsewhere(found: Sequence[tuple[Group, Report]]) -> list[Grid]:
    """A big table for each set besides the test set: corruptions together, each shift by itself."""
    keys = dict.fromkeys(key for group, _ in found for row in group.rows for key in row if key.endswith("_macro_f1"))
    grids: list[Grid] = []
    for key in keys:
        name = key.removesuffix("_macro_f1")
        if name in ("test", "validation"):
            continue
        shared = [(group, report) for group, report in found if group.rows and all(key in row for row in group.rows)]
        tables = [(group, records(group, report, key)) for group, report in shared]
        what = "Corrupted test data" if name == "corrupted" else f"Shifted data ({name})"
        lead = f"{what}: macro F1, mean over n seeds in percent ± half of the interval, and the verdict against random."
        grids += [
            replace(grid, title=f"{what}, {grid.title.rpartition(', ')[2]}", lead=lead) for grid in _big_tables(tables)
        ]
    return grids


def _big_tables(tables: Sequence[tuple[Group, Sequence[Record]]]) -> list[Grid]:
    """One table for each budget: a line for each subset, a column for each student of each group."""
    found = []
    flat = [(group, budget, part) for group, budget, part in by_budget(tables)]
    several = len({group.title for group, _, _ in flat}) > 1
    for budget in dict.fromkeys(budget for _, budget, _ in flat):
        cells: dict[tuple[str, str], Record] = {}
        for group, its, part in flat:
            for record in part if its == budget else ():
                head = f"{group.title}: {record.column}" if several else record.column
                cells[record.subset, head] = record
        heads = list(dict.fromkeys(head for _, head in cells))
        kinds = tuple(
            "distilled" if any(h == head and r.distilled for (_, h), r in cells.items()) else "plain" for head in heads
        )
        lines: Lines = tuple(
            (name, role(name), tuple(_big_cell(cells.get((name, head))) for head in heads))
            for name in dict.fromkeys(name for name, _ in cells)
        )
        lead = "Test macro F1: mean over n seeds in percent ± half of the interval, and the verdict against random."
        found.append(Grid(f"The whole in one table, {budget}", lead, "subset", tuple(heads), kinds, lines))
    return found


def _big_cell(record: Record | None) -> Cell:
    if record is None:
        return Cell("–")
    estimate = Estimate(record.macro_f1, record.low, record.high, record.n)
    words = {"": "the opponent" if role(record.subset) == "random" else ""}.get(record.verdict, record.verdict)
    return Cell(show_estimate(estimate, 1), "", words, VERDICTS.get(record.verdict, ""), record.firm)


def teachers_grids(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[Grid]:
    """The table of the teachers: a line for each, over its seeds."""
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}  # by name and all that is no seed
    for entry in study.entries:
        if entry.kind == "teacher" and entry.hash in done:
            key = re.sub(r", seed \d+", "", entry.name).removeprefix("teacher ")
            settings = json.dumps({**entry.config, "seed": None}, sort_keys=True)
            runs.setdefault((key, settings), []).append(done[entry.hash])
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = []
    for (name, _), part in runs.items():
        scores = [
            show_estimate(interval([run[key] for run in part], study.level), 2)
            for key in ("test_macro_f1", "test_accuracy")
        ]
        mean = {key: sum(run[key] for run in part) / len(part) for key in ("train_flops", "train_cpu_seconds")}
        epochs = sorted({run["epochs"] for run in part})
        cost = Cell(show_flops(mean["train_flops"]), show_seconds(mean["train_cpu_seconds"]))
        told = [*scores, " to ".join(map(str, dict.fromkeys((epochs[0], epochs[-1])))), f"{part[0]['parameters']:,}"]
        lines.append((name, "", (*map(Cell, told), cost)))
    if not lines:
        return []
    heads = ("test macro F1", "test accuracy", "epochs", "parameters", "cost, CPU time")
    return [
        Grid(
            "Teachers",
            "Trained on all the data; mean over seeds in percent.",
            "teacher",
            heads,
            ("",) * 5,
            tuple(lines),
        )
    ]


def _overlaps(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[Grid]:
    maps = [entry for entry in study.entries if entry.kind == "map" and entry.hash in done]
    if not maps:
        return []
    pairs = list(dict.fromkeys(pair for entry in maps for pair in done[entry.hash]["overlap"]))
    lines: Lines = tuple(
        (entry.name, "", tuple(Cell(show_percent(done[entry.hash]["overlap"][pair])) for pair in pairs))
        for entry in maps
    )
    lead = (
        "The share of the first region's third that is in the second's too (quantile rule, before the values decide)."
    )
    return [Grid("Overlap of regions", lead, "map", tuple(pairs), ("",) * len(pairs), lines)]


def _pictures(tables: Sequence[tuple[Group, Sequence[Record]]], folder: Path) -> list[tuple[str, Path]]:
    found = []
    budgets = dict.fromkeys(budget for _, budget, _ in by_budget(tables))
    for budget in budgets:
        costs = _panels(tables, budget, lambda record: record.flops, lambda record: _sizeless(record.subset))
        path = folder / f"cost-{budget.replace(' ', '-')}.png"
        if costs:
            found.append((f"Accuracy against cost, {budget}", plot_costs(costs, path)))
        sizes = _panels(tables, budget, lambda record: 100 * record.fraction, lambda record: _sizeless(record.subset))
        if any(len(series.points) > 1 for panel in sizes for series in panel.series):
            path = folder / f"sizes-{budget.replace(' ', '-')}.png"
            found.append((f"Accuracy against the size of the subset, {budget}", plot_sizes(sizes, path)))
    return found


def _sizeless(name: str) -> str:
    """ "ambiguous 33 %" -> "ambiguous"; names of several parts stay."""
    return name if "+" in name else re.sub(r" [\d.]+ %$", "", name)


def _panels(
    tables: Sequence[tuple[Group, Sequence[Record]]],
    budget: str,
    x: Callable[[Record], float],
    name: Callable[[Record], str],
) -> list[Panel]:
    panels = []
    several = len(tables) > 1
    for group, its, part in by_budget(tables):
        for column in dict.fromkeys(record.column for record in part if its == budget):
            series: dict[str, list[Record]] = {}
            for record in part:
                if record.column == column:
                    series.setdefault(name(record), []).append(record)
            drawn = tuple(
                Series(
                    key,
                    tuple(Point(x(record), record.macro_f1, record.low, record.high) for record in members),
                    role(members[0].subset) not in ("selection", "schedule"),
                )
                for key, members in series.items()
            )
            panels.append(Panel(f"{group.title}: {column}" if several else column, drawn))
    return panels


def _summary(
    study: Study,
    done: Mapping[str, Mapping[str, Any]],
    tables: Sequence[tuple[Group, Sequence[Record]]],
    failed: Mapping[str, str],
) -> list[str]:
    of = counted(len(study.entries), "task")
    said = [f"{len(done):,} of {of} {'is' if len(study.entries) == 1 else 'are'} done, {len(failed)} failed."]
    for group, budget, part in by_budget(tables):
        judged = [record for record in part if record.verdict]
        if not judged:
            continue
        counts = {word: sum(record.verdict == word for record in judged) for word in VERDICTS}
        best = max(judged, key=lambda record: record.difference)
        said.append(
            f"{group.title}, {budget}: of {counted(len(judged), 'comparison')} {counts['beats random']} beat random of "
            f"the same size, {counts['worse']} are worse, {counts['no difference shown']} show no difference. Largest "
            f"mean difference: {best.subset} ({best.column}), {100 * best.difference:+.1f} points, {best.verdict}."
        )
    return said


def _markdown(page: Page, folder: Path) -> str:
    parts = [f"# {escape(page.title)}", listed(page.summary)]
    parts += markdown_grids(page.grids)
    parts += [f"## {escape(name)}\n\n{picture(name, path.relative_to(folder))}" for name, path in page.pictures]
    parts += [markdown(report, folder).strip() for report in page.reports]
    if page.notes:
        parts.append(f"## Notes on the whole\n\n{listed(page.notes)}")
    told = listed(f"{key}: {value}" for key, value in page.provenance.items())
    parts.append(f"## Provenance of the whole\n\n{told}")
    return "\n\n".join(parts) + "\n"
