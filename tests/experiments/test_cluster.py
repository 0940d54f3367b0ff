"""Runs through Ray and through submitit's local executor: results, failures, deaths, what is not installed."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from calls import call

from trainmap.errors import TrainmapError
from trainmap.experiments.runs.cluster import RayPool, SlurmPool
from trainmap.experiments.runs.job import Job
from trainmap.experiments.runs.launch import run_all
from trainmap.experiments.runs.task_locks import give_up, held, take

JOBS = """
import os, signal

def work(config):
    if config["how"] == "raise":
        raise RuntimeError("this one cannot")
    if config["how"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "clusterjobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "code"), *sys.path]))
    first = call("first", "clusterjobs:work", {"how": "well", "n": 1})
    second = call("second", "clusterjobs:work", {"how": "well", "n": 2, "first": first.hash}, after=(first.hash,))
    bad = call("bad", "clusterjobs:work", {"how": "raise"})
    dead = call("dead", "clusterjobs:work", {"how": "die"})
    blocked = call("blocked", "clusterjobs:work", {"how": "well", "n": 3}, after=(bad.hash,))
    return [first, second, bad, dead, blocked]


def check(folder: Path, tasks: list[Job], pool: partial) -> None:
    first, second, bad, dead, blocked = run_all(tasks, folder / "runs", 2, pool=lambda runs, jobs: pool(runs, jobs))
    assert first.result is not None
    assert first.result["threads"] == "1"
    assert first.result["pid"] != os.getpid()
    assert second.finished
    assert "this one cannot" in (bad.error or "")
    assert "Traceback" in (bad.error or "")
    assert "the run's process died" in (dead.error or "")
    assert blocked.blocked
    assert not list((folder / "runs").glob("*.lock"))
    again = run_all(tasks[:2], folder / "runs", 2)
    assert all(outcome.skipped for outcome in again)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # ray's own
def test_ray_runs_tasks_in_order_and_keeps_failures_and_deaths(
    tmp_path: Path, tasks: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check(tmp_path, tasks, partial(RayPool))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # submitit's own
def test_submitit_runs_tasks_in_order_and_keeps_failures_and_deaths(tmp_path: Path, tasks: list[Job]) -> None:
    check(tmp_path, tasks, partial(SlurmPool, cluster="local", parameters={"timeout_min": 5}))
    assert list((tmp_path / "jobs").glob("*_submitted.pkl"))


def test_slurm_without_slurm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainmapError, match="submitit cannot use cluster 'slurm'"):
        SlurmPool(tmp_path / "runs", 1)


@pytest.mark.parametrize(("module", "pool"), [("ray", RayPool), ("submitit", SlurmPool)])
def test_a_launcher_that_is_not_installed_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, pool: type
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrainmapError, match=r"pip install 'trainmap\[grid\]'"):
        pool(tmp_path / "runs", 1)


def test_a_lock_is_given_up_by_its_claim_alone(tmp_path: Path) -> None:
    assert take(tmp_path, "a" * 64, "mine")
    give_up(tmp_path, "a" * 64, "another")
    assert held(tmp_path, "a" * 64)
    give_up(tmp_path, "a" * 64, "mine")
    assert not held(tmp_path, "a" * 64)
