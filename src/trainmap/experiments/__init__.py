"""Many runs: an experiment file becomes a plan of tasks, the tasks are run once, and their results become a report.

Its files, in reading order::

    file/           an experiment file
    rows.py         the rows of a table
    subsets.py      the rows of the comparison
    schedules.py    the rows that change during training
    students.py     the students' part of the graph
    searches.py     the search for hyperparameters of an experiment
    people.py       do people find the same examples hard? Teacher → map of the test data beside people's judgement
    points.py       what tells the points of a grid apart where they meet
    graph.py        from a configuration to a graph of tasks
    plan.py         what a demo does
    planner.py      from a configuration to its graph of tasks
    rehearsal.py    what would fail after the teacher was trained, found when planning
    runs/           running what is planned: side by side, here or on a cluster, never twice
    results/        what came of it: rows, intervals, verdicts
    report/         results for people: pages, tables, pictures
    compression.py  compress the teacher that a demo folder keeps
    demo.py         the whole line on one dataset
    verifying.py    whether anything is damaged in what trainmap wrote
    choosing.py     what strategies read besides a map
    compressing.py  the task that makes a trained student smaller and judges what is left
    judge.py        how good a network is, on its own test set and elsewhere
    nodes.py        what the tasks of a grid do
    student.py      one run of a grid
    sweeps.py       recorders for ``fit`` that record evaluation passes
    task.py         one run
    tuning.py       best hyperparameters of a distilled student
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.compression import Order, compress_teacher
    from trainmap.experiments.demo import run_demo
    from trainmap.experiments.plan import plan_demo
    from trainmap.experiments.planner import plan_graph
    from trainmap.experiments.task import Outcome
    from trainmap.experiments.verifying import Checked, count_files, verify
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "compression": "Order compress_teacher",
            "demo": "run_demo",
            "plan": "plan_demo",
            "planner": "plan_graph",
            "task": "Outcome",
            "verifying": "Checked count_files verify",
        },
    )

# fmt: off
__all__ = [
    "Checked", "Order", "Outcome", "compress_teacher", "count_files", "plan_demo", "plan_graph", "run_demo", "verify",
]
# fmt: on
