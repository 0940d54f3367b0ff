"""Searches of plain students and teachers, and on a part of the data: planned, run, compared and paid for."""

from __future__ import annotations

import csv
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import studies
from studies import of_kind

from trainmap.data.dataset import load_splits
from trainmap.errors import StoreError, TrainmapError
from trainmap.experiments.report.overview_tables import overview
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.searched import arms_of
from trainmap.experiments.runs.folder import open_study, results, save_study, tasks_of
from trainmap.experiments.tasks.place import found_in, leave_found
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.student import Student, Tuned
from trainmap.experiments.tasks.tuning import (
    Hyperparameters,
    Lesson,
    PlainHyperparameters,
    recipe_with,
    search,
    values_of,
)
from trainmap.models.budget import training_flops
from trainmap.training.recipes import Recipe

TINY = """\
title: A search
data: {names: [digits]}
teachers: [{model: mlp-256, name: maker, epochs: 2}]
students: [{model: mlp-256, epochs: 2, distillation: [null, {}]}]
seeds: [0, 1]
tuning:
  of: [students, teachers]
  trials: 2
  seeds: [7]
  seed: [3, 4]
  subset: [null, {spec: "10% random"}, {key: auto, sizes: [0.1]}]
"""


planned = partial(studies.planned, TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    study, graph = planned(folder, "seeds=[0]")
    save_study(study, folder / "out")
    studies.run(study, graph, folder / "out")
    return folder


# --- planned ---


def test_what_is_asked_for_is_searched_on_each_part_by_each_seed(tmp_path: Path) -> None:
    graph = planned(tmp_path)[1]
    searches = of_kind(graph, Search)
    assert len(searches) == 2 * 3 * 2  # the teacher and the plain student are the same network with the same recipe
    assert len(of_kind(graph, Tuned)) == len(searches) * 2
    assert {tuple(sorted(one.start)) for one in searches} == {
        ("peak_lr", "weight_decay"),
        ("peak_lr", "temperature", "weight"),
    }
    assert {one.seed for one in searches} == {3, 4}


@pytest.mark.parametrize(
    ("of", "count"),
    [("[distilled]", 1), ("[plain]", 1), ("[teachers]", 1), ("[students]", 2), ("[maker]", 1), ("[mlp-256, maker]", 3)],
)
def test_groups_and_names_say_what_is_searched(tmp_path: Path, of: str, count: int) -> None:
    graph = planned(tmp_path, f"tuning.of={of}", "tuning.subset=[null]", "tuning.seed=0", "teachers.0.epochs=3")[1]
    assert len(of_kind(graph, Search)) == count


def test_a_search_on_all_the_data_has_the_hash_that_it_had_before_there_were_parts(tmp_path: Path) -> None:
    graph = planned(tmp_path, "tuning.of=[distilled]", "tuning.subset=[null]", "tuning.seed=0", "tuning.trials=5")[1]
    (one,) = of_kind(graph, Search)
    assert sorted(one.identity()) == [
        *("data", "device", "distillation", "logits", "model", "ranges", "recipe", "seed", "seeds", "start", "trials")
    ]
    assert sorted(one.identity()["ranges"]) == ["peak_lr", "temperature", "weight"]


def test_a_plan_with_parts_is_read_as_the_tasks_that_it_is_of(tmp_path: Path) -> None:
    study, graph = planned(tmp_path)
    tasks = tasks_of(study)
    for digest, node in graph.nodes.items():
        assert tasks[digest].canonical == node.task.canonical
        assert {other.hash for other in tasks[digest].needs().values()} == set(node.after)


def test_a_tenth_of_the_data_is_planned_at_a_tenth_of_the_cost(tmp_path: Path) -> None:
    graph = planned(tmp_path, "tuning.of=[plain]")[1]
    cost = {
        one.draw and one.draw.kind: node.cost.flops
        for node in graph.nodes.values()
        if isinstance(one := node.task, Search)
    }
    assert cost["random"] == cost["map"] == pytest.approx(cost[None] / 10, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["tuning.of=[student]"], "tuning.of.0: unknown student or teacher 'student'; did you mean 'students'?"),
        (["tuning.of=[]"], "tuning.of: "),
        (["tuning.of=[plain, plain]"], "tuning.of: must name each once"),
        (["tuning.seed=[1, 1]"], "tuning.seed: must name each once"),
        (["tuning.seed=true"], "tuning.seed: "),
        (
            ["tuning.of=[plain]", "students.0.distillation=[{}]"],
            "tuning: there is nothing to search for: nothing is plain",
        ),
        (["tuning.subset=[null, null]"], "tuning.subset: 'null' stands twice"),
        (
            ["tuning.subset=[{spec: 10% random}, {key: random, sizes: [0.1]}]"],
            "tuning.subset: 'random 10 %' stands twice",
        ),
        (["tuning.subset=[{key: random, sizes: [0.1, 0.2]}]"], "tuning.subset.0: must be of one size, got 2"),
        (["tuning.subset=[repeated-random]"], "tuning.subset.0: 'repeated random 33 %' must stay the same during"),
        (["tuning.subset=[{schedule: {name: infobatch}}]"], "tuning.subset.0: 'schedule infobatch' must stay the same"),
        (["tuning.subset=[full]"], "tuning.subset.0: 'full data' must stay the same"),
        (["tuning.subset=[{key: random, seeds: [0]}]"], "tuning.subset.0: 'random 33 %' has neither seeds nor budgets"),
        (["tuning.subset=[{spec: 10% nothing}]"], "tuning.subset.0.spec: "),
        (["tuning.subset=[auto]", "maps=[]"], "tuning.subset.0: 'auto 33 %' reads a map, and there is none"),
        (["tuning.map=theirs"], "tuning.map: unknown map 'theirs'"),
        (["tuning.weight_decay=[0, 1]"], "tuning.weight_decay: must begin above 0"),
        (["students.0.recipe.weight_decay=0"], "tuning: weight_decay starts at 0, which is not from 1e-05 to 0.1"),
        (["teachers.0.patience=2"], "teachers.0.patience: the trials of a search go to their end"),
        (["tuning.subset=[{spec: 10% auto, name: ten}, {spec: 10% random, name: ten}]"], "'ten' stands twice"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_field(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, *changes)
    assert message in str(caught.value)


def test_the_map_of_a_part_is_the_one_that_is_named(tmp_path: Path) -> None:
    maps = "maps=[{teacher: maker, name: whole}, {teacher: maker, name: short, epochs: 2, fraction: 0.2}]"
    graph = planned(tmp_path, maps, "tuning.map=short", "tuning.of=[plain]", "tuning.subset=[auto]")[1]
    assert {one.drawn_from["selection"].map.fraction for one in of_kind(graph, Search)} == {0.2}


# --- the library ---


def test_a_plain_search_tries_rates_and_decays_and_begins_with_the_start() -> None:
    data = load_splits("digits", None, 42, 0.2)
    lesson = Lesson("mlp-256", Recipe(epochs=1), data, None, ids=data.train.ids[:200])
    start = PlainHyperparameters(0.05, 5e-4)
    found = search(lesson, start, 3, [7])
    assert {type(trial.chosen) for trial in found} == {PlainHyperparameters}
    assert start in [trial.chosen for trial in found]
    assert len({trial.chosen for trial in found}) == 3
    whole, _ = Lesson("mlp-256", Recipe(epochs=1), data, None).macro_f1(start, 7)
    few, flops = lesson.macro_f1(start, 7)
    assert whole != few
    assert {trial.flops for trial in found} == {flops}
    with pytest.raises(TrainmapError, match="weight_decay starts at 1, which is not from 1e-05"):
        search(lesson, PlainHyperparameters(0.05, 1.0), 3, [7])


def test_values_go_where_they_belong() -> None:
    assert values_of({"peak_lr": 0.1, "weight_decay": 0.2}) == PlainHyperparameters(0.1, 0.2)
    assert values_of({"peak_lr": 0.1, "temperature": 2, "weight": 0.5}) == Hyperparameters(0.1, 2, 0.5)
    changed = recipe_with(Recipe(epochs=3), PlainHyperparameters(0.7, 0.01))
    assert (changed.peak_lr, changed.weight_decay, changed.epochs) == (0.7, 0.01, 3)
    kept = recipe_with(Recipe(epochs=3, weight_decay=0.3), Hyperparameters(0.7, 2, 0.5))
    assert (kept.peak_lr, kept.weight_decay) == (0.7, 0.3)


def test_what_was_found_is_read_again_and_half_of_it_is_refused(tmp_path: Path) -> None:
    for told in (
        {"peak_lr": 0.1, "weight_decay": 0.2},
        {"peak_lr": 0.1, "temperature": 2.0, "weight": 0.5, "gold": 0.5},
    ):
        leave_found(tmp_path, told)
        found = found_in(tmp_path)
        assert {name: value for name, value in vars(found).items() if value is not None} == told
        assert found.values == {name: value for name, value in told.items() if name != "gold"}
    for told in (
        {"peak_lr": 0.1},
        {"peak_lr": 0.1, "temperature": 2.0, "weight": 0.5},
        {"peak_lr": 0.1, "weight_decay": 0.2, "gold": 1.0},
        {"peak_lr": 0.1, "weight_decay": 0.2, "weight": 1.0},
    ):
        leave_found(tmp_path, told)
        with pytest.raises(StoreError, match=r"found.json"):
            found_in(tmp_path)


# --- done ---


@pytest.mark.slow
def test_what_was_found_on_a_part_is_trained_on_all_the_data(done: Path) -> None:
    study = open_study(done / "out")
    found, tasks = results(study, done / "out"), tasks_of(study)
    for entry in study.entries:
        task = tasks[entry.hash]
        if isinstance(task, Tuned):
            assert found[entry.hash]["examples"] == 1078
            assert (task.teaching is None) == ("weight_decay" in found[task.search.hash]["found"])
        if isinstance(task, Search):
            count = 1078 if task.draw is None else task.draw.count
            forward = found[entry.hash]["train_flops"] / training_flops(1, 2 * 2 * count)
            assert forward == pytest.approx(next(m["flops"] for m in study.models if m["name"] == task.model))


@pytest.mark.slow
def test_searches_of_other_seeds_draw_other_random_parts_and_try_other_values(done: Path) -> None:
    study = open_study(done / "out")
    found, tasks = results(study, done / "out"), tasks_of(study)
    parts = [t for t in tasks.values() if isinstance(t, Search) and t.draw and t.draw.kind == "random" and not t.logits]
    first, second = sorted(parts, key=lambda one: one.seed)
    tried = [{trial["peak_lr"] for trial in found[one.hash]["trials"]} for one in (first, second)]
    assert len(tried[0] & tried[1]) == 1  # the start
    starts = [
        next(
            trial["validation_macro_f1"]
            for trial in found[one.hash]["trials"]
            if trial["peak_lr"] == one.start["peak_lr"]
        )
        for one in (first, second)
    ]
    assert starts[0] != starts[1]


@pytest.mark.slow
def test_the_arms_are_paired_by_search_and_pay_for_their_map(done: Path) -> None:
    study = open_study(done / "out")
    found = results(study, done / "out")
    arms = arms_of(study, found)
    assert [(arm.whole, arm.planned, arm.unit) for arm in arms] == [
        (one, 2, "searches") for one in (True, False, False)
    ] * 2
    teacher = next(found[entry.hash] for entry in study.entries if entry.kind == "teacher")
    for arm in arms:
        distilled = "temperature" in next(iter(arm.searches.values())).result["found"]
        flops = 0 if distilled or "auto" not in arm.name else teacher["train_flops"]
        assert arm.prepared("flops") == flops, arm.name
        runs = [np.mean(list(one.found.values())) for one in arm.searches.values()]
        assert list(arm.scores("found").values()) == pytest.approx(runs)
    whole, random, _ = arms[:3]
    difference = random.minus(whole, 0.95)
    by_hand = [random.scores("found")[seed] - whole.scores("found")[seed] for seed in (3, 4)]
    assert (difference.n, difference.mean) == (2, pytest.approx(np.mean(by_hand)))


@pytest.mark.slow
def test_one_search_is_paired_by_the_seeds_of_the_runs(done: Path, tmp_path: Path) -> None:
    study, graph = planned(tmp_path, "tuning.seed=3", "tuning.of=[plain]", "tuning.subset=[null]", "seeds=[0]")
    out = done / "out"
    found = {digest: result for digest, result in results(open_study(out), out).items() if digest in graph.nodes}
    (arm,) = arms_of(study, found)
    assert (arm.unit, sorted(arm.scores("start"))) == ("seeds", [0])
    assert not math.isnan(arm.minus_start(0.95).mean)


@pytest.mark.slow
def test_the_report_says_what_a_search_on_less_data_finds(done: Path) -> None:
    paths = write_study(done / "out")
    text = paths["report.md"].read_text()
    for words in (
        "## What a search on less data finds, mlp-256 on digits",
        "mlp-256 + hinton (searched on auto 10 %) on digits",
        "found, over searches",
        "minus the search on all",
        "weight decay",
        "of its FLOPs, its map included",
    ):
        assert words in text, words
    rows = list(csv.DictReader(paths["trials.csv"].read_text().splitlines()))
    assert len(rows) == 2 * 3 * 2 * 2
    assert {row["seed"] for row in rows} == {"3", "4"}
    told = json.loads((done / "out" / "results.json").read_text())
    assert {entry["kind"] for entry in told} >= {"search", "tuned", "selection", "map"}


@pytest.mark.slow
def test_a_student_of_the_start_is_shared_by_all_searches(done: Path) -> None:
    study = open_study(done / "out")
    starts = [task for task in tasks_of(study).values() if type(task) is Student]
    assert len(starts) == 2


def test_a_report_of_searches_alone_has_no_table_of_rows() -> None:
    assert overview([]) == []
