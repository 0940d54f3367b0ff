"""One epoch more, for good or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recorded import Run, same
from trainmap.dynamics.columns import write_columns
from trainmap.dynamics.exchange.whole_folder import write_dynamics
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import empty_signals
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- where a recording may begin -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: (p.parent / "f").write_text("x")])
def test_a_file_where_a_folder_is_needed_is_refused(make: Callable[[Path], Any], run: Run, tmp_path: Path) -> None:
    make(tmp_path / "d")
    path = tmp_path / "d" if (tmp_path / "d").exists() else tmp_path / "f" / "d"
    with pytest.raises(StoreError, match=r"[df] is a file; a recording needs a folder"):
        run.recorder(path)


def test_a_folder_with_other_files_is_refused_and_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"holds other files \('thesis.tex'\); a recording needs a folder of its own"):
        run.recorder(tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"x"}


def test_an_empty_folder_and_the_leftovers_of_a_first_epoch_are_no_obstacle(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "epochs").mkdir(parents=True)
    (folder / "epochs" / "00000.arrow").write_text("half")
    (folder / "examples.parquet").write_text("half")
    (folder / ".manifest.json.5.tmp").write_text("half")
    same(run.record(folder), run.block())


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_made_is_an_error(
    code: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=f"d cannot be made: {os.strerror(code)}; choose a folder"):
        run.recorder(tmp_path / "d")


# --- what happens when writing fails ---------------------------------------------------------------------------------


def refusal(recorder: Recorder) -> str:
    """What end_epoch() says when it cannot write; nothing if it can."""
    try:
        recorder.end_epoch()
    except StoreError as error:
        return str(error)
    return ""


def fail_at(monkeypatch: pytest.MonkeyPatch, call: str, when: Callable[[Any], bool], code: int) -> list[Any]:
    """``os.<call>`` raises when its first argument says so; returns the calls that failed."""
    real, failed = getattr(os, call), []

    def maybe(first: Any, *rest: Any, **options: Any) -> Any:
        if when(first):
            failed.append(first)
            raise OSError(code, os.strerror(code))
        return real(first, *rest, **options)

    monkeypatch.setattr(os, call, maybe)
    return failed


@pytest.mark.parametrize("level", ["signals", "stats"])
@pytest.mark.parametrize("what", ["examples.parquet", "00001.arrow", "00002.arrow", "manifest.json"])
def test_an_epoch_that_cannot_be_renamed_into_place_is_written_at_the_second_try(
    what: str, level: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The medium turns read-only at one file; end_epoch() says so, and succeeds once it is writable again."""
    failures = 0
    with run.recorder(tmp_path / "d", labels=None, level=level) as recorder:
        for epoch in range(3):
            run.feed(recorder, epoch)
            with monkeypatch.context() as patch:
                failed = fail_at(patch, "replace", lambda source: what in str(source), errno.EROFS)
                said = refusal(recorder)
                assert bool(said) == bool(failed) == (recorder.epoch == epoch)
            if said:
                failures += 1
                kept = ("Nothing was kept", "The epoch before it is kept", "The 2 epochs before it are kept")[epoch]
                assert said.startswith(
                    f"epoch {epoch} could not be written to {tmp_path / 'd'}: Read-only file system. "
                )
                assert said.endswith(f"{kept}; make room (or the folder writable) and call end_epoch() again")
                recorder.end_epoch()
    assert failures > 0
    assert not list((tmp_path / "d").rglob("*.tmp"))
    whole = run.record(tmp_path / "whole", labels=None, level=level)
    assert contents(tmp_path / "d") == contents(whole.path)


def test_a_failed_epoch_can_still_be_completed_by_further_examples(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the ids are being learned: a failure to write does not end the learning."""
    with run.recorder(tmp_path / "d", ids=None, labels=None) as recorder:
        *most, last = run.batches(0)
        for batch in most:
            recorder.update(*batch)
        with monkeypatch.context() as patch:
            fail_at(patch, "fsync", lambda _: True, errno.EIO)
            with pytest.raises(StoreError, match=r"Input/output error"):
                recorder.end_epoch()
        recorder.update(*last)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from recorded import Run
from trainmap.errors import StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, level = Path(sys.argv[1]), sys.argv[2]
run = Run(np.arange(3000), np.arange(3000) % 4, 4, epochs=2, batch=3000)
recorder = run.recorder(path, level=level)
run.feed(recorder, 0)
recorder.end_epoch()
run.feed(recorder, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    recorder.end_epoch()
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert recorder.epoch == 1
if sys.argv[3] == "room":
    recorder.end_epoch()
    recorder.close()
"""


@pytest.mark.parametrize("room", ["room", "no room"])
@pytest.mark.parametrize("level", ["signals", "stats"])
def test_a_file_that_outgrows_the_disk_is_an_error_and_nothing_is_lost(level: Any, room: str, tmp_path: Path) -> None:
    """The kernel refuses to let a file grow beyond 20 kB, in the middle of a write."""
    made = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "d"), level, room],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "epoch 1 could not be written to" in made.stdout
    assert "File too large. The epoch before it is kept; make room" in made.stdout
    run = Run(np.arange(3000), np.arange(3000) % 4, 4, epochs=2 if room == "room" else 1, batch=3000)
    dynamics = Dynamics.open(tmp_path / "d")
    dynamics.verify()
    assert dynamics.epochs == run.epochs
    assert contents(tmp_path / "d") == contents(run.record(tmp_path / "e", level=level).path)


class FullDisk:
    """A file on a disk that has room for so many writes more, over all its files."""

    real_open: Any = staticmethod(open)
    writes = 0

    def __init__(self, path: Any) -> None:
        self.handle = self.real_open(path, "wb")  # pyright: ignore

    def write(self, data: Any) -> int:
        FullDisk.writes -= 1
        if FullDisk.writes < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.handle.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()

    @staticmethod
    def open(path: Any, mode: Any = "r", *rest: Any) -> Any:
        return FullDisk(path) if mode == "wb" else FullDisk.real_open(path, mode, *rest)


@pytest.mark.parametrize("level", ["signals", "logits", "stats"])
def test_a_write_that_is_refused_half_way_leaves_no_half_file(
    level: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the k-th write, whichever that is."""
    recorder = run.recorder(tmp_path / "d", level=level)
    run.feed(recorder, 0)
    recorder.end_epoch()
    run.feed(recorder, 1)
    before, room = contents(tmp_path / "d"), 0
    while recorder.epoch == 1:
        with monkeypatch.context() as patch:
            patch.setattr("builtins.open", FullDisk.open)
            FullDisk.writes = room
            said = refusal(recorder)
        assert ("No space left on device" in said) == (recorder.epoch == 1)
        if said:
            assert before.items() <= contents(tmp_path / "d").items()
            assert not list((tmp_path / "d").rglob("*.tmp"))
        room += 1
    assert room > 3
    recorder.close()
    assert contents(tmp_path / "d") == contents(run.record(tmp_path / "e", 2, level=level).path)


# --- one folder, one recorder ----------------------------------------------------------------------------------------


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has none."""

    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)


def test_without_locks_the_second_of_two_recorders_in_one_folder_is_refused_when_it_writes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    first, second = run.recorder(tmp_path / "d"), run.recorder(tmp_path / "d")
    for recorder in (first, second):
        run.feed(recorder, 0)
    first.end_epoch()
    with pytest.raises(StoreError, match=r"manifest.json was changed by someone else since epoch 0 began; one folder"):
        second.end_epoch()
    run.feed(first, 1)
    first.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=2).block())


def test_without_locks_a_recorder_that_took_over_shuts_out_the_one_before(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    run.record(tmp_path / "d", 1)
    old = run.recorder(tmp_path / "d")
    run.feed(old, 1)
    run.record(tmp_path / "d", 2)
    with pytest.raises(StoreError, match=r"changed by someone else since epoch 1 began"):
        old.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=2).block())


def test_an_epoch_is_not_written_while_another_process_writes(run: Run, tmp_path: Path) -> None:
    """The other's lock on the folder is waited for; what it wrote meanwhile is then seen."""
    path = tmp_path / "d"
    with run.recorder(path) as recorder:
        run.feed(recorder, 0)
        folder = os.open(path, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        writing = threading.Thread(target=recorder.end_epoch)
        writing.start()
        writing.join(0.3)
        assert not list(path.rglob("*.arrow"))
        assert recorder.epoch == 0
        os.close(folder)
        writing.join()
        assert recorder.epoch == 1


def test_a_disk_without_locks_is_written_all_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    same(run.record(tmp_path / "d"), run.block())
    assert not (tmp_path / "d" / "lock").exists()


def test_a_folder_removed_under_a_recorder_is_an_error(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    run.feed(recorder, 0)
    recorder.end_epoch()
    run.feed(recorder, 1)
    shutil.rmtree(tmp_path / "d")
    with pytest.raises(StoreError, match=r"manifest.json was removed by someone else"):
        recorder.end_epoch()


def test_a_manifest_indented_by_hand_is_still_the_same_recording(run: Run, tmp_path: Path) -> None:
    manifest = run.record(tmp_path / "d", 2).path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text())))
    same(run.record(tmp_path / "d"), run.block())


def test_examples_are_written_again_only_when_labels_are_new(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", labels=None, allow_missing=True) as recorder:
        stamps = []
        for epoch in range(3):
            rows = slice(0, 20 if epoch < 2 else 40)
            recorder.update(run.ids[rows], run.logits(epoch, rows), run.labels[rows])
            recorder.end_epoch()
            [file] = (tmp_path / "d").glob("examples*.parquet")
            stamps.append((file.name, file.stat().st_ino))
    assert stamps[0] == stamps[1] != stamps[2]
    assert [name for name, _ in stamps] == ["examples.parquet", "examples.parquet", "examples-1.parquet"]
    assert (Dynamics.open(tmp_path / "d").labels >= 0).all()


def test_an_imported_recording_with_full_precision_logits_is_not_continued(run: Run, tmp_path: Path) -> None:
    columns = empty_signals(40, 4) | {"logits": np.zeros((40, 4), np.float32)}
    order = np.argsort(run.ids)
    write_dynamics(tmp_path / "d", run.ids[order], run.labels[order], 4, "train", [(columns, 40)], {})
    with pytest.raises(StoreError, match=r"has float32 logits, a recorder writes float16: it was imported"):
        run.recorder(tmp_path / "d", level="logits")


def test_a_short_write_limit_is_not_left_behind() -> None:
    """The subprocess above limits itself, not the tests."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_columns_of_different_lengths_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"length"):
        write_columns(tmp_path, "epochs/00000.arrow", {"a": np.zeros(2), "b": np.zeros(3)}, 2)
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_recorder_in_a_folder_that_is_not_there_makes_it_with_its_parents(run: Run, tmp_path: Path) -> None:
    Recorder(tmp_path / "a" / "b" / "c", 4).close()
    assert (tmp_path / "a" / "b" / "c").is_dir()


# --- what happens behind the manifest's rename -----------------------------------------------------------------------


def replaced(monkeypatch: pytest.MonkeyPatch, then: Callable[[], Any]) -> None:
    """From the manifest's rename on, the next flush to disk ends otherwise."""
    real_replace, real_fsync, behind = os.replace, os.fsync, []

    def replace(source: Any, target: Any) -> None:
        real_replace(source, target)
        behind[:] = [target] if Path(target).name == "manifest.json" else []

    def fsync(descriptor: int) -> None:
        if behind:
            then()
        real_fsync(descriptor)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("level", ["signals", "stats"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=["EIO", "^C"])
def test_an_epoch_whose_manifest_is_in_place_is_recorded_once_whatever_fails_behind_it(
    error: BaseException, level: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = run.recorder(tmp_path / "d", level=level)
    for epoch in range(3):
        run.feed(recorder, epoch)
        with monkeypatch.context() as patch:
            replaced(patch, lambda: raise_(error))
            with pytest.raises((StoreError, KeyboardInterrupt)) as failed:
                recorder.end_epoch()
        if isinstance(error, OSError):
            assert str(failed.value) == (
                f"epoch {epoch} is in {tmp_path / 'd'}, but was not flushed to the disk (Input/output error): "
                "a power cut may lose it; recording goes on with the next epoch"
            )
        assert recorder.epoch == epoch + 1
        with pytest.raises(RecordingError, match=f"epoch {epoch + 1}: nothing was recorded"):
            recorder.end_epoch()
    recorder.close()
    sums = f"stats/{3:05d}.arrow"
    whole = run.record(tmp_path / "whole", level=level)
    Dynamics.open(tmp_path / "d").verify()
    found, expected = contents(tmp_path / "d"), contents(whole.path)
    assert found.items() >= expected.items()
    assert level == "signals" or sums in found


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_flushes_no_folders_is_recorded_on(
    code: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, "fsync", lambda descriptor: stat.S_ISDIR(os.fstat(descriptor).st_mode), code)
    same(run.record(tmp_path / "d"), run.block())


def test_each_file_is_flushed_before_its_rename_and_its_folder_after_and_the_manifest_is_last(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    real_replace, real_fsync = os.replace, os.fsync

    def replace(source: Any, target: Any) -> None:
        real_replace(source, target)
        done.append(("rename", Path(target).relative_to(tmp_path).as_posix()))

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        name = path.name if path.is_dir() else path.name.split(".")[1]
        assert path.is_dir() or path.stat().st_size > 0, "flushed before it was written"
        done.append(("flush folder" if path.is_dir() else "flush", name))

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    run.record(tmp_path / "d", epochs=1)
    assert done == [
        ("flush", "examples"),
        ("rename", "d/examples.parquet"),
        ("flush folder", "d"),
        ("flush", "00000"),
        ("rename", "d/epochs/00000.arrow"),
        ("flush folder", "epochs"),
        ("flush", "manifest"),
        ("rename", "d/manifest.json"),
        ("flush folder", "d"),
    ]
