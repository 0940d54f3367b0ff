"""Temporary files: names that nobody can foresee, made new; leftovers of the dead are swept, and of nobody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainmap import temporary
from trainmap.dynamics.exchange.whole_folder import new_folder
from trainmap.errors import StoreError
from trainmap.files import write_atomically
from trainmap.machine import birth, place
from trainmap.temporary import new_file, new_name, sweep


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def killed(code: str, *words: Path) -> None:
    """Run code that stops in the middle of a write, and kill it there."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


HALF_A_FILE = """
import sys, time
from trainmap.files import write_atomically
with write_atomically(sys.argv[1]) as handle:
    handle.write(b"half")
    print("here", flush=True)
    time.sleep(600)
"""
HALF_A_FOLDER = """
import sys, time
from trainmap.dynamics.exchange.whole_folder import new_folder
with new_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("x")
    print("here", flush=True)
    time.sleep(600)
"""


def test_names_differ_and_say_who_is_at_work(tmp_path: Path) -> None:
    one, two = (new_name(tmp_path / "x.json").name for _ in range(2))
    assert one != two
    assert re.fullmatch(rf"\.x\.json\.{place()}-{os.getpid()}-\d*-[0-9a-f]{{16}}\.tmp", one)


def test_a_planted_link_is_never_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(temporary, "new_name", lambda target: target.with_name(".planted.tmp"))
    (tmp_path / ".planted.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError), write_atomically(tmp_path / "x") as handle:
        handle.write(b"overwritten")
    assert victim.read_text() == "precious"
    assert (tmp_path / ".planted.tmp").is_symlink()


def test_a_link_as_target_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "x").symlink_to(tmp_path / "victim")
    with write_atomically(tmp_path / "x") as handle:
        handle.write(b"new")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "x").read_text()) == ("precious", "new")
    assert not (tmp_path / "x").is_symlink()


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with write_atomically(tmp_path / "x") as handle:
            handle.write(b"")
        with new_folder(tmp_path / "d"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="births of processes are read from /proc")
@pytest.mark.parametrize("code", [HALF_A_FILE, HALF_A_FOLDER])
def test_what_a_killed_process_left_is_swept_at_the_next_start(code: str, tmp_path: Path) -> None:
    killed(code, tmp_path / "x")
    assert len(names(tmp_path)) == 1
    with write_atomically(tmp_path / "y") as handle:
        handle.write(b"")
    assert names(tmp_path) == ["y"]


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "x") as handle:
        handle.write(b"half")
        code = "import sys; from trainmap.temporary import sweep; from pathlib import Path; sweep(Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        sweep(tmp_path, again=True)
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == ["x"]


def test_another_places_and_another_versions_leftovers_go_when_they_are_old_and_foreign_files_never(
    tmp_path: Path,
) -> None:
    pid, token = os.getpid(), "0" * 16
    left = [f".x.{'0' * 8}-{pid}-1-{token}.tmp", f".x.json.{pid}-140123.tmp", f".x.{pid}.tmp"]
    foreign = [".x.tmp", "x.tmp", ".swap.abc.tmp", f".x.{place()}-{pid}-{birth(pid)}-{token}.tmp"]
    for name in [*left, *foreign]:
        (tmp_path / name).write_text("")
    sweep(tmp_path, again=True)
    assert names(tmp_path) == sorted([*left, *foreign])
    old = time.time() - 100_000
    for name in [*left, *foreign]:
        os.utime(tmp_path / name, (old, old))
    sweep(tmp_path, again=True)
    assert names(tmp_path) == sorted(foreign)


def test_a_sweep_removes_a_planted_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    planted = tmp_path / f".x.{place()}-{2**22 + 1}-1-{'0' * 16}.tmp"
    planted.symlink_to(tmp_path / "precious")
    sweep(tmp_path, again=True)
    assert names(tmp_path) == ["precious"]
    assert (tmp_path / "precious/file").exists()


def test_an_import_leaves_the_folder_of_another_at_once_alone(tmp_path: Path) -> None:
    with new_folder(tmp_path / "d") as one:
        (one / "x").write_text("one")
        with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "d") as two:
            (two / "x").write_text(str(1 / 0))
        assert not two.exists()
        assert (one / "x").read_text() == "one"
    assert (tmp_path / "d/x").read_text() == "one"


def test_of_two_imports_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    def both() -> None:
        with new_folder(tmp_path / "d") as one:
            (one / "x").write_text("one")
            with new_folder(tmp_path / "d") as two:
                (two / "x").write_text("two")

    with pytest.raises(StoreError, match="must be a new or an empty folder, it holds 'x'"):
        both()
    assert (tmp_path / "d/x").read_text() == "two"
    assert names(tmp_path) == ["d"]


def test_the_teachers_partial_file_is_not_written_through_a_planted_link(tmp_path: Path) -> None:
    from trainmap.distillation.cache import _make_empty

    (tmp_path / "victim").write_text("precious")
    (tmp_path / "logits.npy.partial").symlink_to(tmp_path / "victim")
    _make_empty(tmp_path / "logits.npy.partial", (3, 4))
    assert (tmp_path / "victim").read_text() == "precious"
    assert np.load(tmp_path / "logits.npy.partial").shape == (3, 4)


def test_a_long_name_has_a_temporary_one_that_fits(tmp_path: Path) -> None:
    with write_atomically(tmp_path / ("é" * 120)) as handle:
        handle.write(b"x")
    descriptor, path = new_file(tmp_path / ("x" * 250))
    os.close(descriptor)
    assert len(path.name) < 200
