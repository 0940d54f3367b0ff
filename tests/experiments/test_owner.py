"""Whose a folder is: going on in one's own is normal work, another's is refused or kept."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from trainmap.errors import StoreError
from trainmap.experiments.runs.folder import Entry, Study, claim, open_study
from trainmap.experiments.runs.owner import EXPERIMENT, check_free


def study(*tasks: str, title: str = "One", file: str = "one.yaml", **more: Any) -> Study:
    entries = tuple(Entry(task, "student", task, (), "digits", "", 0, 0, 0, {}) for task in tasks)
    told = {"file": file, "sha256": f"{file} {tasks} {title}", **more}
    return Study(title, (), 0.95, "cpu", entries, (), (), told)


def finish(folder: Path, *tasks: str) -> None:
    (folder / "runs").mkdir(exist_ok=True)
    for task in tasks:
        (folder / "runs" / f"{task}.json").write_text("{}")


def plans(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("experiment*.json"))


@pytest.fixture
def held(tmp_path: Path) -> Path:
    assert claim(study("a", "b"), tmp_path) == ""
    finish(tmp_path, "a")
    return tmp_path


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(study("a", "b"), id="the same again"),
        pytest.param(study("a", "b", "c"), id="more seeds"),
        pytest.param(study("a", "c"), id="less of what is not finished"),
        pytest.param(study("a", "b", title="A better title"), id="a title that was corrected"),
        pytest.param(study("a", "b", "c", set="seeds=[0, 1]"), id="more by --set"),
        pytest.param(study("a", "b", file="moved.yaml", sha256="one.yaml ('a', 'b') One"), id="a renamed file"),
    ],
)
def test_the_same_file_goes_on_without_a_word(held: Path, new: Study) -> None:
    assert claim(new, held) == ""
    assert [entry.hash for entry in open_study(held).entries] == [entry.hash for entry in new.entries]
    assert plans(held) == ["experiment.json"]


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(study("a", "b", "c", file="two.yaml"), id="another file"),
        pytest.param(study("x", title="Two", file="two.yaml"), id="another file and title"),
        pytest.param(study("x", title="Two"), id="another title under the same name"),
        pytest.param(study("a", "b", scale="paper"), id="another scale"),
    ],
)
def test_another_file_is_refused_by_name_and_taken_with_into(held: Path, new: Study) -> None:
    before = {path: path.read_bytes() for path in held.rglob("*") if path.is_file()}
    with pytest.raises(StoreError) as told:
        claim(new, held)
    assert "belongs to 'One' (one.yaml), 1 of 2 tasks done" in str(told.value)
    assert "take another folder" in str(told.value)
    assert "--into" in str(told.value)
    assert {path: path.read_bytes() for path in held.rglob("*") if path.is_file()} == before

    said = claim(new, held, into=True)
    assert "held 'One' (one.yaml)" in said
    assert "experiment-1.json" in said
    assert open_study(held).title == new.title
    assert (held / "experiment-1.json").read_bytes() == before[held / "experiment.json"]
    assert (held / "runs" / "a.json").exists()


def test_finished_tasks_that_leave_the_plan_are_told_and_the_plan_kept(held: Path) -> None:
    said = claim(study("b", "c"), held)
    assert "1 finished task of it is not in this plan" in said
    assert plans(held) == ["experiment-1.json", "experiment.json"]
    assert claim(study("a", "b"), held) == ""  # nothing of that plan is finished
    assert "experiment-1.json" in claim(study("b", "c"), held)  # kept once, not once for each turn
    assert plans(held) == ["experiment-1.json", "experiment.json"]


def test_every_earlier_plan_stays_findable(held: Path) -> None:
    for number, file in enumerate(("two.yaml", "three.yaml", "four.yaml"), 1):
        assert f"experiment-{number}.json" in claim(study(file[:-5], title=file, file=file), held, into=True)
    titles = [json.loads((held / f"experiment-{number}.json").read_text())["title"] for number in (1, 2, 3)]
    assert titles == ["One", "two.yaml", "three.yaml"]


@pytest.mark.parametrize("name", EXPERIMENT)
@pytest.mark.parametrize("into", [False, True])
def test_a_folder_of_somebody_else_is_refused_whatever_is_said(tmp_path: Path, name: str, into: bool) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=f"holds other files .*{name}.*choose another folder"):
        claim(study("a"), tmp_path, into)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("mark", "what"), [("teacher/plan.json", "a demo"), ("manifest.json", "a recording"), ("result.json", "compressed")]
)
def test_a_folder_that_trainmap_made_is_called_by_name(tmp_path: Path, mark: str, what: str) -> None:
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text("{}")
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(StoreError, match=what):
        claim(study("a"), tmp_path)


def test_files_that_are_not_written_over_may_lie_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("title: One")
    (tmp_path / "log.txt").write_text("")
    assert claim(study("a"), tmp_path) == ""


def test_of_two_experiments_that_come_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    for turn in range(20):
        folder, refused = tmp_path / str(turn), []
        start = threading.Barrier(2)

        def come(name: str, folder: Path = folder, start: threading.Barrier = start, no: list = refused) -> None:
            start.wait()
            try:
                claim(study(name, title=name, file=name), folder)
            except StoreError:
                no.append(name)

        threads = [threading.Thread(target=come, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert {open_study(folder).title, *refused} == {"one", "two"}


def test_a_folder_that_is_a_recording_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="holds a recording, which an experiment would write over"):
        check_free(tmp_path, "experiment.json", EXPERIMENT)
