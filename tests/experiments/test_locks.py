"""Locks of a grid: owners elsewhere, dead ones, and files that are no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainmap.experiments.runs import task_locks as locks
from trainmap.experiments.runs.task_locks import LEASE_SECONDS, beating, held, log_owner, release, take, take_over
from trainmap.machine import system

RUN = "a" * 64


def lock(folder: Path, age: float = 0.0, **changes: Any) -> Path:
    """A lock of a process of another machine, touched so many seconds ago."""
    path = folder / f"{RUN}.lock"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "system": "00000000", "claim": ""} | changes))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


NO_LOCKS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_text(""),
    "half": lambda path: path.write_text('{"pid": 12, "ho'),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a number": lambda path: path.write_text("7"),
    "without a pid": lambda path: path.write_text('{"host": "x", "system": "1", "claim": ""}'),
    "a pid in words": lambda path: path.write_text('{"pid": "x", "host": "x", "system": "1", "claim": ""}'),
    "a pid that is true": lambda path: path.write_text('{"pid": true, "host": "x", "system": "1", "claim": ""}'),
    "a pid below 1": lambda path: path.write_text('{"pid": -1, "host": "x", "system": "1", "claim": ""}'),
    "a host of null": lambda path: path.write_text('{"pid": 1, "host": null, "system": "1", "claim": ""}'),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "zeros": lambda path: path.write_bytes(bytes(80)),
    "deep": lambda path: path.write_text("[" * 100_000),
    "many digits": lambda path: path.write_text('{"pid": ' + "9" * 5000 + "}"),
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nowhere")),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("name", NO_LOCKS)
def test_what_is_no_lock_holds_up_nobody(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{RUN}.lock"
    NO_LOCKS[name](path)
    os.utime(path, (1, 1), follow_symlinks=False)
    assert not held(tmp_path, RUN)
    assert take(tmp_path, RUN)
    assert held(tmp_path, RUN)
    assert not take(tmp_path, RUN)
    log_owner(tmp_path, RUN, "run")
    release(tmp_path, RUN, os.getpid())
    assert not held(tmp_path, RUN)
    assert take(tmp_path, RUN)


@pytest.mark.parametrize("name", ["x.lock", f"{RUN}.one.lock", f"{RUN}.-1.lock", f"{RUN}.1.2.lock"])
def test_files_with_other_names_are_no_locks(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    assert take(tmp_path, RUN)
    assert take_over(tmp_path) == []


def test_an_owner_elsewhere_is_dead_when_its_lease_is_over(tmp_path: Path) -> None:
    path = lock(tmp_path, age=LEASE_SECONDS - 60)
    assert held(tmp_path, RUN)
    assert not take(tmp_path, RUN)
    lock(tmp_path, age=LEASE_SECONDS + 60)
    assert not held(tmp_path, RUN)
    assert take(tmp_path, RUN)
    release(tmp_path, RUN, os.getpid())
    assert not path.exists()


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_a_lease_is_measured_by_the_clock_of_the_disk(
    wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's clock is an hour off."""
    now = time.time
    monkeypatch.setattr(locks.time, "time", lambda: now() + wrong)
    path = lock(tmp_path)
    os.utime(path)
    assert held(tmp_path, RUN)
    old = now() - LEASE_SECONDS - 60
    os.utime(path, (old, old))
    assert not held(tmp_path, RUN)


def test_an_owner_touches_its_lock_while_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    assert take(tmp_path, RUN)
    (path,) = tmp_path.glob("*.lock")
    os.utime(path, (1, 1))
    with beating(tmp_path, RUN):
        until = time.monotonic() + 30
        while path.stat().st_mtime == 1 and time.monotonic() < until:
            time.sleep(0.01)
    assert path.stat().st_mtime > 1
    os.utime(path, (1, 1))
    time.sleep(0.05)
    assert path.stat().st_mtime == 1  # it works no more


def test_an_owner_here_needs_no_lease(tmp_path: Path) -> None:
    """A process that was stopped for an hour goes on afterwards."""
    assert take(tmp_path, RUN)
    os.utime(tmp_path / f"{RUN}.lock", (1, 1))
    assert held(tmp_path, RUN)
    assert not take(tmp_path, RUN)
    release(tmp_path, RUN, os.getpid())


def test_whoever_this_system_knows_to_be_gone_has_no_lease(tmp_path: Path) -> None:
    """Whatever its number: that of a living process, and in a container that was restarted the same one again."""
    for pid in (os.getpid(), 1, 10**30):
        lock(tmp_path, pid=pid, host=socket.gethostname(), system=system())
        assert not held(tmp_path, RUN)
    assert take(tmp_path, RUN)
    release(tmp_path, RUN, os.getpid())


@pytest.mark.parametrize("generation", ["000000", "000007"])
def test_locks_of_earlier_versions_hold_up_nobody_and_go_with_a_take_over(generation: str, tmp_path: Path) -> None:
    old = tmp_path / f"{RUN}.{generation}.lock"
    old.write_text(json.dumps({"pid": 1, "host": "elsewhere", "place": "00000000", "birth": "1", "claim": ""}))
    assert not held(tmp_path, RUN)
    assert take(tmp_path, RUN)
    assert take_over(tmp_path) == [old]
    release(tmp_path, RUN, os.getpid())
    assert list(tmp_path.iterdir()) == []


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)


def test_without_locks_a_run_is_taken_once_and_given_up_by_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    assert take(tmp_path, RUN)
    assert held(tmp_path, RUN)
    assert not take(tmp_path, RUN)
    release(tmp_path, RUN, os.getpid())
    assert not held(tmp_path, RUN)
    assert list(tmp_path.iterdir()) == []


def test_without_locks_the_lease_decides_here_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch)
    lock(tmp_path, age=LEASE_SECONDS - 60, system=system())
    assert not take(tmp_path, RUN)
    lock(tmp_path, age=LEASE_SECONDS + 60, system=system())
    assert take(tmp_path, RUN)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("locks_here", [True, False])
def test_of_two_machines_that_do_not_see_each_others_locks_one_takes_a_run(
    locks_here: bool, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is faster by a moment: its lock appears when this one has looked and found none."""
    if not locks_here:
        without_locks(monkeypatch)
    looked = locks._alive

    def late(path: Path) -> bool:
        found = looked(path)
        lock(tmp_path) if written else path.touch()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(locks, "_alive", late)
        assert not take(tmp_path, RUN)
    assert held(tmp_path, RUN)
    assert len(list(tmp_path.iterdir())) == 1


def test_taking_over_removes_the_locks_of_other_machines_and_no_living_one(tmp_path: Path) -> None:
    here, other = "b" * 64, tmp_path / f"{'c' * 64}.lock"
    assert take(tmp_path, here)
    elsewhere = lock(tmp_path)
    other.write_text("")
    assert sorted(take_over(tmp_path)) == sorted([elsewhere, other])
    assert held(tmp_path, here)
    assert not held(tmp_path, RUN)


def test_waiting_for_another_machine_says_how_long_and_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = lock(tmp_path)
    with caplog.at_level(logging.INFO):
        log_owner(tmp_path, RUN, "a run")
    (record,) = caplog.records
    text = record.getMessage()
    assert f"'a run', which process 1 on elsewhere is running; if it is gone, remove {path}" in text
    assert "--take-over" in text


def test_no_draft_stays(tmp_path: Path) -> None:
    assert take(tmp_path, RUN)
    held(tmp_path, RUN)
    assert [item.name for item in tmp_path.iterdir()] == [f"{RUN}.lock"]
    release(tmp_path, RUN, os.getpid())
