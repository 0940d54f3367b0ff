"""What trainmap 0.1 planned, drew and finished: the same tasks, the same examples, the same numbers, nothing redone."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph, Node
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.runs.folder import claim, open_study, results, run_study, states, study_of, tasks_of
from trainmap.experiments.tasks.draws import IndependentRandom
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.student import Student
from trainmap.experiments.tasks.student_ids import ids_hash
from trainmap.experiments.tasks.task_table import TASKS

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"
GRIDS = ("grid", "grid2", "grid3")


@pytest.fixture
def grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders as 0.1 left them, but for what the tasks made."""
    with zipfile.ZipFile(RECORDED / "grids_of_0_1.zip") as kept:
        kept.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named_now(name: str) -> str:
    """What a task of 0.1 is called now: a loss by its name."""
    name = re.sub(r" \(loss ([\w-]+)\) distilled", r" + \1", name)
    name = re.sub(r" \(loss [\w-]+\), magnitude", ", magnitude", name)
    return name.replace(" distilled on", " + hinton on").replace(" + KD on", " + hinton on")


def live(node: Node) -> int:
    """FLOPs of the live teacher, which 0.1 did not count; all networks of the grids are one."""
    task = node.task
    return 168960 * node.cost.examples if isinstance(task, Student) and task.live is not None else 0


@pytest.mark.parametrize("name", GRIDS)
def test_a_finished_grid_of_0_1_resumes_with_nothing_redone(grids: Path, name: str) -> None:
    variants, out = load_experiment(grids / f"{name}.yaml"), grids / name
    graph = plan_graph(variants, out)
    held = open_study(out)
    assert list(graph.nodes) == [entry.hash for entry in held.entries]
    assert [node.name for node in graph.nodes.values()] == [named_now(entry.name) for entry in held.entries]
    alone = [node.cost.flops - live(node) for node in graph.nodes.values()]
    assert alone == [entry.flops for entry in held.entries]
    study = study_of(variants, graph, {"file": f"{name}.yaml"})
    assert claim(study, out) == ""
    assert set(states(study, out).values()) == {"done"}
    before = {path: path.read_bytes() for path in (out / "runs").iterdir()}
    assert all(outcome.skipped for outcome in run_study(study, graph, out, jobs=1))
    assert {path: path.read_bytes() for path in (out / "runs").iterdir()} == before


@pytest.mark.parametrize("name", GRIDS)
def test_a_plan_of_0_1_is_read_as_the_tasks_that_it_is_of(grids: Path, name: str) -> None:
    study = open_study(grids / name)
    tasks = tasks_of(study)
    for entry in study.entries:
        task = tasks[entry.hash]
        assert task.hash == entry.hash
        assert json.loads(task.canonical) == entry.config
        assert {other.hash for other in task.needs().values()} == set(entry.after)


def test_the_grids_of_0_1_have_every_kind_of_task_that_it_had(grids: Path) -> None:
    kinds = {entry.kind for name in GRIDS for entry in open_study(grids / name).entries}
    assert kinds == {what for what, kind in TASKS.items() if kind.spelled}


def test_rows_of_0_1_are_judged_by_what_they_are_and_not_by_their_names(grids: Path) -> None:
    study = open_study(grids / "grid")
    tasks = tasks_of(study)
    roles: dict[str, str] = {}
    for line in study.lines:
        task = tasks[line.run]
        if isinstance(task, Student):
            roles[line.labels["subset"]] = task.draw.role
    assert roles["random looking"] == roles["full data core"] == "judged"
    assert {role for name, role in roles.items() if name.startswith("random ") and name != "random looking"} == {
        "opponent"
    }


def quick(tmp_path: Path) -> Graph:
    return plan_graph(load_experiment(ROOT / "experiments" / "quick.yaml"), tmp_path / "quick")


def test_every_row_of_the_quick_grid_is_the_run_and_the_draw_that_it_was(tmp_path: Path) -> None:
    golden: list[dict[str, Any]] = json.loads((RECORDED / "quick_of_0_1.json").read_text())
    graph = quick(tmp_path)
    assert [line.run for line in graph.lines] == [row["run"] for row in golden]
    drawn = 0
    for line, row in zip(graph.lines, golden, strict=True):
        task = graph.nodes[line.run].task
        assert isinstance(task, Student)
        train = task.data.load(None).train
        if not task.draw.by_map:
            visits = task.draw.visits(Place(tmp_path), train, task.seed, task.epochs)
            if isinstance(task.draw, IndependentRandom):
                assert callable(visits)
                visits = np.concatenate([np.sort(np.asarray(visits(epoch))) for epoch in range(6)])
            ids: Any = np.sort(train.ids) if visits is None else visits
            assert ids_hash(ids.astype(np.int64)) == row["ids"], row["subset"]
            drawn += 1
    assert drawn == 4 * 2 * 3  # full data, the same for fewer steps, random, repeated random; ways; seeds


@pytest.mark.slow
def test_the_quick_grid_chooses_the_examples_and_comes_to_the_numbers_that_it_did(tmp_path: Path) -> None:
    golden: list[dict[str, Any]] = json.loads((RECORDED / "quick_of_0_1.json").read_text())
    variants = load_experiment(ROOT / "experiments" / "quick.yaml")
    graph = plan_graph(variants, tmp_path / "quick")
    study = study_of(variants, graph, {"file": "quick.yaml"})
    assert all(outcome.finished for outcome in run_study(study, graph, tmp_path / "quick"))
    done = results(study, tmp_path / "quick")
    # A processor that sums in another order draws another map, by its last bits; who is on the edge changes sides then.
    same_sums = all(
        done[row["run"]]["train_loss"] == row["train_loss"] for row in golden if row["subset"] == "full data"
    )
    for row in golden:
        task, found = graph.nodes[row["run"]].task, done[row["run"]]
        assert (found["examples"], found["steps"]) == (row["examples"], row["steps"])
        if same_sums and (selection := task.needs().get("selection")):
            assert done[selection.hash]["ids"] == row["ids"], row["subset"]
        for name in ("test_macro_f1", "test_accuracy", "train_loss"):
            assert found[name] == pytest.approx(row[name], abs=0.05), row["subset"]  # another processor, another sum
    rows = list(csv.DictReader(write_study(tmp_path / "quick")["results.csv"].read_text().splitlines()))
    assert [row["role"] for row in rows] == [line.labels["role"] for line in study.lines]


def test_a_copy_of_a_task_with_other_fields_has_another_hash(tmp_path: Path) -> None:
    task = next(node.task for node in quick(tmp_path).nodes.values() if isinstance(node.task, Student))
    assert task.model_copy(update={"seed": task.seed + 1}).hash != task.hash
    assert task.model_copy().hash == task.hash
