"""The searches of an experiment as values: what each found, how it does on the test data, and what it took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainmap.experiments.results.price import Spent, price_of, total
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import Difference, paired_difference
from trainmap.experiments.results.titles import search_titles
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.tasks.task import Task

Done = Mapping[str, Mapping[str, Any]]
Scores = Mapping[int, float]


@dataclass(frozen=True)
class Searched:
    """A finished search.

    Attributes:
        entry, result: of its task.
        start, found: test macro F1 by the seed of the run that was judged; the same runs but for the search.
        prepared: what it needs besides what the same search on all the data needs: a map.
    """

    entry: Entry
    result: Mapping[str, Any]
    start: Scores
    found: Scores
    prepared: Spent


@dataclass(frozen=True)
class Arm:
    """The searches of one way of training on one part of the data; they differ in their seeds.

    Attributes:
        name: of the way and the part.
        way: what they share with the searches of the same way on other parts.
        whole: whether the trials train on all the data.
        searches: by their seeds; those that are finished.
        planned: how many there should be.
    """

    name: str
    way: str
    whole: bool
    searches: Mapping[int, Searched]
    planned: int

    @property
    def unit(self) -> str:
        """What the intervals are over: searches where there are several, else the seeds of the judged runs."""
        return "searches" if self.planned > 1 else "seeds"

    def scores(self, which: str) -> dict[int, float]:
        """Test macro F1 of the "start" or of what was "found", by unit; of a search the mean over its runs."""
        each = {seed: getattr(one, which) for seed, one in self.searches.items()}
        if self.planned > 1:
            return {seed: mean_of(list(runs.values())) for seed, runs in each.items() if runs}
        return dict(next(iter(each.values()), {}))

    def minus_start(self, level: float) -> Difference:
        return paired_difference(self.scores("found"), self.scores("start"), level)

    def minus(self, other: Arm, level: float) -> Difference:
        """What was found here minus what the other found, paired by unit."""
        return paired_difference(self.scores("found"), other.scores("found"), level)

    def spent(self, unit: str) -> float:
        """Of one search, the mean: ``train_flops`` or ``train_cpu_seconds``."""
        return mean_of([one.result[unit] for one in self.searches.values()])

    def prepared(self, unit: str) -> float:
        """Of what a search needs besides."""
        return mean_of([getattr(one.prepared, unit) for one in self.searches.values()])


def arms_of(study: Study, done: Done) -> list[Arm]:
    """Every arm of which a search is finished, in the order of the plan."""
    entries, tasks = {entry.hash: entry for entry in study.entries}, study.tasks
    groups: dict[tuple[str, str], list[Entry]] = {}
    for digest, title in search_titles(study).items():
        entry = entries[digest]
        shared = {key: value for key, value in entry.config.items() if key not in ("subset", "seed")}
        groups.setdefault((str(title), json.dumps([shared, entry.point], sort_keys=True)), []).append(entry)
    found: list[Arm] = []
    for (name, way), its in groups.items():
        finished = [one for one in its if one.hash in done]
        searches = {one.config["seed"]: _searched(study, one, tasks[one.hash], done) for one in finished}
        if searches:
            found.append(Arm(name, way, "subset" not in its[0].config, searches, len(its)))
    return found


def _searched(study: Study, entry: Entry, task: Task, done: Done) -> Searched:
    tuned = [other for other in study.entries if other.kind == "tuned" and other.config["search"] == entry.hash]
    starts = [{key: value for key, value in other.config.items() if key != "search"} for other in tuned]
    plain = [other for other in study.entries if other.kind == "student" and other.config in starts]
    start, found = (
        {run.config["seed"]: done[run.hash]["test_macro_f1"] for run in runs if run.hash in done}
        for runs in (plain, tuned)
    )
    logits = task.needs().get("logits")
    return Searched(entry, done[entry.hash], start, found, _prepared(task, logits, done))


def _prepared(task: Task, logits: Task | None, done: Done) -> Spent:
    """What the subset of a search took: its map, unless the search on all the data needs the map's teachers as well,
    and what else a choice reads."""
    anyway = set() if logits is None else {digest for digest, _ in price_of([logits], done).once}
    made = price_of([task], done).once.items()
    return total(spent for (digest, _), spent in made if digest != task.hash and digest not in anyway)
