"""The rows of a table: which examples, how many, under which name; and the random rows that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trainmap.audits.suspicion import RULES
from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.file.fields import short
from trainmap.experiments.file.teacher_sections import Race, Subset
from trainmap.experiments.file.way_sections import Schedule, Without
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.plan.named_rows import ROWS, percent, said
from trainmap.experiments.tasks.choices import CLUSTERS, TEACHER_LOSS, request_of, settled
from trainmap.experiments.tasks.draws import (
    DRAWS,
    SAME_SIZE,
    Chosen,
    Draw,
    Full,
    MapScheduled,
    Raced,
    Random,
    Role,
    Scheduled,
)
from trainmap.maps.map_file import AXES
from trainmap.scores.table import OF_SEVERAL, SCORES, score_named
from trainmap.selection.requests import Request
from trainmap.selection.strategies import STRATEGIES
from trainmap.selection.words import parse

SCHEDULE_SIZE = 0.1  # what a schedule visits is known only afterwards
Steps = Literal["own", "subset"]


@dataclass(frozen=True)
class Row:
    """One row of an experiment's table.

    Attributes:
        name: what a reader calls it; nothing parses it.
        draw: which examples its trainings visit.
        steps: how long it is trained: for its "own" epochs, or (all the data) for the steps of a "subset".
        seeds: with which it is run; None for the experiment's.
        budgets: the tables in which it stands; None for the experiment's.
        series: its name without a size.
        opponent: the name of the row that it is compared with; "" for random of its size.
    """

    name: str
    draw: Draw
    steps: Steps = "own"
    seeds: tuple[int, ...] | None = None
    budgets: tuple[str, ...] | None = None
    series: str = ""
    opponent: str = ""

    @property
    def count(self) -> int:
        """Examples that an epoch trains on."""
        return self.draw.count

    @property
    def role(self) -> Role:
        """Its part in the comparison."""
        return self.draw.role


def rows_of(
    subsets: Sequence[Subset],
    sizes: Sequence[float],
    examples: int,
    epochs: int,
    scores: Sequence[str] | None,
    wrong: Callable[[Where, object], TrainmapError],
    check: Callable[[Row], None],
) -> list[Row]:
    """Every row for a dataset of so many examples, full data first, and random of the size of each of them.

    Args:
        subsets: of the experiment.
        sizes: of the experiment, as shares.
        examples: N.
        epochs: of a training on all the data, for what schedules visit.
        scores: of the map; None for all.
        wrong: makes the error for the place of a value.
        check: refuses what would fail later.
    """
    found: list[Row] = []
    for at, subset in enumerate(subsets):
        made = rows_of_one(subset, sizes, examples, epochs, scores, ("subsets", at), wrong, check)
        own = {name: tuple(told) for name in ("seeds", "budgets") if (told := getattr(subset, name)) is not None}
        found += [replace(row, **own) for row in made]
    for row in list(found):
        if isinstance(row.draw, MapScheduled):
            _rival(row, row.draw, found, examples, epochs)
    twice = [row.name for at, row in enumerate(found) if row.name in {other.name for other in found[:at]}]
    if twice:
        raise wrong(("subsets",), f"'{twice[0]}' stands twice; give one of them another name")
    for row in list(found):
        if row.role == "judged":
            _oppose(row, found, examples, wrong)
    order = list(DRAWS)
    return sorted(found, key=lambda row: (order.index(row.draw.kind), row.steps))


def part_of(
    subset: Subset,
    where: Where,
    sizes: Sequence[float],
    examples: int,
    scores: Sequence[str] | None,
    wrong: Callable[[Where, object], TrainmapError],
    check: Callable[[Row], None],
    several: str,
    moving: str,
) -> Row:
    """The one part of the data that a teacher or a search is trained on; it stays the same during training.

    Args:
        subset, where, sizes, examples, scores, wrong, check: see ``rows_of_one``.
        several: what to say where it is of several sizes, which follow.
        moving: what to say of a row that is no such part.
    """
    row, *others = rows_of_one(subset, sizes, examples, 1, scores, where, wrong, check)
    if others:
        raise wrong(where, several.format(len(others) + 1))
    if isinstance(row.draw, Raced):
        raise wrong(where, f"'{row.name}' is raced for a student, as a row under subsets; take another subset here")
    if not row.draw.fixed or row.role == "priced opponent":
        raise wrong(where, f"'{row.name}' {moving}")
    return row


def rows_of_one(
    subset: Subset,
    sizes: Sequence[float],
    examples: int,
    epochs: int,
    scores: Sequence[str] | None,
    where: Where,
    wrong: Callable[[Where, object], TrainmapError],
    check: Callable[[Row], None],
) -> list[Row]:
    """The rows of one subset, one for each size, without opponents; see ``rows_of``."""
    if subset.without is not None and subset.without.rule not in RULES:
        raise wrong((*where, "without", "rule"), unknown("rule", subset.without.rule, RULES))
    try:
        if subset.schedule is not None:
            _check_columns(f"schedule {subset.schedule.name}", subset.schedule.made().columns, scores)
            made = [_scheduled(subset.name, subset.schedule, examples, epochs)]
        else:
            expand = _by_strategy if subset.strategy else _by_name if subset.key else _by_spec
            made = expand(subset, subset.sizes or sizes, examples, scores)
        for row in made:
            check(row)
    except TrainmapError as error:
        field = next(name for name in ("key", "spec", "strategy", "schedule") if getattr(subset, name))
        field = "options" if subset.options and subset.strategy in STRATEGIES else field
        raise wrong((*where, field), error) from error
    return made


def _oppose(row: Row, found: list[Row], examples: int, wrong: Callable[[Where, object], TrainmapError]) -> None:
    """Put random of a row's size into each of its tables: a row of its own, or one that is there already."""
    near = [other for other in found if other.role == "opponent" and abs(other.count - row.count) <= _slack(row)]
    if any(_beside(other, row) == other for other in near):
        return
    if near:
        found[found.index(near[0])] = _beside(near[0], row)
        return
    name = f"random {100 * row.count / examples:.3g} %"
    if any(other.name == name for other in found):
        said = f"'{name}' is the name of the random row that '{row.name}' is compared with"
        raise wrong(("subsets",), f"{said}; give the row that is called so another one")
    found.append(Row(name, Random(count=row.count), series="random", budgets=row.budgets))


def _rival(row: Row, draw: MapScheduled, found: list[Row], examples: int, epochs: int) -> None:
    """Put what a schedule of a map has to be better than into each of its tables, and its name into the row."""
    options = Schedule(**draw.schedule).made().opponent
    if options is None:
        return
    rival = _scheduled("", Schedule(name=draw.schedule["name"], **asdict(options)), examples, epochs)
    there = next((other for other in found if other.draw == rival.draw), None)
    if there is None:
        found.append(replace(rival, budgets=row.budgets))
    else:
        found[found.index(there)] = _beside(there, row)
    found[found.index(row)] = replace(row, opponent=(there or rival).name)


def _beside(other: Row, row: Row) -> Row:
    """A row that stands in the tables of another one as well as in its own."""
    if other.budgets is None or row.budgets is None:
        return replace(other, budgets=None)
    return replace(other, budgets=tuple(dict.fromkeys((*other.budgets, *row.budgets))))


def _slack(row: Row) -> float:
    return (SCHEDULE_SIZE if isinstance(row.draw, Scheduled) else SAME_SIZE) * row.count


def _by_name(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Row]:
    if subset.key not in ROWS and ("%" in subset.key or " " in subset.key):
        raise TrainmapError(
            f"'{subset.key}' is no name of a row; if it is in the selection language, write {{spec: \"{subset.key}\"}}"
        )
    if subset.key not in ROWS:
        raise unknown("subset", subset.key, ROWS)
    row, without = ROWS[subset.key], subset.without
    what = subset.name or row.what
    if without and row.draw is not Chosen:
        raise TrainmapError(f"'{subset.key}' is no row of a map; without= needs a spec, such as '33% random'")
    if subset.balance and row.draw is not Chosen:
        raise TrainmapError(f"'{subset.key}' has no balance; write spec: '{{percent}} random', balance: ...")
    if row.draw is Full and row.steps == "own":
        return [Row(what, Full(count=examples), series=what)]
    made: list[Row] = []
    for size in sizes:
        spec = row.spec.format(percent=f"{percent(size)}%")
        name = f"{what} {percent(size)} %" if row.draw is not Full or len(sizes) > 1 else what
        told: dict[str, Any] = {"count": _count(spec, examples, scores)}
        if row.draw is Chosen:
            told |= {"spec": spec, "rule": row.rule, "balance": subset.balance, "without": without}
        if issubclass(row.draw, Raced):
            race = subset.race or Race()
            told["settings"] = race.model_dump(exclude={"wider"} if race.wider == "" else set())
        made.append(Row(_cut(name, without), row.draw(**told), row.steps, series=_cut(what, without)))
    return made


def _by_spec(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Row]:
    without = subset.without
    specs = [subset.spec.replace("{percent}", f"{percent(size)}%") for size in sizes]
    made: list[Row] = []
    for spec in dict.fromkeys(specs):
        count, whats = _count(spec, examples, scores), {part.what for part in parse(spec).parts}
        corner = ", corner" if subset.rule == "corner" else ""
        name, series = (subset.name or one + corner for one in (said(spec), said(spec, sizes=False)))
        if whats <= {"random", "all"} and not without and subset.balance is None:
            draw: Draw = Random(count=count) if whats == {"random"} else Full(count=count)
        else:
            rest: dict[str, Any] = {"rule": subset.rule, "balance": subset.balance, "without": without}
            draw = Chosen(count=count, spec=spec, **rest)
            if not without and whats == {"random"} and not subset.name:
                name, series = f"class-balanced {name}", f"class-balanced {series}"
        name = f"{name} {percent(sizes[len(made)])} %" if subset.name and len(set(specs)) > 1 else name
        made.append(Row(_cut(name, without), draw, series=_cut(series, without)))
    return made


def _by_strategy(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Row]:
    found = settled(subset.strategy, subset.options)
    _check_columns(f"strategy {subset.strategy}", request_of("", found).columns, scores)
    defaults = {"clusters": CLUSTERS, **STRATEGIES[subset.strategy].defaults}
    told = [f"{name} {short(value)}" for name, value in subset.options.items() if value != defaults[name]]
    what = subset.name or ", ".join([subset.strategy, *told])
    without = subset.without
    made: list[Row] = []
    for size in sizes:
        count = _count(f"{percent(size)}% random", examples, scores)
        draw = Chosen(count=count, strategy=found, balance=subset.balance, without=without)
        made.append(Row(_cut(f"{what} {percent(size)} %", without), draw, series=_cut(what, without)))
    return made


def _scheduled(name: str, schedule: Schedule, examples: int, epochs: int) -> Row:
    options, called = schedule.made(), f"schedule {name or schedule.told()}"
    draw = MapScheduled if options.needs_map else Scheduled
    return Row(called, draw(count=options.visits(examples, epochs), schedule=schedule.settled()), series=called)


def _cut(name: str, without: Without | None) -> str:
    return name if without is None else f"{percent(without.audit)} % suspected labels cut, {name}"


def _count(spec: str, examples: int, scores: Sequence[str] | None) -> int:
    """How many examples a spec takes; its scores must be known and on the map."""
    request = Request.of_spec(spec)
    for word, options in request.words:
        needed = word.columns(options)
        lacking = [need for need in word.needs if need != "labels"]
        if lacking := [*lacking, *(name for name in needed if name == TEACHER_LOSS)]:
            raise TrainmapError(
                f"'{spec}' needs {', '.join(lacking)}, which a map does not hold; write strategy: {word.name}"
            )
        _check_columns(f"'{spec}'", needed, scores)
    return sum(parse(spec).sizes(examples))


def _check_columns(what: str, needed: Sequence[str], scores: Sequence[str] | None) -> None:
    """Refuse scores that are unknown, or not on the map."""
    for score in needed:
        if score == TEACHER_LOSS:
            continue  # is made for those that read it
        score_named(score)
        if score in (*AXES, *OF_SEVERAL):
            continue
        if scores is None and score not in SCORES:  # by a convention
            raise TrainmapError(
                f"{what} needs the score {score}, and a map has every score by its default convention unless told; "
                f"say which it has: scores: [{score}, ...] under maps"
            )
        if scores is not None and score not in scores:
            raise TrainmapError(f"{what} needs the score {score}; add it to the map's scores: {list(scores)}")
