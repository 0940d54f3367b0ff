"""Record, get killed, look, go on, compare: run by ``test_kill.py``, once for many kills.

    python killed.py FOLDER KILLS SEED

This process imports everything once and then only forks: one child records and is killed, another looks at what is on
disk, a third goes on to the end and compares. Half of the kills come at a random moment of the recording, the other
half when a random line of the code that writes is about to run. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa

from recorded import Run
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError
from trainmap.scores.compute import compute

EPOCHS = 5
LEVELS = ("signals", "logits", "stats")
WRITES = ("writer.py", "files.py", "columns.py", "manifest.py", "store.py", "recorder.py", "taking.py")

generator = np.random.default_rng(0)
RUN = Run(generator.permutation(30) * 7, generator.integers(0, 3, 30), 3, EPOCHS, batch=10)


def record(path: Path, level: Any, learned: bool, report: int) -> None:
    """Record what is missing; a byte on ``report`` for every epoch whose end_epoch() has returned."""
    ids, labels = (None, None) if learned else (RUN.ids, RUN.labels)
    with Recorder(path, RUN.classes, ids, labels, level=level, rank=0, world_size=1, resume=True) as recorder:
        for epoch in range(recorder.epoch, EPOCHS):
            RUN.feed(recorder, epoch)
            recorder.end_epoch()
            os.write(report, b".")


def contents(path: Path, epochs: int) -> dict[str, bytes]:
    """Every number of the first epochs, and every score: what must be equal bit for bit."""
    dynamics = Dynamics.open(path)
    dynamics.verify()
    found = {"ids": dynamics.ids.tobytes(), "labels": dynamics.labels.tobytes()}
    if dynamics.level == "stats":
        found |= {name: column.tobytes() for name, column in dynamics.stats.columns.items()}
    else:
        names = list(dynamics.signals)
        block = dynamics.block(signals=names, epochs=epochs)
        found |= {name: column.tobytes() for name, column in block.signals.items()}
        found["logits"] = b"" if block.logits is None else block.logits.tobytes()
    scores = compute(dynamics, epochs=None if dynamics.level == "stats" else epochs, workers=1)
    return found | {f"score {name}": column.tobytes() for name, column in scores.items()}


def forked(work: Callable[[int], object]) -> tuple[int, int]:
    """(process id, pipe to read from) of a child that does ``work(pipe to write to)``."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reads)
            work(writes)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    os.close(writes)
    return child, reads


def told(child: int, reads: int) -> tuple[bytes, int]:
    """What a child wrote, and how it ended."""
    with os.fdopen(reads, "rb") as pipe:
        text = pipe.read()
    return text, os.waitpid(child, 0)[1]


def kill_at_line(countdown: int) -> None:
    """From now on this process is killed when so many lines of the writing code have begun."""
    left = countdown

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "call":
            code = frame.f_code.co_filename
            return trace if "trainmap" in code and code.endswith(WRITES) else None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def recorded_until(path: Path, level: str, learned: bool, line: int | None, report: int) -> None:
    """Record, and be killed at a line if there is one."""
    if line is not None:
        kill_at_line(line)
    record(path, level, learned, report)


def lines_of(path: Path, level: str, learned: bool) -> int:
    """How many lines of the writing code one recording runs."""

    def count(writes: int) -> None:
        lines = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal lines
            if event == "call":
                code = frame.f_code.co_filename
                return trace if "trainmap" in code and code.endswith(WRITES) else None
            lines += event == "line"
            return trace

        pipe = os.open(os.devnull, os.O_WRONLY)
        sys.settrace(trace)
        record(path, level, learned, pipe)
        sys.settrace(None)
        os.write(writes, str(lines).encode())

    return int(told(*forked(count))[0])


def state(path: Path) -> str:
    """Epochs that Dynamics.open finds, checked against the uninterrupted recording, or its clear error."""

    def look(writes: int) -> None:
        try:
            epochs = Dynamics.open(path).epochs
        except StoreError as error:
            os.write(writes, b"none" if "is not a dynamics folder: it has no manifest.json" in str(error) else b"?")
            return
        level = Dynamics.open(path).level
        assert contents(path, epochs) == contents(path.parent / f"{level}-{epochs}", epochs), "other numbers"
        os.write(writes, str(epochs).encode())

    text, status = told(*forked(look))
    assert status == 0, f"{path} could not be looked at"
    return text.decode()


def finish(path: Path, level: str, learned: bool) -> None:
    """Go on to the end: every number must be that of the uninterrupted recording, and nothing may be left over."""

    def go_on(writes: int) -> None:
        record(path, level, learned, writes)
        whole = path.parent / f"{level}-{EPOCHS}"
        assert contents(path, EPOCHS) == contents(whole, EPOCHS), "other numbers"
        files = [{file.relative_to(d).as_posix() for file in d.rglob("*")} for d in (path, whole)]
        assert files[0] == files[1], files[0] ^ files[1]

    assert told(*forked(go_on))[1] == 0, f"{path} could not be finished"


def main(folder: Path, kills: int, seed: int) -> None:
    pa.array(np.zeros(1)).to_numpy()  # pyarrow imports more when it first meets numpy: here, and not in every child
    chance = np.random.default_rng(seed)
    seconds, lines = {}, {}
    for level in LEVELS:
        for epochs in range(1, EPOCHS + 1):
            shared = folder / f"{level}-{epochs}"

            def part(writes: int, level: str = level, epochs: int = epochs, shared: Path = shared) -> None:
                RUN.but(epochs=epochs).record(shared, level=level, rank=0, world_size=1)

            assert told(*forked(part))[1] == 0
        for learned in (False, True):
            lines[level, learned] = lines_of(folder / "counted", level, learned)
            shutil.rmtree(folder / "counted")
        start = time.perf_counter()
        told(*forked(lambda writes, level=level: record(folder / "timed", level, False, writes)))
        seconds[level] = time.perf_counter() - start
        shutil.rmtree(folder / "timed")

    opened: Counter[str] = Counter()
    done = twice = 0
    path = folder / "killed"
    while done < kills:
        level, learned, by_line = LEVELS[done % 3], bool(chance.integers(2)), done % 2 == 0
        before = 0
        while True:
            line = int(chance.integers(lines[level, learned])) if by_line else None
            child, reads = forked(partial(recorded_until, path, level, learned, line))
            if not by_line:
                time.sleep(chance.random() * seconds[level] * 1.1)
                os.kill(child, signal.SIGKILL)
            ended, status = told(child, reads)
            if not os.WIFSIGNALED(status):
                break  # it was done before the kill came
            done += 1
            found = state(path)
            opened[found] += 1
            finished = before + len(ended)
            now = 0 if found == "none" else int(found)
            # The manifest may have been renamed although end_epoch() had not come back yet.
            assert finished <= now <= finished + 1, f"{finished} epochs were ended, {found} are there"
            before = now
            if chance.random() < 0.6:
                break
            twice += 1
        finish(path, level, learned)
        shutil.rmtree(path)
    print(json.dumps({"kills": done, "killed again": twice, "opened": dict(sorted(opened.items()))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
