"""The trainings that say together which score finds which kind: one network on draws of one synthetic dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainmap.experiments.runs.folder import Entry, Study

Done = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class KindRun:
    """One training: the seed of its data, its own, and what its task found."""

    data_seed: int
    seed: int
    result: Mapping[str, Any]


@dataclass(frozen=True)
class KindGroup:
    """The trainings of one network on one dataset, whose draws differ in their seed.

    Attributes:
        title: "mlp-256 on synthetic:wrong=0.2".
        settings: the data without their seed.
    """

    title: str
    settings: str
    runs: tuple[KindRun, ...]

    @property
    def draws(self) -> bool:
        """Whether the intervals are over draws of the data; else over trainings on one of them."""
        return len({run.data_seed for run in self.runs}) > 1

    def over(self, values: list[float | None]) -> dict[int, float]:
        """Seed -> value: of each draw of the data the mean over its trainings, where there are several draws; else of
        each training. ``values`` are of the runs, None where there is no number."""
        found: dict[int, list[float]] = {}
        for run, value in zip(self.runs, values, strict=True):
            if value is not None:
                found.setdefault(run.data_seed if self.draws else run.seed, []).append(value)
        return {seed: sum(its) / len(its) for seed, its in found.items()}

    def values(self, score: str, kind: str, field: str) -> dict[int, float]:
        """The same of what was found for a score and a kind."""
        return self.over([_found(run.result, score, kind, field) for run in self.runs])


def _found(result: Mapping[str, Any], score: str, kind: str, field: str) -> float | None:
    its = (one[field] for one in result["found"] if (one["score"], one["kind"]) == (score, kind))
    return next(its, None)


def grouped_kinds(study: Study, done: Done) -> list[KindGroup]:
    """The finished ones, in the order of the plan; groups that would be called alike are numbered."""
    entries = {entry.hash: entry for entry in study.entries}
    found: dict[str, KindGroup] = {}
    for entry in study.entries:
        if entry.kind != "kinds" or entry.hash not in done:
            continue
        result, teacher = done[entry.hash], entries[entry.config["teacher"]]
        run = KindRun(result["data_seed"], teacher.config["seed"], result)
        point = f" ({entry.point})" if entry.point else ""
        title = f"{teacher.called or teacher.model} on {result['settings']}{point}"
        key = json.dumps([title, _settings(teacher)], sort_keys=True)
        group = found.setdefault(key, KindGroup(title, result["settings"], ()))
        found[key] = replace(group, runs=(*group.runs, run))
    titles, seen = Counter(group.title for group in found.values()), Counter[str]()
    made: list[KindGroup] = []
    for group in found.values():
        seen[group.title] += 1
        number = f", {seen[group.title]}" if titles[group.title] > 1 else ""
        made.append(replace(group, title=group.title + number))
    return made


def _settings(teacher: Entry) -> dict[str, Any]:
    """All of a teacher but what seeds change."""
    told = {key: value for key, value in teacher.config.items() if key not in ("seed", "data")}
    data = {key: value for key, value in teacher.config["data"].items() if key not in ("name", "fingerprint")}
    return told | {"data": data}
