"""A federation of an experiment for real machines: the settings of one of its runs, in the place of running it here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainmap.errors import TrainmapError, shown, unknown
from trainmap.experiments.tasks.federated_rows import names_of, of_row, table_of
from trainmap.experiments.tasks.federated_run import FederatedRun
from trainmap.federated.deployment import Deployment

FIELDS = {"data": ("data",), "choice": ("federated",), "recording": ("federated", "record")}
"""Where a file has what stands in these fields of a run; it has the others in ``federated``, by the same name."""
FOLLOWS = (("seed",), ("recipe", "epochs"), ("data", "fingerprint"))
"""What differs between the runs of a row, or follows from what a file says."""


def run_of_row(tasks: Iterable[object], row: str | None) -> FederatedRun:
    """The run of a row with the first of its seeds.

    Args:
        row: as the report calls it, "33% ambiguous (global bounds)"; or as the plan does, without what tells rows
            apart. None: the only one that there is.

    Raises:
        TrainmapError: no such row; none was said, and there are several; its runs differ in more than the seed.
    """
    runs = [task for task in tasks if isinstance(task, FederatedRun)]
    names = _names(runs)
    known = [*dict.fromkeys(in_table for in_table, _, _ in names)]
    if row is None and len(known) > 1:
        raise TrainmapError(f"say which row goes on real machines, --row, one of: {', '.join(known)}")
    row = known[0] if row is None else row
    called = zip(*names)
    at = next((one for one in ([at for at, name in enumerate(its) if name == row] for its in called) if one), [])
    if not at:
        raise unknown("row", row, known)
    found = [runs[one] for one in at]
    if differ := dict(_differing([task.identity() for task in found])):
        apart = [*dict.fromkeys(names[one][1] for one in at)]
        raise TrainmapError(
            f"row {shown(row)} is of several runs, which differ in {_listed(differ)}; real machines have one: "
            + (f"say --row, one of: {', '.join(apart)}" if len(apart) > 1 else f"say it, {_to_choose(differ)}")
        )
    return found[0]


def _names(runs: Sequence[FederatedRun]) -> list[tuple[str, str, str]]:
    """What each run's row is called: in its table of the report, among all tables, and in the plan."""
    tables: dict[str, list[FederatedRun]] = {}
    for task in runs:
        tables.setdefault(table_of(task), []).append(task)
    in_table, whole = {table: names_of(its) for table, its in tables.items()}, names_of(runs)
    return [(in_table[table_of(task)][of_row(task)], whole[of_row(task)], task.row) for task in runs]


def _differing(values: Sequence[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[Any]]]:
    """The fields of a file in which runs differ, with what stands there; nothing that follows from other fields."""
    if path in FOLLOWS:
        return
    if all(isinstance(value, Mapping) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):
            yield from _differing([value.get(key) for value in values], (*path, key))
    elif len(distinct := [value for at, value in enumerate(values) if value not in values[:at]]) > 1:
        words = (*FIELDS.get(path[0], ("federated", path[0])), *path[1:])
        yield ".".join(("data", "names") if words == ("data", "name") else words), distinct


def _listed(differ: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(f"{name} ({', '.join(map(shown, values))})" for name, values in differ.items())


def _to_choose(differ: Mapping[str, Sequence[Any]]) -> str:
    """The options of the command that leave one of these runs."""
    first = {name: values[0] for name, values in differ.items()}
    texts = [json.dumps([value] if name == "data.names" else value) for name, value in first.items()]
    grid = ["--set grid={}"] if any(name != "data.names" for name in differ) else []
    return " ".join([*grid, *(f"--set {shlex.quote(f'{name}={text}')}" for name, text in zip(first, texts))])


def deployment_of(task: FederatedRun, out: Path, data_root: str | None) -> Deployment:
    """What a run on real machines is told, for this run: the same rounds, network and recipe. The data are the clients'
    own; the experiment's say what an example is, and their test part is the server's.

    Args:
        out: the server's folder for results.
        data_root: where the experiment's data lie.

    Raises:
        TrainmapError: settings that are of data in one place: noise that is put into labels, examples left out.
    """
    data = task.data
    here = {"noise": task.noise, "label_noise": data.label_noise, "labels": data.labels}
    here |= {"limit": data.limit, "leave_out": data.leave_out}
    if told := [name for name, value in here.items() if value]:
        raise TrainmapError(
            f"{told[0]} changes the data of a simulation, and real machines have their own; leave it out"
        )
    like = data.load(data_root).test
    return Deployment(
        task.federation,
        task.clients,
        task.model,
        task.recipe,
        like.inputs,
        like.classes,
        str(out.resolve()),
        like.names,
        test=data.name,
        data_root=str(Path(data_root or "data").resolve()),
    )
