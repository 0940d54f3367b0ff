"""A flag is True or False: whatever else comes is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.dynamics.exchange.allenai import import_allenai
from trainmap.dynamics.given import check_flag
from trainmap.maps.dataset_columns import add_columns
from trainmap.maps.exchange import export_allenai

NO_FLAGS = [1, 0, "yes", "no", "False", "", [], np.int64(1), np.array([True]), 1.0, None]
LOGITS = np.array([[2.0, 1.0, -3.0], [0.5, 4.0, 1.0], [1.0, 0.0, 2.0]])


def _record(path: Path, **how: Any) -> None:
    with tm.Recorder(path, 3, **how) as recorder:
        recorder.update([0, 1, 2], LOGITS, [0, 1, 2])
        recorder.end_epoch()


DOORS: dict[str, tuple[str, Callable[[Path, Any], Any]]] = {
    "Recorder allow_missing": ("allow_missing", lambda path, flag: tm.Recorder(path / "d", 3, allow_missing=flag)),
    "Recorder resume": ("resume", lambda path, flag: tm.Recorder(path / "d", 3, resume=flag)),
    "Recorder overwrite": ("overwrite", lambda path, flag: tm.Recorder(path / "d", 3, overwrite=flag)),
    "open allow_missing": ("allow_missing", lambda path, flag: tm.Dynamics.open(path / "d", allow_missing=flag)),
    "open verify": ("verify", lambda path, flag: tm.Dynamics.open(path / "d", verify=flag)),
    "map verify": ("verify", lambda path, flag: tm.DataMap.open(path / "map.parquet", verify=flag)),
    "card verify": ("verify", lambda path, flag: tm.Selection.open(path / "card.json", verify=flag)),
    "with_scores": ("allow_missing", lambda path, flag: _map(path).with_scores([0], {"own": [1.0]}, flag)),
    "add_columns": ("allow_missing", lambda path, flag: add_columns({}, _map(path), allow_missing=flag)),
    "import_allenai": ("allow_missing", lambda path, flag: import_allenai(path, path / "new", allow_missing=flag)),
    "import_allenai fields": (
        "ignore_fields",
        lambda path, flag: import_allenai(path, path / "new", ignore_fields=flag),
    ),
    "export_allenai": (
        "metrics_only",
        lambda path, flag: export_allenai(tm.Dynamics.open(path / "d"), path / "new", metrics_only=flag),
    ),
}


def _map(path: Path) -> tm.DataMap:
    return tm.DataMap.from_dynamics(tm.Dynamics.open(path / "d"), ["confidence", "variability"])


def _everything(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_flag_is_refused_before_anything_is_touched(door: str, tmp_path: Path) -> None:
    _record(tmp_path / "d")
    before, (name, call) = _everything(tmp_path), DOORS[door]
    for flag in NO_FLAGS:
        with pytest.raises(tm.RecordingError, match=f"^{name} must be True or False, got "):
            call(tmp_path, flag)
    assert _everything(tmp_path) == before


@pytest.mark.parametrize("flag", [flag for flag in NO_FLAGS if flag is not None])
def test_the_end_of_an_epoch_refuses_it_too_and_stays_open(flag: Any, tmp_path: Path) -> None:
    recorder = tm.Recorder(tmp_path / "d", 3, ids=[0, 1, 2, 3])
    recorder.update([0, 1, 2], LOGITS, [0, 1, 2])
    with pytest.raises(tm.RecordingError, match="allow_missing must be True or False"):
        recorder.end_epoch(allow_missing=flag)
    recorder.end_epoch(allow_missing=np.True_)  # type: ignore[arg-type]
    recorder.close()
    assert np.isnan(tm.Dynamics.open(tmp_path / "d").column(0, "loss")).tolist() == [False, False, False, True]


@pytest.mark.parametrize("flag", [True, False])
def test_flags_of_numpy_are_flags(flag: bool, tmp_path: Path) -> None:
    assert check_flag(np.bool_(flag), "resume") is flag
    _record(tmp_path / "d", allow_missing=np.bool_(flag))
    assert tm.Dynamics.open(tmp_path / "d").manifest.allow_missing is flag
    _record(tmp_path / "d", resume=np.bool_(flag), overwrite=np.bool_(not flag))
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1 + flag
