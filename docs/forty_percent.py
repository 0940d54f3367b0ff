"""The tables of docs/forty-percent.md, from the folders of finished runs.

    trainmap run experiments/forty_percent.yaml --set data.root=DATA --out forty_percent
    python docs/forty_percent.py forty_percent forty_percent_again forty_percent_cifar10

Each row stands beside all the data trained for as many epochs, paired by seed, and with all that its runs took. The
tables of a folder go between the page's marks of its name; the same folders give the same page.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import leaderboard
import numpy as np

from trainmap.errors import TrainmapError
from trainmap.experiments.results import Difference, interval, paired_difference

HERE = Path(__file__).parent
METRIC = "test_accuracy"
FULL, SHORTER = "full data", "full data, equal steps"
NEAR = 0.005
"""Lost at most, by the whole interval, for what counts as the accuracy of all the data."""
MOST = 0.605
"""Of the cost of all the data; batches are whole, so that 60 % may be a little more."""


@dataclass(frozen=True)
class Row:
    """A way to train on one set: the accuracy by seed, and what a run cost, by that of all the data."""

    name: str
    values: Mapping[int, float]
    loss: Difference
    cost: float

    @property
    def holds(self) -> bool:
        """Whether it is shown to lose no more than ``NEAR``, for no more than ``MOST``."""
        return self.loss.low > -NEAR and self.cost <= MOST


@dataclass(frozen=True)
class Place:
    """A set with its student, and all that was tried on it."""

    data: str
    student: str
    full: Mapping[int, float]
    rows: Mapping[str, Row]

    @property
    def title(self) -> str:
        return f"{self.data}, {self.student}"


def places_of(folder: Path) -> list[Place]:
    """Every set of a finished run.

    Raises:
        TrainmapError: no results, none of all the data, or students with a teacher.
    """
    path = folder / "results.csv"
    if not path.exists():
        raise TrainmapError(f"{path} is not there; run the experiment to its end first")
    runs: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    with path.open(newline="") as file:
        for run in csv.DictReader(file):
            if run["distilled"] == "True":
                raise TrainmapError(f"{path} has students that learn from a teacher; these tables are of plain ones")
            runs.setdefault((run["dataset"], run["student"]), {}).setdefault(run["subset"], []).append(run)
    found = []
    for (data, student), by_name in runs.items():
        if FULL not in by_name:
            raise TrainmapError(f"{data}, {student}: no finished run on all the data in {folder}")
        full, whole = _values(by_name[FULL]), _cost(by_name[FULL])
        rows = {
            name: Row(name, _values(of), paired_difference(_values(of), full), _cost(of) / whole)
            for name, of in by_name.items()
            if name != FULL
        }
        found.append(Place(data, student, full, rows))
    return found


def _values(runs: Sequence[Mapping[str, str]]) -> dict[int, float]:
    return {int(run["seed"]): float(run[METRIC]) for run in runs}


def _cost(runs: Sequence[Mapping[str, str]]) -> float:
    return float(np.mean([float(run["whole_flops"]) for run in runs]))


def cell(row: Row | None) -> str:
    if row is None:
        return "–"
    mark = " ✓" if row.holds else " ✗" if row.loss.high < 0 else ""
    return f"{leaderboard.told(row.loss)}{mark} ({100 * row.cost:.0f} %)"


def level(values: Mapping[int, float]) -> str:
    """``94.6 ± 0.3`` with the half width of the 95 % interval."""
    one = interval([*values.values()])
    if np.isnan(one.low):
        return f"{100 * one.mean:.1f}"
    return f"{100 * one.mean:.1f} ± {100 * (one.high - one.low) / 2:.1f}"


def table(places: Sequence[Place]) -> str:
    """A line for each row, a column for each set."""
    names = list(dict.fromkeys(name for place in places for name in place.rows))
    lines = [["all the data", *(f"{level(place.full)} (100 %)" for place in places), ""]]
    for name in names:
        rows = [place.rows.get(name) for place in places]
        known = [row for row in rows if row is not None]
        held = f"{sum(row.holds for row in known)} of {len(known)}"
        lines.append([told(name), *(cell(row) for row in rows), held])
    return leaderboard.table(["row", *(place.title for place in places), "holds"], lines)


def told(name: str) -> str:
    return name.removeprefix("schedule ").replace(SHORTER, "all the data, fewer steps")


def against_shorter(places: Sequence[Place]) -> str:
    """What each row has over training shorter, set by set; nothing where that was not run."""
    names = list(dict.fromkeys(name for place in places for name in place.rows))
    lines = []
    for name in names:
        cells = []
        for place in places:
            rival = opponent(place, name)
            if name not in place.rows or rival is None:
                cells.append("–")
                continue
            one = paired_difference(place.rows[name].values, rival.values)
            mark = " ✓" if one.low > 0 else " ✗" if one.high < 0 else ""
            cells.append(f"{leaderboard.told(one)}{mark}")
        if set(cells) != {"–"}:
            lines.append([told(name), *cells])
    return leaderboard.table(["row", *(place.title for place in places)], lines) if lines else ""


def opponent(place: Place, name: str) -> Row | None:
    """Training shorter on all the data, at the cost that is nearest to the row's; None for these rows themselves."""
    row = place.rows.get(name)
    short = [one for one in place.rows.values() if one.name.startswith(SHORTER)]
    if row is None or not short or row in short:
        return None
    return min(short, key=lambda one: abs(one.cost - row.cost))


def filled(text: str, name: str, tables: str) -> str:
    """The page with these tables between the marks of ``name``.

    Raises:
        TrainmapError: the page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        raise TrainmapError(f"the page has no place for {name}; it needs the lines {begin} and {end}")
    return f"{text[: text.index(begin)]}{begin}\n\n{tables}\n\n{text[text.index(end) :]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="--out of the runs, called as their YAML files")
    parser.add_argument("--page", type=Path, default=HERE / "forty-percent.md")
    given = parser.parse_args()
    text = given.page.read_text()
    for folder in given.folders:
        places = places_of(folder)
        tables = [table(places)]
        if shorter := against_shorter(places):
            tables += ["Against training on all the data for about as much:", shorter]
        text = filled(text, folder.name, "\n\n".join(tables))
    given.page.write_text(text)


if __name__ == "__main__":
    main()
