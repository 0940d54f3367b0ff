"""Independent runs, side by side, in single-threaded worker processes; a run that is done is never done again.

A run is its configuration, hashed. In the folder of a grid, ``<hash>.json`` is a finished run, ``<hash>.error.json``
one that failed (tried again by the next call), ``<hash>.<generation>.lock`` one under way. Nothing else is kept, so a
killed call loses the runs under way only and the next call is the way to resume.

Two processes with one thread each do 1.1 to 1.5 times the work of one process with two (measured on small networks);
the two malloc settings that workers start with add 12 to 32 % for small convolutional networks.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from trainmap.errors import TrainmapError
from trainmap.experiments.locks import held, log_owner, release
from trainmap.experiments.task import Outcome, Task, error_path, failed_outcome, finished_outcome, stamp
from trainmap.experiments.worker import Worker

__all__ = ["Outcome", "Task", "cores", "run_all"]

POLL_SECONDS = 0.2  # how often a run that another call is doing is looked at


def run_all(
    tasks: Sequence[Task],
    folder: str | os.PathLike[str],
    jobs: int | None = None,
    on_progress: Callable[[Outcome, int, int], None] | None = None,
) -> list[Outcome]:
    """Run every task that is not finished yet, ``jobs`` at a time, and return all outcomes in the order of ``tasks``.

    Results do not depend on ``jobs``: with one job there is one worker process as well. Workers are kept from run to
    run, so torch is imported once in each; the worker of a run that failed is replaced. Of tasks with the same hash one
    is run. Two calls on one folder share the work: each run is done by one of them, and both return all outcomes.

    Args:
        tasks: what to run.
        folder: where results are kept; made when missing.
        jobs: worker processes; None takes the cores that this process may use.
        on_progress: called with (outcome, done, total) as outcomes come, finished ones of earlier calls first.

    Raises:
        TrainmapError: ``jobs`` below 1.
        StoreError: a result file in ``folder`` that is not one.
    """
    if jobs is not None and jobs < 1:
        raise TrainmapError(f"jobs must be at least 1, got {jobs}; None takes every core")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    runs = {task.hash: task for task in tasks}
    outcomes: dict[str, Outcome] = {}

    def report(digest: str, outcome: Outcome) -> None:
        outcomes[digest] = outcome
        if on_progress is not None:
            on_progress(outcome, len(outcomes), len(runs))

    for digest, task in runs.items():
        finished = finished_outcome(place, task, skipped=True)
        if finished is not None:
            report(digest, finished)
    todo = sorted((task for key, task in runs.items() if key not in outcomes), key=lambda task: -task.weight)
    old_errors = {task.hash: stamp(error_path(place, task.hash)) for task in todo}
    elsewhere: list[Task] = []
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, Task]] = {}
    limit = min(jobs or cores(), max(1, len(todo)))
    try:
        while todo or elsewhere or busy:
            while todo and len(busy) < limit:
                worker = idle.pop() if idle else Worker(place)
                if not worker.usable():  # killed while it had nothing to do
                    worker.stop()
                    continue
                task = todo.pop(0)
                busy[worker.connection] = (worker, task)
                worker.start(task, old_errors[task.hash])
            if not busy:
                time.sleep(POLL_SECONDS)
            for connection in wait(list(busy), timeout=POLL_SECONDS if elsewhere else None) if busy else []:
                worker, task = busy.pop(connection)  # pyright: ignore[reportArgumentType]
                answer = worker.answer(task)
                if answer == "failed":
                    worker.stop()
                else:
                    idle.append(worker)
                if answer == "busy":
                    elsewhere.append(task)
                    log_owner(place, task.hash, task.name)
                    continue
                report(task.hash, finished_outcome(place, task, skipped=False) or failed_outcome(place, task))
            for task in [task for task in elsewhere if not held(place, task.hash)]:
                elsewhere.remove(task)
                todo.append(task)
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop(at_once=bool(busy))
        for worker, task in busy.values():
            release(place, task.hash, worker.pid)
    return [replace(outcomes[task.hash], task=task) for task in tasks]


def cores() -> int:
    """The cores that this process may use: its affinity, and on Linux the CPU quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            count = min(count, max(1, math.ceil(int(allowed) / int(period))))
    return count
