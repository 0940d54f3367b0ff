"""The maps of the graph: of a teacher's run, of each of its runs for students in pairs, of several teachers."""

from __future__ import annotations

from typing import Any

from trainmap.errors import counted
from trainmap.experiments.file.teacher_sections import Map as MapSection
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.tasks.ensemble_map import Ensemble
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.scores.table import OF_SEVERAL

Maps = tuple[Map, ...]
"""One for all the students, or one for each of their seeds."""


def name_of(one: MapSection) -> str:
    """What a map is called: by its teachers, without a name of its own."""
    if one.name:
        return one.name
    told = [
        part.teacher if part.seeds is None else f"{part.teacher} {counted(len(part.seeds), 'seed')}"
        for part in one.teachers or []
    ]
    return (one.teacher or " + ".join(told)) + (f", {counted(one.epochs, 'epoch')}" if one.epochs else "")


def add_map(draft: Draft, at: int, one: MapSection) -> Maps:
    """Add a map; for the experiment's seeds each one where they are paired."""
    where = ("maps", at)
    if not one.teacher:
        return _add_ensemble(draft, at, one, name_of(one))
    if one.seed != "paired":
        return (_add_map(draft, at, one, draft.teacher(where, one.teacher, one.seed)),)
    return tuple(_add_map(draft, at, one, teacher) for teacher in draft.paired(where, one.teacher).values())


def _add_map(draft: Draft, at: int, one: MapSection, teacher: Teacher) -> Map:
    if one.epochs is not None and one.epochs > teacher.recorded:
        message = f"must be at most {teacher.recorded}, the epochs of {one.teacher}, got {one.epochs}"
        raise draft.variant.wrong(("maps", at, "epochs"), message)
    task = Map(teacher=teacher, **_settings(draft, one))
    _check_scores(draft, at, one, task)
    epochs = f", {counted(one.epochs, 'epoch')}" if one.epochs else ""
    seed = f", seed {teacher.seed}" if len(draft.teachers[one.teacher]) > 1 else ""
    draft.add(task, f"map of {one.teacher} on {draft.splits.train.name}{epochs}{seed}")
    return task


def _add_ensemble(draft: Draft, at: int, one: MapSection, name: str) -> Maps:
    """A map of several teachers' recordings."""
    wrong, where = draft.variant.wrong, ("maps", at, "teachers")
    members: list[Teacher] = []
    for place, part in enumerate(one.teachers or []):
        draft.teacher((*where, place), part.teacher, None)
        for seed in draft.teachers[part.teacher] if part.seeds is None else part.seeds:
            member = draft.teacher((*where, place), part.teacher, seed)
            if member in members:
                raise wrong((*where, place), f"seed {seed} of {part.teacher} stands twice; keep one of them")
            members.append(member)
    if len(members) < 2:
        raise wrong(where, f"an ensemble needs at least two runs, got {len(members)}; write teacher: for a map of one")
    if not all(member.on_all for member in members):
        raise wrong(where, "its members must all be trained on all the data; one is trained on a part of them")
    if len(sources := {member.record for member in members}) > 1:
        message = f"its members must all record the same way, got {' and '.join(sorted(sources))}; they measure others"
        raise wrong(where, message)
    lengths = sorted({member.recorded for member in members})
    if one.epochs is None and len(lengths) > 1:
        told = ", ".join(map(str, lengths))
        raise wrong(where, f"its members train for {told} epochs; add epochs: {lengths[0]} to take the first of each")
    if one.epochs is not None and one.epochs > lengths[0]:
        message = f"must be at most {lengths[0]}, the epochs of each member, got {one.epochs}"
        raise wrong(("maps", at, "epochs"), message)
    task = Ensemble.made_of(members, **_settings(draft, one))
    _check_scores(draft, at, one, task)
    draft.add(task, f"map {name} of {len(members)} runs on {draft.splits.train.name}", name)
    return (task,)


def _settings(draft: Draft, one: MapSection) -> dict[str, Any]:
    """The fields of a map that are not whose it is."""
    scores = None if one.scores is None else tuple(one.scores)
    return {"epochs": one.epochs, "scores": scores, "fraction": one.fraction, "test": draft.compresses}


def _check_scores(draft: Draft, at: int, one: MapSection, task: Map) -> None:
    """Refuse scores that are unknown, need more epochs, or more recordings."""
    where = ("maps", at, "scores")
    for place, score in enumerate(one.scores or []):
        if score in OF_SEVERAL and len(task.members) == 1:
            message = f"{score} is of several recordings; write teachers: for a map of them"
            raise draft.variant.wrong((*where, place), message)
    draft.check_scores(where, one.scores or [], task.least, task.members, task.stops)
