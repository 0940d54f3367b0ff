"""Where runs are done: a pool takes tasks and says what became of them. Here: worker processes of this machine."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from trainmap.experiments.runs.job import Job, Stamp
from trainmap.experiments.runs.task_locks import release
from trainmap.experiments.runs.worker import Answer, Worker


class Pool(Protocol):
    """What ``run_all`` needs of a launcher."""

    def free(self) -> bool:
        """Whether another task can be started now."""
        ...

    def start(self, task: Job, old_error: Stamp) -> None:
        """Start a task; ``worker.attempt`` is called somewhere."""
        ...

    def wait(self, seconds: float | None) -> list[tuple[Job, Answer]]:
        """The tasks that ended, waiting for one at most so long (None: until one ends)."""
        ...

    def stop(self) -> None:
        """End everything; runs under way are given up."""
        ...


class LocalPool:
    """Single-threaded worker processes, kept from run to run; the worker of a run that failed is replaced."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.idle: list[Worker] = []
        self.busy: dict[Connection, tuple[Worker, Job]] = {}

    def free(self) -> bool:
        return len(self.busy) < self.limit

    def start(self, task: Job, old_error: Stamp) -> None:
        worker = self.idle.pop() if self.idle else Worker(self.folder)
        while not worker.usable():  # killed while it had nothing to do
            worker.stop()
            worker = self.idle.pop() if self.idle else Worker(self.folder)
        self.busy[worker.connection] = (worker, task)
        worker.start(task, old_error)

    def wait(self, seconds: float | None) -> list[tuple[Job, Answer]]:
        if not self.busy:
            time.sleep(seconds or 0)
        answers: list[tuple[Job, Answer]] = []
        for connection in wait(list(self.busy), timeout=seconds) if self.busy else []:
            worker, task = self.busy.pop(connection)  # pyright: ignore[reportArgumentType]
            answer = worker.answer(task)
            if answer == "failed":
                worker.stop()
            else:
                self.idle.append(worker)
            answers.append((task, answer))
        return answers

    def stop(self) -> None:
        for worker in [*self.idle, *(worker for worker, _ in self.busy.values())]:
            worker.stop(at_once=bool(self.busy))
        for worker, task in self.busy.values():
            release(self.folder, task.hash, worker.pid)
