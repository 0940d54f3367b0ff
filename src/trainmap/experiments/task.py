"""One run: what makes it the run that it is, what came of it, and its two files in the folder of a grid.

A run is its configuration: the function's name and every field of the configuration, as canonical JSON, hashed. Where
the files that it reads lie is no part of that, so a folder can be moved and nothing has to be run again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from trainmap.checksums import read_sealed, write_sealed
from trainmap.errors import StoreError, TrainmapError, shown
from trainmap.files import reading
from trainmap.typed import as_type, of_type

Stamp = tuple[int, int] | None
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Task:
    """One run: ``function(config)`` returns its result, a dict that JSON can hold.

    Attributes:
        name: what people call it; not part of its identity.
        function: ``"module:function"``, or a function at the top of an importable module.
        config: every setting of the run; JSON values with string keys (numpy scalars are taken as numbers).
        weight: expected cost in any unit; heavier tasks start first. Not part of its identity.
        where: name to path of what the run reads; given to the function as ``config["where"]`` when there is any. Not
            part of its identity and not kept with its result: ``config`` must say what the contents are (a
            fingerprint), and the function check them.
        after: hashes of tasks that must be finished first. Not part of its identity: ``config`` must say what it takes
            from them, their hashes for example.

    Raises:
        TrainmapError: a function that another process could not import, a configuration that JSON cannot hold, a
            ``where`` that is not strings, or is in the configuration as well.
    """

    name: str
    function: str | Callable[[dict[str, Any]], dict[str, Any]]
    config: Mapping[str, Any]
    weight: float = 0.0
    where: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    after: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        _ = self.reference
        # Copies that later changes of the caller's dicts do not reach, as the worker will see them.
        object.__setattr__(self, "config", json.loads(self.canonical))
        object.__setattr__(self, "where", dict(self.where))
        for key, path in self.where.items():
            if not isinstance(key, str) or not isinstance(path, str):
                raise TrainmapError(
                    f"task '{self.name}': where must be strings by name, got {path!r} for {key!r}; use str(path)"
                )
        if self.where and "where" in self.config:
            raise TrainmapError(f"task '{self.name}': config must not have 'where' when where is given; rename it")

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
                plain(self.config, f"task '{self.name}': config"),
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

    @property
    def argument(self) -> dict[str, Any]:
        """What the function is called with: the configuration, and ``where`` when there is any."""
        return {**self.config, "where": dict(self.where)} if self.where else dict(self.config)


@dataclass(frozen=True)
class Outcome:
    """What came of a task: ``result`` when ``finished``, otherwise ``error``, the traceback.

    A task is ``blocked``, and was not tried, when one that it comes after did not finish.
    """

    task: Task
    finished: bool
    result: dict[str, Any] | None
    error: str | None
    seconds: float
    skipped: bool  # finished by an earlier call, nothing was run
    blocked: bool = False


def finished_outcome(folder: Path, task: Task, skipped: bool) -> Outcome | None:
    """What a finished run gave; None while there is no result.

    Raises:
        StoreError: a result file that is not one.
    """
    path = result_path(folder, task.hash)
    if not path.exists():
        return None
    record = read_record(path, task.hash)
    return Outcome(task, True, record["result"], None, record["seconds"], skipped)


def failed_outcome(folder: Path, task: Task) -> Outcome:
    """What a run that failed left behind."""
    record = read_record(error_path(folder, task.hash), task.hash, "traceback")
    return Outcome(task, False, None, record["traceback"], record["seconds"], skipped=False)


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
        if hashlib.sha256(f"{record['function']}\n{config}".encode()).hexdigest() != digest:
            raise StoreError(f"{path} is of another run; {cure}")
        as_type(Seconds if holds == "result" else float, record["seconds"], path, cure)  # NaN: of a killed worker
        of_type(record[holds], dict if holds == "result" else str, holds)  # half characters are text here
        return record


def write_result(folder: Path, task: Task, result: dict[str, Any], seconds: float) -> None:
    """Keep what a run returned, with its configuration; the run is finished from here on."""
    write_sealed(result_path(folder, task.hash), {**_record(task), "seconds": seconds, "result": result})


def write_error(folder: Path, task: Task, text: str, seconds: float) -> None:
    """Keep why a run failed."""
    write_sealed(error_path(folder, task.hash), {**_record(task), "seconds": seconds, "traceback": text})


def _record(task: Task) -> dict[str, Any]:
    return {"name": task.name, "function": task.reference, "config": dict(task.config)}


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


def plain(value: Any, where: str) -> Any:
    """``value`` as JSON holds it: tuples become lists, numpy scalars numbers; all else is refused with its place."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise TrainmapError(f"{where} must have strings as keys, got {odd[0]!r}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise TrainmapError(f"{where} must be a number, a string, a list or a dict, got {type(value).__name__}")
