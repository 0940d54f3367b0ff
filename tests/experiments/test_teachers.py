"""Teachers on a part of the data, teachers that are made smaller, and seeds that go in pairs: planned, run, told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
from studies import of_kind

import trainmap as tm
from trainmap.distillation.kept_logits import open_logits
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.report.teacher_tables import teachers_grids
from trainmap.experiments.results.price import price_of
from trainmap.experiments.results.records import groups, map_read
from trainmap.experiments.results.taught import lessons
from trainmap.experiments.runs.estimate import FIXED_SECONDS
from trainmap.experiments.runs.folder import Study, made, open_study, results, tasks_of
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.part_teacher import PartTeacher
from trainmap.experiments.tasks.place import CARD, DYNAMICS, EPOCHS, LOGITS, Place
from trainmap.experiments.tasks.result_fields import TEACHERS
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
from trainmap.experiments.tasks.student import Student
from trainmap.experiments.tasks.task_table import TASKS
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.experiments.tasks.tracking import read_epochs
from trainmap.experiments.tasks.watch import Watch
from trainmap.selection.card import Selection as Card

PARTS = """\
title: Teachers on parts
data: {names: [digits]}
teachers:
  - {model: mlp-256, name: picked, epochs: 2, subset: 33% ambiguous, map: mapper, seeds: [20, 21]}
  - {model: mlp-256, name: drawn, epochs: 2, subset: 33% random, seeds: [20, 21]}
  - {model: mlp-256, name: mapper, epochs: 2, seeds: [10]}
maps: [{teacher: mapper}]
subsets: [full]
students:
  - model: mlp-256
    epochs: 1
    distillation: [null, {teacher: picked, seed: paired}, {teacher: drawn, seed: paired}]
seeds: [0, 1]
"""

SMALLER = """\
title: Smaller teachers
data: {names: [digits]}
teachers:
  - {model: mlp-256, name: float, epochs: 2, seeds: [10, 11]}
  - model: mlp-256
    name: pruned
    epochs: 2
    seeds: [10, 11]
    compress: {method: prune-channels, ratio: 0.5, finetune_epochs: 3}
maps: [{teacher: float, seed: paired}, {teacher: pruned, seed: paired}]
subsets: [full, random, ambiguous]
sizes: [0.33]
students: [{model: mlp-256, epochs: 1}]
seeds: [0, 1]
"""


def plan(tmp_path: Path, *sets: str, text: str = PARTS) -> Graph:
    (tmp_path / "x.yaml").write_text(text)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def done(folder: Path, text: str) -> Path:
    return studies.run(*studies.planned(text, folder), folder / "out")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return done(tmp_path_factory.mktemp("parts"), PARTS)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return done(tmp_path_factory.mktemp("smaller"), SMALLER)


def opened(folder: Path) -> tuple[Study, Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    study = open_study(folder)
    return study, tasks_of(study), results(study, folder)


# --- planned ---


def test_a_mapped_teacher_comes_after_the_map_that_it_is_chosen_from_wherever_it_stands(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    order = list(graph.nodes)
    picked, drawn = (
        next(one for one in of_kind(graph, PartTeacher) if bool(one.drawn_from) == chosen) for chosen in (1, 0)
    )
    chosen = picked.drawn_from["selection"]
    assert isinstance(chosen, Selection)
    assert [order.index(one.hash) for one in (chosen.map.teacher, chosen.map, chosen, picked)] == sorted(
        order.index(one.hash) for one in (chosen.map.teacher, chosen.map, chosen, picked)
    )
    assert chosen.map.teacher.seed == 10
    assert drawn.needs() == {}
    assert picked.draw.count == drawn.draw.count == 356
    assert len(of_kind(graph, Map)) == 1  # none of a teacher on a part
    forward = next(model["flops"] for model in graph.models)
    assert graph.nodes[picked.hash].cost.flops == 3 * forward * 2 * 356


def test_by_default_teachers_on_all_the_data_have_a_map_and_the_others_none(tmp_path: Path) -> None:
    graph = plan(tmp_path, "maps=null")
    assert [one.teacher.seed for one in of_kind(graph, Map)] == [10]
    graph = plan(tmp_path, "maps=null", text=SMALLER)
    assert len(of_kind(graph, Map)) == 2


def test_what_is_planned_is_read_from_the_plan_as_the_same_tasks(tmp_path: Path) -> None:
    for text in (PARTS, SMALLER):
        study, graph = studies.planned(text, tmp_path)
        assert list(tasks_of(study)) == list(graph.nodes)


def test_every_teacher_is_known_as_one_and_has_an_estimate() -> None:
    assert set(TEACHERS) == {what for what, kind in TASKS.items() if issubclass(kind, Teacher)}
    assert set(TEACHERS) <= FIXED_SECONDS.keys()


@pytest.mark.parametrize(
    ("subset", "count", "spec"),
    [
        ("33% hard", 356, "33% hard"),
        ("17% ambiguous + 10% easy", 291, "17% ambiguous + 10% easy"),
        ("{key: easy, sizes: [0.1]}", 108, "10% easy-to-learn"),
        ("{strategy: ccs, sizes: [0.2]}", 216, ""),
        ("{spec: '{percent} hard', sizes: [0.5], balance: equal}", 539, "50% hard"),
    ],
)
def test_a_subset_is_said_as_a_row_is(tmp_path: Path, subset: str, count: int, spec: str) -> None:
    graph = plan(tmp_path, f"teachers.0.subset={subset}", "students=[]")
    teachers = [one for one in of_kind(graph, PartTeacher) if one.drawn_from]
    assert [one.draw.count for one in teachers] == [pytest.approx(count, abs=1)] * 2
    assert {one.drawn_from["selection"].spec for one in teachers} == {spec}


def test_a_row_is_named_as_in_the_table_and_takes_the_experiments_size(tmp_path: Path) -> None:
    graph = plan(tmp_path, "teachers.0.subset=hard", "sizes=[0.25]", "students=[]")
    assert {one.draw.count for one in of_kind(graph, PartTeacher) if one.drawn_from} == {270}


def test_equal_steps_give_a_teacher_as_many_epochs_as_come_nearest(tmp_path: Path) -> None:
    graph = plan(tmp_path, "teachers.0.budget=equal steps", "students=[]")
    short, long = (
        next(one for one in of_kind(graph, PartTeacher) if bool(one.drawn_from) == picked) for picked in (0, 1)
    )
    batch = short.recipe.batch
    whole, part = 2 * -(-1078 // batch), -(-356 // batch)
    assert long.recipe == replace(short.recipe, epochs=round(whole / part))
    assert abs(long.recipe.epochs * part - whole) <= part / 2


def test_a_student_learns_from_the_teachers_run_that_has_its_place(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    pairs = {
        (one.seed, one.teaching.source.teacher.seed) for one in of_kind(graph, Student) if one.teaching is not None
    }
    assert pairs == {(0, 20), (1, 21)}
    names = [node.name for node in graph.nodes.values() if node.kind == "teacher logits"]
    assert len(set(names)) == len(names) == 4


def test_a_student_and_a_mapped_teacher_read_the_map_that_has_their_place(tmp_path: Path) -> None:
    graph = plan(
        tmp_path,
        "teachers.2.seeds=[10, 11]",
        "maps=[{teacher: mapper, seed: paired, name: both}]",
        "teachers.0.map=both",
        "subsets=[ambiguous]",
    )
    read = {
        (one.seed, one.drawn_from["selection"].map.teacher.seed)
        for one in of_kind(graph, PartTeacher)
        if one.drawn_from
    }
    assert read == {(20, 10), (21, 11)}
    read = {
        (one.seed, one.drawn_from["selection"].map.teacher.seed) for one in of_kind(graph, Student) if one.drawn_from
    }
    assert read == {(0, 10), (1, 11)}
    assert len({(str(line.group), line.map) for line in graph.lines}) == 1  # one table


WRONG = [
    ("teachers.0.map=mappr", "teachers.0.map: unknown map 'mappr'; did you mean 'mapper'"),
    ("teachers.0.map=picked", "teachers.0.map: goes in a circle: 'picked' waits for the map of 'picked'"),
    (
        "teachers.1={model: mlp-256, name: drawn, subset: 33% hard, map: picked, seeds: [30]};teachers.0.map=drawn",
        "goes in a circle: 'picked' waits for the map of 'drawn', which waits for that of 'picked'",
    ),
    (
        "maps=[{teacher: picked, name: own}];teachers.0.map=own",
        "goes in a circle: 'picked' waits for the map of 'picked'",
    ),
    (
        "maps=[{teachers: [mapper, picked], name: both}];teachers.0.map=both",
        "goes in a circle: 'picked' waits for the map of 'picked'",
    ),
    ("maps=[{teachers: [mapper, drawn], name: both}];teachers.0.map=both", "'drawn' is trained on a part of the data"),
    ("maps=[{teachers: [mapper, drawn]}]", "maps.0.teachers: its members must all be trained on all the data"),
    ("teachers.2.seeds=[10, 21];maps=[{teachers: [mapper], name: both}];teachers.0.map=both", "{21} is among"),
    ("teachers.0.map=drawn", "'drawn' is trained on a part of the data, and a map of it is of that part alone"),
    ("teachers.0.map=''", "x.yaml:4: teachers.0.subset.spec: 'ambiguous 33 %' is chosen from a map; say which"),
    ("teachers.1.map=mapper", "teachers.1.map: 'random 33 %' needs no map; leave it out"),
    ("teachers.2.map=mapper", "teachers.2: map goes with a subset; there is none"),
    ("teachers.2.budget=equal steps", "teachers.2: budget goes with a subset; there is none"),
    ("teachers.0.seeds=[10, 21]", "teachers.0.seeds: a map must come from another seed than the runs that it helps"),
    ("teachers.0.seeds=[0, 21]", "is among the students' seeds"),
    (
        "teachers.0.seeds=[20]",
        "students.0.distillation.1.seed: paired needs as many seeds of picked as the experiment has",
    ),
    ("teachers.0.subset=full", "'full data' is no part of the data that stays the same"),
    ("teachers.0.subset=100%", "is no part of the data that stays the same"),
    ("teachers.0.subset=repeated-random", "is no part of the data that stays the same"),
    ("teachers.0.subset=full-equal-steps", "is no part of the data that stays the same"),
    ("teachers.0.subset={schedule: {name: infobatch}}", "the subset of a teacher stays the same: no schedule"),
    ("teachers.0.subset={key: hard, seeds: [0]}", "the subset of a teacher stays the same"),
    ("teachers.0.subset={key: hard, sizes: [0.1, 0.2]}", "a teacher is trained on one subset, got 2"),
    ("teachers.0.subset=hrad", "unknown subset 'hrad'; did you mean 'hard'"),
    ("teachers.0.subset=33% ambigous", "ambigous"),
    ("teachers.0.subset={strategy: css}", "teachers.0.subset.strategy: unknown strategy 'css'"),
    ("teachers.0.subset={strategy: ccs, options: {cut: 2}}", "teachers.0.subset.options"),
    ("teachers.0.subset={spec: 33% hard, without: {audit: 0.1, rule: nose}}", "teachers.0.subset.without.rule"),
    ("teachers.0.subset={spec: 33% hard, without: {audit: 0.9}}", "after the cut"),
    ("teachers.0.subset=33% top_margin", "top_margin"),
    ("teachers.0.compress={method: magnitude, sparsity: 0.5, finetune_epochs: 1}", "not both"),
    (
        "students.0.distillation=[{teacher: picked}]",
        "a comparison without random selection of the same size says nothing",
    ),
    ("teachers.1.epochs=3", "a comparison without random selection of the same size says nothing"),
    ("teachers.1.subset=20% random", "a comparison without random selection of the same size says nothing"),
    ("maps=[{teacher: picked}];subsets=[full, random, ambiguous]", "maps: map of picked on digits"),
    ("maps=[{teacher: mapper, seed: paired}]", "maps.0.seed: paired needs as many seeds of mapper"),
    (
        "teachers.2.seeds=[10, 11];maps=[{teacher: mapper, seed: paired}];teachers.0.seeds=[20];students=[]",
        "teachers.0.seeds: 'mapper' is paired, with 2 maps, which needs as many seeds, got 1",
    ),
    ("tuning={}", "students.0.distillation.1.seed: a search is for students of one teacher"),
    ("teachers.2.compress={method: int8}", "int8 trains nothing, so there is nothing to record; take int8-trained"),
    ("teachers.2.compress={method: int8-onnx}", "int8-onnx trains nothing"),
    ("teachers.2.compress={method: magnitude, sparsity: 0.5}", "finetune_epochs must be at least 1"),
    (
        "teachers.2.compress={method: prune-channels, ratio: 0.5, finetune_epochs: 0}",
        "finetune_epochs must be at least 1",
    ),
    ("teachers.2.compress={method: prune-channels, ratio: 0.5, fresh: true}", "prune-channels needs a trained network"),
    (
        "teachers.2.compress={method: sparsify, sparsity: 0.5, fresh: true, finetune_epochs: 4}",
        "a fresh network is trained for its teacher's epochs",
    ),
    (
        "teachers.2={model: mlp-256, name: mapper, patience: 2, compress: {method: int8-trained, fresh: true}}",
        "goes to its end; leave patience out",
    ),
]


@pytest.mark.parametrize(("sets", "message"), WRONG)
def test_what_cannot_be_is_one_error_before_any_work(tmp_path: Path, sets: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        plan(tmp_path, *sets.split(";"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_has_the_line_of_the_teacher(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"x\.yaml:4: teachers\.0\.map: goes in a circle"):
        plan(tmp_path, text=PARTS.replace("map: mapper", "map: picked"))


def test_a_network_that_cannot_round_from_its_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    from trainmap.experiments.plan import teacher_runs

    def zero_scale(*_: Any, **__: Any) -> nn.Module:
        model = nn.Sequential(nn.BatchNorm1d(4))
        nn.init.zeros_(model[0].weight)  # pyright: ignore[reportArgumentType]
        return model

    monkeypatch.setattr(teacher_runs, "build", zero_scale)
    with pytest.raises(TrainmapError, match=r"teachers\.2\.compress\.fresh: 0: a batch norm's scale is exactly 0"):
        plan(tmp_path, "teachers.2.compress={method: int8-trained, fresh: true}")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("students.0.distillation=[{teacher: pruned, loss: feature-matching}]", "its logits teach, cached"),
        ("students.0.distillation=[{teacher: pruned}];students.0.recipe={crop: 1}", "its logits teach, cached"),
        ("subsets=[{strategy: moderate}]", "a network of 8 bits does not show"),
    ],
)
def test_what_looks_into_layers_refuses_a_network_of_eight_bits(tmp_path: Path, sets: str, message: str) -> None:
    quantized = ("teachers.1.compress={method: int8-trained}", *sets.split(";"))
    with pytest.raises(TrainmapError, match=message):
        plan(tmp_path, *quantized, text=SMALLER)


def test_the_training_before_is_the_teacher_that_stands_in_the_file_where_they_are_the_same(tmp_path: Path) -> None:
    graph = plan(tmp_path, text=SMALLER)
    small = of_kind(graph, SmallerTeacher)
    assert [one.original for one in small] == of_kind(graph, Teacher)
    assert [graph.nodes[one.original.hash].called for one in small] == ["float", "float"]
    assert {one.recorded for one in small} == {3}
    graph = plan(tmp_path, "teachers.0.record=sweep", "teachers.1.record=sweep", text=SMALLER)
    assert [one.original for one in of_kind(graph, SmallerTeacher)] == of_kind(graph, Teacher)
    graph = plan(tmp_path, "teachers.1.epochs=1", "teachers.1.record=sweep", text=SMALLER)
    assert {one.original.record for one in of_kind(graph, SmallerTeacher)} == {"train"}  # nobody reads it
    assert [graph.nodes[one.original.hash].called for one in of_kind(graph, SmallerTeacher)] == ["pruned before"] * 2
    graph = plan(tmp_path, "teachers.1.compress={method: sparsify, sparsity: 0.5, fresh: true}", text=SMALLER)
    assert [one.original for one in of_kind(graph, SmallerTeacher)] == [None, None]
    assert {one.recorded for one in of_kind(graph, SmallerTeacher)} == {2}


def test_a_map_of_fewer_epochs_is_of_those_that_are_recorded(tmp_path: Path) -> None:
    told = "maps=[{teacher: pruned, epochs: %s}]"
    assert [one.recorded for one in of_kind(plan(tmp_path, told % 3, text=SMALLER), Map)] == [3]
    with pytest.raises(TrainmapError, match="must be at most 3, the epochs of pruned, got 4"):
        plan(tmp_path, told % 4, text=SMALLER)


# --- run ---


def test_a_mapped_teacher_is_trained_and_recorded_on_what_was_chosen(parts: Path) -> None:
    study, tasks, found = opened(parts)
    for entry in study.entries:
        task = tasks[entry.hash]
        if not isinstance(task, PartTeacher):
            continue
        recorded = tm.Dynamics.open(made(parts, entry) / DYNAMICS)
        assert (found[entry.hash]["examples"], recorded.examples) == (356, 356)
        assert found[entry.hash]["fraction"] == pytest.approx(356 / 1078)
        if chosen := task.drawn_from.get("selection"):
            card = Card.open(made(parts, next(one for one in study.entries if one.hash == chosen.hash)) / CARD)
            np.testing.assert_array_equal(np.sort(recorded.ids), card.ids)


def test_the_logits_of_a_mapped_teacher_are_of_all_the_data(parts: Path) -> None:
    study = open_study(parts)
    shapes = {open_logits(made(parts, one) / LOGITS).shape for one in study.entries if one.kind == "teacher logits"}
    assert shapes == {(1078, 10)}


def test_the_whole_cost_has_the_map_and_its_teacher_in_it(parts: Path) -> None:
    _, tasks, found = opened(parts)
    mapper = next(digest for digest, task in tasks.items() if type(task) is Teacher)
    for digest, task in tasks.items():
        if isinstance(task, PartTeacher):
            behind = found[mapper]["train_flops"] if task.drawn_from else 0
            assert price_of([task], found).whole.flops == found[digest]["train_flops"] + behind


def test_students_of_a_mapped_teacher_are_judged_beside_those_of_the_random_one(parts: Path) -> None:
    study, tasks, found = opened(parts)
    (one,) = lessons(study, tasks, found)
    assert one.title == "digits: mlp-256 + hinton, equal epochs"
    assert one.opponents == {"picked": "drawn"}
    ((place, difference),) = one.against_random(0.95).items()
    ours, theirs = (
        [one.runs[name, "full data"][seed]["test_macro_f1"] for seed in (0, 1)] for name in ("picked", "drawn")
    )
    assert place == ("picked", "full data")
    assert difference.mean == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert difference.n == 2


def test_the_tables_say_what_each_teacher_was_trained_on(parts: Path) -> None:
    study, _, found = opened(parts)
    teachers, students = teachers_grids(study, found)
    assert [(line.name, line.cells[0].text) for line in teachers.lines] == [
        ("mapper on digits", "all the data"),
        ("picked on digits", "ambiguous 33 % of the map of mapper"),
        ("drawn on digits", "random 33 %"),
    ]
    assert [(line.name, line.reference) for line in students.lines] == [("picked", False), ("drawn", True)]
    assert students.lines[1].cells[-1].words == "the opponent"
    paths = write_study(parts)
    assert "Students by their teacher, digits: mlp-256 + hinton, equal epochs" in paths["report.md"].read_text()
    assert "teacher,way" in paths["results.csv"].read_text().splitlines()[0]


def test_what_is_recorded_of_a_pruned_network_is_its_own_training(smaller: Path) -> None:
    study, tasks, found = opened(smaller)
    for entry in study.entries:
        task = tasks[entry.hash]
        if isinstance(task, SmallerTeacher):
            assert tm.Dynamics.open(made(smaller, entry) / DYNAMICS).epochs == 3
            assert len(read_epochs(made(smaller, entry) / EPOCHS)) == 3
            assert task.original is not None
            small, whole = found[entry.hash], found[task.original.hash]
            assert small["parameters"] < 0.6 * whole["parameters"]
            assert small["train_flops"] == 3 * small["forward_flops"] * 3 * 1078
            network = task.network(made(smaller, entry), task.data.load(None).train)
            assert sum(one.numel() for one in network.parameters()) == small["parameters"]


def test_the_cost_of_its_map_has_the_training_before_in_it(smaller: Path) -> None:
    _, tasks, found = opened(smaller)
    for task in tasks.values():
        if isinstance(task, Map) and isinstance(task.teacher, SmallerTeacher) and task.teacher.original is not None:
            both = found[task.teacher.hash]["train_flops"] + found[task.teacher.original.hash]["train_flops"]
            assert price_of([task], found).before("map").flops == both


def test_a_row_pays_for_the_map_of_its_own_seed_alone(smaller: Path) -> None:
    study, tasks, found = opened(smaller)
    (group, _) = groups(study, found)
    assert group.map is not None
    assert group.maps == 2
    for row, line in zip(group.rows, (line for line in study.lines if line.map == group.map.hash), strict=True):
        read = map_read(tasks[line.run])
        assert (read is not None) == (row["subset"].startswith("ambiguous"))
        if read is not None:
            assert row["once_map_flops"] == price_of([read], found).whole.flops
            assert row["choosing_flops"] == 0
    assert "Each seed reads the map of its own training, 2 in all" in write_study(smaller)["report.md"].read_text()


def test_agreement_over_seeds_has_independent_pairs_and_the_chance_of_other_seeds(smaller: Path) -> None:
    text = write_study(smaller)["report.md"].read_text()
    table = text[text.index("## Agreement of maps over seeds, digits") :].split("## ")[1]
    assert r"float \| pruned, the same seed" in table
    assert "(n=2)" in table
    assert r"float \| float, other seeds" in table
    assert "1 pair" in table
    assert "2 pairs" in table
    assert "prune-channels, ratio 0.5, recorded in 3 epochs of further training" in text
    assert "Make teachers smaller: mlp-256, 2 epochs" in text


@pytest.mark.parametrize(
    "compress",
    [
        "{method: prune-channels, ratio: 0.5, finetune_epochs: 3}",
        pytest.param("{method: sparsify, sparsity: 0.5, finetune_epochs: 3}", marks=pytest.mark.slow),
        pytest.param("{method: int8-trained, finetune_epochs: 3}", marks=pytest.mark.slow),
    ],
)
def test_one_that_was_killed_goes_on_and_ends_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: str
) -> None:
    graph = plan(tmp_path, f"teachers.1.compress={compress}", "teachers.1.record=sweep", text=SMALLER)
    task = of_kind(graph, SmallerTeacher)[0]
    assert task.original is not None
    before = tmp_path / "before"
    task.original.run(Place(before))

    def place(name: str) -> Place:
        return Place(tmp_path / name, {"original": before}, checkpoint=tmp_path / name / "checkpoint.pt")

    whole = task.run(place("whole"))
    watched = Watch.__call__

    def killed(self: Watch, epoch: int, loss: float) -> bool:
        if epoch == 1:
            raise KeyboardInterrupt
        return watched(self, epoch, loss)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            task.run(place("killed"))
    again = task.run(place("killed"))
    same = ("test_accuracy", "test_macro_f1", "train_loss", "steps", "examples_seen", "train_flops", "epochs")
    assert {key: again[key] for key in same} == {key: whole[key] for key in same}
    ours, theirs = (tm.Dynamics.open(tmp_path / name / DYNAMICS) for name in ("whole", "killed"))
    for epoch in range(3):
        np.testing.assert_array_equal(ours.column(epoch, "p_gold"), theirs.column(epoch, "p_gold"))


@pytest.mark.slow
def test_a_network_with_rounding_from_its_start_is_recorded_and_teaches(tmp_path: Path) -> None:
    text = SMALLER.replace(
        "{method: prune-channels, ratio: 0.5, finetune_epochs: 3}", "{method: int8-trained, fresh: true}"
    )
    text = text.replace("{model: mlp-256, epochs: 1}", "{model: mlp-256, epochs: 1, distillation: [{teacher: pruned}]}")
    folder = done(tmp_path, text)
    study, tasks, found = opened(folder)
    small = next(one for one in study.entries if isinstance(tasks[one.hash], SmallerTeacher))
    assert tm.Dynamics.open(made(folder, small) / DYNAMICS).epochs == 2
    assert found[small.hash]["test_accuracy"] > 0.5
    assert open_logits(next(made(folder, one) for one in study.entries if one.kind == "teacher logits") / LOGITS).shape[
        0
    ]
