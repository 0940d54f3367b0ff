"""Maps of several trainings in an experiment: planned, made, chosen from, paid for and reported."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st
from studies import of_kind

from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.price import price_of
from trainmap.experiments.runs.folder import open_study, results, save_study, tasks_of
from trainmap.experiments.tasks.draws import Priced, Random, priced
from trainmap.experiments.tasks.ensemble_map import Ensemble
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.place import DYNAMICS, MAP, held_out
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.student import Student
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.maps.datamap import DataMap
from trainmap.models.budget import training_flops

TINY = """\
title: Several
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2, seeds: [1000, 1001, 1002, 1003]}, {model: mlp-256, name: other, epochs: 3}]
maps:
  - {name: one, teacher: mlp-256}
  - {name: four, teachers: [mlp-256]}
subsets: [full, random, ambiguous, auto, repeated-auto, random-at-cost]
sizes: [0.2]
students: [{model: mlp-256, epochs: 1, distillation: [null, {}]}]
seeds: [0, 1]
"""
FOUR = "maps=[{name: four, teachers: [mlp-256]}]"


planned = partial(studies.planned, TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    rows = "subsets=[full, random, ambiguous, auto, random-at-cost]"
    study, graph = planned(folder, rows, "students.0.distillation=[null]")
    save_study(study, folder / "out")
    studies.run(study, graph, folder / "out")
    return folder


# --- planned ---


def test_an_ensemble_is_one_task_after_its_members_whatever_their_order(tmp_path: Path) -> None:
    (one,) = of_kind(planned(tmp_path, FOUR)[1], Ensemble)
    assert [member.seed for member in sorted(one.members, key=lambda each: each.seed)] == [1000, 1001, 1002, 1003]
    parts = "{teacher: mlp-256, seeds: [1003, 1001]}, {teacher: mlp-256, seeds: [1002, 1000]}"
    turned = f"maps=[{{name: four, teachers: [{parts}]}}]"
    (other,) = of_kind(planned(tmp_path, turned)[1], Ensemble)
    assert other.hash == one.hash
    (fewer,) = of_kind(
        planned(tmp_path, FOUR.replace("[mlp-256]", "[{teacher: mlp-256, seeds: [1000, 1001]}]"))[1], Ensemble
    )
    assert fewer.hash != one.hash


def test_a_plan_with_an_ensemble_is_read_as_the_tasks_that_it_is_of(tmp_path: Path) -> None:
    study, graph = planned(tmp_path)
    tasks = tasks_of(study)
    assert {digest: task.canonical for digest, task in tasks.items()} == {
        digest: node.task.canonical for digest, node in graph.nodes.items()
    }
    assert {type(tasks[line.map]) for line in study.lines} == {Map, Ensemble}


def test_a_map_of_one_teacher_has_the_hash_that_it_had(tmp_path: Path) -> None:
    both, alone = (planned(tmp_path, *sets)[1] for sets in ((), ("maps=[{teacher: mlp-256}]",)))
    assert of_kind(both, Map)[0].hash == of_kind(alone, Map)[0].hash
    assert "others" not in of_kind(both, Map)[0].identity()


def test_what_is_told_of_the_map_s_network_is_told_by_the_ensemble_itself(tmp_path: Path) -> None:
    _, graph = planned(tmp_path, FOUR)
    (one,) = of_kind(graph, Ensemble)
    auto = next(task for task in of_kind(graph, Selection) if task.held_out)
    assert auto.needs()["teacher"] is one
    repeated = next(task for task in of_kind(graph, Student) if "judged" in task.drawn_from)
    assert repeated.drawn_from["judged"] is one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["maps=[{name: a}]"], "maps.0: must have a teacher, or teachers in its place, and not both"),
        (["maps=[{teacher: other, teachers: [mlp-256]}]"], "maps.0: must have a teacher, or teachers"),
        (["maps=[{teachers: [mlp-256], seed: 1000}]"], "maps.0: seed goes with one teacher"),
        (["maps=[{teachers: []}]"], "maps.0.teachers: "),
        (["maps=[{teachers: [other]}]"], "maps.0.teachers: an ensemble needs at least two runs, got 1; write teacher:"),
        (["maps=[{teachers: [nobody]}]"], "maps.0.teachers.0.teacher: there is no teacher 'nobody'"),
        (
            ["maps=[{teachers: [{teacher: mlp-256, seeds: [1000, 9]}]}]"],
            "maps.0.teachers.0.seed: mlp-256 has the seeds 1000, 1001, 1002, 1003, got 9",
        ),
        (
            ["maps=[{teachers: [mlp-256, {teacher: mlp-256, seeds: [1001]}]}]"],
            "maps.0.teachers.1: seed 1001 of mlp-256 stands twice",
        ),
        (["maps=[{teachers: [mlp-256, other]}]"], "maps.0.teachers: its members train for 2, 3 epochs; add epochs: 2"),
        (["maps=[{teachers: [mlp-256, other], epochs: 3}]"], "maps.0.epochs: must be at most 2, the epochs of each"),
        (
            ["teachers.1.record=sweep", "maps=[{teachers: [mlp-256, other], epochs: 2}]"],
            "maps.0.teachers: its members must all record the same way, got sweep and train",
        ),
        (["maps=[{teachers: [mlp-256], scores: [dual]}]"], "maps.0.scores.0: dual needs a map of at least 10 epochs"),
        (["maps=[{teacher: other, scores: [disagreement]}]"], "maps.0.scores.0: disagreement is of several recordings"),
        (
            ["subsets=[random, {spec: 20% random + hardest 10% disagreement}]"],
            "needs disagreement, which a map of several",
        ),
        (
            [FOUR, "subsets=[random, {strategy: moderate}]"],
            "moderate reads features of one teacher, and this map is of 4; give it a map of one",
        ),
        (
            [FOUR, "subsets=[random, {spec: '{percent} hard', without: {audit: 0.05}}]"],
            "cuts labels by an audit of one recording, and this map is of 4",
        ),
        (["maps=[]", "subsets=[random, random-at-cost]"], "subsets: subsets of a map need a teacher to make it"),
        (["maps=[{name: a, teacher: other}, {name: a, teachers: [mlp-256]}]"], "maps.1: 'a' stands twice"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused_with_its_field(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, *changes)
    assert message in str(caught.value)


def test_a_map_of_the_first_epochs_joins_teachers_of_other_lengths(tmp_path: Path) -> None:
    (one,) = of_kind(planned(tmp_path, "maps=[{teachers: [mlp-256, other], epochs: 2}]")[1], Ensemble)
    assert (len(one.members), one.recorded) == (5, 2)


# --- random at the map's cost ---


@given(
    size=st.integers(1, 500),
    spent=st.integers(0, 10**9),
    forward=st.integers(1, 10**4),
    more=st.integers(0, 500),
    epochs=st.integers(1, 20),
    batch=st.integers(1, 64),
)
def test_the_opponent_spends_what_it_may_and_never_more(
    size: int, spent: int, forward: int, more: int, epochs: int, batch: int
) -> None:
    examples = size + more
    count, steps = priced(epochs * size, spent, forward, examples, epochs, batch)
    allowed = training_flops(forward, epochs * size) + spent
    if steps is None:
        assert size <= count <= examples
        took, last = training_flops(forward, epochs * count), training_flops(forward, epochs)
    else:
        of_an_epoch = -(-examples // batch)
        assert count == examples
        assert steps >= epochs * of_an_epoch or steps == (epochs * size * of_an_epoch) // examples
        took, last = training_flops(forward, steps * examples) / of_an_epoch, training_flops(forward, examples)
    assert took <= allowed < took + last + training_flops(forward, 1) + training_flops(forward, examples) / batch


def test_the_opponent_takes_more_data_first_and_then_more_steps() -> None:
    assert priced(10 * 100, 0, 1, 1000, 10, 50) == (100, None)
    assert priced(10 * 100, 3 * 5000, 1, 1000, 10, 50) == (600, None)
    assert priced(10 * 100, 3 * 9000, 1, 1000, 10, 50) == (1000, 200)
    assert priced(10 * 100, 3 * 29_000, 1, 1000, 10, 50) == (1000, 600)


def test_it_pays_for_every_member_and_not_for_the_teacher_that_teaches(tmp_path: Path) -> None:
    study, graph = planned(tmp_path)
    tasks = tasks_of(study)
    own = {
        (line.group["map"], line.labels["distilled"]): tasks[line.run]
        for line in study.lines
        if line.labels["role"] == "priced opponent"
    }
    teacher, flops = (
        of_kind(graph, Teacher)[0],
        {task.hash: node.cost.flops for node in graph.nodes.values() for task in [node.task]},
    )
    subset = next(task for task in of_kind(graph, Student) if isinstance(task.draw, Random) and task.teaching is None)
    price, own_flops, epoch = flops[teacher.hash], flops[subset.hash], flops[teacher.hash] / teacher.recipe.epochs
    for (name, distilled), members in {
        ("one", False): 1,
        ("four", False): 4,
        ("one", True): 0,
        ("four", True): 3,
    }.items():
        task = own[name, distilled]
        assert isinstance(task, Student)
        assert isinstance(task.draw, Priced)
        allowed = own_flops + members * price
        assert allowed - epoch / 10 < flops[task.hash] <= allowed


def test_a_map_of_the_first_epochs_costs_its_part_alone(tmp_path: Path) -> None:
    class Digits:
        examples, tests, classes = 1078, 359, 10

        def forward(self, model: str) -> int:
            return 1000

        def parameters(self, model: str) -> int:
            return 1000

    short, whole = (
        of_kind(planned(tmp_path, f"maps=[{{teachers: [mlp-256]{more}}}]", "subsets=[random]")[1], Ensemble)[0].price(
            Digits()
        )
        for more in (", epochs: 1", "")
    )
    assert (whole, short) == (4 * training_flops(1000, 2 * 1078), 4 * training_flops(1000, 1078))


# --- done ---


@pytest.mark.slow
def test_the_map_is_that_of_the_library_and_knows_its_members(done: Path) -> None:
    _, graph = planned(done)
    node = next(node for node in graph.nodes.values() if isinstance(node.task, Ensemble))
    members = [Dynamics.open(folder / DYNAMICS) for folder in node.place.others.values()]
    made = DataMap.open(node.place.out / MAP)
    assert made.fingerprint == DataMap.from_dynamics(members[::-1]).fingerprint
    assert made.members == 4
    told = [held_out(folder) for folder in node.place.others.values()]
    assert held_out(node.place.out) == pytest.approx(sum(filter(None, told)) / 4)


@pytest.mark.slow
def test_agreement_and_costs_are_of_all_members(done: Path) -> None:
    study = open_study(done / "out")
    found = results(study, done / "out")
    one = next(entry for entry in study.entries if entry.kind == "ensemble")
    rows = found[one.hash]["agreement"]
    assert [(row["score"], row["members"]) for row in rows] == [
        ("confidence", 1),
        ("confidence", 2),
        ("variability", 1),
        ("variability", 2),
        ("disagreement", 2),
    ]
    assert all(row["maps"] == 4 for row in rows)
    assert rows[0]["low"] < rows[0]["spearman"] < rows[0]["high"]
    assert rows[1]["low"] is None
    price = price_of([tasks_of(study)[one.hash]], found)
    assert price.before("map").flops == sum(found[member]["train_flops"] for member in one.after)
    assert price.before("scoring").cpu_seconds == found[one.hash]["scoring_cpu_seconds"]


@pytest.mark.slow
def test_the_opponents_of_equal_cost_are_trained_as_planned_and_told(done: Path) -> None:
    study = open_study(done / "out")
    found, tasks = results(study, done / "out"), tasks_of(study)
    for line in study.lines:
        task = tasks[line.run]
        if isinstance(task, Student) and isinstance(task.draw, Priced):
            assert found[line.run]["examples"] == task.draw.count
            if task.steps is not None:
                assert found[line.run]["steps"] == task.steps
    paths = write_study(done / "out")
    text = paths["report.md"].read_text()
    for words in (
        "## How many members a ranking needs, four, digits",
        "## Against random at the map's cost, equal epochs",
        "map four of 4 runs on digits",
        "The map comes from 4 times mlp-256 (seeds",
        "may spend the map's cost",
        "Agreement of ensembles against their members",
        "mlp-256, seed 1000 \\| four",
    ):
        assert words in text, words
    assert "random at the map's cost" not in "".join(
        line for line in text.splitlines() if "Not in this comparison" in line
    )
    rows = list(csv.DictReader(paths["members.csv"].read_text().splitlines()))
    assert next((row["map"], row["score"], row["members"]) for row in rows) == ("four", "confidence", "1")
    assert (done / "out" / "plots" / "members.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_random_row_of_equal_cost_is_no_opponent_of_the_same_size_and_has_no_verdict(done: Path) -> None:
    paths = write_study(done / "out")
    rows = list(csv.DictReader(paths["table.csv"].read_text().splitlines()))
    own = [row for row in rows if row["draw"] == "random at the map's cost"]
    assert {row["role"] for row in own} == {"priced opponent"}
    assert {row["verdict"] for row in own} == {""}
    assert len(own) == 2


@pytest.mark.slow
def test_a_damaged_result_of_an_ensemble_is_told(done: Path, tmp_path: Path) -> None:
    from trainmap.errors import StoreError
    from trainmap.experiments.tasks.result_fields import check_result

    study = open_study(done / "out")
    one = next(entry for entry in study.entries if entry.kind == "ensemble")
    result = json.loads(json.dumps(results(study, done / "out")[one.hash]))
    check_result(tmp_path / "r.json", "ensemble", result)
    result["agreement"][0]["spearman"] = "high"
    with pytest.raises(StoreError, match=r"agreement.0.spearman"):
        check_result(tmp_path / "r.json", "ensemble", result)
