"""What an experiment does: one file for each kind of task, one table of all.

Its files, in reading order::

    task.py                A task of an experiment
    place.py               where a task works, and the files that tasks leave for each other
    recipe.py              A recipe as the field of a task: its numbers stay as they are written
    of_model.py            a task of a network that may start from published weights
    datasets.py            which data a task is of, and what its network is judged on elsewhere
    student_ids.py         ids that students are trained on: drawn at random, and told by one hash
    result_fields.py       what a report reads of the result of each kind of task
    tracking.py            the epochs of a run as they come
    watch.py               what happens after each epoch of a run
    sweeps.py              two recorders for ``fit`` beside each other
    learning.py            what every task that trains a network has
    judge.py               how good a network is, on its own test set and elsewhere
    teacher.py             A teacher: trained while it is recorded, on all the data
    map.py                 A map of a teacher's recording
    ensemble_map.py        one map of several teachers' recordings
    materials.py           what is made of a teacher besides its map
    draws.py               the draws of a row
    selection.py           which examples are chosen from a map: one fixed subset
    racing.py              a race on the validation data for the subset of a student
    part_teacher.py        A teacher that is trained on a part of the data
    smaller_teacher.py     A teacher that is made smaller
    cross_fit_teacher.py   A teacher out of fold
    student.py             A student: trained on what its row draws, taught or not, and judged
    compressed_student.py  what becomes of a trained student when it is made smaller
    tuning.py              best hyperparameters of a student
    active_learning.py     a network that asks for labels, round after round
    federated_run.py       clients with parts of the data, their rounds in one process
    federated_rows.py      what the rows of such runs are called
    on_machines.py         such a run for real machines
    search.py              the search for the hyperparameters of a student or a teacher
    kinds_found.py         which score finds which kind of example
    people.py              do people find the same examples hard? A map of the test data beside people's judgement
    choices.py             the words and strategies that a row may choose by, settled
    scheduled.py           the rows that change during training
    task_table.py          every kind of task, by the word that plans and folders have for it
    compressed_teacher.py  what becomes of a trained teacher when it is made smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.tasks.active_learning import ActiveLearning
    from trainmap.experiments.tasks.choices import CLUSTERS, TEACHER_LOSS, request_of, settled
    from trainmap.experiments.tasks.compressed_student import CompressedStudent
    from trainmap.experiments.tasks.compressed_teacher import SIDES, CompressedTeacher
    from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
    from trainmap.experiments.tasks.datasets import Data, Elsewhere, Foreign, fingerprint_of, foreign, load
    from trainmap.experiments.tasks.draws import (
        DRAWS,
        SAME_SIZE,
        Chosen,
        Draw,
        Full,
        IndependentRandom,
        MapScheduled,
        Priced,
        Raced,
        Random,
        RepeatedAuto,
        RepeatedRaced,
        Role,
        Scheduled,
        priced,
    )
    from trainmap.experiments.tasks.ensemble_map import Ensemble
    from trainmap.experiments.tasks.federated_rows import names_of, of_row, table_of
    from trainmap.experiments.tasks.federated_run import FederatedRun
    from trainmap.experiments.tasks.judge import prediction_path
    from trainmap.experiments.tasks.kinds_found import KindsFound
    from trainmap.experiments.tasks.learning import Learning
    from trainmap.experiments.tasks.map import Map, needed_by
    from trainmap.experiments.tasks.materials import ClustersOf, Features, Logits
    from trainmap.experiments.tasks.on_machines import deployment_of, run_of_row
    from trainmap.experiments.tasks.part_teacher import PartTeacher
    from trainmap.experiments.tasks.people import People, check_counts, counts_path, fingerprint, read_counts
    from trainmap.experiments.tasks.place import DYNAMICS, EPOCHS, EXAMPLES, MAP, PICTURE, TEST_MAP, Place, is_at
    from trainmap.experiments.tasks.racing import Racing, racing_networks
    from trainmap.experiments.tasks.result_fields import MAPS, TEACHERS, Name, check_result
    from trainmap.experiments.tasks.search import Search
    from trainmap.experiments.tasks.selection import Selection, materials_of
    from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
    from trainmap.experiments.tasks.student import Student, Teaching, Tuned
    from trainmap.experiments.tasks.task import Cost, Task, hash_of, plain
    from trainmap.experiments.tasks.task_table import TASKS
    from trainmap.experiments.tasks.teacher import Teacher, check_recorded
    from trainmap.experiments.tasks.tracking import read_epochs
    from trainmap.experiments.tasks.tuning import Hyperparameters, PlainHyperparameters, check_search
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "active_learning": "ActiveLearning",
            "choices": "CLUSTERS TEACHER_LOSS request_of settled",
            "compressed_student": "CompressedStudent",
            "compressed_teacher": "SIDES CompressedTeacher",
            "cross_fit_teacher": "CrossFitTeacher",
            "datasets": "Data Elsewhere Foreign fingerprint_of foreign load",
            "draws": (
                "DRAWS SAME_SIZE Chosen Draw Full IndependentRandom MapScheduled Priced Raced Random "
                "RepeatedAuto RepeatedRaced Role Scheduled priced"
            ),
            "ensemble_map": "Ensemble",
            "federated_rows": "names_of of_row table_of",
            "federated_run": "FederatedRun",
            "judge": "prediction_path",
            "kinds_found": "KindsFound",
            "learning": "Learning",
            "map": "Map needed_by",
            "materials": "ClustersOf Features Logits",
            "on_machines": "deployment_of run_of_row",
            "part_teacher": "PartTeacher",
            "people": "People check_counts counts_path fingerprint read_counts",
            "place": "DYNAMICS EPOCHS EXAMPLES MAP PICTURE TEST_MAP Place is_at",
            "racing": "Racing racing_networks",
            "result_fields": "MAPS TEACHERS Name check_result",
            "search": "Search",
            "selection": "Selection materials_of",
            "smaller_teacher": "SmallerTeacher",
            "student": "Student Teaching Tuned",
            "task": "Cost Task hash_of plain",
            "task_table": "TASKS",
            "teacher": "Teacher check_recorded",
            "tracking": "read_epochs",
            "tuning": "Hyperparameters PlainHyperparameters check_search",
        },
    )

# fmt: off
__all__ = [
    "CLUSTERS", "DRAWS", "DYNAMICS", "EPOCHS", "EXAMPLES", "MAP", "MAPS", "PICTURE", "SAME_SIZE", "SIDES", "TASKS",
    "TEACHERS", "TEACHER_LOSS", "TEST_MAP", "ActiveLearning", "Chosen", "ClustersOf", "CompressedStudent",
    "CompressedTeacher", "Cost", "CrossFitTeacher", "Data", "Draw", "Elsewhere", "Ensemble", "Features", "FederatedRun",
    "Foreign", "Full", "Hyperparameters", "IndependentRandom", "KindsFound", "Learning", "Logits", "Map",
    "MapScheduled", "Name", "PartTeacher", "People", "Place", "PlainHyperparameters", "Priced", "Raced", "Racing",
    "Random", "RepeatedAuto", "RepeatedRaced", "Role", "Scheduled", "Search", "Selection", "SmallerTeacher", "Student",
    "Task", "Teacher", "Teaching", "Tuned", "check_counts", "check_recorded", "check_result", "check_search",
    "counts_path", "deployment_of", "fingerprint", "fingerprint_of", "foreign", "hash_of", "is_at", "load",
    "materials_of", "names_of", "needed_by", "of_row", "plain", "prediction_path", "priced", "racing_networks",
    "read_counts", "read_epochs", "request_of", "run_of_row", "settled", "table_of",
]
# fmt: on
