"""From an experiment file to the tasks that follow from it, and the rows of its tables.

Its files, in reading order::

    elsewhere_sets.py  what networks are judged on elsewhere
    graph.py           the graph of an experiment
    kind_runs.py       which score finds which kind of example? Where the data know
    map_runs.py        the maps of the graph
    named_rows.py      the rows that have a name of their own
    active_runs.py     active learning on one point of an experiment
    federated_runs.py  federated learning on one point of an experiment
    people_runs.py     do people find the same examples hard? Teacher → map of the test data beside people's judgement
    planner.py         from an experiment to its graph of tasks
    points.py          what tells the points of a grid apart where they meet
    rehearsal.py       what only doing it can tell, done in small
    rows.py            the rows of a table
    search_runs.py     the search for hyperparameters of an experiment
    student_runs.py    the students' part of the graph
    teacher_runs.py    the teachers' part of the graph, and their maps
    draft.py           the tasks of one point of an experiment on one dataset
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.plan.graph import Graph, Line, made_at
    from trainmap.experiments.plan.named_rows import ROWS
    from trainmap.experiments.plan.planner import plan_graph
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "graph": "Graph Line made_at",
            "named_rows": "ROWS",
            "planner": "plan_graph",
        },
    )

# fmt: off
__all__ = [
    "ROWS", "Graph", "Line", "made_at", "plan_graph",
]
# fmt: on
