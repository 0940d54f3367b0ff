"""Running what is planned: side by side, here or on a cluster, never twice.

Its files, in reading order::

    owner.py          whose a folder is
    task_locks.py     who is at work on a task
    job.py            A task with its place in a folder
    worker.py         a worker process
    local_workers.py  worker processes of this machine
    cluster.py        Ray and SLURM
    launch.py         tasks, side by side
    folder.py         the folder of an experiment
    estimate.py       how long the rest takes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.runs.folder import (
        PLAN,
        Entry,
        Study,
        at_work,
        check,
        claim,
        failures,
        made,
        open_study,
        results,
        run_study,
        states,
        study_of,
        tasks_of,
    )
    from trainmap.experiments.runs.job import Job, Outcome, read_record, result_path
    from trainmap.experiments.runs.launch import run_all
    from trainmap.experiments.runs.owner import COMPRESSED, DEMO, changes, check_free
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "folder": (
                "PLAN Entry Study at_work check claim failures made open_study results run_study states study_of "
                "tasks_of"
            ),
            "job": "Job Outcome read_record result_path",
            "launch": "run_all",
            "owner": "COMPRESSED DEMO changes check_free",
        },
    )

# fmt: off
__all__ = [
    "COMPRESSED", "DEMO", "PLAN", "Entry", "Job", "Outcome", "Study", "at_work", "changes", "check", "check_free",
    "claim", "failures", "made", "open_study", "read_record", "result_path", "results", "run_all", "run_study",
    "states", "study_of", "tasks_of",
]
# fmt: on
