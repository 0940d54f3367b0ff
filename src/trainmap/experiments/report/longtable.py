"""The cells of all tables as text for other programs: CSV, LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from trainmap.cells import csv_text
from trainmap.errors import one_line
from trainmap.experiments.results.records import Group, Record

LATEX_MARKS = {
    "beats random": r"\,$\blacktriangle$",
    "no difference shown": r"\,$\circ$",
    "worse": r"\,$\blacktriangledown$",
}


def table_csv(found: Sequence[Record]) -> str:
    """The long table: one line for each cell, the group's labels first; an end that cannot be had is empty."""
    return csv_text(
        [{**record.group, **{k: _blank(v) for k, v in asdict(record).items() if k != "group"}} for record in found]
    )


def _blank(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def latex(title: str, tables: Sequence[tuple[Group, Sequence[Record]]]) -> str:
    """The big tables for a paper (package ``booktabs`` and ``amssymb``): mean ± half of the interval, in percent."""
    parts = [f"% {one_line(title)}", "% needs \\usepackage{booktabs,amssymb}"]
    for group, budget, part in by_budget(tables):
        columns = list(dict.fromkeys(record.column for record in part))
        cells = {(record.subset, record.column): record for record in part}
        counts = sorted({record.n for record in part})
        n = f"$n = {counts[0]}$" if len(counts) == 1 else f"$n = {counts[0]}$ to ${counts[-1]}$"
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{Test macro F1 in percent, {_tex(group.title)}, {_tex(budget)}; {n}. "
            r"$\blacktriangle$ beats random of the same size, $\circ$ no difference shown, "
            r"$\blacktriangledown$ worse.}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns) + 1)}}}",
            r"\toprule",
            " & ".join(["subset", "examples", *map(_tex, columns)]) + r" \\",
            r"\midrule",
        ]
        for name in dict.fromkeys(record.subset for record in part):
            row = [cells.get((name, column)) for column in columns]
            examples = next(record.examples for record in row if record is not None)
            shown = [_tex_cell(record) for record in row]
            lines.append(" & ".join([_tex(name), f"{examples:,}".replace(",", r"\,"), *shown]) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    return "\n\n".join(parts) + "\n"


def _tex_cell(record: Record | None) -> str:
    if record is None:
        return "--"
    half = "" if math.isnan(record.low) else rf" $\pm$ {50 * (record.high - record.low):.1f}"
    return f"{100 * record.macro_f1:.1f}{half}{LATEX_MARKS.get(record.verdict, '')}"


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


def _tex(text: str) -> str:
    """Text that LaTeX shows as it is, in one line."""
    return "".join(TEX.get(letter, letter) for letter in " ".join(one_line(text).split()))


def by_budget(tables: Iterable[tuple[Group, Sequence[Record]]]) -> Iterator[tuple[Group, str, list[Record]]]:
    """The records of each group by training budget."""
    for group, part in tables:
        for budget in dict.fromkeys(record.budget for record in part):
            yield group, budget, [record for record in part if record.budget == budget]
