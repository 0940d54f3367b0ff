"""The searches for hyperparameters of an experiment: teacher logits or a subset → search → tuned students.

What was found is trained under the experiment's seeds beside what the network had, the start, on all the data; the two
meet on the test data, paired by seed. The search has seen neither those seeds nor the test data. A teacher is searched
and judged as a student without a teacher is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.file.sections import Student as StudentSection
from trainmap.experiments.file.teacher_sections import Subset
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.rows import Row, part_of
from trainmap.experiments.plan.student_runs import Column, Students, columns
from trainmap.experiments.tasks.draws import Full
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.search import Search
from trainmap.experiments.tasks.student import Student, Tuned
from trainmap.experiments.tasks.tuning import Hyperparameters, PlainHyperparameters, check_search

GROUPS = ("distilled", "plain", "students", "teachers")
"""Words for several at once; what else ``tuning.of`` says is a name."""


def plan_searches(draft: Draft, maps: Mapping[str, Sequence[Map]]) -> None:
    """Add the searches and the runs that judge them, for every way that is asked for.

    Args:
        maps: of the experiment, by their names; what a subset is chosen from.
    """
    tuning, wrong = draft.experiment.tuning, draft.variant.wrong
    if tuning is None:
        return
    if find_spec("optuna") is None:
        raise wrong(("tuning",), "the search needs Optuna: pip install 'trainmap[grid]'")
    taken = {*draft.experiment.seeds, *(seed for runs in draft.teachers.values() for seed in runs)}
    if shared := taken & set(tuning.seeds):
        message = f"must be other seeds than those of teachers and of the students that judge; {shared} is among them"
        raise wrong(("tuning", "seeds"), message)
    if tuning.map and tuning.map not in maps:
        raise wrong(("tuning", "map"), unknown("map", tuning.map, maps))
    students = Students(draft, {}, maps[tuning.map] if tuning.map else next(iter(maps.values()), ()))
    ways = list(_ways(draft))
    _check_names(draft, ways)
    asked = [column for column in ways if _asked(column, tuning.of)]
    if not asked:
        what = "no student has a distillation" if tuning.of == ["distilled"] else f"nothing is {', '.join(tuning.of)}"
        raise wrong(("tuning",), f"there is nothing to search for: {what}")
    rows = [_row(students, at, subset) for at, subset in enumerate(tuning.subset)]
    names = ["null" if row is None else row.name for row in rows]
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise wrong(("tuning", "subset"), f"'{twice[0]}' stands twice; give one of them another name")
    for column in asked:
        for row in rows:
            _plan(students, column, row)


def _ways(draft: Draft) -> Iterator[Column]:
    """Every way in which a student is trained, and each teacher as a student without a teacher."""
    for at, student in enumerate(draft.experiment.students):
        yield from columns(student, ("students", at), [*draft.teachers])
    for at, teacher in enumerate(draft.experiment.teachers):
        told: dict[str, Any] = {name: getattr(teacher, name) for name in ("model", "epochs", "recipe", "patience")}
        section = StudentSection.model_construct(**told, name=teacher.name or teacher.model)
        if teacher.subset is None and teacher.compress is None:  # as the search trains it
            yield Column(f"teacher {section.name}", "", "", None, section, ("teachers", at), 0)


def _asked(column: Column, of: list[str]) -> bool:
    teacher = column.where[0] == "teachers"
    kind = "teachers" if teacher else "plain" if column.distillation is None else "distilled"
    return bool({kind, column.student.name or column.student.model, *(() if teacher else ("students",))} & set(of))


def _check_names(draft: Draft, ways: list[Column]) -> None:
    assert draft.experiment.tuning is not None
    known = dict.fromkeys((*GROUPS, *(column.student.name or column.student.model for column in ways)))
    for at, name in enumerate(draft.experiment.tuning.of):
        if name not in known:
            raise draft.variant.wrong(("tuning", "of", at), unknown("student or teacher", name, known))


def _row(students: Students, at: int, subset: Subset | None) -> Row | None:
    """What the trials of a search train on; None for all the data."""
    if subset is None:
        return None
    where, one = ("tuning", "subset", at), students.one
    together = "the trials of a search all train on it"
    row = part_of(
        *(subset, where, students.experiment.sizes[:1], students.draft.examples),
        *(None if one is None else one.scores, students.wrong, students.check),
        several="must be of one size, got {}; write a subset for each",
        moving=f"must stay the same during training: {together}",
    )
    if subset.seeds or subset.budgets:
        raise students.wrong(where, f"'{row.name}' has neither seeds nor budgets: {together}")
    if row.draw.by_map and one is None:
        raise students.wrong(where, f"'{row.name}' reads a map, and there is none; add one under maps")
    return row


def _plan(students: Students, column: Column, row: Row | None) -> None:
    draft, tuning = students.draft, students.experiment.tuning
    assert tuning is not None
    if column.student.patience is not None:
        raise students.wrong((*column.where, "patience"), "the trials of a search go to their end; leave patience out")
    if column.distillation is not None and column.distillation.seed == "paired":
        message = "a search is for students of one teacher; say which seed, or leave it out"
        raise students.wrong((*column.where, "distillation", column.place, "seed"), message)
    base = students.student(column, Full(count=draft.examples))
    start = _start(students, column, base)
    ranges = {name: getattr(tuning, name) for name in vars(start)}
    try:
        check_search(len(draft.splits.validation), start, {name: (low, high) for name, (low, high) in ranges.items()})
    except TrainmapError as error:
        raise students.wrong(("tuning",), error) from error
    how = column.distillation
    name = column.title
    what, less = f"{name} on {students.data}", "" if row is None else f" on {row.name}"
    for own in tuning.seed:
        given = {} if row is None else row.draw.needs(students.one, own)
        search = Search(
            data=base.data,
            model=base.model,
            recipe=base.recipe,
            device=base.device,
            distillation=None if how is None else how.model_dump(exclude={"teacher", "seed"}),
            logits=None if base.teaching is None else base.teaching.source,  # pyright: ignore[reportArgumentType]
            start=asdict(start),
            ranges=ranges,
            trials=tuning.trials,
            seeds=tuple(tuning.seeds),
            seed=own,
            draw=None if row is None else row.draw,
            drawn_from=given,
        )
        for task in given.values():
            assert row is not None
            students.name(task, row, students.one)
        which = f", search {own}" if len(tuning.seed) > 1 else ""
        draft.add(search, f"search for {what}{less}{which}", f"{name} (searched{less})" if less else name)
        for seed in students.experiment.seeds:
            started = base.model_copy(update={"seed": seed})
            draft.add(started, f"{what}, start of the search, seed {seed}")
            tuned = Tuned(**{field: getattr(started, field) for field in Student.model_fields}, search=search)
            draft.add(tuned, f"{what}, found{less}{which}, seed {seed}")


def _start(students: Students, column: Column, base: Student) -> Hyperparameters | PlainHyperparameters:
    """What a way has before the search."""
    if column.distillation is None:
        return PlainHyperparameters(base.recipe.peak_lr, base.recipe.weight_decay)
    teaching = base.teaching
    assert teaching is not None
    cached = isinstance(teaching.source, Logits)
    if not cached or teaching.temperature is None:
        what = "a temperature" if cached else "cached teacher logits (no features, no crops)"
        raise students.wrong((*column.where, "distillation", column.place), f"a search needs a loss with {what}")
    return Hyperparameters(base.recipe.peak_lr, teaching.temperature, teaching.weight)
