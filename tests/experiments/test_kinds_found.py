"""Which score finds which kind: planned where the data know, checked against the truth, told over draws of the data."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies

import trainmap as tm
from trainmap.data.synthetic import Synthetic, truth_of
from trainmap.errors import TrainmapError
from trainmap.experiments.demo import plan_demo
from trainmap.experiments.report.kind_tables import kinds_tables
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.kind_groups import grouped_kinds
from trainmap.experiments.runs.folder import Study, made, results
from trainmap.maps.found_kinds import find_kinds

SETTINGS = "synthetic:examples=300,features=12,tests=40"
TINY = f"""\
title: Kinds
data: {{names: ["{SETTINGS}", "{SETTINGS},seed=1"]}}
teachers: [{{model: linear, epochs: 4, seeds: [0, 1]}}]
maps: []
"""


planned = partial(studies.planned, TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    studies.run(*planned(folder), folder / "out")
    return folder


def told(score: str, auroc: float | None, kind: str = "wrong-label") -> dict[str, Any]:
    its: dict[str, Any] = {"score": score, "kind": kind, "examples": 10, "others": 90}
    its |= dict.fromkeys(("auroc", "hard_precision", "clean_auroc"), auroc)
    return its | {"easy_precision": None if auroc is None else 1 - auroc}


def results_of(study: Study, auroc: list[float], **more: Any) -> dict[str, Any]:
    """A finished comparison for each one of the plan, in its order."""
    entries = [entry for entry in study.entries if entry.kind == "kinds"]
    teachers = {entry.hash: entry for entry in study.entries}
    return {
        entry.hash: {
            "settings": SETTINGS,
            "data_seed": Synthetic.of(teachers[entry.config["teacher"]].config["data"]["name"]).seed,
            "best_accuracy": 0.9,
            "found": [told("random", 0.5), told("loss", value), told("aum", None)],
            "regions": {"ambiguous": {"clean": 1, "wrong-label": 3}, "none": {"clean": 4, "wrong-label": 0}},
            **more,
        }
        for entry, value in zip(entries, auroc, strict=True)
    }


def test_each_training_of_a_teacher_is_held_against_the_truth(done: Path) -> None:
    study, _ = planned(done)
    entries = [entry for entry in study.entries if entry.kind == "kinds"]
    assert len(entries) == 4
    found = results(study, done / "out")[entries[2].hash]
    assert (found["settings"], found["data_seed"]) == (SETTINGS, 1)
    datamap = tm.DataMap.open(made(done / "out", entries[2]) / "map.parquet")
    truth = truth_of(f"{SETTINGS},seed=1").filter(part="train")
    assert {"confidence", "random", "suspicion, combined", "suspicion, mixture"} <= set(datamap.scores)
    by_hand = find_kinds({"loss": datamap.values("loss")}, truth["kind"].to_numpy(), ["wrong-label"])[0]
    its = next(one for one in found["found"] if (one["score"], one["kind"]) == ("loss", "wrong-label"))
    assert its == vars(by_hand)
    assert its["auroc"] > 0.8
    assert sum(sum(counts.values()) for counts in found["regions"].values()) == 300
    assert {kind: sum(its.get(kind, 0) for its in found["regions"].values()) for kind in ("outlier", "clean")} == {
        "outlier": 15,
        "clean": 180,
    }


def test_the_report_tells_it_over_the_draws_of_the_data(done: Path) -> None:
    paths = write_study(done / "out")
    report = paths["report.md"].read_text()
    assert f"- linear on {SETTINGS}: of " in report
    assert "found best over 2 draws of the data: overlap by " in report
    for title in ("Which score finds which kind", "Against clean examples", "What the regions hold"):
        assert f"## {title}, linear on {SETTINGS}\n" in report
    assert "| **random** " in report
    assert "wrong-label (10 %)" in report
    assert (done / "out" / "plots" / "kinds-1.png").is_file()
    rows = list(csv.DictReader(paths["kinds.csv"].read_text().splitlines()))
    assert {(row["data_seed"], row["seed"]) for row in rows} == {(a, b) for a in "01" for b in "01"}
    assert {float(row["base"]) for row in rows if row["kind"] == "overlap"} == {0.1}


def test_data_that_do_not_know_their_kinds_have_no_such_task(tmp_path: Path) -> None:
    assert "kinds" not in {node.kind for node in planned(tmp_path, "data.names=[wine]")[1].nodes.values()}


def test_intervals_are_over_draws_where_there_are_several_and_over_trainings_else(tmp_path: Path) -> None:
    study, _ = planned(tmp_path)
    (group,) = grouped_kinds(study, results_of(study, [0.6, 0.8, 0.9, 1.0]))
    assert group.title == f"linear on {SETTINGS}"
    values = group.values("loss", "wrong-label", "auroc")
    assert values == {0: pytest.approx(0.7), 1: pytest.approx(0.95)}
    one, _ = planned(tmp_path, f'data.names=["{SETTINGS}"]')
    (group,) = grouped_kinds(one, results_of(one, [0.6, 0.8]))
    assert group.values("loss", "wrong-label", "auroc") == {0: 0.6, 1: 0.8}
    assert group.values("aum", "wrong-label", "auroc") == {}


def test_a_kind_at_the_easy_end_is_said_and_one_that_nothing_finds_as_well(tmp_path: Path) -> None:
    study, _ = planned(tmp_path)
    for auroc, said, verdict in (
        (
            [0.10, 0.10, 0.11, 0.11],
            "wrong-label by loss (AUROC 0.105 ± 0.064, at its easy end; 0.105 against clean examples).",
            "at the easy end",
        ),
        (
            [0.90, 0.90, 0.91, 0.91],
            "wrong-label by loss (AUROC 0.905 ± 0.064; 0.905 against clean examples).",
            "at the hard end",
        ),
        ([0.2, 0.2, 0.8, 0.8], "wrong-label by none.", "not told apart"),
    ):
        grids, sentences, _, _ = kinds_tables(study, results_of(study, auroc), tmp_path)
        assert sentences[0].endswith(said)
        line = next(line for line in grids[0].lines if line.name == "loss")
        assert line.cells[0].words == verdict
        assert line.cells[0].detail == f"AP {max(np.mean(auroc), 1 - np.mean(auroc)):.2f}", "from the end that finds it"
        assert next(line for line in grids[0].lines if line.name == "aum").cells[0].text == "–"


def test_the_regions_are_told_in_percent_of_their_examples(tmp_path: Path) -> None:
    study, _ = planned(tmp_path)
    grids, _, _, _ = kinds_tables(study, results_of(study, [0.5] * 4), tmp_path)
    lines = {line.name: [cell.text for cell in line.cells] for line in grids[2].lines}
    assert lines == {"all examples": ["62.5", "37.5"], "ambiguous": ["25.0", "75.0"], "none": ["100.0", "0.0"]}


def test_points_of_a_grid_and_teachers_of_one_name_have_tables_of_their_own(tmp_path: Path) -> None:
    study, _ = planned(tmp_path, "grid={cross: {teachers.*.epochs: [3, 4]}}")
    groups = grouped_kinds(study, results_of(study, [0.5] * 8))
    assert sorted(group.title for group in groups) == [f"linear on {SETTINGS} (epochs={n})" for n in (3, 4)]
    assert [len(group.runs) for group in groups] == [4, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "data.label_noise=0.1",
            "data.label_noise: synthetic data know which of their labels are wrong; write synthetic:",
        ),
        ("data.labels=x.npz:y", "data.labels: "),
        ('data.names=["synthetic:wrong=2"]', "data.names.0: synthetic: wrong must be a finite number from 0 to 1"),
        ("data.names=[synthetic:wrong=0.1,seed=3]", "data.names.1: unknown dataset 'seed=3'"),
    ],
)
def test_what_would_make_the_truth_untrue_is_refused_with_its_field(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, change)
    assert message in str(caught.value)


def test_a_recording_of_other_data_is_refused(done: Path) -> None:
    _, graph = planned(done)
    first, *_, last = [node for node in graph.nodes.values() if node.kind == "kinds"]
    with pytest.raises(TrainmapError, match=r"is not of synthetic:.* as it is made here; train the teacher again"):
        first.task.run(replace(first.place, others=last.place.others))


def test_a_demo_of_synthetic_data_is_that_of_a_table_or_of_small_images() -> None:
    table, images = (plan_demo(name).experiment for name in (SETTINGS, "synthetic:side=8"))
    assert (table.teachers[0].model, images.teachers[0].model) == ("mlp-256", "resnet14-16")
    with pytest.raises(TrainmapError, match="unknown setting of synthetic"):
        plan_demo("synthetic:x=1")
