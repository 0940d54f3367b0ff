# ruff: noqa: PT017 (whether a call is refused depends on the moment of the interrupt)
"""Threads that share a recorder, and calls that an interrupt breaks off inside: never a wrong number kept silently."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from test_recorder import far

from recorded import Run, same
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError

# An interrupt inside a __del__ is printed and lost, here and in life; the descriptor of a moment is closed there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OPTIONS: dict[str, dict[str, Any]] = {
    "given": {},
    "labels learned": {"labels": None},
    "learned": {"ids": None, "labels": None},
    "first": {"repeats": "first", "ids": None, "labels": None},
    "mean": {"repeats": "mean", "level": "logits"},
    "sums": {"level": "stats"},
    "newcomers": {"ids": None, "labels": None, "allow_missing": True},
}


@contextmanager
def interrupted_at(opcode: int) -> Iterator[list[int]]:
    """KeyboardInterrupt before an opcode of the recording code, counted from here; yields how many there were."""
    passed = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if "trainmap" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed[0] += 1
            if passed[0] == opcode:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(None)


def opcodes(run: Run, path: Path, options: Any, act: Callable[[Recorder], Any]) -> int:
    with run.recorder(path, **options) as recorder:
        prepare(run, recorder)
        with interrupted_at(-1) as passed:
            act(recorder)
        recorder.rewind(recorder.epoch)
    return passed[0]


def prepare(run: Run, recorder: Recorder) -> list[Any]:
    """One epoch is recorded, of the next one two batches are in; the batches of that one."""
    keep = np.arange(len(run.ids)) < (30 if recorder.allow_missing else 40)  # ten newcomers then
    for ids, logits, labels in run.batches(0):
        here = np.isin(ids, run.ids[keep])
        recorder.update(ids[here], logits[here], labels[here])
    recorder.end_epoch()
    batches = list(run.batches(1))
    for batch in batches[:2]:
        recorder.update(*batch)
    return batches


def go_on(recorder: Recorder, batches: list[Any], start: int) -> None:
    """What a caller does who catches the interrupt, repeats the step and goes on; or begins anew where it must."""
    try:
        for batch in batches[start:]:
            try:
                recorder.update(*batch)
            except RecordingError as error:
                if "came twice" not in str(error):  # that batch was in, whole, before the interrupt
                    raise
    except RecordingError as error:
        assert "broken off inside" in str(error)
        with pytest.raises(RecordingError, match=r"broken off inside .* call rewind\(1\) to begin it anew"):
            recorder.end_epoch()
        recorder.rewind(recorder.epoch)
        for batch in batches:
            recorder.update(*batch)


def numbers(path: Path) -> dict[str, bytes]:
    dynamics = Dynamics.open(path)
    dynamics.verify()
    if dynamics.level == "stats":
        return {name: column.tobytes() for name, column in dynamics.stats.columns.items()}
    return {
        f"{epoch} {name}": dynamics.column(epoch, name).tobytes()
        for epoch in range(dynamics.epochs)
        for name in dynamics.signals
    } | {"ids": dynamics.ids.tobytes(), "labels": dynamics.labels.tobytes()}


def expected(run: Run, path: Path, options: Any) -> dict[str, bytes]:
    with run.recorder(path, **options) as recorder:
        for batch in prepare(run, recorder)[2:]:
            recorder.update(*batch)
        recorder.end_epoch()
    return numbers(path)


@pytest.mark.parametrize("points", [9, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("far_away", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_an_interrupt_at_any_opcode_of_update_keeps_no_wrong_number(
    name: str, far_away: bool, points: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is in whole, or not at all, or the recorder refuses to go on before ``rewind``."""
    monkeypatch.setattr("trainmap.dynamics.taking.HELD_BYTES", 1)  # every far batch is fetched at once
    options, whole = OPTIONS[name], expected(run, tmp_path / "w", OPTIONS[name])

    def act(recorder: Recorder, batch: Any = None) -> None:
        ids, logits, labels = list(run.batches(1))[2] if batch is None else batch
        recorder.update(ids, far(logits) if far_away else logits, labels)

    total = opcodes(run, tmp_path / "o", options, act)
    for opcode in range(1, total + 1, max(1, total // points)):
        path = tmp_path / str(opcode)
        with run.recorder(path, **options) as recorder:
            batches = prepare(run, recorder)
            with suppress(KeyboardInterrupt), interrupted_at(opcode):
                act(recorder, batches[2])
            go_on(recorder, batches, 2 if options.get("repeats") != "mean" else 3)
            if options.get("repeats") == "mean" and recorder._roster.seen < 40:
                recorder.update(*batches[2])  # a caller who repeats the step would count it twice: it looks first
            try:
                recorder.end_epoch()
            except RecordingError as error:  # it was held back on the device already when the caller repeated it
                assert far_away
                assert "came twice" in str(error)
                recorder.end_epoch()
        assert numbers(path) == whole, f"opcode {opcode}"


@pytest.mark.parametrize("points", [15, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["given", "learned", "mean", "sums", "newcomers"])
@pytest.mark.parametrize("call", ["end_epoch", "rewind"])
def test_an_interrupt_at_any_opcode_of_ending_or_rewinding_an_epoch_keeps_no_wrong_number(
    call: str, name: str, points: int, run: Run, tmp_path: Path
) -> None:
    options, whole = OPTIONS[name], expected(run, tmp_path / "w", OPTIONS[name])

    def act(recorder: Recorder) -> None:
        if call == "end_epoch":
            for batch in list(run.batches(1))[2:]:
                recorder.update(*batch)
            with interrupted_at(-1) as passed:
                recorder.end_epoch()
        else:
            with interrupted_at(-1) as passed:
                recorder.rewind(1)
        counted.append(passed[0])

    counted: list[int] = []
    with run.recorder(tmp_path / "o", **options) as recorder:
        prepare(run, recorder)
        act(recorder)
    for opcode in range(1, counted[0] + 1, max(1, counted[0] // points)):
        path = tmp_path / str(opcode)
        with run.recorder(path, **options) as recorder:
            batches = prepare(run, recorder)
            if call == "end_epoch":
                for batch in batches[2:]:
                    recorder.update(*batch)
            with suppress(KeyboardInterrupt), interrupted_at(opcode):
                recorder.end_epoch() if call == "end_epoch" else recorder.rewind(1)
            if recorder.epoch == 1:
                try:
                    recorder.end_epoch(allow_missing=False) if call == "end_epoch" else recorder.update(*batches[2])
                except RecordingError as error:
                    assert "broken off inside" in str(error) or "were not recorded" in str(error)
                if recorder.epoch == 1:
                    recorder.rewind(1)
                    for batch in batches:
                        recorder.update(*batch)
                    recorder.end_epoch()
            else:  # it is recorded, once
                try:
                    recorder.end_epoch()
                except RecordingError as error:
                    assert "broken off inside" in str(error) or "nothing was recorded" in str(error)
                recorder.rewind(2)
            assert recorder.epoch == 2
        assert numbers(path) == whole, f"opcode {opcode}"


@pytest.mark.parametrize("name", ["given", "learned", "mean"])
def test_real_signals_at_random_moments_keep_no_wrong_number(name: str, tmp_path: Path) -> None:
    """A timer's signal raises wherever the interpreter looks for it, between numpy calls as well."""
    generator = np.random.default_rng(3)
    run = Run(generator.permutation(6000), generator.integers(0, 30, 6000), 30, epochs=1, batch=64)
    options, broken = OPTIONS[name], 0

    armed = False

    def interrupt(*_: Any) -> None:
        nonlocal armed
        if armed:  # not once the calls are over: a late signal would end the tests
            armed = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    batches = list(run.batches(0))
    try:
        with run.recorder(tmp_path / "d", **options) as recorder:
            for _ in range(60):
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-4, 5e-3))
                    for batch in batches:
                        recorder.update(*batch)
                    armed = False
                except KeyboardInterrupt:
                    pass
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                broken += recorder._broken
                if not recorder._broken and recorder._roster.seen % 64 not in (0, 6000 % 64):
                    raise AssertionError("half a batch")
                recorder.rewind(0)
            for batch in batches:
                recorder.update(*batch)
            recorder.end_epoch()
    finally:
        signal.signal(signal.SIGALRM, before)
    whole = Dynamics.open(tmp_path / "d")
    if options.get("level") != "logits":
        same(whole, run.block())
    assert whole.block().complete


@pytest.mark.parametrize("name", ["given", "learned", "mean", "sums"])
def test_threads_that_share_a_recorder_record_every_example_right(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    run = Run(generator.permutation(20_000), generator.integers(0, 4, 20_000), 4, epochs=2, batch=32)
    options, before = OPTIONS[name], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool, run.recorder(tmp_path / "d", **options) as recorder:
            for epoch in range(2):
                list(pool.map(lambda batch: recorder.update(*batch), run.batches(epoch)))
                ended = list(pool.map(lambda _: ends(recorder), range(4)))
                assert sum(ended) == 1, "of four that end the epoch one does"
    finally:
        sys.setswitchinterval(before)
    alone = run.record(tmp_path / "w", **options)
    for column, found in numbers(tmp_path / "d").items():
        assert found == numbers(alone.path)[column], column


def ends(recorder: Recorder) -> bool:
    try:
        recorder.end_epoch()
    except RecordingError as error:
        assert "nothing was recorded" in str(error)
        return False
    return True


def test_closing_while_another_thread_records_waits_for_its_batch(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                run.feed(recorder, 0)
                recorder.rewind(0)
        except RecordingError as error:
            assert "closed" in str(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    try:
        recorder.close()
    except RecordingError as error:
        assert "was not ended" in str(error)
    stop.set()
    thread.join()
    run.recorder(tmp_path / "d").close()


def test_closing_after_a_broken_call_is_an_error_that_frees_the_folder(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    recorder._broken = True
    with pytest.raises(RecordingError, match=r"epoch 0 was not ended"):
        recorder.close()
    run.recorder(tmp_path / "d").close()
