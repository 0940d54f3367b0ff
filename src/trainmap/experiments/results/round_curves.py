"""What rounds buy: the curves of federations, accuracy by round, by bytes and by what clients compute, held against
random, all data, and all data at equal compute, by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, cast

import numpy as np

from trainmap.experiments.results.label_curves import crossing
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import Difference, Estimate, interval, paired_difference
from trainmap.experiments.results.titles import Title
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.tasks.federated_rows import names_of, of_row, table_of
from trainmap.experiments.tasks.federated_run import FederatedRun
from trainmap.views.amounts import show_percent

Done = Mapping[str, Mapping[str, Any]]
Across = Literal["rounds", "bytes", "flops"]
"""What a curve goes along: rounds, bytes of all messages, FLOPs of the clients with their looks."""
Opponent = Literal["random", "all", "equal"]
OFF = 0.02
"""How far the share that clients keep may be off their spec's for a row to be held against opponents of that share."""


@dataclass(frozen=True)
class Row:
    """Every finished run of one row.

    Attributes:
        name: "33% ambiguous".
        task: of its first seed.
        runs: seed -> result.
        against: opponent -> the name of its row; all data alone where ``keeps_as_said`` is not so.
    """

    name: str
    task: FederatedRun
    runs: Mapping[int, Mapping[str, Any]]
    against: Mapping[Opponent, str]

    @property
    def judged(self) -> bool:
        """Whether it is no opponent: neither all data nor random as it is drawn for others."""
        return not self.task.choice.everything and not self.task.is_random

    @property
    def kept(self) -> float | None:
        """Of the examples of the clients that trained, the share that they trained on, where thresholds of all clients
        choose, so that the spec does not say it: the mean over the rounds in which maps chose (all of them, where none
        did) and over seeds. None for the other rows."""
        if self.task.choice.bounds == "local":
            return None
        return mean_of([_kept(run["rounds"]) for run in self.runs.values()])

    @property
    def keeps_as_said(self) -> bool:
        """Whether its clients kept the share that its spec says, by ``OFF``: random and all data at equal compute are
        planned for that share."""
        return self.kept is None or abs(self.kept - self.task.share) <= OFF + 1e-9

    @property
    def label(self) -> str:
        """Its name for people, with what its clients kept: "33% ambiguous (global bounds, kept 41 %)"."""
        if self.kept is None:
            return self.name
        told = f"kept {show_percent(self.kept)}"
        return f"{self.name[:-1]}, {told})" if self.name.endswith(")") else f"{self.name} ({told})"

    def curve(self, seed: int, across: Across = "rounds") -> tuple[list[float], list[float]]:
        """Of a run: how far it was after each round, from before the first on, and its test accuracy there."""
        rows = self.runs[seed]["rounds"]
        spent: Mapping[Across, list[float]] = {
            "rounds": [row["round"] for row in rows],
            "bytes": [*accumulate(row["bytes_down"] + row["bytes_up"] for row in rows)],
            "flops": [*accumulate(row["train_flops"] for row in rows)],
        }
        return spent[across], [row["test_accuracy"] for row in rows]

    def accuracy(self, place: int = -1) -> dict[int, float]:
        """After a round, by seed; nothing where there is no such round."""
        rounds = {seed: run["rounds"] for seed, run in self.runs.items()}
        return {seed: rows[place]["test_accuracy"] for seed, rows in rounds.items() if place < len(rows)}

    def areas(self) -> dict[int, float]:
        """The area under accuracy by rounds over its width, by seed: the mean accuracy of the training."""
        curves = {seed: self.curve(seed) for seed in self.runs}
        return {seed: float(np.trapezoid(y, x) / (x[-1] - x[0])) for seed, (x, y) in curves.items()}


@dataclass(frozen=True)
class Needed:
    """What a row takes to a target.

    Attributes:
        by_seed: the seeds that get there.
        mean: over all seeds; one that does not get there counts with all that it took, so that the mean is a bound from
            below.
    """

    by_seed: Mapping[int, float]
    mean: Estimate

    @property
    def whole(self) -> bool:
        """Whether every seed gets there."""
        return len(self.by_seed) == self.mean.n


@dataclass(frozen=True)
class Rounds:
    """Every finished run of one network, data, partition and way of training together.

    Attributes:
        title: "cnn-8 on digits (partition.by=iid)".
        rows: by name: all data, random, all data at equal compute, and then what is judged.
        asked: the target of the file, if it has one.
    """

    title: str
    rows: Mapping[str, Row]
    asked: float | None = None

    @property
    def random(self) -> Row | None:
        """The first random row; None without a finished one."""
        return next((row for row in self.rows.values() if row.task.is_random), None)

    @property
    def target(self) -> float | None:
        """The test accuracy that is counted to: as asked, or the lowest of the first random row's at the end, to which
        each of its seeds gets; None without a finished one."""
        if self.asked is not None or self.random is None:
            return self.asked
        return min(self.random.accuracy().values())

    @property
    def whose(self) -> str:
        """Where the target is from."""
        if self.asked is not None or self.random is None:
            return "as the file asks"
        return f"the lowest of {self.random.name}'s at the end"

    def against(self, name: str, opponent: Opponent, level: float, place: int = -1) -> Difference:
        """The accuracy of a row after a round minus that of one of its opponents, paired by seed."""
        other = self.rows.get(self.rows[name].against.get(opponent, ""))
        if other is None:
            return paired_difference({}, {}, level)
        return paired_difference(self.rows[name].accuracy(place), other.accuracy(place), level)

    def needed(self, name: str, across: Across, level: float) -> Needed | None:
        """What a row takes to the target, along the straight lines between the rounds."""
        if self.target is None:
            return None
        curves = {seed: self.rows[name].curve(seed, across) for seed in self.rows[name].runs}
        crossed = {seed: crossing(x, y, self.target) for seed, (x, y) in curves.items()}
        counted = [curves[seed][0][-1] if one is None else one for seed, one in crossed.items()]
        there = {seed: one for seed, one in crossed.items() if one is not None}
        return Needed(there, interval(counted, level))

    def saved(self, name: str, opponent: Opponent, across: Across, level: float) -> Difference:
        """What a row takes to the target minus what its opponent takes, paired by seed, as a share of what the opponent
        takes on average; no comparison where a seed of one of them does not get there."""
        nothing = paired_difference({}, {}, level)
        other = self.rows[name].against.get(opponent, "")
        if other not in self.rows:
            return nothing
        a, b = (self.needed(one, across, level) for one in (name, other))
        if a is None or b is None or not (a.whole and b.whole) or not b.mean.mean:
            return nothing
        size = b.mean.mean
        ours, theirs = ({seed: value / size for seed, value in one.by_seed.items()} for one in (a, b))
        return paired_difference(ours, theirs, level)


def rounds_of(study: Study, done: Done) -> list[Rounds]:
    """The federations of a study, in the order of the plan."""
    tasks = study.tasks
    tables: dict[str, list[Entry]] = {}
    for entry in study.entries:
        if entry.kind == "federated":
            tables.setdefault(table_of(cast(FederatedRun, tasks[entry.hash])), []).append(entry)
    made: list[Rounds] = []
    for entries in tables.values():
        its = {entry.hash: cast(FederatedRun, tasks[entry.hash]) for entry in entries}
        names = names_of([*its.values()])
        runs: dict[str, dict[int, Mapping[str, Any]]] = {}
        first: dict[str, FederatedRun] = {}
        for entry in entries:
            if entry.hash in done:
                name = names[of_row(its[entry.hash])]
                runs.setdefault(name, {})[its[entry.hash].seed] = done[entry.hash]
                first.setdefault(name, its[entry.hash])
        order = sorted(first, key=lambda name: _place(first[name]))
        rows = {name: _held(Row(name, first[name], runs[name], opponents(first[name], first))) for name in order}
        asked = next((entry.target for entry in entries if entry.target is not None), None)
        if rows:
            all_ = entries[0]  # as it is planned
            title = Title(f"{all_.called or all_.model} on {all_.dataset}", all_.point)
            made.append(Rounds(str(title), rows, asked))
    return made


def _held(row: Row) -> Row:
    """The row without the opponents that have another share than it has."""
    return row if row.keeps_as_said else replace(row, against={k: v for k, v in row.against.items() if k == "all"})


def _kept(rounds: Sequence[Mapping[str, Any]]) -> float:
    """The mean over the rounds of a run in which maps chose, or over all that anybody trained in."""
    trained = [row["kept"] for row in rounds if row["clients"] and row["round"]]
    return mean_of([row["kept"] for row in rounds if row["mapped"]] or trained)


def _place(task: FederatedRun) -> int:
    """All data, random, all data at equal compute, then what is judged."""
    if task.choice.everything:
        return 0 if task.own_rounds is None else 2
    return 1 if task.is_random else 3


def opponents(task: FederatedRun, rows: Mapping[str, FederatedRun]) -> dict[Opponent, str]:
    """The names of the rows that a row is held against, of those that are there."""

    def find(fits: Callable[[FederatedRun], bool]) -> str:
        return next((name for name, one in rows.items() if one is not task and fits(one)), "")

    own = task.own_rounds is None
    found: dict[Opponent, str] = {"all": find(lambda one: one.choice.everything and one.own_rounds is None)}
    if not task.choice.everything:
        equal = task.equal_rounds
        found["random"] = find(lambda one: one.is_random and math.isclose(one.share, task.share))
        found["equal"] = find(lambda one: one.own_rounds == equal)
    return {key: name for key, name in found.items() if name and (own or key == "all")}
