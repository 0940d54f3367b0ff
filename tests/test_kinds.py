"""What is not of the kind that is needed, as a value, as a path, on the command line: one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.data.dataset import load_splits
from trainmap.dynamics.exchange.allenai import export_epochs
from trainmap.dynamics.exchange.long_table import export_long, trajectories
from trainmap.dynamics.exchange.pred_probs import pred_probs
from trainmap.dynamics.exchange.study_json import export_study
from trainmap.maps.exchange import (
    add_columns,
    export_allenai,
    export_fiftyone,
    export_metrics,
    export_spotlight,
    study_map,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, a map and a card."""
    folder, generator = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    with tm.Recorder(folder / "dynamics", 3) as recorder:
        for _ in range(3):
            recorder.update(range(60), generator.normal(size=(60, 3)), np.arange(60) % 3)
            recorder.end_epoch()
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(folder / "dynamics"))
    datamap.save(folder / "map.parquet")
    tm.select(datamap, "33% ambiguous").save(folder / "card.json")
    return folder


@pytest.fixture(scope="module")
def values(place: Path) -> dict[str, Any]:
    recording, datamap = tm.Dynamics.open(place / "dynamics"), tm.DataMap.open(place / "map.parquet")
    return {
        "recording": recording,
        "map": datamap,
        "selection": tm.Selection.open(place / "card.json"),
        "audit": tm.audit(recording),
        "block": recording.block(),
        "table": datamap.table,
        "name": "map.parquet",
        "path": place / "map.parquet",
        "nothing": None,
        "number": 5,
        "array": np.zeros(3),
    }


NEEDS: dict[str, tuple[Any, str]] = {
    "compute": (tm.compute, "recording"),
    "from_dynamics": (tm.DataMap.from_dynamics, "recording"),
    "audit": (tm.audit, "recording"),
    "audit_threshold_samples": (lambda v: tm.audit_threshold_samples(v, v), "recording"),
    "converged": (tm.converged, "recording"),
    "agreement_by_epoch": (tm.agreement_by_epoch, "recording"),
    "pred_probs": (pred_probs, "recording"),
    "export_epochs": (lambda v: export_epochs(v, "x"), "recording"),
    "export_allenai": (lambda v: export_allenai(v, "x"), "recording"),
    "export_metrics": (lambda v: export_metrics(v, "x.jsonl"), "recording"),
    "export_study": (lambda v: export_study(v, "x.json"), "recording"),
    "export_long": (lambda v: export_long(v, "x.parquet"), "recording"),
    "study_map": (study_map, "recording"),
    "trajectories": (trajectories, "recording"),
    "select": (lambda v: tm.select(v, "10% random"), "map"),
    "select_by": (lambda v: tm.select_by(v, "random", 3), "map"),
    "advise": (lambda v: tm.advise(v, 3), "map"),
    "race": (lambda v: tm.race(v, 3, lambda examples, seed: 0.0), "map"),
    "plot_map": (lambda v: tm.plot_map(v, "x.png"), "map"),
    "compare": (lambda v: tm.compare(v, v), "map"),
    "intervals": (lambda v: tm.intervals([v, v], "aum"), "map"),
    "Selection.of": (lambda v: tm.Selection.of(v, [0], "mine"), "map"),
    "add_columns": (lambda v: add_columns([], v), "map"),
    "export_fiftyone": (lambda v: export_fiftyone(v, "x.json"), "map"),
    "export_spotlight": (lambda v: export_spotlight(v, "x.csv"), "map"),
}
GENERAL: dict[str, Callable[[Any, Any], Any]] = {
    "parse": lambda v, have: tm.parse(v),
    "score": lambda v, have: tm.score(v),
    "hard_first": lambda v, have: tm.hard_first(v, np.zeros(3), np.arange(3)),
    "hard_first's values": lambda v, have: tm.hard_first("aum", v, np.arange(3)),
    "intervals' maps": lambda v, have: tm.intervals(v, "aum"),
    "compute's scores": lambda v, have: tm.compute(have["recording"], [v]),
    "audit's flips": lambda v, have: tm.audit(have["recording"], flips=v),
    "select_by's strategy": lambda v, have: tm.select_by(have["map"], v, 3),
    "values": lambda v, have: have["map"].values(v),
    "plan_flips": lambda v, have: tm.plan_flips(v),
    "plan_threshold_samples": lambda v, have: tm.plan_threshold_samples(v),
    "Recorder": lambda v, have: tm.Recorder(v, 3),
    "Recorder's fold": lambda v, have: tm.Recorder("x", 3, fold=v),
    "CrossFit": lambda v, have: tm.CrossFit(v),
    "CrossFit's labels": lambda v, have: tm.CrossFit([1, 2], v),
    "cross_fit": lambda v, have: tm.cross_fit(v, v, v, "x"),
    "cross_fit's path": lambda v, have: tm.cross_fit(have, have, have, v),
    "RecordingMetric": lambda v, have: tm.RecordingMetric(v, None),
    "JaxRecorder": lambda v, have: tm.JaxRecorder(v, 3),
    "KerasRecorder": lambda v, have: tm.KerasRecorder(v, "x"),
    "LightningRecorder": lambda v, have: tm.LightningRecorder(v, classes=3),
    "SklearnRecorder": lambda v, have: tm.SklearnRecorder(v),
    "record_stages": lambda v, have: tm.record_stages(v, [[0.0]], [0], "x"),
    "attach": lambda v, have: tm.attach(v, "x"),
    "with_ids": lambda v, have: tm.with_ids(v),
    "map_from_table": lambda v, have: tm.map_from_table(v, 3),
    "explore": lambda v, have: tm.explore(v, 5),
    "explore's data": lambda v, have: tm.explore(have["map"], v),
    "explore's selections": lambda v, have: tm.explore(have["map"], selections={"chosen": have["map"], "other": v}),
    "save": lambda v, have: have["map"].save(v),
    "Dynamics.open": lambda v, have: tm.Dynamics.open(v),
    "DataMap.open": lambda v, have: tm.DataMap.open(v),
    "Selection.open": lambda v, have: tm.Selection.open(v),
    "Race.open": lambda v, have: tm.Race.open(v),
    "race's judge": lambda v, have: tm.race(have["map"], 3, v),
    "race's candidates": lambda v, have: tm.race(have["map"], 3, lambda examples, seed: 0.0, candidates=v),
}
ANSWERS = ("Block", "Features", "Score", "SCORES", "STRATEGIES", "fingerprint", "__version__")


def test_every_public_function_is_asked() -> None:
    asked = {name.split("'")[0].split(".")[0] for name in (*NEEDS, *GENERAL)} | {"DataMap", "Dynamics", "Selection"}
    public = {name for name in tm.__all__ if not name.endswith("Error")} - set(ANSWERS)
    assert public <= asked, public - asked


@pytest.mark.parametrize("name", NEEDS)
def test_a_value_of_another_kind_is_refused_by_name_with_what_to_do(name: str, values: dict[str, Any]) -> None:
    call, kind = NEEDS[name]
    for given, value in values.items():
        if given == kind or (name, given) == ("plot_map", "audit"):  # which has a table as well: a column is missing
            continue
        with pytest.raises(tm.TrainmapError, match=rf"a {kind} is needed, got .*; (open|make)") as caught:
            call(value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", GENERAL)
def test_values_of_ours_in_the_wrong_place_give_no_foreign_error(name: str, values: dict[str, Any]) -> None:
    for given in ("recording", "map", "selection", "audit"):
        with pytest.raises(tm.TrainmapError):
            GENERAL[name](values[given], values)


def test_a_plot_takes_anything_that_has_what_a_map_has(values: dict[str, Any], tmp_path: Path) -> None:
    class Like:
        table, epochs, rule = values["map"].table, 3, "quantile"

    assert tm.plot_map(Like(), tmp_path / "map.png").exists()


VERBS = {
    "a recording for a map": ("select {dynamics} 10% --out c.json", "is a recording; a map is needed.* trainmap map"),
    "a card for a map": ("select {card} 10% --out c.json", "is a file; a map is needed"),
    "a table of data for a map": ("select {csv} 10% --out c.json", "sms.csv is a file; a map is needed"),
    "a folder for a map": ("select {empty} 10% --out c.json", "is a folder; a map is needed.*trainmap map DYNAMICS"),
    "a recording for a map to export": ("export spotlight {dynamics} --out t.csv", "a recording; a map is needed"),
    "a map for a recording": ("map {map} --out m.parquet", "is a file; a dynamics folder is needed"),
    "a map to score": ("score {map} --out s.csv", "is a file; a dynamics folder is needed"),
    "a map to audit": ("audit {map} --out s.csv", "is a file; a dynamics folder is needed"),
    "a map whose probabilities are asked": ("export pred-probs {map} --out p.npz", "a dynamics folder is needed"),
    "no logits": ("export pred-probs {dynamics} --out p.npz", "need logits.* record with level='logits'"),
    "no logits for allenai": ("export allenai {dynamics} --out x", "needs logits.* record with level='logits'"),
    "json for data": (
        "demo --data a.json --out x",
        r"is \.parquet, \.csv.* or \.npz .*read_json\('.*'\)\.write_parquet",
    ),
    "a csv without a label": ("demo --data {pairs} --out x", r"there must be a column 'label'"),
    "a column that is not there": ("demo --data {csv}:label=kind --out x", r"must be a column 'kind' \(the label\)"),
    "a folder that is nowhere": ("demo --data folder:nowhere --out x", "nowhere is not a folder, nor under the data"),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_says_in_one_line_what_to_do_and_exits_2(
    name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "sms.csv").write_text("text,label\nhi,ham\n")
    (tmp_path / "pairs.csv").write_text("text,kind\nhi,ham\n")
    (tmp_path / "a.json").write_text("[]")
    paths = {"dynamics": place / "dynamics", "map": place / "map.parquet", "card": place / "card.json"}
    line, message = VERBS[name]
    words = [
        word.format(csv=tmp_path / "sms.csv", pairs=tmp_path / "pairs.csv", empty=tmp_path / "empty", **paths)
        for word in line.split(" ")
    ]
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, tm.TrainmapError)
    with pytest.raises(tm.TrainmapError, match=message):
        raise found.exception
    assert "\n" not in str(found.exception)


def test_a_folder_of_images_is_looked_for_under_the_data_root_too(tmp_path: Path) -> None:
    from PIL import Image

    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), number).save(tmp_path / "pets" / label / f"{number}.png")
    splits = load_splits("folder:pets", data_root=tmp_path)
    assert splits.fingerprint() == load_splits(f"folder:{tmp_path / 'pets'}").fingerprint()
