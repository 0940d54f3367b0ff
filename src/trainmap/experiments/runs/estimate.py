"""How long the rest of an experiment takes and what it writes, before any of it is run.

The time of a training run is its FLOPs times the seconds that a FLOP takes with this model on this dataset, which come
from finished runs of the folder, or else from a few steps that are trained here and now with one thread, as the workers
do. The time of everything together is that of handing the tasks out to so many workers, each as soon as what it needs
is there. Early stopping is not foreseen: such runs are counted whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.runs.folder import Entry, Study, tasks_of
from trainmap.experiments.tasks.learning import Learning
from trainmap.experiments.tasks.search import Search
from trainmap.views.amounts import show_bytes, show_seconds

STEPS = 3  # trained to measure a model, after one that is not counted
FIXED_SECONDS = {
    "map": 1.5,
    "selection": 0.1,
    "teacher logits": 0.2,
    "teacher": 0.3,
    "student": 0.1,
    "compressed": 2.0,
    "features": 0.3,
    "clusters": 1.0,
    "search": 1.0,
    "tuned": 0.1,
    "people": 5.0,
}  # measured, digits
START_SECONDS = 3.0  # of a worker: torch is imported once


@dataclass(frozen=True)
class Line:
    """The tasks of one kind: how many, how many of them done, seconds of work left."""

    kind: str
    tasks: int
    done: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What is left to do.

    Attributes:
        lines: by kind.
        work_seconds: of all tasks together.
        wall_seconds: with ``jobs`` at a time.
        bytes: that will be written.
        sources: where the speed of each model was taken from.
    """

    lines: tuple[Line, ...]
    work_seconds: float
    wall_seconds: float
    bytes: int
    jobs: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        tasks, done = sum(line.tasks for line in self.lines), sum(line.done for line in self.lines)
        return (
            f"{counted(tasks, 'task')}, {done} done; {show_seconds(self.work_seconds)} of work left, about "
            f"{show_seconds(self.wall_seconds)} with {self.jobs} at a time; {show_bytes(self.bytes)} on disk"
        )


def estimate(study: Study, done: Mapping[str, Mapping[str, Any]], jobs: int, data_root: str | None = None) -> Estimate:
    """What is left of a study; trains a few steps of each model that no finished run tells of.

    Args:
        study, done: see ``results``.
        jobs: runs at a time.
        data_root: where the data lie.
    """
    left = [entry for entry in study.entries if entry.hash not in done]
    speeds, sources = speeds_of(study, left, done, data_root)
    seconds = {entry.hash: _seconds(entry, speeds) for entry in left}
    kinds = dict.fromkeys(entry.kind for entry in study.entries)
    lines = tuple(
        Line(
            kind,
            sum(entry.kind == kind for entry in study.entries),
            sum(entry.kind == kind and entry.hash in done for entry in study.entries),
            sum(seconds[entry.hash] for entry in left if entry.kind == kind),
        )
        for kind in kinds
    )
    return Estimate(
        lines,
        sum(seconds.values()),
        makespan(left, seconds, jobs) + (START_SECONDS if left else 0.0),
        sum(entry.bytes for entry in left),
        jobs,
        tuple(sources),
    )


def speeds_of(
    study: Study,
    left: Sequence[Entry],
    done: Mapping[str, Mapping[str, Any]],
    data_root: str | None = None,
) -> tuple[dict[tuple[str, str], float], list[str]]:
    """(model, dataset) -> seconds of a FLOP of training, and a sentence for each on where it is from."""
    speeds: dict[tuple[str, str], float] = {}
    sources: list[str] = []
    entries, tasks = study.entries, tasks_of(study)
    for key in dict.fromkeys((entry.model, entry.dataset) for entry in left if entry.model):
        runs = [
            done[entry.hash]
            for entry in entries
            if (entry.model, entry.dataset) == key and "train_flops" in done.get(entry.hash, {})
        ]
        if runs:
            speeds[key] = sum(run["train_seconds"] for run in runs) / sum(run["train_flops"] for run in runs)
            sources.append(f"{key[0]} on {key[1]}: {counted(len(runs), 'finished run')}")
            continue
        trained = (tasks[entry.hash] for entry in entries if (entry.model, entry.dataset) == key)
        speeds[key] = measure(next(task for task in trained if isinstance(task, Learning | Search)), data_root)
        sources.append(f"{key[0]} on {key[1]}: {STEPS} steps trained now, 1 thread")
    return speeds, sources


def measure(task: Learning | Search, data_root: str | None = None) -> float:
    """Seconds that a FLOP of training takes, by training a few steps of a run with one thread. Published weights are
    not fetched for it."""
    import torch

    from trainmap.models.build import build
    from trainmap.training.fit import fit

    train, recipe = task.data.load(data_root).train, task.recipe
    part = train.subset(train.ids[: STEPS * recipe.batch])
    model = build(task.model, train.classes, train.inputs, 0, weights=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit(model, part, recipe, seed=0, steps=1, device=task.device)
        result = fit(model, part, recipe, seed=0, steps=STEPS, device=task.device)
    finally:
        torch.set_num_threads(before)
    return result.seconds / result.flops


def makespan(tasks: Sequence[Entry], seconds: Mapping[str, float], jobs: int) -> float:
    """When the last task ends if each starts, heaviest way first, as soon as a worker and what it needs are there."""
    weight: dict[str, float] = {}
    for task in reversed(tasks):
        weight[task.hash] = seconds[task.hash] + weight.get(task.hash, 0.0)
        for other in task.after:
            weight[other] = max(weight.get(other, 0.0), weight[task.hash])
    waiting = {task.hash: {other for other in task.after if other in seconds} for task in tasks}
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        ready = sorted((digest for digest, needs in waiting.items() if not needs), key=lambda digest: -weight[digest])
        for digest in ready[: jobs - len(running)]:
            del waiting[digest]
            heapq.heappush(running, (now + seconds[digest], digest))
        now, ended = heapq.heappop(running)
        for needs in waiting.values():
            needs.discard(ended)
    return now


def _seconds(entry: Entry, speeds: Mapping[tuple[str, str], float]) -> float:
    speed = speeds[entry.model, entry.dataset] if entry.model else 0.0
    return FIXED_SECONDS[entry.kind] + speed * entry.flops
