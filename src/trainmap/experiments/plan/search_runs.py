"""The search for hyperparameters of an experiment: teacher logits → search → tuned students, and its tables.

What was found is trained under the experiment's seeds beside what the student had, the start, on all the data; the two
meet on the test data, paired by seed. The search has seen neither those seeds nor the test data.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec

from trainmap.errors import TrainmapError
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.student_runs import Column, Students, columns
from trainmap.experiments.tasks.draws import Full
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.student import Student, Tuned
from trainmap.experiments.tasks.tuning import Hyperparameters, check_search


def plan_searches(draft: Draft) -> None:
    """Add a search and the runs that judge it for every way in which a student is distilled."""
    tuning, wrong = draft.experiment.tuning, draft.variant.wrong
    if tuning is None:
        return
    if find_spec("optuna") is None:
        raise wrong(("tuning",), "the search needs Optuna: pip install 'trainmap[grid]'")
    taken = {*draft.experiment.seeds, *(seed for runs in draft.teachers.values() for seed in runs)}
    if shared := taken & set(tuning.seeds):
        message = f"must be other seeds than those of teachers and of the students that judge; {shared} is among them"
        raise wrong(("tuning", "seeds"), message)
    students = Students(draft, {}, None)
    ways = [
        column
        for at, student in enumerate(draft.experiment.students)
        for column in columns(student, ("students", at), [*draft.teachers])
        if column.distillation is not None
    ]
    if not ways:
        raise wrong(("tuning",), "there is nothing to search for: no student has a distillation")
    for column in ways:
        _plan(students, column)


def _plan(students: Students, column: Column) -> None:
    draft, tuning = students.draft, students.experiment.tuning
    assert tuning is not None
    assert column.distillation is not None
    if column.student.patience is not None:
        raise students.wrong((*column.where, "patience"), "the trials of a search go to their end; leave patience out")
    base = students.student(column, Full(count=draft.examples))
    teaching = base.teaching
    assert teaching is not None
    where = (*column.where, "distillation", column.place)
    if not isinstance(teaching.source, Logits) or teaching.temperature is None:
        cached = isinstance(teaching.source, Logits)
        what = "a temperature" if cached else "cached teacher logits (no features, no crops)"
        raise students.wrong(where, f"a search needs a loss with {what}")
    start = Hyperparameters(base.recipe.peak_lr, teaching.temperature, teaching.weight)
    ranges = {"peak_lr": tuning.peak_lr, "temperature": tuning.temperature, "weight": tuning.weight}
    try:
        check_search(len(draft.splits.validation), start, {name: (low, high) for name, (low, high) in ranges.items()})
    except TrainmapError as error:
        raise students.wrong(("tuning",), error) from error
    search = Search(
        data=base.data,
        model=base.model,
        recipe=base.recipe,
        device=base.device,
        distillation=column.distillation.model_dump(exclude={"teacher", "seed"}),
        logits=teaching.source,
        start=asdict(start),
        ranges=ranges,
        trials=tuning.trials,
        seeds=tuple(tuning.seeds),
        seed=tuning.seed,
    )
    what = f"{column.title} on {students.data}"
    draft.add(search, f"search for {what}", column.title)
    for seed in students.experiment.seeds:
        started = base.model_copy(update={"seed": seed})
        draft.add(started, f"{what}, start of the search, seed {seed}")
        tuned = Tuned(**{name: getattr(started, name) for name in Student.model_fields}, search=search)
        draft.add(tuned, f"{what}, found, seed {seed}")
