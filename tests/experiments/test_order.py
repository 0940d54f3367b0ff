"""Tasks that come after others: their order, what a failure blocks, orders that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import call

from trainmap.errors import TrainmapError
from trainmap.experiments.runs.job import Job
from trainmap.experiments.runs.launch import Outcome, run_all

STEPS = """
from pathlib import Path

def step(config, place):
    trail = place.files["trail"]
    with open(trail, "a") as handle:
        handle.write(config["name"] + "\\n")
    if config["name"] in config["broken"]:
        raise RuntimeError("broken")
    return {"name": config["name"]}
"""


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return tmp_path / "trail"


def chain(trail: Path, needs: dict[str, tuple[str, ...]], *broken: str) -> list[Job]:
    made: dict[str, Job] = {}
    for name, others in needs.items():
        after = tuple(made[other].hash for other in others)
        config = {"name": name, "broken": list(broken), "after": list(after)}
        made[name] = call(name, "steps:step", config, files={"trail": trail}, after=after)
    return list(made.values())


DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def test_a_task_starts_when_all_that_it_needs_is_finished_and_the_order_of_the_list_does_not_matter(
    trail: Path, tmp_path: Path
) -> None:
    tasks = chain(trail, DIAMOND)[::-1]
    outcomes = run_all(tasks, tmp_path / "runs", jobs=2)
    assert [outcome.job.name for outcome in outcomes] == ["e", "d", "c", "b", "a"]
    assert all(outcome.finished for outcome in outcomes)
    done = trail.read_text().split()
    assert sorted(done) == ["a", "b", "c", "d", "e"]
    assert done.index("a") < min(done.index("b"), done.index("c"))
    assert done[-1] == "d" or done.index("d") > max(done.index("b"), done.index("c"))


def test_a_failure_blocks_all_that_need_it_however_far_away_and_nothing_else(trail: Path, tmp_path: Path) -> None:
    needs = {**DIAMOND, "f": ("d",), "g": ("f", "e")}
    seen: list[str] = []

    def note(outcome: Outcome, done: int, total: int) -> None:
        seen.append(outcome.job.name)
        assert (done, total) == (len(seen), 7)

    outcomes = {o.job.name: o for o in run_all(chain(trail, needs, "b"), tmp_path / "runs", 1, note)}
    assert {name for name, outcome in outcomes.items() if outcome.finished} == {"a", "c", "e"}
    assert {name for name, outcome in outcomes.items() if outcome.blocked} == {"d", "f", "g"}
    assert outcomes["d"].error == "needs 'b', which did not finish"
    assert sorted(trail.read_text().split()) == ["a", "b", "c", "e"]
    assert sorted(seen) == sorted(needs)


def test_a_task_after_one_that_is_not_there_is_refused(trail: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"task 'b' comes after .*, which is not among the tasks"):
        run_all(chain(trail, DIAMOND)[1:], tmp_path / "runs")


def test_tasks_that_wait_for_each_other_are_refused(trail: Path, tmp_path: Path) -> None:
    bare = [call(name, "steps:step", {"name": name}) for name in "ab"]
    tasks = [
        call("a", "steps:step", {"name": "a"}, after=(bare[1].hash,)),
        call("b", "steps:step", {"name": "b"}, after=(bare[0].hash,)),
    ]
    with pytest.raises(TrainmapError, match="tasks wait for each other: 'a', 'b'"):
        run_all(tasks, tmp_path / "runs")


def test_what_a_task_comes_after_is_no_part_of_its_hash() -> None:
    plain = call("a", "steps:step", {"name": "a"})
    assert call("a", "steps:step", {"name": "a"}, after=("b" * 64,)).hash == plain.hash
