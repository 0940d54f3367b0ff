"""What rounds buy: the curves of federations, accuracy by round, by bytes and by what clients compute, held against
random, all data, and all data at equal compute, by seed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, cast

import numpy as np

from trainmap.experiments.results.label_curves import crossing
from trainmap.experiments.results.statistics import Difference, Estimate, interval, paired_difference
from trainmap.experiments.results.titles import Title
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.tasks.federated_run import FederatedRun

Done = Mapping[str, Mapping[str, Any]]
Across = Literal["rounds", "bytes", "flops"]
"""What a curve goes along: rounds, bytes of all messages, FLOPs of the clients with their looks."""
Opponent = Literal["random", "all", "equal"]
OWN = ("seed", "own_rounds", "choice", "recording", "privacy")
"""The fields of a task that rows of one table may differ in."""


@dataclass(frozen=True)
class Row:
    """Every finished run of one row.

    Attributes:
        name: "33% ambiguous".
        task: of its first seed.
        runs: seed -> result.
        against: opponent -> the name of its row.
    """

    name: str
    task: FederatedRun
    runs: Mapping[int, Mapping[str, Any]]
    against: Mapping[Opponent, str]

    @property
    def judged(self) -> bool:
        """Whether it is no opponent: neither all data nor random as it is drawn for others."""
        return not self.task.choice.everything and not self.task.is_random

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
    def target(self) -> float | None:
        """The test accuracy that is counted to: as asked, or random's mean at the end; None without a finished one."""
        random = next((row for row in self.rows.values() if row.task.is_random), None)
        if self.asked is not None or random is None:
            return self.asked
        return float(np.mean([*random.accuracy().values()]))

    def against(self, name: str, opponent: Opponent, level: float, place: int | None = -1) -> Difference:
        """A row minus one of its opponents, paired by seed: of the accuracy after a round, or for None of the areas."""
        other = self.rows.get(self.rows[name].against.get(opponent, ""))
        if other is None:
            return paired_difference({}, {}, level)
        a, b = (one.areas() if place is None else one.accuracy(place) for one in (self.rows[name], other))
        return paired_difference(a, b, level)

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
            tables.setdefault(_shared(entry), []).append(entry)
    made: list[Rounds] = []
    for entries in tables.values():
        its = {entry.hash: cast(FederatedRun, tasks[entry.hash]) for entry in entries}
        names = names_of([*its.values()])
        runs: dict[str, dict[int, Mapping[str, Any]]] = {}
        first: dict[str, FederatedRun] = {}
        for entry in entries:
            if entry.hash in done:
                name = names[_of_row(its[entry.hash])]
                runs.setdefault(name, {})[its[entry.hash].seed] = done[entry.hash]
                first.setdefault(name, its[entry.hash])
        order = sorted(first, key=lambda name: _place(first[name]))
        rows = {name: Row(name, first[name], runs[name], opponents(first[name], first)) for name in order}
        asked = next((entry.target for entry in entries if entry.target is not None), None)
        if rows:
            all_ = entries[0]  # as it is planned
            title = Title(f"{all_.called or all_.model} on {all_.dataset}", all_.point)
            made.append(Rounds(str(title), rows, asked))
    return made


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


def names_of(tasks: Sequence[FederatedRun]) -> dict[str, str]:
    """What each row is called in its table, with as much of what is said of its maps as tells rows of one spec apart.

    Returns:
        what is a row's own (``_of_row``) -> its name.
    """
    alike: dict[str, dict[str, dict[str, str]]] = {}
    for task in tasks:
        alike.setdefault(task.row, {})[_of_row(task)] = _said(task)
    found: dict[str, str] = {}
    for row, its in alike.items():
        keys = dict.fromkeys(key for said in its.values() for key in said)
        differ = [key for key in keys if len({said[key] for said in its.values() if key in said}) > 1]
        for own, said in its.items():
            told = ", ".join(said[key] for key in differ if said.get(key))
            found[own] = f"{row} ({told})" if told else row
    return found


def _said(task: FederatedRun) -> dict[str, str]:
    choice, recording, privacy = task.choice, task.recording, task.privacy
    every = "every round" if recording.every == 1 else f"every {recording.every} rounds"
    private = {} if privacy is None else {"delta": f"delta {privacy.delta:g}", "secure": "secure" * privacy.secure}
    return {
        "bounds": f"{choice.bounds} bounds",
        "warmup": f"warmup {choice.warmup}",
        "source": recording.source,
        "every": every,
        "epsilon": "" if privacy is None else f"epsilon {privacy.epsilon:g}",
        **private,
    }


def _of_row(task: FederatedRun) -> str:
    """What is a row's own among those of its table."""
    identity = task.identity()
    return json.dumps([identity[name] for name in OWN if name != "seed"], sort_keys=True)


def _shared(entry: Entry) -> str:
    """What the rows of one table share: all but what they train on, for how many rounds of their own, and the seed."""
    shared = {name: value for name, value in entry.config.items() if name not in OWN}
    shared["recipe"] = {name: value for name, value in entry.config["recipe"].items() if name != "epochs"}
    return json.dumps(shared, sort_keys=True)
