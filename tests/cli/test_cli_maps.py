"""The verbs compare and audit, on small recordings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.audits.planted import plan_flips, plan_threshold_samples
from trainmap.cli.app import app, main

runner = CliRunner()
LABELS = np.random.default_rng(0).integers(0, 4, 300)


def record(folder: Path, seed: int, labels: np.ndarray = LABELS, classes: int = 4, source: str = "train") -> Path:
    """300 examples, 6 epochs; the network learns LABELS whatever it is told."""
    rng = np.random.default_rng(seed)
    ids, skill = np.arange(300), np.random.default_rng(9).uniform(0.5, 2, 300)
    with tm.Recorder(folder, classes, ids, labels, source=source) as recorder:  # type: ignore[arg-type]
        for epoch in range(6):
            logits = rng.normal(0, 0.5, (300, classes))
            logits[ids, LABELS] += skill * epoch
            recorder.update(ids, logits, labels)
            recorder.end_epoch()
    return folder


def run(*words: str | Path) -> str:
    done = runner.invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_recordings_are_compared_as_a_table_and_as_json(tmp_path: Path) -> None:
    a, b = record(tmp_path / "a", 1), record(tmp_path / "b", 2)
    shown = run("compare", a, b, "--scores", "confidence,aum", "--fractions", "0.2")
    assert "top 20%" in shown
    assert "variability" not in shown
    assert "kappa" in shown
    found = json.loads(run("compare", a, b, "--json", "--epochs", "4"))
    assert found["epochs"] == [4, 4]
    confidence = next(score for score in found["scores"] if score["score"] == "confidence")
    assert confidence["spearman"] > 0.5
    assert confidence["top"][0]["chance_share"] == pytest.approx(0.1)


def test_a_saved_map_is_compared_with_a_recording(tmp_path: Path) -> None:
    a, b = record(tmp_path / "a", 1), record(tmp_path / "b", 2)
    saved = tm.DataMap.from_dynamics(tm.Dynamics.open(a), ["aum"]).save(tmp_path / "a.parquet")
    found = json.loads(run("compare", saved, b, "--json"))
    assert {score["score"] for score in found["scores"]} == {"confidence", "variability", "correctness", "aum"}


def test_one_recording_is_compared_with_itself_over_its_epochs(tmp_path: Path) -> None:
    a = record(tmp_path / "a", 1)
    shown = run("compare", a, "--scores", "aum")
    assert "with the first" in shown
    assert "aum: the ranking" in shown
    found = json.loads(run("compare", a, "--json"))
    assert [one["score"] for one in found] == ["confidence", "variability", "aum"]
    assert len(found[0]["table"]) == 6


def test_sources_are_not_compared_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = record(tmp_path / "a", 1), record(tmp_path / "b", 1, source="sweep")
    monkeypatch.setattr(sys, "argv", ["trainmap", "compare", str(a), str(b)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert "got train and sweep; allow 'source'" in error
    assert error.count("\n") == 1
    assert "train and sweep" in run("compare", a, b, "--allow", "source")


def test_an_audit_writes_its_table_and_shows_the_worst(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[::10] = (labels[::10] + 1) % 4
    out = tmp_path / "errors.csv"
    shown = run("audit", record(tmp_path / "a", 1, labels), "--out", out)
    assert "suspected" in shown
    table = pl.read_csv(out)
    assert set(table["id"][:20]) <= set(range(0, 300, 10))
    for rule in ("aum", "confidence", "mixture"):
        run("audit", tmp_path / "a", "--rule", rule, "--out", tmp_path / "errors.parquet")
    run("audit", tmp_path / "a", "--threshold", "0.9", "--out", out)
    assert pl.read_csv(out)["suspected"].sum() < table["suspected"].sum()


def test_planted_flips_show_the_estimated_precision(tmp_path: Path) -> None:
    flips = plan_flips(LABELS, 0.1)
    plan = flips.save(tmp_path / "flips.json")
    folder = record(tmp_path / "a", 1, flips.apply(np.arange(300), LABELS))
    shown = run("audit", folder, "--flips", plan, "--threshold", "flips", "--out", tmp_path / "e.csv")
    assert "planted flips" in shown
    assert "of 30 suspected" in shown


def test_two_runs_with_threshold_samples_are_audited_together(tmp_path: Path) -> None:
    plan = plan_threshold_samples(LABELS, classes=4)
    a, b = (record(tmp_path / f"{i}", i, plan.apply(i, np.arange(300), LABELS), classes=5) for i in (0, 1))
    assert "aum with threshold samples" in run("audit", a, "--second", b, "--out", tmp_path / "e.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "nowhere", "nowhere"), "is not a dynamics folder"),
        (("compare", "A", "A", "--fractions", "a third"), "--fractions must be a number"),
        (("compare", "A", "A", "--allow", "sources"), "did you mean 'source'?"),
        (("compare", "A", "--scores", "confidnce"), "did you mean 'confidence'?"),
        (("compare", "A", "--epochs", "3"), "--fractions, --epochs and --allow are for comparing two maps; pass B"),
        (("compare", "A", "--fractions", "0.1"), "are for comparing two maps; pass B"),
        (("compare", "A", "--allow", "source"), "are for comparing two maps; pass B"),
        (("compare", "A", "A", "--scores", ""), "a list needs at least one name"),
        (("score", "A", "--out", "e.csv", "--scores", ","), "a list needs at least one name"),
        (("map", "A", "--out", "e.parquet", "--scores", ""), "a list needs at least one name"),
        (("map", "nowhere", "--out", "e.csv"), "its name must end in .parquet, got e.csv"),
        (("map", "nowhere", "--plot", "e.txt"), "a picture must be .png"),
        (("audit", "A", "--out", "f/e.csv"), "f/e.csv cannot be written: "),
        (("map", "A", "--out", "f/e.parquet"), "f/e.parquet cannot be written: "),
        (("map", "A", "--plot", "f/e.png"), "f/e.png cannot be written: "),
        (("audit", "A", "--out", "e.csv", "--flips", "."), ". cannot be read: Is a directory"),
        (("audit", "nowhere", "--out", "e.txt"), ".parquet or .csv"),
        (("audit", "A", "--out", "e.csv", "--rule", "combine"), "did you mean 'combined'?"),
        (("audit", "A", "--out", "e.csv", "--threshold", "high"), "--threshold must be a number"),
        (("audit", "A", "--out", "e.csv", "--flips", "nowhere.json"), "there is no plan"),
        (("audit", "A", "--out", "e.csv", "--second", "A", "--threshold", "1"), "have their own rule"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path,
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a = str(record(tmp_path / "a", 1)) if "A" in words else ""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("a file, not a folder")
    monkeypatch.setattr(sys, "argv", ["trainmap", *(a if word == "A" else word for word in words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("e.*"))


def test_the_truth_of_synthetic_data_is_written_and_told(tmp_path: Path) -> None:
    told = run("truth", "synthetic:examples=500,wrong=0.2,tests=60", "--out", tmp_path / "truth.parquet")
    assert "500 examples (250 clean, 50 overlap, 100 wrong-label, 25 duplicate, 25 near-duplicate, 25 rare-" in told
    assert "60 in each other part" in told
    assert "best possible accuracy on the test part: 9" in told
    assert pl.read_parquet(tmp_path / "truth.parquet")["kind"].value_counts(sort=True)[0, "kind"] == "clean"
    assert "500 examples" in run("truth", "synthetic:examples=500", "--out", tmp_path / "truth.parquet")
    for words, message in (
        (("synthetic:wrog=1",), "did you mean 'wrong'?"),
        (("digits",), "synthetic data are 'synthetic' or"),
        (("--out", tmp_path / "truth.csv"), "must end in .parquet"),
    ):
        out = () if "--out" in words else ("--out", tmp_path / "other.parquet")
        done = runner.invoke(app, ["truth", *map(str, (*words, *out))])
        assert message in str(done.exception)
