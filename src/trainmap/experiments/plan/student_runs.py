"""The students' part of the graph: what each row, student, way of teaching and seed comes to, and their lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainmap.compression.ways import check_way
from trainmap.distillation.settings import Distillation as TrainingDistillation
from trainmap.distillation.settings import settled
from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import short
from trainmap.experiments.file.sections import Distillation
from trainmap.experiments.file.sections import Student as Section
from trainmap.experiments.file.way_sections import Compression
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.plan.rows import Row, rows_of
from trainmap.experiments.tasks.compressed_student import CompressedStudent
from trainmap.experiments.tasks.draws import Chosen, Draw, Full, Priced, Raced, Scheduled, priced
from trainmap.experiments.tasks.map import Map, needed_by
from trainmap.experiments.tasks.materials import Logits
from trainmap.experiments.tasks.racing import Racing, racing_networks
from trainmap.experiments.tasks.selection import Selection, materials_of
from trainmap.experiments.tasks.student import Student, Teaching
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.teacher import check_recorded
from trainmap.models.encoders import is_encoder
from trainmap.races import racing_recipe
from trainmap.scores.table import OF_SEVERAL
from trainmap.training.recipes import Recipe as TrainingRecipe

NAMED = ("loss", "teacher")  # what a distillation is called by; the rest is told where it differs


@dataclass(frozen=True)
class Column:
    """One way of training a student.

    Attributes:
        name: of the student.
        taught: by what it is taught, as tables have it: the loss, and what else tells it from the others of the
            student; "" without a teacher.
        lesson: the same without the teacher, which the reports may have beside it.
        distillation: None trains without a teacher.
        student: its section.
        where: the student's place in the file.
        place: of the distillation among its own.
    """

    name: str
    taught: str
    lesson: str
    distillation: Distillation | None
    student: Section
    where: Where
    place: int

    @property
    def title(self) -> str:
        """The head of the column, without what becomes of the student afterwards."""
        return f"{self.name} + {self.taught}" if self.taught else self.name


class Students:
    """Adds the runs of the students on a map of a dataset, if any: one for all, or one for each of their seeds."""

    def __init__(self, draft: Draft, group: Mapping[str, Any], maps: Sequence[Map] = ()) -> None:
        self.draft, self.experiment = draft, draft.experiment
        self.one = maps[0] if maps else None
        self.maps = dict(zip(self.experiment.seeds, maps, strict=True)) if len(maps) > 1 else {}
        self.wrong, self.data = draft.variant.wrong, draft.splits.train.name
        self.group = {"dataset": self.data, **group, **draft.variant.label}

    def plan(self) -> None:
        students = list(enumerate(self.experiment.students))
        epochs = [self.draft.recipe(("students", at), one, "student").epochs for at, one in students]
        scores = None if self.one is None else self.one.scores
        rows = rows_of(
            *(self.experiment.subsets, self.experiment.sizes, self.draft.examples),
            *(max(epochs), scores, self.wrong, self.check),
        )
        if self.one is None and any(row.draw.by_map or isinstance(row.draw, Priced) for row in rows):
            raise self.wrong(("subsets",), "subsets of a map need a teacher to make it; add one under teachers")
        if (
            self.one is not None
            and not all(one.on_all for one in self.one.members)
            and any(row.draw.by_map for row in rows)
        ):
            message = (
                f"{self.draft.names[self.one.hash]} is of the examples that its teacher is trained on, and rows are "
                "chosen from all the data; map a teacher on all of them"
            )
            raise self.wrong(("maps",), message)
        for row in rows:
            if not list(_budgets(row, list(row.budgets or self.experiment.budgets))):
                raise self.wrong(("subsets",), f"'{row.name}' stands in no table; it belongs to equal epochs")
            for at, student in students:
                for column in columns(student, ("students", at), [*self.draft.teachers]):
                    self.runs(row, column)

    def check(self, row: Row) -> None:
        """Refuse a row that would fail when the map is there, or whose proxy is no network."""
        if self.one is not None:
            check_of_map(row, self.one, self.draft.class_sizes)
        if isinstance(row.draw, Raced):
            for name in filter(None, map(row.draw.settings.get, ("model", "wider"))):
                self.draft.network(name, "racer")
        if isinstance(row.draw, Scheduled) and "model" in row.draw.schedule:
            proxy = row.draw.schedule["model"]
            if is_encoder(proxy):
                raise TrainmapError(f"a proxy is a small network beside a large one, got {proxy}; text-bag-64 is one")
            self.draft.network(proxy, "proxy")

    def runs(self, row: Row, column: Column) -> None:
        """Each seed and budget of a row under one way of training, and what is compressed of them."""
        ways = _compressions(column, self.wrong)
        for at, way in enumerate(column.student.compress):
            if way is not None:
                try:
                    check_way(way.method, column.student.model)
                except TrainmapError as error:
                    raise self.wrong((*column.where, "compress", at, "method"), error) from error
        recipe = self.draft.recipe(column.where, column.student, "student")
        self.draft.check_patience(column.where, column.student.patience)
        for at, (_, way) in enumerate(ways):
            if way is not None:
                self.shrinks(column, recipe, way, (*column.where, "compress", at))
        part, whole = (recipe.epochs * -(-size // recipe.batch) for size in (row.count, self.draft.examples))
        base = self.student(column, row.draw, keep=any(way for _, way in ways))
        for steps, budgets in _budgets(row, list(row.budgets or self.experiment.budgets)):
            lasting: dict[str, Any] = {"steps": {"own": None, "subset": part, "full": whole}[steps]}
            if isinstance(row.draw, Priced):
                lasting = self.priced(base, self.draft.examples if steps == "full" else row.count)
            for seed in self.experiment.seeds if row.seeds is None else row.seeds:
                one = self.maps.get(seed, self.one)
                given = row.draw.needs(one, seed) | self.race(row, column, recipe, one)
                told = {"teaching": self.teaching(column, recipe, seed), "seed": seed, "drawn_from": given}
                made = base.model_copy(update=lasting | told)
                for task in given.values():
                    self.name(task, row, one)
                name = f"{row.name}, {column.title} on {self.data}, {budgets[0]}, seed {seed}"
                self.draft.add(made, name)
                for title, way in ways:
                    run = made.hash
                    if way is not None:
                        smaller = CompressedStudent(student=made, compress=way.settled())
                        run = self.draft.add(smaller, f"{title}: {name}")
                    for budget in budgets:
                        self.draft.graph.lines.append(self.line(run, row, title, column, made, budget))

    def priced(self, base: Student, trained_on: int) -> dict[str, Any]:
        """What a student is trained on, and how long, for the cost of a training on so many examples and of the map;
        what the student is taught by is there anyway."""
        assert self.one is not None
        source: Task | None = None if base.teaching is None else base.teaching.source
        taught = () if source is None else (source, *needed_by(source))
        seen, recipe = base.recipe.epochs * trained_on, base.recipe
        spent, forward = self.one.price(self.draft, taught), self.draft.forward(base.model)
        live = 0 if base.live is None else self.draft.forward(base.live.model)
        count, steps = priced(seen, spent, forward, self.draft.examples, recipe.epochs, recipe.batch, live)
        return {"draw": Priced(count=count), "steps": steps}

    def race(self, row: Row, column: Column, recipe: TrainingRecipe, one: Map | None) -> dict[str, Task]:
        """The race for a row that is raced for a student, with a name in the graph; nothing for other rows."""
        if not isinstance(row.draw, Raced) or one is None:
            return {}
        settings, inputs = row.draw.settings, self.draft.splits.train.inputs
        if not len(self.draft.splits.validation):
            raise self.wrong(("subsets",), f"'{row.name}' is judged on validation data; see data.validation")
        model, wider = (settings["model"], "") if settings["model"] else racing_networks(inputs)
        if "wider" in settings:
            wider = settings["wider"] or ""
        elif wider and self.draft.forward(wider) > self.draft.forward(column.student.model):
            wider = ""
        raced = [name for name in (model, wider) if name]
        recipes = [
            racing_recipe(name, column.student.model, self.draft.name, inputs, settings["epochs"]) for name in raced
        ]
        costs = [self.draft.forward(name) * one.epochs for name, one in zip(raced, recipes, strict=True)]
        if costs[-1] < costs[0]:
            message = f"'{row.name}' has the race's wider: {wider}, which costs less than {model}; the narrow one races"
            raise self.wrong(("subsets",), message)
        made = Racing(
            model=model,
            recipe=recipes[0],
            map=one,
            data=self.draft.data,
            device=self.experiment.device,
            student=column.student.model,
            student_recipe=recipe,
            size=row.count,
            fresh=not row.draw.fixed,
            limit=settings["limit"],
            wider=wider,
            wider_recipe=recipes[1] if wider else None,
        )
        self.draft.add(
            made, f"the race for {row.name} of {self.draft.names[one.hash]}, {column.student.model}", row.name
        )
        return {"race": made}

    def shrinks(self, column: Column, recipe: TrainingRecipe, way: Compression, where: Where) -> None:
        """Refuse a way of compression that the student's network cannot go."""
        try:
            self.draft.rehearsal.shrink(column.student.model, recipe, way.settled())
        except TrainmapError as error:
            raise self.wrong(where, error) from error

    def name(self, task: Task, row: Row, one: Map | None) -> None:
        """Put a selection into the graph under its row's name; its map, or a teacher, is there."""
        if isinstance(task, Selection):
            assert one is not None
            name_selection(self.draft, task, row, one)

    def teacher_of(self, column: Column) -> str:
        """The name of the teacher of a column."""
        assert column.distillation is not None
        return column.distillation.teacher or next(iter(self.draft.teachers))

    def line(self, run: str, row: Row, title: str, column: Column, made: Student, budget: str) -> Line:
        """The place of a run in the reports; ``title`` is the student's, as it is trained or made smaller."""
        share, distilled = made.draw.count / self.draft.examples, made.teaching is not None
        told = {"subset": row.name, "student": title, "distilled": distilled, "taught": column.taught}
        told["seed"] = made.seed
        told |= {"answers": row.count} if isinstance(row.draw, Priced) else {}
        what = {"role": row.role, "draw": made.drawn, "series": row.series}
        what |= {"opponent": row.opponent} if row.opponent else {}
        if distilled:
            what |= {"teacher": self.teacher_of(column), "way": f"{title} + {column.lesson}"}
        return Line(
            run,
            self.group,
            {**told, "fraction": share, "budget": budget, **what},
            "" if self.one is None else self.one.hash,
        )

    def student(self, column: Column, draw: Draw, keep: bool = False) -> Student:
        """A student's run but for its seed, its steps and what its draw needs."""
        recipe = self.draft.recipe(column.where, column.student, "student")
        return Student(
            data=self.draft.data,
            model=column.student.model,
            recipe=recipe,
            seed=0,
            patience=column.student.patience,
            device=self.experiment.device,
            evaluation=self.draft.evaluation,
            draw=draw,
            teaching=self.teaching(column, recipe, self.experiment.seeds[0]),
            keep=keep,
        )

    def teaching(self, column: Column, recipe: TrainingRecipe, seed: int) -> Teaching | None:
        """How a column's student of a seed is taught; None without a teacher."""
        how, draft = column.distillation, self.draft
        if how is None:
            return None
        where = (*column.where, "distillation", column.place)
        if not draft.teachers:
            raise self.wrong(where, "distillation needs a teacher; add one under teachers")
        name = self.teacher_of(column)
        teacher = draft.paired(where, name)[seed] if how.seed == "paired" else draft.teacher(where, name, how.seed)
        if not teacher.has_network:
            message = f"{name} is recorded held-out, by several networks, none of which teaches; name another teacher"
            raise self.wrong(where, message)
        given = TrainingDistillation(**how.model_dump(exclude={"teacher", "seed"}))
        try:
            loss = settled(given, draft.examples)
            if loss.loss.needs == "features" or given.options:
                draft.rehearsal.teach(column.student.model, recipe, teacher.model, given)
        except TrainmapError as error:
            raise self.wrong(where, error) from error
        told = {key: getattr(loss, key) for key in ("temperature", "weight", "gold", "warmup", "options")}
        live = loss.loss.needs == "features" or recipe.crop
        if live and not teacher.has_layers:
            message = (
                f"{name} is a network of 8 bits: its logits teach, cached; losses on features and crops need layers"
            )
            raise self.wrong(where, message)
        source = teacher if live else Logits(teacher=teacher, flips=recipe.flips)
        return Teaching(loss=loss.name, source=source, **told)


def name_selection(draft: Draft, made: Selection, row: Row, one: Map) -> None:
    """Put a selection from a map into the graph under its row's name."""
    drawn = f", seed {made.seed}" if isinstance(row.draw, Chosen) and row.draw.redrawn else ""
    draft.add(made, f"{row.name} of {draft.names[one.hash]}{drawn}", row.name)


def check_of_map(row: Row, one: Map, classes: tuple[int, ...]) -> None:
    """Refuse a row that would fail when the map is there; ``classes`` says how many examples each has."""
    _check_several(row, one)
    try:
        row.draw.check(row.name, one.least, classes)
    except TrainmapError as error:
        raise TrainmapError(f"{error}{one.stops}") from error
    check_recorded(row.draw.columns, one.members)
    if isinstance(row.draw, Chosen) and row.draw.strategy is not None:
        materials_of(row.draw.strategy, one)


def _check_several(row: Row, one: Map) -> None:
    """Refuse a row that reads what a map of one teacher, or of several, does not have."""
    if lacking := [name for name in row.draw.columns if name in OF_SEVERAL and len(one.members) == 1]:
        raise TrainmapError(
            f"'{row.name}' needs {lacking[0]}, which a map of several recordings has; see maps: teachers"
        )
    if not isinstance(row.draw, Chosen):
        return
    if row.draw.without is not None and len(one.members) > 1:
        raise TrainmapError(
            f"'{row.name}' cuts labels by an audit of one recording, and this map is of {len(one.members)}; leave "
            "without out, or give it a map of one"
        )


def _budgets(row: Row, asked: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(how many steps: "own" epochs, those of a "subset", those of "full" data; the tables) of a row's runs."""
    full = isinstance(row.draw, Full)
    if full and row.steps == "own":
        yield "own", tuple(asked)
        return
    if "equal epochs" in asked:
        yield row.steps, ("equal epochs",)
    if "equal steps" in asked and not full:
        yield "full", ("equal steps",)


def columns(student: Section, where: Where, teachers: Sequence[str]) -> list[Column]:
    """Each way of training a student, named by its loss and by what else tells its distillations apart.

    Args:
        student: its section.
        where: its place in the file.
        teachers: by name; the teacher is told where there are several.
    """
    ways = [{} if way is None else way.model_dump() for way in student.distillation]
    given = [way for way in ways if way]
    differ = [key for key in Distillation.model_fields if any(way[key] != given[0][key] for way in given)]
    name = student.name or student.model
    found: list[Column] = []
    for place, (way, how) in enumerate(zip(ways, student.distillation, strict=True)):
        taught = lesson = ""
        if how is not None:
            told = {
                key: f"{key} {short(way[key])}" for key in differ if key not in NAMED and way[key] not in (None, "", {})
            }
            by = (how.teacher or teachers[0]) if len(teachers) > 1 else ""
            taught = _taught(how.loss, by, [*told.values()])
            lesson = _taught(how.loss, "", [words for key, words in told.items() if key != "seed"])
        found.append(Column(name, taught, lesson, how, student, where, place))
    return found


def _taught(loss: str, by: str, rest: Sequence[str]) -> str:
    """A loss, its teacher and what else there is to tell, in words."""
    return loss + (f" by {by}" if by else "") + (f" ({', '.join(rest)})" if rest else "")


def _compressions(column: Column, wrong: Any) -> list[tuple[str, Compression | None]]:
    """The columns that come of one: the student as it is, and each way of making it smaller."""
    ways = column.student.compress
    found = [(f"{column.name}, {way.name or way.told()}" if way else column.name, way) for way in ways]
    twice = [name for at, (name, _) in enumerate(found) if name in {other for other, _ in found[:at]}]
    if twice:
        raise wrong((*column.where, "compress"), f"'{twice[0]}' stands twice; give one of them a name")
    return found
