"""Many runs: an experiment file becomes a plan of tasks, the tasks are run once, and their results become a report.

Its files, in reading order::

    file/                an experiment file
    tasks/               what an experiment does: one file for each kind of task, one table of all
    plan/                from a file to tasks, rows and their graph
    runs/                running what is planned: side by side, here or on a cluster, never twice
    results/             what came of it: rows, intervals, verdicts
    report/              results for people: pages, tables, pictures
    demo.py              the whole line on one dataset
    verifying.py         whether anything is damaged in what trainmap wrote
    compress_teacher.py  the teacher of a demo made smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.compress_teacher import Order
    from trainmap.experiments.demo import PAGE, exchanged, plan_demo, run_demo
    from trainmap.experiments.verifying import Checked, count_files, verify
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "compress_teacher": "Order",
            "demo": "PAGE exchanged plan_demo run_demo",
            "verifying": "Checked count_files verify",
        },
    )

# fmt: off
__all__ = [
    "PAGE", "Checked", "Order", "count_files", "exchanged", "plan_demo", "run_demo", "verify",
]
# fmt: on
