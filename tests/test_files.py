"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainmap.errors import StoreError
from trainmap.files import writing
from trainmap.typed import of_type

MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "under a file": (lambda p: (p / "f").write_text("x") and p / "f" / "deep" / "x.csv", r"\(\S+/f/deep\)$"),
    "a folder": (lambda p: (p / "d.csv").mkdir() or p / "d.csv", r"d\.csv cannot be written: Is a directory$"),
    "no such place": (
        lambda p: Path("/proc/trainmap/x.csv"),
        r"^/proc/trainmap/x\.csv cannot be written: No such file",
    ),
    "a name too long": (lambda p: p / ("x" * 300), r"cannot be written: File name too long$"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_cannot_be_written_is_a_mistake_in_one_line(name: str, tmp_path: Path) -> None:
    make, message = MISTAKES[name]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=message) as failed, writing(path) as handle:
        handle.write(b"x")
    assert "\n" not in str(failed.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_error_in_the_body_stays_what_it_is_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")

    def write() -> None:
        with writing(tmp_path / "x") as handle:
            handle.write(b"new")
            raise KeyError("x")

    with pytest.raises(KeyError):
        write()
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(("value", "kinds"), [("2", int), (True, int), (None, str), (2, (str, type(None)))])
def test_a_value_of_another_type_is_refused_by_name(value: Any, kinds: Any) -> None:
    with pytest.raises(TypeError, match="'seed' cannot be "):
        of_type(value, kinds, "seed")
