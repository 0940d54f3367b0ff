"""From an experiment to its graph of tasks: every field of the file goes into a task, or is a located error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainmap.errors import counted
from trainmap.experiments.file.sections import Map as MapSection
from trainmap.experiments.file.sections import Teacher as TeacherSection
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.elsewhere_sets import check_holding
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.people_runs import plan_people
from trainmap.experiments.plan.points import name_tasks, part_tables
from trainmap.experiments.plan.search_runs import plan_searches
from trainmap.experiments.plan.student_runs import Students
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.teacher import Teacher


def plan_graph(variants: Sequence[Variant], out: str | Path) -> Graph:
    """Every task of an experiment. Loads the datasets and builds each network once, to count.

    Raises:
        TrainmapError: names file, line and field of what cannot be.
    """
    graph = Graph()
    check_holding(variants)
    owners: list[Variant] = []
    for variant in variants:
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
        name = one.name or one.teacher + (f", {counted(one.epochs, 'epoch')}" if one.epochs else "")
        if name in named:
            raise draft.variant.wrong(("maps", at), f"'{name}' stands twice; give one of them another name")
        named[name] = add_map(draft, at, one)
    plan_people(draft)
    plan_searches(draft)
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
    task = Map(
        teacher=teacher,
        epochs=one.epochs,
        scores=None if one.scores is None else tuple(one.scores),
        fraction=one.fraction,
        test=draft.compresses,
    )
    draft.check_scores(("maps", at, "scores"), one.scores or [], teacher, task.recorded)
    epochs = f", {counted(one.epochs, 'epoch')}" if one.epochs else ""
    seed = f", seed {teacher.seed}" if len(draft.teachers[one.teacher]) > 1 else ""
    name = f"map of {one.teacher} on {draft.splits.train.name}{epochs}{seed}"
    draft.add(task, name)
    return task
