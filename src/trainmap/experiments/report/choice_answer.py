"""Did choosing the training examples pay? From the tables in which rows stand beside random of their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainmap.errors import counted
from trainmap.experiments.report.answer import (
    Answer,
    Compared,
    Spot,
    beside,
    cost_words,
    of_chance,
    paid_of,
    points,
    share_words,
    shown_difference,
    sure_of,
    tone_of,
)
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.results.facts import PRICED, REFERENCES, reads_map
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import firm_of
from trainmap.experiments.results.versus_random import Column, Comparison

METRIC = "test_macro_f1"
CHEAPER = 0.95
"""What costs at most this share of training on all the data saves something, and is named before what does not."""


@dataclass(frozen=True)
class _Cell:
    """One cell of one table, with its comparison."""

    table: str
    comparison: Comparison
    name: str
    column: Column
    compared: Compared
    told: tuple[str, ...]  # of title, column and budget those that tell it from others

    @property
    def score(self) -> float:
        return mean_of([*self.comparison.values(self.name, self.column, METRIC).values()])

    @property
    def cost(self) -> float:
        """Of a run, relative to all the data; NaN without such a run."""
        full = self.comparison.cost(self.comparison.full, self.column)["flops"]
        return self.comparison.cost(self.name, self.column)["flops"] / full


def choice_answer(tables: Sequence[tuple[str, Comparison]]) -> Answer | None:
    """The answer of tables with the titles of their groups; None without a comparison."""
    cells = [cell for title, comparison in tables for cell in _cells(title, comparison, tables)]
    if not cells:
        return None
    judged = [cell for cell in cells if cell.compared.judged]
    of = [cell.compared for cell in judged]
    rivals = any(comparison.rival(name) for _, comparison in tables for name in comparison.names)
    than = "picking as many at random" + (" (or than the row that it was held against)" if rivals else "")
    paid = (
        paid_of(of, "choosing the training examples", than)
        if judged
        else "Nothing to judge: no row of these tables was chosen, all are random or all the data."
    )
    best = _best(judged or cells)
    spots = _spots(best, tables)
    return Answer(
        "Choosing the training examples",
        paid,
        _what(best, judged, cells),
        sure_of([cell.compared for cell in cells], best.comparison.level, len(tables)),
        tone_of(of) if judged else "same",
        "test macro F1",
        tuple(cell.compared for cell in cells),
        spots,
        _of(best, tables) if spots else "",
    )


def _cells(title: str, comparison: Comparison, tables: Sequence[tuple[str, Comparison]]) -> list[_Cell]:
    differences = comparison.against_random(METRIC)
    firm = firm_of(differences, comparison.level)
    heads = column_names(comparison.columns)
    several = _several(tables)
    found: list[_Cell] = []
    for (name, column), difference in differences.items():
        told = {"title": title, "column": heads[column], "budget": comparison.budget}
        which = tuple(key for key, words in told.items() if several[key] and words)
        where = ", ".join(told[key] for key in which)
        chosen = comparison.draw(name) not in REFERENCES
        opponent = comparison.rival(name) or "random"
        compared = Compared(name, where, opponent, difference, firm[name, column], chosen)
        found.append(_Cell(title, comparison, name, column, compared, which))
    return found


def _several(tables: Sequence[tuple[str, Comparison]]) -> dict[str, bool]:
    """Which of its coordinates a comparison has to say."""
    return {
        "title": len({title for title, _ in tables}) > 1,
        "column": len({column for _, one in tables for column in one.columns}) > 1,
        "budget": len({one.budget for _, one in tables}) > 1,
    }


def _best(cells: Sequence[_Cell]) -> _Cell:
    """What is named: of those that beat random the one furthest above it, cheaper ones first; without any the highest
    mean difference."""

    def rank(cell: _Cell) -> tuple[bool, bool, float]:
        mean = cell.compared.difference.mean
        return cell.compared.won, cell.cost <= CHEAPER, -math.inf if math.isnan(mean) else mean

    return max(cells, key=rank)


def _what(best: _Cell, judged: Sequence[_Cell], cells: Sequence[_Cell]) -> str:
    told: list[str] = []
    where = f" ({_where(best)})" if _where(best) else ""
    if best.compared.won and judged:
        told.append(f"{_stands(best)}{where}, {points(best.compared.difference.mean)} above {_rival(best)}")
        told += [_price(best)] if _price(best) else []
    else:
        if judged:
            away = f"{shown_difference(best.compared)} from {_rival(best)}{of_chance(best.compared)}"
            told.append(f"The best on average, “{best.name}”{where}, is {away}")
        told += _random(best)
    told += _unchosen(cells)
    return f"{'. '.join(told)}." if told else "No row can be set beside another one."


def _where(cell: _Cell) -> str:
    """Which network, data and length of training, in words that need no column of a table."""
    student, taught = cell.column
    by = f", taught by another network ({taught})" if taught else ""
    told = {"title": cell.table, "column": f"network {student}{by}", "budget": cell.comparison.budget}
    return ", ".join(told[key] for key in cell.told)


def _stands(cell: _Cell) -> str:
    """What a row keeps, and how it stands to all the data for its cost."""
    share = share_words(cell.comparison.first(cell.name, "fraction"))
    series = cell.comparison.first(cell.name, "series") or cell.name
    whole = cell.comparison.against_full(METRIC).get((cell.name, cell.column))
    chosen = f"{share.capitalize()} of the data, chosen by “{series}”,"
    if whole is None or math.isnan(cell.cost):
        return f"{chosen} reaches {100 * cell.score:.1f} % macro F1"
    return f"{chosen} {beside(whole.mean, 'all of it')} (macro F1) at {cost_words(cell.cost)}"


def _rival(cell: _Cell) -> str:
    rival = cell.comparison.rival(cell.name)
    return f"“{rival}”" if rival else "as many picked at random"


def _price(cell: _Cell) -> str:
    """What has to be made before the first run, and when that is paid back; "" where nothing is, or nobody says."""
    if not reads_map(cell.comparison.draw(cell.name), cell.comparison.first(cell.name, "reads_map")):
        return "It needs no map"
    names = (cell.comparison.full, cell.name)
    full, own = (cell.comparison.cost(name, cell.column)["flops"] for name in names)
    before, needed = (
        mean_of([value or 0.0 for value in cell.comparison.values(name, cell.column, "once_flops").values()])
        for name in names
    )
    once = needed - before  # all the data need the teacher's logits as well
    if math.isnan(full) or not once > 0:
        return ""
    dear = f"What it needs once, its map first of all, costs as much as {once / full:.2g} trainings on all the data"
    if cell.cost > CHEAPER:
        return f"{dear}, and is not paid back: a run costs no less than one on all the data"
    return f"{dear}, paid back after {math.ceil(once / (full - own)):,} runs"


def _random(cell: _Cell) -> list[str]:
    """What a random choice of the same size gives up, which is worth knowing where nothing beats it."""
    comparison = cell.comparison
    name = comparison.opponents[cell.name]
    whole = comparison.against_full(METRIC).get((name, cell.column))
    if whole is None or not whole.n or comparison.draw(name) != "random":
        return []
    own, full = (comparison.cost(one, cell.column)["flops"] for one in (name, comparison.full))
    share = share_words(comparison.first(name, "fraction"))
    stands = beside(whole.mean, "all of it")
    return [f"{share.capitalize()} of the data picked at random {stands} (macro F1) at {cost_words(own / full)}"]


def _unchosen(cells: Sequence[_Cell]) -> list[str]:
    """The rows that choose nothing, such as random examples drawn anew in every epoch, and that beat random all the
    same: what a choice that needs a map stands beside."""
    its = [cell.compared for cell in cells if not cell.compared.judged]
    told: list[str] = []
    for name in dict.fromkeys(one.name for one in its if one.won):
        own = [one for one in its if one.name == name]
        told.append(f"“{name}” in {sum(one.won for one in own)} of {counted(len(own), 'comparison')}")
    return [f"Without choosing anything, random was beaten by {' and by '.join(told)}"] if told else []


def _spots(best: _Cell, tables: Sequence[tuple[str, Comparison]]) -> tuple[Spot, ...]:
    """The rows of the network and the data of the row that is named, at every budget."""
    found: list[Spot] = []
    several = len({comparison.budget for title, comparison in tables if title == best.table}) > 1
    for title, comparison in tables:
        if title != best.table:
            continue
        differences = comparison.against_random(METRIC)
        firm = firm_of(differences, comparison.level)
        for name in comparison.names:
            place = (name, best.column)
            if place not in comparison.cells:
                continue
            draw = comparison.draw(name)
            kind = "full data" if draw == "full" else "random" if draw in ("random", PRICED) else "row"
            cell = Compared(name, "", "", differences[place], firm[place]) if place in differences else None
            found.append(
                Spot(
                    name,
                    comparison.budget if several else "",
                    comparison.cost(*place)["flops"],
                    mean_of([*comparison.values(*place, METRIC).values()]),
                    kind,
                    cell.tone if cell else "",
                    cell.firm if cell else False,
                )
            )
    return tuple(found) if len({spot.cost for spot in found}) > 1 else ()


def _of(best: _Cell, tables: Sequence[tuple[str, Comparison]]) -> str:
    several = _several(tables)
    told = {"title": best.table, "column": column_names(best.comparison.columns)[best.column]}
    return ", ".join(words for key, words in told.items() if several[key])
