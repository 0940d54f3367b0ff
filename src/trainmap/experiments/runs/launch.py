"""Runs, side by side, in single-threaded worker processes; a run that is done is never done again.

A run is its configuration, hashed. In the folder of a grid, ``<hash>.json`` is a finished run, ``<hash>.error.json``
one that failed (tried again by the next call), ``<hash>.lock`` one under way. Nothing else is kept, so a killed call
loses the runs under way only and the next call is the way to resume.

Two processes with one thread each do 1.1 to 1.5 times the work of one process with two (measured on small networks);
the two malloc settings that workers start with add 12 to 32 % for small convolutional networks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trainmap.errors import TrainmapError, some
from trainmap.experiments.runs.job import Job, Outcome, error_path, failed_outcome, finished_outcome, stamp
from trainmap.experiments.runs.local_workers import LocalPool, Pool
from trainmap.experiments.runs.task_locks import held, log_owner
from trainmap.machine import cores

__all__ = ["Job", "Outcome", "run_all"]

POLL_SECONDS = 0.2  # how often a run that another call is doing is looked at


def run_all(
    tasks: Sequence[Job],
    folder: str | os.PathLike[str],
    jobs: int | None = None,
    on_progress: Callable[[Outcome, int, int], None] | None = None,
    pool: Callable[[Path, int | None], Pool] | None = None,
) -> list[Outcome]:
    """Run every task that is not finished yet, ``jobs`` at a time, and return all outcomes in the order of ``tasks``.

    Results do not depend on ``jobs``: with one job there is one worker process as well. Workers are kept from run to
    run, so torch is imported once in each; the worker of a run that failed is replaced. Of tasks with the same hash one
    is run. Two calls on one folder share the work: each run is done by one of them, and both return all outcomes.

    A task starts when all that it comes ``after`` have finished; when one of them fails it is blocked, and the rest
    goes on.

    Args:
        tasks: what to run.
        folder: where results are kept; made when missing.
        jobs: worker processes; None takes the cores that this process may use.
        on_progress: called with (outcome, done, total) as outcomes come, finished ones of earlier calls first.
        pool: makes the launcher from the folder and ``jobs`` (see ``trainmap.experiments.runs.cluster``); worker
            processes of this machine by default.

    Raises:
        TrainmapError: ``jobs`` below 1; a task that comes after one that is not in ``tasks``, or after itself.
        StoreError: a result file in ``folder`` that is not one.
    """
    if jobs is not None and jobs < 1:
        raise TrainmapError(f"jobs must be at least 1, got {jobs}; None takes every core")
    runs = {task.hash: task for task in tasks}
    _check_order(runs)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
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
    if not todo:
        return [replace(outcomes[task.hash], job=task) for task in tasks]
    old_errors = {task.hash: stamp(error_path(place, task.hash)) for task in todo}
    elsewhere: list[Job] = []
    busy = 0
    launcher = LocalPool(place, min(jobs or cores(), len(todo))) if pool is None else pool(place, jobs)
    try:
        while todo or elsewhere or busy:
            while lost := [task for task in todo if any(_lost(outcomes, digest) for digest in task.after)]:
                for task in lost:
                    todo.remove(task)
                    report(task.hash, _blocked(task, runs, outcomes))
            for task in [task for task in todo if outcomes.keys() >= set(task.after)]:
                if not launcher.free():
                    break
                todo.remove(task)
                launcher.start(task, old_errors[task.hash])
                busy += 1
            for task, answer in launcher.wait(POLL_SECONDS if elsewhere else None) if busy or elsewhere else []:
                busy -= 1
                if answer == "busy":
                    elsewhere.append(task)
                    log_owner(place, task.hash, task.name)
                    continue
                report(task.hash, finished_outcome(place, task, skipped=False) or failed_outcome(place, task))
            for task in [task for task in elsewhere if not held(place, task.hash)]:
                elsewhere.remove(task)
                todo.append(task)
    finally:
        launcher.stop()
    return [replace(outcomes[task.hash], job=task) for task in tasks]


def _lost(outcomes: Mapping[str, Outcome], digest: str) -> bool:
    return digest in outcomes and not outcomes[digest].finished


def _blocked(task: Job, runs: Mapping[str, Job], outcomes: Mapping[str, Outcome]) -> Outcome:
    names = [runs[digest].name for digest in task.after if _lost(outcomes, digest)]
    return Outcome(task, False, None, f"needs '{names[0]}', which did not finish", 0.0, skipped=False, blocked=True)


def _check_order(runs: Mapping[str, Job]) -> None:
    """Whether every task comes after known ones and never, by whatever way, after itself."""
    left = dict(runs)
    while left:
        ready = [digest for digest, task in left.items() if not left.keys() & set(task.after)]
        for digest in ready:
            task = left.pop(digest)
            if strange := [other for other in task.after if other not in runs]:
                raise TrainmapError(
                    f"task '{task.name}' comes after {strange[0]}, which is not among the tasks; pass it too"
                )
        if not ready:
            raise TrainmapError(f"tasks wait for each other: {some(task.name for task in left.values())}")
