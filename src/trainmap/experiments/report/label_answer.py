"""Did it pay to choose which labels to ask for? From the curves of active learning, by the area under them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainmap.experiments.report.answer import (
    Answer,
    Compared,
    Spot,
    of_chance,
    paid_of,
    shown_difference,
    sure_of,
    tone_of,
)
from trainmap.experiments.report.judged_cells import judged_of
from trainmap.experiments.results.label_curves import RANDOM, Curves
from trainmap.experiments.results.run_rows import mean_of


def label_answer(found: Sequence[Curves], level: float) -> Answer | None:
    """The answer of all curves; None where none can be held against random."""
    its: dict[tuple[int, str], Compared] = {}
    families = 0
    for at, curves in enumerate(found):
        areas = judged_of({one: curves.against(RANDOM, one, level) for one in curves.runs if one != RANDOM}, level)
        where = curves.title if len(found) > 1 else ""
        own = {(at, one): Compared(one, where, RANDOM, each, firm) for one, (each, firm) in areas.items() if each.n}
        its |= own
        families += bool(own)
    if not its:
        return None
    best = max(its, key=lambda place: (its[place].won, its[place].difference.mean))
    curves = found[best[0]]
    return Answer(
        "Choosing which labels to ask for",
        paid_of([*its.values()], "asking for chosen labels", "asking for random ones"),
        _what(curves, best[1], its[best], level),
        sure_of([*its.values()], level, families),
        tone_of([*its.values()]),
        "mean test accuracy between the first and the last round",
        tuple(its.values()),
        _spots(curves, best[0], its),
        curves.title if len(found) > 1 else "",
    )


def _what(curves: Curves, strategy: str, best: Compared, level: float) -> str:
    where = f" ({best.where})" if best.where else ""
    told = f"“{strategy}”{where} is {shown_difference(best)} of accuracy from random, mean over all rounds"
    told += of_chance(best)
    needed = curves.needed(strategy, level)
    if needed is not None and curves.target is not None:
        bound = "" if needed.reached == needed.labels.n else "at least "
        told += (
            f"; it has what random has in the end, {100 * curves.target:.1f} % accuracy with {curves.labels[-1]:,} "
            f"labels, after {bound}{math.ceil(needed.labels.mean):,}"
        )
    return f"{told}."


def _spots(curves: Curves, at: int, its: dict[tuple[int, str], Compared]) -> tuple[Spot, ...]:
    spots: list[Spot] = []
    for strategy, runs in curves.runs.items():
        held = its.get((at, strategy))
        flops = mean_of([run["train_flops"] for run in runs.values()])
        area = mean_of([*curves.areas(strategy).values()])
        kind = "random" if strategy == RANDOM else "row"
        spots.append(Spot(strategy, "", flops, area, kind, held.tone if held else "", held.firm if held else False))
    return tuple(spots) if len(spots) > 1 else ()
