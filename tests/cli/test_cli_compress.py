"""The verbs compress and forgets."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.errors import TrainmapError
from trainmap.evaluation.flips import Predictions
from trainmap.experiments.runs.folder import jobs_of

runner = CliRunner()


def run(*words: str | Path) -> str:
    done = runner.invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def sides(folder: Path) -> tuple[Path, Path, Path]:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 300)
    paths = []
    for name, share in (("before", 0.05), ("after", 0.2), ("seed", 0.06)):
        predicted = np.where(draws.random(300) < share, (labels + 1) % 3, labels)
        paths.append(Predictions.of(np.arange(300), labels, predicted).save(folder / f"{name}.parquet"))
    with tm.Recorder(folder / "dynamics", 3, np.arange(300), labels) as recorder:
        for _ in range(3):
            recorder.update(np.arange(300), draws.normal(0, 1, (300, 3)), labels)
            recorder.end_epoch()
    tm.DataMap.from_dynamics(tm.Dynamics.open(folder / "dynamics")).save(folder / "map.parquet")
    return paths[0], paths[1], paths[2]


def test_forgets_prints_tables_and_writes_the_flips_and_the_picture(tmp_path: Path) -> None:
    before, after, seed = sides(tmp_path)
    out, plot = tmp_path / "flips.csv", tmp_path / "flips.png"
    text = run(
        "forgets", before, after, "--baseline", seed, "--map", tmp_path / "map.parquet", "--out", out, "--plot", plot
    )
    assert "more than another seed" in text
    assert "ambiguous" in text
    assert set(pl.read_csv(out)["kind"]) >= {"same", "right to wrong"}
    assert plot.exists()
    assert "class" in run("forgets", before, tmp_path / "dynamics")


def test_a_map_of_other_examples_or_labels_is_refused(tmp_path: Path) -> None:
    before, after, _ = sides(tmp_path)
    datamap = tm.DataMap.open(tmp_path / "map.parquet")
    other = Predictions.of(np.arange(500, 800), datamap.labels, datamap.labels).save(tmp_path / "other.parquet")
    with pytest.raises(TrainmapError, match="300 of 300 predicted examples are not on the map"):
        run("forgets", other, other, "--map", tmp_path / "map.parquet")
    wrong = Predictions.of(np.arange(300), (datamap.labels + 1) % 3, datamap.labels).save(tmp_path / "wrong.parquet")
    with pytest.raises(TrainmapError, match="the map has other labels for 300 examples"):
        run("forgets", wrong, wrong, "--map", tmp_path / "map.parquet")
    with pytest.raises(TrainmapError, match=r"\.parquet or \.csv"):
        run("forgets", before, after, "--out", tmp_path / "x.txt")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of the digits and its map, as a demo keeps them: without its students."""
    from trainmap.experiments.demo import FILE, plan_demo
    from trainmap.experiments.plan.planner import plan_graph
    from trainmap.experiments.runs.folder import claim, study_of
    from trainmap.experiments.runs.worker import attempt

    folder = tmp_path_factory.mktemp("demo")
    plan = plan_demo("digits", teacher="cnn-8", teacher_epochs=5, students=["mlp-256"], seeds=1, subsets=[])
    graph = plan_graph([plan], folder)
    claim(study_of([plan], graph, {"file": FILE}), folder)
    (folder / "runs").mkdir()
    for job in jobs_of(graph):
        if job.task.what in ("teacher", "map"):
            attempt(folder / "runs", job, None)
    return folder


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "way",
    [
        "zeros",
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("channels", "int8", "int8-onnx", "int8-trained")),
    ],
)
def test_compress_makes_the_teacher_smaller_and_keeps_what_forgets_needs(demo: Path, way: str, tmp_path: Path) -> None:
    out = tmp_path / way
    text = run("compress", demo, "--way", way, "--select", "50% ambiguous", "--epochs", "1", "--out", out)
    assert "teacher" in text
    result = json.loads((out / "result.json").read_text())
    teacher, small = result["rows"]
    assert small["agreement"] > 0.6
    if way != "zeros":
        assert (
            small["parameters" if way == "channels" else "zipped_bytes"]
            < 0.6 * teacher["parameters" if way == "channels" else "zipped_bytes"]
        )
    else:
        assert result["numbers"]["sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert (out / result["file"]).stat().st_size == small["bytes"]
    assert "right → wrong" in run("forgets", out / "before.parquet", out / "after.parquet")


def test_compress_names_what_is_missing(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="did you mean 'channels'"):
        run("compress", demo, "--way", "chanels", "--out", tmp_path)
    with pytest.raises(TrainmapError, match="no trained teacher"):
        run("compress", tmp_path, "--out", tmp_path / "out")
    copy = shutil.copytree(demo, tmp_path / "copy")
    for path in (copy / "runs").iterdir():
        path.unlink()
    with pytest.raises(TrainmapError, match=r"is not ready; call trainmap demo --out .* again to go on"):
        run("compress", copy, "--out", tmp_path / "out")


def test_an_experiment_with_two_teachers_is_refused(demo: Path, tmp_path: Path) -> None:
    from trainmap.experiments.runs.folder import open_study, save_study

    study = open_study(demo)
    teacher = next(entry for entry in study.entries if entry.kind == "teacher")
    save_study(replace(study, entries=(*study.entries, replace(teacher, hash="f" * 64))), tmp_path)
    with pytest.raises(TrainmapError, match="must have one teacher to compress, has 2"):
        run("compress", tmp_path, "--out", tmp_path / "out")
