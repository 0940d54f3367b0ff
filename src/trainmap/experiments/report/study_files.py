"""The reports of an experiment's folder: one big table, the plots, and below them the page of each group of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainmap.errors import TrainmapError, counted, last_line
from trainmap.experiments.report.active_tables import active_grids, active_pictures
from trainmap.experiments.report.agreement_tables import agreement_grids
from trainmap.experiments.report.answer import Answer
from trainmap.experiments.report.apart_rows import (
    federated_rows,
    federated_runs,
    label_rows,
    label_runs,
    search_rows,
    search_runs,
)
from trainmap.experiments.report.choice_answer import choice_answer
from trainmap.experiments.report.compression_tables import compression_grids
from trainmap.experiments.report.csv_tables import rows_csv, table_csv
from trainmap.experiments.report.federated_answer import federated_answer
from trainmap.experiments.report.federated_plots import federated_pictures
from trainmap.experiments.report.federated_tables import federated_grids
from trainmap.experiments.report.html_page import html
from trainmap.experiments.report.kind_tables import kinds_tables
from trainmap.experiments.report.label_answer import label_answer
from trainmap.experiments.report.latex_tables import latex
from trainmap.experiments.report.markdown_page import markdown
from trainmap.experiments.report.member_tables import member_grids, member_pictures
from trainmap.experiments.report.overview_tables import elsewhere, in_all, overlaps, overview
from trainmap.experiments.report.page import Page, page_of
from trainmap.experiments.report.people_tables import people_grids
from trainmap.experiments.report.procedure_steps import procedure
from trainmap.experiments.report.search_answer import search_answer
from trainmap.experiments.report.search_tables import gains_of, search_grids
from trainmap.experiments.report.study_plots import pictures
from trainmap.experiments.report.teacher_tables import teachers_grids
from trainmap.experiments.results.facts import facts_of
from trainmap.experiments.results.label_curves import curves_of
from trainmap.experiments.results.map_pairs import pairs
from trainmap.experiments.results.price import completed
from trainmap.experiments.results.records import Group, groups, has_random, long_table, report_of
from trainmap.experiments.results.round_curves import rounds_of
from trainmap.experiments.results.run_rows import Report
from trainmap.experiments.results.searched import arms_of
from trainmap.experiments.results.versus_random import compare
from trainmap.experiments.runs.folder import Study, failures, open_study, results
from trainmap.experiments.runs.job import Outcome
from trainmap.files import reading, write_json, writing

Found = tuple[Group, Report]


def write_study(folder: str | Path) -> dict[str, Path]:
    """Write the reports of what is finished in a folder: ``report.html`` (stands alone), ``report.md``,
    ``report.tex`` (the big tables), ``table.csv`` (one line for each cell), ``results.csv`` (one for each run),
    ``results.json`` (every finished task) and ``plots/``; where there is something to say ``forgotten.csv`` (what each
    compressed student predicts differently, by region), ``trials.csv`` (of a search), ``people.csv`` (each score of a
    map beside people's judgement), ``kinds.csv`` (each score beside the known kinds of examples), ``active.csv`` (every
    round of active learning), ``federated.csv`` (every round of a federation), ``clients.csv`` (its clients),
    ``agreement.csv`` (every two maps of a dataset), ``members.csv`` (how far ensembles agree, by their members).

    Raises:
        StoreError: a folder without an experiment, a damaged file.
        TrainmapError: rows that cannot be compared.
    """
    place = Path(folder)
    study = open_study(place)
    with reading(place, "folder of an experiment whose files fit together", "run the experiment again"):
        return _write(study, place)


def write_outcome(folder: str | Path, outcomes: Sequence[Outcome]) -> dict[str, Path]:
    """``write_study`` after a run, of what is finished whatever failed.

    Raises:
        TrainmapError: tasks that failed; the reports are there, or the message says why not.
    """
    failed = [outcome for outcome in outcomes if not outcome.finished and not outcome.blocked]
    unwritten, written = "", {}
    try:
        written = write_study(folder)
    except TrainmapError as error:
        if not failed:
            raise
        unwritten = f"; no reports: {error}"  # the task that failed is what is to be told first
    if failed:
        blocked = sum(outcome.blocked for outcome in outcomes)
        raise TrainmapError(
            f"{len(failed)} of {counted(len(outcomes), 'task')} failed and {blocked} that need them were not tried; "
            f"the first, {failed[0].job.name}: {last_line(failed[0].error)} (tracebacks in {Path(folder) / 'runs'}); "
            f"call again to retry them{unwritten}"
        )
    return written


def _write(study: Study, place: Path) -> dict[str, Path]:
    done, left_out = completed(study, results(study, place))
    failed = failures(study, place)
    found = [(group, report_of(study, group, done, place)) for group in groups(study, done)]
    tables = [(group, long_table(group, report)) for group, report in found if group.rows]
    compressed, forgotten = compression_grids(study, done, place)
    searched, found_out, trials = search_grids(study, done)
    people, told, judged = people_grids(study, done)
    kinds, found_kinds, kind_rows, kind_pictures = kinds_tables(study, done, place / "plots")
    active, bought, asked = active_grids(study, done)
    federated, reached, by_round, clients = federated_grids(study, done)
    agreeing = pairs(study, done, place)
    members, counted = member_grids(study, done)
    rounds, curves = rounds_of(study, done), curves_of(study, done)
    arms = arms_of(study, done)
    apart = [
        *federated_rows(rounds, study.level),
        *label_rows(curves, study.level),
        *search_rows(arms, gains_of(arms, study.level), study.level),
    ]
    runs = [*federated_runs(rounds), *label_runs(curves), *search_runs(arms)]
    status, *all_told = in_all(study, done, tables, failed)
    parts = [page_of(report) for group, report in found if has_random(group)]
    maps = [part.map for part in parts if part.map is not None]
    page = Page(
        study.title,
        (*all_told, *bought, *reached, *found_out, *told, *found_kinds),
        (
            *(*overview(tables), *active, *federated, *elsewhere(found), *compressed, *searched, *people, *kinds),
            *(*teachers_grids(study, done), *agreement_grids(agreeing, study.level), *members, *overlaps(study, done)),
        ),
        pictures=(
            *pictures(tables, place / "plots"),
            *active_pictures(study, done, place / "plots"),
            *federated_pictures(study, done, place / "plots"),
            *member_pictures(study, done, place / "plots"),
            *kind_pictures,
        ),
        map=maps[0] if len(parts) == 1 and maps else None,
        regions=parts[0].regions if len(parts) == 1 else (),
        parts=tuple(part.beside(parts) for part in parts),
        notes=(*study.notes, *left_out, *(f"Failed: {name}: {last_line(text)}" for name, text in failed.items())),
        provenance=study.provenance,
        procedure=procedure(study),
        answers=answers_of(study, done, found),
        status=status,
    )
    texts = {
        "report.html": html(page),
        "report.md": markdown(page, place),
        "report.tex": latex(page.title, tables, apart),
        "table.csv": table_csv(tables, apart),
        "results.csv": rows_csv([*(row for group, _ in found for row in group.rows), *runs]),
    }
    beside: dict[str, Sequence[Mapping[str, Any]]] = {
        "forgotten.csv": [one.flat() for one in forgotten],
        "trials.csv": trials,
        "people.csv": judged,
        "kinds.csv": kind_rows,
        "active.csv": asked,
        "federated.csv": by_round,
        "clients.csv": clients,
        "agreement.csv": [pair.flat() for pair in agreeing],
        "members.csv": counted,
    }
    texts |= {name: rows_csv(part) for name, part in beside.items() if part}
    for name in beside.keys() - texts.keys():  # of a plan that had something to say there
        (place / name).unlink(missing_ok=True)
    for name, text in texts.items():
        with writing(place / name) as handle:
            handle.write(text.encode())
    write_json(place / "results.json", _every_task(study, done))
    return {name: place / name for name in (*texts, "results.json")}


def answers_of(study: Study, done: Mapping[str, Mapping[str, Any]], found: Sequence[Found]) -> tuple[Answer, ...]:
    """What the report opens with, a matter at a time: choices of examples, clients, labels, hyperparameters."""
    tables = [(group.title, one) for group, report in found if has_random(group) for one in compare(report)]
    arms = arms_of(study, done)
    told = (
        choice_answer(tables),
        federated_answer(rounds_of(study, done), study.level),
        label_answer(curves_of(study, done), study.level),
        search_answer(arms, gains_of(arms, study.level), study.level),
    )
    return tuple(answer for answer in told if answer is not None)


def _every_task(study: Study, done: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each finished task; of a run that is a row of a table also what it is there."""
    entries = {entry.hash: entry for entry in study.entries}
    facts = {line.run: facts_of(line, entries) for line in study.lines}
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "hash": entry.hash,
            "config": entry.config,
            "result": done[entry.hash],
            **facts.get(entry.hash, {}),
        }
        for entry in study.entries
        if entry.hash in done
    ]
