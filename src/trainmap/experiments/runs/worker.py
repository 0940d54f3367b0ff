"""A worker process: single-threaded, it takes runs from a pipe until the pipe closes.

A run that raises is written down and ends its worker; the death of a worker becomes the error of its run.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

from trainmap.checksums import check_folder, is_of_task, seal_folder
from trainmap.errors import TrainmapError
from trainmap.experiments.runs.job import Job, Stamp, error_path, result_path, stamp, write_error, write_result
from trainmap.experiments.runs.task_locks import beating, release, take
from trainmap.experiments.tasks.task import plain

# glibc reads the malloc settings and OpenMP its threads when a process starts; setting them later does nothing.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
Answer = Literal["done", "failed", "busy"]  # busy: another call is at work on it

GRACE_SECONDS = 5.0  # how long a worker may take to leave before it is killed

_starting = threading.Lock()


class Worker:
    """A worker process and this end of its pipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection, theirs = multiprocessing.Pipe()
        self.process = SpawnProcess(target=_work, args=(theirs, str(folder)), name="trainmap-worker")
        self.theirs: Connection | None = theirs
        self.pid = 0

    def usable(self) -> bool:
        return self.theirs is not None or self.process.is_alive()

    def start(self, task: Job, old_error: Stamp) -> None:
        if self.theirs is not None:
            with _starting, environment(ENVIRONMENT), _main_hidden(unless=type(task.task).__module__ == "__main__"):
                self.process.start()
            self.pid = self.process.pid or 0
            self.theirs.close()
            self.theirs = None
        with suppress(BrokenPipeError):  # it died just now; answer() will see it
            self.connection.send((task, old_error))

    def answer(self, task: Job) -> Answer:
        """What the worker says of its run; the death of a worker becomes the error of the run."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = "; a killed worker usually ran out of memory, try fewer jobs" if -code == 9 else ""
        if not result_path(self.folder, task.hash).exists():
            text = f"the worker process died during this run: {how}{hint}"
            write_error(self.folder, task, text, math.nan)
        release(self.folder, task.hash, self.pid)
        return "failed"

    def stop(self, at_once: bool = False) -> None:
        """End the process: by closing its pipe, or by killing it (files are whole or absent, nothing can tear)."""
        self.connection.close()
        if not at_once:
            self.process.join(GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _work(connection: Connection, folder: str) -> None:
    """A worker's life: take runs from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while True:
        try:
            order = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        _run(connection, Path(folder), *order)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(connection: Connection, folder: Path, task: Job, old_error: Stamp) -> None:
    """One run. A failure ends the process: after a CUDA error or an exhausted memory the next run would fail as well,
    and a fresh worker costs one import."""
    answer: Answer = "failed"
    try:
        answer = attempt(folder, task, old_error)
    finally:
        connection.send(answer)
        if answer == "failed":
            raise SystemExit(1)


def attempt(folder: Path, task: Job, old_error: Stamp, claim: str = "") -> Answer:
    """One run, under its lock, in this process; what it raises is written down first and then raised.

    Args:
        folder: of the results.
        task: what to run.
        old_error: the version of its error file that the caller has seen; another one means that another call tried.
        claim: see ``task_locks.take``.
    """
    if not take(folder, task.hash, claim):
        return "busy"
    if result_path(folder, task.hash).exists() or stamp(error_path(folder, task.hash)) != old_error:
        release(folder, task.hash, os.getpid())  # another call did it since this one looked
        return "done"
    started = time.perf_counter()
    try:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # a run before this one may have changed it
        with beating(folder, task.hash):
            check_given(task)
            result = plain(task.task.run(task.place), "result")
        if not isinstance(result, dict):
            raise TrainmapError(f"a task of kind {task.task.kind} must return a dict, got {type(result).__name__}")
        made = task.place.out
        if is_of_task(made) and made.is_dir():
            seal_folder(made, task.hash)
        write_result(folder, task, result, time.perf_counter() - started)
        error_path(folder, task.hash).unlink(missing_ok=True)
        return "done"
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            text = "".join(traceback.format_exception(error))
            write_error(folder, task, text, time.perf_counter() - started)
        release(folder, task.hash, os.getpid())


def check_given(task: Job) -> None:
    """Compare what a task reads from the folders of others with what they left there.

    Raises:
        StoreError: a file is missing, damaged or another's.
    """
    for path in task.place.others.values():
        if path.is_dir():
            check_folder(path)


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Variables for processes started meanwhile; the parent's own come back after."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _main_hidden(unless: bool) -> Iterator[None]:
    """Spawn runs the parent's script again as ``__mp_main__``; workers import functions by name and do not need it.

    Without this, a script that calls ``run_all`` outside ``if __name__ == "__main__"`` would start itself over and
    over, and one read from standard input could not start workers at all.
    """
    main = sys.modules["__main__"]
    if not unless:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
