"""Maps in other tools' formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.dynamics.exchange.allenai import import_allenai
from trainmap.dynamics.exchange.study_json import import_study
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.exchange import (
    export_allenai,
    export_fiftyone,
    export_metrics,
    export_spotlight,
    spotlight_table,
    study_map,
)

GOLDEN = Path(__file__).parents[1] / "recorded" / "allenai_golden.json"
COLUMNS = ["guid", "index", "threshold_closeness", "confidence", "variability", "correctness", "forgetfulness"]


def record(path: Path, names: bool = False, **options: Any) -> Dynamics:
    rng = np.random.default_rng(0)
    ids = np.array([f"n{i:03}" for i in range(60)]) if names else np.arange(60)
    labels = np.arange(60) % 3
    with Recorder(path, 3, ids=ids, labels=labels, **options) as recorder:
        for epoch in range(4):
            logits = rng.normal(size=(60, 3))
            logits[np.arange(60), labels] += epoch * (np.arange(60) % 7 - 1)
            recorder.update(ids, logits, labels)
            recorder.end_epoch()
    return Dynamics.open(path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- allenai/cartography ---


def test_td_metrics_equal_those_of_the_reference_code(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    folder = tmp_path / "model" / "training_dynamics"
    folder.mkdir(parents=True)
    for epoch, records in enumerate(golden["epochs"]):
        records = [records[i] for i in (3, 0, 5, 1, 4, 2)]  # the order of appearance is not that of the guids
        (folder / f"dynamics_epoch_{epoch}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    dynamics = import_allenai(tmp_path / "model", tmp_path / "d")
    got = read_lines(export_metrics(dynamics, tmp_path / "td_metrics.jsonl"))
    case = next(case for case in golden["cases"] if case["burn_out"] == 100 and not case["include_ci"])
    expected = {metrics["guid"]: metrics for metrics in case["metrics"]}
    assert [line["guid"] for line in got] == ["d", "a", "f", "b", "e", "c"]
    assert [line["index"] for line in got] == list(range(6))
    for line in got:
        assert list(line) == COLUMNS
        for name in COLUMNS[2:5]:
            assert line[name] == pytest.approx(expected[line["guid"]][name], abs=1e-7)
        for name in COLUMNS[5:]:
            assert line[name] == expected[line["guid"]][name]
            assert type(line[name]) is int


def test_td_metrics_read_back_as_equal_floats(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    got = read_lines(export_metrics(dynamics, tmp_path / "td_metrics.jsonl"))
    table = DataMap.from_dynamics(dynamics, ["threshold_closeness", "forgetting"]).table
    for name in ("threshold_closeness", "confidence", "variability", "correctness"):
        assert [line[name] for line in got] == table[name].to_list()
    forgetting = [1000 if np.isinf(value) else value for value in table["forgetting"].to_list()]
    assert [line["forgetfulness"] for line in got] == forgetting
    assert 1000 in forgetting


def test_without_logits_only_the_metrics_can_be_exported(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    with pytest.raises(TrainmapError, match=r"needs logits.*or export td_metrics.jsonl alone"):
        export_allenai(dynamics, tmp_path / "model")
    assert not (tmp_path / "model" / "td_metrics.jsonl").exists()
    assert export_allenai(dynamics, tmp_path / "model", metrics_only=True) == [tmp_path / "model" / "td_metrics.jsonl"]


def test_with_logits_a_whole_model_folder_is_exported(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d", level="logits")
    export_allenai(dynamics, tmp_path / "model")
    assert import_allenai(tmp_path / "model", tmp_path / "back").epochs == 4
    assert len(read_lines(tmp_path / "model" / "td_metrics.jsonl")) == 60


def test_examples_that_were_never_seen_have_no_metrics(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3, ids=[1, 2, 9], labels=[0, 1, 2], allow_missing=True) as recorder:
        recorder.update([1, 2], np.zeros((2, 3)), [0, 1])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match=r"1 examples were seen in no epoch \(first: 9\)"):
        export_metrics(Dynamics.open(tmp_path / "d"), tmp_path / "td_metrics.jsonl")


# --- the study ---


def study_file(path: Path, **change: Any) -> Path:
    p = np.random.default_rng(0).random((9, 4)).astype(np.float32)
    content = {
        str(i): {
            "gold_label_probs": row.tolist(),
            "confidence": float(row.mean()),
            "variability": float(row.std()),
            "correctness": float((row > 0.5).mean()),
            "forgetfulness": float(np.polyfit(np.arange(4), row, 1)[0]),
        }
        for i, row in enumerate(p)
    }
    content["4"] |= change
    path.write_text(json.dumps(content))
    return path


def test_a_study_file_becomes_a_map_with_its_correctness_as_a_count(tmp_path: Path) -> None:
    content = json.loads(study_file(tmp_path / "a.json").read_text())
    datamap = study_map(import_study(tmp_path / "a.json", tmp_path / "d", classes=10))
    assert (datamap.epochs, datamap.source) == (4, "sweep")
    for name, key in (("confidence", "confidence"), ("variability", "variability"), ("slope", "forgetfulness")):
        np.testing.assert_allclose(datamap.values(name), [entry[key] for entry in content.values()], atol=1e-6)
    assert datamap.values("correctness").tolist() == [4 * entry["correctness"] for entry in content.values()]
    assert set(datamap.table["region"].drop_nulls()) == {"easy-to-learn", "ambiguous", "hard-to-learn"}
    assert DataMap.open(datamap.save(tmp_path / "map.parquet")).fingerprint == datamap.fingerprint


@pytest.mark.parametrize("change", [{"correctness": 0.3}, {"confidence": 0.999}])
def test_a_study_file_that_contradicts_itself_makes_no_map(tmp_path: Path, change: dict[str, float]) -> None:
    made = import_study(study_file(tmp_path / "a.json", **change), tmp_path / "d", classes=10)
    with pytest.raises(TrainmapError, match=r"1 examples .* contradict \(first: 4\)"):
        study_map(made)


def test_only_an_import_of_the_study_has_a_study_map(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="was not imported from the study"):
        study_map(record(tmp_path / "d"))


# --- explorers ---


def test_fiftyone_fields_are_strict_json_with_every_value(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    datamap = DataMap.from_dynamics(dynamics, ["confidence", "forgetting"])

    def refuse(token: str) -> None:
        raise AssertionError(token)

    text = export_fiftyone(datamap, tmp_path / "f.json", dynamics).read_text()
    content = json.loads(text, parse_constant=refuse)
    assert content["key_field"] == "trainmap_id"
    samples = content["samples"]
    assert [sample["trainmap_id"] for sample in samples] == datamap.table["id"].to_list()
    for name in ("label", "confidence", "variability", "correctness", "forgetting", "region"):
        assert [sample[name] for sample in samples] == datamap.table[name].to_list()
    assert np.isinf([sample["forgetting"] for sample in samples]).any()
    np.testing.assert_array_equal([s["trajectory_p_gold"] for s in samples], dynamics.block().p_gold.T)


def test_fiftyone_fields_of_unseen_epochs_are_null(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3, ids=[1, 2], labels=[0, 1], allow_missing=True) as recorder:
        for ids in ([1, 2], [2]):
            recorder.update(ids, np.zeros((len(ids), 3)), [i - 1 for i in ids])
            recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    datamap = DataMap.from_dynamics(dynamics, ["confidence"])
    samples = json.loads(export_fiftyone(datamap, tmp_path / "f.json", dynamics).read_text())["samples"]
    assert samples[0]["trajectory_p_gold"][1] is None
    with pytest.raises(TrainmapError, match=r"which a CSV cannot say; write .parquet"):
        export_spotlight(datamap, tmp_path / "s.csv", dynamics)
    assert not (tmp_path / "s.csv").exists()
    lists = pl.read_parquet(export_spotlight(datamap, tmp_path / "s.parquet", dynamics))["trajectory_p_gold"].to_list()
    assert np.isnan(lists[0][1])


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_spotlight_table_has_the_map_and_its_trajectories(tmp_path: Path, ending: str) -> None:
    dynamics = record(tmp_path / "d", names=True)
    datamap = DataMap.from_dynamics(dynamics, ["confidence"])
    path = export_spotlight(datamap, tmp_path / f"s.{ending}", dynamics, ["p_gold", "predicted"])
    table = pl.read_parquet(path) if ending == "parquet" else pl.read_csv(path)
    assert table.columns == [*datamap.table.columns, "trajectory_p_gold", "trajectory_predicted"]
    assert table["confidence"].to_list() == datamap.table["confidence"].to_list()
    for name in ("p_gold", "predicted"):
        lists = table[f"trajectory_{name}"].to_list()
        lists = lists if ending == "parquet" else [json.loads(value) for value in lists]
        np.testing.assert_array_equal(np.array(lists), dynamics.block()[name].T)


def test_trajectories_need_the_dynamics_of_the_map(tmp_path: Path) -> None:
    datamap = DataMap.from_dynamics(record(tmp_path / "d"), ["confidence"])
    assert spotlight_table(datamap).columns == datamap.table.columns
    with pytest.raises(TrainmapError, match="must have the same ids"):
        spotlight_table(datamap, record(tmp_path / "e", names=True))
    with pytest.raises(TrainmapError, match=r"written as .parquet or .csv, got s.xlsx"):
        export_spotlight(datamap, tmp_path / "s.xlsx")
