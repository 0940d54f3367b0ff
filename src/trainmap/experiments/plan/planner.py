"""From an experiment to its graph of tasks: every field of the file goes into a task, or is a located error."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.plan.active_runs import plan_active
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.elsewhere_sets import check_holding
from trainmap.experiments.plan.federated_runs import plan_federated
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.kind_runs import plan_kinds
from trainmap.experiments.plan.people_runs import plan_people
from trainmap.experiments.plan.points import name_tasks, part_tables
from trainmap.experiments.plan.search_runs import plan_searches
from trainmap.experiments.plan.student_runs import Students
from trainmap.experiments.plan.teacher_runs import plan_teachers
from trainmap.modes import check_device


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
    check_holding(variants)
    owners: list[Variant] = []
    for variant in variants:
        try:
            check_device(variant.experiment.device)
        except TrainmapError as error:
            raise variant.wrong(("device",), error) from error
        tracking = variant.experiment.tracking
        for package, asked in (("wandb", tracking.wandb is not None), ("tensorboard", tracking.tensorboard)):
            if asked and find_spec(package) is None:
                raise variant.wrong(("tracking", package), f"needs {package}: pip install 'trainmap[track]'")
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
    named = plan_teachers(draft)
    plan_active(draft)
    plan_federated(draft)
    plan_people(draft)
    plan_kinds(draft)
    plan_searches(draft, named)
    if not draft.experiment.students:
        return
    for name, maps in (named or {"": ()}).items():
        Students(draft, {"map": name} if len(named) > 1 else {}, maps).plan()
