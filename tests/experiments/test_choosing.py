"""Strategies as rows: their options, what they need of the teacher made once, their cost."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import studies

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.records import groups, read_of
from trainmap.experiments.runs.folder import made, results, tasks_of
from trainmap.experiments.tasks.datasets import load
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.models.predict import predict
from trainmap.scores.trajectories import cluster
from trainmap.selection.coverage import teacher_loss
from trainmap.training.features import features_of

TINY = """\
title: Strategies
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
subsets:
  - {strategy: moderate}
  - {strategy: d2, options: {gamma: 0.5}}
  - {strategy: s2l, options: {clusters: 20}}
  - {strategy: medium}
  - {strategy: ccs, options: {cut: 0.1}, balance: proportional}
  - random
sizes: [0.2]
students: [{model: mlp-256, epochs: 1, distillation: [null, {}]}]
seeds: [0]
"""


planned = partial(studies.planned, TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strategies")
    studies.run(*planned(folder), folder / "out")
    return folder


def kinds(graph: Graph) -> dict[str, int]:
    return dict(Counter(node.kind for node in graph.nodes.values()))


def test_what_strategies_need_is_made_once_for_a_teacher_whatever_the_sizes_and_seeds(tmp_path: Path) -> None:
    graph = planned(tmp_path, "sizes=[0.1, 0.2]", "seeds=[0, 1]")[1]
    found = kinds(graph)
    assert {kind: found[kind] for kind in ("features", "clusters", "teacher logits")} == {
        "features": 1,
        "clusters": 1,
        "teacher logits": 1,  # the students that are distilled take the same
    }
    drawn = {"s2l": 2, "ccs": 2}  # at random: for each seed
    assert found["selection"] == 2 * (3 + sum(drawn.values()))


def test_each_strategy_takes_what_select_by_takes(done: Path) -> None:
    study, _ = planned(done)
    entries = {entry.hash: entry for entry in study.entries}
    teacher = next(entry for entry in study.entries if entry.kind == "teacher")
    one = next(entry for entry in study.entries if entry.kind == "map")
    datamap = tm.DataMap.open(made(done / "out", one) / "map.parquet")
    train = load("digits", None, 42, 0.2, 0.0, 0).train
    trained = tasks_of(study)[teacher.hash]
    assert isinstance(trained, Teacher)
    network = trained.network(made(done / "out", teacher), train)
    features = tm.Features(train.ids, features_of(network, train))
    clusters = cluster(tm.Dynamics.open(made(done / "out", teacher) / "dynamics"), 20)
    logits = predict(network, train).astype(np.float16)
    with_loss = datamap.with_scores(train.ids, {"teacher_loss": teacher_loss(logits, train.y)})
    size = round(0.2 * len(train))
    wanted = {
        "moderate": tm.select_by(datamap, "moderate", size, features=features),
        "d2": tm.select_by(datamap, "d2", size, features=features, gamma=0.5),
        "s2l": tm.select_by(datamap, "s2l", size, seed=0, clusters=clusters),
        "medium": tm.select_by(with_loss, "medium", size),
        "ccs": tm.select_by(datamap, "ccs", size, seed=0, balance="proportional", cut=0.1),
    }
    cards = {
        entry.config["strategy"]["name"]: tm.Selection.open(made(done / "out", entry) / "card.json")
        for entry in entries.values()
        if entry.kind == "selection"
    }
    assert {name: card.ids.tolist() for name, card in cards.items()} == {
        name: selection.ids.tolist() for name, selection in wanted.items()
    }


def test_rows_are_named_by_what_differs_from_the_defaults_and_pay_for_what_they_read(done: Path) -> None:
    study, _ = planned(done)
    found = results(study, done / "out")
    rows = {row["subset"]: row for group in groups(study, found) for row in group.rows}
    assert set(rows) == {
        *("moderate 20 %", "d2, gamma 0.5 20 %", "s2l, clusters 20 20 %", "medium 20 %", "ccs, cut 0.1 20 %"),
        "random 20 %",
    }
    assert rows["moderate 20 %"]["choosing_flops"] == rows["medium 20 %"]["choosing_flops"] > 0
    assert rows["s2l, clusters 20 20 %"]["choosing_flops"] == 0
    assert rows["s2l, clusters 20 20 %"]["choosing_cpu_seconds"] > 0
    assert rows["ccs, cut 0.1 20 %"]["choosing_flops"] == 0
    assert "s2l, clusters 20 20 %" in write_study(done / "out")["report.md"].read_text()


def test_only_a_selection_at_random_from_all_the_examples_reads_no_map(tmp_path: Path) -> None:
    spec, cut = "{spec: '{percent} random', balance: equal}", "{spec: '{percent} random', without: {audit: 0.1}}"
    study, _ = planned(tmp_path, f"subsets=[{spec}, {cut}, {{strategy: ccs}}, ambiguous]")
    tasks = tasks_of(study)
    reads = {line.labels["subset"]: read_of(tasks[line.run]).get("reads_map") for line in study.lines}
    assert reads == {
        "random 20 %": None,  # is no selection
        "class-balanced random 20 %": False,
        "10 % suspected labels cut, random 20 %": True,
        "ccs 20 %": True,
        "ambiguous = high variability 20 %": True,
    }


def test_options_are_part_of_a_hash(tmp_path: Path) -> None:
    def selections(*sets: str) -> set[str]:
        graph = planned(tmp_path, *sets)[1]
        return {digest for digest, node in graph.nodes.items() if node.kind == "selection"}

    assert selections("subsets=[{strategy: ccs}]") != selections("subsets=[{strategy: ccs, options: {cut: 0.1}}]")
    assert selections("subsets=[{strategy: ccs}]") == selections("subsets=[{strategy: ccs, options: {cut: 0.0}}]")
    assert selections("subsets=[{strategy: s2l}]") != selections("subsets=[{strategy: s2l, options: {clusters: 9}}]")


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ("{strategy: csc}", "subsets.0.strategy: unknown strategy 'csc'; did you mean 'ccs'?"),
        ("{strategy: ccs, options: {cutt: 0.1}}", "subsets.0.options: unknown option of ccs 'cutt'; did you mean"),
        ("{strategy: ccs, options: {score: auum}}", "subsets.0.options: unknown score 'auum'; did you mean 'aum'?"),
        ("{strategy: s2l, options: {clusters: 0}}", "subsets.0.options: clusters must be a whole number"),
        ("{strategy: ccs, options: {clusters: 5}}", "subsets.0.options: unknown option of ccs 'clusters'"),
        ("{strategy: ccs, spec: 3%}", "subsets.0: must have a key or a spec, and not both, or a strategy"),
        ("{spec: 33% hard, options: {cut: 0.1}}", "subsets.0: options go with a strategy"),
        ("{strategy: ccs, rule: corner}", "subsets.0: a strategy has no use for a rule"),
        ("{spec: 33% medium}", "subsets.0.spec: '33% medium' needs teacher_loss, which a map does not hold; write st"),
        ("{spec: 33% s2l}", "subsets.0.spec: '33% s2l' needs clusters, which a map does not hold; write strategy: s2l"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused_with_its_field(tmp_path: Path, subset: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, f"subsets=[{subset}]")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ("{strategy: ccs, options: {cut: 10}}", "subsets.0.options: cut must be 0 to below 1, got 10"),
        (
            "{strategy: ccs, options: {cut: '0.1'}}",
            "subsets.0.options: option cut of ccs must be a valid number, got '0",
        ),
        (
            "{strategy: ccs, options: {score: 5}}",
            "subsets.0.options: option score of ccs must be a valid string, got 5",
        ),
        (
            "{strategy: ccs, options: {strata: 0}}",
            "subsets.0.options: strata must be a whole number of at least 1, got",
        ),
        (
            "{strategy: ccs, options: {hard: hihg}}",
            "subsets.0.options: option hard of ccs must be 'high' or 'low', got",
        ),
        ("{strategy: ccs, options: {cut: 0.81}}", "subsets.0.options: ccs with cut=0.81 leaves 205 of 1078 examples"),
        (
            "{strategy: ccs, options: {strata: 1" + 250 * "0" + "}}",
            "subsets.0.options: strata must be at most 9007199254740992, got 1000",
        ),
        (
            "{strategy: auto, options: {held_out: 95}}",
            "subsets.0.options: held_out must be an accuracy, 0 to 1, got 95",
        ),
        ("{strategy: auto, options: {noise: 30}}", "subsets.0.options: noise must be a share of wrong labels"),
        ("{strategy: auto, sizes: [0.6], options: {noise: 0.81}}", "subsets.0.options: noise=0.81 cuts 53"),
        ("{strategy: d2, options: {gamma: -1}}", "subsets.0.options: gamma must be at least 0, got -1"),
        ("{strategy: band, options: {centre: 50}}", "subsets.0.options: centre must be 0 (lowest values) to 1"),
        (
            "{strategy: moderate, options: {centre: middle}}",
            "subsets.0.options: option centre of moderate must be 'mean'",
        ),
        (
            "{strategy: s2l, options: {clusters: 9999}}",
            "subsets.0.options: clusters must be at most 1078, the examples",
        ),
        (
            "{strategy: beta, options: {anchor: 7}}",
            "subsets.0.options: anchor must be 0 (hardest) to 1 (easiest), got 7",
        ),
        ("{strategy: ccs, without: {audit: 0.9}}", "takes 216 examples, and of 1078 108 are left after the cut"),
        ("{spec: 20% hard, without: {audit: 0.9}}", "takes 216 examples, and of 1078 108 are left after the cut"),
        ("{strategy: dual-beta}", "subsets.0.strategy: dual needs a map of at least 10 epochs, got 2; record more"),
        ("{spec: 20% dual-beta}", "subsets.0.spec: dual needs a map of at least 10 epochs, got 2"),
        ("{strategy: ccs, options: {score: dyn_unc}}", "subsets.0.options: dyn_unc needs a map of at least 10 epochs"),
        ("{spec: 'top {percent} tdds'}", "subsets.0.spec: tdds needs a map of at least 10 epochs, got 2"),
    ],
)
def test_what_would_fail_after_the_teacher_was_trained_is_refused_when_planning(
    tmp_path: Path, subset: str, message: str
) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, f"subsets=[{subset}]")
    assert message in str(caught.value)


def test_a_map_of_the_first_epochs_counts_with_those(tmp_path: Path) -> None:
    early = "maps=[{teacher: mlp-256, epochs: 1}]"
    for subset in ("auto", "{strategy: auto}", "{spec: 20% auto}"):
        with pytest.raises(TrainmapError, match="auto needs a map of at least 2 epochs, got 1"):
            planned(tmp_path, early, f"subsets=[{subset}]")
    with pytest.raises(TrainmapError, match=r"maps\.0\.scores\.1: dual needs a map of at least 10 epochs, got 2"):
        planned(tmp_path, "maps=[{teacher: mlp-256, scores: [aum, dual]}]")
    with pytest.raises(TrainmapError, match=r"maps\.0\.scores\.0: unknown score 'auum'"):
        planned(tmp_path, "maps=[{teacher: mlp-256, scores: [auum]}]")


@pytest.mark.parametrize("balance", ["", ", balance: equal", ", balance: proportional", ", without: {audit: 0.3}"])
def test_every_strategy_can_be_planned_as_it_stands(tmp_path: Path, balance: str) -> None:
    rows = ", ".join(f"{{strategy: {name}{balance}}}" for name in tm.STRATEGIES)
    assert kinds(planned(tmp_path, f"subsets=[{rows}]", "teachers.0.epochs=10", "sizes=[0.1, 0.66]")[1])["selection"]


def test_a_map_must_hold_what_a_strategy_reads_and_pay_for_the_network_that_it_reads(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="strategy ccs needs the score aum; add it to the map's scores"):
        planned(tmp_path, "maps=[{teacher: mlp-256, scores: [el2n]}]", "subsets=[{strategy: ccs}]")
    early = "maps=[{teacher: mlp-256, epochs: 1}]"
    with pytest.raises(TrainmapError, match="moderate reads the network that mlp-256 ends with"):
        planned(tmp_path, early, "subsets=[{strategy: moderate}]")
    assert kinds(planned(tmp_path, early, "subsets=[{strategy: s2l}]")[1])["clusters"] == 1
