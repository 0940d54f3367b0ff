from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import call

from trainmap.errors import StoreError, TrainmapError
from trainmap.experiments.runs.job import Job
from trainmap.experiments.runs.launch import Outcome, run_all
from trainmap.experiments.runs.worker import ENVIRONMENT
from trainmap.machine import cores, system

SPAWNED = True  # workers themselves, as a user has them

# Workers import the functions they run by name; this module stands for a user's.
RUNS = """
import os, signal, sys, time, uuid
from pathlib import Path

def leave_mark(config):
    name = f"{config['run']}.{os.getpid()}.{uuid.uuid4().hex}"
    Path(config["marks"], name).touch()

def double(config):
    leave_mark(config)
    return {"run": config["run"], "twice": 2 * config["run"], "worker": os.getpid()}

def wait_for_go(config):
    leave_mark(config)
    if config["run"] >= config["waits_from"]:
        while not Path(config["marks"], "go").exists():
            time.sleep(0.01)
    return {"run": config["run"]}

def slowly(config):
    leave_mark(config)
    time.sleep(0.05)
    return {"run": config["run"]}

def fail(config):
    leave_mark(config)
    if not Path(config["marks"], "mended").exists():
        raise RuntimeError(f"run {config['run']} cannot go on")
    return {"run": config["run"]}

def fail_after_go(config):
    wait_for_go(config)
    raise RuntimeError("gone wrong")

def leave(config):
    sys.exit(3)

def be_killed(config):
    os.kill(os.getpid(), signal.SIGKILL)

def environment(config):
    return {name: os.environ.get(name) for name in config["names"]}

def threads(config):
    import torch
    return {"threads": torch.get_num_threads()}

def echo(config):
    return {"config": config}

def tensor(config):
    return {"nested": [{"loss": object()}]}

def number(config):
    return 3

def scalars(config):
    import numpy as np
    return {"f1": np.float32(0.5), "steps": np.int64(7), "pair": (1, 2), "loss": float("nan")}
"""

MAIN = """
import sys
from pathlib import Path
from calls import call
from trainmap.experiments.runs.launch import run_all
marks, folder, function = sys.argv[1:4]
tasks = [call(f"run {i}", f"runs:{function}", {"run": i, "marks": marks, "waits_from": 2}) for i in range(6)]
for outcome in run_all(tasks, folder, jobs=2):
    print(outcome.finished, outcome.result)
"""


started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def a_failed_test_leaves_no_process() -> Iterator[None]:
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs leave a file each time they start; ``runs`` can be imported here and in workers."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "runs.py").write_text(RUNS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def tasks(function: str, marks: Path, count: int) -> list[Job]:
    return [
        call(f"run {i}", f"runs:{function}", {"run": i, "marks": str(marks), "waits_from": 2}) for i in range(count)
    ]


def starts(marks: Path) -> Counter[int]:
    return Counter(int(path.name.split(".")[0]) for path in marks.iterdir() if path.name[0].isdigit())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited a minute in vain"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def script(tmp_path: Path, text: str, *arguments: object) -> subprocess.Popen[str]:
    """A script with arguments, in a process group of its own."""
    path = tmp_path / "main.py"
    path.write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, str(path), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started.append(process)
    return process


def test_results_come_in_the_order_of_the_tasks_and_a_second_call_runs_nothing(marks: Path, tmp_path: Path) -> None:
    grid = tasks("double", marks, 5)
    first = run_all(grid, tmp_path / "grid", jobs=2)
    assert [outcome.result["twice"] for outcome in first if outcome.result] == [0, 2, 4, 6, 8]
    assert all(outcome.finished and not outcome.skipped and outcome.seconds >= 0 for outcome in first)
    second = run_all(grid, tmp_path / "grid", jobs=2)
    assert [outcome.result for outcome in second] == [outcome.result for outcome in first]
    assert all(outcome.skipped for outcome in second)
    assert starts(marks) == dict.fromkeys(range(5), 1)


def test_one_job_is_one_worker_process_that_is_not_this_one(marks: Path, tmp_path: Path) -> None:
    outcomes = run_all(tasks("double", marks, 3), tmp_path / "grid", jobs=1)
    workers = {outcome.result["worker"] for outcome in outcomes if outcome.result}
    assert len(workers) == 1
    assert os.getpid() not in workers


def test_no_process_is_left_behind(marks: Path, tmp_path: Path) -> None:
    outcomes = run_all(tasks("double", marks, 3), tmp_path / "grid", jobs=2)
    assert all(gone(outcome.result["worker"]) for outcome in outcomes if outcome.result)
    assert not list((tmp_path / "grid").glob("*.lock"))


def test_a_finished_run_is_a_file_with_its_configuration(marks: Path, tmp_path: Path) -> None:
    (task,) = tasks("double", marks, 1)
    run_all([task], tmp_path / "grid")
    (path,) = (tmp_path / "grid").iterdir()
    record = json.loads(path.read_text())
    assert path.name == f"{task.hash}.json"
    assert (record["name"], record["function"], record["config"]) == ("run 0", "runs:double", task.task.identity())
    assert record["result"]["twice"] == 0
    assert record["seconds"] >= 0


def test_a_run_is_its_function_and_every_field_of_its_configuration() -> None:
    base = call("a", "runs:double", {"x": 1, "y": {"z": [1, 2.5]}})
    same = call("another name", "runs:double", {"y": {"z": (1, np.float64(2.5))}, "x": np.int64(1)}, weight=3)
    assert base.hash == same.hash
    others = [
        call("a", "runs:fail", base.task.identity()),
        call("a", "runs:double", {**base.task.identity(), "x": 2}),
        call("a", "runs:double", {**base.task.identity(), "x": "1"}),
        call("a", "runs:double", {"x": 1, "y": {"z": [2.5, 1]}}),
        call("a", "runs:double", {**base.task.identity(), "more": None}),
    ]
    assert len({base.hash, *(task.hash for task in others)}) == 6


def test_the_hash_stays_the_same_from_release_to_release() -> None:
    text = b'runs:double\n{"lr":0.1,"name":"\\u00e9","none":null,"on":true}'
    task = call("a", "runs:double", {"on": True, "name": "é", "none": None, "lr": 0.1})
    assert task.hash == hashlib.sha256(text).hexdigest()


def test_equal_tasks_run_once_and_both_get_the_result(marks: Path, tmp_path: Path) -> None:
    (task,) = tasks("double", marks, 1)
    twin = replace(task, name="twin")
    outcomes = run_all([task, twin], tmp_path / "grid", jobs=2)
    assert [(outcome.job.name, outcome.finished) for outcome in outcomes] == [("run 0", True), ("twin", True)]
    assert starts(marks) == {0: 1}


def test_a_run_that_raises_is_kept_with_its_traceback_and_tried_again(marks: Path, tmp_path: Path) -> None:
    grid = [*tasks("fail", marks, 2), *tasks("double", marks, 2)]
    first = run_all(grid, tmp_path / "grid", jobs=1)
    assert [outcome.finished for outcome in first] == [False, False, True, True]
    assert first[1].error is not None
    assert "RuntimeError: run 1 cannot go on" in first[1].error
    assert 'runs.py", line' in first[1].error
    record = json.loads((tmp_path / "grid" / f"{grid[1].hash}.error.json").read_text())
    assert (record["traceback"], record["config"]["run"]) == (first[1].error, 1)

    (marks / "mended").touch()
    second = run_all(grid, tmp_path / "grid", jobs=1)
    assert [outcome.finished for outcome in second] == [True] * 4
    assert [outcome.skipped for outcome in second] == [False, False, True, True]
    assert not list((tmp_path / "grid").glob("*.error.json"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("leave", "SystemExit: 3"),
        ("be_killed", "the worker process died during this run: signal 9 (SIGKILL)"),
        ("absent", "has no attribute 'absent'"),
        ("tensor", "result.nested[0].loss must be a number, a string, a list or a dict, got object"),
        ("number", "must return a dict, got int"),
    ],
)
def test_whatever_ends_a_run_is_the_error_of_that_run_alone(
    function: str, message: str, marks: Path, tmp_path: Path
) -> None:
    grid = [*tasks(function, marks, 1), *tasks("double", marks, 1)]
    bad, good = run_all(grid, tmp_path / "grid", jobs=1)
    assert not bad.finished
    assert bad.error is not None
    assert message in bad.error
    assert good.finished
    assert not list((tmp_path / "grid").glob("*.lock"))


def test_a_function_whose_module_is_missing_is_the_error_of_that_run(tmp_path: Path) -> None:
    (outcome,) = run_all([call("a", "no_such_module:f", {})], tmp_path)
    assert "ModuleNotFoundError" in (outcome.error or "")


def test_numpy_scalars_tuples_and_nan_come_back_as_plain_values(marks: Path, tmp_path: Path) -> None:
    (outcome,) = run_all([call("a", "runs:scalars", {})], tmp_path / "grid")
    assert outcome.result is not None
    assert math.isnan(outcome.result.pop("loss"))
    assert outcome.result == {"f1": 0.5, "steps": 7, "pair": [1, 2]}


def test_the_function_sees_what_was_hashed(marks: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"sizes": [1, 2], "lr": 0.5}
    task = call("a", "runs:echo", config)
    config["lr"] = 7.0  # too late
    (outcome,) = run_all([task], tmp_path / "grid")
    assert outcome.result == {"config": {"sizes": [1, 2], "lr": 0.5}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": Path("x")}, r"a task of kind call/1.path must be a number"),
        ({"a": {1: 2}}, r"a task of kind call/1.a must have strings as keys, got 1"),
        ({"a": [math.nan]}, "a task of kind call/1 must hold finite numbers"),
    ],
)
def test_a_configuration_that_is_not_json_is_refused_with_its_place(config: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        _ = call("a", "runs:double", config).hash


def test_no_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="jobs must be at least 1, got 0"):
        run_all([], tmp_path, jobs=0)


def test_no_tasks_are_no_outcomes(tmp_path: Path) -> None:
    assert run_all([], tmp_path) == []


def test_a_foreign_result_file_is_named(marks: Path, tmp_path: Path) -> None:
    (task,) = tasks("double", marks, 1)
    (tmp_path / f"{task.hash}.json").write_text("{}")
    with pytest.raises(StoreError, match=f"{task.hash}.json must be the result of a run"):
        run_all([task], tmp_path)


def test_progress_counts_finished_skipped_and_failed_runs(marks: Path, tmp_path: Path) -> None:
    run_all(tasks("double", marks, 1), tmp_path / "grid")
    seen: list[tuple[bool, bool, int, int]] = []

    def on_progress(outcome: Outcome, done: int, total: int) -> None:
        seen.append((outcome.finished, outcome.skipped, done, total))

    run_all([*tasks("double", marks, 2), *tasks("fail", marks, 1)], tmp_path / "grid", 1, on_progress)
    assert seen == [(True, True, 1, 3), (True, False, 2, 3), (False, False, 3, 3)]


def test_an_error_in_the_callers_progress_ends_the_workers(marks: Path, tmp_path: Path) -> None:
    def on_progress(outcome: Outcome, done: int, total: int) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_all(tasks("wait_for_go", marks, 3), tmp_path / "grid", 2, on_progress)
    pids = [int(path.name.split(".")[1]) for path in marks.iterdir()]
    assert pids
    assert all(gone(pid) for pid in pids)
    assert not list((tmp_path / "grid").glob("*.lock"))


def test_a_worker_killed_between_two_runs_is_replaced_and_no_run_is_lost(marks: Path, tmp_path: Path) -> None:
    def kill_the_worker(outcome: Outcome, done: int, total: int) -> None:
        assert outcome.result is not None
        worker: int = outcome.result["worker"]
        os.kill(worker, signal.SIGKILL)
        # Until it can be waited for: the first thread of a process is a zombie before the last one has gone.
        until(lambda: os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)

    outcomes = run_all(tasks("double", marks, 3), tmp_path / "grid", 1, kill_the_worker)
    assert [outcome.finished for outcome in outcomes] == [True] * 3
    assert len({outcome.result["worker"] for outcome in outcomes if outcome.result}) == 3


def test_heavier_tasks_start_first(marks: Path, tmp_path: Path) -> None:
    order: list[str] = []
    grid = [call(f"{w}", "runs:double", {"run": i, "marks": str(marks)}, weight=w) for i, w in enumerate([1, 5, 3])]
    outcomes = run_all(grid, tmp_path / "grid", 1, lambda outcome, done, total: order.append(outcome.job.name))
    assert order == ["5", "3", "1"]
    assert [outcome.job.name for outcome in outcomes] == ["1", "5", "3"]


def test_workers_start_single_threaded_and_this_process_keeps_its_environment(
    marks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    (outcome,) = run_all([call("a", "runs:environment", {"names": list(ENVIRONMENT)})], tmp_path / "grid")
    assert outcome.result == ENVIRONMENT
    assert dict(os.environ) == before


@pytest.mark.slow
def test_torch_has_one_thread_in_a_worker(marks: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (outcome,) = run_all([call("a", "runs:threads", {})], tmp_path / "grid")
    assert outcome.result == {"threads": 1}


def test_a_killed_call_loses_only_the_runs_under_way(marks: Path, tmp_path: Path) -> None:
    process = script(tmp_path, MAIN, marks, tmp_path / "grid", "wait_for_go")
    until(lambda: starts(marks) == {0: 1, 1: 1, 2: 1, 3: 1})  # 0 and 1 are finished, 2 and 3 wait
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list((tmp_path / "grid").glob("*.lock"))) == 2
    (marks / "go").touch()
    outcomes = run_all(tasks("wait_for_go", marks, 6), tmp_path / "grid", jobs=2)
    assert [outcome.result for outcome in outcomes] == [{"run": run} for run in range(6)]
    assert [outcome.skipped for outcome in outcomes] == [True, True, False, False, False, False]
    assert starts(marks) == {0: 1, 1: 1, 2: 2, 3: 2, 4: 1, 5: 1}
    assert not list((tmp_path / "grid").glob("*.lock"))


def test_workers_do_not_outlive_a_parent_that_was_killed(marks: Path, tmp_path: Path) -> None:
    process = script(tmp_path, MAIN, marks, tmp_path / "grid", "wait_for_go")
    until(lambda: len(starts(marks)) == 4)
    process.kill()
    process.communicate()
    until(lambda: all(gone(int(path.name.split(".")[1])) for path in marks.iterdir()))


def test_ctrl_c_ends_the_workers_and_is_no_error_of_their_runs(marks: Path, tmp_path: Path) -> None:
    process = script(tmp_path, MAIN, marks, tmp_path / "grid", "wait_for_go")
    until(lambda: len(starts(marks)) == 4)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt" in errors
    assert all(gone(int(path.name.split(".")[1])) for path in marks.iterdir())
    assert sorted(path.suffix for path in (tmp_path / "grid").iterdir()) == [".json", ".json"]
    assert not list((tmp_path / "grid").glob("*.error.json"))


def test_two_calls_at_once_do_no_run_twice_and_both_get_all_results(marks: Path, tmp_path: Path) -> None:
    processes = [script(tmp_path, MAIN, marks, tmp_path / "grid", "slowly") for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in processes]
    expected = "".join(f"True {{'run': {run}}}\n" for run in range(6))
    assert answers == [(expected, ""), (expected, "")]
    assert starts(marks) == dict.fromkeys(range(6), 1)


def test_two_calls_at_once_fail_a_failing_run_once(marks: Path, tmp_path: Path) -> None:
    first = script(tmp_path, MAIN, marks, tmp_path / "grid", "fail_after_go")
    until(lambda: starts(marks) == {0: 1, 1: 1, 2: 1, 3: 1})  # 0 and 1 have failed, 2 and 3 wait
    second = script(tmp_path, MAIN, marks, tmp_path / "grid", "fail_after_go")
    until(lambda: starts(marks) == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1})  # a later call tries 0 and 1 again
    (marks / "go").touch()
    answers = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert answers == ["False None\n" * 6] * 2
    assert starts(marks) == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}


def test_the_lock_of_a_dead_process_is_taken_over(marks: Path, tmp_path: Path) -> None:
    """At once, whoever has its number now."""
    (task,) = tasks("double", marks, 1)
    (tmp_path / "grid").mkdir()
    lock = {"pid": os.getpid(), "host": socket.gethostname(), "system": system(), "claim": ""}
    (tmp_path / "grid" / f"{task.hash}.lock").write_text(json.dumps(lock))
    assert run_all([task], tmp_path / "grid")[0].finished


def test_a_lock_from_another_host_is_waited_for_and_named(marks: Path, tmp_path: Path) -> None:
    grid = tasks("wait_for_go", marks, 1)
    (tmp_path / "grid").mkdir()
    held = tmp_path / "grid" / f"{grid[0].hash}.lock"
    held.write_text(json.dumps({"pid": 1, "host": "another-host", "system": "00000000", "claim": ""}))
    process = script(tmp_path, MAIN, marks, tmp_path / "grid", "wait_for_go")
    until(lambda: sorted(starts(marks)) == [1, 2, 3])
    held.unlink()
    (marks / "go").touch()
    output, errors = process.communicate(timeout=60)
    assert output.count("True") == 6
    assert f"waiting for 'run 0', which process 1 on another-host is running; if it is gone, remove {held}" in errors
    assert starts(marks) == dict.fromkeys(range(6), 1)


def test_a_script_without_a_main_guard_starts_no_copies_of_itself(marks: Path, tmp_path: Path) -> None:
    output, errors = script(tmp_path, MAIN, marks, tmp_path / "grid", "double").communicate(timeout=60)
    assert output.count("True") == 6
    assert errors == ""


def test_a_script_from_standard_input_can_start_workers(marks: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), *sys.path])}
    command = [sys.executable, "-", str(marks), str(tmp_path / "grid"), "double"]
    done = subprocess.run(command, input=MAIN, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.count("True"), done.stderr) == (6, "")


def test_a_task_of_the_main_script_runs_under_a_main_guard(tmp_path: Path) -> None:
    text = """
from pathlib import Path
from typing import ClassVar
from trainmap.experiments.runs.job import Job
from trainmap.experiments.runs.launch import run_all
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Task

class Triple(Task):
    kind: ClassVar = "triple/1"
    value: int

    def run(self, place):
        return {"value": 3 * self.value}

if __name__ == "__main__":
    import sys
    print(run_all([Job("a", Triple(value=4), Place(Path("made")))], sys.argv[1])[0].result)
"""
    (tmp_path / "code").mkdir()
    output, errors = script(tmp_path, text, tmp_path / "grid").communicate(timeout=60)
    assert (output, errors) == ("{'value': 12}\n", "")


def test_cores_are_at_least_one_and_no_more_than_there_are() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
