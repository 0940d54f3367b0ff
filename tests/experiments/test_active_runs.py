"""Active learning from its file to its report: opponents always there, labels hidden, costs whole, verdicts by seed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies

from trainmap.data.dataset import load_splits
from trainmap.errors import TrainmapError
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.report.active_tables import active_grids
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.label_curves import Curves, crossing, curves_of
from trainmap.experiments.results.statistics import Verdict
from trainmap.experiments.runs.estimate import estimate
from trainmap.experiments.runs.folder import results
from trainmap.experiments.tasks.active_learning import ActiveLearning
from trainmap.experiments.tasks.place import ROUNDS
from trainmap.models.budget import training_flops

TINY = """\
title: Labels
data: {names: [digits], validation: 0.8}
active: {model: mlp-256, start: 10, step: 20, rounds: 3, steps: 12, sweeps: 3, strategies: [variability]}
seeds: [0, 1]
"""


pytestmark = pytest.mark.usefixtures("one_thread")


planned = partial(studies.planned, TINY)


def the_tasks(graph: Graph) -> list[ActiveLearning]:
    return [node.task for node in graph.nodes.values() if isinstance(node.task, ActiveLearning)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("active")
    studies.run(*planned(folder), folder / "out")
    return folder


def test_random_and_entropy_are_planned_for_each_seed_whatever_is_asked(tmp_path: Path) -> None:
    found = Counter((task.strategy, task.seed) for task in the_tasks(planned(tmp_path)[1]))
    assert found == {(name, seed): 1 for name in ("random", "entropy", "variability") for seed in (0, 1)}
    asked = "active.strategies=[badge, entropy]"
    assert [task.strategy for task in the_tasks(planned(tmp_path, asked, "seeds=[0]")[1])] == [
        *("random", "entropy", "badge"),
    ]


def test_a_task_is_found_again_by_what_it_is(tmp_path: Path) -> None:
    for task in the_tasks(planned(tmp_path)[1]):
        identity = json.loads(task.canonical)
        assert ActiveLearning.of(identity, {}).hash == task.hash
        assert ActiveLearning.of(identity | {"sweeps": 4}, {}).hash != task.hash


def test_every_field_of_the_section_goes_into_the_tasks(tmp_path: Path) -> None:
    before = {task.hash for task in the_tasks(planned(tmp_path)[1])}
    for change in (
        *("active.start=11", "active.step=21", "active.rounds=4", "active.steps=13", "active.sweeps=4"),
        *("active.model=cnn-8", "active.recipe={batch: 16}"),
    ):
        assert before.isdisjoint(task.hash for task in the_tasks(planned(tmp_path, change)[1])), change
    epochs = [task.recipe.epochs for task in the_tasks(planned(tmp_path, "active.steps=null", "active.epochs=7")[1])]
    assert set(epochs) == {7}


def test_what_is_spent_is_all_of_the_training_and_of_the_looking(done: Path) -> None:
    study, graph = planned(done)
    found, forward = results(study, done / "out"), study.models[0]["flops"]
    pool = len(load_splits("digits", validation=0.8).train)
    for task in the_tasks(graph):
        result = found[task.hash]
        rows = result["rounds"]
        assert [row["labels"] for row in rows] == [10, 30, 50] == list(task.sizes)
        passes = {"random": 0, "entropy": 1, "variability": 3}[task.strategy]
        assert [row["pool_flops"] for row in rows] == [passes * pool * forward] * 2 + [0]
        for row in rows:
            assert row["train_flops"] == training_flops(forward, row["examples_seen"]) + row["pool_flops"]
        for name in ("train_flops", "train_seconds", "train_cpu_seconds", "pool_flops"):
            assert result[name] == pytest.approx(sum(row[name] for row in rows))
        assert result["test_accuracy"] == rows[-1]["test_accuracy"]
        node = graph.nodes[task.hash]
        assert node.cost.flops == pytest.approx(result["train_flops"], rel=0.02)


def test_strategies_of_a_seed_share_the_first_round_and_part_after_it(done: Path) -> None:
    study, graph = planned(done)
    found = results(study, done / "out")
    for seed in (0, 1):
        its = [task for task in the_tasks(graph) if task.seed == seed]
        assert len({found[task.hash]["rounds"][0]["test_loss"] for task in its}) == 1
        asked = {json.dumps(_asked(done, graph, task)[1]) for task in its}
        assert len(asked) == len(its)


def _asked(folder: Path, graph: Graph, task: ActiveLearning) -> list[list[int]]:
    kept = json.loads((graph.nodes[task.hash].place.out / ROUNDS).read_text())
    return [one["asked"] for one in kept["rounds"]]


@pytest.mark.parametrize("strategy", ["entropy", "variability"])
def test_labels_of_the_pool_that_were_not_asked_for_change_nothing(
    done: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, graph = planned(done)
    task = next(task for task in the_tasks(graph) if task.strategy == strategy)
    place = replace(graph.nodes[task.hash].place, out=tmp_path / "again")
    asked = _asked(done, graph, task)
    data = task.data.load(None)
    known = np.isin(data.train.ids, np.concatenate(asked[:-1]))
    others = np.where(known, data.train.y, np.random.default_rng(0).permutation(data.train.y))
    assert (others != data.train.y).any()
    hidden = replace(data, train=replace(data.train, y=others))
    monkeypatch.setattr(type(task.data), "load", lambda self, root: hidden)
    result = task.run(place)
    kept = json.loads((tmp_path / "again" / ROUNDS).read_text())
    assert [one["asked"] for one in kept["rounds"]] == asked  # the last ones too: chosen before their labels came
    before = results(planned(done)[0], done / "out")[task.hash]["rounds"]
    assert [row["test_loss"] for row in result["rounds"][:-1]] == [row["test_loss"] for row in before[:-1]]


def test_a_killed_task_goes_on_after_its_last_finished_round(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, graph = planned(done)
    task = next(task for task in the_tasks(graph) if task.strategy == "variability")
    place = replace(graph.nodes[task.hash].place, out=tmp_path / "again")
    learn, trained = ActiveLearning._learn, []

    def dying(self: ActiveLearning, one: Any, *rest: Any) -> Any:
        trained.append(one.number)
        if trained == [0, 1, 2]:
            raise KeyboardInterrupt
        return learn(self, one, *rest)

    monkeypatch.setattr(ActiveLearning, "_learn", dying)
    with pytest.raises(KeyboardInterrupt):
        task.run(place)
    result = task.run(place)
    assert trained == [0, 1, 2, 2]
    before = results(planned(done)[0], done / "out")[task.hash]
    assert [row["test_loss"] for row in result["rounds"]] == [row["test_loss"] for row in before["rounds"]]


def test_the_report_has_both_tables_the_picture_and_every_round(done: Path) -> None:
    paths = write_study(done / "out")
    report = paths["report.md"].read_text()
    assert "## Accuracy by labels, mlp-256 on digits" in report
    assert "## What the labels bought, mlp-256 on digits" in report
    assert "| 10 labels " in report
    assert "(n=2)" in report
    assert "mlp-256 on digits, 10 to 50 labels: of 2 strategies" in report
    assert (done / "out" / "plots" / "labels.png").is_file()
    rows = list(csv.DictReader(paths["active.csv"].read_text().splitlines()))
    assert len(rows) == 3 * 2 * 3
    assert {row["network"] for row in rows} == {"mlp-256 on digits"}
    assert "Active learning" in paths["report.html"].read_text()


def test_what_is_left_is_estimated(done: Path) -> None:
    study, _ = planned(done, "seeds=[0, 1, 2]")
    found = estimate(study, results(study, done / "out"), 1)
    assert [(line.kind, line.tasks, line.done) for line in found.lines] == [("active", 9, 6)]


def test_points_of_a_grid_have_tables_of_their_own(done: Path) -> None:
    study, graph = planned(done, "grid={cross: {active.sweeps: [3, 2]}}")
    one = results(planned(done)[0], done / "out")
    told = {task.hash: next(iter(one.values())) for task in the_tasks(graph)}
    titles = [curves.title for curves in curves_of(study, told)]
    assert titles == ["mlp-256 on digits (sweeps=3)", "mlp-256 on digits (sweeps=2)"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("active.strategies=[entropie]", "active.strategies.0: unknown acquisition 'entropie'"),
        ("active.strategies=[margin, margin]", "active.strategies.1: 'margin' stands twice"),
        ("active.strategies=[]", "active.strategies: "),
        ("active.rounds=20", "active.rounds: the last round would have 390 labels of 270 examples"),
        ("active.rounds=1", "active.rounds: must be greater than or equal to 2"),
        ("active.start=1", "active.start: must be greater than or equal to 2"),
        ("active.sweeps=1", "active.sweeps: must be greater than or equal to 2"),
        ("active.model=cnm-8", "active.model: "),
        ("active.epochs=3", "active: takes epochs or steps, and not both"),
        ("active.steps=1", "active.strategies.0: variability reads several epochs of a training, which has 1"),
        ("active.stepp=1", "active.stepp: unknown field 'stepp'; did you mean"),
        ("seeds=[0, 0]", "seeds: must be different"),
        ("evaluation={corruptions: [fog]}", "evaluation: active learning is judged on the test data alone"),
    ],
)
def test_a_mistake_is_one_line_with_its_field_before_any_work(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_strategy_whose_library_is_missing_is_refused_at_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainmap.selection.acquisitions.find_spec", lambda _: None)
    with pytest.raises(TrainmapError, match=r"active.strategies.0: badge needs scikit-activeml"):
        planned(tmp_path, "active.strategies=[badge]")
    planned(tmp_path)


# --- the curves by hand -----------------------------------------------------------------------------------------------


def curves(**accuracies: list[list[float]]) -> Curves:
    def run(values: list[float]) -> dict[str, Any]:
        return {"rounds": [{"test_accuracy": value} for value in values]}

    runs = {name: {seed: run(values) for seed, values in enumerate(part)} for name, part in accuracies.items()}
    return Curves("net on data", (10, 20, 40), runs)


def test_an_area_is_the_mean_accuracy_by_trapezes() -> None:
    found = curves(random=[[0.2, 0.4, 0.8]]).areas("random")
    assert found == {0: pytest.approx((10 * 0.3 + 20 * 0.6) / 30)}


@pytest.mark.parametrize(
    ("target", "expected"), [(0.1, 10), (0.2, 10), (0.3, 15), (0.4, 20), (0.5, 25), (0.8, 40), (0.81, None)]
)
def test_where_a_curve_crosses_a_target(target: float, expected: float | None) -> None:
    found = crossing((10, 20, 40), [0.2, 0.4, 0.8], target)
    assert found == (None if expected is None else pytest.approx(expected))


def test_labels_that_are_needed_are_a_bound_where_a_seed_does_not_get_there() -> None:
    found = curves(random=[[0.2, 0.4, 0.8], [0.2, 0.4, 0.6]], entropy=[[0.2, 0.7, 0.9], [0.2, 0.3, 0.5]])
    assert found.target == pytest.approx(0.7)
    entropy = found.needed("entropy", 0.95)
    assert entropy is not None
    assert (entropy.reached, entropy.labels.mean) == (1, pytest.approx(30))
    random = found.needed("random", 0.95)
    assert random is not None
    assert (random.reached, random.labels.mean) == (1, pytest.approx((35 + 40) / 2))


def test_differences_are_paired_by_seed() -> None:
    found = curves(
        random=[[0.2, 0.4, 0.8], [0.4, 0.6, 0.9], [0.1, 0.2, 0.3]],
        entropy=[[0.2, 0.5, 0.9], [0.4, 0.7, 1.0], [0.1, 0.3, 0.41]],
    )
    difference = found.against("random", "entropy", 0.95, 1)
    assert (difference.n, difference.mean) == (3, pytest.approx(0.1))
    assert found.against("random", "entropy", 0.95).verdict is Verdict.ABOVE
    assert found.against("random", "entropy", 0.95, 0).n == 3


def test_a_report_of_what_is_not_whole_yet_makes_no_comparison(done: Path) -> None:
    study, graph = planned(done)
    found = results(study, done / "out")
    for lacking in (("random",), ("entropy",), ("random", "entropy"), ("variability",)):
        part = {task.hash: found[task.hash] for task in the_tasks(graph) if task.strategy not in lacking}
        grids, said, rows = active_grids(study, part)
        assert [len(grid.lines) for grid in grids] == [3 - len(lacking)] * 2
        assert bool(said) == ("random" not in lacking)
        assert len(rows) == len(part) * 3
    assert active_grids(study, {}) == ([], [], [])
