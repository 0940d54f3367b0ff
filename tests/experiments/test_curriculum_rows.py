"""Rows of a schedule that reads the map, and what each of them has to be better than."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import studies

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.records import groups, report_of
from trainmap.experiments.results.versus_random import compare, unopposed
from trainmap.experiments.runs.folder import results, tasks_of
from trainmap.experiments.tasks.student import Student

TINY = """\
title: A curriculum
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
subsets:
  - full
  - {schedule: {name: curriculum, pacing: step, until: 0.5}, name: easy first}
  - {schedule: {name: curriculum, order: ambiguous-first, pacing: step, until: 0.5}}
students: [{model: mlp-256, epochs: 2}]
seeds: [0, 1]
budgets: [equal epochs, equal steps]
"""
EASY, AMBIGUOUS = "schedule easy first", "schedule curriculum, order ambiguous-first, pacing step, until 0.5"
RANDOM = "schedule curriculum, order random, pacing step, until 0.5"


def plan(tmp_path: Path, *sets: str) -> Graph:
    (tmp_path / "x.yaml").write_text(TINY)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def schedule(**options: Any) -> str:
    told = ", ".join(f"{name}: {value}" for name, value in options.items())
    return f"{{schedule: {{name: curriculum, {told}}}}}"


def labels(graph: Graph) -> dict[str, set[Any]]:
    """Of each row: its opponent and its budgets."""
    found: dict[str, set[Any]] = {}
    for line in graph.lines:
        found.setdefault(line.labels["subset"], set()).update((line.labels.get("opponent"), line.labels["budget"]))
    return found


def test_the_same_pacing_in_random_order_is_a_row_by_itself_in_each_table(tmp_path: Path) -> None:
    both = {"equal epochs", "equal steps"}
    told = labels(plan(tmp_path))
    assert set(told) == {"full data", "random 60 %", RANDOM, EASY, AMBIGUOUS}
    assert told[EASY] == told[AMBIGUOUS] == {RANDOM, *both}
    assert told[RANDOM] == told["random 60 %"] == {None, *both}
    one = f"subsets=[full, {schedule()[:-1]}, budgets: [equal steps]}}]"
    assert labels(plan(tmp_path, one))["schedule curriculum, order random"] == {None, "equal steps"}


def test_a_random_order_that_is_there_is_the_opponent_under_its_own_name(tmp_path: Path) -> None:
    random = f"{schedule(order='random')[:-1]}, name: mine, budgets: [equal epochs]}}"
    told = labels(plan(tmp_path, f"subsets=[{random}, {schedule()}, {schedule(order='hard-to-easy', score='loss')}]"))
    assert told == {
        "random 45.1 %": {None, "equal epochs", "equal steps"},
        "schedule mine": {None, "equal epochs", "equal steps"},
        "schedule curriculum": {"schedule mine", "equal epochs", "equal steps"},
        "schedule curriculum, order hard-to-easy, score loss": {"schedule mine", "equal epochs", "equal steps"},
    }
    other = labels(plan(tmp_path, f"subsets=[{random}, {schedule(pacing='root')}]"))
    assert other["schedule curriculum, pacing root"] >= {"schedule curriculum, order random, pacing root"}


def test_a_row_needs_the_map_and_its_opponent_does_not(tmp_path: Path) -> None:
    students = {
        line.labels["subset"]: node.task
        for graph in [plan(tmp_path)]
        for line in graph.lines
        if isinstance((node := graph.nodes[line.run]).task, Student)
    }
    assert {name: [need.what for need in task.needs().values()] for name, task in students.items()} == {
        EASY: ["map"], AMBIGUOUS: ["map"], RANDOM: [], "random 60 %": [], "full data": [],
    }  # fmt: skip
    two = "teachers=[{model: mlp-256, epochs: 2}, {model: mlp-256, epochs: 3, name: longer}]"
    graph = plan(tmp_path, two)
    runs = {name: {line.run for line in graph.lines if line.labels["subset"] == name} for name in (EASY, RANDOM)}
    assert [len(found) for found in runs.values()] == [8, 4]  # by both maps, and once


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (schedule(score="el2m"), "schedule: unknown score 'el2m'; did you mean 'el2n'"),
        (schedule(order="backwards"), "schedule.order: must be 'easy-to-hard', .*got 'backwards'"),
        (schedule(pacing="fast"), "schedule.pacing: must be 'linear', .*got 'fast'"),
        (schedule(start=0), "schedule.start: must be greater than 0, got 0"),
        (schedule(until=3), "schedule.until: must be less than or equal to 2, got 3"),
        (schedule(warmup=2), "schedule: curriculum has no 'warmup'; it takes order, score, pacing"),
        (schedule(order="random", score="loss"), "schedule: score goes with easy-to-hard and hard-to-easy, got loss"),
        ("{schedule: {name: repeated-auto, size: 0.3}}", "schedule.name: must be .*got 'repeated-auto'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError, match=rf"subsets\.1\.{message}"):
        plan(tmp_path, f"subsets=[random, {change}]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("teachers=[]", "subsets of a map need a teacher to make it"),
        ("maps=[{teacher: mlp-256, scores: [aum]}]", "needs the score loss; add it to the map's scores"),
        ("maps=[{teacher: mlp-256, epochs: 1}]", r"subsets.1.schedule: variability needs a map of at least 2 epochs"),
    ],
)
def test_a_map_that_cannot_give_the_order_is_refused_before_anything_is_trained(
    tmp_path: Path, change: str, message: str
) -> None:
    loss, ambiguous = schedule(score="loss"), schedule(order="ambiguous-first")
    rows = f"subsets=[random, {ambiguous if 'epochs: 1' in change else loss}]"
    with pytest.raises(TrainmapError, match=message):
        plan(tmp_path, rows, change)
    assert plan(tmp_path, f"subsets=[random, {schedule(order='random')}]", change)  # which needs none


def test_a_curriculum_is_trained_compared_with_random_order_and_pays_for_its_map(tmp_path: Path) -> None:
    study, graph = studies.planned(TINY, tmp_path)
    studies.run(study, graph, tmp_path / "out")
    tasks = tasks_of(study)
    assert all(tasks[entry.hash].hash == entry.hash for entry in study.entries)
    done = results(study, tmp_path / "out")
    (group,) = groups(study, done)
    report = report_of(study, group, done, tmp_path / "out")
    for comparison in compare(report):
        assert comparison.opponents == {EASY: RANDOM, AMBIGUOUS: RANDOM, RANDOM: "random 60 %"}
        flops = {name: {row["train_flops"] for row in group.rows if row["subset"] == name} for name in (EASY, RANDOM)}
        assert flops[EASY] == flops[RANDOM]
    epochs = [row for row in group.rows if row["budget"] == "equal epochs"]
    assert {row["examples"] for row in epochs if row["subset"] == EASY} == {647}  # (216 + 1,078) / 2
    steps = [row for row in group.rows if row["budget"] == "equal steps"]
    assert len({row["steps"] for row in steps}) == 1
    rest = [row for row in group.rows if row["subset"] != RANDOM]
    assert {row["subset"] for row in unopposed(rest)} == {EASY, AMBIGUOUS}
    with pytest.raises(TrainmapError, match=f"'{EASY}' is compared with '{RANDOM}', which is not among the rows"):
        compare(type(report)("a test", rest, costs=report.costs))
    written = write_study(tmp_path / "out")
    text = written["report.md"].read_text()
    assert f"The difference from {RANDOM} in place of random: {EASY}, {AMBIGUOUS}." in text
    assert f"{EASY} against {RANDOM} (mlp-256)" in text
    assert "paid back" in text
    assert f",{RANDOM}" in written["table.csv"].read_text() or f'"{RANDOM}"' in written["table.csv"].read_text()
