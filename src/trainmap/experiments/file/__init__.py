"""An experiment file: its sections and fields, and errors that name file, line and field.

Its files, in reading order::

    yamlfile.py             YAML with the line of every value
    fields.py               strict fields
    data_sections.py        which data an experiment is of
    evaluation_sections.py  what networks are judged on
    questions.py            sections that ask something else than which subset
    teacher_sections.py     the sections of what is trained first: subsets, teachers, maps
    federated_sections.py   the section of many clients
    sections.py             the sections
    variants.py             a file with its scale, its overrides and its grid
    way_sections.py         sections that choose a way and its options
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.file.data_sections import LeaveOut, Limit
    from trainmap.experiments.file.evaluation_sections import Evaluation, Outliers, Pairs, Shift
    from trainmap.experiments.file.federated_sections import Federated
    from trainmap.experiments.file.fields import Section, short, written
    from trainmap.experiments.file.sections import Active, Distillation, Student
    from trainmap.experiments.file.teacher_sections import Map, Race, Recipe, Subset, Teacher
    from trainmap.experiments.file.variants import Variant, load_experiment, schema, variant_of
    from trainmap.experiments.file.way_sections import Compression, Schedule, TeacherCompression, Without
    from trainmap.experiments.file.yamlfile import Where
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "data_sections": "LeaveOut Limit",
            "evaluation_sections": "Evaluation Outliers Pairs Shift",
            "federated_sections": "Federated",
            "fields": "Section short written",
            "sections": "Active Distillation Student",
            "teacher_sections": "Map Race Recipe Subset Teacher",
            "variants": "Variant load_experiment schema variant_of",
            "way_sections": "Compression Schedule TeacherCompression Without",
            "yamlfile": "Where",
        },
    )

# fmt: off
__all__ = [
    "Active", "Compression", "Distillation", "Evaluation", "Federated", "LeaveOut", "Limit", "Map", "Outliers", "Pairs",
    "Race", "Recipe", "Schedule", "Section", "Shift", "Student", "Subset", "Teacher", "TeacherCompression", "Variant",
    "Where", "Without", "load_experiment", "schema", "short", "variant_of", "written",
]
# fmt: on
