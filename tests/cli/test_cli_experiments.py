"""The verbs of experiments, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainmap.cli.app import app
from trainmap.cli.experiment_verbs import _Detail
from trainmap.errors import TrainmapError

ONE = """\
title: One run
data: {names: [digits]}
subsets: [random]
students: [{model: mlp-256, epochs: 1}]
seeds: [0]
"""


def call(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "one.yaml").write_text(ONE)
    return tmp_path / "one.yaml"


def test_a_plan_runs_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    said = call("run", str(file), "--out", str(tmp_path / "out"), "--plan")
    assert "1 task, 0 done" in said
    assert "a few steps trained now" in said
    assert not (tmp_path / "out").exists()


def test_run_status_and_report(file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert "report.html" in call("run", str(file), "--out", out, "--jobs", "1")
    told = json.loads(call("status", out, "--json"))
    assert told["tasks"] == {"student": {"done": 1, "running": 0, "waiting": 0, "failed": 0, "blocked": 0}}
    assert told["failures"] == {}
    assert "student" in call("status", out)
    (tmp_path / "out" / "report.html").unlink()
    call("report", out)
    assert (tmp_path / "out" / "report.html").exists()
    assert "nothing is left to run" in call("run", str(file), "--out", out, "--plan")


def test_another_file_in_the_same_folder_is_refused_or_said(file: Path, tmp_path: Path) -> None:
    out, other = str(tmp_path / "out"), tmp_path / "other.yaml"
    other.write_text(ONE.replace("One run", "Another").replace("[random]", "[full]"))
    call("run", str(file), "--out", out, "--jobs", "1")
    report = (tmp_path / "out" / "report.html").read_bytes()
    for more in ((), ("--plan",)):
        with pytest.raises(TrainmapError, match=r"belongs to 'One run' \(one.yaml\), 1 of 1 task done; take another"):
            call("run", str(other), "--out", out, *more)
    assert (tmp_path / "out" / "report.html").read_bytes() == report
    assert "'One run'" in call("run", str(other), "--out", out, "--into", "--jobs", "1")
    assert "Another" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "experiment-1.json").read_text())["title"] == "One run"
    file.write_text(ONE.replace("seeds: [0]", "seeds: [0, 1]"))
    assert "2 tasks, 1 done" in call("run", str(file), "--out", out, "--into", "--plan")  # its run is still there


def test_without_random_the_means_are_told_and_no_verdict(file: Path, tmp_path: Path) -> None:
    file.write_text(ONE.replace("[random]", "[full]"))
    call("run", str(file), "--out", str(tmp_path / "out"), "--jobs", "1")
    head, line = (tmp_path / "out" / "table.csv").read_text().splitlines()
    cell = dict(zip(head.split(","), line.split(",")))
    assert (cell["subset"], cell["n"], cell["verdict"], cell["difference"]) == ("full data", "1", "", "")
    assert "full data" in (tmp_path / "out" / "report.md").read_text()


def test_a_teacher_alone_is_an_experiment(file: Path, tmp_path: Path) -> None:
    file.write_text(
        "title: A teacher\ndata: {names: [digits]}\nteachers: [{model: mlp-256, epochs: 1, seeds: [0, 1]}]\n"
    )
    call("run", str(file), "--out", str(tmp_path / "out"), "--jobs", "1")
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| mlp-256 on digits |" in report
    assert "(n=2)" in report


def test_a_mistake_in_the_file_is_one_line_without_a_traceback(file: Path, tmp_path: Path) -> None:
    file.write_text(ONE.replace("epochs: 1", "epoch: 1"))
    command = [sys.executable, "-m", "trainmap", "run", str(file), "--out", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "one.yaml:4: students.0.epoch: unknown field 'epoch'; did you mean 'epochs'?" in result.stderr


def test_the_schema_is_json(tmp_path: Path) -> None:
    found = json.loads(call("schema"))
    assert found["title"] == "ExperimentFile"
    assert "title" in found["required"]
    call("schema", "--out", str(tmp_path / "schema.json"))
    assert json.loads((tmp_path / "schema.json").read_text()) == found


def test_status_and_report_of_a_folder_without_an_experiment_say_so(tmp_path: Path) -> None:
    for verb in ("status", "report"):
        with pytest.raises(TrainmapError, match="holds no experiment"):
            call(verb, str(tmp_path))


def test_the_schema_and_the_status_of_a_study_import_no_torch() -> None:
    code = "import sys, trainmap.cli.app, trainmap.experiments.file.variants as c; c.schema(); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, trainmap.experiments.runs.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FEDERATED = """\
title: Clients
data: {names: [digits], validation: 0.8}
federated: {model: mlp-256, clients: 2, rounds: 2, select: [random]}
seeds: [0]
"""


def test_federate_is_run_for_a_file_with_clients(file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(TrainmapError, match=r"one.yaml has no section 'federated:'; .* trainmap run .*one.yaml"):
        call("federate", str(file), "--out", out)
    assert not (tmp_path / "out").exists()
    file.write_text(FEDERATED)
    assert "3 tasks, 0 done" in call("federate", str(file), "--out", out, "--plan")
    assert "report.html" in call("federate", str(file), "--out", out, "--jobs", "1")
    assert "3 tasks, 3 done" in call("run", str(file), "--out", out, "--plan")


def test_federate_writes_a_row_for_real_machines(file: Path, tmp_path: Path) -> None:
    from trainmap.federated import Deployment

    out, app = tmp_path / "out", tmp_path / "app"
    file.write_text(FEDERATED)
    with pytest.raises(TrainmapError, match="say which row goes on real machines, --row, one of: all, "):
        call("federate", str(file), "--out", str(out), "--app", str(app))
    with pytest.raises(TrainmapError, match="unknown row '50% ambiguous'"):
        call("federate", str(file), "--out", str(out), "--app", str(app), "--row", "50% ambiguous")
    assert str(app) in call("federate", str(file), "--out", str(out), "--app", str(app), "--row", "all")
    config = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    told = Deployment.of(config)
    assert (told.clients, told.federation.rounds, told.model, told.test) == (2, 2, "mlp-256", "digits")
    assert told.out == str(out.resolve())
    assert not out.exists()
    file.write_text(FEDERATED.replace("select", "noise: {clients: 0.5, share: 0.2}, select"))
    with pytest.raises(TrainmapError, match="noise changes the data of a simulation"):
        call("federate", str(file), "--out", str(out), "--app", str(app), "--row", "all")


def test_status_says_the_round_of_a_federation_that_is_under_way(file: Path, tmp_path: Path) -> None:
    from trainmap.experiments.runs import task_locks
    from trainmap.experiments.runs.folder import made, open_study

    file.write_text(FEDERATED)
    out = tmp_path / "out"
    call("federate", str(file), "--out", str(out), "--jobs", "1")
    entry = open_study(out).entries[0]
    (out / "runs" / f"{entry.hash}.json").unlink()
    (made(out, entry) / "at.txt").write_text("round 7 of 20")
    assert json.loads(call("status", str(out), "--json"))["at"] == {}  # nobody is at work
    detail = _Detail(open_study(out), out)
    detail.last = "a task"
    assert str(detail) == "a task"
    detail._asked, detail._since = 0.0, (made(out, entry) / "at.txt").stat().st_mtime
    assert str(detail) == f"round 7 of 20: {entry.name}"
    assert task_locks.take(out / "runs", entry.hash)
    try:
        assert f"running: {entry.name}: round 7 of 20" in call("status", str(out))
    finally:
        task_locks.release(out / "runs", entry.hash, os.getpid())


def test_taking_over_removes_the_locks_of_machines_that_are_gone(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call("run", str(file), "--out", str(out), "--jobs", "1")
    (done,) = (out / "runs").glob("*.json")
    done.unlink()
    lock = {"pid": 1, "host": "elsewhere", "system": "00000000", "claim": ""}
    done.with_suffix(".lock").write_text(json.dumps(lock))
    call("run", str(file), "--out", str(out), "--jobs", "1", "--take-over")  # in place of waiting for 300 seconds
    assert done.exists()
