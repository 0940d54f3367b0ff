"""Independent runs, side by side, in single-threaded worker processes; a run that is done is never done again.

A run is its configuration: the function's name and every field of the configuration, as canonical JSON, hashed. In
the folder of a grid, ``<hash>.json`` is a finished run, ``<hash>.error.json`` one that failed (tried again by the next
call), ``<hash>.<generation>.lock`` one under way. Nothing else is kept, so a killed call loses the runs under way only
and the next call is the way to resume.

Two processes with one thread each do 1.1 to 1.5 times the work of one process with two (measured on small networks);
the two malloc settings below add 12 to 32 % for small convolutional networks.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import math
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.errors import StoreError, TrainmapError
from trainmap.files import write_json

log = logging.getLogger(__name__)

# glibc reads the malloc settings and OpenMP its threads when a process starts; setting them later does nothing.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
POLL_SECONDS = 0.2  # how often a run that another call is doing is looked at
GRACE_SECONDS = 5.0  # how long a worker may take to leave before it is killed

Stamp = tuple[int, int] | None

_starting = threading.Lock()


@dataclass(frozen=True)
class Task:
    """One run: ``function(config)`` returns its result, a dict that JSON can hold.

    Attributes:
        name: what people call it; not part of its identity.
        function: ``"module:function"``, or a function at the top of an importable module.
        config: every setting of the run; JSON values with string keys (numpy scalars are taken as numbers).
        weight: expected cost in any unit; heavier tasks start first. Not part of its identity.

    Raises:
        TrainmapError: a function that another process could not import, a configuration that JSON cannot hold.
    """

    name: str
    function: str | Callable[[dict[str, Any]], dict[str, Any]]
    config: Mapping[str, Any]
    weight: float = 0.0

    def __post_init__(self) -> None:
        _ = self.reference
        # A copy that later changes of the caller's dict do not reach, as the worker will see it.
        object.__setattr__(self, "config", json.loads(self.canonical))

    @cached_property
    def reference(self) -> str:
        """The function as ``module:function``."""
        if isinstance(self.function, str):
            reference = self.function
        else:
            reference = f"{self.function.__module__}:{getattr(self.function, '__qualname__', '<object>')}"
        if not re.fullmatch(r"[\w.]+:[\w.]+", reference):
            raise TrainmapError(
                f"task '{self.name}': function must be 'module:function' or stand at the top of a module, "
                f"got '{reference}'; move it there so that a worker can import it"
            )
        return reference

    @cached_property
    def canonical(self) -> str:
        """The configuration as JSON without a choice left: sorted keys, no spaces; the worker is given just this."""
        try:
            return json.dumps(
                _plain(self.config, f"task '{self.name}': config"),
                sort_keys=True,
                separators=(",", ":"),
                allow_nan=False,
            )
        except ValueError as error:
            if isinstance(error, TrainmapError):
                raise
            raise TrainmapError(f"task '{self.name}': config must hold finite numbers, got NaN or infinity") from error

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the function's name and the canonical configuration, in hex."""
        return hashlib.sha256(f"{self.reference}\n{self.canonical}".encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What came of a task: ``result`` when ``finished``, otherwise ``error``, the traceback."""

    task: Task
    finished: bool
    result: dict[str, Any] | None
    error: str | None
    seconds: float
    skipped: bool  # finished by an earlier call, nothing was run


def run_all(
    tasks: Sequence[Task],
    folder: str | os.PathLike[str],
    jobs: int | None = None,
    on_progress: Callable[[Outcome, int, int], None] | None = None,
) -> list[Outcome]:
    """Run every task that is not finished yet, ``jobs`` at a time, and return all outcomes in the order of ``tasks``.

    Results do not depend on ``jobs``: with one job there is one worker process as well. Workers are kept from run to
    run, so torch is imported once in each; the worker of a run that failed is replaced. Equal tasks are run once. Two
    calls on one folder share the work: each run is done by one of them, and both return all outcomes.

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
        finished = _finished(place, task, skipped=True)
        if finished is not None:
            report(digest, finished)
    todo = sorted((task for key, task in runs.items() if key not in outcomes), key=lambda task: -task.weight)
    old_errors = {task.hash: _stamp(_error_path(place, task.hash)) for task in todo}
    elsewhere: list[Task] = []
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Task]] = {}
    limit = min(jobs or cores(), max(1, len(todo)))
    try:
        while todo or elsewhere or busy:
            while todo and len(busy) < limit:
                worker = idle.pop() if idle else _Worker(place)
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
                    _log_owner(place, task)
                    continue
                report(task.hash, _finished(place, task, skipped=False) or _failed(place, task))
            for task in [task for task in elsewhere if not _held(place, task.hash)]:
                elsewhere.remove(task)
                todo.append(task)
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop(at_once=bool(busy))
        for worker, task in busy.values():
            _release(place, task.hash, worker.pid)
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


class _Worker:
    """A worker process and this end of its pipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection, theirs = multiprocessing.Pipe()
        self.process = SpawnProcess(target=_work, args=(theirs, str(folder)), name="trainmap-worker")
        self.theirs: Connection | None = theirs
        self.pid = 0

    def usable(self) -> bool:
        return self.theirs is not None or self.process.is_alive()

    def start(self, task: Task, old_error: Stamp) -> None:
        if self.theirs is not None:
            with _starting, _environment(ENVIRONMENT), _main_hidden(unless=task.reference.startswith("__main__:")):
                self.process.start()
            self.pid = self.process.pid or 0
            self.theirs.close()
            self.theirs = None
        with suppress(BrokenPipeError):  # it died just now; answer() will see it
            self.connection.send((replace(task, function=task.reference), old_error))

    def answer(self, task: Task) -> str:
        """What the worker says of its run; the death of a worker becomes the error of the run."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = "; a killed worker usually ran out of memory, try fewer jobs" if -code == 9 else ""
        if not _result_path(self.folder, task.hash).exists():
            text = f"the worker process died during this run: {how}{hint}"
            _write_error(self.folder, task, text, math.nan)
        _release(self.folder, task.hash, self.pid)
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


def _run(connection: Connection, folder: Path, task: Task, old_error: Stamp) -> None:
    """One run, under its lock. A failure is written down and ends the process: after a CUDA error or an exhausted
    memory the next run would fail as well, and a fresh worker costs one import."""
    if not _take(folder, task.hash):
        return connection.send("busy")
    if _result_path(folder, task.hash).exists() or _stamp(_error_path(folder, task.hash)) != old_error:
        _release(folder, task.hash, os.getpid())  # another call did it since this one looked
        return connection.send("done")
    started = time.perf_counter()
    try:
        module, _, attribute = task.reference.partition(":")
        function: Any = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # a run before this one may have changed it
        result = _plain(function(dict(task.config)), "result")
        if not isinstance(result, dict):
            raise TrainmapError(f"{task.reference} must return a dict, got {type(result).__name__}")
        seconds = time.perf_counter() - started
        write_json(_result_path(folder, task.hash), {**_record(task), "seconds": seconds, "result": result})
        _error_path(folder, task.hash).unlink(missing_ok=True)
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            text = "".join(traceback.format_exception(error))
            _write_error(folder, task, text, time.perf_counter() - started)
        _release(folder, task.hash, os.getpid())
        connection.send("failed" if error is not None else "done")
        if error is not None:
            raise SystemExit(1)


def _finished(folder: Path, task: Task, skipped: bool) -> Outcome | None:
    path = _result_path(folder, task.hash)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        return Outcome(task, True, record["result"], None, record["seconds"], skipped)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} must be the result of a run, but is not ({error!r}); remove it to run again"
        ) from error


def _failed(folder: Path, task: Task) -> Outcome:
    record = json.loads(_error_path(folder, task.hash).read_bytes())
    return Outcome(task, False, None, record["traceback"], record["seconds"], skipped=False)


def _record(task: Task) -> dict[str, Any]:
    return {"name": task.name, "function": task.reference, "config": dict(task.config)}


def _write_error(folder: Path, task: Task, text: str, seconds: float) -> None:
    write_json(_error_path(folder, task.hash), {**_record(task), "seconds": seconds, "traceback": text})


def _result_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.json"


def _error_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.error.json"


def _stamp(path: Path) -> Stamp:
    """Which version of a file this is; None without the file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _plain(value: Any, where: str) -> Any:
    """``value`` as JSON holds it: tuples become lists, numpy scalars numbers; all else is refused with its place."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise TrainmapError(f"{where} must have strings as keys, got {odd[0]!r}")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise TrainmapError(f"{where} must be a number, a string, a list or a dict, got {type(value).__name__}")


# Locks. A lock is a file that names its owner, made whole by linking, which succeeds for one process alone. The lock of
# a dead owner is not removed but outbid by the next generation, so that of two processes that find it dead one wins.


def _owners(folder: Path, digest: str) -> list[tuple[Path, dict[str, Any]]]:
    """The locks of a run, oldest first, with their owners."""
    found = []
    for path in sorted(folder.glob(f"{digest}.*.lock")):
        with suppress(FileNotFoundError):  # given up meanwhile
            found.append((path, json.loads(path.read_bytes())))
    return found


def _alive(owner: Mapping[str, Any]) -> bool:
    """Whether an owner may still be at work; one on another host is believed to be."""
    return owner["host"] != socket.gethostname() or _birth(owner["pid"]) == owner["birth"]


def _held(folder: Path, digest: str) -> bool:
    return any(_alive(owner) for _, owner in _owners(folder, digest))


def _take(folder: Path, digest: str) -> bool:
    """Become the owner of a run, unless a living process is."""
    before = _owners(folder, digest)
    if any(_alive(owner) for _, owner in before):
        return False
    generation = int(before[-1][0].name.split(".")[1]) + 1 if before else 0
    mine = folder / f"{digest}.{generation:06d}.lock"
    pid = os.getpid()
    draft = folder / f".{digest}.{pid}.tmp"
    draft.write_text(json.dumps({"pid": pid, "host": socket.gethostname(), "birth": _birth(pid)}))
    try:
        os.link(draft, mine)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    if any(path != mine and _alive(owner) for path, owner in _owners(folder, digest)):
        mine.unlink()  # the dead lock was swept away and the run taken anew between the look and the link
        return False
    return True


def _release(folder: Path, digest: str, pid: int) -> None:
    """Give up a run that process ``pid`` of this host owns, and sweep away the dead owners before it."""
    locks = _owners(folder, digest)
    if locks and (locks[-1][1]["pid"], locks[-1][1]["host"]) == (pid, socket.gethostname()):
        for path, _ in locks:
            path.unlink(missing_ok=True)


def _birth(pid: int) -> str | None:
    """When a process of this host started, as the system tells it ("" where it does not); None when it is gone.

    Pids are used again, and a killed process whose parent does not collect it keeps its pid: a birth tells them apart.
    """
    if os.name == "nt":
        return ""  # no harmless probe there: locks of killed workers have to be removed by hand
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return None if fields[0] in "ZX" else fields[19]


def _log_owner(folder: Path, task: Task) -> None:
    for path, owner in _owners(folder, task.hash)[-1:]:
        level = logging.INFO if owner["host"] == socket.gethostname() else logging.WARNING
        text = "waiting for '%s', which process %s on %s is running; if it is gone, remove %s"
        log.log(level, text, task.name, owner["pid"], owner["host"], path)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
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
