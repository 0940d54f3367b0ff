"""What the rows of federations are called, and which runs stand in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence

from trainmap.experiments.tasks.federated_run import FederatedRun

OWN = ("seed", "own_rounds", "choice", "recording", "privacy")
"""The fields of a task that rows of one table may differ in."""


def names_of(tasks: Sequence[FederatedRun]) -> dict[str, str]:
    """What each row is called in its table, with as much of what is said of its maps as tells rows of one spec apart.

    Returns:
        what is a row's own (``of_row``) -> its name.
    """
    alike: dict[str, dict[str, dict[str, str]]] = {}
    for task in tasks:
        alike.setdefault(task.row, {})[of_row(task)] = _said(task)
    found: dict[str, str] = {}
    for row, its in alike.items():
        keys = dict.fromkeys(key for said in its.values() for key in said)
        differ = [key for key in keys if len({said[key] for said in its.values() if key in said}) > 1]
        for own, said in its.items():
            told = ", ".join(said[key] for key in differ if said.get(key))
            found[own] = f"{row} ({told})" if told else row
    return found


def _said(task: FederatedRun) -> dict[str, str]:
    choice, recording, privacy = task.choice, task.recording, task.privacy
    every = "every round" if recording.every == 1 else f"every {recording.every} rounds"
    private = {} if privacy is None else {"delta": f"delta {privacy.delta:g}", "secure": "secure" * privacy.secure}
    return {
        "bounds": f"{choice.bounds} bounds",
        "warmup": f"warmup {choice.warmup}",
        "source": recording.source,
        "every": every,
        "epsilon": "" if privacy is None else f"epsilon {privacy.epsilon:g}",
        **private,
    }


def of_row(task: FederatedRun) -> str:
    """What is a row's own among those of its table."""
    identity = task.identity()
    return json.dumps([identity[name] for name in OWN if name != "seed"], sort_keys=True)


def table_of(task: FederatedRun) -> str:
    """What the rows of one table share: all but what they train on, for how many rounds of their own, and the seed."""
    shared = {name: value for name, value in task.identity().items() if name not in OWN}
    shared["recipe"] = {name: value for name, value in shared["recipe"].items() if name != "epochs"}
    return json.dumps(shared, sort_keys=True)
