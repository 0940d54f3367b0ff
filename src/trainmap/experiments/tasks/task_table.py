"""Every kind of task, by the word that plans and folders have for it."""

from __future__ import annotations

from collections.abc import Mapping

from trainmap.experiments.tasks.active_learning import ActiveLearning
from trainmap.experiments.tasks.compressed_student import CompressedStudent
from trainmap.experiments.tasks.compressed_teacher import CompressedTeacher
from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
from trainmap.experiments.tasks.ensemble_map import Ensemble
from trainmap.experiments.tasks.federated_run import FederatedRun
from trainmap.experiments.tasks.kinds_found import KindsFound
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.materials import ClustersOf, Features, Logits
from trainmap.experiments.tasks.part_teacher import PartTeacher
from trainmap.experiments.tasks.people import People
from trainmap.experiments.tasks.racing import Racing
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
from trainmap.experiments.tasks.student import Student, Tuned
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.teacher import Teacher

TASKS: Mapping[str, type[Task]] = {
    kind.kind.partition("/")[0]: kind
    for kind in (
        Teacher,
        Map,
        Ensemble,
        Selection,
        Racing,
        Logits,
        Features,
        ClustersOf,
        Student,
        Tuned,
        CompressedStudent,
        CompressedTeacher,
        Search,
        People,
        PartTeacher,
        SmallerTeacher,
        CrossFitTeacher,
        KindsFound,
        ActiveLearning,
        FederatedRun,
    )
}
