"""What the main tables say, in sentences that follow from their verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from trainmap.errors import counted
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.results.facts import PRICED, REFERENCES
from trainmap.experiments.results.run_rows import Report
from trainmap.experiments.results.statistics import Verdict, firm_of
from trainmap.experiments.results.versus_random import Column, Comparison, compare

EQUAL_STEPS = "equal steps"  # the budget in which full data has as many steps as every row
SENTENCES = {
    Verdict.ABOVE: "Beats random of the same size",
    Verdict.NONE: "No difference from random shown",
    Verdict.BELOW: "Worse than random of the same size",
}

AT_COST = {
    Verdict.ABOVE: "Beats random that may spend what the map costs as well",
    Verdict.NONE: "No difference from it shown",
    Verdict.BELOW: "Worse than random that may spend what the map costs as well",
}


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
    for verdict, words in SENTENCES.items() if differences else ():
        keys = [key for key, difference in differences.items() if difference.verdict == verdict]
        said.append(f"{where}{words}: {_named(keys, comparison) or 'nothing'}.")
    paid = comparison.against_price("test_macro_f1")
    for verdict, words in AT_COST.items() if paid else ():
        keys = [key for key, difference in paid.items() if difference.verdict == verdict]
        said.append(f"{where}{words}: {_named(keys, comparison) or 'nothing'}.")
    taught: dict[str, list[Verdict]] = {}
    for (_, (_, way)), gain in comparison.from_distillation("test_macro_f1").items():
        taught.setdefault(way, []).append(gain.verdict)
    for way, gains in taught.items():
        said.append(
            f"{where}Distillation by {way} helps in {gains.count(Verdict.ABOVE)} of "
            f"{counted(len(gains), 'comparison')}, hurts in {gains.count(Verdict.BELOW)}, no difference shown in "
            f"{gains.count(Verdict.NONE)}."
        )
    if differences:
        stay = sum(firm_of(differences, comparison.level).values())
        called = sum(difference.verdict != Verdict.NONE for difference in differences.values())
        said.append(
            f"{where}{counted(len(differences), 'comparison')} at {100 * comparison.level:g} %: about "
            f"{(1 - comparison.level) * len(differences):.1f} would show a difference by chance alone. {called} "
            f"do; {stay} of them stay under Holm's correction (doubled symbol)."
        )
    return said


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
