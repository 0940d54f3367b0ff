"""Federated learning: accuracy by round, what the rounds bought, what it takes to a target, and who the clients are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.report.federated_sentences import against_of, over_all, said_of
from trainmap.experiments.report.formats import digits_for, show_difference, show_estimate
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.judged_cells import Judged, judged_of, with_verdict
from trainmap.experiments.report.verdict_words import (
    SAVES,
    VERSUS_ALL_DATA,
    VERSUS_EQUAL_COMPUTE,
    VERSUS_RANDOM,
    Words,
)
from trainmap.experiments.results.round_curves import OFF, Across, Opponent, Rounds, Row, rounds_of
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import interval
from trainmap.experiments.runs.folder import Study
from trainmap.views.amounts import show_bytes, show_flops, show_percent, show_seconds

Done = Mapping[str, Mapping[str, Any]]

TOLD = (
    *("round", "test_accuracy", "test_macro_f1", "clients", "mapped", "kept", "bytes_down", "bytes_up"),
    *("train_flops", "sweep_flops", "train_cpu_seconds"),
)
CLIENT = ("client", "examples", "noisy", "rounds", "kept", "confidence", "variability")
OPPONENTS: Mapping[Opponent, tuple[str, Words]] = {
    "random": ("minus random", VERSUS_RANDOM),
    "all": ("minus all", VERSUS_ALL_DATA),
    "equal": ("minus all at equal compute", VERSUS_EQUAL_COMPUTE),
}
WHAT: Mapping[Across, str] = {"rounds": "rounds", "flops": "compute"}
"""What is compared on the way to a target; bytes go as rounds do."""
COLUMNS = 5  # rounds that a table shows
CLIENTS = 24  # that a table shows
UNLIKE = (
    " 'Kept' is the share that clients trained on by thresholds of all of them, mean over the rounds in which maps "
    f"chose and over seeds; where it is more than {100 * OFF:g} points off the spec's, there is no verdict against "
    "random and against all data at equal compute, which have the spec's."
)


def federated_grids(
    study: Study, done: Done
) -> tuple[list[Grid], list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """The tables of each federation, what they say in a sentence, a row for each run and round, and one for each run
    and client; empty without federations."""
    grids: list[Grid] = []
    rows: list[dict[str, Any]] = []
    clients: list[dict[str, Any]] = []
    found = rounds_of(study, done)
    said = said_of(found, study.level)
    if len(found) > 1:
        grids.append(_overview(found, study.level))
    for one in found:
        its = [_bought(one, study.level), _by_round(one, study.level), *_to_target(one, study.level), _clients(one)]
        grids += [replace(grid, aside=True) for grid in its] if len(found) > 1 else its
        for row, seed, run in _runs(one):
            who = {"federation": one.title, "row": row.name, "seed": seed}
            told = [{name: each[name] for name in TOLD} for each in run["rounds"]]
            lost = [{"refused": len(each["refused"]), "absent": len(each["absent"])} for each in run["rounds"]]
            rows += [who | a | b for a, b in zip(told, lost, strict=True)]
            clients += [
                {**who, **{name: each[name] for name in CLIENT}, "classes": sum(map(bool, each["classes"]))}
                for each in run["clients"]
            ]
    return grids, said, rows, clients


def _overview(found: Sequence[Rounds], level: float) -> Grid:
    """The rows that are judged, of all federations."""
    judged = [(at, name) for at, one in enumerate(found) for name, row in one.rows.items() if row.judged]
    held: dict[Opponent, Judged] = {key: over_all(found, key, level) for key in OPPONENTS}
    digits = {key: digits_for({where: one for where, (one, _) in part.items()}) for key, part in held.items()}
    lines: list[GridLine] = []
    for at, name in judged:
        row = found[at].rows[name]
        cells = [Cell(show_estimate(interval([*row.accuracy().values()], level), 1))]
        for key, (_, words) in OPPONENTS.items():
            one = held[key].get((at, name))
            shown = NOTHING if one is None else Cell(show_difference(one[0], digits[key]))
            cells.append(with_verdict(shown, one, words))
        lines.append(GridLine(f"{found[at].title}: {row.label}", tuple(cells)))
    lead = (
        "Test accuracy after the last round, in percent, and its differences in points, paired by seed: from random of "
        "the same size, from all data for as many rounds, from all data for the rounds that the row's compute allows. "
        "A hollow symbol does not stay under Holm's correction over the whole column."
    )
    heads = ("at the end", *(head for head, _ in OPPONENTS.values()))
    lead += UNLIKE if any(map(_unlike, found)) else ""
    return Grid("All federations", lead, "federation and row", heads, tuple(lines))


def _runs(one: Rounds) -> Iterator[tuple[Row, int, Mapping[str, Any]]]:
    for row in one.rows.values():
        for seed, run in row.runs.items():
            yield row, seed, run


def _by_round(one: Rounds, level: float) -> Grid:
    last = next(iter(one.rows.values())).task.rounds
    places = [*dict.fromkeys(max(1, round(last * (at + 1) / COLUMNS)) for at in range(COLUMNS))]
    held = [name for name, row in one.rows.items() if "random" in row.against]
    judged = judged_of(
        {(name, place): one.against(name, "random", level, place) for name in held for place in places}, level
    )

    def cell(name: str, place: int) -> Cell:
        values = [*one.rows[name].accuracy(place).values()]
        if not values:
            return NOTHING
        return with_verdict(Cell(show_estimate(interval(values, level), 1)), judged.get((name, place)), VERSUS_RANDOM)

    lines = tuple(
        GridLine(row.label, tuple(cell(name, place) for place in places), not row.judged)
        for name, row in one.rows.items()
    )
    lead = (
        "Test accuracy of the global network in percent, mean over seeds ± half of the interval, and the verdict "
        "against random of the same size after as many rounds, paired by seed: the rows of a seed have the same "
        "clients, first weights and participants. A hollow symbol does not stay under Holm's correction over the table."
        f"{_unlike(one)}"
    )
    return Grid(f"Accuracy by round, {one.title}", lead, "row", tuple(f"round {place}" for place in places), lines)


def _bought(one: Rounds, level: float) -> Grid:
    found = {key: against_of(one, key, level) for key in OPPONENTS}
    digits = {key: digits_for({name: each for name, (each, _) in part.items()}) for key, part in found.items()}
    private = any(row.task.privacy is not None for row in one.rows.values())
    lines: list[GridLine] = []
    for name, row in one.rows.items():
        cells = [Cell(show_estimate(interval([*row.accuracy().values()], level), 1))]
        for key, (_, words) in OPPONENTS.items():
            each = found[key].get(name)
            shown = NOTHING if each is None else Cell(show_difference(each[0], digits[key]))
            cells.append(with_verdict(shown, each, words))
        cells.append(Cell(show_estimate(interval([*row.areas().values()], level), 1)))
        runs = [*row.runs.values()]
        spent = {part: mean_of([run[part] for run in runs]) for part in ("train_flops", "sweep_flops")}
        cells.append(Cell(show_flops(spent["train_flops"]), show_percent(spent["sweep_flops"] / spent["train_flops"])))
        cells.append(Cell(show_bytes(round(mean_of([run["bytes_down"] + run["bytes_up"] for run in runs])))))
        cells.append(Cell(show_seconds(mean_of([run["train_cpu_seconds"] for run in runs]))))
        if private:
            spent_ = [run["rounds"][-1].get("epsilon") for run in runs]
            cells.append(NOTHING if None in spent_ else Cell(f"{max(spent_):.3g}"))
        lines.append(GridLine(row.label, tuple(cells), not row.judged))
    lead = (
        "Test accuracy after the last round, in percent; its differences in points, paired by seed, from random of the "
        "same size, from all data for as many rounds, and from all data for the rounds that this row's compute allows; "
        "a hollow symbol does not stay under Holm's correction over the column. Then the area under accuracy by "
        "rounds (the "
        "mean accuracy of the training), what all clients computed with the share of their looks for their maps, the "
        "bytes of all messages, and the clients' CPU time; where thresholds are private, the epsilon that was spent."
        f"{_unlike(one)}"
    )
    told = ("epsilon",) if private else ()
    heads = (
        "at the end",
        *(head for head, _ in OPPONENTS.values()),
        "area",
        "compute, looks",
        "bytes",
        "CPU time",
        *told,
    )
    return Grid(f"What the rounds bought, {one.title}", lead, "row", heads, tuple(lines))


def _to_target(one: Rounds, level: float) -> Iterator[Grid]:
    if one.target is None:
        return
    show: Mapping[Across, Any] = {
        "rounds": "{:.1f}".format,
        "bytes": lambda x: show_bytes(round(x)),
        "flops": show_flops,
    }
    saved: dict[Opponent, Judged] = {}
    for opponent in OPPONENTS:
        keys: list[tuple[str, Across]] = [
            (name, what) for name, row in one.rows.items() if opponent in row.against for what in WHAT
        ]
        found = {(name, what): one.saved(name, opponent, what, level) for name, what in keys}
        saved[opponent] = judged_of({key: each for key, each in found.items() if each.n}, level)
    columns: list[tuple[Opponent, Across]] = [
        (opponent, what) for opponent in OPPONENTS for what in WHAT if any(key[1] == what for key in saved[opponent])
    ]
    lines: list[GridLine] = []
    for name, row in one.rows.items():
        cells = [_needed(one, name, across, show[across], level) for across in show]
        for opponent, what in columns:
            found = saved[opponent].get((name, what))
            shown = NOTHING if found is None else Cell(show_difference(found[0], 0))
            cells.append(with_verdict(shown, found, SAVES))
        lines.append(GridLine(row.label, tuple(cells), not row.judged))
    lead = (
        f"Rounds, bytes and the clients' FLOPs to {100 * one.target:.1f} % test accuracy ({one.whose}), along straight "
        "lines between the rounds, mean over seeds ± half of the interval; ≥ says that some seeds do not get there "
        "and count with all that they took. Where all seeds of a row and of an opponent get there: how many percent "
        "more or less it takes of the opponent's mean, paired by seed. A hollow symbol does not stay under Holm's "
        f"correction over the columns of an opponent.{_unlike(one)}"
    )
    against = [f"{WHAT[what]} {OPPONENTS[opponent][0]}" for opponent, what in columns]
    heads = ("rounds", "bytes", "compute", *against)
    yield Grid(f"To {100 * one.target:.1f} %, {one.title}", lead, "row", heads, tuple(lines))


def _unlike(one: Rounds) -> str:
    """What a lead says where rows keep another share than their spec's."""
    return UNLIKE if any(row.kept is not None for row in one.rows.values()) else ""


def _needed(one: Rounds, name: str, across: Across, show: Any, level: float) -> Cell:
    found = one.needed(name, across, level)
    if found is None:
        return NOTHING
    mean = found.mean
    half = "" if mean.low != mean.low else f" ± {show(mean.half_width)}"
    bound = "" if found.whole else "≥ "
    return Cell(f"{bound}{show(mean.mean)}{half}", f"{len(found.by_seed)} of {mean.n} get there")


def _clients(one: Rounds) -> Grid:
    """The clients of the first seed, with what each row that chooses kept of their examples."""
    first = next(iter(one.rows.values()))
    seed = min(seed for row in one.rows.values() for seed in row.runs)
    rows = {name: row.runs[seed]["clients"] for name, row in one.rows.items() if seed in row.runs}
    choosing = [name for name in rows if one.rows[name].task.choice.request.reads_map]
    lines: list[GridLine] = []
    for place, client in enumerate(next(iter(rows.values()))[:CLIENTS]):
        classes = client["classes"]
        largest = max(range(len(classes)), key=lambda at: classes[at])
        cells = [
            Cell(f"{client['examples']:,}"),
            Cell(f"{sum(map(bool, classes))} of {len(classes)}"),
            Cell(f"{largest}", show_percent(classes[largest] / client["examples"])),
            Cell("noisy" if client["noisy"] else ""),
            Cell(str(client["rounds"])),
            *(_kept(rows[name][place]["kept"]) for name in choosing),
        ]
        lines.append(GridLine(f"{client['client']}", tuple(cells)))
    every = first.task.clients
    few = f" The first {CLIENTS} of {every}; " if every > CLIENTS else " "
    lead = (
        f"The {counted(every, 'client')} of seed {seed}, parted {first.task.partition}: examples, how many of the "
        "classes occur, the largest class and its share, whether some of the labels were made wrong, the rounds that "
        "it took part in, and the share of its examples that it trained on, mean over these rounds."
        f"{few}clients.csv has those of all seeds and rows."
    )
    heads = ("examples", "classes", "largest class", "labels", "rounds", *(f"kept, {name}" for name in choosing))
    return Grid(f"Clients, {one.title}", lead, "client", heads, tuple(lines), aside=True)


def _kept(share: float | None) -> Cell:
    return NOTHING if share is None else Cell(show_percent(share))
