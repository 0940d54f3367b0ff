"""Did it pay that clients choose among their examples? From federations, by the accuracy at their end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainmap.experiments.report.answer import (
    Answer,
    Compared,
    Spot,
    beside,
    cost_words,
    of_chance,
    paid_of,
    shown_difference,
    sure_of,
    tone_of,
)
from trainmap.experiments.report.federated_sentences import OPPONENTS, PHRASES, Place, family_of
from trainmap.experiments.results.round_curves import Opponent, Rounds, Row
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import Difference


def federated_answer(found: Sequence[Rounds], level: float) -> Answer | None:
    """The answer of all federations; None without one in which a row has an opponent."""
    families = {opponent: family_of(found, opponent, level) for opponent in OPPONENTS}
    there: list[Opponent] = [opponent for opponent in OPPONENTS if families[opponent]]
    if not there:
        return None
    main = there[0]
    held = families[main]
    several = len(found) > 1
    compared = {
        (at, name): Compared(
            found[at].rows[name].label,
            found[at].title if several else "",
            PHRASES[main],
            one,
            firm,
            found[at].rows[name].judged,
        )
        for (at, name), (one, firm) in held.items()
    }
    places = [place for place in compared if found[place[0]].rows[place[1]].judged] or list(compared)
    of = [compared[place] for place in places]
    at, name = max(places, key=lambda place: (compared[place].won, _height(compared[place].difference)))
    than = {"random": "training on as many at random", "equal": "all their examples at equal compute"}
    return Answer(
        "Clients that choose among their examples",
        paid_of(of, "training on examples that each client chose", than.get(main, "training on all of them")),
        _what(found[at], name, compared[at, name]),
        sure_of([*compared.values()], level, 1),
        tone_of(of),
        "test accuracy at the end",
        tuple(compared.values()),
        _spots(found[at], at, compared),
        found[at].title if several else "",
    )


def _height(difference: Difference) -> float:
    return -math.inf if math.isnan(difference.mean) else difference.mean


def _what(one: Rounds, name: str, best: Compared) -> str:
    row = one.rows[name]
    where = f" ({best.where})" if best.where else ""
    score = mean_of([*row.accuracy().values()])
    told = f"“{best.name}”{where} has {100 * score:.1f} % accuracy at the end, {shown_difference(best)} from "
    told += f"{best.opponent}{of_chance(best)}"
    if (all_ := _all(one)) is not None and row is not all_:
        own, full = (mean_of([run["train_flops"] for run in its.runs.values()]) for its in (row, all_))
        away = score - mean_of([*all_.accuracy().values()])
        told += f"; it {beside(away, 'all data')} for {cost_words(own / full, 'compute of the clients')}"
    return f"{told}."


def _all(one: Rounds) -> Row | None:
    """All data for all rounds."""
    its = (row for row in one.rows.values() if row.task.choice.everything and row.task.own_rounds is None)
    return next(its, None)


def _spots(one: Rounds, at: int, compared: dict[Place, Compared]) -> tuple[Spot, ...]:
    spots: list[Spot] = []
    for name, row in one.rows.items():
        held = compared.get((at, name))
        kind = "random" if row.task.is_random else "full data" if row.task.choice.everything else "row"
        spots.append(
            Spot(
                row.label,
                "",
                mean_of([run["train_flops"] for run in row.runs.values()]),
                mean_of([*row.accuracy().values()]),
                kind,
                held.tone if held else "",
                held.firm if held else False,
            )
        )
    return tuple(spots) if len(spots) > 1 else ()
