"""The rows of a table: which examples, how many, under which name; and the random rows that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from trainmap.audits.suspicion import RULES
from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.choosing import CLUSTERS, TEACHER_LOSS, columns, settled
from trainmap.experiments.file.fields import short
from trainmap.experiments.file.sections import Subset
from trainmap.experiments.file.ways import Schedule, Without
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.results.versus_random import SAME_SIZE, SCHEDULE, subset_name
from trainmap.experiments.schedules import visits
from trainmap.experiments.subsets import SUBSETS, percent
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import score_named
from trainmap.selection.strategies import STRATEGIES
from trainmap.selection.words import parse

Kind = Literal["full", "random", "repeated", "map-repeated", "schedule", "map"]

SCHEDULE_SIZE = 0.1  # what a schedule visits is known only afterwards


@dataclass(frozen=True)
class Draw:
    """One row.

    Attributes:
        name: what a reader calls it.
        kind: "full", "random" (another set for every seed), "repeated" (another one for every epoch),
            "map-repeated" (the same by a map), "schedule" or "map".
        count: examples in it; of a schedule those that an epoch is expected to visit.
        steps: how long full data is trained: "own" or, at the steps of a subset run, "subset".
        spec, rule, balance: of a map's.
        redrawn: whether a map's has parts that are drawn at random: then another set for every seed.
        without: of a map's: what is cut away before; None for nothing.
        schedule: its name and all its options; None for a fixed subset.
        seeds: with which it is run; None for the experiment's.
        strategy: of a map's: its name and all its options, in place of a spec.
        budgets: the tables in which it stands; None for the experiment's.
    """

    name: str
    kind: Kind
    count: int
    steps: Literal["own", "subset"] = "own"
    spec: str = ""
    rule: str = "quantile"
    balance: str | None = None
    redrawn: bool = False
    without: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    seeds: tuple[int, ...] | None = None
    strategy: Mapping[str, Any] | None = None
    budgets: tuple[str, ...] | None = None

    @property
    def held_out(self) -> bool:
        """Whether its choice depends on how good the map's teacher is on the validation data: that of "auto"."""
        if self.strategy is not None:
            return self.strategy["name"] == "auto" and self.strategy["options"]["held_out"] is None
        return "map" in self.kind and any(part.what == "auto" for part in parse(self.spec).parts)


def draws(
    subsets: Sequence[Subset],
    sizes: Sequence[float],
    examples: int,
    epochs: int,
    scores: Sequence[str] | None,
    wrong: Callable[[Where, object], TrainmapError],
    check: Callable[[Draw], None],
) -> list[Draw]:
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
    found: list[Draw] = []
    for at, subset in enumerate(subsets):
        try:
            if subset.schedule is not None:
                made = [_scheduled(subset.name, subset.schedule, examples, epochs)]
            else:
                expand = _by_strategy if subset.strategy else _expand
                made = expand(subset, subset.sizes or sizes, examples, scores)
            for draw in made:
                check(draw)
        except TrainmapError as error:
            field = next(name for name in ("key", "spec", "strategy", "schedule") if getattr(subset, name))
            field = "options" if subset.options and subset.strategy in STRATEGIES else field
            raise wrong(("subsets", at, field), error) from error
        own = {name: tuple(said) for name in ("seeds", "budgets") if (said := getattr(subset, name)) is not None}
        found += [replace(draw, **own) for draw in made]
    twice = [draw.name for at, draw in enumerate(found) if draw.name in {other.name for other in found[:at]}]
    if twice:
        raise wrong(("subsets",), f"'{twice[0]}' stands twice; give one of them another name")
    for draw in list(found):
        near = [other for other in found if other.kind == "random" and abs(other.count - draw.count) <= _slack(draw)]
        if draw.kind in ("map", "repeated", "map-repeated", "schedule") and not near:
            name = f"random {100 * draw.count / examples:.3g} %"
            found.append(Draw(name, "random", draw.count, spec=f"{draw.count} random"))
    order = get_args(Kind)
    return sorted(found, key=lambda draw: (order.index(draw.kind), draw.steps))


def _slack(draw: Draw) -> float:
    return (SCHEDULE_SIZE if draw.kind == "schedule" else SAME_SIZE) * draw.count


def _expand(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Draw]:
    without = None if subset.without is None else _without(subset.without)
    if subset.key:
        if subset.key not in SUBSETS and ("%" in subset.key or " " in subset.key):
            raise TrainmapError(
                f"'{subset.key}' is no name of a row; if it is in the selection language, write "
                f'{{spec: "{subset.key}"}}'
            )
        if subset.key not in SUBSETS:
            raise unknown("subset", subset.key, SUBSETS)
        row = SUBSETS[subset.key]
        if without and row.kind != "map":
            raise TrainmapError(f"'{subset.key}' is no row of a map; without= needs a spec, such as '33% random'")
        if subset.balance and row.kind != "map":
            raise TrainmapError(f"'{subset.key}' has no balance; write spec: '{{percent}} random', balance: ...")
        if row.kind == "full" and row.steps == "own":
            return [Draw(subset.name or row.what, "full", examples)]
        made: list[Draw] = []
        for size in sizes:
            spec = (row.spec or "{percent} random").format(percent=f"{percent(size)}%")
            name = f"{row.what} {percent(size)} %" if row.kind != "full" or len(sizes) > 1 else row.what
            name = _cut(name, without)
            count = _count(spec, examples, scores)
            redrawn = row.kind == "map" and _redrawn(spec)
            made.append(Draw(name, row.kind, count, row.steps, spec, row.rule, subset.balance, redrawn, without))
        return made
    specs = [subset.spec.replace("{percent}", f"{percent(size)}%") for size in sizes]
    made = []
    for spec in dict.fromkeys(specs):
        kind: Kind = "map"
        whats = {part.what for part in parse(spec).parts}
        if whats <= {"random", "all"} and not without and subset.balance is None:
            kind = "random" if whats == {"random"} else "full"
        words: dict[str, Any] = {"rule": subset.rule, "balance": subset.balance} if kind == "map" else {}
        words |= {"redrawn": kind == "map" and _redrawn(spec), "without": without}
        name = subset.name or subset_name(spec) + (", corner" if subset.rule == "corner" else "")
        if kind == "map" and not without and whats == {"random"} and not subset.name:
            name = f"class-balanced {name}"  # not the opponent
        name = f"{name} {percent(sizes[len(made)])} %" if subset.name and len(set(specs)) > 1 else name
        made.append(Draw(_cut(name, without), kind, _count(spec, examples, scores), spec=spec, **words))
    return made


def _by_strategy(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Draw]:
    found = settled(subset.strategy, subset.options)
    _check_columns(f"strategy {subset.strategy}", columns(found), scores)
    strategy = STRATEGIES[subset.strategy]
    said = {"clusters": CLUSTERS, **strategy.defaults}
    told = [f"{name} {short(value)}" for name, value in subset.options.items() if value != said[name]]
    what = subset.name or ", ".join([subset.strategy, *told])
    without = None if subset.without is None else _without(subset.without)
    shared: dict[str, Any] = {"balance": subset.balance, "redrawn": strategy.random, "without": without}
    return [
        Draw(
            _cut(f"{what} {percent(size)} %", without),
            *("map", _count(f"{percent(size)}% random", examples, scores)),
            strategy=found,
            **shared,
        )
        for size in sizes
    ]


def _scheduled(name: str, schedule: Schedule, examples: int, epochs: int) -> Draw:
    settings = schedule.settled()
    count = visits(settings, examples, epochs)
    return Draw(f"{SCHEDULE} {name or schedule.told()}", "schedule", count, schedule=settings)


def _without(cut: Without) -> dict[str, Any]:
    if cut.rule not in RULES:
        raise unknown("rule", cut.rule, RULES)
    return cut.model_dump()


def _cut(name: str, without: Mapping[str, Any] | None) -> str:
    """What is cut stands first: a row that begins with "random" is the opponent, and this one is not."""
    return name if without is None else f"{percent(without['audit'])} % suspected labels cut, {name}"


def _redrawn(spec: str) -> bool:
    """Whether the seed matters for a spec."""
    whats = {part.what for part in parse(spec).parts}
    return "random" in whats or any(what in STRATEGIES and STRATEGIES[what].random for what in whats)


def _count(spec: str, examples: int, scores: Sequence[str] | None) -> int:
    """How many examples a spec takes; its scores must be known and on the map."""
    plan = parse(spec)
    for part in plan.parts:
        if part.what in (*REGIONS, "random", "all"):
            continue
        needed: Sequence[str] = [part.what]
        if part.what in STRATEGIES:
            strategy = STRATEGIES[part.what]
            needed = strategy.columns(strategy.defaults)
            lacking = [need for need in strategy.needs if need != "labels"]
            if lacking := [*lacking, *(name for name in needed if name == TEACHER_LOSS)]:
                raise TrainmapError(
                    f"'{spec}' needs {', '.join(lacking)}, which a map does not hold; write strategy: {part.what}"
                )
        _check_columns(f"'{spec}'", needed, scores)
    return sum(plan.sizes(examples))


def _check_columns(what: str, needed: Sequence[str], scores: Sequence[str] | None) -> None:
    """Refuse scores that are unknown, or not on the map."""
    for score in needed:
        score_named(score)
        if scores is not None and score not in (*scores, "confidence", "variability", "correctness"):
            raise TrainmapError(f"{what} needs the score {score}; add it to the map's scores: {list(scores)}")
