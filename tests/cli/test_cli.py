"""Rules over every verb of the command, and the verbs on a small recording."""

from __future__ import annotations

import csv
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
from trainmap.cli.app import app, main

ROOT = Path(__file__).parents[2]
VERBS = sorted(
    str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback
)
runner = CliRunner()


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The real command, as a process."""
    return subprocess.run(
        [sys.executable, "-m", "trainmap", *map(str, words)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 examples, 4 classes, 5 epochs."""
    folder = tmp_path_factory.mktemp("cli") / "dynamics"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    skill = rng.normal(1, 1, 300)
    with tm.Recorder(folder, classes=4, ids=np.arange(300), labels=labels) as recorder:
        for epoch in range(5):
            logits = rng.normal(size=(300, 4))
            logits[np.arange(300), labels] += skill * epoch
            recorder.update(np.arange(300), logits, labels)
            recorder.end_epoch()
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_that_names_it(verb: str) -> None:
    result = runner.invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    text = re.sub(r"[│\s]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", result.stdout))
    assert f"Example: trainmap {verb} " in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_stands_in_the_documentation(verb: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"trainmap {verb} " in page.read_text() for page in pages)


def test_the_command_and_the_package_import_neither_torch_nor_matplotlib() -> None:
    code = "import sys, trainmap, trainmap.cli.app; "
    code += "print([m for m in ('torch', 'matplotlib', 'polars') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_score_writes_one_row_for_every_example_as_csv_and_as_parquet(recording: Path, tmp_path: Path) -> None:
    for name in ("scores.csv", "scores.parquet"):
        assert runner.invoke(app, ["score", str(recording), "--out", str(tmp_path / name)]).exit_code == 0
    with open(tmp_path / "scores.csv") as handle:
        rows = list(csv.DictReader(handle))
    table = pl.read_parquet(tmp_path / "scores.parquet")
    assert [int(row["id"]) for row in rows] == table["id"].to_list() == list(range(300))
    assert table.columns[:2] == ["id", "label"]
    expected = tm.compute(tm.Dynamics.open(recording))
    assert set(expected) == set(table.columns[2:]) == set(rows[0]) - {"id", "label"}
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)
        np.testing.assert_allclose([float(row[name]) for row in rows], values)


def test_map_select_and_show_go_from_a_recording_to_a_card(recording: Path, tmp_path: Path) -> None:
    datamap, card = tmp_path / "map.parquet", tmp_path / "card.json"
    made = command("map", recording, "--plot", tmp_path / "map.png", "--out", datamap)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    chosen = command("select", datamap, "17% ambiguous + 25% easy-to-learn", "--seed", "1", "--out", card)
    assert chosen.returncode == 0, chosen.stderr
    assert "126 of 300" in chosen.stdout
    assert json.loads(card.read_text())["spec"] == "17% ambiguous + 25% easy-to-learn"
    for path, word in ((recording, "epochs"), (datamap, "ambiguous"), (card, "passed over")):
        shown = command("show", path)
        assert shown.returncode == 0, shown.stderr
        assert word in shown.stdout
    advised = command("select", datamap, "50% auto", "--noise", "0.1", "--distilled", "--out", tmp_path / "auto.json")
    told = " ".join(advised.stdout.split())
    assert "Keep 150 of 300 examples" in told, advised.stderr
    assert "You say that 10.0% of the labels are wrong: the 30 of lowest AUM are cut." in told
    assert "learns from a teacher" in told
    assert "noise=0.1" in json.loads((tmp_path / "auto.json").read_text())["spec"]
    refused = command("select", datamap, "50% random", "--noise", "0.1", "--out", card)
    assert (refused.returncode, "--noise, --distilled and --held-out go with 'auto' alone" in refused.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nowhere"), "there is nothing at nowhere"),
        (("score", "nowhere", "--out", "x.csv"), "is not a dynamics folder"),
        (("map", "nowhere"), "nothing to write"),
        (("select", "nowhere.parquet", "33% random", "--out", "c.json"), "there is no map at nowhere.parquet"),
        (("demo", "--out", "x", "--data", "digit"), "did you mean 'digits'?"),
        (("demo", "--out", "x", "--students", "cnn-9"), "unknown model 'cnn-9'"),
        (("demo", "--out", "x", "--subsets", "ambigous"), "did you mean 'ambiguous'?"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainmap", *words])
    with pytest.raises(SystemExit) as left:
        main()
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert message in error
    assert error.startswith("trainmap: ")
    assert len(error.strip().splitlines()) == 1


def test_the_real_command_leaves_with_2_and_writes_nothing_after_a_mistake(recording: Path, tmp_path: Path) -> None:
    done = command("score", recording, "--scores", "variabilty", "--out", tmp_path / "x.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("trainmap: unknown score 'variabilty'; did you mean 'variability'?")
    assert not (tmp_path / "x.csv").exists()
