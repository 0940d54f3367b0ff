"""Compressed students, schedules and noise cuts in a grid: planned, run on the digits, told by the report."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
import studies

import trainmap as tm
from trainmap.audits.audit import audit
from trainmap.compression.compressed import uncompressed
from trainmap.compression.ways import WAYS
from trainmap.errors import TrainmapError
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.file.way_sections import Compression, Schedule
from trainmap.experiments.plan.graph import Graph, made_at
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.tasks.datasets import load
from trainmap.experiments.tasks.judge import prediction_path
from trainmap.experiments.tasks.scheduled import options_of
from trainmap.experiments.tasks.sweeps import Beside
from trainmap.models.build import build
from trainmap.schedules import Run
from trainmap.training.fit import default_recipe

TINY = """\
title: Tiny
data: {names: [digits]}
teachers: [{model: cnn-8, epochs: 2}]
subsets:
  - random
  - ambiguous
  - schedule: {name: infobatch, ratio: 0.5}
  - schedule: {name: proxy, model: mlp-256, keep: 0.25}
  - {spec: "{percent} hard", without: {audit: 0.1}}
sizes: [0.33]
students:
  - model: cnn-8
    epochs: 2
    compress: [null, {method: prune-channels, ratio: 0.5}, {method: magnitude, sparsity: 0.8}]
seeds: [0, 1]
evaluation: {corruptions: [contrast], severities: [5]}
"""


def plan(tmp_path: Path, *sets: str) -> Graph:
    (tmp_path / "x.yaml").write_text(TINY)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compressed")
    return studies.run(*studies.planned(TINY, folder), folder / "out")


def test_each_student_is_trained_once_whatever_is_made_of_it(tmp_path: Path) -> None:
    kinds = Counter(node.kind for node in plan(tmp_path).nodes.values())
    rows = 5 + 2  # and random of the sizes of both schedules
    assert kinds["student"] == rows * 2
    assert kinds["compressed"] == rows * 2 * 2


def test_without_compression_a_student_keeps_nothing_and_its_teacher_records_no_test_data(tmp_path: Path) -> None:
    for node in plan(tmp_path, "students.0.compress=[null]").nodes.values():
        assert not {"keep", "record_test", "test"} & node.task.identity().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("students.0.compress=[{method: int8, ratio: 0.5}]", "compress.0: int8 has no 'ratio'; it takes no options"),
        ("students.0.compress=[{method: magnitude}]", "compress.0: magnitude needs 'sparsity'"),
        ("students.0.compress=[{method: int8-trained, finetune_epochs: 0}]", "compress.0: int8-trained is done by"),
        ("students.0.compress=[{method: int8}, {method: int8}]", "compress: 'cnn-8, int8' stands twice"),
        ("subsets=[{schedule: {name: infobatch, pool: 0.5}}]", "subsets.0.schedule: infobatch has no 'pool'"),
        ("subsets=[{schedule: {name: map-guided, warmup: 1}}]", "subsets.0.schedule: warmup must be a whole"),
        ("subsets=[{schedule: {name: proxy, model: cnn-9}}]", "subsets.0.schedule: unknown model 'cnn-9'"),
        ("subsets=[{key: random, without: {audit: 0.1}}]", "subsets.0.key: 'random' is no row of a map"),
        ("subsets=[{spec: 3% hard, without: {audit: 0.1, rule: x}}]", "subsets.0.without.rule: unknown rule 'x'"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_field(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        plan(tmp_path, change)
    assert message in str(caught.value)


def test_every_option_of_a_way_is_a_field_and_settled() -> None:
    for kind in (Schedule, Compression):
        for way, options in kind.options.items():
            assert options.keys() <= kind.model_fields.keys()
            needed = {"size": 0.3, "model": "mlp-256", "ratio": 0.5, "sparsity": 0.5}
            made = kind.model_validate(
                {kind.chooser: way} | {n: needed[n] for n, value in options.items() if value is ...}
            )
            newer = Schedule.newer[way] if kind is Schedule else set()
            assert made.settled().keys() == {kind.chooser, *options} - newer


def test_an_experiment_file_and_the_ways_to_compress_have_the_same_options_with_the_same_defaults() -> None:
    told = {
        word: {field.name: ... if field.default is MISSING else field.default for field in fields(way)}  # type: ignore[arg-type]
        for word, way in WAYS.items()
    }
    assert told == Compression.options


def test_the_expected_visits_are_those_of_the_schedule() -> None:
    ids = np.arange(1000)
    for schedule in (
        Schedule(name="ordered-loss"),
        Schedule(name="map-guided", start=0.8, end=0.2, warmup=3),
        Schedule(name="repeated-random", size=0.3),
    ):
        settings, total = schedule.settled(), 0
        made = schedule.made().make(Run(ids, 10, 0))
        for epoch in range(10):
            visited = made.plan(epoch).ids
            total += len(visited)
            made.update(visited, np.stack([visited % 7, visited % 3], axis=1) * 1.0, visited % 2)
            made.end_epoch()
        assert options_of(settings).visits(1000, 10) == pytest.approx(total / 10, abs=1), schedule


def test_a_schedule_tells_what_it_really_visited_and_what_its_proxy_cost(done: Path) -> None:
    rows = list(csv.DictReader((write_study(done)["results.csv"]).read_text().splitlines()))
    own = {r["subset"]: r for r in rows if (r["student"], r["seed"]) == ("cnn-8", "0")}
    proxy = own["schedule proxy, model mlp-256, keep 0.25"]
    assert int(proxy["examples"]) == round(int(proxy["examples_seen"]) / 2) == pytest.approx(0.25 * 1078, abs=4)
    network = build("mlp-256", 10, load("digits", None, 42, 0.2, 0.0, 0).train.inputs, 0)
    forward = sum(2 * p.numel() for p in network.parameters() if p.ndim == 2)
    seen = int(proxy["examples_seen"]) / 0.25 * (1 + 2 / 4)  # a forward pass of all, and learning from every fourth
    assert int(proxy["proxy_flops"]) == pytest.approx(forward * seen, rel=0.1)
    plain = int(own["random 33 %"]["train_flops"]) / int(own["random 33 %"]["examples_seen"])
    trained = plain * int(proxy["examples_seen"])
    assert int(proxy["train_flops"]) - int(proxy["proxy_flops"]) == pytest.approx(trained)
    assert float(own["schedule infobatch"]["fraction"]) < 1


def test_a_noise_cut_takes_none_of_the_suspects_and_keeps_the_size(done: Path, tmp_path: Path) -> None:
    graph = plan(tmp_path)
    digest = next(d for d, n in graph.nodes.items() if n.kind == "selection" and "without" in n.task.identity())
    config = graph.nodes[digest].task.identity()
    dynamics = tm.Dynamics.open(made_at(done, "teacher", config["teacher"]) / "dynamics")
    suspects = audit(dynamics).table["id"].to_list()[:108]
    chosen = tm.Selection.open(made_at(done, "selection", digest) / "card.json").ids
    assert len(chosen) == 356
    assert not set(suspects) & set(chosen.tolist())


def test_the_table_has_what_is_left_of_each_network(done: Path) -> None:
    cells = list(csv.DictReader((write_study(done)["table.csv"]).read_text().splitlines()))
    of = {c["student"]: c for c in cells if c["subset"] == "random 33 %"}
    whole, pruned = of["cnn-8"], of["cnn-8, prune-channels, ratio 0.5"]
    zeroed = of["cnn-8, magnitude, sparsity 0.8"]
    for key in ("parameters", "nonzero", "forward_flops", "bytes"):
        assert float(pruned[key]) < float(whole[key])
    assert float(zeroed["parameters"]) == float(whole["parameters"])
    assert float(zeroed["nonzero"]) < 0.4 * float(whole["nonzero"])
    assert float(pruned["flops"]) > float(whole["flops"])  # tuning is paid as well


def test_what_is_forgotten_is_counted_on_the_kept_predictions(done: Path, tmp_path: Path) -> None:
    found = list(csv.DictReader((write_study(done)["forgotten.csv"]).read_text().splitlines()))
    assert {row["group"] for row in found} >= {"all", "ambiguous", "easy-to-learn", "hard-to-learn"}
    graph = plan(tmp_path)
    students = {}
    for line in graph.lines:
        if line.labels["subset"] == "random 33 %":
            students[line.labels["student"], line.labels["seed"]] = line.run
    name = "cnn-8, magnitude, sparsity 0.8"
    for set_, file in (("test", "test"), ("corrupted", "contrast 5")):
        row = next(
            r
            for r in found
            if (r["subset"], r["student"], r["seed"], r["set"], r["group"]) == ("random 33 %", name, "0", set_, "all")
        )

        def predicted(column: str, seed: int, file: str = file) -> Predictions:
            kind = "student" if column == "cnn-8" else "compressed"
            return Predictions.open(prediction_path(made_at(done, kind, students[column, seed]), file))

        before, after, other = predicted("cnn-8", 0), predicted(name, 0), predicted("cnn-8", 1)
        right = before.predicted[0] == before.labels
        assert float(row["forgotten"]) == pytest.approx((right & (after.predicted[0] != before.labels)).mean())
        assert float(row["churn"]) == pytest.approx((after.predicted != before.predicted).mean())
        assert float(row["baseline"]) == pytest.approx((other.predicted != before.predicted).mean())
    report = (done / "report.md").read_text()
    assert "forgets on the corrupted test data" in report
    assert "What compression changes on corrupted test data" in report


def test_a_report_in_the_middle_of_a_grid_has_the_tables_of_what_is_done(done: Path, tmp_path: Path) -> None:
    half = shutil.copytree(done, tmp_path / "half")
    for digest, node in plan(tmp_path).nodes.items():
        if node.kind == "compressed" and (
            node.task.identity()["seed"] or "sparsity" in node.task.identity()["compress"]
        ):
            (half / "runs" / f"{digest}.json").unlink()
    found = list(csv.DictReader(write_study(half)["forgotten.csv"].read_text().splitlines()))
    assert {(row["student"], row["seed"], row["baseline"]) for row in found} == {
        ("cnn-8, prune-channels, ratio 0.5", "0", "")
    }


def test_two_recorders_end_an_epoch_once_each_whatever_a_kill_left() -> None:
    class Counted:
        def __init__(self, epoch: int) -> None:
            self.epoch = epoch

        def update(self, ids: object, logits: object, labels: object) -> None: ...

        def end_epoch(self) -> None:
            self.epoch += 1

        def rewind(self, epoch: int) -> None:
            self.epoch = epoch

    first, second = Counted(3), Counted(4)  # killed between the two
    both = Beside(first, second)
    for _ in range(2):
        both.end_epoch()
    assert (first.epoch, second.epoch, both.epoch) == (5, 5, 5)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_leaves_the_student_as_it_was_and_counts_its_training(way: str) -> None:
    train = load("digits", None, 42, 0.2, 0.0, 0).train
    train = train.subset(train.ids[:64])
    model = build("mlp-256", 10, train.inputs, 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    needed = {"ratio": 0.5, "sparsity": 0.5}
    options = Compression.options[way]
    how = Compression.model_validate({"method": way} | {n: needed[n] for n in options if n in needed}).settled()
    recipe = replace(default_recipe("mlp-256", "digits", 1, train.inputs), flips=False, crop=0)
    chosen = WAYS[way](**{name: value for name, value in how.items() if name != "method"})
    made = chosen.make(uncompressed(model, train.inputs), train, recipe, 0, "cpu")
    assert all(bool((tensor == before[name]).all()) for name, tensor in model.state_dict().items())
    assert (made.training_flops > 0) == (how.get("finetune_epochs", 0) > 0)
