"""Small experiments from the text of their file: planned, and run to their end, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.runs.folder import Study, run_study, study_of


def planned(text: str, folder: Path, *sets: str) -> tuple[Study, Graph]:
    """The plan of a file, to be run in ``folder/out``."""
    (folder / "tiny.yaml").write_text(text)
    variants = load_experiment(folder / "tiny.yaml", None, sets)
    graph = plan_graph(variants, folder / "out")
    return study_of(variants, graph, {}), graph


def run(study: Study, graph: Graph, out: Path, jobs: int = 1) -> Path:
    """Every task done; the folder."""
    outcomes = run_study(study, graph, out, jobs=jobs)
    assert all(outcome.finished for outcome in outcomes), [outcome.error for outcome in outcomes if outcome.error]
    return out


def of_kind(graph: Graph, kind: type[Any]) -> list[Any]:
    """The tasks of exactly this class."""
    return [node.task for node in graph.nodes.values() if type(node.task) is kind]
