"""One process that reads damaged inputs, one after the other, and says of each how it ended.

    python tests/fuzz/worker.py '[["FOLDER", "READER", START, STOP], ...]'

A line "T reader" comes before the inputs of a reader, a line "B n" before an input and a line
"E n outcome milliseconds megabytes what" after it, so that whoever reads them knows which input a crash or a hang
belongs to. Memory is limited: what an input asks for beyond it is refused by the system, and a reader that asks all
the same is seen.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path
from random import Random
from typing import TextIO

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz.mutations import mutate
from fuzz.readers import READERS, Reader

ROOM = 1 << 30
"""What the readers are told that the machine has: a file may take half of it."""
HEADROOM = 3 << 30
"""Bytes of address space beyond what the libraries take."""


def peak(reset: bool = False) -> float:
    """Most megabytes held since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def limit_memory() -> None:
    import trainmap.files
    import trainmap.limits

    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + HEADROOM, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trainmap.limits.memory_of_machine = lambda: ROOM  # type: ignore[assignment]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def restore(folder: Path, sound: dict[Path, bytes]) -> None:
    """The folder as it was made."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path in sound and path.is_file() and not path.is_symlink():
            if path.stat().st_size != len(sound[path]) or path.read_bytes() != sound[path]:
                path.write_bytes(sound[path])
        elif path.is_dir() and not path.is_symlink():
            if path in sound or not any(path.iterdir()):
                shutil.rmtree(path)
        else:
            path.unlink()
    for path, data in sound.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def outcome(reader: Reader, folder: Path) -> tuple[str, str]:
    """(accepted, refused or foreign; what was said)."""
    from trainmap.errors import LONGEST, LONGEST_MESSAGE, TrainmapError

    try:
        reader.read(folder)
    except TrainmapError as error:
        said = str(error)
        if not said.isprintable() or len(said) > LONGEST_MESSAGE or any(len(word) > LONGEST for word in said.split()):
            return "foreign", f"a message that is not one short line: {said[:300]!r}"
        return "refused", said
    except BaseException as error:  # noqa: BLE001  (a panic of polars is no Exception)
        import traceback

        where = traceback.extract_tb(error.__traceback__)
        ours = next(
            (
                f"{one.filename.rpartition('/')[2]}:{one.lineno}"
                for one in reversed(where)
                if "trainmap/" in one.filename
            ),
            "",
        )
        return "foreign", f"{type(error).__name__} at {ours}: {str(error)[:200]!r}"
    return "accepted", ""


def fuzz(said: TextIO, base: str, name: str, start: int, stop: int) -> None:
    reader, folder = READERS[name], Path(base) / f"{os.getpid()}"
    shutil.copytree(Path(base) / "sound", folder)
    sound = contents(folder)
    targets = [path for path in sound if any(path.match(pattern) for pattern in reader.damage)]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(f"T {name}", file=said)
    state, what = outcome(reader, folder)  # the libraries are loaded now
    restore(folder, sound)
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    limit_memory()
    print(f"S {state} {what[:300]}", file=said)
    try:
        for number in range(start, stop):
            random = Random(f"{name} {number}")
            print(f"B {number}", file=said)
            target = random.choice(targets)
            kind = mutate(random, target)
            if reader.repair is not None and random.random() < 0.7:
                reader.repair(folder, target)
            before = peak(reset=True)
            began = time.perf_counter()
            state, what = outcome(reader, folder)
            took = 1000 * (time.perf_counter() - began)
            held = peak() - before
            if os.fstat(2).st_size:  # a panic of Rust, a message of C++: more than the one line
                state, what = "foreign", f"the error stream has {os.pread(2, 200, 0)!r} after {state} {what}"
                os.ftruncate(2, 0)
                os.lseek(2, 0, os.SEEK_SET)
            words = f"{kind} {target.name}: {what}".encode("ascii", "replace").decode().replace("\n", " ")
            print(f"E {number} {state} {took:.1f} {held:.1f} {words}", file=said)
            restore(folder, sound)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(tasks: list[tuple[str, str, int, int]]) -> None:
    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.memfd_create("errors"), 2)
    warnings.simplefilter("ignore")
    logging.getLogger("trainmap").setLevel(logging.ERROR)  # what a reader tells of sound data is no fault
    for task in tasks:
        fuzz(said, *task)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
