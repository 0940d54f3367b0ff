"""Every lock, and whatever may become of its holder, its file and its folder."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from trainmap.dynamics.folder_locks import Hold, locked
from trainmap.errors import StoreError
from trainmap.experiments.runs.task_locks import held, release, take
from trainmap.locks import is_locked

RUN = "a" * 64
Release = Callable[[], object]


def moment(folder: Path) -> Release | None:
    """Of writing into a folder. It would be waited for, so this one looks first."""
    if is_locked(folder):
        return None
    inside = ExitStack()
    assert inside.enter_context(locked(folder)) is True
    return inside.close


def recorder(folder: Path) -> Release | None:
    try:
        return Hold(folder).release
    except StoreError:
        return None


def run(folder: Path) -> Release | None:
    return (lambda: release(folder, RUN, os.getpid())) if take(folder, RUN) else None


LOCKS: dict[Callable[[Path], Release | None], str] = {moment: "", recorder: "lock", run: f"{RUN}.lock"}
FILES = {lock: name for lock, name in LOCKS.items() if name}
every_lock = pytest.mark.parametrize("lock", LOCKS)
every_file = pytest.mark.parametrize("lock", FILES)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that other users reach as well."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o777)
        yield Path(made)


def child(work: Callable[[int], object]) -> tuple[int, int]:
    """(process, pipe) of a fork that does ``work(pipe)``."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            work(writes)
        os._exit(0)
    os.close(writes)
    return pid, reads


def end(pid: int, reads: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reads)


def holding(lock: Callable[[Path], Release | None], folder: Path, then: Callable[[], object]) -> tuple[int, int]:
    """A process that holds a lock, and does something then; back when it does."""

    def work(writes: int) -> None:
        kept = lock(folder)
        then()
        os.write(writes, b"." if kept else b"?")
        time.sleep(60)

    pid, reads = child(work)
    assert os.read(reads, 1) == b"."
    return pid, reads


@every_lock
def test_a_lock_is_held_once_until_it_is_released_and_leaves_nothing(lock: Any, folder: Path) -> None:
    let_go = lock(folder)
    assert lock(folder) is None
    let_go()
    assert list(folder.iterdir()) == []
    let_go = lock(folder)
    assert let_go is not None
    let_go()


@every_lock
def test_a_killed_holder_holds_nothing(lock: Any, folder: Path) -> None:
    holder = holding(lock, folder, lambda: None)
    assert lock(folder) is None
    end(*holder)
    let_go = lock(folder)
    assert let_go is not None
    let_go()
    assert list(folder.iterdir()) == []


@every_lock
def test_a_stopped_holder_holds(lock: Any, folder: Path) -> None:
    pid, reads = holding(lock, folder, lambda: None)
    os.kill(pid, signal.SIGSTOP)
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    assert lock(folder) is None
    end(pid, reads)


@every_lock
def test_a_child_of_a_killed_holder_holds_nothing(lock: Any, folder: Path) -> None:
    reads, writes = os.pipe()

    def fork() -> None:
        if os.fork() == 0:
            os.write(writes, str(os.getpid()).encode())
            time.sleep(60)
            os._exit(0)

    holder = holding(lock, folder, fork)
    outliving = int(os.read(reads, 20))
    assert lock(folder) is None
    end(*holder)
    let_go = lock(folder)
    assert let_go is not None
    let_go()
    os.kill(outliving, signal.SIGKILL)


@every_lock
def test_a_child_cannot_release_what_its_parent_holds(lock: Any, folder: Path) -> None:
    let_go = lock(folder)
    pid, reads = child(lambda _: let_go())
    os.waitpid(pid, 0)
    os.close(reads)
    assert lock(folder) is None
    let_go()
    assert list(folder.iterdir()) == []


@every_file
@pytest.mark.parametrize("alive", [True, False])
def test_a_folder_that_was_copied_with_its_lock_is_free(lock: Any, alive: bool, folder: Path, tmp_path: Path) -> None:
    holder = holding(lock, folder, lambda: None)
    if not alive:
        end(*holder)
    shutil.copytree(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / FILES[lock]).exists()
    let_go = lock(tmp_path / "copy")
    assert let_go is not None
    let_go()
    if alive:
        assert lock(folder) is None
        end(*holder)


def test_a_folder_that_was_moved_under_its_recorder_is_held_where_it_is(folder: Path, tmp_path: Path) -> None:
    (folder / "d").mkdir()
    first = Hold(folder / "d")
    (folder / "d").rename(tmp_path / "e")
    (folder / "d").mkdir()
    assert recorder(tmp_path / "e") is None
    second = Hold(folder / "d")
    first.release()
    assert (folder / "d" / "lock").exists(), "the name of the second"
    assert recorder(folder / "d") is None
    second.release()


@every_file
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 2000, bytes(80), b"\xff", b'{"pid": {}}', b"9" * 5000])
def test_a_damaged_lock_is_held_while_its_holder_lives_and_by_nobody_after(
    lock: Any, content: bytes, folder: Path
) -> None:
    holder = holding(lock, folder, lambda: None)
    (folder / FILES[lock]).write_bytes(content)
    os.utime(folder / FILES[lock], (1, 1))
    assert lock(folder) is None
    end(*holder)
    let_go = lock(folder)
    assert let_go is not None
    let_go()
    assert list(folder.iterdir()) == []


PLANTED: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "full folder": lambda path: (path / "thesis").mkdir(parents=True),
    "pipe": lambda path: os.mkfifo(path),
    "link to nothing": lambda path: path.symlink_to(path.with_name("nowhere")),
    "link to itself": lambda path: path.symlink_to(path),
    "link to a file": lambda path: (path.with_name("precious").write_text("data"), path.symlink_to("precious")),
}


@every_file
@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_in_place_of_a_lock_hangs_nobody_and_is_not_followed(
    lock: Any, name: str, folder: Path
) -> None:
    """A run goes on beside it; a recorder does, or says that it cannot write there."""
    PLANTED[name](folder / FILES[lock])
    os.utime(folder / FILES[lock], (1, 1), follow_symlinks=False)
    try:
        let_go = lock(folder)
    except OSError:
        assert lock is recorder
    else:
        assert let_go is not None
        let_go()
    assert not (folder / "nowhere").exists()
    if "file" in name:
        assert (folder / "precious").read_text() == "data"
    if name == "full folder":
        assert list(folder.rglob("thesis"))


def as_somebody_else(folder: Path, work: Callable[[], bytes]) -> bytes:
    """What ``work`` answers for a user who cannot write into the folder."""

    def other(writes: int) -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        os.write(writes, work())

    os.chmod(folder, 0o555)
    pid, reads = child(other)
    os.waitpid(pid, 0)
    answer = os.read(reads, 100)
    os.close(reads)
    os.chmod(folder, 0o777)
    return answer


@every_lock
def test_in_a_folder_that_cannot_be_written_no_file_is_locked_and_what_is_held_is_seen(lock: Any, folder: Path) -> None:
    def attempt() -> bytes:
        try:
            return b"taken" if lock(folder) else b"refused"
        except PermissionError:
            return b"cannot be written"

    def look() -> bytes:
        return b"held" if is_locked(folder / LOCKS[lock]) or held(folder, RUN) else b"free"

    assert as_somebody_else(folder, attempt) == (b"taken" if lock is moment else b"cannot be written")
    assert as_somebody_else(folder, look) == b"free"
    let_go = lock(folder)
    assert as_somebody_else(folder, look) == b"held"
    let_go()
    assert list(folder.iterdir()) == []


def alone(lock: Any, folder: Path, rounds: int) -> bool:
    """Take a lock again and again, and be the only one each time."""
    for _ in range(rounds):
        while (let_go := lock(folder)) is None:
            time.sleep(0.001)
        try:
            os.close(os.open(folder / "mark", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        time.sleep(0.0005)
        (folder / "mark").unlink()
        let_go()
    return True


@every_lock
def test_of_threads_that_come_at_once_one_holds(lock: Any, folder: Path) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(alone(lock, folder, 20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert list(folder.iterdir()) == []


def alone_in_processes(lock: Any, folder: Path, rounds: int) -> None:
    children = [child(lambda writes: os.write(writes, b"." if alone(lock, folder, rounds) else b"?")) for _ in range(4)]
    for pid, reads in children:
        os.waitpid(pid, 0)
        assert os.read(reads, 1) == b"."
        os.close(reads)
    assert list(folder.iterdir()) == []


@every_lock
def test_of_processes_that_come_at_once_one_holds(lock: Any, folder: Path) -> None:
    alone_in_processes(lock, folder, 20)


@every_file
def test_of_processes_that_find_a_dead_lock_at_once_one_takes_it(lock: Any, folder: Path) -> None:
    for _ in range(5):
        end(*holding(lock, folder, lambda: None))
        alone_in_processes(lock, folder, 1)
