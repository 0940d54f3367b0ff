"""A folder of an experiment: what was planned, what is done, what failed, and running the rest.

::

    experiment.json     the plan: every task and its place in the reports
    runs/               <hash>.json, <hash>.error.json: one small file for each task
    made/               what tasks made: recordings, networks, maps, cards, logits, the epochs of each run
    results.csv, table.csv, report.html, report.md, report.tex, plots/    written by ``write_study``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trainmap.dynamics.manifest import versions
from trainmap.errors import StoreError, shown, some, unknown
from trainmap.experiments.cluster import LAUNCHERS
from trainmap.experiments.config import Variant
from trainmap.experiments.graph import Graph, Line, made_at
from trainmap.experiments.launch import Outcome, run_all
from trainmap.experiments.locks import held
from trainmap.experiments.result_fields import Name, check_result
from trainmap.experiments.task import REMOVE, error_path, read_failure, read_record, result_path
from trainmap.files import read_json, reading, write_json
from trainmap.typed import as_type

VERSION = 1
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Entry:
    """A task as the plan keeps it."""

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


def study_of(variants: list[Variant], graph: Graph, provenance: Mapping[str, Any]) -> Study:
    """The plan of an experiment as a value."""
    experiment = variants[0].experiment
    entries = tuple(
        Entry(
            digest,
            node.kind,
            node.task.name,
            node.task.after,
            node.dataset,
            node.model,
            node.flops,
            node.examples,
            node.bytes,
            node.task.config,
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
    write_json(folder / "experiment.json", {"format": "trainmap-experiment", "version": VERSION, **asdict(study)})


def open_study(folder: str | Path) -> Study:
    """Read ``experiment.json``.

    Raises:
        StoreError: no such file, another one, a newer one.
    """
    path, cure = Path(folder) / "experiment.json", "run the experiment again"
    with reading(path, "plan of an experiment", cure):
        if not path.exists():
            raise StoreError(f"{folder} holds no experiment; `trainmap run FILE.yaml --out {folder}` makes one")
    about = read_json(path, "plan of an experiment", cure)
    if not isinstance(about, dict) or about.pop("format", None) != "trainmap-experiment":
        raise StoreError(f"{path} is not the plan of an experiment")
    if as_type(int, about.pop("version", None), path, cure) > VERSION:
        raise StoreError(f"{path} was written by a newer trainmap: upgrade it")
    if strange := about.keys() - {field.name for field in fields(Study)}:
        raise StoreError(f"{path} was changed: {some(sorted(strange))} does not belong; {cure}")
    study = as_type(Study, about, path, cure)
    known: set[str] = set()
    for entry in study.entries:
        if entry.hash in known or not known.issuperset(entry.after):
            raise StoreError(f"{path} was changed: the task {shown(entry.hash)} stands twice or before its own; {cure}")
        known.add(entry.hash)
    for line in study.lines:
        if line.run not in known or line.map not in known | {""}:
            raise StoreError(f"{path} was changed: a row is of the task {shown(line.run)}, which is not in it; {cure}")
    return study


def run_study(
    study: Study,
    graph: Graph,
    folder: str | Path,
    jobs: int | None = None,
    launcher: str = "local",
    settings: Mapping[str, Any] | None = None,
    on_progress: Callable[[Outcome, int, int], None] | None = None,
) -> list[Outcome]:
    """Do what is planned and not done yet; a task that fails is kept, and blocks only what needs it.

    Args:
        study, graph: of one plan.
        folder: see the module.
        jobs: runs at a time.
        launcher: a key of ``LAUNCHERS``.
        settings: arguments of the launcher.
        on_progress: see ``run_all``.
    """
    if launcher not in LAUNCHERS:
        raise unknown("launcher", launcher, LAUNCHERS)
    place = Path(folder)
    save_study(study, place)
    make = LAUNCHERS[launcher]
    pool = None if launcher == "local" else lambda runs, limit: make(runs, limit, **(settings or {}))
    return run_all(graph.tasks(), place / "runs", jobs, on_progress, pool)


def states(study: Study, folder: str | Path) -> dict[str, str]:
    """What became of each task: "done", "failed", "running", "blocked" (needs a failed one) or "waiting"."""
    runs = Path(folder) / "runs"
    found: dict[str, str] = {}
    for entry in study.entries:
        if result_path(runs, entry.hash).exists():
            found[entry.hash] = "done"
        elif held(runs, entry.hash):
            found[entry.hash] = "running"
        elif error_path(runs, entry.hash).exists():
            found[entry.hash] = "failed"
        else:
            lost = any(found[other] in ("failed", "blocked") for other in entry.after)
            found[entry.hash] = "blocked" if lost else "waiting"
    return found


def results(study: Study, folder: str | Path) -> dict[str, dict[str, Any]]:
    """What each finished task gave, with ``task_seconds``, by its hash."""
    found: dict[str, dict[str, Any]] = {}
    for entry in study.entries:
        path = result_path(Path(folder) / "runs", entry.hash)
        if path.exists():
            result, seconds = read_record(path, REMOVE)
            check_result(path, entry.kind, result)
            found[entry.hash] = {**result, "task_seconds": seconds}
    return found


def failures(study: Study, folder: str | Path) -> dict[str, str]:
    """The traceback of each task that failed, by its name."""
    found: dict[str, str] = {}
    for entry in study.entries:
        path = error_path(Path(folder) / "runs", entry.hash)
        if path.exists() and not result_path(Path(folder) / "runs", entry.hash).exists():
            found[entry.name] = read_failure(path)[0]
    return found


def made(folder: str | Path, entry: Entry) -> Path:
    """The folder of what a task made."""
    return made_at(Path(folder), entry.kind, entry.hash)
