"""People's judgement beside maps of the test data: planned for each teacher, checked, told."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trainmap as tm
from trainmap.data.dataset import load_splits
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.people_tables import people_grids
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.runs.folder import Study, made, results, run_study, study_of
from trainmap.maps.human import human_agreement, label_entropy

TINY = """\
title: People
data: {names: [digits], root: ROOT}
teachers: [{model: mlp-256, epochs: 3, seeds: [0, 1]}]
maps: []
human: {counts: judged/people.npz, scores: [confidence, variability]}
"""


def planned(folder: Path, *sets: str) -> tuple[Study, Graph]:
    (folder / "tiny.yaml").write_text(TINY.replace("ROOT", str(folder)))
    variants = load_experiment(folder / "tiny.yaml", None, sets)
    graph = plan_graph(variants, folder / "out")
    return study_of(variants, graph, {}), graph


def judge(folder: Path, rows: int | None = None) -> np.ndarray:
    test = load_splits("digits").test
    counts = np.random.default_rng(0).poisson(0.2, (len(test), 10))
    counts[np.arange(len(test)), test.y] += 20
    (folder / "judged").mkdir(exist_ok=True)
    np.savez(folder / "judged" / "people.npz", counts=counts[:rows])
    return counts


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    judge(folder)
    study, graph = planned(folder)
    assert all(outcome.finished for outcome in run_study(study, graph, folder / "out", jobs=1))
    return folder


def test_each_training_of_a_teacher_is_set_beside_people_on_the_test_data(done: Path) -> None:
    study, _ = planned(done)
    entries = [entry for entry in study.entries if entry.kind == "people"]
    assert len(entries) == 2
    found = results(study, done / "out")
    test, entropy = load_splits("digits").test, label_entropy(judge(done))
    datamap = tm.DataMap.open(made(done / "out", entries[0]) / "map.parquet")
    np.testing.assert_array_equal(datamap.ids, test.ids)
    by_hand = human_agreement(datamap, test.ids, entropy, ["confidence"], top=0.1)[0]
    told = found[entries[0].hash]["scores"][0]
    assert (told["spearman"], told["auroc"]) == (pytest.approx(by_hand.spearman), pytest.approx(by_hand.auroc))
    assert sum(part["examples"] for part in found[entries[0].hash]["regions"].values()) == len(test)


def test_the_report_has_means_over_trainings_and_intervals_over_examples(done: Path) -> None:
    paths = write_study(done / "out")
    report = paths["report.md"].read_text()
    assert "## People beside mlp-256 on digits" in report
    assert "(n=2)" in report
    assert "- mlp-256 on digits: of 2 scores " in report
    assert "## How much people disagree by region, mlp-256 on digits" in report
    rows = list(csv.DictReader(paths["people.csv"].read_text().splitlines()))
    assert [(row["seed"], row["score"]) for row in rows] == [
        (seed, score) for seed in ("0", "1") for score in ("confidence", "variability")
    ]


def test_teachers_of_a_grid_that_share_a_name_have_tables_of_their_own(tmp_path: Path) -> None:
    judge(tmp_path)
    study, _ = planned(tmp_path, "grid={cross: {teachers.*.epochs: [3, 4]}}")
    entries = [entry for entry in study.entries if entry.kind == "people"]
    one = {"score": "confidence", "disputed": 5, "examples": 50}
    one |= dict.fromkeys(("spearman", "low", "high", "auroc", "auroc_low", "auroc_high"), 0.5)
    told = {"scores": [one], "regions": {"ambiguous": {"entropy": 0.1, "examples": 5}}}
    _, _, rows = people_grids(study, {entry.hash: told for entry in entries})
    assert len({(row["teacher"], row["seed"]) for row in rows}) == len(rows) == 4


def test_judgements_that_change_after_the_plan_are_refused(done: Path, tmp_path: Path) -> None:
    _, graph = planned(done)
    node = next(node for node in graph.nodes.values() if node.kind == "people")
    np.savez(tmp_path / "other.npz", counts=np.ones((449, 10)))
    with pytest.raises(TrainmapError, match="changed since the experiment was planned"):
        node.task.run(replace(node.place, files={"counts": tmp_path / "other.npz"}))


def test_where_the_judgements_lie_is_no_part_of_a_hash(done: Path, tmp_path: Path) -> None:
    judge(tmp_path)
    assert set(planned(tmp_path)[1].nodes) == set(planned(done)[1].nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("human.counts=nowhere.npz", "human.counts: "),
        ("human.counts=tiny.yaml", "is not a readable .npz file with an array 'counts'"),
        ("human.counts=judged/few.npz", "human.counts: counts must be (449, 10), the test examples and classes of"),
        ("human.scores=[confidenze]", "human.scores.0: unknown score 'confidenze'; did you mean 'confidence'?"),
        ("human.scores=[aum, dual]", "human.scores.1: dual needs a map of at least 10 epochs, got 3; record more"),
        ("human.top=1", "human.top: must be less than 1"),
        ("teachers=[]", "human: people are compared with a teacher"),
        ("human.count=x", "human.count: unknown field 'count'; did you mean 'counts'?"),
    ],
)
def test_people_that_cannot_be_are_refused_with_their_field(tmp_path: Path, change: str, message: str) -> None:
    counts = judge(tmp_path)
    np.savez(tmp_path / "judged" / "few.npz", counts=counts[:9])
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, change)
    assert message in str(caught.value)
