"""What the teachers, maps, searches and comparisons with people of an experiment are called in its tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.tasks.result_fields import MAPS, TEACHERS

MADE_OF = ("teacher", "original", "subset")
"""What a task is made of, or trained on, which differs between seeds as they do; its title says it."""


@dataclass(frozen=True)
class Title:
    """A name, and what tells its point of the grid from others; "" where nothing has to."""

    name: str
    point: str

    def __str__(self) -> str:
        return f"{self.name} ({self.point})" if self.point else self.name


def teacher_titles(study: Study) -> dict[str, Title]:
    """Of each teacher, "maker on digits"; all its seeds have the same."""
    return _titles(study, TEACHERS, lambda entry, _: _on_data(entry, _called(entry)))


def people_titles(study: Study) -> dict[str, Title]:
    """Of each comparison with people, the name of its teacher."""
    return _titles(
        study, ("people",), lambda entry, entries: _on_data(entry, _called(entries[entry.config["teacher"]]))
    )


def search_titles(study: Study) -> dict[str, Title]:
    """Of each search, "mlp-256 + hinton on digits", "cnn-8 (searched on random 10 %) on digits"; those that differ in
    their seed alone have the same."""

    def name(entry: Entry, _: Mapping[str, Entry]) -> str:
        how = entry.config.get("distillation")
        return _on_data(entry, entry.called or (f"{entry.model} + {how['loss']}" if how else entry.model))

    return _titles(study, ("search",), name)


def active_titles(study: Study) -> dict[str, Title]:
    """Of each active learning, "cnn-8 on digits"; all its strategies and seeds have the same."""
    return _titles(study, ("active",), lambda entry, _: _on_data(entry, _called(entry)))


def map_titles(study: Study, seeds: bool = True) -> dict[str, Title]:
    """Of each map, "maker, 2 epochs, seed 1": its epochs and seed where there could be others; not the dataset.

    Args:
        seeds: False for what the maps of several seeds have in common.
    """
    teachers = teacher_titles(study)
    runs = Counter(teachers.values())

    def name(entry: Entry, entries: Mapping[str, Entry]) -> str:
        teacher, *others = (entries[one] for one in entry.after)
        if others:  # as the file calls it
            return entry.called
        told = [_called(teacher), counted(entry.config["epochs"], "epoch") if entry.config["epochs"] else ""]
        told.append(f"seed {teacher.config['seed']}" if seeds and runs[teachers[teacher.hash]] > 1 else "")
        return ", ".join(filter(None, told))

    return _titles(study, MAPS, name)


def _titles(
    study: Study, kinds: Collection[str], name: Callable[[Entry, Mapping[str, Entry]], str]
) -> dict[str, Title]:
    """The titles of the tasks of these kinds. Where tasks that differ in more than a seed would have one title, as they
    may in plans of trainmap 0.1, which say less, each is called by the whole name of the first that differs in its seed
    alone."""
    entries = {entry.hash: entry for entry in study.entries}
    its = [entry for entry in study.entries if entry.kind in kinds]
    found = {entry.hash: Title(name(entry, entries), entry.point) for entry in its}
    firsts: dict[tuple[str, Title], dict[str, str]] = {}  # by settings, of those with one title
    for entry in its:
        alike = firsts.setdefault((entry.dataset, found[entry.hash]), {})
        alike.setdefault(_settings(entry, entries), entry.name)
    for entry in its:
        alike, own = firsts[entry.dataset, found[entry.hash]], _settings(entry, entries)
        if len(alike) > 1:
            twice = len(set(alike.values())) < len(alike)
            found[entry.hash] = Title(alike[own], str(1 + [*alike].index(own)) if twice else "")
    return found


def _settings(entry: Entry, entries: Mapping[str, Entry]) -> str:
    """All of a task that is no seed, no strategy of active learning and nothing that it is made of; and of its
    teacher."""

    def own(one: Entry) -> dict[str, Any]:
        return {key: value for key, value in one.config.items() if key not in ("seed", "strategy", *MADE_OF)}

    teacher = entries.get(entry.config.get("teacher", ""))
    return json.dumps([own(entry), None if teacher is None else own(teacher)], sort_keys=True)


def _called(entry: Entry) -> str:
    return entry.called or entry.model


def _on_data(entry: Entry, name: str) -> str:
    return f"{name} on {entry.dataset}"
