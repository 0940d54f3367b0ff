"""A folder of an experiment: what was planned, what is done, what failed, and running the rest.

::

    experiment.json     the plan: every task and its place in the reports
    runs/               <hash>.json, <hash>.error.json: one small file for each task
    made/               what tasks made: recordings, networks, maps, cards, logits, the epochs of each run
    results.csv, table.csv, report.html, report.md, report.tex, plots/    written by ``write_study``
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from trainmap.checksums import read_sealed, write_sealed
from trainmap.dynamics.manifest import versions
from trainmap.errors import StoreError, TrainmapError, cause, counted, shown, some, unknown
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.plan.graph import Graph, Line, made_at
from trainmap.experiments.runs import task_locks as locks
from trainmap.experiments.runs.cluster import LAUNCHERS
from trainmap.experiments.runs.job import Job, Outcome, error_path, read_record, result_path
from trainmap.experiments.runs.launch import run_all
from trainmap.experiments.runs.owner import EXPERIMENT, check_free
from trainmap.experiments.tasks.place import is_at
from trainmap.experiments.tasks.result_fields import Name, check_result
from trainmap.experiments.tasks.task import Task
from trainmap.files import reading
from trainmap.typed import as_type

VERSION = 1
PLAN = "experiment.json"
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Entry:
    """A task as the plan keeps it.

    Attributes:
        called: by people, without what kind of task it is, its dataset and seed; "" in plans of trainmap 0.1.
        point: what tells it apart from tasks of other points of the grid that are called alike: "batch=32".
        beside: see ``Cost``; nothing in plans up to trainmap 0.2.
        target: the test accuracy to which the rounds of a federation are counted; None: random's lowest at the end.
    """

    hash: Name
    kind: Annotated[str, Field(pattern=r"^[a-z ]+$")]
    name: str
    after: tuple[Name, ...]
    dataset: str
    model: str
    flops: Count
    examples: Count
    bytes: Count
    config: Mapping[str, Any]
    called: str = ""
    point: str = ""
    beside: Mapping[str, Count] = field(default_factory=dict)
    target: Annotated[float, Field(gt=0, lt=1)] | None = None


@dataclass(frozen=True)
class Study:
    """What ``experiment.json`` says.

    Attributes:
        title, notes, level, device: of the experiment.
        entries: every task, each after those that it needs.
        lines: where the students' runs stand.
        models: ``name``, ``dataset``, ``role``, ``parameters``, ``flops``.
        provenance: name to value.
    """

    title: str
    notes: tuple[str, ...]
    level: Annotated[float, Field(gt=0, lt=1)]
    device: str
    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    models: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks by their hashes, made once; see ``tasks_of``."""
        return tasks_of(self)


def study_of(variants: list[Variant], graph: Graph, provenance: Mapping[str, Any]) -> Study:
    """The plan of an experiment as a value."""
    experiment = variants[0].experiment
    entries = tuple(
        Entry(
            digest,
            node.kind,
            node.name,
            node.after,
            node.dataset,
            node.cost.model,
            node.cost.flops,
            node.cost.examples,
            node.cost.bytes,
            json.loads(node.task.canonical),
            node.called,
            node.point,
            node.cost.beside,
            node.target,
        )
        for digest, node in graph.nodes.items()
    )
    told = {**provenance, **versions()}
    return Study(
        experiment.title,
        tuple(experiment.notes),
        experiment.level,
        experiment.device,
        entries,
        tuple(graph.lines),
        tuple(graph.models),
        told,
    )


def save_study(study: Study, folder: Path) -> None:
    """Write ``experiment.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sealed(folder / "experiment.json", {"format": "trainmap-experiment", "version": VERSION, **asdict(study)})


def open_study(folder: str | Path) -> Study:
    """Read ``experiment.json``.

    Raises:
        StoreError: no such file, another one, a newer one.
    """
    path, cure = Path(folder) / PLAN, "run the experiment again"
    with reading(path, "plan of an experiment", cure):
        if not path.exists():
            raise StoreError(f"{folder} holds no experiment; `trainmap run FILE.yaml --out {folder}` makes one")
    about = read_sealed(path, "plan of an experiment", cure)
    if about.pop("format", None) != "trainmap-experiment":
        raise StoreError(f"{path} is not a plan of an experiment")
    if as_type(int, about.pop("version", None), path, cure) > VERSION:
        raise StoreError(f"{path} was written by a newer trainmap: upgrade it")
    if strange := about.keys() - {one.name for one in fields(Study)}:
        raise StoreError(f"{path} was changed: {some(sorted(strange))} does not belong; {cure}")
    said = about.pop("provenance", None)
    study: Study = as_type(Study, {**about, "provenance": {}}, path, cure)
    if not isinstance(said, dict):
        raise StoreError(f"{path} was changed: provenance must be an object, got {shown(said)}; {cure}")
    study = replace(study, provenance=said)  # as it stands: a file's name may hold half characters
    known: set[str] = set()
    for entry in study.entries:
        if entry.hash in known or not known.issuperset(entry.after):
            raise StoreError(f"{path} was changed: the task {shown(entry.hash)} stands twice or before its own; {cure}")
        known.add(entry.hash)
    for line in study.lines:
        if line.run not in known or line.map not in known | {""}:
            raise StoreError(f"{path} was changed: a row is of the task {shown(line.run)}, which is not in it; {cure}")
    return study


def jobs_of(graph: Graph) -> list[Job]:
    """What workers are handed; each as heavy as the longest way from it to the end, so that such ways start first."""
    heavy: dict[str, float] = {}
    for digest, node in reversed(graph.nodes.items()):
        heavy[digest] = node.cost.flops + heavy.get(digest, 0.0) + 1
        for other in node.after:
            heavy[other] = max(heavy.get(other, 0.0), heavy[digest])
    return [Job(node.name, node.task, node.place, heavy[digest], node.after) for digest, node in graph.nodes.items()]


def tasks_of(study: Study, folder: str | Path = "") -> dict[str, Task]:
    """The tasks of a plan by their hashes; ``folder`` is for the errors.

    Raises:
        StoreError: an entry that is no task of its kind, or not the one that its hash stands for.
    """
    from trainmap.experiments.tasks.task_table import TASKS  # torch, which a status does not need

    found: dict[str, Task] = {}
    for entry in study.entries:
        what, cure = f"the plan of {folder or 'the experiment'}: task {shown(entry.name)}", "run the experiment again"
        if entry.kind not in TASKS:
            raise StoreError(f"{what} is of an unknown kind, '{entry.kind}'; it was written by a newer trainmap")
        try:
            found[entry.hash] = TASKS[entry.kind].of(entry.config, found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise StoreError(f"{what} was changed: {field}: {first['msg'].lower()}; {cure}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{what} was changed ({cause(error)}); {cure}") from error
        if found[entry.hash].hash != entry.hash:
            raise StoreError(f"{what} was changed: its fields are not those of its hash; {cure}")
    return found


def claim(study: Study, folder: str | Path, into: bool = False) -> str:
    """Make a plan the folder's. A plan of the same experiment may replace the one that is there; see ``same``.

    Args:
        study: what is to be run.
        folder: made when missing.
        into: put the plan into the place of another experiment's. That one stays as ``experiment-1.json`` (the first
            number that is free), and what it finished in ``runs/`` and ``made/``: tasks of both are not run again.

    Returns:
        What was there and is no longer part of the plan, in a sentence; "" when nothing is lost.

    Raises:
        StoreError: the folder belongs to another experiment, or to something else; nothing was changed.
    """
    place = Path(folder)
    check(study, place, into)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / PLAN).exists() and _first(study, place):
        return ""
    held = check(study, place, into)
    said = "" if held is None or (same(held, study) and not lost(held, study, place)) else _kept(held, study, place)
    save_study(study, place)
    return said


def check(study: Study, folder: str | Path, into: bool = False) -> Study | None:
    """The plan that a folder holds, if there is one; what ``claim`` raises, without writing anything."""
    place = Path(folder)
    check_free(place, PLAN, EXPERIMENT)
    if not (place / PLAN).exists():
        return None
    held = open_study(place)
    if into or same(held, study):
        return held
    done = sum(result_path(place / "runs", entry.hash).exists() for entry in held.entries)
    raise StoreError(
        f"{place} belongs to {_called(held)}, {done} of {counted(len(held.entries), 'task')} done; take another "
        f"folder, or pass --into (into=True) to put {_called(study)} in its place: what is finished stays, and the "
        "earlier plan is kept beside it"
    )


def same(held: Study, study: Study) -> bool:
    """Whether two plans are of one experiment: one scale, and one file by its name or its content (a file may be
    edited, and may be renamed), and one title, unless the second plan has every task of the first."""
    first, second = held.provenance, study.provenance
    if first.get("scale") != second.get("scale"):
        return False
    if first.get("file") != second.get("file") and first.get("sha256") != second.get("sha256"):
        return False
    return held.title == study.title or _hashes(held) <= _hashes(study)


def lost(held: Study, study: Study, folder: Path) -> int:
    """How many tasks that the first plan finished are not in the second."""
    return sum(result_path(folder / "runs", digest).exists() for digest in _hashes(held) - _hashes(study))


def _hashes(study: Study) -> set[str]:
    return {entry.hash for entry in study.entries}


def _called(study: Study) -> str:
    told = [str(study.provenance.get("file", "")), *(f"--scale {s}" for s in [study.provenance.get("scale")] if s)]
    told += [f"--set {words}" for words in [study.provenance.get("set")] if words]
    return shown(study.title) + (f" ({', '.join(filter(None, told))})" if any(told) else "")


def _first(study: Study, folder: Path) -> bool:
    """Write the plan where there is none. Of two experiments that come at once one does: linking succeeds once."""
    with tempfile.TemporaryDirectory(prefix=f".{PLAN}.", dir=folder) as draft:
        save_study(study, Path(draft))
        try:
            os.link(Path(draft) / PLAN, folder / PLAN)
        except FileExistsError:
            return False
    return True


def _kept(held: Study, study: Study, folder: Path) -> str:
    """Keep the plan that is there under a name of its own, once."""
    content, number = (folder / PLAN).read_bytes(), 1
    while (copy := folder / f"experiment-{number}.json").exists() and copy.read_bytes() != content:
        number += 1
    with suppress(FileExistsError):  # it was kept before
        os.link(folder / PLAN, copy)
    gone = lost(held, study, folder)
    return (
        f"{folder} held {_called(held)}: {counted(gone, 'finished task')} of it {'is' if gone == 1 else 'are'} not in "
        f"this plan and left as {'it is' if gone == 1 else 'they are'}; the earlier plan is kept as {copy.name}"
    )


def run_study(
    study: Study,
    graph: Graph,
    folder: str | Path,
    jobs: int | None = None,
    launcher: str = "local",
    settings: Mapping[str, Any] | None = None,
    on_progress: Callable[[Outcome, int, int], None] | None = None,
    into: bool = False,
    take_over: bool = False,
) -> list[Outcome]:
    """Do what is planned and not done yet; a task that fails is kept, and blocks only what needs it.

    Args:
        study, graph: of one plan.
        folder: see the module.
        jobs: runs at a time.
        launcher: a key of ``LAUNCHERS``.
        settings: arguments of the launcher.
        on_progress: see ``run_all``.
        into: whether the plan may take the place of another experiment's; see ``claim``.
        take_over: first remove the locks of other machines: none of them is at work on this folder any more.

    Raises:
        StoreError: the folder belongs to another experiment.
        TrainmapError: a plan of data that are not here, or a device that this machine, which is to train, has not.
    """
    if launcher not in LAUNCHERS:
        raise unknown("launcher", launcher, LAUNCHERS)
    if graph.absent:
        raise TrainmapError(f"{', '.join(graph.absent)} is not here; a plan of known sizes can be looked at, not run")
    if launcher == "local":
        _check_devices(study)
    place = Path(folder)
    claim(study, place, into)
    if take_over:
        locks.take_over(place / "runs")
    make = LAUNCHERS[launcher]
    pool = None if launcher == "local" else lambda runs, limit: make(runs, limit, **(settings or {}))
    return run_all(jobs_of(graph), place / "runs", jobs, on_progress, pool)


def _check_devices(study: Study) -> None:
    """Whether this machine has the devices that the tasks are to be trained on."""
    from trainmap.modes import is_here  # torch, which a status does not need

    asked = sorted({str(entry.config["device"]) for entry in study.entries if entry.config.get("device")} - {"cpu"})
    if lacking := [device for device in asked if not is_here(device)]:
        raise TrainmapError(
            f"device: this machine has no {', '.join(lacking)} for torch; run it where there is one, "
            "with --launcher slurm or ray, or with --set device=cpu (another device is another run)"
        )


def states(study: Study, folder: str | Path) -> dict[str, str]:
    """What became of each task: "done", "failed", "running", "blocked" (needs a failed one) or "waiting"."""
    runs = Path(folder) / "runs"
    found: dict[str, str] = {}
    for entry in study.entries:
        if result_path(runs, entry.hash).exists():
            found[entry.hash] = "done"
        elif locks.held(runs, entry.hash):
            found[entry.hash] = "running"
        elif error_path(runs, entry.hash).exists():
            found[entry.hash] = "failed"
        else:
            lost = any(found[other] in ("failed", "blocked") for other in entry.after)
            found[entry.hash] = "blocked" if lost else "waiting"
    return found


def at_work(study: Study, folder: str | Path, since: float = 0.0) -> dict[str, str]:
    """How far the tasks that are under way say that they are, by their names: "round 7 of 20".

    Args:
        since: seconds since the epoch; what was said before, as by a task that was killed, is not told.
    """
    said: dict[str, str] = {}
    for entry in study.entries:
        if not result_path(Path(folder) / "runs", entry.hash).exists() and (text := is_at(made(folder, entry), since)):
            said[entry.name] = text
    return said


def results(study: Study, folder: str | Path) -> dict[str, dict[str, Any]]:
    """What each finished task gave, with ``task_seconds``, by its hash."""
    found: dict[str, dict[str, Any]] = {}
    for entry in study.entries:
        path = result_path(Path(folder) / "runs", entry.hash)
        if path.exists():
            record = read_record(path, entry.hash)
            check_result(path, entry.kind, record["result"])
            found[entry.hash] = {**record["result"], "task_seconds": record["seconds"]}
    return found


def failures(study: Study, folder: str | Path) -> dict[str, str]:
    """The traceback of each task that failed, by its name."""
    found: dict[str, str] = {}
    for entry in study.entries:
        path = error_path(Path(folder) / "runs", entry.hash)
        if path.exists() and not result_path(Path(folder) / "runs", entry.hash).exists():
            found[entry.name] = read_record(path, entry.hash, "traceback")["traceback"]
    return found


def made(folder: str | Path, entry: Entry) -> Path:
    """The folder of what a task made."""
    return made_at(Path(folder), entry.kind, entry.hash)
