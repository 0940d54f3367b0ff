"""The search for hyperparameters from its file to its report: shared, killed, judged on data that it has not seen."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import studies

from trainmap.errors import TrainmapError
from trainmap.experiments.plan.graph import Graph, Node
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.runs.folder import results
from trainmap.experiments.tasks.tuning import Hyperparameters, Lesson

TINY = """\
title: A search
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
maps: []
students: [{model: mlp-256, epochs: 1, distillation: [null, {}]}]
seeds: [0, 1]
tuning: {trials: 3, seeds: [7]}
"""


planned = partial(studies.planned, TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    studies.run(*planned(folder), folder / "out")
    return folder


def kinds(graph: Graph) -> dict[str, int]:
    return dict(Counter(node.kind for node in graph.nodes.values()))


def the_search(graph: Graph) -> Node:
    return next(node for node in graph.nodes.values() if node.kind == "search")


def test_every_distilled_way_of_a_student_is_searched_and_judged_under_each_seed(tmp_path: Path) -> None:
    assert kinds(planned(tmp_path)[1]) == {"teacher": 1, "teacher logits": 1, "search": 1, "student": 2, "tuned": 2}
    two = "students.0.distillation=[{}, {loss: dkd}]"
    assert kinds(planned(tmp_path, two)[1]) == {
        "teacher": 1,
        "teacher logits": 1,
        "search": 2,
        "student": 4,
        "tuned": 4,
    }


def test_the_start_shares_the_run_of_the_same_student_on_full_data(tmp_path: Path) -> None:
    graph = planned(tmp_path, "subsets=[full, random]")[1]
    assert kinds(graph)["student"] == 2 * 2 * 2


@pytest.mark.parametrize("change", ["trials=4", "seeds=[8]", "seed=1", "weight=[0.1, 1]"])
def test_every_setting_of_a_search_is_part_of_its_hash(tmp_path: Path, change: str) -> None:
    before, after = (the_search(planned(tmp_path, *sets)[1]) for sets in ((), (f"tuning.{change}",)))
    assert before.task.hash != after.task.hash


def test_what_was_found_is_trained_in_place_of_the_start_and_told(done: Path) -> None:
    study, graph = planned(done)
    found = results(study, done / "out")
    search = found[the_search(graph).task.hash]
    assert len(search["trials"]) == 3
    best = search["trials"][0]
    assert {key: best[key] for key in ("peak_lr", "temperature", "weight")}.items() <= search["found"].items()
    assert search["found"]["gold"] == pytest.approx(1 - best["weight"])
    assert search["train_flops"] > 0
    paths = write_study(done / "out")
    rows = list(csv.DictReader(paths["trials.csv"].read_text().splitlines()))
    assert [float(row["validation_macro_f1"]) for row in rows] == [
        trial["validation_macro_f1"] for trial in search["trials"]
    ]
    report = paths["report.md"].read_text()
    assert "## Hyperparameters of mlp-256 + hinton on digits" in report
    assert "Defaults from here on: learning rate" in report
    assert "Hyperparameters of mlp-256 + hinton on digits" in paths["report.html"].read_text()


def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, graph = planned(done)
    node = the_search(graph)
    task, place = node.task, replace(node.place, out=tmp_path / "made")
    train, trained = Lesson.macro_f1, 0

    def killed_at_the_second(lesson: Lesson, chosen: Hyperparameters, seed: int) -> Any:
        nonlocal trained
        trained += 1
        if trained == 2:
            raise KeyboardInterrupt
        return train(lesson, chosen, seed)

    monkeypatch.setattr(Lesson, "macro_f1", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        task.run(place)
    again = task.run(place)
    assert trained == 1 + 1 + 2
    whole = results(study, done / "out")[task.hash]
    assert again["trials"] == whole["trials"]
    assert again["train_flops"] == whole["train_flops"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["tuning.trials=0"], "tuning.trials: must be greater than or equal to 1, got 0"),
        (["tuning.trails=3"], "tuning.trails: unknown field 'trails'; did you mean 'trials'?"),
        (["tuning.weight=[1, 0.5]"], "tuning.weight: must be two ends, the lower one first"),
        (["tuning.peak_lr=[0, 1]"], "tuning.peak_lr: must begin above 0"),
        (["tuning.temperature=[5, 9]"], "tuning: temperature starts at 4, which is not from 5 to 9"),
        (["tuning.seeds=[1, 2]"], "tuning.seeds: must be other seeds than those of teachers and of the students"),
        (["tuning.seeds=[1000]"], "tuning.seeds: must be other seeds"),
        (["students.0.distillation=[null]"], "tuning: there is nothing to search for"),
        (["students.0.patience=2"], "students.0.patience: the trials of a search go to their end"),
        (
            ["students.0.distillation=[{loss: feature-matching}]"],
            "students.0.distillation.0: a search needs a loss with",
        ),
        (["data.validation=0"], "tuning: a search needs validation data"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_field(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, *changes)
    assert message in str(caught.value)
