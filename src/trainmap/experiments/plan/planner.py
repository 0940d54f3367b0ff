"""From an experiment to its graph of tasks: every field of the file goes into a task, or is a located error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainmap.errors import TrainmapError, counted
from trainmap.experiments.file.sections import Map as MapSection
from trainmap.experiments.file.sections import Teacher as TeacherSection
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.plan.active_runs import plan_active
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.kind_runs import plan_kinds
from trainmap.experiments.plan.people_runs import plan_people
from trainmap.experiments.plan.points import name_tasks, part_tables
from trainmap.experiments.plan.search_runs import plan_searches
from trainmap.experiments.plan.student_runs import Students
from trainmap.experiments.tasks.ensemble_map import Ensemble
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.models.modes import check_device
from trainmap.scores.table import OF_SEVERAL, score_named
from trainmap.selection.entry import check_epochs


def plan_graph(variants: Sequence[Variant], out: str | Path, outlines: bool = False) -> Graph:
    """Every task of an experiment. Loads the datasets and builds each network once, to count; needs no device.

    Args:
        variants: the points of its grid.
        out: its folder; nothing is written.
        outlines: plan datasets whose files are not there from their known sizes (``absent`` of the graph says which).
            Such a plan can be looked at and not run.

    Raises:
        TrainmapError: names file, line and field of what cannot be.
    """
    graph = Graph(outlines=outlines)
    owners: list[Variant] = []
    for variant in variants:
        try:
            check_device(variant.experiment.device)
        except TrainmapError as error:
            raise variant.wrong(("device",), error) from error
        for at, name in enumerate(names := variant.experiment.data.names):
            if name in names[:at]:
                raise variant.wrong(("data", "names", at), f"'{name}' stands twice; keep one of them")
            plan(Draft(variant, graph, Path(out).resolve(), at, name))
        owners += [variant] * (len(graph.lines) - len(owners))
    name_tasks(graph)
    part_tables(graph, owners)
    return graph


def plan(draft: Draft) -> None:
    """Add everything that a point of the experiment asks for."""
    for at, subset in enumerate(draft.experiment.subsets):
        for field in ("seeds", "budgets"):
            own, all_ = getattr(subset, field) or [], getattr(draft.experiment, field)
            if len(set(own)) < len(own) or not set(own) <= set(all_):
                message = f"must be some of the experiment's, {all_}, each once, got {own}"
                raise draft.variant.wrong(("subsets", at, field), message)
    for at, teacher in enumerate(draft.experiment.teachers):
        add_teacher(draft, at, teacher)
    maps = draft.experiment.maps
    if maps is None:
        maps = [MapSection(teacher=name) for name in draft.teachers]
    named: dict[str, Map] = {}
    for at, one in enumerate(maps):
        name = one.name or _called(one) + (f", {counted(one.epochs, 'epoch')}" if one.epochs else "")
        if name in named:
            raise draft.variant.wrong(("maps", at), f"'{name}' stands twice; give one of them another name")
        named[name] = add_map(draft, at, one) if one.teacher else add_ensemble(draft, at, one, name)
    plan_active(draft)
    plan_people(draft)
    plan_kinds(draft)
    plan_searches(draft, named)
    if not draft.experiment.students:
        return
    for name, one in (named or {"": None}).items():
        Students(draft, {"map": name} if len(named) > 1 else {}, one).plan()


def add_teacher(draft: Draft, at: int, teacher: TeacherSection) -> None:
    name, where = teacher.name or teacher.model, ("teachers", at)
    if name in draft.teachers:
        raise draft.variant.wrong(where, f"'{name}' stands twice; give one of them a name of its own")
    if draft.experiment.students and (shared := set(teacher.seeds) & set(draft.experiment.seeds)):
        raise draft.variant.wrong(
            (*where, "seeds"),
            f"a map must come from another seed than the runs that it helps; {shared} is among the students' seeds",
        )
    recipe = draft.recipe(where, teacher, "teacher")
    draft.check_patience(where, teacher.patience)
    draft.teachers[name] = {
        seed: Teacher(
            data=draft.data,
            model=teacher.model,
            recipe=recipe,
            seed=seed,
            record=teacher.record,
            patience=teacher.patience,
            device=draft.experiment.device,
            evaluation=draft.evaluation,
            record_test=draft.compresses or draft.experiment.human is not None,
        )
        for seed in teacher.seeds
    }
    for seed, task in draft.teachers[name].items():
        draft.add(task, f"teacher {name} on {draft.splits.train.name}, seed {seed}", name)


def add_map(draft: Draft, at: int, one: MapSection) -> Map:
    teacher = draft.teacher(("maps", at), one.teacher, one.seed)
    if one.epochs is not None and one.epochs > teacher.recipe.epochs:
        message = f"must be at most {teacher.recipe.epochs}, the epochs of {one.teacher}, got {one.epochs}"
        raise draft.variant.wrong(("maps", at, "epochs"), message)
    task = Map(teacher=teacher, **_settings(draft, one))
    _check_scores(draft, at, one, task)
    epochs = f", {counted(one.epochs, 'epoch')}" if one.epochs else ""
    seed = f", seed {teacher.seed}" if len(draft.teachers[one.teacher]) > 1 else ""
    name = f"map of {one.teacher} on {draft.splits.train.name}{epochs}{seed}"
    draft.add(task, name)
    return task


def add_ensemble(draft: Draft, at: int, one: MapSection, name: str) -> Map:
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
    if len(sources := {member.record for member in members}) > 1:
        message = f"its members must all record the same way, got {' and '.join(sorted(sources))}; they measure others"
        raise wrong(where, message)
    lengths = sorted({member.recipe.epochs for member in members})
    if one.epochs is None and len(lengths) > 1:
        told = ", ".join(map(str, lengths))
        raise wrong(where, f"its members train for {told} epochs; add epochs: {lengths[0]} to take the first of each")
    if one.epochs is not None and one.epochs > lengths[0]:
        message = f"must be at most {lengths[0]}, the epochs of each member, got {one.epochs}"
        raise wrong(("maps", at, "epochs"), message)
    task = Ensemble.made_of(members, **_settings(draft, one))
    _check_scores(draft, at, one, task)
    draft.add(task, f"map {name} of {len(members)} runs on {draft.splits.train.name}", name)
    return task


def _called(one: MapSection) -> str:
    """A map without a name of its own, by its teachers."""
    told = [
        part.teacher if part.seeds is None else f"{part.teacher} {counted(len(part.seeds), 'seed')}"
        for part in one.teachers or []
    ]
    return one.teacher or " + ".join(told)


def _settings(draft: Draft, one: MapSection) -> dict[str, Any]:
    """The fields of a map that are not whose it is."""
    scores = None if one.scores is None else tuple(one.scores)
    return {"epochs": one.epochs, "scores": scores, "fraction": one.fraction, "test": draft.compresses}


def _check_scores(draft: Draft, at: int, one: MapSection, task: Map) -> None:
    """Refuse scores that are unknown, need more epochs, or more recordings."""
    for place, score in enumerate(one.scores or []):
        try:
            if score in OF_SEVERAL and len(task.members) == 1:
                raise TrainmapError(f"{score} is of several recordings; write teachers: for a map of them")
            check_epochs(score, score_named(score).epochs, task.recorded)
        except TrainmapError as error:
            raise draft.variant.wrong(("maps", at, "scores", place), error) from error
