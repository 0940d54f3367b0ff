"""The table of how far maps agree: which are paired, what stands in it, and its file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import trainmap as tm
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.agreement_tables import agreement_grids
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.map_pairs import pairs
from trainmap.experiments.runs.folder import Study, made, open_study, results, run_study, study_of

TINY = """\
title: Maps
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 3, seeds: [0, 1]}]
maps: [{teacher: mlp-256, seed: 0}, {teacher: mlp-256, seed: 1, name: again}]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    (folder / "tiny.yaml").write_text(TINY)
    variants = load_experiment(folder / "tiny.yaml", None, ["grid={cross: {data.label_noise: [0.0, 0.1]}}"])
    graph = plan_graph(variants, folder / "out")
    assert all(outcome.finished for outcome in run_study(study_of(variants, graph, {}), graph, folder / "out", jobs=1))
    return folder / "out"


def a_study(done: Path) -> Study:
    return open_study(done)


def test_only_maps_of_the_same_examples_and_labels_are_paired(done: Path) -> None:
    found = pairs(a_study(done), results(a_study(done), done), done)
    assert [(str(pair.first), str(pair.second)) for pair in found] == [
        (f"mlp-256, seed 0 (label_noise={noise})", f"mlp-256, seed 1 (label_noise={noise})") for noise in ("0.0", "0.1")
    ]


def test_ranks_tops_accuracies_and_costs_are_those_of_the_two_maps(done: Path) -> None:
    study = a_study(done)
    pair = pairs(study, results(study, done), done)[0]
    entries = [entry for entry in study.entries if entry.kind == "map"][:2]
    a, b = (tm.DataMap.open(made(done, entry) / "map.parquet") for entry in entries)
    assert pair.examples == len(a)
    assert pair.confidence == pytest.approx(spearmanr(a.values("confidence"), b.values("confidence"))[0])
    assert pair.variability == pytest.approx(spearmanr(a.values("variability"), b.values("variability"))[0])
    third = round(len(a) / 3)
    tops = [set(np.argsort(-one.values("variability"), kind="stable")[:third]) for one in (a, b)]
    assert pair.ambiguous == pytest.approx(len(tops[0] & tops[1]) / third, abs=2 / third)
    hard = [set(np.argsort(one.values("confidence"), kind="stable")[:third]) for one in (a, b)]
    assert pair.hard == pytest.approx(len(hard[0] & hard[1]) / third, abs=2 / third)
    teacher = results(study, done)[entries[1].after[0]]
    assert (pair.second_accuracy, pair.second_flops) == (teacher["test_accuracy"], teacher["train_flops"])
    assert pair.second_cpu_seconds > teacher["train_cpu_seconds"]
    assert pair.sources == "train"


def test_the_table_is_in_both_reports_and_in_a_file_of_its_own(done: Path) -> None:
    paths = write_study(done)
    for name in ("report.html", "report.md"):
        assert "Agreement of maps, digits" in paths[name].read_text()
    rows = list(csv.DictReader(paths["agreement.csv"].read_text().splitlines()))
    assert len(rows) == 2
    alike = pairs(a_study(done), results(a_study(done), done), done)[:1]
    assert (
        agreement_grids(alike)[0].lines[0].name == "mlp-256, seed 0 | mlp-256, seed 1"
    )  # all of one point of the grid
    assert -1 <= float(rows[0]["confidence"]) <= 1


def test_one_map_agrees_with_nothing(done: Path) -> None:
    assert agreement_grids([]) == []
