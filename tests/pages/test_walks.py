"""The commands of the pages are run as they stand, in their order, in a folder with what the page takes as there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from shown import PAGES, ROOT, Shown, commands, is_for_the_reader
from test_command_lines import is_a_mention
from tiny_training import map_of, record, splits_of
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app

LONG = "an experiment of minutes or hours, most on data that is not here; tests/experiments plans its file"
NOT_RUN = {  # how a line begins -> why it is only parsed (test_command_lines.py)
    "trainmap run experiments/": LONG,
    "trainmap federate experiments/federated_quick.yaml --out": LONG,
    "trainmap federate experiments/federated_images.yaml": LONG,
    "trainmap status federated": LONG,
    "trainmap demo --data": "a demo on data that is not here",
    "trainmap demo --out demo": "three minutes; a smaller one stands for it (the fixture `demo`)",
}

Lay = Callable[[Path], object]

# --- what the pages take as there -----------------------------------------------------------------------------------


def of_digits(folder: Path) -> None:
    train = splits_of("digits").train
    record(folder / "demo" / "dynamics", train.ids, train.y)


def of_flips(folder: Path) -> None:
    ids, labels = np.arange(600), np.arange(600) % 10
    flips = tm.plan_flips(labels, 0.05, seed=0, ids=ids)
    flips.save(folder / "flips.json")
    record(folder / "dynamics", ids, flips.apply(ids, labels))


def of_predictions(folder: Path) -> None:
    from trainmap.evaluation.predictions import Predictions

    labels, draws = np.arange(300) % 3, np.random.default_rng(0)
    for name, share in (("before", 0.05), ("after", 0.2), ("other-seed", 0.06)):
        predicted = np.where(draws.random(300) < share, (labels + 1) % 3, labels)
        Predictions.of(np.arange(300), labels, predicted).save(folder / f"{name}.parquet")
    map_of(folder / "dynamics", np.arange(300), labels, classes=3).save(folder / "test-map.parquet")


def of_threshold_samples(folder: Path) -> None:
    of_flips(folder)
    ids, labels = np.arange(600), np.arange(600) % 10
    plan = tm.plan_threshold_samples(labels, seed=0, ids=ids)
    for run in (0, 1):
        record(folder / f"run{run}", ids, plan.apply(run, ids, labels), classes=11)


def of_seeds(folder: Path) -> None:
    record(folder / "dynamics")
    for seed in range(3):
        record(folder / f"seed{seed}" / "dynamics", seed=seed)
    for seed, name in enumerate(("big-model", "small-model")):
        map_of(folder / "other", seed=seed).save(folder / f"{name}.parquet")


def of_other_tools(folder: Path) -> None:
    from trainmap.dynamics.exchange import export_study
    from trainmap.maps import export_allenai

    theirs = record(folder / "theirs")
    export_allenai(theirs, folder / "runs" / "snli")
    export_study(theirs, folder / "vit_training_dynamics.json")
    (folder / "td_metrics.jsonl").write_bytes((folder / "runs" / "snli" / "td_metrics.jsonl").read_bytes())
    table = tm.DataMap.from_dynamics(theirs).table.select("id", "confidence", "variability")
    table = table.rename({"id": "image", "confidence": "mean_p"}).with_columns(note=table["id"].cast(str))
    table.write_csv(folder / "scores.csv")


def of_readme(folder: Path) -> None:
    record(folder / "dynamics")
    for seed, name in enumerate(("run-a", "run-b")):
        record(folder / name, seed=seed)


def of_the_repository(folder: Path) -> None:
    shutil.copytree(ROOT / "experiments", folder / "experiments")


def of_map_and_recording(folder: Path) -> None:
    map_of(folder / "dynamics").save(folder / "map.parquet")


LAID: Mapping[tuple[str, str], Lay] = {  # page and section ("" for those that are not named) -> what they take as there
    ("README.md", ""): of_readme,
    ("audit.md", ""): of_threshold_samples,
    ("compression.md", ""): of_predictions,
    ("conventions.md", ""): of_map_and_recording,
    ("deploying.md", ""): lambda folder: record(folder / "folder" / "dynamics"),
    ("deploying.md", "The settings: once, anywhere"): of_the_repository,
    ("exchange.md", ""): of_map_and_recording,
    ("exchange.md", "allenai/cartography"): of_other_tools,
    ("exchange.md", "Maps that were computed elsewhere"): of_other_tools,
    ("exchange.md", "The study's files"): of_other_tools,
    ("exploring.md", ""): of_digits,
    ("grids.md", ""): of_the_repository,
    ("guide.md", ""): lambda folder: record(folder / "dynamics"),
    ("quickstart.md", ""): lambda folder: record(folder / "dynamics"),
    ("reliability.md", ""): lambda folder: record(folder / "dynamics"),
    ("selecting.md", ""): lambda folder: map_of(folder / "other").save(folder / "map.parquet"),
    ("selection.md", ""): lambda folder: map_of(folder / "other").save(folder / "map.parquet"),
    ("stability.md", ""): of_seeds,
}
# --- the walks ------------------------------------------------------------------------------------------------------

DEMO = (("README.md", "The command"), ("compression.md", "Compression, and what it forgets"))  # a demo is there
SLOW = (*DEMO, ("models.md", "Models"))


def reason(line: Shown) -> str:
    """Why a line is not run, or nothing."""
    if is_for_the_reader(line.words) or (is_a_mention(line) and line.words[-1] not in ("models", "schema")):
        return "something of the reader's has to stand in it"
    return next((why for start, why in NOT_RUN.items() if line.text.startswith(start)), "")


LINES = [line for page in PAGES for line in commands(page, "trainmap")]
WALKS = {
    place: list(dict.fromkeys(line.text for line in lines))
    for place, lines in groupby((line for line in LINES if not reason(line)), lambda line: (line.page, line.section))
}
CASES = [
    pytest.param(*place, id=" - ".join(place), marks=[pytest.mark.slow] if place in SLOW else []) for place in WALKS
]
runner = CliRunner()


def given(text: str) -> str:
    done = runner.invoke(app, Shown("", 0, "", text).words[1:], env={"COLUMNS": "200"})
    assert done.exit_code == 0, f"{text}\n{done.output}\n{done.exception!r}"
    return done.output


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo, as `trainmap demo` makes it, with one small student."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    small = "--teacher cnn-8 --teacher-epochs 4 --students mlp-256 --epochs 1 --seeds 1 --subsets random"
    given(f"trainmap demo {small} --distillation never --jobs 1 --out {folder}")
    return folder


@pytest.mark.parametrize(("page", "section"), CASES)
def test_the_commands_of_a_section_run_in_their_order(
    page: str, section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("trainmap.explorer.explored.serve", lambda _, **how: how["on_ready"]("here"))
    LAID.get((page, section), LAID.get((page, ""), lambda folder: None))(tmp_path)
    if (page, section) in DEMO:
        shutil.copytree(request.getfixturevalue("demo"), tmp_path / "demo", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for text in WALKS[page, section]:
        given(text)


def test_what_is_not_run_or_laid_out_stands_on_a_page() -> None:
    assert [start for start in NOT_RUN if not any(line.text.startswith(start) for line in LINES)] == []
    pages = {page for page, _ in WALKS}
    assert [place for place in LAID if (place not in WALKS if place[1] else place[0] not in pages)] == []
    assert [place for place in SLOW if place not in WALKS] == []
