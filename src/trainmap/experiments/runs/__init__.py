"""Running what is planned: side by side, here or on a cluster, never twice.

Its files, in reading order::

    owner.py          whose a folder is
    task_locks.py     who is at work on a task
    tracking.py       the epochs of a run as they come
    watch.py          what happens after each epoch
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
        Entry,
        Study,
        check,
        claim,
        failures,
        made,
        open_study,
        results,
        run_study,
        states,
        study_of,
    )
    from trainmap.experiments.runs.launch import cores, run_all
    from trainmap.experiments.runs.owner import COMPRESSED, DEMO, check_free
    from trainmap.experiments.runs.tracking import read_epochs, track
    from trainmap.experiments.runs.watch import Watch
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "folder": "Entry Study check claim failures made open_study results run_study states study_of",
            "launch": "cores run_all",
            "owner": "COMPRESSED DEMO check_free",
            "tracking": "read_epochs track",
            "watch": "Watch",
        },
    )

# fmt: off
__all__ = [
    "COMPRESSED", "DEMO", "Entry", "Study", "Watch", "check", "check_free", "claim", "cores", "failures", "made",
    "open_study", "read_epochs", "results", "run_all", "run_study", "states", "study_of", "track",
]
# fmt: on
