"""A recording of 0.1 that gets new labels: its examples are written under the next name, whenever a kill comes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import forked, told

from recorded import Run, same
from trainmap.dynamics.store import Dynamics


def as_0_1(folder: Path) -> None:
    """The recording as trainmap 0.1 wrote it, which did not list the examples."""
    about = json.loads((folder / "manifest.json").read_text())
    about = {name: value for name, value in about.items() if name not in ("checksum", "examples_file")}
    (folder / "manifest.json").write_text(json.dumps(about | {"version": 1}))


def half(run: Run, path: Path) -> Path:
    """One epoch that showed, and so has the labels of, the first 20 examples."""
    with run.recorder(path, labels=None, allow_missing=True) as recorder:
        recorder.update(run.ids[:20], run.logits(0, slice(0, 20)), run.labels[:20])
        recorder.end_epoch()
    as_0_1(path)
    return path


def killed_after(lines: int, work: Any) -> bool:
    """Run in a child that is killed at a line of the code that writes; whether it came to its end."""

    def go(_: int) -> None:
        left = lines

        def trace(frame: Any, event: str, __: Any) -> Any:
            nonlocal left
            if event == "line" and frame.f_code.co_filename.endswith(WRITES):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        work(lambda: sys.settrace(trace))
        sys.settrace(None)

    return os.WIFEXITED(told(*forked(go))[1])


WRITES = (
    "dynamics/writer.py",
    "dynamics/examples.py",
    "dynamics/columns.py",
    "dynamics/clearing.py",
    "trainmap/files.py",
)


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_new_labels_of_a_0_1_recording_killed_at_any_line_are_there_or_not(step: int, run: Run, tmp_path: Path) -> None:
    before = half(run, tmp_path / "before")
    path, line, ended, found = tmp_path / "d", 0, False, set[int]()
    order = np.argsort(run.ids)
    known = np.isin(run.ids[order], run.ids[:20])
    while not ended:
        shutil.copytree(before, path)

        def go_on(start: Any) -> None:
            with run.recorder(path) as recorder:
                run.feed(recorder, 1)
                start()
                recorder.end_epoch()

        # ended: the whole epoch was written before the kill could come
        ended = killed_after(line, go_on)
        dynamics = Dynamics.open(path)
        dynamics.verify()
        found.add(dynamics.epochs)
        gold = run.labels[order] if dynamics.epochs == 2 else np.where(known, run.labels[order], -1)
        assert dynamics.labels.tolist() == gold.tolist()
        with run.recorder(path) as recorder:
            recorder.rewind(1)
            run.feed(recorder, 1)
            recorder.end_epoch()
        dynamics = Dynamics.open(path)
        assert dynamics.labels.tolist() == run.labels[order].tolist()
        np.testing.assert_array_equal(dynamics.block()["loss"][1], run.block()["loss"][1])
        np.testing.assert_array_equal(dynamics.block()["loss"][0][known], run.block()["loss"][0][known])
        assert [file.name for file in path.glob("*.parquet")] == [dynamics.manifest.examples_name]
        shutil.rmtree(path)
        line += step
    assert found == {1, 2}


def test_what_goes_on_without_new_labels_lists_its_examples_too(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    as_0_1(tmp_path / "d")
    dynamics = run.record(tmp_path / "d", 3)
    same(dynamics, run.block())
    assert dynamics.manifest.examples_name == "examples-1.parquet"
