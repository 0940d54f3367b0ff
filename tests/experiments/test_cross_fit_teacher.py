"""Teachers out of fold in experiment files: planned, priced, run, killed, told, and refused where they cannot serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import studies
from studies import of_kind

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.price import price_of
from trainmap.experiments.runs.folder import made, open_study, results, tasks_of
from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.place import DYNAMICS, Place, held_out
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.watch import Watch
from trainmap.models.build import build
from trainmap.models.predict import predict

FILE = """\
title: Out of fold
data: {names: [digits], limit: {train: 200, test: 100}}
teachers:
  - {model: mlp-256, name: apart, epochs: 2, record: held-out, folds: 3, seeds: [10]}
subsets: [full, random, auto, {spec: "{percent} hard", without: {audit: 0.05}}]
sizes: [0.33]
students: [{model: mlp-256, epochs: 1}]
seeds: [0]
"""


def plan(tmp_path: Path, *sets: str, text: str = FILE) -> Graph:
    (tmp_path / "x.yaml").write_text(text)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart")
    return studies.run(*studies.planned(FILE, folder), folder / "out")


def test_it_is_planned_as_one_task_whose_cost_is_all_its_trainings_and_passes(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    (teacher,) = of_kind(graph, CrossFitTeacher)
    assert (teacher.folds, teacher.record, teacher.seed) == (3, "held-out", 10)
    examples = 200
    forward = next(model["flops"] for model in graph.models)
    cost = graph.nodes[teacher.hash].cost
    assert cost.examples == 2 * (3 - 1) * examples  # epochs, (K - 1) / K of the data for each of K
    assert cost.flops == 3 * forward * 2 * 2 * examples + forward * 2 * examples
    assert [one.teacher for one in of_kind(graph, Map)] == [teacher]
    assert of_kind(graph, Map)[0].price(studies_site(graph)) == cost.flops
    assert of_kind(plan(tmp_path, "teachers.0.folds=null"), CrossFitTeacher)[0].folds == 2


def studies_site(graph: Graph) -> object:
    """What a map's price is asked of."""

    class Site:
        examples, tests, classes = 200, 100, 10

        def forward(self, model: str) -> int:
            return next(one["flops"] for one in graph.models if one["name"] == model)

        def parameters(self, model: str) -> int:
            return 0

    return Site()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["teachers.0.record=sweep"], "folds go with record: held-out, got record: sweep"),
        (["teachers.0.patience=2"], "leave patience out"),
        (["teachers.0.subset=random"], "leave subset out"),
        (["teachers.0.compress={method: prune-channels, ratio: 0.5}"], "leave compress out"),
        (["teachers.0.folds=1"], "folds"),
        (["teachers.0.folds=30"], "each class needs as many examples as there are folds, 30; the smallest has 20"),
        (["teachers.0.seeds=[10, 12]"], r"seeds lie 3 or more apart: \[10, 13\], got \[10, 12\]"),
        (
            ["teachers.0.seeds=[8]", "seeds=[10]"],
            r"fold k trains with the seed \+ k, and \{10\} is among the students'",
        ),
        (
            ["students.0.distillation=[null, {}]"],
            "apart is recorded held-out, by several networks, none of which teaches",
        ),
        (
            ["students.0.compress=[null, {method: prune-channels, ratio: 0.5}]"],
            "a teacher that records the test data",
        ),
        (
            ["subsets=[full, random, {strategy: moderate}]"],
            "one that is recorded held-out has several; take a strategy",
        ),
        (["human={counts: cifar10h.npz}"], "people are compared with one network"),
    ],
)
def test_what_several_networks_cannot_do_is_refused_before_any_work(
    sets: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainmapError, match=message):
        plan(tmp_path, *sets)


def test_members_of_an_ensemble_all_record_the_same_way(tmp_path: Path) -> None:
    text = FILE.replace("subsets:", "  - {model: mlp-256, epochs: 2, seeds: [20]}\nsubsets:")
    with pytest.raises(TrainmapError, match="its members must all record the same way, got held-out and train"):
        plan(tmp_path, "maps=[{teachers: [apart, mlp-256]}]", text=text)


def test_it_leaves_a_recording_of_every_example_by_networks_that_did_not_see_it(done: Path) -> None:
    study = open_study(done)
    entry = next(one for one in study.entries if one.kind == "teacher out of fold")
    task, result = tasks_of(study)[entry.hash], results(study, done)[entry.hash]
    assert isinstance(task, CrossFitTeacher)
    folder = made(done, entry)
    dynamics = tm.Dynamics.open(folder / DYNAMICS)
    assert (dynamics.source, dynamics.folds, dynamics.epochs, dynamics.examples) == ("held-out", 3, 2, 200)
    assert not (folder / "model.pt").exists()
    assert (result["epochs"], result["folds"], result["examples_seen"]) == (2, 3, 2 * 2 * 200)
    assert held_out(folder) == result["validation_accuracy"]
    with pytest.raises(TrainmapError, match="3 networks, and none of its own"):
        task.network(folder, task.data.load(None).train)


def test_its_accuracy_is_the_mean_of_its_networks_and_its_cost_their_sum(tmp_path: Path) -> None:
    task = of_kind(plan(tmp_path), CrossFitTeacher)[0]
    result = task.run(Place(tmp_path / "t"))
    splits = task.data.load(None)
    from trainmap.training.fit import fit

    accuracies, train = [], splits.train
    for fold in tm.CrossFit(train.ids, train.y, 3, 10):
        model = build("mlp-256", 10, train.inputs, 10 + fold.number)
        fit(model, train.subset(fold.train), task.recipe, seed=10 + fold.number)
        test = splits.test
        accuracies.append((predict(model, test).argmax(axis=1) == test.y).mean())
    assert result["test_accuracy"] == pytest.approx(np.mean(accuracies))
    forward = result["sweep_flops"] // (2 * len(train))
    assert result["train_flops"] == 3 * forward * result["examples_seen"]


def test_its_map_pays_for_all_of_it_and_the_report_says_what_it_is(done: Path) -> None:
    study = open_study(done)
    tasks, found = tasks_of(study), results(study, done)
    datamap = next(one for one in tasks.values() if isinstance(one, Map))
    spent = found[datamap.teacher.hash]
    assert price_of([datamap], found).before("map").flops == spent["train_flops"] + spent["sweep_flops"]
    text = write_study(done)["report.md"].read_text()
    assert "Train teachers out of fold: mlp-256, 2 epochs" in text
    assert "recorded: what each says of its own fold after each epoch" in text
    assert "3 networks, each on all of 3 folds but one; means of the networks" in text


def test_choices_read_its_map_and_its_audit(done: Path) -> None:
    study = open_study(done)
    chosen = [one for one in tasks_of(study).values() if isinstance(one, Selection)]
    assert len(chosen) == 2  # auto, and the hard ones behind an audit of the recording
    entry = next(one for one in study.entries if one.kind == "map")
    assert tm.DataMap.open(made(done, entry) / "map.parquet").source == "held-out"


@pytest.mark.parametrize("kill", [(0, 1), (1, 0), (2, 1)])
def test_one_that_was_killed_goes_on_at_its_fold_and_ends_as_if_it_had_not(
    kill: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = of_kind(plan(tmp_path), CrossFitTeacher)[0]
    whole = task.run(Place(tmp_path / "whole", checkpoint=tmp_path / "whole" / "checkpoint.pt"))
    watched, epochs = Watch.__call__, [0]

    def killed(self: Watch, epoch: int, loss: float) -> bool:
        if (int(self.path.parent.name[-1]), epoch) == kill:
            raise KeyboardInterrupt
        return watched(self, epoch, loss)

    def counted(self: Watch, epoch: int, loss: float) -> bool:
        epochs[0] += 1
        return watched(self, epoch, loss)

    place = Place(tmp_path / "killed", checkpoint=tmp_path / "killed" / "checkpoint.pt")
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            task.run(place)
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "__call__", counted)
        again = task.run(place)
    assert epochs[0] == 3 * 2 - (2 * kill[0] + kill[1] + 1)  # what was trained before is not trained again
    clocks = {name for name in whole if name.endswith("seconds")}
    assert {name: again[name] for name in whole if name not in clocks} == {
        name: whole[name] for name in whole if name not in clocks
    }
    ours, theirs = (tm.Dynamics.open(tmp_path / name / DYNAMICS) for name in ("whole", "killed"))
    for epoch in range(2):
        np.testing.assert_array_equal(ours.column(epoch, "p_gold"), theirs.column(epoch, "p_gold"))
    assert not list((tmp_path / "killed").glob("checkpoint*"))


def test_without_a_checkpoint_a_killed_one_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = of_kind(plan(tmp_path), CrossFitTeacher)[0]

    def killed(self: Watch, epoch: int, loss: float) -> bool:
        if int(self.path.parent.name[-1]) == 1:
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            task.run(Place(tmp_path / "t"))
    task.run(Place(tmp_path / "t"))
    assert tm.Dynamics.open(tmp_path / "t" / DYNAMICS).epochs == 2
