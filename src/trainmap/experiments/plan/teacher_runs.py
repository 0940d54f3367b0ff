"""The teachers' part of the graph, and their maps: on all the data, made smaller, on a part that a map chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from trainmap.compression.quantization import check_scales
from trainmap.compression.ways import check_way
from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.file.teacher_sections import Map as MapSection
from trainmap.experiments.file.teacher_sections import Teacher as Section
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.map_runs import Maps, add_map, name_of
from trainmap.experiments.plan.rows import Row, part_of
from trainmap.experiments.plan.student_runs import check_of_map, name_selection
from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
from trainmap.experiments.tasks.part_teacher import PartTeacher
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.models.build import build
from trainmap.training.recipes import Recipe


def plan_teachers(draft: Draft) -> dict[str, Maps]:
    """Add every teacher and every map, in an order in which each comes after what it is made of; the maps by name."""
    sections: dict[str, int] = {}
    for at, one in enumerate(draft.experiment.teachers):
        if (name := one.name or one.model) in sections:
            message = f"'{name}' stands twice; give one of them a name of its own"
            raise draft.variant.wrong(("teachers", at), message)
        sections[name] = at
    whole = {name: at for name, at in sections.items() if draft.experiment.teachers[at].subset is None}
    asked = draft.experiment.maps
    if asked is None:
        asked = [MapSection(teacher=name) for name in whole]
    entries: dict[str, tuple[int, MapSection]] = {}
    for at, one in enumerate(asked):
        if (name := name_of(one)) in entries:
            raise draft.variant.wrong(("maps", at), f"'{name}' stands twice; give one of them another name")
        entries[name] = at, one
    for smaller in (False, True):  # what is made smaller may be another teacher, which then keeps its own name
        for name, at in whole.items():
            if (draft.experiment.teachers[at].compress is not None) == smaller:
                add_teacher(draft, at, name)
    parts = sections.keys() - whole
    found = {name: add_map(draft, at, one) for name, (at, one) in entries.items() if not parts & set(one.of)}
    for name, at in sections.items():
        if name not in whole:
            maps = _source(draft, at, sections, entries, found)
            add_part(draft, at, name, maps)
    draft.teachers = {name: draft.teachers[name] for name in sections}
    found |= {name: add_map(draft, at, one) for name, (at, one) in entries.items() if name not in found}
    _check_opposed(draft)
    return {name: found[name] for name in entries}


def add_teacher(draft: Draft, at: int, name: str) -> None:
    """Add the runs of a teacher on all the data."""
    section = draft.experiment.teachers[at]
    where, recipe = ("teachers", at), _recipe(draft, at)
    made: dict[int, Teacher]
    if section.record == "held-out":
        made = add_folds(draft, at, section, recipe)
    elif section.compress is None:
        made = {seed: Teacher(**_fields(draft, section, recipe, seed)) for seed in section.seeds}
    else:
        compress = section.compress.settled()
        try:
            check_way(compress["method"], section.model)
        except TrainmapError as error:
            raise draft.variant.wrong((*where, "compress", "method"), error) from error
        if section.compress.fresh:
            compress |= {"finetune_epochs": recipe.epochs, "rate": 1.0}
            _check_fresh(draft, where, section)
        try:
            draft.rehearsal.shrink(section.model, recipe, compress)
        except TrainmapError as error:
            raise draft.variant.wrong((*where, "compress"), error) from error
        told = {"compress": compress, "patience": None}
        made = {
            seed: SmallerTeacher(
                **_fields(draft, section, recipe, seed) | told,
                original=None if section.compress.fresh else _before(draft, section, recipe, seed),
            )
            for seed in section.seeds
        }
    on = f"on {draft.splits.train.name}"
    for seed, task in made.items():
        if isinstance(task, SmallerTeacher) and task.original is not None:
            draft.add(task.original, f"teacher {name} before, {on}, seed {seed}", f"{name} before")
    draft.teachers[name] = made
    for seed, task in made.items():
        draft.add(task, f"teacher {name} {on}, seed {seed}", name)


def add_folds(draft: Draft, at: int, section: Section, recipe: Recipe) -> dict[int, Teacher]:
    """The runs of a teacher that is recorded out of fold.

    Raises:
        TrainmapError: a class with fewer examples than folds, seeds whose networks would start alike, students who are
            made smaller, which needs a recording of the test data.
    """
    where, folds, wrong = ("teachers", at), section.folds or 2, draft.variant.wrong
    if min(draft.class_sizes) < folds:
        message = (
            f"each class needs as many examples as there are folds, {folds}; the smallest has {min(draft.class_sizes)}"
        )
        raise wrong((*where, "folds" if section.folds else "record"), message)
    own = sorted(section.seeds)
    if any(after - before < folds for before, after in pairwise(own)):
        apart = [own[0] + folds * number for number in range(len(own))]
        message = f"fold k trains with the seed + k, so seeds lie {folds} or more apart: {apart}, got {section.seeds}"
        raise wrong((*where, "seeds"), message)
    students = set(draft.experiment.seeds) if draft.experiment.students else set()
    if shared := students & {seed + number for seed in own for number in range(folds)}:
        message = f"fold k trains with the seed + k, and {shared} is among the students' seeds; take others"
        raise wrong((*where, "seeds"), message)
    if draft.compresses:
        message = (
            "students that are made smaller need a teacher that records the test data; write record: sweep or train"
        )
        raise wrong((*where, "record"), message)
    return {seed: CrossFitTeacher(**_fields(draft, section, recipe, seed), folds=folds) for seed in section.seeds}


def _before(draft: Draft, section: Section, recipe: Recipe, seed: int) -> Teacher:
    """A network's training before it is made smaller: that of a teacher of the file, if it is the same, or one of its
    own, which nobody reads what it records of."""
    least = {"record": "train", "record_test": False, "level": "signals"}
    wanted = Teacher(**_fields(draft, section, recipe, seed) | least)
    known = [one for runs in draft.teachers.values() for one in runs.values() if type(one) is Teacher]
    return next((one for one in known if one.model_copy(update=least).hash == wanted.hash), wanted)


def add_part(draft: Draft, at: int, name: str, maps: Maps) -> None:
    """Add the runs of a teacher on a part of the data, which is chosen from one of the maps if there are any."""
    section, where, wrong = draft.experiment.teachers[at], ("teachers", at), draft.variant.wrong
    assert section.subset is not None

    def check(row: Row) -> None:
        if row.draw.by_map and not maps:
            raise TrainmapError(
                f"'{row.name}' is chosen from a map; say which: map: an entry of maps, or another teacher"
            )
        for one in maps[:1]:
            check_of_map(row, one, draft.class_sizes)

    scores = maps[0].scores if maps else None
    sizes = draft.experiment.sizes
    row = part_of(
        *(section.subset, (*where, "subset"), sizes, draft.examples, scores, wrong, check),
        several="a teacher is trained on one subset, got {}; say one size: sizes: [0.33]",
        moving="is no part of the data that stays the same; take random, a region, a spec or a strategy (all the data: "
        "leave subset out)",
    )
    if maps and not row.draw.by_map:
        raise wrong((*where, "map"), f"'{row.name}' needs no map; leave it out")
    if len(maps) > 1 and len(maps) != len(section.seeds):
        message = (
            f"'{section.map}' is paired, with {len(maps)} maps, which needs as many seeds, got {len(section.seeds)}"
        )
        raise wrong((*where, "seeds"), message)
    recipe = _recipe(draft, at)
    if section.budget == "equal steps":
        steps = recipe.epochs * -(-draft.examples // recipe.batch)
        recipe = replace(recipe, epochs=max(1, round(steps / -(-row.count // recipe.batch))))
    draft.teachers[name] = {}
    for place, seed in enumerate(section.seeds):
        one = maps[place % len(maps)] if maps else None
        given = row.draw.needs(one, seed)
        for task in given.values():
            if isinstance(task, Selection):
                name_selection(draft, task, row, task.map)
        made = PartTeacher(**_fields(draft, section, recipe, seed), draw=row.draw, drawn_from=given)
        draft.teachers[name][seed] = made
        draft.add(made, f"teacher {name} on {row.name} of {draft.splits.train.name}, seed {seed}", name)


def _source(
    draft: Draft,
    at: int,
    sections: Mapping[str, int],
    entries: Mapping[str, tuple[int, MapSection]],
    found: Mapping[str, Maps],
) -> Maps:
    """The maps that a teacher on a part is chosen from; none where it says none.

    Raises:
        TrainmapError: an unknown map, teachers that wait for each other, a map of a part of the data, a map of one of
            the teacher's own seeds.
    """
    section, where = draft.experiment.teachers[at], ("teachers", at, "map")
    if not section.map:
        return ()
    if section.map not in {*entries, *sections}:
        raise draft.variant.wrong(where, unknown("map", section.map, [*dict.fromkeys([*entries, *sections])]))
    own = section.name or section.model
    for chain in _behind(draft, section, sections, entries, (own,)):
        if chain[-1] in chain[:-1]:
            told = ", which waits for that of ".join(f"'{one}'" for one in chain[1:])
            raise draft.variant.wrong(where, f"goes in a circle: '{own}' waits for the map of {told}")
    names = entries[section.map][1].of if section.map in entries else (section.map,)
    for name in names:
        if draft.experiment.teachers[sections[name]].subset is not None:
            message = f"'{name}' is trained on a part of the data, and a map of it is of that part alone; name another"
            raise draft.variant.wrong(where, message)
    maps = found.get(section.map) or add_map(draft, at, MapSection(teacher=section.map))
    if shared := {member.seed for one in maps for member in one.members} & set(section.seeds):
        message = f"a map must come from another seed than the runs that it helps; {shared} is among this teacher's"
        raise draft.variant.wrong(("teachers", at, "seeds"), message)
    return maps


def _behind(
    draft: Draft,
    section: Section,
    sections: Mapping[str, int],
    entries: Mapping[str, tuple[int, MapSection]],
    chain: tuple[str, ...],
) -> Iterator[tuple[str, ...]]:
    """The teachers whose maps the last of a chain waits for, each at the end of the chain, and so on up to a circle."""
    for name in entries[section.map][1].of if section.map in entries else (section.map,):
        if name in sections:
            yield (*chain, name)
            if name not in chain:
                yield from _behind(
                    *(draft, draft.experiment.teachers[sections[name]], sections, entries, (*chain, name))
                )


def _fields(draft: Draft, section: Section, recipe: Recipe, seed: int) -> dict[str, Any]:
    """What the runs of every teacher have."""
    return {
        "data": draft.data,
        "model": section.model,
        "recipe": recipe,
        "seed": seed,
        "record": section.record,
        "level": section.level,
        "patience": section.patience,
        "device": draft.experiment.device,
        "evaluation": draft.evaluation,
        "record_test": draft.compresses or draft.experiment.human is not None,
    }


def _recipe(draft: Draft, at: int) -> Recipe:
    """The recipe of a teacher; its seeds must not be the students'."""
    section, where = draft.experiment.teachers[at], ("teachers", at)
    if draft.experiment.students and (shared := set(section.seeds) & set(draft.experiment.seeds)):
        raise draft.variant.wrong(
            (*where, "seeds"),
            f"a map must come from another seed than the runs that it helps; {shared} is among the students' seeds",
        )
    recipe = draft.recipe(where, section, "teacher")
    draft.check_patience(where, section.patience)
    return recipe


def _check_fresh(draft: Draft, where: Where, section: Section) -> None:
    """Refuse a network that cannot be trained with rounding from its start."""
    assert section.compress is not None
    if section.compress.method != "int8-trained":
        return
    train = draft.splits.train
    try:
        check_scales(build(section.model, train.classes, train.inputs, 0, weights=False))
    except TrainmapError as error:
        raise draft.variant.wrong((*where, "compress", "fresh"), error) from error


def _check_opposed(draft: Draft) -> None:
    """Refuse students of a teacher on a chosen part beside whom none stand of one on as many random examples."""
    first = next(iter(draft.teachers), "")
    for at, student in enumerate(draft.experiment.students):
        ways = {place: how for place, how in enumerate(student.distillation) if how is not None}
        runs = {place: draft.teachers.get(how.teacher or first, {}) for place, how in ways.items()}
        taught = {place: next(iter(its.values())) for place, its in runs.items() if its}
        parts = {place: one for place, one in taught.items() if isinstance(one, PartTeacher)}
        for place, one in parts.items():
            if one.draw.role == "judged" and not any(other.opposes(one) for other in parts.values()):
                raise draft.variant.wrong(
                    ("students", at, "distillation", place),
                    f"a comparison without random selection of the same size says nothing: add a teacher with subset: "
                    f"random of {one.draw.count} examples (the same model and epochs), and students of it",
                )
