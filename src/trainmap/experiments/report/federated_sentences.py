"""What federations say, in sentences, and the families in which their differences are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainmap.errors import counted
from trainmap.experiments.report.judged_cells import Judged, judged_of, tally_of
from trainmap.experiments.results.round_curves import Opponent, Rounds
from trainmap.experiments.results.statistics import Difference, Verdict

ALONE = "one seed, which cannot tell a difference from chance; give more seeds."
PHRASES: Mapping[Opponent, str] = {
    "random": "random of the same size",
    "equal": "all data at equal compute",
    "all": "all data",
}
OPPONENTS: tuple[Opponent, ...] = ("random", "equal", "all")
"""By what they say of a choice."""
Place = tuple[int, str]  # number of the federation, name of the row
SAID: Mapping[tuple[Verdict, bool], str] = {
    (Verdict.ABOVE, True): "better than {}",
    (Verdict.ABOVE, False): "better than {}, but not after correction",
    (Verdict.BELOW, True): "worse than {}",
    (Verdict.BELOW, False): "worse than {}, but not after correction",
    (Verdict.NONE, False): "no difference from {} shown",
}
"""By the verdict and whether it stays under Holm's correction."""


def said_of(found: Sequence[Rounds], level: float) -> list[str]:
    """Of one federation by its rows, of several by how often each row came out how."""
    if len(found) > 1:
        return _in_all(found, level)
    return [text for one in found for text in _sentence(one, level)]


def against_of(one: Rounds, opponent: Opponent, level: float) -> Judged:
    """The differences of the last accuracies from one opponent, a family."""
    found = {name: one.against(name, opponent, level) for name, row in one.rows.items() if opponent in row.against}
    return judged_of({name: each for name, each in found.items() if each.n}, level)


def over_all(found: Sequence[Rounds], opponent: Opponent, level: float) -> Judged:
    """The differences of all rows that are judged, in all federations, from one opponent: a family."""
    judged = [(at, name) for at, one in enumerate(found) for name, row in one.rows.items() if row.judged]
    each = {(at, name): found[at].against(name, opponent, level) for at, name in judged}
    return judged_of({where: one for where, one in each.items() if one.n}, level)


def family_of(found: Sequence[Rounds], opponent: Opponent, level: float) -> Mapping[Place, tuple[Difference, bool]]:
    """The differences from one opponent, corrected as in the first table of a report."""
    if len(found) > 1:
        return over_all(found, opponent, level)
    return {(0, name): each for one in found for name, each in against_of(one, opponent, level).items()}


def _in_all(found: Sequence[Rounds], level: float) -> list[str]:
    """Of each row in how many federations it is better or worse than its opponents, by the accuracy at the end."""
    held: dict[Opponent, Judged] = {key: over_all(found, key, level) for key in PHRASES}
    told: list[str] = []
    for name in dict.fromkeys(name for part in held.values() for _, name in part):
        each: list[str] = []
        for key, phrase in PHRASES.items():
            its = [one for (_, row), one in held[key].items() if row == name]
            verdicts = tally_of([(one.verdict, stays) for one, stays in its])
            if its:
                each.append(
                    f"against {phrase} better in {verdicts.firm_above}, worse in {verdicts.firm_below}, no difference "
                    f"shown in {verdicts.none}{verdicts.leaning.replace(';', ',')}"
                )
        told.append(f"{name}, in {counted(len(found), 'federation')}: {'; '.join(each)}.")
    if told and all(len(row.runs) < 2 for one in found for row in one.rows.values()):
        return [f"{counted(len(found), 'federation')}: {ALONE}"]
    return told and [*told, "Corrected by Holm over all federations and rows."]


def _sentence(one: Rounds, level: float) -> Sequence[str]:
    told: list[str] = []
    for opponent, phrase in PHRASES.items():
        found = {name: each for name, each in against_of(one, opponent, level).items() if one.rows[name].judged}
        for key, words in SAID.items():
            if names := [one.rows[name].label for name, (each, stays) in found.items() if (each.verdict, stays) == key]:
                told.append(f"{words.format(phrase)}: {', '.join(names)}")
    if not told:
        return []
    task = next(iter(one.rows.values())).task
    who = f"{counted(task.clients, 'client')}, {counted(task.rounds, 'round')}"
    if all(len(row.runs) < 2 for row in one.rows.values()):
        ends = ", ".join(
            f"{row.label} {100 * value:.1f} %" for row in one.rows.values() for value in row.accuracy().values()
        )
        return [f"{one.title}, {who}: {ALONE} At the end: {ends}."]
    return [
        f"{one.title}, {who}, by the accuracy at the end: {'; '.join(told)} (corrected by Holm, opponent by opponent)."
    ]
