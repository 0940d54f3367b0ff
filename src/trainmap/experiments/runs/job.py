"""A task with its place in a folder, what came of it, and its two files in the folder of a grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trainmap.checksums import read_sealed, write_sealed
from trainmap.errors import StoreError, shown
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Task, hash_of
from trainmap.files import reading
from trainmap.typed import as_type, of_type

Stamp = tuple[int, int] | None
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Job:
    """What a worker is handed: a task, and what is no part of its identity.

    Attributes:
        name: what people call it.
        task: what is done.
        place: where.
        weight: expected cost in any unit; heavier jobs start first.
        after: hashes of the tasks that must be finished first.
    """

    name: str
    task: Task
    place: Place
    weight: float = 0.0
    after: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        return self.task.hash


@dataclass(frozen=True)
class Outcome:
    """What came of a task: ``result`` when ``finished``, otherwise ``error``, the traceback.

    A task is ``blocked``, and was not tried, when one that it comes after did not finish.
    """

    job: Job
    finished: bool
    result: dict[str, Any] | None
    error: str | None
    seconds: float
    skipped: bool  # finished by an earlier call, nothing was run
    blocked: bool = False


def finished_outcome(folder: Path, job: Job, skipped: bool) -> Outcome | None:
    """What a finished run gave; None while there is no result.

    Raises:
        StoreError: a result file that is not one.
    """
    path = result_path(folder, job.hash)
    if not path.exists():
        return None
    record = read_record(path, job.hash)
    return Outcome(job, True, record["result"], None, record["seconds"], skipped)


def failed_outcome(folder: Path, job: Job) -> Outcome:
    """What a run that failed left behind."""
    record = read_record(error_path(folder, job.hash), job.hash, "traceback")
    return Outcome(job, False, None, record["traceback"], record["seconds"], skipped=False)


def read_record(path: Path, digest: str, holds: str = "result") -> dict[str, Any]:
    """What ``write_result`` or ``write_error`` (``holds`` "traceback") kept of a run.

    Raises:
        StoreError: it is damaged, or of another run than the one that this hash stands for.
    """
    cure = "remove it to run again"
    record = read_sealed(path, f"record of a run with its {holds}", cure)
    if not {"function", "config", "seconds", holds} <= record.keys():
        raise StoreError(f"{path} must be the {holds} of a run, but is not ({shown(record)}); {cure}")
    with reading(path, f"record of a run with its {holds}", cure):
        config = json.dumps(record["config"], sort_keys=True, separators=(",", ":"))
        if hash_of(record["function"], config) != digest:
            raise StoreError(f"{path} is of another run; {cure}")
        as_type(Seconds if holds == "result" else float, record["seconds"], path, cure)  # NaN: of a killed worker
        of_type(record[holds], dict if holds == "result" else str, holds)  # half characters are text here
        return record


def write_result(folder: Path, job: Job, result: dict[str, Any], seconds: float) -> None:
    """Keep what a run returned, with its configuration; the run is finished from here on."""
    write_sealed(result_path(folder, job.hash), {**_record(job), "seconds": seconds, "result": result})


def write_error(folder: Path, job: Job, text: str, seconds: float) -> None:
    """Keep why a run failed."""
    write_sealed(error_path(folder, job.hash), {**_record(job), "seconds": seconds, "traceback": text})


def _record(job: Job) -> dict[str, Any]:
    return {"name": job.name, "function": job.task.word, "config": json.loads(job.task.canonical)}


def result_path(folder: Path, digest: str) -> Path:
    """The file of a finished run."""
    return folder / f"{digest}.json"


def error_path(folder: Path, digest: str) -> Path:
    """The file of a run that failed."""
    return folder / f"{digest}.error.json"


def stamp(path: Path) -> Stamp:
    """Which version of a file this is; None without the file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
