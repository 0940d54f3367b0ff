"""Runs on other machines: through Ray, or through SLURM by submitit. The folder of results must be shared with them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from trainmap.errors import TrainmapError
from trainmap.experiments.runs.job import Job, Stamp, error_path, result_path, stamp, write_error
from trainmap.experiments.runs.local_workers import LocalPool, Pool
from trainmap.experiments.runs.task_locks import give_up
from trainmap.experiments.runs.worker import ENVIRONMENT, Answer, attempt, environment

SLURM_JOBS = 64  # in the queue at a time, unless told
SLURM_POLL_SECONDS = 0.5


class RayPool:
    """Each run is a Ray task with one CPU, in worker processes with one thread.

    Args:
        folder: of the results.
        jobs: runs at a time; by default the CPUs of the cluster.
        address: of a cluster, or "auto"; None starts a local one with ``jobs`` CPUs and ends it afterwards.
        gpus: for each run.

    Raises:
        TrainmapError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, folder: Path, jobs: int | None, address: str | None = None, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError as error:
            raise TrainmapError("the launcher 'ray' needs Ray: pip install 'trainmap[grid]'") from error
        self.ray: Any = ray
        self.folder = folder.resolve()
        self.ours = not ray.is_initialized()
        if self.ours:
            try:
                ray.init(
                    address=address,
                    num_cpus=jobs if address is None else None,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    runtime_env={"env_vars": dict(ENVIRONMENT)},
                )
            except ConnectionError as error:
                raise TrainmapError(f"no Ray cluster answers at '{address}': {error}") from error
        self.limit = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.attempt: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(attempt)
        self.busy: dict[Any, tuple[Job, Stamp, str]] = {}

    def free(self) -> bool:
        return len(self.busy) < self.limit

    def start(self, task: Job, old_error: Stamp) -> None:
        claim = uuid4().hex
        self.busy[self.attempt.remote(self.folder, task, old_error, claim)] = (task, old_error, claim)

    def wait(self, seconds: float | None) -> list[tuple[Job, Answer]]:
        if not self.busy:
            time.sleep(seconds or 0)
            return []
        ended, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=seconds)
        answers: list[tuple[Job, Answer]] = []
        for reference in ended:
            task, old_error, claim = self.busy.pop(reference)
            try:
                answers.append((task, self.ray.get(reference)))
            except self.ray.exceptions.RayError as error:
                _write_death(self.folder, task, old_error, claim, str(error))
                answers.append((task, "failed"))
        return answers

    def stop(self) -> None:
        for reference in self.busy:
            self.ray.cancel(reference, force=True)
        for task, _, claim in self.busy.values():
            give_up(self.folder, task.hash, claim)
        if self.ours:
            self.ray.shutdown()


class SlurmPool:
    """Each run is a SLURM job, submitted by submitit; its logs are in ``<folder>/../jobs``.

    Args:
        folder: of the results.
        jobs: jobs in the queue or running at a time; 64 by default.
        cluster: "slurm", or "local" for processes of this machine.
        parameters: of every job, as ``submitit.AutoExecutor.update_parameters`` takes them.

    Raises:
        TrainmapError: submitit is not installed, SLURM is not there, or a parameter is unknown.
    """

    def __init__(
        self, folder: Path, jobs: int | None, cluster: str = "slurm", parameters: Mapping[str, Any] | None = None
    ) -> None:
        try:
            import submitit
            from submitit.core.utils import UncompletedJobError
        except ImportError as error:
            raise TrainmapError("the launcher 'slurm' needs submitit: pip install 'trainmap[grid]'") from error
        self.folder, self.limit = folder.resolve(), jobs or SLURM_JOBS
        self.died = UncompletedJobError
        try:
            self.executor = submitit.AutoExecutor(self.folder.parent / "jobs", cluster=cluster)
            self.executor.update_parameters(**{"name": "trainmap", **(parameters or {})})
        except (RuntimeError, NameError, TypeError) as error:
            raise TrainmapError(f"submitit cannot use cluster '{cluster}': {error}") from error
        self.busy: list[tuple[Any, Job, Stamp, str]] = []

    def free(self) -> bool:
        return len(self.busy) < self.limit

    def start(self, task: Job, old_error: Stamp) -> None:
        claim = uuid4().hex
        with environment(ENVIRONMENT):  # a job starts with the environment of its submission
            job = self.executor.submit(attempt, self.folder, task, old_error, claim)
        self.busy.append((job, task, old_error, claim))

    def wait(self, seconds: float | None) -> list[tuple[Job, Answer]]:
        until = math.inf if seconds is None else time.monotonic() + seconds
        while not (ended := [entry for entry in self.busy if entry[0].done()]) and time.monotonic() < until:
            time.sleep(SLURM_POLL_SECONDS)
        answers: list[tuple[Job, Answer]] = []
        for entry in ended:
            self.busy.remove(entry)
            job, task, old_error, claim = entry
            try:
                answers.append((task, job.result()))
            except self.died as error:
                _write_death(self.folder, task, old_error, claim, str(error))
                answers.append((task, "failed"))
        return answers

    def stop(self) -> None:
        for job, task, _, claim in self.busy:
            job.cancel(check=False)
            give_up(self.folder, task.hash, claim)


def _write_death(folder: Path, task: Job, old_error: Stamp, claim: str, text: str) -> None:
    """Keep why a run ended without an answer, unless it wrote that down itself, and free it for the next call."""
    give_up(folder, task.hash, claim)
    if not result_path(folder, task.hash).exists() and stamp(error_path(folder, task.hash)) == old_error:
        write_error(folder, task, f"the run's process died: {text}", math.nan)


LAUNCHERS: Mapping[str, Callable[..., Pool]] = {"local": LocalPool, "ray": RayPool, "slurm": SlurmPool}
