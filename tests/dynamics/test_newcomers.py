"""Examples that come first in a later epoch: accepted as not seen before, in their place, whenever a kill comes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import forked, told
from test_writer import fail_at

from recorded import Run, same
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError
from trainmap.scores.compute import compute

ALLOWED: dict[str, Any] = {"ids": None, "labels": None, "allow_missing": True}


def shown(run: Run, epoch: int) -> np.ndarray:
    """The rows that a loader with drop_last shows: others are left out in every epoch."""
    order = np.random.default_rng([epoch, 4]).permutation(len(run.ids))
    return order[: len(order) - len(order) % 16]


def feed(run: Run, recorder: Recorder, epoch: int) -> None:
    rows = shown(run, epoch)
    for start in range(0, len(rows), 16):
        here = rows[start : start + 16]
        recorder.update(run.ids[here], run.logits(epoch, here), run.labels[here])


def partly(run: Run, path: Path, epochs: int, **options: Any) -> Dynamics:
    with run.recorder(path, **ALLOWED | options) as recorder:
        for epoch in range(recorder.epoch, epochs):
            feed(run, recorder, epoch)
            recorder.end_epoch()
    return Dynamics.open(path)


def expected(run: Run, epochs: int) -> Block:
    """Everybody who ever came, sorted by id; NaN where not shown."""
    rows = [shown(run, epoch) for epoch in range(epochs)]
    came = np.unique(np.concatenate(rows))
    came = came[np.argsort(run.ids[came])]
    logits = np.full((epochs, len(run.ids), run.classes), np.nan, np.float32)
    for epoch, here in enumerate(rows):
        logits[epoch, here] = run.logits(epoch, here)
    return Block.from_logits(logits[:, came], run.labels[came])


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("sessions", [False, True])
@pytest.mark.parametrize("level", ["signals", "logits"])
def test_an_epoch_may_bring_examples_that_the_first_did_not(
    level: Any, sessions: bool, names: bool, run: Run, tmp_path: Path
) -> None:
    if names:
        run = run.but(ids=np.array([f"image-{i}" * (1 + i % 3) for i in range(40)]))
    for epochs in (1, 2, 3, 4) if sessions else (4,):
        dynamics = partly(run, tmp_path / "d", epochs, level=level)
        block = expected(run, epochs)
        assert dynamics.ids.tolist() == sorted(dynamics.ids.tolist())
        assert [entry.seen for entry in dynamics.manifest.epochs] == [32] * epochs
        same(dynamics, block)
        dynamics.verify()
    assert dynamics.examples > 32
    listed = {"manifest.json", dynamics.manifest.examples_name, *(e.file for e in dynamics.manifest.epochs)}
    files = {file.relative_to(dynamics.path).as_posix() for file in dynamics.path.rglob("*") if file.is_file()}
    assert files == listed, "what was replaced is gone"
    if level == "logits":
        missing = np.isnan(dynamics.column(0, "logits").astype(np.float32)).all(axis=1)
        np.testing.assert_array_equal(missing, np.isnan(dynamics.column(0, "loss")))


def test_the_scores_are_those_of_a_recording_that_knew_everybody(run: Run, tmp_path: Path) -> None:
    dynamics = partly(run, tmp_path / "d", 4)
    keep = np.isin(run.ids, dynamics.ids)
    whole = partly(run, tmp_path / "w", 4, ids=run.ids[keep], labels=run.labels[keep])
    for name, values in compute(dynamics, workers=1).items():
        np.testing.assert_array_equal(values, compute(whole, [name], workers=1)[name])


def test_the_sums_are_those_of_a_recording_that_knew_everybody(run: Run, tmp_path: Path) -> None:
    dynamics = partly(run, tmp_path / "d", 4, level="stats")
    keep = np.isin(run.ids, dynamics.ids)
    whole = partly(run, tmp_path / "w", 4, ids=run.ids[keep], labels=run.labels[keep], level="stats")
    assert dynamics.examples > 32
    for name, column in whole.stats.columns.items():
        assert dynamics.stats[name].tobytes() == column.tobytes(), name


def test_newcomers_that_come_again_in_their_epoch_are_told_by_repeats(tmp_path: Path) -> None:
    for repeats, margin in (("first", 1.0), ("mean", 2.0)):
        with Recorder(tmp_path / repeats, 2, allow_missing=True, repeats=repeats) as recorder:  # type: ignore[arg-type]
            recorder.update([5], [[1.0, 0.0]], [0])
            recorder.end_epoch()
            recorder.update([3, 3], [[1.0, 0.0], [3.0, 0.0]], [0, 0])
            recorder.update([3, 7], [[2.0, 0.0], [9.0, 0.0]], [0, 0])
            with pytest.raises(RecordingError, match=r"labels changed \(id 7: 0, now 1\)"):
                recorder.update([1, 7], [[0.0, 0.0]] * 2, [0, 1])
            recorder.end_epoch()
        dynamics = Dynamics.open(tmp_path / repeats)
        assert dynamics.ids.tolist() == [3, 5, 7]
        np.testing.assert_array_equal(dynamics.column(1, "margin"), [margin, np.nan, 9.0])
        np.testing.assert_array_equal(dynamics.column(0, "margin"), [np.nan, 1.0, np.nan])
        assert dynamics.column(0, "predicted").tolist() == [-1, 0, -1]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (([9, 9], [0, 0]), r"1 ids came twice \(first: 9\)"),
        (([9, 1], [0, 2]), r"labels must be 0 to 1, got 2 \(ids 1\)"),
        (([9, 1], [-1, 0]), r"labels must be 0 to 1, got -1 \(ids 9\)"),
        ((["a", "b"], [0, 0]), r"they were integers, now came strings"),
    ],
)
def test_a_refused_batch_of_newcomers_leaves_no_trace(batch: Any, message: str, tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 2, allow_missing=True) as recorder:
        recorder.update([1, 2], np.zeros((2, 2)), [0, 1])
        recorder.end_epoch()
        with pytest.raises(RecordingError, match=message):
            recorder.update(batch[0], np.zeros((2, 2)), batch[1])
        recorder.update([1, 2], np.zeros((2, 2)), [0, 1])
        recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").ids.tolist() == [1, 2]
    assert Dynamics.open(tmp_path / "d").manifest.examples_name == "examples.parquet"


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (
            ALLOWED | {"allow_missing": False},
            r"fixed by the first epoch: give the Recorder ids= of .*allow_missing",
        ),
        (ALLOWED | {"ids": [1, 2]}, r"given with ids=: give those of all examples there"),
    ],
)
def test_where_newcomers_are_refused_the_message_has_the_cure(options: Any, cure: str, tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 2, **options) as recorder:
        recorder.update([1, 2], np.zeros((2, 2)), [0, 1])
        recorder.end_epoch()
    with Recorder(tmp_path / "d", 2, resume=True, allow_missing=options["allow_missing"]) as recorder:
        with pytest.raises(RecordingError, match=r"epoch 1: 1 of 2 ids are unknown \(first: 3\); the 2 examples were"):
            recorder.update([1, 3], np.zeros((2, 2)), [0, 1])
        with pytest.raises(RecordingError, match=cure):
            recorder.update([1, 3], np.zeros((2, 2)), [0, 1])


def test_a_rewind_keeps_those_who_came(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", **ALLOWED) as recorder:
        for epoch in (0, 1, 2):
            feed(run, recorder, epoch)
            recorder.end_epoch()
        known = recorder.ids
        feed(run, recorder, 3)
        recorder.rewind(1)
        np.testing.assert_array_equal(recorder.ids, known)
        assert Dynamics.open(tmp_path / "d").epochs == 1
        for epoch in (1, 2, 3):
            feed(run, recorder, epoch)
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), expected(run, 4))


@pytest.mark.parametrize("what", ["examples-1.parquet", "00000-1.arrow", "00001.arrow", "manifest.json"])
def test_newcomers_that_cannot_be_written_are_written_at_the_second_try(
    what: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run.recorder(tmp_path / "d", **ALLOWED) as recorder:
        for epoch in (0, 1):
            feed(run, recorder, epoch)
            if epoch:
                with monkeypatch.context() as patch:
                    fail_at(patch, "replace", lambda source: what in str(source), 28)
                    with pytest.raises(StoreError, match=r"No space left on device. The epoch before it is kept"):
                        recorder.end_epoch()
                same(Dynamics.open(tmp_path / "d"), expected(run, 1))
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), expected(run, 2))


def test_a_damaged_epoch_is_not_copied_under_a_new_checksum(run: Run, tmp_path: Path) -> None:
    partly(run, tmp_path / "d", 1)
    file = tmp_path / "d" / "epochs" / "00000.arrow"
    data = bytearray(file.read_bytes())
    data[900] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match=r"00000.arrow is damaged"):
        run.recorder(tmp_path / "d", **ALLOWED)
    assert file.read_bytes() == data


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("level", ["signals", "stats"])
def test_newcomers_killed_at_any_line_leave_the_recording_before_or_after_them(
    level: Any, step: int, run: Run, tmp_path: Path
) -> None:
    before = partly(run, tmp_path / "before", 1, level=level).path
    whole = {epochs: numbers(partly(run, tmp_path / f"w{epochs}", epochs, level=level)) for epochs in (1, 2, 3)}
    found, ended, line = set[int](), False, 0
    while not ended:
        shutil.copytree(before, tmp_path / "d")

        def go_on(_: int, line: int = line) -> None:
            with run.recorder(tmp_path / "d", level=level, **ALLOWED) as recorder:
                feed(run, recorder, 1)
                left = line

                def trace(frame: Any, event: str, __: Any) -> Any:
                    nonlocal left
                    if event == "line" and "trainmap/dynamics" in frame.f_code.co_filename.replace(
                        "files.py", "dynamics"
                    ):
                        left -= 1
                        if left < 0:
                            os.kill(os.getpid(), signal.SIGKILL)
                    return trace

                sys.settrace(trace)
                recorder.end_epoch()
                sys.settrace(None)

        ended = os.WIFEXITED(told(*forked(go_on))[1])
        dynamics = Dynamics.open(tmp_path / "d")
        assert numbers(dynamics) == whole[dynamics.epochs]
        found.add(dynamics.epochs)
        assert numbers(partly(run, tmp_path / "d", 3, level=level)) == whole[3]
        listed = {entry.file for entry in Dynamics.open(tmp_path / "d").manifest.files}
        folder = tmp_path / "d" / ("stats" if level == "stats" else "epochs")
        assert {f"{folder.name}/{file.name}" for file in folder.iterdir()} == listed
        assert len(list((tmp_path / "d").glob("*.parquet"))) == 1
        shutil.rmtree(tmp_path / "d")
        line += step
    assert found == {1, 2}


def numbers(dynamics: Dynamics) -> dict[str, bytes]:
    dynamics.verify()
    columns = (
        dynamics.stats.columns
        if dynamics.level == "stats"
        else {f"{e} {name}": dynamics.column(e, name) for e in range(dynamics.epochs) for name in dynamics.signals}
    )
    return {"ids": dynamics.ids.tobytes(), "labels": dynamics.labels.tobytes()} | {
        name: column.tobytes() for name, column in columns.items()
    }
