"""Every adapter keeps every rule, with its own framework at work; the page shows the table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import NAMES, PLACES, Job, N, Stopped, as_words, by_id, expected
from doors import DOORS

import trainmap as tm

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "integrations.md"

Made = Callable[..., tm.Dynamics]


@pytest.fixture
def run(tmp_path: Path) -> Made:
    """run(door, job, folder="run", stopped=False): a training, and its recording opened."""

    def run(door: str, job: Job, folder: str = "run", stopped: bool = False) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        try:
            DOORS[door].train(tmp_path / folder, job)
        except Stopped:
            assert stopped
        else:
            assert not stopped
        return tm.Dynamics.open(tmp_path / folder / "dynamics")

    return run


def started(door: str, folder: Path, job: Job, processes: int = 1) -> set[int]:
    """The exit codes of a training in a process of its own, or of several as torchrun starts them."""
    folder.mkdir(exist_ok=True)
    paths = [str(Path(tm.__file__).parent.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    running = []
    for rank in range(processes):
        world = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), **where}
        running.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "doors.py"), door, str(folder), as_words(job)],
                env=env | (world if processes > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        told = [one.communicate(timeout=200)[0] for one in running]
    finally:
        for one in running:
            one.kill()
    codes = {one.returncode for one in running}
    if not codes <= {0, -9}:
        pytest.fail("\n".join(text[-3000:] for text in told))
    return codes


def same(one: tm.Dynamics, other: tm.Dynamics) -> None:
    assert one.epochs == other.epochs
    assert one.ids.tolist() == other.ids.tolist()
    for epoch in range(one.epochs):
        for signal in ("p_gold", "margin", "loss"):
            np.testing.assert_allclose(one.column(epoch, signal), other.column(epoch, signal), rtol=1e-5, atol=1e-6)


def untrained(dynamics: tm.Dynamics, epochs: int, ids: Any = PLACES) -> None:
    """The recording holds what an evaluation pass over the untrained network gives."""
    assert dynamics.epochs == epochs
    told = dict(zip(ids.tolist(), expected().tolist(), strict=True))
    for epoch in range(epochs):
        assert by_id(dynamics, epoch) == pytest.approx(told, abs=2e-6)


def each_id_once_an_epoch(door: str, run: Made, folder: Path) -> None:
    dynamics = run(door, Job(epochs=3, rate=0.5))
    assert dynamics.ids.tolist() == PLACES.tolist()
    assert dynamics.epochs == 3
    for epoch in range(3):
        assert np.isfinite(dynamics.column(epoch, "p_gold")).all()
    assert not np.allclose(dynamics.column(0, "p_gold"), dynamics.column(2, "p_gold"))


def rate_0_equals_an_evaluation_pass(door: str, run: Made, folder: Path) -> None:
    untrained(run(door, Job()), 2)


def string_ids(door: str, run: Made, folder: Path) -> None:
    dynamics = run(door, Job(names=True, shuffle=1))
    untrained(dynamics, 2, NAMES)


def shuffled_equals_unshuffled(door: str, run: Made, folder: Path) -> None:
    same(run(door, Job(shuffle=3)), run(door, Job(), "plain"))


def last_odd_batch(door: str, run: Made, folder: Path) -> None:
    for batch in (5, 20):  # of one example both times
        untrained(run(door, Job(batch=batch), f"batch {batch}"), 2)


def gradient_accumulation(door: str, run: Made, folder: Path) -> None:
    untrained(run(door, Job(accumulate=2)), 2)
    whole = run(door, Job(epochs=1, rate=0.5, accumulate=2), "whole")
    assert np.isfinite(whole.column(0, "loss")).all()


def workers_that_prefetch(door: str, run: Made, folder: Path) -> None:
    untrained(run(door, Job(workers=2, shuffle=2)), 2)


def evaluation_in_between(door: str, run: Made, folder: Path) -> None:
    same(run(door, Job(rate=0.5, epochs=3, evaluate=True)), run(door, Job(rate=0.5, epochs=3), "without"))


def exception_and_resume_at_an_epoch(door: str, run: Made, folder: Path) -> None:
    broken = run(door, Job(epochs=3, rate=0.5, stop=(1, 2)), stopped=True)
    assert broken.epochs == 1
    same(run(door, Job(epochs=3, rate=0.5, again=True)), run(door, Job(epochs=3, rate=0.5), "whole"))


def exception_and_resume_in_mid_epoch(door: str, run: Made, folder: Path) -> None:
    run(door, Job(epochs=3, rate=0.5, stop=(1, 3), saves="batch"), stopped=True)
    on = run(door, Job(epochs=3, rate=0.5, saves="batch", again=True))
    whole = run(door, Job(epochs=3, rate=0.5, saves="batch"), "whole")
    assert on.epochs == 3
    for epoch in range(3):
        one, other = on.column(epoch, "p_gold"), whole.column(epoch, "p_gold")
        seen = np.isfinite(one)
        assert seen[12:].all()  # the batches that came after the checkpoint; those before it as well, or as not seen
        assert epoch == 1 or seen.all()
        np.testing.assert_allclose(one[seen], other[seen], rtol=1e-5, atol=1e-6)


def kill_and_resume(door: str, run: Made, folder: Path) -> None:
    assert started(door, folder / "run", Job(epochs=3, rate=0.5, stop=(1, 2), kill=True)) == {-9}
    assert tm.Dynamics.open(folder / "run" / "dynamics").epochs == 1
    same(run(door, Job(epochs=3, rate=0.5, again=True)), run(door, Job(epochs=3, rate=0.5), "whole"))


def two_processes(door: str, run: Made, folder: Path) -> None:
    assert started(door, folder / "run", Job(shuffle=1), processes=2) == {0}
    untrained(tm.Dynamics.open(folder / "run" / "dynamics"), 2)


def bad_batch_is_left_out(door: str, run: Made, folder: Path) -> None:
    dynamics = run(door, Job(epochs=2, bad=9))
    assert dynamics.epochs == 2
    told = dict(zip(PLACES.tolist(), expected().tolist(), strict=True))
    for epoch in range(2):
        got = by_id(dynamics, epoch)
        assert PLACES[9] not in got or np.isnan(got[PLACES[9]])
        seen = {name: p for name, p in got.items() if np.isfinite(p)}
        assert len(seen) >= N - 4
        assert seen == pytest.approx({name: told[name] for name in seen}, abs=2e-6)
    assert dynamics.manifest.epochs[0].refused >= 1


RULES: dict[str, tuple[str, Callable[[str, Made, Path], None]]] = {
    "once": ("each id once an epoch", each_id_once_an_epoch),
    "rate 0": ("learning rate 0: equal to an evaluation pass", rate_0_equals_an_evaluation_pass),
    "names": ("ids that are strings", string_ids),
    "shuffled": ("shuffled equals unshuffled, by id", shuffled_equals_unshuffled),
    "odd batch": ("a last batch of one example", last_odd_batch),
    "accumulation": ("gradient accumulation", gradient_accumulation),
    "workers": ("workers that prefetch", workers_that_prefetch),
    "evaluation": ("an evaluation in between changes nothing", evaluation_in_between),
    "resume at an epoch": ("broken off, resumed at an epoch", exception_and_resume_at_an_epoch),
    "resume in mid-epoch": ("broken off, resumed in mid-epoch", exception_and_resume_in_mid_epoch),
    "kill": ("killed, resumed", kill_and_resume),
    "two processes": ("two processes", two_processes),
    "bad batch": ("a bad batch is left out, the training goes on", bad_batch_is_left_out),
}
SLOW = ("kill", "two processes")  # they start processes of their own
YET_FAST = "DataLoader"  # one door keeps them in the default suite
SLOW_DOORS = ("Keras on JAX",)  # it starts a process for every training
CASES = [
    pytest.param(
        rule,
        door,
        id=f"{door}: {rule}",
        marks=[pytest.mark.slow] if (rule in SLOW and door != YET_FAST) or door in SLOW_DOORS else [],
    )
    for rule in RULES
    for door in DOORS
    if rule not in DOORS[door].without
]


@pytest.mark.parametrize(("rule", "door"), CASES)
def test_an_adapter_keeps_the_rule(rule: str, door: str, run: Made, tmp_path: Path) -> None:
    RULES[rule][1](door, run, tmp_path)


def test_a_rule_that_a_door_does_without_is_one_and_has_its_reason() -> None:
    for name, door in DOORS.items():
        assert set(door.without) <= set(RULES), name
        assert all(len(why) > 10 for why in door.without.values()), name


def table() -> str:
    """Adapter x rule, for the page."""
    notes = list(dict.fromkeys(why for door in DOORS.values() for why in door.without.values()))
    lines = [f"| rule | {' | '.join(DOORS)} |", f"|---|{'---|' * len(DOORS)}"]
    for rule, (sentence, _) in RULES.items():
        cells = [
            f"({notes.index(door.without[rule]) + 1})" if rule in door.without else "tested" for door in DOORS.values()
        ]
        lines.append(f"| {sentence} | {' | '.join(cells)} |")
    told = "".join(f"\n({number}) {why}  " for number, why in enumerate(notes, 1))
    return "\n".join(lines) + ("\n" + told if told else "") + "\n"


def test_the_page_has_the_table() -> None:
    """Made anew by ``TRAINMAP_WRITE=1 pytest tests/integrations/test_contract.py``."""
    page = PAGE.read_text()
    before, begin, rest = page.partition("<!-- contract -->\n")
    found, end, after = rest.partition("<!-- /contract -->")
    assert begin
    assert end
    if os.environ.get("TRAINMAP_WRITE"):
        PAGE.write_text(f"{before}{begin}\n{table()}\n{end}{after}")
    else:
        assert found == f"\n{table()}\n", "TRAINMAP_WRITE=1 writes the table into docs/integrations.md"
