"""The rows ``raced`` and ``repeated-raced``: planned, run, priced, told, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import studies

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.results.records import groups, report_of
from trainmap.experiments.runs.folder import results
from trainmap.experiments.tasks.racing import Racing
from trainmap.experiments.tasks.student import Student
from trainmap.races import Race

TINY = """\
title: A race
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
subsets:
  - full
  - {key: raced, race: {model: mlp-256, epochs: 1, limit: 4.0}}
  - {key: repeated-raced, race: {model: mlp-256, epochs: 1, limit: 0.0}}
students: [{model: cnn-8, epochs: 2}]
sizes: [0.2]
seeds: [0, 1]
"""


def plan(tmp_path: Path, *sets: str) -> Graph:
    (tmp_path / "x.yaml").write_text(TINY)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def races(graph: Graph) -> list[Racing]:
    return [node.task for node in graph.nodes.values() if isinstance(node.task, Racing)]


def test_a_race_is_planned_once_for_a_student_and_a_size_and_random_stands_beside(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    fixed, fresh = races(graph)
    assert (fixed.fresh, fresh.fresh, fixed.size, fixed.student, fixed.recipe.epochs) == (False, True, 216, "cnn-8", 1)
    needs = {
        line.labels["subset"]: sorted(node.task.needs())
        for line in graph.lines
        if isinstance((node := graph.nodes[line.run]).task, Student)
    }
    assert needs == {
        "raced 20 %": ["map", "race"],
        "repeated raced 20 %": ["map", "race"],
        "random 20 %": [],
        "full data": [],
    }
    two = plan(tmp_path, "students=[{model: cnn-8, epochs: 2}, {model: mlp-256, epochs: 2}]", "sizes=[0.2, 0.5]")
    assert len(races(two)) == 8


def test_the_smallest_network_of_the_form_races_unless_told(tmp_path: Path) -> None:
    assert [race.model for race in races(plan(tmp_path, "subsets=[raced]"))] == ["cnn-4"]


def table_of(tmp_path: Path) -> tuple[str, ...]:
    """Settings by which the file is of a table of four numbers."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"x{at}": rng.normal(size=400) for at in range(4)} | {"label": rng.integers(0, 3, 400)})
    table.write_csv(tmp_path / "table.csv")
    return (f"data={{names: [table.csv], root: {tmp_path}}}", "teachers=[{model: mlp-256, epochs: 2}]")


def test_of_a_table_a_wider_network_is_asked_unless_the_student_is_no_wider_or_it_is_told(tmp_path: Path) -> None:
    table = table_of(tmp_path)

    def planned(row: str, student: str = "mlp-256") -> tuple[str, str]:
        (race,) = races(plan(tmp_path, *table, f"students=[{{model: {student}, epochs: 2}}]", f"subsets=[{row}]"))
        return race.model, race.wider

    assert planned("raced") == ("mlp-32", "mlp-64")
    assert planned("raced", "mlp-64") == ("mlp-32", "mlp-64")
    assert planned("raced", "mlp-32") == ("mlp-32", "")
    assert planned("{key: raced, race: {wider: null}}") == ("mlp-32", "")
    assert planned("{key: raced, race: {wider: mlp-256}}") == ("mlp-32", "mlp-256")
    assert planned("{key: raced, race: {model: mlp-32}}") == ("mlp-32", "")
    assert planned("{key: raced, race: {limit: 2}}") == ("mlp-32", "mlp-64")


def test_its_cost_is_foreseen_within_the_bound(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    fixed, fresh = (graph.nodes[race.hash].cost for race in races(graph))
    student = next(
        node.cost for node in graph.nodes.values() if isinstance(node.task, Student) and node.task.draw.kind == "full"
    )
    assert 0 < fixed.flops <= 4 * 0.8 * student.flops
    assert fresh.flops == 0


def test_rows_are_run_priced_and_told(tmp_path: Path) -> None:
    study, graph = studies.planned(TINY, tmp_path)
    out = studies.run(study, graph, tmp_path / "out")
    done = results(study, out)
    (group,) = groups(study, done)
    rows = {(row["subset"], row["seed"]): row for row in group.rows}
    race = next(task for task in study.tasks.values() if isinstance(task, Racing) and not task.fresh)
    spent = done[race.hash]
    assert spent["trainings"] >= 8
    assert spent["train_flops"] > 0
    assert spent["train_cpu_seconds"] > 0
    raced, fresh = rows["raced 20 %", 0], rows["repeated raced 20 %", 0]
    assert raced["choosing_flops"] == spent["train_flops"]
    assert fresh["choosing_flops"] == 0
    assert raced["reads_map"]
    assert raced["examples"] == fresh["examples"] == 216
    report = report_of(study, group, done, out)
    notes = " ".join(report.notes)
    assert "raced 20 %: Keep 216 of 1,078" in notes
    assert "repeated raced 20 %: Visit 216 of 1,078" in notes
    assert "Nothing was raced" in notes
    path = next(out.glob(f"**/*{race.hash[:16]}/race.json"))
    found = Race.open(path)
    assert found.spent <= found.facts.limit * found.facts.saved


WIDER = "subsets=[full, {key: raced, race: {model: cnn-4, epochs: 1, wider: cnn-8, limit: 4.0}}]"


def test_a_wider_network_is_asked_about_the_winner_within_the_bound(tmp_path: Path) -> None:
    study, graph = studies.planned(TINY, tmp_path, WIDER)
    (race,) = races(graph)
    assert (race.wider, race.wider_recipe.epochs if race.wider_recipe else None) == ("cnn-8", 1)
    cost = graph.nodes[race.hash].cost
    student = next(
        node.cost for node in graph.nodes.values() if isinstance(node.task, Student) and node.task.draw.kind == "full"
    )
    assert 0 < cost.beside["cnn-8"] < cost.flops <= 4 * 0.8 * student.flops
    out = studies.run(study, graph, tmp_path / "out")
    spent = results(study, out)[race.hash]
    found = Race.open(next(out.glob(f"**/*{race.hash[:16]}/race.json")))
    assert found.facts.wider.startswith("cnn-8, 1 epoch")
    assert found.facts.wider_price > found.facts.price
    assert spent["train_flops"] / student.flops == pytest.approx(found.spent, rel=0.02)


def test_a_race_without_a_wider_network_is_the_task_that_it_was(tmp_path: Path) -> None:
    """What it is does not tell of one, so that what was raced before there were any is found."""
    (without,) = races(plan(tmp_path, "subsets=[{key: raced, race: {model: cnn-4}}]"))
    (with_one,) = races(plan(tmp_path, "subsets=[{key: raced, race: {model: cnn-4, wider: cnn-8}}]"))
    assert not [name for name in without.identity() if name.startswith("wider")]
    assert with_one.identity().items() >= without.identity().items()
    assert with_one.hash != without.hash


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("subsets=[{key: raced, race: {wider: nosuch}}]",), "unknown model 'nosuch'"),
        (("subsets=[{key: raced, race: {wider: text-bag-8}}]",), "does not take"),
        (("subsets=[{key: random, race: {wider: cnn-8}}]",), "race goes with the rows raced and repeated-raced"),
        (("subsets=[{key: raced, race: {model: cnn-8, wider: cnn-4}}]",), "wider: cnn-4, which costs less than cnn-8"),
        (("subsets=[{key: random, race: {limit: 1}}]",), "race goes with the rows raced and repeated-raced"),
        (("subsets=[{key: raced, race: {limit: -1}}]",), "subsets.0.race.limit: must be greater than or equal to 0"),
        (("subsets=[{key: raced, race: {model: nosuch}}]",), "unknown model 'nosuch'"),
        (("subsets=[{key: raced, race: {model: text-bag-8}}]",), "does not take"),
        (("subsets=[{key: raced, balance: equal}]",), "has no balance"),
        (("subsets=[raced]", "data.validation=0.0"), "judged on validation data; see data.validation"),
        (("subsets=[raced]", "teachers=[]"), "subsets of a map need a teacher"),
        (
            (
                "teachers=[{model: mlp-256, epochs: 2}, "
                "{model: mlp-256, epochs: 2, name: b, map: mlp-256, subset: raced, seeds: [7]}]",
            ),
            "is raced for a student",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, sets: tuple[str, ...], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        plan(tmp_path, *sets)
