"""Rows of a grid with seeds, balance and labels of their own, points that share a table, and the comparison with all
the data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.plan.rows import said
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.report.teacher_tables import teachers_grids
from trainmap.experiments.results.facts import ROLES
from trainmap.experiments.results.records import groups
from trainmap.experiments.results.versus_random import Report, compare
from trainmap.experiments.runs.folder import results, run_study, study_of
from trainmap.experiments.tasks import student
from trainmap.experiments.tasks.datasets import load

PLAIN = """\
title: A test
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 3}]
subsets: [full, random, auto]
students: [{model: mlp-256, epochs: 1}]
sizes: [0.33]
seeds: [0, 1, 2]
"""


def plan(tmp_path: Path, *sets: str, more: str = "") -> Graph:
    (tmp_path / "x.yaml").write_text(PLAIN + more)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def subsets_and_seeds(graph: Graph) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in graph.lines:
        found.setdefault(line.labels["subset"], []).append(line.labels["seed"])
    return found


def test_auto_is_a_row_that_is_drawn_again_for_each_seed(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    assert subsets_and_seeds(graph) == {"full data": [0, 1, 2], "random 33 %": [0, 1, 2], "auto 33 %": [0, 1, 2]}
    assert sum(node.kind == "selection" for node in graph.nodes.values()) == 3


def test_a_row_may_have_fewer_seeds_than_the_experiment(tmp_path: Path) -> None:
    graph = plan(tmp_path, "subsets=[{key: full, seeds: [0]}, random, {key: auto, seeds: [0, 2]}]")
    assert subsets_and_seeds(graph) == {"full data": [0], "random 33 %": [0, 1, 2], "auto 33 %": [0, 2]}


def test_a_balanced_random_row_is_chosen_and_not_the_opponent(tmp_path: Path) -> None:
    row = "{spec: '{percent} random', balance: equal, name: class-balanced random}"
    for wrong, message in (
        ("{key: random, balance: equal}", "'random' has no balance"),
        ("{key: auto, seeds: [7]}", r"subsets\.0\.seeds: must be some of the experiment's, \[0, 1, 2\]"),
    ):
        with pytest.raises(TrainmapError, match=message):
            plan(tmp_path, f"subsets=[{wrong}]")
    unnamed = plan(tmp_path, "subsets=[{spec: '{percent} random', balance: equal}]")
    assert set(subsets_and_seeds(unnamed)) == {"class-balanced random 33 %", "random 33 %"}
    graph = plan(tmp_path, f"subsets=[random, {row}]")
    assert set(subsets_and_seeds(graph)) == {"random 33 %", "class-balanced random"}
    balances = {node.task.identity()["balance"] for node in graph.nodes.values() if node.kind == "selection"}
    assert balances == {"equal"}


POINTS = """\
label: ""
grid:
  zip:
    students.0.distillation: [[null], [{}]]
    subsets: [[full, random, auto], [random, auto]]
"""


def test_points_of_one_label_stand_in_one_table(tmp_path: Path) -> None:
    graph = plan(tmp_path, more=POINTS)
    assert {tuple(line.group.items()) for line in graph.lines} == {(("dataset", "digits"),)}
    columns = {(line.labels["subset"], line.labels["distilled"]) for line in graph.lines}
    assert len(columns) == 3 + 2
    named = plan(tmp_path, "label=good recipe", more=POINTS)
    assert {line.group["label"] for line in named.lines} == {"good recipe"}


def test_two_runs_in_one_cell_are_refused_before_any_work(tmp_path: Path) -> None:
    batches = "label: x\ngrid: {cross: {students.*.recipe.batch: [32, 64]}}\n"
    with pytest.raises(TrainmapError) as caught:
        plan(tmp_path, more=batches)
    assert str(caught.value) == (
        f"{tmp_path}/x.yaml:8: label: two runs would stand in one cell (full data, mlp-256, seed 0), of the points "
        "batch=32 and batch=64; leave label out, so that each point has a table of its own, or name the students apart"
    )
    for more, message in (
        ("grid: {cross: {seeds: [[0], [0]]}}", r"x\.yaml:8: grid\.cross\.seeds\.1: \[0\] stands twice; keep one"),
        (
            "grid: {zip: {sizes: [[0.1], [0.2], [0.1]], seeds: [[0], [0], [0]]}}",
            r"x\.yaml:8: grid\.zip\.sizes\.2: the values at 2 are those of an earlier place",
        ),
    ):
        with pytest.raises(TrainmapError, match=message):
            plan(tmp_path, more=more)
    for change, message in (
        (
            "students=[{model: mlp-256}, {model: mlp-256, epochs: 2}]",
            r"students: two runs would stand in one cell \(full",
        ),
        ("data.names=[digits, digits]", r"data\.names\.1: 'digits' stands twice"),
    ):
        with pytest.raises(TrainmapError, match=message):
            plan(tmp_path, change)


def test_a_row_with_a_foreign_seed_is_refused_at_its_own_line(tmp_path: Path) -> None:
    text = PLAIN.replace("subsets: [full, random, auto]", "subsets:\n  - full\n  - {key: ambiguous, seeds: [5]}")
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(TrainmapError, match=r"x\.yaml:6: subsets\.1\.seeds: must be some of"):
        plan_graph(load_experiment(tmp_path / "x.yaml"), tmp_path / "out")


def test_points_of_one_label_with_other_maps_say_what_tells_them_apart(tmp_path: Path) -> None:
    grid = "label: noise\ngrid: {cross: {data.label_noise: [0.0, 0.2], sizes: [[0.2], [0.3]]}}\n"
    (tmp_path / "x.yaml").write_text(PLAIN + grid)
    variants = load_experiment(tmp_path / "x.yaml", None, ["subsets=[random, auto]"])
    study = study_of(variants, plan_graph(variants, tmp_path / "out"), {})
    found = groups(study, {})
    assert [group.title for group in found] == ["digits, noise, label_noise 0.0", "digits, noise, label_noise 0.2"]
    assert [group.labels for group in found] == [
        {"dataset": "digits", "label": "noise", "label_noise": share} for share in (0.0, 0.2)
    ]
    assert [entry.name for entry in study.entries if entry.kind in ("teacher", "map")] == [
        f"{what} ({told})"
        for told in ("label_noise=0.0", "label_noise=0.2")
        for what in ("teacher mlp-256 on digits, seed 1000", "map of mlp-256 on digits")
    ]


@pytest.mark.parametrize("new", [True, False])
def test_teachers_are_averaged_over_seeds_alone(new: bool, tmp_path: Path) -> None:
    teachers = "teachers: [{model: mlp-256, name: mlp, epochs: 2, seeds: [7, 8]}]\n"
    noise = "grid: {cross: {data.label_noise: [0.0, 0.2]}}\n"
    (tmp_path / "x.yaml").write_text(f"title: teachers\ndata: {{names: [digits]}}\n{teachers}maps: []\n{noise}")
    variants = load_experiment(tmp_path / "x.yaml")
    study = study_of(variants, plan_graph(variants, tmp_path / "out"), {})
    if not new:  # a plan of trainmap 0.1 has neither names nor points
        study = replace(study, entries=tuple(replace(entry, called="", point="") for entry in study.entries))
    run = {"epochs": 1, "parameters": 1, "train_flops": 1, "train_seconds": 1.0, "train_cpu_seconds": 1.0}
    done = {entry.hash: {**run, "test_macro_f1": 0.5, "test_accuracy": 0.5} for entry in study.entries[:3]}
    (grid,) = teachers_grids(study, done)
    shown = {line.name: line.cells[1].text[-5:] for line in grid.lines}
    if new:
        assert shown == {"mlp on digits (label_noise=0.0)": "ical)", "mlp on digits (label_noise=0.2)": "(n=1)"}
    assert list(shown.values()) == ["ical)", "(n=1)"]


def test_a_task_that_points_share_is_not_named_after_one_of_them(tmp_path: Path) -> None:
    graph = plan(tmp_path, more="grid: {cross: {students.*.recipe.batch: [32, 64]}}\n")
    names = {node.kind: node.name for node in graph.nodes.values()}
    assert names["teacher"] == "teacher mlp-256 on digits, seed 1000"
    assert names["map"] == "map of mlp-256 on digits"
    assert names["selection"] == "auto 33 % of map of mlp-256 on digits, seed 2"
    assert names["student"] == "auto 33 %, mlp-256 on digits, equal epochs, seed 2 (batch=64)"
    last = next(reversed(graph.nodes.values()))
    assert last.place.name == last.name  # what trackers are told


def test_the_label_of_a_point_is_its_title(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(PLAIN.replace("title", "label: good recipe\ntitle"))
    variants = load_experiment(tmp_path / "x.yaml")
    graph = plan_graph(variants, tmp_path / "out")
    assert [group.title for group in groups(study_of(variants, graph, {}), {})] == ["digits, good recipe"]


def test_labels_of_a_file_take_the_place_of_those_of_the_training_part(tmp_path: Path) -> None:
    plain = load("digits", None, 42, 0.2)
    others = np.zeros(1797, np.uint8)
    np.savez(tmp_path / "people.npz", first=others, short=others[:5])
    noisy = load("digits", str(tmp_path), 42, 0.2, labels="people.npz:first")
    assert not noisy.train.y.any()
    np.testing.assert_array_equal(noisy.validation.y, plain.validation.y)
    np.testing.assert_array_equal(noisy.test.y, plain.test.y)
    assert noisy.fingerprint() != plain.fingerprint()
    for source, message in (
        ("nobody.npz:first", "nobody.npz is not there"),
        ("people.npz:second", r"people\.npz must hold second; missing: second; it has 'first', 'short'"),
        ("people.npz:short", r"one entry for each id up to .* got uint8 \(5,\)"),
    ):
        with pytest.raises(TrainmapError, match=message):
            load("digits", str(tmp_path), 42, 0.2, labels=source)


def test_a_long_run_keeps_its_checkpoint_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "CHECKPOINT_FLOPS", 0)
    (tmp_path / "x.yaml").write_text(PLAIN)
    variants = load_experiment(tmp_path / "x.yaml", None, ["subsets=[random]", "seeds=[0]", "teachers=[]"])
    graph = plan_graph(variants, tmp_path / "out")
    assert all(node.place.checkpoint for node in graph.nodes.values())
    outcomes = run_study(study_of(variants, graph, {}), graph, tmp_path / "out", jobs=1)
    assert [outcome.error for outcome in outcomes] == [None]
    assert not list((tmp_path / "out").rglob("checkpoint*"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{strategy: auto}", True),
        ("{strategy: auto, options: {held_out: 0.5}}", False),
        ("{spec: 20% auto + 13% random}", True),
        ("{key: repeated-auto}", True),
        ("{spec: 33% ccs}", False),
    ],
)
def test_every_row_with_auto_in_it_is_told_the_teachers_accuracy_unless_it_says_another(
    tmp_path: Path, row: str, told: bool
) -> None:
    graph = plan(tmp_path, f"subsets=[random, {row}]")
    short = plan(tmp_path, f"subsets=[random, {row}]", "maps=[{teacher: mlp-256, epochs: 2}]")

    def tells(graph: Graph) -> bool:
        configs = [node.task.identity() for node in graph.nodes.values()]
        return any(config.get("held_out") or "judged" in config.get("subset", {}) for config in configs)

    assert (tells(graph), tells(short)) == (told, False)  # a map of first epochs is of another network


def test_a_row_that_is_drawn_again_in_every_epoch_costs_a_subset_and_its_map(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(PLAIN)
    variants = load_experiment(tmp_path / "x.yaml", None, ["subsets=[full, random, repeated-auto]", "seeds=[0, 1]"])
    graph = plan_graph(variants, tmp_path / "out")
    study = study_of(variants, graph, {})
    outcomes = run_study(study, graph, tmp_path / "out", jobs=1)
    assert [outcome.error for outcome in outcomes if not outcome.finished] == []
    rows = [row for group in groups(study, results(study, tmp_path / "out")) for row in group.rows]
    random, repeated = (
        [row for row in rows if row["subset"] == f"{what} 33 %"] for what in ("random", "repeated auto")
    )
    assert [row["train_flops"] for row in repeated] == [row["train_flops"] for row in random]
    assert [row["examples"] for row in repeated] == [row["examples"] for row in random]
    assert "paid back" in write_study(tmp_path / "out")["report.md"].read_text()


def test_auto_is_told_how_good_the_maps_teacher_is_on_other_data(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(PLAIN)
    variants = load_experiment(tmp_path / "x.yaml", None, ["subsets=[random, auto]", "seeds=[0]"])
    graph = plan_graph(variants, tmp_path / "out")
    study = study_of(variants, graph, {})
    outcomes = run_study(study, graph, tmp_path / "out", jobs=1)
    assert [outcome.error for outcome in outcomes if not outcome.finished] == []
    teacher = next(entry for entry in study.entries if entry.kind == "teacher")
    accuracy = results(study, tmp_path / "out")[teacher.hash]["validation_accuracy"]
    card = next((tmp_path / "out" / "made").glob("selection-*/card.json"))
    assert f"held_out={accuracy}" in json.loads(card.read_text())["spec"]
    report = write_study(tmp_path / "out")["report.md"].read_text()
    assert "auto 33 %: Keep 356 of 1,078 examples (33.0%)" in report


def test_every_row_is_compared_with_all_the_data_where_they_were_run() -> None:
    def row(subset: str, seed: int, score: float, examples: int) -> dict[str, object]:
        numbers = {"test_macro_f1": score, "test_accuracy": score, "train_flops": examples, "train_seconds": 1.0}
        draw = {"f": "full", "r": "random", "a": "chosen"}[subset[0]]
        about = {"subset": subset, "student": "mlp", "distilled": False, "seed": seed, "steps": 3}
        about |= {"draw": draw, "role": ROLES[draw]}
        return {**about, **numbers, "examples": examples, "fraction": examples / 100}

    rows = [row("full data", seed, 0.90 + 0.01 * seed, 100) for seed in range(3)]
    rows += [row("random 50 %", seed, 0.80 + 0.01 * seed, 50) for seed in range(3)]
    rows += [row("auto 50 %", seed, 0.91 + 0.011 * seed, 50) for seed in range(3)]
    found = compare(Report("a test", rows))[0].against_full("test_macro_f1")
    assert {name: round(difference.mean, 3) for (name, _), difference in found.items()} == {
        "random 50 %": -0.1,
        "auto 50 %": 0.011,
    }
    without = compare(Report("a test", [r for r in rows if r["subset"] != "full data"]))[0]
    assert without.against_full("test_macro_f1") == {}


def test_points_with_one_label_and_other_teachers_have_titles_of_their_own(tmp_path: Path) -> None:
    text = PLAIN + "label: one\ngrid: {cross: {teachers.*.epochs: [2, 3]}}\n"
    (tmp_path / "x.yaml").write_text(text)
    variants = load_experiment(tmp_path / "x.yaml", None, [])
    titles = [group.title for group in groups(study_of(variants, plan_graph(variants, tmp_path / "out"), {}), {})]
    assert len(set(titles)) == len(titles) == 2


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("100%", "full data"),
        ("full data, equal steps", "full data, equal steps"),
        ("33% random", "random 33 %"),
        ("repeated random 33 %", "repeated random 33 %"),
        ("33% ambiguous", "ambiguous 33 %"),
        ("top 33% slope", "high forgetfulness 33 %"),
        ("bottom 33.3% threshold_closeness", "low threshold closeness 33.3 %"),
        ("top 1000 variability", "high variability, 1000 examples"),
        ("17% ambiguous + 25% easy-to-learn", "ambiguous 17 % + easy-to-learn 25 %"),
        ("My own + choice", "My own + choice"),
        ("randomised smoothing", "randomised smoothing"),
        ("33%", "33%"),
    ],
)
def test_subsets_are_called_what_a_reader_says(spec: str, name: str) -> None:
    assert said(spec) == name
