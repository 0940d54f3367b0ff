"""The verbs import and export: twins of the library's functions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.cli.exchange_verbs import exports, imports
from trainmap.errors import TrainmapError

ROOT = Path(__file__).parents[2]
VERBS = [("import", command.name) for command in imports.registered_commands]
VERBS += [("export", command.name) for command in exports.registered_commands]


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exchange") / "dynamics"
    rng = np.random.default_rng(0)
    with tm.Recorder(folder, classes=3, level="logits") as recorder:
        for _ in range(3):
            recorder.update(np.arange(30), rng.normal(size=(30, 3)), np.arange(30) % 3)
            recorder.end_epoch()
    return folder


@pytest.mark.parametrize(("verb", "name"), VERBS)
def test_every_format_has_help_with_an_example_and_stands_in_the_documentation(verb: str, name: str) -> None:
    text = re.sub(r"[│\s]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", run(verb, name, "--help")))
    assert f"Example: trainmap {verb} {name} " in text
    assert f"trainmap {verb} {name} " in (ROOT / "docs" / "exchange.md").read_text()


def test_a_recording_goes_to_allenai_and_back(recording: Path, tmp_path: Path) -> None:
    assert "td_metrics.jsonl" in run("export", "allenai", recording, "--out", tmp_path / "model")
    text = run("import", "allenai", tmp_path / "model", "--out", tmp_path / "back")
    assert "30 examples, 3 epochs, 3 classes" in text
    back, before = tm.Dynamics.open(tmp_path / "back"), tm.Dynamics.open(recording)
    np.testing.assert_array_equal(back.column(1, "logits"), before.column(1, "logits").astype(np.float32))
    run("export", "allenai", recording, "--metrics-only", "--out", tmp_path / "metrics")
    assert [item.name for item in (tmp_path / "metrics").iterdir()] == ["td_metrics.jsonl"]


def test_a_map_comes_from_a_table_of_scores(recording: Path, tmp_path: Path) -> None:
    run("export", "allenai", recording, "--metrics-only", "--out", tmp_path)
    out = tmp_path / "map.parquet"
    text = run("import", "map", tmp_path / "td_metrics.jsonl", "--epochs", "3", "--out", out)
    assert "30 examples, confidence, variability, correctness, threshold_closeness, forgetting" in text
    own = tm.DataMap.from_dynamics(tm.Dynamics.open(recording))
    np.testing.assert_allclose(tm.DataMap.open(out).values("variability"), own.values("variability"), rtol=1e-12)
    with pytest.raises(TrainmapError, match="is there already; an import overwrites nothing"):
        run("import", "map", tmp_path / "td_metrics.jsonl", "--epochs", "3", "--out", out)
    (tmp_path / "scores.csv").write_text("image,p,sd,note\na,0.5,0.1,x\nb,0.7,0.2,y\n")
    named = ["--column", "id=image", "--column", "confidence=p", "--column", "variability=sd", "--leave-out", "note"]
    csv = ["import", "map", tmp_path / "scores.csv", "--epochs", "4", *named, "--out", tmp_path / "other.parquet"]
    assert "2 examples, confidence" in run(*csv)
    with pytest.raises(TrainmapError, match="--column is OURS=THEIRS"):
        run(
            "import", "map", tmp_path / "scores.csv", "--epochs", "4", "--column", "id", "--out", tmp_path / "x.parquet"
        )


def test_a_recording_goes_to_the_study_and_back_with_a_map(recording: Path, tmp_path: Path) -> None:
    run("export", "study", recording, "--out", tmp_path / "a.json")
    words = ("--classes", "3", "--out", tmp_path / "d", "--map", tmp_path / "map.parquet")
    run("import", "study", tmp_path / "a.json", *words)
    expected = tm.DataMap.from_dynamics(tm.Dynamics.open(recording))
    datamap = tm.DataMap.open(tmp_path / "map.parquet")
    for name in ("confidence", "variability", "correctness"):
        np.testing.assert_array_equal(datamap.values(name), expected.values(name))


def test_probabilities_go_out_and_come_back(recording: Path, tmp_path: Path) -> None:
    run("export", "pred-probs", recording, "--epoch", "2", "--out", tmp_path / "p.npz")
    run("import", "pred-probs", tmp_path / "p.npz", "--out", tmp_path / "d")
    before = tm.Dynamics.open(recording).block().p_gold[2]
    np.testing.assert_allclose(tm.Dynamics.open(tmp_path / "d").block().p_gold[0], before, atol=1e-3)


def test_tables_and_fields_are_written(recording: Path, tmp_path: Path) -> None:
    run("export", "table", recording, "--signals", "p_gold,margin", "--out", tmp_path / "long.parquet")
    assert pl.read_parquet(tmp_path / "long.parquet").columns == ["epoch", "id", "label", "p_gold", "margin"]
    tm.DataMap.from_dynamics(tm.Dynamics.open(recording)).save(tmp_path / "map.parquet")
    run("export", "spotlight", tmp_path / "map.parquet", "--dynamics", recording, "--out", tmp_path / "s.csv")
    assert "trajectory_p_gold" in pl.read_csv(tmp_path / "s.csv").columns
    run("export", "fiftyone", tmp_path / "map.parquet", "--out", tmp_path / "f.json")
    assert len(json.loads((tmp_path / "f.json").read_text())["samples"]) == 30


def test_a_mistake_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    words = ["import", "allenai", str(tmp_path), "--out", str(tmp_path / "d")]
    done = subprocess.run([sys.executable, "-m", "trainmap", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"trainmap: {tmp_path} holds no dynamics_epoch_N.jsonl\n"


@pytest.mark.parametrize("name", ["taken.parquet", "map.txt"])
def test_an_import_that_cannot_write_its_map_makes_nothing(recording: Path, tmp_path: Path, name: str) -> None:
    run("export", "study", recording, "--out", tmp_path / "a.json")
    (tmp_path / "taken.parquet").write_text("mine")
    words = [
        "import",
        "study",
        tmp_path / "a.json",
        "--classes",
        "3",
        "--out",
        tmp_path / "d",
        "--map",
        tmp_path / name,
    ]
    with pytest.raises(TrainmapError, match=r"is there already; an import overwrites nothing|must end in \.parquet"):
        CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert not (tmp_path / "d").exists()
    assert (tmp_path / "taken.parquet").read_text() == "mine"
