"""The pictures and tables of docs/selection.md, from the folders of finished experiments.

    python docs/pictures.py --beat beat --held-out held-out --dynamic dynamic --crossover crossover --noisy noisy

Each folder is the ``--out`` of ``trainmap run experiments/NAME.yaml``. Pictures and ``selection-tables.md`` go beside
this file. Differences are in points of test macro F1, paired by seed, with their 95 % Student t interval.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from trainmap.experiments.results.statistics import Difference, Verdict, interval, paired_difference
from trainmap.views.style import FAINT, INK, SOFT, STYLE

HERE = Path(__file__).parent
Values = dict[int, float]  # seed -> test macro F1 in percent

HEAD = """# Tables of the selection experiments

Made by `docs/pictures.py` from finished runs of the files named; n = 5 seeds for random, auto and repeated auto, 3 for
what a file says. Test macro F1 in percent, differences in points, paired by seed, with their 95 % Student t interval;
✓ above 0, ✗ below. `auto` and repeated auto are those of version 0.2. What they mean stands in
[which strategy when](selection.md)."""

LINES = {
    "auto": ("#5a9e1a", "o"),
    "repeated auto": ("#c2185b", "v"),
    "full data, equal steps": ("#3b528b", "s"),
    "repeated random": ("#21918c", "^"),
    "class-balanced random": ("#b08900", "D"),
}


@dataclass(frozen=True)
class Runs:
    """The runs of an experiment by where they stand: ``values[place, subset]`` and ``flops[place, subset]``."""

    values: dict[tuple[tuple[str, ...], str], Values]
    flops: dict[tuple[tuple[str, ...], str], float]

    @property
    def places(self) -> list[tuple[str, ...]]:
        return list(dict.fromkeys(place for place, _ in self.values))

    def subsets(self, place: tuple[str, ...]) -> list[str]:
        return [subset for other, subset in self.values if other == place]

    def difference(self, place: tuple[str, ...], subset: str, other: str) -> Difference | None:
        both = self.values.get((place, subset)), self.values.get((place, other))
        return None if both[0] is None or both[1] is None else paired_difference(both[0], both[1])


def read(folder: Path) -> Runs:
    """``results.csv`` of a finished experiment. A place is what comes before the subset (dataset, map, values of the
    grid), the student (``+ KD`` where distilled) and the budget."""
    table = pl.read_csv(folder / "results.csv", infer_schema_length=None)
    before = table.columns[: table.columns.index("subset")]
    values: dict[tuple[tuple[str, ...], str], Values] = {}
    flops: dict[tuple[tuple[str, ...], str], list[float]] = {}
    for row in table.iter_rows(named=True):
        student = f"{row['student']} + KD" if row["distilled"] in (True, "True", "true") else row["student"]
        place = (*(str(row[name]) for name in before), student, row["budget"])
        values.setdefault((place, row["subset"]), {})[row["seed"]] = 100 * row["test_macro_f1"]
        flops.setdefault((place, row["subset"]), []).append(row["train_flops"])
    return Runs(values, {key: sum(found) / len(found) for key, found in flops.items()})


def sized(subset: str) -> tuple[str, float]:
    """``"auto 33 %"`` -> ``("auto", 33)``; 100 where there is no size."""
    found = re.fullmatch(r"(.*) ([\d.]+) %", subset)
    return (found[1], float(found[2])) if found else (subset, 100.0)


def title(place: tuple[str, ...]) -> str:
    return ", ".join(part for part in place[:-1] if part)


MARKS = {Verdict.ABOVE: " ✓", Verdict.BELOW: " ✗"}


def told(difference: Difference | None) -> str:
    """``+1.06 [+0.62, +1.50] ✓``."""
    if difference is None:
        return "–"
    mark = MARKS.get(difference.verdict, "")
    ends = "" if math.isnan(difference.low) else f" [{difference.low:+.2f}, {difference.high:+.2f}]{mark}"
    return f"{difference.mean:+.2f}{ends}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """``−0.12``."""
    return f"{value:+.{digits}f}".replace("-", "−")


def mean(values: Values | None) -> str:
    if values is None:
        return "–"
    found = interval(list(values.values()))
    return f"{found.mean:.1f}" + ("" if math.isnan(found.low) else f" ± {found.half_width:.1f}")


PAGE: list[str] = []
"""The parts of selection-tables.md."""


def table(title_: str, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    PAGE.append(f"### {title_}")
    rows = ("| " + " | ".join(line) + " |" for line in lines)
    PAGE.append("\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows]))


def save(figure: Figure, name: str) -> None:
    figure.savefig(HERE / name, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def dress(axes: Axes, heading: str, x: str = "", y: str = "") -> None:
    axes.set_title(heading, fontsize=9.5)
    axes.set_xlabel(x, fontsize=8.5)
    axes.set_ylabel(y, fontsize=8.5)
    axes.axhline(0, color=SOFT, lw=1, zorder=1)
    axes.grid(color=FAINT, lw=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def curve(axes: Axes, xs: Sequence[float], found: Sequence[Difference], colour: str, marker: str, name: str) -> None:
    """A line of differences, with bars for their intervals (cut at the panel, not in the table)."""
    means = np.array([one.mean for one in found])
    ends = np.array([[one.mean - one.low, one.high - one.mean] for one in found]).T
    bars = {"yerr": np.nan_to_num(ends), "elinewidth": 0.9, "capsize": 2, "lw": 1.4, "ms": 4}
    axes.errorbar(xs, means, color=colour, marker=marker, label=name, zorder=3, **bars)


def grid_of(count: int, columns: int, width: float = 2.9, height: float = 2.4) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    flat = list(axes.flat)
    for empty in flat[count:]:
        empty.set_visible(False)
    return figure, flat[:count]


def beside_random(runs: Runs, name: str) -> None:
    """Against random of the same size: lines over the kept share, one panel for each dataset and student."""
    places = [place for place in runs.places if any("auto" in subset for subset in runs.subsets(place))]
    figure, panels = grid_of(len(places), 4)
    for axes, place in zip(panels, places, strict=True):
        shown: list[Difference] = []
        for line, (colour, marker) in LINES.items():
            sizes = sorted(size for what, size in map(sized, runs.subsets(place)) if what == line)
            found = [runs.difference(place, f"{line} {size:g} %", f"random {size:g} %") for size in sizes]
            there = [(size, one) for size, one in zip(sizes, found, strict=True) if one is not None]
            if there:
                curve(axes, [size for size, _ in there], [one for _, one in there], colour, marker, line)
                shown += [one for _, one in there]
        means = [one.mean for one in shown]
        room = 0.35 * (max(means) - min(means)) + 0.4
        axes.set_ylim(min(0, *means) - room, max(0, *means) + room)
        dress(axes, title(place), "kept, percent", "points over random")
    figure.tight_layout()
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels), key=lambda found: len(found[1]))
    figure.legend(handles, labels, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=9)
    save(figure, name)


def auto_table(runs: Runs, sizes: Sequence[float], what: str, opponent: str) -> None:
    """One row against another of the same size, and what of it holds in how many cells."""
    lines, cells = [], []
    for place in runs.places:
        found = [runs.difference(place, f"{what} {size:g} %", f"{opponent} {size:g} %") for size in sizes]
        if not any(found):
            continue
        cells += [(one, size, place) for one, size in zip(found, sizes, strict=True) if one is not None]
        lines.append([title(place), *map(told, found), mean(runs.values.get((place, "full data")))])
    heads = ["data, student", *(f"{size:g} %" for size in sizes), "all the data"]
    table(f"{what} against {opponent}", heads, lines)
    better, worse = (sum(one.verdict is verdict for one, _, _ in cells) for verdict in (Verdict.ABOVE, Verdict.BELOW))
    low = min(cells, key=lambda cell: cell[0].mean)
    some = [one.mean for one, size, _ in cells if size <= 33]
    PAGE.append(
        f"{len(cells)} cells, better {better}, worse {worse}; lowest mean {low[0].mean:+.2f} "
        f"({title(low[2])}, {low[1]:g} %). Of the {len(some)} at 10 to 33 % {sum(one >= 1 for one in some)} reach 1 "
        f"point; median {np.median(some):+.2f}, mean {np.mean(some):+.2f}."
    )


def opponents_table(runs: Runs, sizes: Sequence[float]) -> None:
    names = ["random", "class-balanced random", "repeated random", "full data, equal steps", "auto", "repeated auto"]
    table(
        "Mean ± half of the interval",
        ["data, student", "kept", *names],
        (
            [title(place), f"{size:g} %", *(mean(runs.values.get((place, f"{name} {size:g} %"))) for name in names)]
            for place in runs.places
            for size in sizes
            if (place, f"auto {size:g} %") in runs.values
        ),
    )


def automatic(runs: Runs, picture: str) -> None:
    """All that is told of auto and repeated auto beside their opponents."""
    every = [10.0, 20.0, 33.0, 50.0, 70.0]
    for what, opponent in (("auto", "random"), ("repeated auto", "random"), ("repeated auto", "repeated random")):
        auto_table(runs, every, what, opponent)
    opponents_table(runs, every)
    beside_random(runs, picture)


SHORT = {
    "ambiguous": "ambiguous region",
    "hard-to-learn": "hard-to-learn region",
    "easy-to-learn": "easy-to-learn region",
}


def strategies(runs: Runs, name: str, sizes: Sequence[float], keep: Callable[[tuple[str, ...]], bool]) -> None:
    """Every strategy against random, as a table and as a picture of it: one column for each place and size."""
    places = [place for place in runs.places if keep(place)]
    columns = [(place, size) for size in sizes for place in places]
    left_out = {"random", "full data"}
    rows = list(dict.fromkeys(sized(subset)[0] for place in places for subset in runs.subsets(place)))
    rows = [row for row in rows if row not in left_out and not row.startswith("full data")]
    found = {
        (row, column): runs.difference(column[0], f"{row} {column[1]:g} %", f"random {column[1]:g} %")
        for row in rows
        for column in columns
    }
    rows = [row for row in rows if sum(found[row, column] is not None for column in columns) > len(columns) // 2]
    average = {row: float(np.mean([d.mean for c in columns if (d := found[row, c]) is not None])) for row in rows}
    worst = {row: min(d.mean for c in columns if (d := found[row, c]) is not None) for row in rows}
    rows.sort(key=lambda row: -average[row])
    heads = [f"{title(place)}, {size:g} %" for place, size in columns]
    lines = [
        [SHORT.get(row, row), *(told(found[row, c]) for c in columns), *(signed(one[row]) for one in (average, worst))]
        for row in rows
    ]
    table("Strategies against random", ["strategy", *heads, "mean", "worst"], lines)

    figure, axes = plt.subplots(figsize=(2.6 + 0.86 * (len(columns) + 1), 0.9 + 0.36 * len(rows)))
    means = np.array(
        [[np.nan if (d := found[row, c]) is None else d.mean for c in columns] + [average[row]] for row in rows]
    )
    axes.imshow(np.clip(means, -5, 5), cmap="PRGn", norm=TwoSlopeNorm(0, -5, 5), aspect="auto")
    for at, row in enumerate(rows):
        for to, column in enumerate(columns):
            one = found[row, column]
            if one is not None:
                mark = MARKS.get(one.verdict, "")
                ink = "white" if abs(one.mean) > 3.5 else INK
                axes.text(to, at, signed(one.mean, 1) + mark, ha="center", va="center", fontsize=8, color=ink)
        whole = signed(average[row], 1)
        ink = "white" if abs(average[row]) > 3.5 else INK
        axes.text(len(columns), at, whole, ha="center", va="center", fontsize=8, weight="bold", color=ink)
    axes.set_yticks(range(len(rows)), [SHORT.get(row, row) for row in rows], fontsize=8.5)
    tops = [
        f"{title(place).replace(', ', chr(10)).replace(' + ', chr(10) + '+ ')}\n{size:g} %" for place, size in columns
    ]
    axes.set_xticks(range(len(columns) + 1), [*tops, "mean"], fontsize=7.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in range(len(places), len(columns) + 1, len(places)):
        axes.axvline(edge - 0.5, color="white", lw=3)
    save(figure, name)


def schedules(runs: Runs, name: str) -> None:
    """What a schedule reaches against its cost, one panel for each dataset; and the table."""
    places = [place for place in runs.places if (place, "full data") in runs.values]
    figure, panels = grid_of(len(places), 3, 3.7, 3.1)
    every = [(place, subset) for place in places for subset in runs.subsets(place) if subset != "full data"]
    kinds = list(dict.fromkeys(sized(subset)[0].removeprefix("schedule ") for _, subset in every))
    colours = dict(zip(kinds, plt.get_cmap("tab10")(np.arange(10)), strict=False))
    lines = []
    for axes, place in zip(panels, places, strict=True):
        whole = runs.flops[place, "full data"]
        lines.append([title(place), "all the data", "100 %", mean(runs.values[place, "full data"]), ""])
        for subset in (subset for its, subset in every if its == place):
            one = paired_difference(runs.values[place, subset], runs.values[place, "full data"])
            cost = 100 * runs.flops[place, subset] / whole
            lines.append([title(place), subset, f"{cost:.0f} %", mean(runs.values[place, subset]), told(one)])
            bars = np.nan_to_num([[one.mean - one.low], [one.high - one.mean]])
            kind = sized(subset)[0].removeprefix("schedule ")
            axes.errorbar([cost], [one.mean], bars, color=colours[kind], marker="o", capsize=2, ms=5, label=kind)
        axes.axvline(100, color=FAINT, lw=1)
        dress(axes, title(place), "FLOPs, percent of full training", "points over full training")
    figure.tight_layout()
    named = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(named.values()),
        list(named),
        loc="upper center",
        ncols=2,
        bbox_to_anchor=(0.5, 0.0),
        frameon=False,
        fontsize=8.5,
    )
    save(figure, name)
    heads = ["data, network", "training", "FLOPs", "macro F1", "against all the data"]
    table("Schedules against full training", heads, lines)


def crossover(runs: Runs, name: str, x: int) -> None:
    """Against random over the student's epochs: a panel for each student, map and size; ``x`` is the epochs' place."""
    shown = {"ambiguous = high variability": "#5a9e1a", "hard-to-learn = low confidence": "#7b3294", "auto": "#3b528b"}
    found: dict[tuple[str, str, float], dict[str, dict[float, Difference]]] = {}
    for place in runs.places:
        for subset in runs.subsets(place):
            what, size = sized(subset)
            one = runs.difference(place, subset, f"random {size:g} %")
            if what in shown and one is not None:
                rest = [part for at, part in enumerate(place[:-1]) if at not in (0, x)]
                key = (rest[-1], rest[0] if len(rest) > 1 else "", size)
                found.setdefault(key, {}).setdefault(what, {})[float(place[x])] = one
    figure, panels = grid_of(len(found), 4)
    lines_told: list[list[str]] = []
    for axes, (key, lines) in zip(panels, sorted(found.items(), key=lambda item: item[0][2]), strict=True):
        for what, points in lines.items():
            at = sorted(points)
            curve(axes, at, [points[epochs] for epochs in at], shown[what], "o", what.partition(" =")[0])
            lines_told.append([*map(str, key), what, *(told(points[epochs]) for epochs in at)])
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        axes.set_ylim(-4.5, 4.5)
        dress(axes, f"{key[0]}, map of {key[1]}, {key[2]:g} %", "epochs of the student", "points over random")
    figure.tight_layout()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=9)
    save(figure, name)
    heads = ["student", "map of", "kept, %", "takes", *(f"{epochs:g} epochs" for epochs in at)]
    table("Against random, by the student's epochs", heads, lines_told)


def noisy_table(runs: Runs) -> None:
    """With wrong labels: what draws by a map against random of its size, and against all the data."""
    means, gains = [], []
    plain = ("random", "repeated random", "full data, equal steps", "auto", "repeated auto")
    for place in runs.places:
        whole = runs.values.get(((*place[:-1], "equal epochs"), "full data"))
        for size in sorted({sized(subset)[1] for subset in runs.subsets(place) if subset.startswith("auto")}):
            names = [f"{what} {size:g} %" for what in plain]
            if (place, names[2]) not in runs.values:
                names[2] = "full data, equal steps"  # of the point with one size
            start = [title(place), place[-1], f"{size:g} %"]
            means.append([*start, *(mean(runs.values.get((place, name))) for name in names), mean(whole)])
            gains.append([*start, *(told(runs.difference(place, name, names[0])) for name in names[3:])])
            both = [(runs.values.get((place, name)), whole) for name in names[3:]]
            gains[-1] += [told(paired_difference(a, b) if a and b else None) for a, b in both]
    heads = ["data, student", "budget", "kept"]
    table("With wrong labels", [*heads, *plain, "all the data"], means)
    table(
        "With wrong labels: differences",
        [*heads, *(f"{what} - {other}" for other in ("random", "all the data") for what in plain[3:])],
        gains,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("beat", "held-out", "dynamic", "crossover", "noisy"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    plt.style.use(STYLE)
    if given.beat:
        PAGE.append("## experiments/beat_random.yaml")
        runs = read(given.beat)
        automatic(runs, "selection.png")
        strategies(runs, "strategies.png", [10.0, 33.0], lambda place: "+ KD" not in place[-2])
        strategies(runs, "strategies-distilled.png", [10.0, 33.0], lambda place: "+ KD" in place[-2])
    if given.held_out:
        PAGE.append("## experiments/held_out.yaml")
        automatic(read(given.held_out), "held-out.png")
    if given.dynamic:
        PAGE.append("## experiments/dynamic.yaml")
        schedules(read(given.dynamic), "schedules.png")
    if given.crossover:
        PAGE.append("## experiments/crossover.yaml")
        crossover(read(given.crossover), "crossover.png", 2)
    if given.noisy:
        PAGE.append("## experiments/noisy_labels.yaml")
        noisy_table(read(given.noisy))
    (HERE / "selection-tables.md").write_text("\n\n".join([HEAD, *PAGE]) + "\n")


if __name__ == "__main__":
    main()
