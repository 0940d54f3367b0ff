"""A federation of an experiment for real machines: the settings of one of its runs, in the place of running it here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.tasks.federated_run import FederatedRun
from trainmap.federated.deployment import Deployment


def run_of_row(tasks: Iterable[object], row: str | None) -> FederatedRun:
    """The first run of a row, by what it is called in plan and report.

    Raises:
        TrainmapError: no such row; none was said, and there are several.
    """
    rows: dict[str, FederatedRun] = {}
    for task in tasks:
        if isinstance(task, FederatedRun):
            rows.setdefault(task.row, task)
    if row is None and len(rows) > 1:
        raise TrainmapError(f"say which row goes on real machines, --row, one of: {', '.join(rows)}")
    if row is not None and row not in rows:
        raise unknown("row", row, rows)
    return rows[next(iter(rows)) if row is None else row]


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
