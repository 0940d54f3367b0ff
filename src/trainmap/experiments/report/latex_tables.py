"""The big tables for a paper: LaTeX, with the packages ``booktabs`` and ``amssymb``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainmap.errors import one_line
from trainmap.experiments.report.overview_tables import Table, by_budget
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.report.verdict_words import VERSUS_RANDOM
from trainmap.experiments.results.statistics import Verdict

MARKS = {Verdict.ABOVE: r"$\blacktriangle$", Verdict.NONE: r"$\circ$", Verdict.BELOW: r"$\blacktriangledown$"}


def latex(title: str, tables: Sequence[Table]) -> str:
    """A table for each group and budget: mean ± half of the interval, in percent, and the mark of its verdict."""
    parts = [f"% {one_line(title)}", "% needs \\usepackage{booktabs,amssymb}"]
    above, none, below = (f"{MARKS[verdict]} {VERSUS_RANDOM.of(verdict)}" for verdict in MARKS)
    for group, budget, part in by_budget(tables):
        cells = {(row["subset"], (row["student"], row["taught"])): row for row in part}
        columns = column_names(dict.fromkeys(column for _, column in cells))
        counts = sorted({row["n"] for row in part})
        n = f"$n = {counts[0]}$" if len(counts) == 1 else f"$n = {counts[0]}$ to ${counts[-1]}$"
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{Test macro F1 in percent, {tex(group.title)}, {tex(budget)}; {n}. "
            rf"{above} of the same size, {none}, {below}.}}",
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
    return "\n\n".join(parts) + "\n"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "--"
    half = "" if math.isnan(row["low"]) else rf" $\pm$ {50 * (row['high'] - row['low']):.1f}"
    mark = rf"\,{MARKS[Verdict(row['verdict'])]}" if row["verdict"] else ""
    return f"{100 * row['macro_f1']:.1f}{half}{mark}"


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
