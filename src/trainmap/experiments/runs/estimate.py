"""How long the rest of an experiment takes and what it writes, before any of it is run.

The time of a training run is the FLOPs of each of its networks, those of a live teacher and a proxy among them, times
the seconds that a FLOP takes with this model on this dataset. They come from finished runs of the folder in which it
was trained alone, or else from a few steps that are trained here and now with one thread, as the workers do. A plan
needs no device and no data: where the device is not here times are unknown, and where the data are not their known
sizes are taken. The time of everything together is that of handing the tasks out to so many workers, each as soon as
what it needs is there. Early stopping is not foreseen: such runs are counted whole.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainmap.errors import counted
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.tasks.learning import Learning
from trainmap.experiments.tasks.racing import Racing
from trainmap.experiments.tasks.search import Search
from trainmap.modes import is_here
from trainmap.views.amounts import show_bytes, show_flops, show_seconds

STEPS = 3  # trained to measure a model, after one that is not counted; of a large one the first step counts
STEP_FLOPS = 1e10  # of such a step, less than a second; large networks see less than a batch
MEASURING_SECONDS = 15.0  # after which no further model is measured
FIXED_SECONDS = {
    "map": 1.5,
    "ensemble": 6.0,
    "selection": 0.1,
    "race": 1.0,
    "teacher logits": 0.2,
    "teacher": 0.3,
    "teacher on a part": 0.3,
    "smaller teacher": 5.0,
    "teacher out of fold": 0.6,
    "student": 0.1,
    "compressed": 2.0,
    "features": 0.3,
    "clusters": 1.0,
    "search": 1.0,
    "tuned": 0.1,
    "people": 5.0,
    "kinds": 1.5,
    "active": 0.5,
    "federated": 2.0,
}  # measured, digits
CLOCKS = ("seconds", "cpu_seconds")  # of a task on a device; on a CPU, where other work takes none of its own time
START_SECONDS = 3.0  # of a worker: torch is imported once


@dataclass(frozen=True)
class Line:
    """The tasks of one kind: how many, how many of them done; of the work left the FLOPs, those among them of live
    teachers and proxies, and the seconds (NaN: unknown)."""

    kind: str
    tasks: int
    done: int
    flops: int
    beside: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What is left to do.

    Attributes:
        lines: by kind.
        flops: of all tasks together.
        work_seconds: the same; NaN where it is unknown.
        wall_seconds: with ``jobs`` at a time.
        bytes: that will be written.
        sources: where the speed of each model was taken from.
    """

    lines: tuple[Line, ...]
    flops: int
    work_seconds: float
    wall_seconds: float
    bytes: int
    jobs: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        tasks, done = sum(line.tasks for line in self.lines), sum(line.done for line in self.lines)
        work = f"{show_flops(self.flops)} of training left, in a time that is not known here"
        if not math.isnan(self.work_seconds):
            work = (
                f"{show_seconds(self.work_seconds)} of work left ({show_flops(self.flops)} of training), about "
                f"{show_seconds(self.wall_seconds)} with {self.jobs} at a time"
            )
        return f"{counted(tasks, 'task')}, {done} done; {work}; {show_bytes(self.bytes)} on disk"


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
    unknown = any(math.isnan(each) for each in seconds.values())
    kinds = dict.fromkeys(entry.kind for entry in study.entries)
    lines = tuple(
        Line(
            kind,
            sum(entry.kind == kind for entry in study.entries),
            sum(entry.kind == kind and entry.hash in done for entry in study.entries),
            sum(entry.flops for entry in left if entry.kind == kind),
            sum(sum(entry.beside.values()) for entry in left if entry.kind == kind),
            sum(seconds[entry.hash] for entry in left if entry.kind == kind),
        )
        for kind in kinds
    )
    return Estimate(
        lines,
        sum(entry.flops for entry in left),
        sum(seconds.values()),
        math.nan if unknown else makespan(left, seconds, jobs) + (START_SECONDS if left else 0.0),
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
    """(model, dataset) -> seconds of a FLOP of training (NaN: unknown), and where they are from, in words.

    What no finished run tells of is measured, small networks first, while there is time, and once for datasets on which
    an example costs the same; those that are left are taken to be as fast as the largest that was measured.
    """
    speeds: dict[tuple[str, str], float] = {}
    measured: dict[tuple[str, int], float] = {}
    sources: dict[str, list[str]] = {}
    entries, tasks = study.entries, study.tasks
    forward = {(model["name"], model["dataset"]): model["flops"] for model in study.models}
    keys = dict.fromkeys((model, one.dataset) for one in left for model in (one.model, *one.beside) if model)
    stop = time.perf_counter() + MEASURING_SECONDS
    last = math.nan
    for key in sorted(keys, key=lambda key: forward.get(key, 0)):
        ours = [entry for entry in entries if (entry.model, entry.dataset) == key and not entry.beside]
        runs = [done[entry.hash] for entry in ours if "train_flops" in done.get(entry.hash, {})]
        there = [entry for entry in entries if entry.dataset == key[1] and key[0] in (entry.model, *entry.beside)]
        trained = (tasks[entry.hash] for entry in sorted(there, key=lambda entry: entry.model != key[0]))
        task = next(task for task in trained if isinstance(task, Learning | Search | Racing))
        alike = (key[0], round(20 * math.log(forward.get(key, 0) + 1)))  # within 5 %
        if runs:
            clock = CLOCKS[task.device == "cpu"]
            speeds[key] = sum(run[f"train_{clock}"] for run in runs) / sum(run["train_flops"] for run in runs)
            source = counted(len(runs), "finished run")
        elif not is_here(task.device):
            speeds[key] = math.nan
            source = f"unknown, as this machine has no '{task.device}'"
        elif alike in measured or time.perf_counter() < stop:
            if alike not in measured:
                measured[alike] = measure(task, key[0], forward.get(key, 0), data_root)
            speeds[key] = last = measured[alike]
            source = "a few steps trained now, 1 thread"
        else:
            speeds[key] = last
            source = "taken to be as fast as the largest that was measured, as measuring takes long"
        sources.setdefault(source, []).append(f"{key[0]} on {key[1]}")
    return speeds, [f"{', '.join(names)}: {source}" for source, names in sources.items()]


def measure(task: Learning | Search | Racing, network: str, forward: int, data_root: str | None = None) -> float:
    """Seconds that a FLOP of training takes, by training a few steps of a run with one thread: core-seconds on a CPU.
    Published weights are not fetched for it.

    Args:
        task: with the data and the recipe.
        network: what is trained: its own, or one that runs beside it.
        forward: its FLOPs for one example; a step takes at most as many examples as ``STEP_FLOPS`` allow.
        data_root: where the data lie.
    """
    import torch

    from trainmap.models.budget import training_flops
    from trainmap.models.build import build
    from trainmap.training.fit import fit

    train, recipe = task.data.to_measure(data_root).train, task.recipe
    fits = max(2, int(STEP_FLOPS / max(1, training_flops(forward, 1))))  # batch norms need two
    large, recipe = fits == 2 < recipe.batch, replace(recipe, batch=min(fits, recipe.batch))
    part = train.subset(train.ids[: STEPS * recipe.batch])
    model = build(network, train.classes, train.inputs, 0, weights=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = fit(model, part, recipe, seed=0, steps=1, device=task.device)
        if not large:
            result = fit(model, part, recipe, seed=0, steps=STEPS, device=task.device)
    finally:
        torch.set_num_threads(before)
    return getattr(result, CLOCKS[task.device == "cpu"]) / result.flops


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
    own = {entry.model: entry.flops - sum(entry.beside.values())} if entry.model else {}
    spent = sum(speeds[model, entry.dataset] * flops for part in (own, entry.beside) for model, flops in part.items())
    return FIXED_SECONDS[entry.kind] + spent
