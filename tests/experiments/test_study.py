"""A small grid from its file to its reports: killed, resumed, failing, shared by two calls, told by the command."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import studies
from typer.testing import CliRunner

import trainmap as tm
from trainmap.checksums import sealed
from trainmap.cli.app import app
from trainmap.errors import StoreError, TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.runs.estimate import Entry, estimate, makespan
from trainmap.experiments.runs.folder import (
    Study,
    failures,
    open_study,
    results,
    run_study,
    save_study,
    states,
    study_of,
)
from trainmap.experiments.runs.job import result_path
from trainmap.experiments.tasks.datasets import load
from trainmap.experiments.tasks.student_ids import random_ids

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = """\
title: Tiny
data: {names: [digits]}
teachers: [{model: mlp-256, name: maker, epochs: 2}]
subsets: [full, random, ambiguous, {spec: "bottom {percent} confidence", name: the hardest}]
sizes: [0.2, 0.33]
students: [{model: mlp-256, epochs: 1, distillation: [null, {}]}]
seeds: [0, 1]
"""


def planned(tmp_path: Path, out: Path, *sets: str) -> tuple[Study, Graph]:
    (tmp_path / "tiny.yaml").write_text(TINY)
    variants = load_experiment(tmp_path / "tiny.yaml", None, sets)
    graph = plan_graph(variants, out)
    return study_of(variants, graph, {}), graph


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study, graph = planned(folder, folder / "out")
    return studies.run(study, graph, folder / "out", jobs=2)


def test_a_study_writes_every_report(done: Path) -> None:
    paths = write_study(done)
    assert set(paths) == {"report.html", "report.md", "report.tex", "table.csv", "results.csv", "results.json"}
    rows = list(csv.DictReader(paths["results.csv"].read_text().splitlines()))
    assert len(rows) == 7 * 2 * 2
    cells = list(csv.DictReader(paths["table.csv"].read_text().splitlines()))
    assert len(cells) == 7 * 2
    assert {cell["n"] for cell in cells} == {"2"}
    mean = np.mean([float(r["test_macro_f1"]) for r in rows if (r["subset"], r["distilled"]) == ("full data", "True")])
    cell = next(c for c in cells if (c["subset"], c["distilled"]) == ("full data", "True"))
    assert float(cell["macro_f1"]) == pytest.approx(mean, abs=1e-12)
    compared = [c for c in cells if c["verdict"]]
    assert {c["subset"] for c in cells} - {c["subset"] for c in compared} == {"full data", "random 20 %", "random 33 %"}
    text = paths["report.md"].read_text()
    assert f": of {len(compared)} comparisons" in text
    assert f": {len(compared)} comparisons at 95 %" in text
    page = re.sub(r"base64,[^\"]*", "base64,", paths["report.html"].read_text())  # four letters may meet there
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    examples = page.count('<figure class="example">')
    assert page.count("data:image/png;base64,") == 4 + examples  # the map, cost, whole cost, sizes
    latex = paths["report.tex"].read_text()
    assert latex.count(r"\\") == 7 + 1
    assert "mlp-256 + hinton" in latex
    assert r"33 \%" in latex


def test_reports_are_the_same_when_they_are_written_again(done: Path) -> None:
    before = {name: path.read_bytes() for name, path in write_study(done).items()}
    assert before == {name: path.read_bytes() for name, path in write_study(done).items()}


def test_a_second_call_runs_nothing_and_more_seeds_only_the_new_runs(done: Path, tmp_path: Path) -> None:
    study, graph = planned(tmp_path, done)
    assert all(outcome.skipped for outcome in run_study(study, graph, done, jobs=1))
    more, _ = planned(tmp_path, done, "seeds=[0, 1, 2]")
    found = states(more, done)
    waiting = {entry.name.rpartition(", ")[2] for entry in more.entries if found[entry.hash] == "waiting"}
    assert waiting == {"seed 2"}


def test_a_folder_that_was_moved_runs_nothing_again(done: Path, tmp_path: Path) -> None:
    moved = done.rename(done.with_name("moved"))
    try:
        study, _ = planned(tmp_path, moved)
        assert set(states(study, moved).values()) == {"done"}
        write_study(moved)
    finally:
        moved.rename(done)


def test_the_random_ids_are_those_that_select_draws(done: Path) -> None:
    study = open_study(done)
    entry = next(entry for entry in study.entries if entry.kind == "map")
    datamap = tm.DataMap.open(done / "made" / f"map-{entry.hash[:16]}" / "map.parquet")
    np.testing.assert_array_equal(
        random_ids(datamap.ids[::-1], 356, seed=5), tm.select(datamap, "33% random", seed=5).ids
    )


def test_a_selection_of_the_study_is_the_librarys(done: Path) -> None:
    study = open_study(done)
    datamap_entry = next(entry for entry in study.entries if entry.kind == "map")
    datamap = tm.DataMap.open(done / "made" / f"map-{datamap_entry.hash[:16]}" / "map.parquet")
    cards = [entry for entry in study.entries if entry.kind == "selection"]
    assert len(cards) == 4
    for entry in cards:
        card = tm.Selection.open(done / "made" / f"selection-{entry.hash[:16]}" / "card.json")
        np.testing.assert_array_equal(card.ids, tm.select(datamap, entry.config["spec"]).ids)


@pytest.mark.slow
def test_a_run_that_fails_is_kept_blocks_what_needs_it_and_is_tried_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    study, graph = planned(tmp_path, out, "seeds=[0]", "sizes=[0.33]", "students.0.distillation=[null]")
    teacher = next(entry for entry in study.entries if entry.kind == "teacher")
    save_study(study, out)
    (out / "made").mkdir()
    blockade = out / "made" / f"teacher-{teacher.hash[:16]}"
    blockade.write_text("a file where the teacher's folder should be")
    outcomes = {outcome.job.hash: outcome for outcome in run_study(study, graph, out, jobs=1)}
    assert not outcomes[teacher.hash].finished
    assert "Traceback" in (outcomes[teacher.hash].error or "")
    found = states(study, out)
    by_kind = {(entry.kind, found[entry.hash]) for entry in study.entries}
    assert by_kind == {
        ("teacher", "failed"),
        ("map", "blocked"),
        ("selection", "blocked"),
        ("student", "blocked"),
        ("student", "done"),
    }
    assert list(failures(study, out)) == [teacher.name]
    paths = write_study(out)
    assert "Failed: teacher maker on digits, seed 1000" in paths["report.md"].read_text()
    assert len(list(csv.DictReader(paths["results.csv"].read_text().splitlines()))) == 2, "full data and random"
    blockade.unlink()
    assert all(outcome.finished for outcome in run_study(study, graph, out, jobs=1))
    assert failures(study, out) == {}


@pytest.mark.parametrize("lost", ["teacher", "map", "selection", "teacher logits", "full", "random", "everything"])
def test_whatever_failed_the_rest_is_reported(done: Path, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    study = open_study(out)
    gone: set[str] = set()
    for entry in study.entries:
        draw = entry.config.get("subset", {}).get("kind")
        if lost in (entry.kind, draw, "everything") or gone & set(entry.after):
            gone.add(entry.hash)
            result_path(out / "runs", entry.hash).unlink()
    left = [line for line in study.lines if line.run not in gone]
    assert gone
    paths = write_study(out)
    rows = list(csv.DictReader(paths["results.csv"].read_text().splitlines()))
    assert len(rows) == len(left)
    assert all(paths[name].stat().st_size for name in ("report.html", "report.md", "report.tex"))


def test_a_command_whose_task_fails_writes_the_reports_and_says_which(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sets = ["seeds=[0]", "sizes=[0.33]", "students.0.distillation=[null]"]
    study, _ = planned(tmp_path, out, *sets)
    teacher = next(entry for entry in study.entries if entry.kind == "teacher")
    save_study(study, out)
    (out / "made").mkdir(parents=True)
    (out / "made" / f"teacher-{teacher.hash[:16]}").write_text("a file where the teacher's folder should be")
    asked = [str(tmp_path / "tiny.yaml"), "--out", str(out), "--jobs", "1", "--into"]
    result = CliRunner().invoke(app, ["run", *asked, *(word for one in sets for word in ("--set", one))])
    assert isinstance(result.exception, TrainmapError), result.output
    assert "1 of 8 tasks failed and 5 that need them were not tried" in str(result.exception)
    assert (out / "report.md").stat().st_size > 0


def test_a_device_that_is_not_here_is_planned_for_and_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainmap.modes.is_here", lambda device: device == "cpu")
    monkeypatch.setattr("trainmap.experiments.runs.estimate.is_here", lambda device: device == "cpu")
    out = tmp_path / "out"
    study, graph = planned(tmp_path, out, "device=cuda:1")
    found = estimate(study, {}, jobs=2)
    assert math.isnan(found.work_seconds)
    assert math.isnan(found.wall_seconds)
    assert found.flops == sum(entry.flops for entry in study.entries) > 0
    assert "time that is not known here" in str(found)
    with pytest.raises(TrainmapError, match="device: this machine has no cuda:1"):
        run_study(study, graph, out)
    assert not out.exists()
    with pytest.raises(TrainmapError, match=r"device: unknown device 'cdua'; write cpu, cuda"):
        planned(tmp_path, out, "device=cdua")


@pytest.mark.parametrize("root", ["nowhere", "."])
def test_data_that_are_not_here_are_planned_by_their_known_sizes_and_not_run(tmp_path: Path, root: str) -> None:
    sets = ["data.names=[cifar100]", f"data.root={tmp_path / root}"]
    (tmp_path / "tiny.yaml").write_text(TINY)
    variants = load_experiment(tmp_path / "tiny.yaml", None, sets)
    graph = plan_graph(variants, tmp_path / "out", outlines=True)
    assert graph.absent == ["cifar100"]
    study = study_of(variants, graph, {})
    full = next(entry for entry in study.entries if entry.config.get("subset", {}).get("kind") == "full")
    assert full.examples == 40_000
    assert estimate(study, {}, jobs=2).work_seconds > 0
    with pytest.raises(TrainmapError, match="cifar100 is not here"):
        run_study(study, graph, tmp_path / "out")


STUDY_FILES = [path for path in sorted(EXPERIMENTS.glob("*.yaml")) if "\npaper:" in path.read_text()]


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=() if "eq7" in path.name else pytest.mark.slow) for path in STUDY_FILES], ids=str
)
def test_the_studys_own_scale_is_planned_without_its_data_and_device(path: Path, tmp_path: Path) -> None:
    variants = load_experiment(path, "paper", [f"data.root={tmp_path / 'nowhere'}"])
    graph = plan_graph(variants, tmp_path / "out", outlines=True)
    assert graph.nodes
    assert graph.absent
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
def test_a_killed_grid_goes_on_where_it_was(tmp_path: Path, done: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "trainmap", "run", str(tmp_path / "tiny.yaml"), "--out", str(out), "--jobs", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            while process.poll() is None and len(list((out / "runs").glob("*.json"))) < 4:
                time.sleep(0.05)
            assert process.poll() is None, (process.stderr.read() if process.stderr else b"").decode()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    study, (_, graph) = open_study(out), planned(tmp_path, out)
    kept = {entry.hash for entry in study.entries if result_path(out / "runs", entry.hash).exists()}
    assert 4 <= len(kept) < len(study.entries)
    outcomes = run_study(study, graph, out, jobs=2)
    assert {outcome.job.hash for outcome in outcomes if outcome.skipped} == kept
    first, second = results(open_study(done), done), results(study, out)
    assert {key: value.get("test_loss") for key, value in first.items()} == {
        key: value.get("test_loss") for key, value in second.items()
    }


def test_a_plan_says_what_is_left_and_where_the_speeds_are_from(done: Path, tmp_path: Path) -> None:
    study, _ = planned(tmp_path, tmp_path / "new")
    fresh = estimate(study, {}, jobs=2)
    assert {line.kind: (line.tasks, line.done) for line in fresh.lines} == {
        "teacher": (1, 0),
        "map": (1, 0),
        "student": (28, 0),
        "selection": (4, 0),
        "teacher logits": (1, 0),
    }
    assert fresh.sources == ("mlp-256 on digits: a few steps trained now, 1 thread",)
    assert 0 < fresh.wall_seconds < fresh.work_seconds + 5
    assert fresh.bytes > 1000
    more, _ = planned(tmp_path, done, "seeds=[0, 1, 2]")
    rest = estimate(more, results(more, done), jobs=2)
    assert rest.sources == ("mlp-256 on digits: 29 finished runs",)
    assert sum(line.tasks - line.done for line in rest.lines) == 14
    nothing = estimate(study, results(study, done), jobs=2)
    assert (nothing.work_seconds, nothing.wall_seconds, nothing.bytes) == (0, 0, 0)


def test_the_time_of_a_graph_is_that_of_handing_its_tasks_out() -> None:
    def entry(name: str, *after: str) -> Entry:
        return Entry(name, "student", name, after, "", "", 0, 0, 0, {})

    tasks = [entry("a"), entry("b", "a"), entry("c", "a"), entry("d")]
    seconds = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.0}
    assert makespan(tasks, seconds, 1) == 8
    assert makespan(tasks, seconds, 2) == 4
    assert makespan(tasks, seconds, 9) == 4
    assert makespan([], {}, 2) == 0


def test_networks_are_judged_on_corrupted_data_as_well(tmp_path: Path) -> None:
    sets = ["subsets=[full, random]", "seeds=[0]", "sizes=[0.33]", "students.0.distillation=[null]", "teachers=[]"]
    sets += ["evaluation={corruptions: [gaussian_noise, contrast], severities: [1, 5]}"]
    study, graph = planned(tmp_path, tmp_path / "out", *sets)
    assert all(outcome.finished for outcome in run_study(study, graph, tmp_path / "out", jobs=1))
    for entry in study.entries:
        folder = tmp_path / "out" / "made" / f"student-{entry.hash[:16]}"
        rows = json.loads((folder / "everywhere.json").read_text())
        corrupted = [row["macro_f1"] for row in rows if row["role"] == "corruption"]
        assert len(corrupted) == 4
        assert results(study, tmp_path / "out")[entry.hash]["corrupted_macro_f1"] == pytest.approx(np.mean(corrupted))
    assert "## Corrupted test data, equal epochs" in write_study(tmp_path / "out")["report.md"].read_text()


def test_label_noise_changes_the_training_labels_alone() -> None:
    plain = load("digits", None, 42, 0.2, 0.0, 0)
    noisy = load("digits", None, 42, 0.2, 0.1, 0)
    assert (plain.train.y != noisy.train.y).sum() == round(0.1 * len(plain.train))
    np.testing.assert_array_equal(plain.test.y, noisy.test.y)
    np.testing.assert_array_equal(plain.validation.y, noisy.validation.y)
    np.testing.assert_array_equal(plain.train.x, noisy.train.x)


def test_a_folder_without_an_experiment_or_with_a_newer_one_is_refused(tmp_path: Path, done: Path) -> None:
    with pytest.raises(StoreError, match="holds no experiment"):
        open_study(tmp_path)
    save_study(open_study(done), tmp_path)
    assert open_study(tmp_path) == open_study(done)
    about = json.loads((tmp_path / "experiment.json").read_text())
    (tmp_path / "experiment.json").write_text(json.dumps(sealed(about | {"version": 99})))
    with pytest.raises(StoreError, match="newer trainmap"):
        open_study(tmp_path)
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(StoreError, match="is not a plan of an experiment"):
        open_study(tmp_path)


def test_an_unknown_launcher_is_refused_before_any_work(tmp_path: Path) -> None:
    study, graph = planned(tmp_path, tmp_path / "out")
    with pytest.raises(TrainmapError, match="unknown launcher 'slrum'; did you mean 'slurm'"):
        run_study(study, graph, tmp_path / "out", launcher="slrum")
    assert not (tmp_path / "out").exists()
