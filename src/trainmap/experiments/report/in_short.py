"""What the main tables say, in sentences that follow from their verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trainmap.errors import counted
from trainmap.experiments.report.judged_cells import judged_of, tally_of
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.results.facts import PRICED, REFERENCES
from trainmap.experiments.results.run_rows import Report
from trainmap.experiments.results.statistics import Difference, Verdict, firm_of
from trainmap.experiments.results.versus_random import Column, Comparison, compare

EQUAL_STEPS = "equal steps"  # the budget in which full data has as many steps as every row
Key = tuple[Verdict, bool]  # whether it stays under Holm's correction
SENTENCES: Mapping[Key, str] = {
    (Verdict.ABOVE, True): "Beats random of the same size",
    (Verdict.ABOVE, False): "Better than random of the same size, but not after correction",
    (Verdict.NONE, False): "No difference from random shown",
    (Verdict.BELOW, False): "Worse than random of the same size, but not after correction",
    (Verdict.BELOW, True): "Worse than random of the same size",
}

AT_COST: Mapping[Key, str] = {
    (Verdict.ABOVE, True): "Beats random that may spend what the map costs as well",
    (Verdict.ABOVE, False): "Better than random that may spend what the map costs as well, but not after correction",
    (Verdict.NONE, False): "No difference from it shown",
    (Verdict.BELOW, False): "Worse than random that may spend what the map costs as well, but not after correction",
    (Verdict.BELOW, True): "Worse than random that may spend what the map costs as well",
}
ALWAYS = ((Verdict.ABOVE, True), (Verdict.NONE, False), (Verdict.BELOW, True))
"""What is said even where it is nothing."""


def summary(report: Report) -> list[str]:
    """What the main table of each budget says, and which opponents are not there."""
    comparisons = compare(report)
    said = [sentence for comparison in comparisons for sentence in _said(comparison)]
    present = {comparison.draw(name) for comparison in comparisons for name in comparison.names}
    if any(comparison.budget == EQUAL_STEPS for comparison in comparisons):
        present.add("full, equal steps")
    absent = [words for draw, words in REFERENCES.items() if draw not in (*present, PRICED)]
    if absent:
        said.append(f"Not in this comparison: {', '.join(absent)}.")
    return said


def _said(comparison: Comparison) -> list[str]:
    where = f"{comparison.budget}: " if comparison.budget else ""
    differences = comparison.against_random("test_macro_f1")
    said: list[str] = []
    for words, family in ((SENTENCES, differences), (AT_COST, comparison.against_price("test_macro_f1"))):
        said += [f"{where}{text}" for text in _by_verdict(words, family, comparison)]
    taught: dict[str, list[Key]] = {}
    for (_, (_, way)), (gain, firm) in judged_of(
        comparison.from_distillation("test_macro_f1"), comparison.level
    ).items():
        taught.setdefault(way, []).append((gain.verdict, firm))
    for way, gains in taught.items():
        verdicts = tally_of(gains)
        said.append(
            f"{where}Distillation by {way} helps in {verdicts.firm_above} of {counted(len(gains), 'comparison')}, "
            f"hurts in {verdicts.firm_below}, no difference shown in {verdicts.none}{verdicts.leaning}."
        )
    if differences:
        stay = sum(firm_of(differences, comparison.level).values())
        called = sum(difference.verdict != Verdict.NONE for difference in differences.values())
        said.append(
            f"{where}{counted(len(differences), 'comparison')} at {100 * comparison.level:g} %: about "
            f"{(1 - comparison.level) * len(differences):.1f} would show a difference by chance alone. {called} "
            f"do; {stay} of them stay under Holm's correction (filled symbol)."
        )
    return said


def _by_verdict(
    words: Mapping[Key, str], family: Mapping[tuple[str, Column], Difference], comparison: Comparison
) -> Iterator[str]:
    """Which rows came out how, a sentence for each way."""
    judged = judged_of(family, comparison.level)
    for key, text in words.items() if family else ():
        its = [place for place, (one, firm) in judged.items() if (one.verdict, firm) == key]
        if its or key in ALWAYS:
            yield f"{text}: {_named(its, comparison) or 'nothing'}."


def _named(keys: Sequence[tuple[str, Column]], comparison: Comparison) -> str:
    by_name: dict[str, list[str]] = {}
    heads = column_names(comparison.columns)
    for name, column in keys:
        rival = comparison.rival(name)
        by_name.setdefault(f"{name} against {rival}" if rival else name, []).append(heads[column])
    everywhere = len(comparison.columns)
    return ", ".join(
        name if len(students) == everywhere > 1 else f"{name} ({', '.join(students)})"
        for name, students in by_name.items()
    )
