"""The rows of a table: which examples, how many, under which name; and the random rows that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.compare import SAME_SIZE, subset_name
from trainmap.experiments.sections import Subset
from trainmap.experiments.subsets import SUBSETS, percent
from trainmap.experiments.yamlfile import Where
from trainmap.maps.regions import REGIONS
from trainmap.maps.scores import score_named
from trainmap.selection.spec import parse
from trainmap.selection.strategies import STRATEGIES

Kind = Literal["full", "random", "repeated", "map"]


@dataclass(frozen=True)
class Draw:
    """One row.

    Attributes:
        name: what a reader calls it.
        kind: "full", "random" (another set for every seed), "repeated" (another one for every epoch), "map".
        count: examples in it.
        steps: how long full data is trained: "own" or, at the steps of a subset run, "subset".
        spec, rule, balance: of a map's.
        redrawn: whether a map's has parts that are drawn at random: then another set for every seed.
    """

    name: str
    kind: Kind
    count: int
    steps: Literal["own", "subset"] = "own"
    spec: str = ""
    rule: str = "quantile"
    balance: str | None = None
    redrawn: bool = False


def draws(
    subsets: Sequence[Subset],
    sizes: Sequence[float],
    examples: int,
    scores: Sequence[str] | None,
    wrong: Callable[[Where, object], TrainmapError],
) -> list[Draw]:
    """Every row for a dataset of so many examples, full data first, and random of the size of each of them.

    Args:
        subsets: of the experiment.
        sizes: of the experiment, as shares.
        examples: N.
        scores: of the map; None for all.
        wrong: makes the error for the place of a value.
    """
    found: list[Draw] = []
    for at, subset in enumerate(subsets):
        try:
            found += _expand(subset, subset.sizes or sizes, examples, scores)
        except TrainmapError as error:
            raise wrong(("subsets", at, "key" if subset.key else "spec"), error) from error
    twice = [draw.name for at, draw in enumerate(found) if draw.name in {other.name for other in found[:at]}]
    if twice:
        raise wrong(("subsets",), f"'{twice[0]}' stands twice; give one of them another name")
    for draw in list(found):
        near = [other for other in found if other.kind == "random" and abs(other.count - draw.count) <= _slack(draw)]
        if draw.kind in ("map", "repeated") and not near:
            name = f"random {100 * draw.count / examples:.3g} %"
            found.append(Draw(name, "random", draw.count, spec=f"{draw.count} random"))
    order = ("full", "random", "repeated", "map")
    return sorted(found, key=lambda draw: (order.index(draw.kind), draw.steps))


def _slack(draw: Draw) -> float:
    return SAME_SIZE * draw.count


def _expand(subset: Subset, sizes: Sequence[float], examples: int, scores: Sequence[str] | None) -> list[Draw]:
    if subset.key:
        if subset.key not in SUBSETS:
            raise unknown("subset", subset.key, SUBSETS)
        row = SUBSETS[subset.key]
        if row.kind == "full" and row.steps == "own":
            return [Draw(subset.name or row.what, "full", examples)]
        made: list[Draw] = []
        for size in sizes:
            spec = (row.spec or "{percent} random").format(percent=f"{percent(size)}%")
            name = f"{row.what} {percent(size)} %" if row.kind != "full" or len(sizes) > 1 else row.what
            count = _count(spec, examples, scores)
            redrawn = row.kind == "map" and _redrawn(spec)
            made.append(Draw(name, row.kind, count, row.steps, spec, row.rule, subset.balance, redrawn))
        return made
    specs = [subset.spec.replace("{percent}", f"{percent(size)}%") for size in sizes]
    made = []
    for spec in dict.fromkeys(specs):
        kind: Kind = "map"
        whats = {part.what for part in parse(spec).parts}
        if whats <= {"random", "all"}:
            kind = "random" if whats == {"random"} else "full"
        words: dict[str, Any] = {"rule": subset.rule, "balance": subset.balance} if kind == "map" else {}
        words |= {"redrawn": kind == "map" and _redrawn(spec)}
        name = subset.name or subset_name(spec) + (", corner" if subset.rule == "corner" else "")
        name = f"{name} {percent(sizes[len(made)])} %" if subset.name and len(set(specs)) > 1 else name
        made.append(Draw(name, kind, _count(spec, examples, scores), spec=spec, **words))
    return made


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
            if strategy.needs:
                raise TrainmapError(
                    f"'{spec}' needs {', '.join(strategy.needs)}, which a map does not hold; use trainmap.select_by"
                )
            needed = strategy.columns(strategy.defaults)
        for score in needed:
            score_named(score)
            if scores is not None and score not in (*scores, "confidence", "variability", "correctness"):
                raise TrainmapError(f"'{spec}' needs the score {score}; add it to the map's scores: {list(scores)}")
    return sum(plan.sizes(examples))
