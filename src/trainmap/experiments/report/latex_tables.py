"""The big tables for a paper: LaTeX, with the packages ``booktabs`` and ``amssymb``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainmap.errors import one_line
from trainmap.experiments.report.overview_tables import Table, by_budget
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.report.verdict_words import versus
from trainmap.experiments.results.statistics import Verdict

if TYPE_CHECKING:
    from trainmap.experiments.report.apart_rows import Apart

MARKS: Mapping[tuple[Verdict, bool], str] = {
    (Verdict.ABOVE, True): r"$\blacktriangle$",
    (Verdict.ABOVE, False): r"$\vartriangle$",
    (Verdict.NONE, False): r"$\circ$",
    (Verdict.BELOW, False): r"$\triangledown$",
    (Verdict.BELOW, True): r"$\blacktriangledown$",
}
"""By the verdict and whether it stays under Holm's correction over its table."""


def latex(title: str, tables: Sequence[Table], apart: Sequence[Apart] = ()) -> str:
    """A table for each group and budget: mean ± half of the interval, in percent, and the mark of its verdict. Then one
    for each table of what stands apart: the score, and the difference from each opponent in points with its mark."""
    parts = [f"% {one_line(title)}", "% needs \\usepackage{booktabs,amssymb}"]
    for group, budget, part in by_budget(tables):
        cells = {(row["subset"], (row["student"], row["taught"])): row for row in part}
        columns = column_names(dict.fromkeys(column for _, column in cells))
        counts = sorted({row["n"] for row in part})
        n = f"$n = {counts[0]}$" if len(counts) == 1 else f"$n = {counts[0]}$ to ${counts[-1]}$"
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{Test macro F1 in percent, {tex(group.title)}, {tex(budget)}; {n}. "
            rf"{marks_told(part)}.}}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns) + 1)}}}",
            r"\toprule",
            " & ".join(["subset", "examples", *map(tex, columns.values())]) + r" \\",
            r"\midrule",
        ]
        for name in dict.fromkeys(row["subset"] for row in part):
            rows = [cells.get((name, column)) for column in columns]
            examples = next(row["examples"] for row in rows if row is not None)
            lines.append(" & ".join([tex(name), f"{examples:,}".replace(",", r"\,"), *map(_cell, rows)]) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    names = dict.fromkeys(one.table for one in apart)
    parts += [_apart([one for one in apart if one.table == name]) for name in names]
    return "\n\n".join(parts) + "\n"


def _apart(rows: Sequence[Apart]) -> str:
    opponents = list(dict.fromkeys(one.opponent for one in rows if one.opponent))
    held = {(one.row, one.opponent): one for one in rows}
    there = dict.fromkeys((one.found[0].verdict, one.found[1]) for one in rows if one.found is not None)
    marks = ", ".join(f"{mark} {tex(versus('it').of(*key))}" for key, mark in MARKS.items() if key in there)
    told = f" Differences in points: {marks}." if marks else ""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(rows[0].table)}: {tex(rows[0].measure)}, percent.{told}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(opponents) + 1)}}}",
        r"\toprule",
        " & ".join(["row", "score", *(f"minus {tex(opponent)}" for opponent in opponents)]) + r" \\",
        r"\midrule",
    ]
    for name in dict.fromkeys(one.row for one in rows):
        score = next(one.score for one in rows if one.row == name)
        cells = [_score(score.mean, score.low, score.high), *(_minus(held.get((name, one))) for one in opponents)]
        lines.append(" & ".join([tex(name), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _minus(one: Apart | None) -> str:
    if one is None or one.found is None:
        return "--"
    difference, firm = one.found
    ends = [f"{100 * end:+.1f}" for end in (difference.mean, difference.low, difference.high) if not math.isnan(end)]
    told = f"${ends[0]}$ $[{ends[1]}, {ends[2]}]$" if len(ends) == 3 else f"${ends[0]}$"
    return rf"{told}\,{MARKS[difference.verdict, firm]}"


def marks_told(rows: Iterable[Mapping[str, Any]]) -> str:
    """What the marks of a table say, each that it has."""
    there = {(Verdict(row["verdict"]), row["firm"]): None for row in rows if row["verdict"]}
    rivals = dict.fromkeys(row["opponent"] for row in rows if row.get("opponent"))
    who = " or ".join(["random of the same size", *rivals])
    told = [f"{mark} {tex(versus(who).of(*key))}" for key, mark in MARKS.items() if key in there]
    return ", ".join(told) or "nothing to compare with"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "--"
    mark = rf"\,{MARKS[Verdict(row['verdict']), row['firm']]}" if row["verdict"] else ""
    return f"{_score(row['macro_f1'], row['low'], row['high'])}{mark}"


def _score(mean: float, low: float, high: float) -> str:
    """Percent, with half of the interval where there is one."""
    half = "" if math.isnan(low) else rf" $\pm$ {50 * (high - low):.1f}"
    return f"{100 * mean:.1f}{half}"


TEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "`": r"\textasciigrave{}",
    '"': r"\textquotedbl{}",
    **{mark: f"\\{mark}" for mark in "{}%&#_$"},
    "[": "{[}",
    "*": "{*}",  # after the end of a row they would be an option of it
}


def tex(text: str) -> str:
    """Text that LaTeX shows as it is, in one line."""
    return "".join(TEX.get(letter, letter) for letter in " ".join(one_line(text).split()))
