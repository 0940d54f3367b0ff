"""The table that says what paid and what did not: results.csv, report.md and report.html from the rows of runs.

One row per subset, one column per student, plain and distilled apart. A cell is the mean over seeds with its interval
and n, the difference from random selection of the same size (paired by seed) with its interval, and the verdict that
follows from that interval. What it cost stands beside it.
"""

from __future__ import annotations

import base64
import csv
import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jinja2

from trainmap.errors import TrainmapError
from trainmap.experiments.statistics import Difference, Estimate, holm_verdicts, interval, paired_difference
from trainmap.files import write_atomically

Row = Mapping[str, Any]
Column = tuple[str, bool]  # student, distilled
Role = Literal["random", "repeated random", "full data", "full data, equal steps", "selection", ""]
Verdict = Literal["better", "same", "worse", ""]

METRICS = {"test_macro_f1": "Test macro F1", "test_accuracy": "Test accuracy"}
NEEDED = (
    *("subset", "student", "distilled", "seed", *METRICS),
    *("examples", "fraction", "steps", "train_flops", "train_seconds"),
)
UNITS = ("flops", "seconds")
PAID_BACK = ("map", "scoring")  # the costs that a subset has to earn; a teacher serves full data just as well
SAME_SIZE = 0.01  # sizes that differ by at most this share are the same size (class balance may cost a few examples)
OPPONENTS: tuple[Role, ...] = ("full data", "full data, equal steps", "random", "repeated random")
VERDICTS: dict[str, Verdict] = {"beats random": "better", "no difference shown": "same", "worse": "worse"}
SYMBOLS = {"better": "▲", "same": "○", "worse": "▼", "": ""}
SENTENCES = {
    "beats random": "Beats random of the same size",
    "no difference shown": "No difference from random shown",
    "worse": "Worse than random of the same size",
}
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Report:
    """Everything a report is made of.

    Attributes:
        title: heading.
        rows: one per run: ``subset`` (a name, or the selection language), ``student``, ``distilled``, ``seed``,
            ``test_macro_f1`` and ``test_accuracy`` in 0..1, ``examples`` (in the subset), ``fraction`` 0..1,
            ``steps``, ``train_flops``, ``train_seconds``; optional ``budget`` ("equal epochs", "equal steps", ...: one
            set of tables for each). All else goes to results.csv only.
        costs: what is made once: ``map`` (required where there are selections), ``scoring``, ``teacher``,
            ``teacher inference``, ...: each with ``flops`` and ``seconds`` and, if useful, a ``note``. Map and scoring
            are what a subset has to pay back.
        models: one per model: ``name``, ``parameters``, ``flops`` (per example, forward), optional ``role``.
        notes: sentences for the reader: what was done, what the numbers do not say.
        provenance: name to value: dataset, fingerprints, command, versions.
        picture: the map as a PNG; part of report.html, referred to by report.md.
        level: confidence of the intervals.
    """

    title: str
    rows: Sequence[Row]
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    picture: Path | None = None
    level: float = 0.95


@dataclass(frozen=True)
class Cell:
    """What stands in one cell: a value, what belongs to it, and a verdict in words."""

    text: str
    detail: str = ""
    words: str = ""
    verdict: Verdict = ""
    firm: bool = False  # the verdict stays under Holm's correction over its table
    bar: tuple[float, float, float] | None = None  # low, mean, high of the difference; -1..1 is the width of the bar


Lines = tuple[tuple[str, Role, tuple[Cell, ...]], ...]  # name, its part in the comparison, cells


@dataclass(frozen=True)
class Grid:
    """A table for people: one line per subset (or model, or cost), cells in the order of ``heads``."""

    title: str
    lead: str
    corner: str
    heads: tuple[str, ...]
    kinds: tuple[str, ...]  # for every head: "plain", "distilled" or "" (belongs to both)
    lines: Lines
    aside: bool = False  # folded away at first


@dataclass(frozen=True)
class Comparison:
    """The runs of one training budget, grouped; names, columns and seeds in the order of the rows."""

    budget: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    runs: Mapping[tuple[str, Column], Mapping[int, Row]]
    opponents: Mapping[str, str]  # the random row that each subset is compared with
    level: float

    def values(self, name: str, column: Column, key: str) -> dict[int, float]:
        return {seed: row[key] for seed, row in self.runs.get((name, column), {}).items()}

    def mean(self, name: str, column: Column, key: str) -> float:
        found = self.values(name, column, key)
        return sum(found.values()) / len(found) if found else math.nan

    @property
    def full(self) -> str:
        """The name of the full-data row; "" without one."""
        return next((name for name in self.names if role(name) == "full data"), "")

    def cost(self, name: str, column: Column) -> dict[str, float]:
        """Mean FLOPs and seconds of one training run; NaN where there is none."""
        return {unit: self.mean(name, column, f"train_{unit}") for unit in UNITS}

    def first(self, name: str) -> Row:
        return next(row for (other, _), runs in self.runs.items() if other == name for row in runs.values())

    def against_random(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """The difference of every cell from its random cell, except in the random rows themselves."""
        return {
            (name, column): paired_difference(
                self.values(name, column, metric), self.values(self.opponents[name], column, metric), self.level
            )
            for name, column in self.runs
            if role(name) != "random"
        }

    def from_distillation(self, metric: str) -> dict[tuple[str, Column], Difference]:
        """Distilled minus plain, by subset and student, where both were run."""
        return {
            (name, (student, True)): paired_difference(
                self.values(name, (student, True), metric), self.values(name, (student, False), metric), self.level
            )
            for name, (student, distilled) in self.runs
            if distilled and (name, (student, False)) in self.runs
        }


def write_report(report: Report, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write ``report.md``, ``report.html`` (stands alone) and ``results.csv`` (every row) to ``folder``.

    The same report gives the same bytes: there is no time in it.

    Returns:
        ``{"markdown": path, "html": path, "rows": path}``.

    Raises:
        TrainmapError: no random row of the size of a subset, a missing field, a run given twice, a score outside
            0..1 or not finite, selections without the cost of their map.
    """
    place = Path(folder)
    texts = {
        "markdown": ("report.md", markdown(report, place)),
        "html": ("report.html", html(report)),
        "rows": ("results.csv", rows_csv(report.rows)),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts.values():
        with write_atomically(place / name) as handle:
            handle.write(text.encode())
    return {kind: place / name for kind, (name, _) in texts.items()}


def subset_name(spec: str) -> str:
    """A subset as a reader says it; names that are not in the selection language stay as they are.

    ``"33% ambiguous"`` → "ambiguous 33 %", ``"top 33% slope"`` → "high forgetfulness 33 %" (the study's word for the
    slope), ``"17% ambiguous + 25% easy-to-learn"`` → "ambiguous 17 % + easy-to-learn 25 %", ``"100%"`` → "full data".
    """
    said = []
    for part in spec.split(" + "):
        match = re.fullmatch(r"(top |bottom )?(\d+(?:\.\d+)?)(%?)(?: ([a-z0-9_-]+))?", part.strip())
        if match is None:
            return spec
        end, number, percent, what = match.groups()
        if what is None and (number, percent) != ("100", "%"):
            return spec
        words = {None: "full data", "slope": "forgetfulness"}.get(what, (what or "").replace("_", " "))
        size = f" {number} %" if percent else f", {number} examples"
        said.append({"top ": "high ", "bottom ": "low "}.get(end or "", "") + words + (size if what else ""))
    return " + ".join(said)


def break_even(map_cost: float, full_run: float, subset_run: float) -> float:
    """Runs after which a map has paid for itself: ``map_cost / (full_run - subset_run)``, rounded up.

    Infinity ("never") where a run on the subset is not cheaper than one on full data.
    """
    saved = full_run - subset_run
    runs = map_cost / saved if saved > 0 else math.inf
    return math.ceil(runs) if math.isfinite(runs) else math.inf


def compare(report: Report) -> list[Comparison]:
    """The rows of a report, checked and grouped, one comparison per budget."""
    if not report.rows:
        raise TrainmapError("a report needs at least one row, got none")
    budgets: dict[str, dict[tuple[str, Column], dict[int, Row]]] = {}
    for row in report.rows:
        what = f"row ({row.get('subset')}, {row.get('student')}, seed {row.get('seed')})"
        missing = [key for key in NEEDED if key not in row]
        if missing:
            raise TrainmapError(f"{what} must have {', '.join(missing)}; it has {', '.join(row)}")
        for metric in METRICS:
            if not 0 <= row[metric] <= 1:
                raise TrainmapError(f"{what}: {metric} must be a fraction from 0 to 1, got {row[metric]}")
        for key in ("train_flops", "train_seconds"):
            if not row[key] > 0:
                raise TrainmapError(
                    f"{what}: {key} must be above 0, got {row[key]}; a cost that is unknown is not zero"
                )
        group = budgets.setdefault(row.get("budget", ""), {})
        runs = group.setdefault((subset_name(row["subset"]), (row["student"], bool(row["distilled"]))), {})
        if row["seed"] in runs:
            raise TrainmapError(f"{what} is there twice; a seed is one run of a subset under a student")
        runs[row["seed"]] = row
    comparisons = []
    for budget, group in budgets.items():
        names = tuple(dict.fromkeys(name for name, _ in group))
        students = dict.fromkeys(student for _, (student, _) in group)
        kinds = sorted({distilled for _, (_, distilled) in group})
        columns = tuple((student, kind) for student in students for kind in kinds)
        draft = Comparison(budget, names, columns, group, {}, report.level)
        sizes = {name: int(draft.first(name)["examples"]) for name in names}
        comparisons.append(replace(draft, opponents=_opponents(sizes)))
    return comparisons


def role(name: str) -> Role:
    """The part that a subset plays in the comparison, by its name."""
    if re.match(r"repeated random\b", name):
        return "repeated random"
    if re.match(r"random\b", name):
        return "random"
    if re.match(r"full data\b", name):
        return "full data, equal steps" if "equal steps" in name else "full data"
    return "selection"


def _opponents(sizes: Mapping[str, int]) -> dict[str, str]:
    """Which random row each subset is compared with: the one of its size; for full data, the nearest in size."""
    random = [name for name in sizes if role(name) == "random"]
    found = {}
    for name, examples in sizes.items():
        nearest = min(random, key=lambda other: abs(sizes[other] - examples), default=None)
        if nearest is None:
            raise TrainmapError(
                "a comparison without random selection says nothing: no subset is called 'random ...'; "
                f"add one of the size of '{name}' ({examples} examples)"
            )
        if role(name) == "selection" and abs(sizes[nearest] - examples) > SAME_SIZE * examples:
            raise TrainmapError(
                f"a comparison without random of the same size says nothing: '{name}' has {examples} examples, the "
                f"nearest is '{nearest}' with {sizes[nearest]}; add a random subset of {examples}"
            )
        found[name] = nearest
    return found


def grids(report: Report) -> list[Grid]:
    """Every table of the report, in reading order."""
    comparisons = compare(report)
    found = []
    for comparison in comparisons:
        found.append(_score_grid(comparison, "test_macro_f1"))
        found.append(_cost_grid(comparison, report.costs))
        if comparison.from_distillation("test_macro_f1"):
            found.append(_distillation_grid(comparison, "test_macro_f1"))
        found.append(replace(_score_grid(comparison, "test_accuracy"), aside=True))
    if report.costs:
        found.append(_once_grid(report.costs))
    if report.models:
        found.append(_models_grid(report.models))
    return found


def _score_grid(comparison: Comparison, metric: str) -> Grid:
    differences = comparison.against_random(metric)
    firm = dict(zip(differences, holm_verdicts(list(differences.values()), comparison.level)))
    digits, scale = _digits(differences), _scale(differences)

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.runs:
            return Cell("–")
        estimate = interval(list(comparison.values(name, column, metric).values()), comparison.level)
        if (name, column) not in differences:
            return Cell(_estimate(estimate, digits), words="the opponent")
        difference = differences[name, column]
        return Cell(
            _estimate(estimate, digits),
            _difference(difference, digits, estimate.n),
            difference.verdict,
            VERDICTS[difference.verdict],
            firm[name, column] == difference.verdict != "no difference shown",
            _bar(difference, scale),
        )

    lead = (
        f"Mean over n seeds in percent ± half of the {100 * comparison.level:g} % interval; the difference from random "
        "selection of the same size in points, paired by seed, with its interval and verdict. Cost: training relative "
        "to full data."
    )
    grid = _students_grid(METRICS[metric], lead, comparison, cell)
    return _with_columns(grid, {"cost": lambda name: _cost(comparison, name)})


def _distillation_grid(comparison: Comparison, metric: str) -> Grid:
    gains = comparison.from_distillation(metric)
    firm = dict(zip(gains, holm_verdicts(list(gains.values()), comparison.level)))
    digits, scale = _digits(gains), _scale(gains)
    words = {"beats random": "helps", "no difference shown": "no difference shown", "worse": "hurts"}

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in gains:
            return Cell("–")
        gain = gains[name, column]
        verdict = VERDICTS[gain.verdict]
        stays = firm[name, column] == gain.verdict != "no difference shown"
        return Cell(_difference(gain, digits), "", words[gain.verdict], verdict, stays, _bar(gain, scale))

    lead = f"{METRICS[metric]} with distillation minus without, in points, same subset, student and seed."
    distilled = replace(comparison, columns=tuple(column for column in comparison.columns if column[1]))
    return _students_grid("What distillation adds", lead, distilled, cell)


def _cost_grid(comparison: Comparison, costs: Mapping[str, Mapping[str, Any]]) -> Grid:
    if "map" not in costs and any(role(name) == "selection" for name in comparison.names):
        raise TrainmapError("cost is counted whole: costs must have 'map' (flops, seconds) where subsets come from one")
    made = {unit: sum(costs[part][unit] for part in PAID_BACK if part in costs) for unit in UNITS}

    def cell(name: str, column: Column) -> Cell:
        if (name, column) not in comparison.runs:
            return Cell("–")
        spent, whole = comparison.cost(name, column), comparison.cost(comparison.full, column)
        text, detail = _flops(spent["flops"]), _seconds(spent["seconds"])
        if not math.isnan(whole["flops"]):
            text = f"{text} ({_percent(spent['flops'] / whole['flops'])})"
            detail = f"{detail} ({_percent(spent['seconds'] / whole['seconds'])})"
        if role(name) != "selection" or math.isnan(whole["flops"]):
            return Cell(text, detail)
        by_flops, by_seconds = (break_even(made[unit], whole[unit], spent[unit]) for unit in UNITS)
        return Cell(text, detail, _reuses(by_flops, by_seconds))

    lead = "Training of one student, mean over seeds"
    lead += ", in brackets relative to full data" if comparison.full else "; full data was not run here"
    if made["flops"]:
        lead += (
            f"; the map with its scores ({_flops(made['flops'])}, {_seconds(made['seconds'])}) is paid back after "
            "map / (full run − subset run) runs. Random selection needs no map"
        )
    sizes = {
        "examples": lambda name: Cell(
            f"{comparison.first(name)['examples']:,}", _percent(comparison.first(name)["fraction"])
        ),
        "steps": lambda name: Cell(_range(comparison, name, "steps")),
    }
    return _with_columns(_students_grid("Cost", f"{lead}.", comparison, cell), sizes)


def _cost(comparison: Comparison, name: str) -> Cell:
    """What a subset costs to train on, relative to full data, over all students that ran both."""
    columns = [c for c in comparison.columns if {(name, c), (comparison.full, c)} <= comparison.runs.keys()]
    if not columns:
        return Cell("–")
    spent, whole = (
        {unit: sum(comparison.cost(which, column)[unit] for column in columns) for unit in UNITS}
        for which in (name, comparison.full)
    )
    flops, seconds = (_percent(spent[unit] / whole[unit]) for unit in UNITS)
    return Cell(f"{flops} FLOPs", f"{seconds} time")


def _range(comparison: Comparison, name: str, key: str) -> str:
    values = [row[key] for (other, _), runs in comparison.runs.items() if other == name for row in runs.values()]
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _once_grid(costs: Mapping[str, Mapping[str, Any]]) -> Grid:
    lines: Lines = tuple(
        (name, "", (Cell(_flops(cost["flops"])), Cell(_seconds(cost["seconds"])), Cell(cost.get("note", ""))))
        for name, cost in costs.items()
    )
    return Grid("Made once", "Shared by every run above.", "what", ("FLOPs", "time", "note"), ("",) * 3, lines)


def _models_grid(models: Sequence[Mapping[str, Any]]) -> Grid:
    lines: Lines = tuple(
        (
            model["name"],
            "",
            (Cell(model.get("role", "")), Cell(f"{model['parameters']:,}"), Cell(_flops(model["flops"]))),
        )
        for model in models
    )
    lead = "FLOPs of one forward pass of one example; training is counted as three of them."
    return Grid("Models", lead, "model", ("part", "parameters", "FLOPs per example"), ("",) * 3, lines)


def _students_grid(title: str, lead: str, comparison: Comparison, cell: Callable[[str, Column], Cell]) -> Grid:
    heads = tuple(f"{student} + KD" if distilled else student for student, distilled in comparison.columns)
    kinds = tuple("distilled" if distilled else "plain" for _, distilled in comparison.columns)
    lines: Lines = tuple(
        (name, role(name), tuple(cell(name, column) for column in comparison.columns)) for name in comparison.names
    )
    title = f"{title}, {comparison.budget}" if comparison.budget else title
    return Grid(title, lead, "subset", heads, kinds, lines)


def _with_columns(grid: Grid, columns: Mapping[str, Callable[[str], Cell]]) -> Grid:
    """The grid with columns before those of the students, filled by the name of the subset."""
    lines: Lines = tuple(
        (name, part, (*(make(name) for make in columns.values()), *cells)) for name, part, cells in grid.lines
    )
    kinds = ("",) * len(columns) + grid.kinds
    return replace(grid, heads=(*columns, *grid.heads), kinds=kinds, lines=lines)


def summary(report: Report) -> list[str]:
    """What the main table says, in sentences that follow from its verdicts."""
    said = []
    for comparison in compare(report):
        where = f"{comparison.budget}: " if comparison.budget else ""
        differences = comparison.against_random("test_macro_f1")
        chosen = {key: value for key, value in differences.items() if role(key[0]) == "selection"}
        for verdict, words in SENTENCES.items():
            keys = [key for key, difference in chosen.items() if difference.verdict == verdict]
            said.append(f"{where}{words}: {_named(keys, comparison) or 'nothing'}.")
        gains = [gain.verdict for gain in comparison.from_distillation("test_macro_f1").values()]
        if gains:
            said.append(
                f"{where}Distillation helps in {gains.count('beats random')} of {len(gains)} comparisons, hurts in "
                f"{gains.count('worse')}, no difference shown in {gains.count('no difference shown')}."
            )
        stay = sum(
            verdict != "no difference shown" for verdict in holm_verdicts(list(differences.values()), comparison.level)
        )
        called = sum(difference.verdict != "no difference shown" for difference in differences.values())
        said.append(
            f"{where}{len(differences)} comparisons at {100 * comparison.level:g} %: about "
            f"{(1 - comparison.level) * len(differences):.1f} would show a difference by chance alone. {called} do; "
            f"{stay} of them stay under Holm's correction (doubled symbol)."
        )
    present = {role(name) for comparison in compare(report) for name in comparison.names}
    if any("equal steps" in comparison.budget for comparison in compare(report)):
        present.add("full data, equal steps")
    absent = [part for part in OPPONENTS if part not in present]
    if absent:
        said.append(f"Not in this comparison: {', '.join(absent)}.")
    return said


def _named(keys: Sequence[tuple[str, Column]], comparison: Comparison) -> str:
    by_name: dict[str, list[str]] = {}
    for name, (student, distilled) in keys:
        by_name.setdefault(name, []).append(f"{student} + KD" if distilled else student)
    everywhere = len(comparison.columns)
    return ", ".join(
        name if len(students) == everywhere > 1 else f"{name} ({', '.join(students)})"
        for name, students in by_name.items()
    )


def markdown(report: Report, folder: Path | None = None) -> str:
    """The report as GitHub Markdown that reads well raw, too; ``folder`` is where it will stand (for the picture)."""
    parts = [f"# {_escape(report.title)}", "\n".join(f"- {_escape(sentence)}" for sentence in summary(report))]
    if report.picture is not None:
        place = report.picture if folder is None else Path(os.path.relpath(report.picture, folder))
        parts.append(f"![the data map]({place.as_posix()})")
    for grid in grids(report):
        parts.append(f"## {_escape(grid.title)}\n\n{_escape(grid.lead)}")
        kinds = sorted(set(grid.kinds) - {""}, reverse=True) or [""]
        for kind in kinds:
            if len(kinds) > 1:
                parts.append("With distillation (KD):" if kind == "distilled" else "Plain training:")
            shown = [position for position, own in enumerate(grid.kinds) if own in ("", kind)]
            head = [grid.corner, *(grid.heads[position] for position in shown)]
            body = [
                [f"**{_escape(name)}**" if part in OPPONENTS else _escape(name), *(_line(cells[i]) for i in shown)]
                for name, part, cells in grid.lines
            ]
            parts.append(_pipes([[_escape(text) for text in head], *body]))
    if report.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {_escape(note)}" for note in report.notes))
    if report.provenance:
        told = "\n".join(f"- {_escape(name)}: {_escape(str(value))}" for name, value in report.provenance.items())
        parts.append(f"## Provenance\n\n{told}")
    return "\n\n".join(parts) + "\n"


def html(report: Report) -> str:
    """The report as one HTML file: its style and its picture inside, no script, nothing fetched."""
    picture = ""
    if report.picture is not None:
        if not report.picture.is_file():
            raise TrainmapError(f"picture must be a PNG file, got {report.picture}, which is not there")
        picture = base64.b64encode(report.picture.read_bytes()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        report=report, grids=grids(report), summary=summary(report), picture=picture, symbols=SYMBOLS
    )


def rows_csv(rows: Sequence[Row]) -> str:
    """Every row with every field, columns in the order in which they first appear."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def _line(cell: Cell) -> str:
    words = f"{_symbol(cell)} {cell.words}".strip()
    return "; ".join(_escape(text) for text in (cell.text, cell.detail, words) if text)


def _symbol(cell: Cell) -> str:
    return SYMBOLS[cell.verdict] * (2 if cell.firm else 1)


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table as well: no markup, no links, one line."""
    quoted = re.sub(r"([\\|*`]|\](?=\())", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"\s+", " ", quoted)


def _digits(differences: Mapping[Any, Difference]) -> int:
    """Digits behind the point: two where intervals are narrow (typically below a point) or where one digit would show
    the end that decides a verdict as zero, otherwise one."""
    shown = [d for d in differences.values() if not math.isnan(d.low)]
    widths = sorted(d.high - d.low for d in shown)
    close = any(d.verdict != "no difference shown" and min(abs(d.low), abs(d.high)) < 0.0005 for d in shown)
    return 2 if close or (widths and widths[len(widths) // 2] < 0.01) else 1


def _scale(differences: Mapping[Any, Difference]) -> float:
    """The difference at the end of a bar: the largest end of an interval, but at most thrice the largest mean."""
    ends = [abs(end) for d in differences.values() for end in (d.low, d.high) if not math.isnan(end)]
    means = [abs(d.mean) for d in differences.values() if not math.isnan(d.mean)]
    return min(max(ends), 3 * max(means)) if ends else 0.0


def _bar(difference: Difference, scale: float) -> tuple[float, float, float] | None:
    if math.isnan(difference.low) or scale == 0:
        return None
    low, mean, high = (
        max(-1.0, min(1.0, value / scale)) for value in (difference.low, difference.mean, difference.high)
    )
    return low, mean, high


def _estimate(estimate: Estimate, digits: int) -> str:
    mean = f"{100 * estimate.mean:.{digits}f}"
    if estimate.n == 1:
        return f"{mean} (n=1)"
    if math.isnan(estimate.low):
        return f"{mean} (n={estimate.n}, identical)"
    return f"{mean} ± {100 * estimate.half_width:.{digits}f} (n={estimate.n})"


def _difference(difference: Difference, digits: int, n: int | None = None) -> str:
    """``+0.5 [−0.1, +1.1]``, and n where it is not ``n``."""
    if difference.n == 0:
        return "no common seed"
    mean = _signed(difference.mean, digits)
    if math.isnan(difference.low):
        return f"{mean} (n=1, no interval)" if difference.n == 1 else f"{mean} (n={difference.n}, identical)"
    ends = f"{mean} [{_signed(difference.low, digits)}, {_signed(difference.high, digits)}]"
    return ends if n == difference.n else f"{ends} (n={difference.n})"


def _signed(value: float, digits: int) -> str:
    text = f"{100 * value:+.{digits}f}"
    return text[1:] if not text.strip("+-0.") else text.replace("-", MINUS)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def _flops(flops: float) -> str:
    for unit, name in ((1e15, "PFLOPs"), (1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs")):
        if flops >= 0.9995 * unit:
            return f"{flops / unit:.3g} {name}"
    return f"{flops:.3g} FLOPs"


def _seconds(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def _reuses(by_flops: float, by_seconds: float) -> str:
    if math.isinf(by_flops) and math.isinf(by_seconds):
        return "map never pays"
    flops, seconds = ("never" if math.isinf(runs) else f"{runs:.0f}" for runs in (by_flops, by_seconds))
    told = "map never pays" if math.isinf(by_flops) else f"map pays after {flops} run{'s' * (by_flops != 1)}"
    return told if flops == seconds else f"{told} ({seconds} by time)"
