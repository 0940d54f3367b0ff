"""What the cost of a run is made of: a walk over all that its task needs, each task once.

A task says itself as which part of the price it counts (``Task.part``), how much of another one it takes
(``Task.share_of``) and in which fields of its result its own cost is (``Task.spends``); a new kind of task is priced by
these words, and nothing here knows it by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.task import Task

Done = Mapping[str, Mapping[str, Any]]

IN_A_RUN: Mapping[str, str] = {
    "training": "training",
    "live teacher": "the live teacher",
    "proxy": "the proxy",
    "compression": "compression",
}
"""The parts that every run spends anew: they are in ``train_flops``."""

ONCE: Mapping[str, str] = {
    "map": "training of what the map records",
    "scoring": "scores and regions of the map",
    "choosing": "what is made for a selection besides the map, and selecting",
    "teacher": "training of the teacher, beyond what the map has",
    "teacher logits": "the teacher's logits",
    "search": "the search for hyperparameters",
    "other": "other tasks",
}
"""The parts that are made once, before a run, and that other runs can use again; of a training that counts twice the
first part has it."""

PARTS = (*IN_A_RUN, *ONCE)
OF_A_MAP = ("map", "scoring")
"""The parts that a map is made of."""
PAID_BACK = (*OF_A_MAP, "choosing", "other")
"""The parts that a subset of a map has to earn; a teacher serves full data just as well."""
MADE_FOR = (*IN_A_RUN, "teacher", "teacher logits")
"""The parts that, before a run, count as that of the task which they are made for, where it ``makes`` one."""
BESIDE = {"live teacher": "teacher_flops", "proxy": "proxy_flops"}
"""The parts that are among the FLOPs of a training, and the field of its result that says how many."""
CLOCKS = ("seconds", "cpu_seconds")


@dataclass(frozen=True)
class Spent:
    """FLOPs, wall seconds, seconds of all cores; NaN where a result that would say it is not there."""

    flops: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.flops + other.flops, self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def times(self, share: float) -> Spent:
        return Spent(self.flops * share, self.seconds * share, self.cpu_seconds * share)


Taken = dict[str, dict[tuple[str, str, bool], float]]
"""By the hash of a task, how much of it is taken as which part, made for which part, and whether by the run itself."""
Key = tuple[str, str]
"""The hash of a task, and the part of a price that it counts as."""


@dataclass(frozen=True)
class Price:
    """What a run costs.

    Attributes:
        run: by the keys of ``IN_A_RUN``: what it spends itself. The seconds of a live teacher and a proxy cannot be
            told from those of the training, which has them.
        once: what was made before it, by task and part.
    """

    run: Mapping[str, Spent]
    once: Mapping[Key, Spent]

    def before(self, *parts: str) -> Spent:
        """The sum of what was made once, of these parts; of all for none."""
        return total(spent for (_, part), spent in self.once.items() if not parts or part in parts)

    @property
    def whole(self) -> Spent:
        """The run with all that was made before it."""
        return total(self.run.values()) + self.before()


def total(spent: Iterable[Spent]) -> Spent:
    return sum(spent, Spent())


def price_of(tasks: Iterable[Task], done: Done) -> Price:
    """What finished tasks cost together: what several of them need is in it once.

    Args:
        tasks: one run, or all of a table.
        done: results by hash, as ``completed`` gives them.
    """
    taken: Taken = {}
    known: dict[str, Task] = {}
    for task in tasks:
        _walk(task, done, taken, known)
    run: dict[str, Spent] = {}
    once: dict[Key, Spent] = {}
    for digest, ways in taken.items():
        counted, shares = 0.0, {part: max(s for (its, *_), s in ways.items() if its == part) for part, *_ in ways}
        for part in (part for part in PARTS if shares.get(part, 0.0) > counted):
            spent = _own(known[digest], done.get(digest)).times(shares[part] - counted)
            counted = shares[part]
            if part in ONCE:
                once[digest, part] = spent
                continue
            beside = {name: done.get(digest, {}).get(field, 0) for name, field in BESIDE.items()}
            for name, flops in beside.items() if part == "training" else ():
                if flops:
                    run[name] = run.get(name, Spent()) + Spent(flops)
                    spent += Spent(-flops)
            run[part] = run.get(part, Spent()) + spent
    return Price({part: run[part] for part in IN_A_RUN if part in run}, once)


def _walk(
    task: Task,
    done: Done,
    taken: Taken,
    known: dict[str, Task],
    share: float = 1.0,
    makes: str = "",
    own: bool = True,
) -> None:
    """Write down how much of a task, and of all that it needs, counts as which part.

    Args:
        share: of this task.
        makes: the part that the trainings here are made for.
        own: whether the run itself spends it: it, and what its result has in it (a student, in what becomes of it).
    """
    own = own and task.part in IN_A_RUN
    part = task.part
    if not own and part in MADE_FOR:
        part = makes or ("other" if part in IN_A_RUN else part)
    ways, way = taken.setdefault(task.hash, {}), (part, makes, own)
    if ways.get(way, 0.0) >= share:
        return
    ways[way], known[task.hash] = share, task
    for role, need in task.needs().items():
        part_of = task.share_of(role, done[task.hash]) if task.hash in done else 1.0
        _walk(need, done, taken, known, part_of, task.makes or makes, own)


def _own(task: Task, result: Mapping[str, Any] | None) -> Spent:
    """What the result of a task says that it cost itself."""
    if result is None:
        return Spent(math.nan, math.nan, math.nan)

    def told(what: str) -> Spent:
        flops, seconds = (float(result.get(f"{what}_{unit}", 0)) for unit in ("flops", "seconds"))
        return Spent(flops, seconds, float(result.get(f"{what}_cpu_seconds", seconds)))  # one thread: it has one clock

    return total(map(told, task.spends))


def completed(study: Study, done: Done) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The results of a study with the costs that earlier versions left out, computed from the plan; and a sentence
    for the reader where there were any.

    Args:
        study: knows what its networks cost.
        done: results by hash, as they were kept.
    """
    tasks = study.tasks
    found: dict[str, dict[str, Any]] = {}
    changed: dict[str, int] = {}
    flops = {(model["name"], model["dataset"]): model["flops"] for model in study.models}
    for entry in study.entries:  # each after those that it needs
        if (result := done.get(entry.hash)) is None:
            continue
        needs = {role: found[other.hash] for role, other in tasks[entry.hash].needs().items() if other.hash in found}
        whole = tasks[entry.hash].completed(
            dict(result), needs, lambda model, dataset=entry.dataset: flops[model, dataset]
        )
        found[entry.hash] = dict(whole)
        for field in whole.keys() - result.keys():
            changed[field] = changed.get(field, 0) + 1
    words = {"teacher_flops": "a live teacher", "sweep_flops": "the sweeps that record"}
    return found, [
        f"{count:,} results of an earlier trainmap left out the FLOPs of {words.get(field, field)}; they are counted "
        "here by the plan: a forward pass of each example seen."
        for field, count in sorted(changed.items())
    ]


def columns_of(price: Price, map_price: Price | None) -> dict[str, Any]:
    """What a row of a table says of its price.

    Returns:
        ``counted``: the parts that are in ``train_flops``, in words. ``once``: the parts that were made before.
        ``once_flops``, ``once_seconds``, ``once_cpu_seconds``: their sum, each task once. ``whole_flops``,
        ``whole_seconds``, ``whole_cpu_seconds``: the run with them. ``once_<part>_flops``: of each part.
        ``choosing_flops``, ``choosing_seconds``, ``choosing_cpu_seconds``: of these what the selection took besides
        the map of the table.

    Args:
        price: of the run.
        map_price: of the map of its table; None without one.
    """
    there = [part for part in ONCE if any(own == part for _, own in price.once)]
    known = {} if map_price is None else map_price.once
    besides = total(
        spent for (digest, part), spent in price.once.items() if part in PAID_BACK and (digest, part) not in known
    )
    once, whole = price.before(), price.whole
    told: dict[str, Any] = {"counted": " + ".join(price.run), "once": " + ".join(there)}
    for name, spent in (("once", once), ("whole", whole), ("choosing", besides)):
        told |= {f"{name}_{unit}": getattr(spent, unit) for unit in ("flops", *CLOCKS)}
    return told | {part_column(part): price.before(part).flops for part in there}


def part_column(part: str) -> str:
    """The column of a row that has the FLOPs of what was made once."""
    return f"once_{part.replace(' ', '_')}_flops"
