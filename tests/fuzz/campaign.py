"""Fuzzing of every reader, each in processes of its own with limits of time and memory.

    PYTHONPATH=src python tests/fuzz/campaign.py --inputs 100000 [--readers map,card] [--table FILE.md]

prints a table and what is to be mended, and ends with 1 where there is anything.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz.readers import READERS

SECONDS = 30
"""For one input, beyond which it hangs. The slowest takes under 2 s on a machine of its own."""
START_SECONDS = 300


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    foreign: int = 0
    slowest: float = 0.0
    peak: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        _, number, state, took, held, what = line.split(" ", 5)
        self.inputs += 1
        self.slowest, self.peak = max(self.slowest, float(took)), max(self.peak, float(held))
        setattr(self, state, getattr(self, state) + 1)
        if state == "foreign":
            self.faults.append(f"{number}: {what.strip()}")

    def lost(self, number: int, what: str) -> None:
        self.inputs, self.foreign = self.inputs + 1, self.foreign + 1
        self.faults.append(f"{number}: {what}")

    def join(self, other: Tally) -> None:
        for name in ("inputs", "refused", "accepted", "foreign"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest, self.peak = max(self.slowest, other.slowest), max(self.peak, other.peak)
        self.faults += other.faults


Task = tuple[str, str, int, int]
"""Folder, reader, from which input to which."""


def fuzz(tasks: list[Task]) -> dict[str, Tally]:
    """The inputs of some readers, in one process; one that dies or hangs is replaced behind that input."""
    found: dict[str, Tally] = {name: Tally() for _, name, _, _ in tasks}
    while tasks:
        worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(tasks)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        with worker:
            tasks = _watch(worker, tasks, found)
            worker.kill()
    return found


def _watch(worker: subprocess.Popen[str], tasks: list[Task], found: dict[str, Tally]) -> list[Task]:
    """Follow a process to its end, which may be early; what is left to do."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(worker.stdout, lines), daemon=True).start()
    at, begun, wait = -1, -1, START_SECONDS
    while True:
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            line, lost = None, f"hangs for {wait} s"
        else:
            lost = "" if line is not None else f"crash, exit code {worker.wait()}"
        if line is None:
            if lost.endswith("code 0"):
                return []
            at = max(at, 0)
            folder, name, start, stop = tasks[at]
            found[name].lost(begun, lost)
            rest = max(begun, start) + 1  # where not even the sound input could be read, without that one
            return [(folder, name, rest, stop), *tasks[at + 1 :]] if rest < stop else tasks[at + 1 :]
        name = tasks[at][1]
        wait = SECONDS
        if line.startswith("T "):
            at, begun, wait = at + 1, -1, START_SECONDS
        elif line.startswith("S ") and not line.startswith("S accepted"):
            found[name].faults.append(f"the sound input is {line[2:].strip()}")
        elif line.startswith("B "):
            begun = int(line[2:])
        elif line.startswith("E "):
            found[name].add(line)


def _pump(lines: Iterable[str] | None, into: queue.SimpleQueue[str | None]) -> None:
    for line in lines or ():
        into.put(line)
    into.put(None)


def campaign(inputs: int, names: Iterable[str] = READERS, jobs: int = 2, first: int = 0) -> dict[str, Tally]:
    """Fuzz every reader, the inputs shared out by their weights."""
    names = list(names)
    whole = sum(READERS[name].weight for name in names)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    lists: list[list[Task]] = [[] for _ in range(jobs)]
    found = {name: Tally() for name in names}
    try:
        for at, name in enumerate(names):
            (sound := folder / str(at) / "sound").mkdir(parents=True)
            READERS[name].make(sound)
            count = max(1, round(inputs * READERS[name].weight / whole))
            for job in range(jobs):  # each reader in every process, so that they end together
                low, high = first + count * job // jobs, first + count * (job + 1) // jobs
                if low < high:
                    lists[job].append((str(folder / str(at)), name, low, high))
        with ThreadPoolExecutor(jobs) as pool:
            for part in pool.map(fuzz, lists):
                for name, tally in part.items():
                    found[name].join(tally)
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(found: dict[str, Tally]) -> str:
    """As Markdown."""
    whole = Tally()
    for tally in found.values():
        whole.join(tally)
    lines = [
        "| reader | inputs | refused | accepted | foreign | slowest, ms | peak, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in [*found.items(), ("**all**", whole)]:
        lines.append(
            f"| {name} | {one.inputs:,} | {one.refused:,} | {one.accepted:,} | {one.foreign:,} | {one.slowest:,.0f} "
            f"| {one.peak:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--readers", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    found = campaign(asked.inputs, asked.readers.split(",") if asked.readers else READERS, asked.jobs, asked.first)
    text = table(found)
    print(text)
    if asked.table:
        asked.table.write_text(text)
    faults = [f"{name}: {fault}" for name, one in found.items() for fault in one.faults]
    print("\n".join(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
