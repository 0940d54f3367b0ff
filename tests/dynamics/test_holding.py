"""A folder that holds epochs is recorded into on demand alone, and by one recorder at a time."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import forked, told
from test_parts import LEARNED, record

from recorded import Run, same
from trainmap.dynamics.exchange.whole_folder import write_dynamics
from trainmap.dynamics.manifest import read_manifest
from trainmap.dynamics.processes import part_folder
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import empty_signals
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError


def fresh(run: Run, path: Path, **options: Any) -> Recorder:
    """A recorder for which nothing was said about what is there."""
    return run.recorder(path, **{"resume": False, **options})


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


# --- what is there, and how each kind is made ------------------------------------------------------------------------


def single(run: Run, path: Path) -> dict[str, Any]:
    run.record(path)
    return {}


def sums(run: Run, path: Path) -> dict[str, Any]:
    run.record(path, level="stats")
    return {"level": "stats"}


def a_part(run: Run, path: Path) -> dict[str, Any]:
    record(run, path, 2)
    return {"rank": 0, "world_size": 2}


def a_joined_part(run: Run, path: Path) -> dict[str, Any]:
    Dynamics.open(record(run, path, 2))
    return {"rank": 1, "world_size": 2}


def a_lost_part_of_a_join(run: Run, path: Path) -> dict[str, Any]:
    options = a_joined_part(run, path)
    shutil.rmtree(part_folder(path, 1, 2))
    return options


def a_join_without_parts(run: Run, path: Path) -> dict[str, Any]:
    Dynamics.open(record(run, path, 2))
    shutil.rmtree(path / "parts")
    return {}


def an_import(run: Run, path: Path) -> dict[str, Any]:
    order = np.argsort(run.ids)
    epochs = [(empty_signals(40, 4), 40)] * 3
    write_dynamics(path, run.ids[order], run.labels[order], 4, "train", epochs, {"imported_from": "elsewhere"})
    return {}


KINDS = [single, sums, a_part, a_joined_part, a_lost_part_of_a_join, a_join_without_parts, an_import]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_holds_epochs_is_refused_with_both_cures_and_left_alone(
    kind: Callable[..., dict[str, Any]], run: Run, tmp_path: Path
) -> None:
    options = kind(run, tmp_path / "d")
    before = {name: (tmp_path / "d" / name).read_bytes() for name in files(tmp_path / "d")}
    with pytest.raises(StoreError, match=r"holds 3 epochs .*resume=True.* overwrite=True"):
        fresh(run, tmp_path / "d", **options)
    assert {name: (tmp_path / "d" / name).read_bytes() for name in files(tmp_path / "d")} == before


def test_one_epoch_is_one_epoch(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    with pytest.raises(StoreError, match=r"d holds 1 epoch already; say resume=True to go on at epoch 1 "):
        fresh(run, tmp_path / "d")


@pytest.mark.parametrize("kind", KINDS)
def test_overwriting_begins_anew_and_leaves_the_files_of_others(
    kind: Callable[..., dict[str, Any]], run: Run, tmp_path: Path
) -> None:
    options = kind(run, tmp_path / "d")
    mine = {"thesis.tex", "epochs/notes.arrow", ".mine.tmp"}
    for name in mine:
        (tmp_path / "d" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_text("mine")
    other = run.but(labels=(run.labels + 1) % 4, epochs=2)
    world = options.get("world_size", 1)
    for rank in range(world):
        place = {"rank": rank, "world_size": world} if world > 1 else {}
        with other.recorder(tmp_path / "d", overwrite=True, **options | place) as recorder:
            assert recorder.epoch == 0
            for epoch in range(2):
                other.feed(recorder, epoch)
                recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    dynamics.verify()
    assert dynamics.labels.tolist() == other.block().labels.tolist()
    if dynamics.level == "signals":
        same(dynamics, other.block())
    whole = {"manifest.json", "examples.parquet"} | {entry.file for entry in dynamics.manifest.files}
    assert {name for name in files(tmp_path / "d") if not name.startswith("parts/")} == whole | mine


def test_overwriting_an_empty_folder_is_recording(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", overwrite=True) as recorder:
        run.feed(recorder, 0)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_a_manifest_of_another_program_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(StoreError, match=r"was not written by trainmap"):
        run.recorder(tmp_path, overwrite=True)
    assert files(tmp_path) == {"manifest.json"}


@pytest.mark.parametrize("worlds", [(2, 3), (1, 2), (2, 1)])
def test_another_number_of_processes_may_overwrite(worlds: tuple[int, int], run: Run, tmp_path: Path) -> None:
    for world in worlds:
        for rank in range(world):
            with run.recorder(tmp_path / "d", overwrite=True, rank=rank, world_size=world) as recorder:
                for epoch in range(world):
                    run.feed(recorder, epoch)
                    recorder.end_epoch()
        same(Dynamics.open(tmp_path / "d"), run.but(epochs=world).block())


def test_a_part_of_the_overwritten_recording_is_never_joined_with_the_new_ones(run: Run, tmp_path: Path) -> None:
    Dynamics.open(record(run, tmp_path / "d", 2))
    with run.recorder(tmp_path / "d", overwrite=True, rank=0, world_size=2) as recorder:
        with pytest.raises(StoreError, match=r"no epoch was finished by all 2 processes|overwritten"):
            Dynamics.open(tmp_path / "d")
        run.feed(recorder, 0)
        recorder.end_epoch()
        with pytest.raises(
            StoreError, match=r"the part of rank 1 is of the recording that the others have overwritten"
        ):
            Dynamics.open(tmp_path / "d")


@pytest.mark.parametrize("at", range(40))
def test_an_overwriting_that_is_killed_leaves_the_old_recording_or_none(at: int, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d")

    def overwrite(_: int) -> None:
        left = at

        def trace(frame: Any, event: str, __: Any) -> Any:
            nonlocal left
            if event == "line" and "trainmap" in frame.f_code.co_filename:
                left -= 5
                if left < 0 and frame.f_code.co_filename.endswith(("writer.py", "clearing.py", "locks.py")):
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        run.recorder(tmp_path / "d", overwrite=True)

    told(*forked(overwrite))
    if (tmp_path / "d" / "manifest.json").exists():
        same(Dynamics.open(tmp_path / "d"), run.block())
    with run.recorder(tmp_path / "d", overwrite=True) as recorder:
        run.feed(recorder, 0)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_resuming_says_where_and_twice_the_same_loop_records_once(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run.record(tmp_path / "d")
    assert caplog.messages == []
    same(run.record(tmp_path / "d"), run.block())
    assert caplog.messages == [f"{tmp_path / 'd'}: recording goes on at epoch 3"]


# --- one recorder at a time ------------------------------------------------------------------------------------------

NAMED = rf"is being recorded by process %d on '{socket.gethostname()}' since '20\d\d-\d\d-\d\dT[\d:]+Z'"


@pytest.mark.parametrize("options", [{}, {"rank": 1, "world_size": 2}])
@pytest.mark.parametrize("said", [{}, {"resume": True}, {"resume": False, "overwrite": True}])
def test_a_newcomer_is_refused_by_name(options: Any, said: Any, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", **options) as recorder:
        for ended in (False, True):
            with pytest.raises(StoreError, match=NAMED % os.getpid() + r" \(this process\); one folder has one"):
                run.recorder(tmp_path / "d", **options | said)
            if not ended:
                run.feed(recorder, 0)
                recorder.end_epoch()
    assert not [name for name in files(tmp_path / "d") if name.endswith("lock")]
    run.recorder(tmp_path / "d", overwrite=True, **options).close()


def test_a_newcomer_of_another_process_is_refused_by_name_until_the_holder_is_killed(run: Run, tmp_path: Path) -> None:
    def hold(report: int) -> None:
        recorder = run.recorder(tmp_path / "d")
        os.write(report, b".")
        time.sleep(60)
        recorder.close()

    child, reads = forked(hold)
    os.read(reads, 1)
    with pytest.raises(StoreError, match=NAMED % child):
        run.recorder(tmp_path / "d")
    os.kill(child, signal.SIGKILL)
    told(child, reads)
    assert json.loads((tmp_path / "d" / "lock").read_text())["pid"] == child, "its name stays, its lock does not"
    same(run.record(tmp_path / "d"), run.block())
    assert "lock" not in files(tmp_path / "d")


def close(recorder: Recorder) -> None:
    recorder.close()


def leave(recorder: Recorder) -> None:
    with recorder:
        pass


def fail(recorder: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError


def fail_to_close(recorder: Recorder) -> None:
    recorder.update([0], np.zeros((1, 4)), [0])
    with pytest.raises(RecordingError, match=r"was not ended"):
        recorder.close()


def drop(recorder: Recorder) -> None:
    del recorder
    gc.collect()


@pytest.mark.parametrize("end", [close, leave, fail, fail_to_close, drop])
def test_every_end_of_a_recorder_frees_the_folder(end: Callable[[Recorder], None], tmp_path: Path) -> None:
    recorders = [Recorder(tmp_path / "d", 4)]
    end(recorders.pop())
    gc.collect()
    Recorder(tmp_path / "d", 4).close()
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "wrong", [{"classes": 5}, {"ids": range(3), "labels": None}, {"source": "sweep"}, {"level": "logits"}]
)
def test_a_recorder_that_was_refused_holds_nothing(wrong: Any, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    with pytest.raises(StoreError):
        run.recorder(tmp_path / "d", **wrong)
    same(run.record(tmp_path / "d"), run.block())


def test_of_many_that_come_at_once_one_records(run: Run, tmp_path: Path) -> None:
    came, refused, gate = [], [], threading.Barrier(8)

    def come() -> None:
        gate.wait()
        try:
            came.append(run.recorder(tmp_path / "d"))
        except StoreError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(came), len(refused)) == (1, 7)
    assert all("is being recorded by" in text for text in refused)


def test_a_single_process_and_several_do_not_record_into_one_folder(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        with pytest.raises(StoreError, match=r"is being recorded by"):
            run.recorder(tmp_path / "d", rank=0, world_size=2)
        run.feed(recorder, 0)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_a_live_recording_can_be_read(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        for epoch in range(3):
            run.feed(recorder, epoch)
            recorder.end_epoch()
            same(Dynamics.open(tmp_path / "d"), run.but(epochs=epoch + 1).block())


def test_a_lock_file_that_is_a_link_is_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match=r"d cannot be written"):
        run.recorder(tmp_path / "d")
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize("name", [b"", b"x", b"[]", b'{"pid": 1}', b"\xff", b'{"pid": [], "host": 1, "since": {}}'])
def test_a_holder_without_a_name_is_refused_all_the_same(name: bytes, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d"):
        (tmp_path / "d" / "lock").write_bytes(name)
        with pytest.raises(StoreError, match=r"is being recorded by another process; one folder has one recorder"):
            run.recorder(tmp_path / "d")


# --- forks -----------------------------------------------------------------------------------------------------------


def outlive(report: int) -> None:
    os.write(report, b".")
    time.sleep(60)


def test_a_forked_child_that_outlives_a_closed_recorder_does_not_keep_the_folder(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    child, reads = forked(outlive)
    os.read(reads, 1)
    with pytest.raises(StoreError, match=r"is being recorded by"):
        run.recorder(tmp_path / "d")
    recorder.close()
    same(run.record(tmp_path / "d"), run.block())
    os.kill(child, signal.SIGKILL)
    told(child, reads)


def test_a_forked_child_that_outlives_a_killed_recorder_does_not_keep_the_folder(run: Run, tmp_path: Path) -> None:
    def record_and_fork(report: int) -> None:
        recorder = run.recorder(tmp_path / "d")
        if os.fork() == 0:
            os.write(report, str(os.getpid()).encode().rjust(10))
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
        recorder.close()

    child, reads = forked(record_and_fork)
    worker = int(os.read(reads, 10))
    with pytest.raises(StoreError, match=NAMED % child):
        run.recorder(tmp_path / "d")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    same(run.record(tmp_path / "d"), run.block())
    os.kill(worker, signal.SIGKILL)
    os.close(reads)


def test_what_a_forked_child_does_with_the_recorder_changes_nothing_for_the_parent(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        first, *others = run.batches(0)
        recorder.update(*first)

        def meddle(report: int) -> None:
            calls: list[Callable[[], object]] = [
                lambda: recorder.update(*others[0]),
                recorder.end_epoch,
                lambda: recorder.rewind(0),
            ]
            for call in calls:
                try:
                    call()
                except RecordingError as error:
                    os.write(report, b"." if "belongs to the process that made it" in str(error) else b"?")
            recorder.close()
            recorder.__exit__(None)

        assert told(*forked(meddle)) == (b"...", 0)
        with pytest.raises(StoreError, match=r"is being recorded by"):
            run.recorder(tmp_path / "d")
        for batch in others:
            recorder.update(*batch)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_a_program_that_a_recorder_starts_does_not_keep_the_folder(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    run.as_killed(recorder)
    run.recorder(tmp_path / "d").close()
    child.kill()
    child.wait()


def test_a_recorder_is_not_copied(run: Run, tmp_path: Path) -> None:
    import copy
    import pickle

    with run.recorder(tmp_path / "d") as recorder:
        for way in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(RecordingError, match=r"cannot be copied or sent to a process"):
                way(recorder)


# --- rewind ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("under_way", [False, True])
@pytest.mark.parametrize("to", [0, 1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"labels": None}, LEARNED], ids=str)
@pytest.mark.parametrize("level", ["signals", "logits"])
def test_a_recorder_goes_back_and_records_the_epochs_again(
    level: Any, options: Any, to: int, under_way: bool, run: Run, tmp_path: Path
) -> None:
    wrong = run.but(epochs=5)
    with wrong.recorder(tmp_path / "d", level=level, **options) as recorder:
        for epoch in range(3):
            wrong.feed(recorder, epoch + 5 if epoch >= to else epoch)
            recorder.end_epoch()
        if under_way:
            for batch in list(run.batches(3))[:2]:
                recorder.update(*batch)
        recorder.rewind(to)
        assert recorder.epoch == to
        if to:
            same(Dynamics.open(tmp_path / "d"), run.but(epochs=to).block())
        else:
            with pytest.raises(StoreError, match=r"was an epoch ever finished"):
                Dynamics.open(tmp_path / "d")
        for epoch in range(to, 3):
            run.feed(recorder, epoch)
            recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    same(dynamics, run.block())
    assert {name for name in files(tmp_path / "d") if name.startswith("epochs")} == {
        entry.file for entry in dynamics.manifest.epochs
    }


@pytest.mark.parametrize("epoch", [4, -1, 1.0, "1", True, None])
def test_going_forward_or_nowhere_is_refused(epoch: Any, run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    run.feed(recorder, 0)
    recorder.end_epoch()
    with pytest.raises(ValueError, match=r"epoch must be"):
        recorder.rewind(epoch)
    run.feed(recorder, 1)
    recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=2).block())


def test_sums_cannot_be_taken_back_but_the_epoch_under_way_can(run: Run, tmp_path: Path) -> None:
    whole = run.record(tmp_path / "w", level="stats")
    with run.recorder(tmp_path / "d", level="stats") as recorder:
        for epoch in range(3):
            recorder.update(*next(iter(run.batches(9))))
            recorder.rewind(epoch)
            run.feed(recorder, epoch)
            if epoch:
                with pytest.raises(StoreError, match=r"has level 'stats', running sums .* record with level='signals'"):
                    recorder.rewind(epoch - 1)
            recorder.end_epoch()
    found = Dynamics.open(tmp_path / "d").stats
    assert all(found[name].tobytes() == column.tobytes() for name, column in whole.stats.columns.items())


def test_every_process_goes_back_with_its_part(run: Run, tmp_path: Path) -> None:
    Dynamics.open(record(run, tmp_path / "d", 2))
    for rank in range(2):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2) as recorder:
            recorder.rewind(1)
            assert recorder.epoch == 1
            same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())
    assert [entry.file for entry in read_manifest(part_folder(tmp_path / "d", 1, 2)).epochs] == ["epochs/00000.arrow"]
    same(Dynamics.open(record(run, tmp_path / "d", 2)), run.block())


@pytest.mark.parametrize("to", [0, 1])
def test_a_rewind_that_is_killed_at_any_line_leaves_the_recording_before_or_after_it(
    to: int, run: Run, tmp_path: Path
) -> None:
    run.record(tmp_path / "whole")
    ended, line = False, 0
    while not ended:
        shutil.copytree(tmp_path / "whole", tmp_path / "d")

        def go_back(_: int, line: int = line) -> None:
            recorder, left = run.recorder(tmp_path / "d"), line

            def trace(frame: Any, event: str, __: Any) -> Any:
                nonlocal left
                if event == "line" and frame.f_code.co_filename.endswith(("writer.py", "clearing.py", "files.py")):
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                return trace

            sys.settrace(trace)
            recorder.rewind(to)
            sys.settrace(None)
            recorder.close()

        ended = os.WIFEXITED(told(*forked(go_back))[1])
        if (tmp_path / "d" / "manifest.json").exists():
            found = Dynamics.open(tmp_path / "d")
            assert found.epochs in (to, 3)
            same(found, run.but(epochs=found.epochs).block())
        else:
            assert to == 0
        same(run.record(tmp_path / "d"), run.block())
        shutil.rmtree(tmp_path / "d")
        line += 2
    assert line > 20
