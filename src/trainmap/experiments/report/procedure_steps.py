"""The procedure of an experiment, step by step, as its plan says it; and how to do it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from trainmap.errors import counted
from trainmap.experiments.report.formats import whole_numbers
from trainmap.experiments.results.price import IN_A_RUN, ONCE
from trainmap.experiments.runs.folder import Study
from trainmap.experiments.tasks.task import Task

T = TypeVar("T")

ORDER = ("teacher", "scoring", "other", "teacher logits", "choosing", "search", "training", "compression")
"""The steps of a line, by the parts of a price: what a task of a part does comes after those before it."""
STEPS_OF: Mapping[str, str] = {
    "teacher": "Train teachers",
    "teacher on a part": "Train teachers on a part",
    "smaller teacher": "Make teachers smaller",
    "teacher out of fold": "Train teachers out of fold",
    "map": "Make maps",
    "ensemble": "Make maps of several recordings",
    "kinds": "Look for the known kinds of examples",
    "active": "Ask for labels, round after round",
    "federated": "Train with many clients",
    "teacher logits": "Keep the teacher's logits",
    "features": "Keep features",
    "clusters": "Cluster the recordings",
    "selection": "Choose the subsets",
    "race": "Race for the subsets",
    "people": "Compare with people",
    "search": "Search for hyperparameters",
    "student": "Train students",
    "tuned": "Train students with what was found",
    "compressed": "Make students smaller",
}
"""What a step is called, by the kind of its tasks; another kind by itself."""


def procedure(study: Study) -> tuple[str, ...]:
    """What was done, from the data to the verdicts, a sentence or two for each step; the last one repeats it."""
    tasks = study.tasks
    steps = [*_data(study, tasks)]
    kinds = dict.fromkeys(entry.kind for entry in study.entries)
    for kind in sorted(kinds, key=lambda kind: _place(study, tasks, kind)):
        if kind == "student":
            steps += _rows(study, tasks)
        steps.append(f"{STEPS_OF.get(kind, kind.capitalize())}: {_done(study, tasks, kind)}.")
    return (*steps, *_judged(study, tasks), repeated(study))


def repeated(study: Study) -> str:
    """How to repeat an experiment."""
    about = study.provenance
    file = about.get("file")
    command = about.get("command") or (f"trainmap run {file} --out DIR" if file else "")
    told = [f"Repeat it: {command}" if command else "Repeat it: run its file again"]
    told += [f"the file has the SHA-256 {about['sha256']}"] if "sha256" in about else []
    versions = ", ".join(f"{name} {about[name]}" for name in ("trainmap", "python", "numpy") if name in about)
    told += [f"this is of {versions}"] if versions else []
    return f"{'; '.join(told)}. A task that is done is not done again; data with another fingerprint are refused."


def _place(study: Study, tasks: Mapping[str, Task], kind: str) -> int:
    part = next(tasks[entry.hash].part for entry in study.entries if entry.kind == kind)
    if kind in ("selection", "teacher on a part"):  # after what it reads
        return 2 * ORDER.index("choosing") + 1
    return 2 * ORDER.index(part if part in ORDER else "other")


def _data(study: Study, tasks: Mapping[str, Task]) -> Iterator[str]:
    """One step for each dataset, with each way in which its labels are."""
    found: dict[str, dict[str, None]] = {}
    for entry in study.entries:
        data: Any = getattr(tasks[entry.hash], "data", None)
        if data is not None:
            found.setdefault(entry.dataset, {})[data.told()] = None
    sizes = {str(line.group["dataset"]): _all(line.labels, tasks[line.run]) for line in study.lines}
    for name, ways in found.items():
        size = f"{sizes[name]:,} training examples; " if sizes.get(name) else ""
        yield f"Take the data {name}: {size}{' | '.join(ways)}."


def _all(labels: Mapping[str, Any], task: Task) -> int:
    """The training examples of a line's dataset: those of its draw, and the share of all that they are."""
    draw: Any = getattr(getattr(task, "student", task), "draw", None)
    return round(draw.count / labels["fraction"]) if draw is not None and labels.get("fraction") else 0


def _done(study: Study, tasks: Mapping[str, Task], kind: str) -> str:
    """What the tasks of a kind do: each phrase once, with the seeds that it is done for."""
    phrases: dict[str, dict[int, None]] = {}
    for entry in study.entries:
        if entry.kind == kind:
            seeds = phrases.setdefault(tasks[entry.hash].told(), {})
            seed = getattr(tasks[entry.hash], "seed", None)
            seeds |= {} if seed is None else {seed: None}
    several = kind != "selection"
    shared, phrases = _common(phrases)
    told = [f"{phrase} ({_seeds([*seeds])})" if seeds and several else phrase for phrase, seeds in phrases.items()]
    return shared + _by_settings(told)


def _common(phrases: Mapping[str, T]) -> tuple[str, dict[str, T]]:
    """What several phrases all begin with, up to a semicolon, and the rest of each."""
    parts = [phrase.split("; ") for phrase in phrases]
    same = 0
    while len(parts) > 1 and all(same < len(part) - 1 and part[same] == parts[0][same] for part in parts):
        same += 1
    rest = {"; ".join(part[same:]): value for part, value in zip(parts, phrases.values(), strict=True)}
    return ("; ".join(parts[0][:same]) + ": " if same else ""), rest


def _by_settings(told: Sequence[str]) -> str:
    """Phrases of which several begin with the same settings: "settings: one; another | others: one; another"; settings
    of which the same is told stand together: "each of (settings) (others): one; another"."""
    its: dict[str, list[str]] = {}
    for phrase in told:
        *settings, rest = phrase.split("; ")
        its.setdefault("; ".join(settings), []).append(rest)
    if len(its) < 2 or len(its) == len(told):
        return "; ".join(told)
    alike: dict[tuple[str, ...], list[str]] = {}
    for settings, rest in its.items():
        alike.setdefault(tuple(rest), []).append(settings)
    parts: list[str] = []
    for rest, ways in alike.items():
        way = ways[0] if len(ways) == 1 else f"each of {' '.join(f'({one})' for one in ways)}"
        parts.append(f"{way}: {'; '.join(rest)}" if way else "; ".join(rest))
    return " | ".join(parts)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {whole_numbers(seeds)}"


def _rows(study: Study, tasks: Mapping[str, Task]) -> Iterator[str]:
    """The rows of the tables and how each is drawn."""
    rows: dict[str, dict[str, dict[str, None]]] = {}
    for line in study.lines:
        task: Any = tasks[line.run]
        draw = getattr(task, "student", task).draw
        rows.setdefault(line.labels["subset"], {}).setdefault(draw.told(), {})[f"{draw.count:,}"] = None
    told = [
        f"{name}: " + " | ".join(f"{way} ({' or '.join(sizes)} examples)" for way, sizes in ways.items())
        for name, ways in rows.items()
    ]
    if told:
        yield f"Train on each of these rows: {'; '.join(told)}."


def _judged(study: Study, tasks: Mapping[str, Task]) -> Iterator[str]:
    """How networks are judged, compared and priced."""
    asked: list[Any] = [getattr(task, "evaluation", None) for task in tasks.values()]
    sets = dict.fromkeys(one.told() for one in asked if one is not None)
    if sets:
        yield f"Judge every network on {' | '.join(sets)}: accuracy and macro F1 of its last weights."
    budgets = dict.fromkeys(line.labels["budget"] for line in study.lines)
    seeds = dict.fromkeys(line.labels["seed"] for line in study.lines)
    if budgets:
        yield (
            f"Compare at {' and at '.join(budgets)}, n = {len(seeds)} ({_seeds([*seeds])}): each row with random "
            f"selection of its size, paired by seed, by Student's t interval at {100 * study.level:g} %. The verdict "
            "follows from the interval, and is full ('beats', a filled symbol) where it stays under Holm's correction "
            "over "
            "its table."
        )
        yield (
            f"Count the cost of a run as a whole ({', '.join(IN_A_RUN)}), and beside it what is made once "
            f"({', '.join(ONCE)}), which a row that reads a map has to pay back. {counted(len(study.entries), 'task')} "
            "in all, each once."
        )
