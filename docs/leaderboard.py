"""docs/leaderboard.md, from the folder of a finished run.

    trainmap run experiments/leaderboard.yaml --set data.root=DATA --out leaderboard
    python docs/leaderboard.py leaderboard

Each row stands beside random of its size, and beside fresh random draws, on every set, paired by seed; the page goes
beside this file, or to ``--out``. The same folder gives the same page.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trainmap.errors import TrainmapError, counted
from trainmap.experiments.results import (
    Column,
    Comparison,
    Difference,
    Estimate,
    Verdict,
    compare,
    completed,
    firm_of,
    groups,
    has_random,
    interval,
    mean_of,
    paired_difference,
    report_of,
)
from trainmap.experiments.runs import open_study, results

HERE = Path(__file__).parent
METRIC = "test_macro_f1"
FRESH = ("RS2", "RS2, two thirds")
"""The rows of fresh draws that know nothing: what chooses has to be better than the one nearest to it in size."""
SAME_COST = 0.05  # of all the data: costs that differ by less are told alike


@dataclass(frozen=True)
class Claim:
    """What a paper says of its method.

    Attributes:
        paper: authors, year, where.
        claim: in a line; "" for a row that no paper makes claims for.
        source: where that was read.
        ours: what is different here; "" for nothing that is known.
    """

    paper: str
    claim: str = ""
    source: str = ""
    ours: str = ""


CLAIMS: Mapping[str, Claim] = {
    "repeated random": Claim("Okanovic et al. 2024 (RS2, with replacement)"),
    "RS2": Claim(
        "Okanovic et al. 2024, arXiv:2305.18424",
        "ImageNet with less than 10 % of the data an epoch: up to +29 points over thirty ways to prune or distil",
        "abstract",
    ),
    "RS2, two thirds": Claim("the same, for what the schedules below add to fresh draws"),
    "class-balanced random": Claim("as many of every class"),
    "auto": Claim("ours, [selection](selection.md)"),
    "repeated auto": Claim("ours, [selection](selection.md)"),
    "raced": Claim("ours, [the race](race.md), with room"),
    "repeated raced": Claim("ours, [the race](race.md), with room"),
    "data maps": Claim(
        "Swayamdipta et al. 2020, arXiv:2009.10795",
        "WinoGrande, the most ambiguous third: 78.7 where random has 73.3 and all the data 79.7",
        "secondary: public notes on table 2",
        "the most ambiguous by the map of a network that is trained for 10 epochs",
    ),
    "EL2N": Claim(
        "Paul et al. 2021, arXiv:2107.07075",
        "half of CIFAR-10 can go without loss of accuracy",
        "abstract; others measured less than random below a third (DUAL, figure 2)",
        "one network, mean over its epochs; the paper has an early epoch of ten networks",
    ),
    "CCS": Claim(
        "Zheng et al. 2023, arXiv:2210.15809",
        "CIFAR-10: 93.1 with 30 % of the data (random 90.5, all the data 95.3), 86.2 with 10 % (random 79.0)",
        "digitised from figures of CCS and DUAL",
        "nothing is cut; the paper searches the share of the hardest to cut for each set and size",
    ),
    "D2": Claim(
        "Maharana et al. 2023, arXiv:2310.07931",
        "better than CCS and Moderate at low and medium pruning on CIFAR and ImageNet",
        "abstract; DUAL measured 92.3 with 30 % of CIFAR-10 (random 90.5)",
    ),
    "Moderate": Claim(
        "Xia et al. 2023 (ICLR)",
        "ImageNet with 30 % of the data: 65.9, about random (CCS 67.9)",
        "measured by others, digitised from their figure; the paper itself could not be read",
    ),
    "TDDS": Claim(
        "Zhang et al. 2024 (CVPR), arXiv:2311.13613",
        "CIFAR-100: 54.5 with 10 % of the data (random 46.7)",
        "abstract; others measured 47.9 (DUAL, digitised)",
        "one window of all 10 epochs; the authors' example has windows of 10 in 30 epochs",
    ),
    "DUAL + Beta": Claim(
        "Cho et al. 2025, arXiv:2502.06905",
        "CIFAR-10: 93.0 with 30 % of the data (random 90.5), at 15 % of the cost of scoring",
        "figure 4, digitised; abstract",
    ),
    "UGIES": Claim(
        "Wu et al. 2026 (ICML), arXiv:2606.12913",
        "CIFAR-100: 77.6 with 30 % an epoch (random 69.7, all the data 78.2); ImageNet 43 % faster at no loss",
        "README of the authors' code; random from RePB's table",
        "chosen once, by a map; the paper chooses anew in every epoch",
    ),
    "UNSEEN": Claim(
        "Xu et al. 2026 (AAAI), arXiv:2511.12988",
        "ImageNet without 30 % of the data at no loss; better than the same scores of networks that saw the examples",
        "abstract",
        "one step; the paper's incremental selection is not described in what could be read",
    ),
    "InfoBatch": Claim(
        "Qin et al. 2024, arXiv:2303.04947",
        "40 % of the cost saved at no loss on CIFAR, ImageNet, ADE20K",
        "abstract; a rerun by others: CIFAR-100, ResNet-50, 81.4 to 80.6 at 69 % of the time",
    ),
    "SeTa": Claim(
        "Zhou et al. 2025 (CVPR), arXiv:2503.13385",
        "half of the cost saved at the same or a better result, little lost at 70 %",
        "abstract",
        "by the authors' settings for CIFAR",
    ),
    "RePB": Claim(
        "ICLR 2026, openreview Zw1Uw7u6Su",
        "30 % saved at no loss on 16 datasets; CIFAR-100 78.4 (random 73.8, all the data 78.2)",
        "abstract; secondary: a public summary of its table 1",
        "not from its code; the weights of an epoch are of those before it",
    ),
    "AlignPrune": Claim(
        "Qin et al. 2026 (CVPR), arXiv:2604.07306",
        "up to 6.3 points over InfoBatch with wrong labels, nothing lost without",
        "abstract",
        "correlations over 4 epochs, for trainings of 8 to 10; clean examples guessed",
    ),
    "ordered loss": Claim(
        "Kawaguchi and Lu 2020, arXiv:1907.04371; OrderDP (ICLR 2026)",
        "OrderDP: CIFAR-10 95.3 at 30 % less and 95.0 at half (InfoBatch 95.0, 94.5)",
        "secondary: notes on its table",
        "the last loss of training in place of a fresh pass",
    ),
    "full data, equal steps": Claim("all the data for the steps of the subset"),
}
"""By the name of a row without its size; a row that is not here stands in the tables without a paper."""

LEFT_OUT = """\
- **UNSEEN** (AAAI 2026), whose first step is any strategy by a map out of fold: five of them
  [gain nothing in general](cross-fitting.md#does-choosing-gain). Its incremental selection (networks trained on growing
  subsets) is not described in what could be read. **UGIES** anew in every epoch.
- **TDDS and DUAL over the epochs of their papers**: maps of 10 epochs hold one window of 10. **EL2N** of ten networks
  at an early epoch, **CCS** with a cut that is searched for each set.
- **Races within their own bound.** Half of what one training saves has room for none of them at a third of the data,
  with a wider judge on texts and tables; then `raced` is even draws, `repeated raced` RS2. Here they may cost six
  times what is saved, as for many students that are trained on one choice, and the cost says so.
- **AlignPrune** with clean examples that are known, and over SeTa.
- **Other sizes** than a third and two thirds, and other sets: in [which strategy when](selection.md).
- **Networks of the papers.** ResNets on CIFAR and ImageNet for 200 epochs are out of reach of one core. A claim that
  does not hold here, with small networks, 8 to 10 epochs and sets of a few thousand examples, may hold there."""

ADD = '''## Add a method

A choice that is made once is a function and a line. The function, in a file of `selection/` by its idea:

```python
def closest(pool, size, generator, *, score="loss"):
    """The ``size`` examples whose score is nearest to its median. Source: ..."""
    values = pool.scores[score]
    return pool.rising(abs(values - sorted(values)[len(values) // 2]))[:size]
```

and the line in `WORDS` of `selection/strategies.py`: `Strategy("closest", closest, "a paper, section 3")`. What changes
during training is a class with `plan`, `update`, `end_epoch`, `state` and `restore` and a line in `SCHEDULES` of
`schedules/schedule_table.py` ([the house](house.md)); `schedules/seta.py` is a short one. The tests of either family
run over the new member. Then a row of the file, `{strategy: closest, name: closest}` or `schedule: {name: ...}`, and
the paper's claim in `CLAIMS` of `docs/leaderboard.py`. `trainmap run experiments/leaderboard.yaml --set data.root=DATA
--out leaderboard --into` adds it to a folder that is there: only its own runs are made.

To try a function without a line, in Python: `tm.select_by(datamap, closest, 500)`.'''


@dataclass(frozen=True)
class Cell:
    """A row on one set.

    Attributes:
        place: the title of the set.
        name: of the row, with its size.
        series: without it.
        values: test macro F1 by seed.
        random: that of the random row that it is held against; empty for what has none.
        full: that of all the data.
        firm: the opponents ("random", "fresh") of whom its verdict stays after Holm's correction over the rows of its
            set.
        opponent: the name of that random row.
        cost: FLOPs of a run with all that was made before it, over those of all the data.
        kept: share of the examples that an epoch visits.
        fresh: test macro F1 of the fresh draws that it is held against; empty for themselves.
        rival: the name of these, without "schedule".
    """

    place: str
    name: str
    series: str
    values: Mapping[int, float]
    random: Mapping[int, float]
    full: Mapping[int, float]
    firm: frozenset[str]
    opponent: str
    cost: float
    kept: float
    fresh: Mapping[int, float] = field(default_factory=dict)
    rival: str = ""

    def versus(self, opponent: str) -> Difference:
        """From "random" of its size, the "fresh" draws, or all the data ("full")."""
        return paired_difference(self.values, getattr(self, opponent))


def cells_of(folder: Path) -> list[Cell]:
    """Every finished row of every set.

    Raises:
        TrainmapError: nothing is finished that could stand beside random.
    """
    study = open_study(folder)
    done, _ = completed(study, results(study, folder))
    found: list[Cell] = []
    for group in groups(study, done):
        if not has_random(group):
            continue
        for one in compare(report_of(study, group, done, folder)):
            for column in one.columns:
                names = [name for name in one.names if (name, column) in one.cells]
                found += marked(held_against_fresh([_cell(group.title, one, name, column) for name in names]))
    if not found:
        raise TrainmapError(f"no set of {folder} has finished random runs; run the experiment to its end first")
    return found


def _cell(place: str, one: Comparison, name: str, column: Column) -> Cell:
    """A row beside random, without marks."""
    full, opponent = one.values(one.full, column, METRIC), one.opponents.get(name, "")
    whole = mean_of([*one.values(name, column, "whole_flops").values()])
    return Cell(
        place,
        name,
        (one.first(name, "series") or name).removeprefix("schedule "),
        one.values(name, column, METRIC),
        one.values(opponent, column, METRIC) if opponent else {},
        full,
        frozenset(),
        opponent,
        whole / one.cost(one.full, column)["flops"] if full else math.nan,
        one.first(name, "fraction"),
    )


def held_against_fresh(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a set, each that stands beside random now also beside the fresh draws nearest to it in size."""
    draws = [cell for cell in cells if cell.series in FRESH]
    found = []
    for cell in cells:
        if draws and cell.random and cell.series not in FRESH:
            rival = min(draws, key=lambda other: abs(other.kept - cell.kept))
            found.append(replace(cell, fresh=rival.values, rival=rival.series))
        else:
            found.append(cell)
    return found


def marked(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a set, each with the opponents of whom its verdict stays after Holm's correction over the set."""
    held: dict[int, set[str]] = {at: set() for at in range(len(cells))}
    for opponent in ("random", "fresh"):
        differences = {at: cell.versus(opponent) for at, cell in enumerate(cells) if getattr(cell, opponent)}
        for at, firm in firm_of(differences).items():
            held[at] |= {opponent} if firm else set()
    return [replace(cell, firm=frozenset(held[at])) for at, cell in enumerate(cells)]


def over_sets(cells: Sequence[Cell], versus: str) -> Estimate | None:
    """The mean over the sets of a row's differences, over the seeds that all of them have; None without any.

    Args:
        versus: "random", "fresh" or "full".
    """
    pairs = [(cell.values, getattr(cell, versus)) for cell in cells if getattr(cell, versus)]
    seeds = set.intersection(*({*ours} & {*theirs} for ours, theirs in pairs)) if pairs else set()
    if not seeds:
        return None
    return interval([float(np.mean([ours[seed] - theirs[seed] for ours, theirs in pairs])) for seed in sorted(seeds)])


def told(value: Estimate | Difference | None) -> str:
    """``+1.2 [+0.3, +2.1]`` in points, the interval on one line; none where none can be had."""
    if value is None or value.n == 0:
        return "–"
    if math.isnan(value.low):
        return signed(value.mean)
    return f"{signed(value.mean)} [{signed(value.low)},\N{NO-BREAK SPACE}{signed(value.high)}]"


def signed(share: float) -> str:
    """In points with its sign; 0.0 has none."""
    text = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each row that is held against random, the best on average first; a row of several sizes is one
    for each of them."""
    names: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        names.setdefault((cell.place, cell.series), set()).add(cell.name)
    sized = {series for (_, series), its in names.items() if len(its) > 1}
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.random:
            found.setdefault(cell.name if cell.series in sized else cell.series, []).append(cell)
    return dict(sorted(found.items(), key=lambda item: -_mean(over_sets(item[1], "random"))))


def _mean(value: Estimate | None) -> float:
    return -math.inf if value is None else value.mean


def tally(cells: Sequence[Cell], verdict: Verdict, versus: str = "random") -> str:
    """``3 (1)``: cells with that verdict, and those that keep it after Holm's correction over their set."""
    found = [cell for cell in cells if getattr(cell, versus) and cell.versus(versus).verdict is verdict]
    return f"{len(found)} ({sum(versus in cell.firm for cell in found)})"


def share(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{100 * float(np.mean(known)):.0f} %" if known else "–"


def board(rows: Mapping[str, Sequence[Cell]]) -> str:
    """The leaderboard: a line for each row."""
    lines = []
    for name, cells in rows.items():
        gain, loss = over_sets(cells, "random"), over_sets(cells, "full")
        counts = sorted({len(cell.values) for cell in cells})
        paper = CLAIMS[name].paper if name in CLAIMS else ""
        lines.append(
            [
                *(f"**{name}**", f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"),
                *(str(len(cells)), share([cell.kept for cell in cells]), told(gain)),
                *(tally(cells, Verdict.ABOVE), tally(cells, Verdict.BELOW), told(loss)),
                *(share([cell.cost for cell in cells]), paper),
            ]
        )
    heads = ["row", "n", "sets", "visited", "from random", "better", "worse", "from all the data", "cost", "paper"]
    return table(heads, lines)


def sets(cells: Sequence[Cell], rows: Mapping[str, Sequence[Cell]]) -> str:
    """Every cell: a line for each row, a column for each set."""
    places = list(dict.fromkeys(cell.place for cell in cells))
    lines = [["all the data", *(_level(cells, place, "full") for place in places)]]
    lines += [["random", *(_level(cells, place, "random") for place in places)]]
    for name, of in rows.items():
        at = {cell.place: cell for cell in of}
        lines.append([name, *(_marked(at[place]) if place in at else "–" for place in places)])
    return table(["row", *places], lines)


def _level(cells: Sequence[Cell], place: str, series: str) -> str:
    """The means of a reference on a set, by its sizes."""
    wanted = "full data" if series == "full" else "random"
    of = sorted((cell for cell in cells if cell.place == place and cell.series == wanted), key=lambda cell: cell.kept)
    return ", ".join(
        f"{100 * float(np.mean([*cell.values.values()])):.1f}" + (f" ({100 * cell.kept:.0f} %)" if len(of) > 1 else "")
        for cell in of
    )


def _marked(cell: Cell, versus: str = "random") -> str:
    difference = cell.versus(versus)
    mark = {Verdict.ABOVE: " ✓", Verdict.BELOW: " ✗", Verdict.NONE: ""}[difference.verdict]
    return f"{told(difference)}{mark}{mark.strip() if versus in cell.firm else ''}"


def beyond_fresh(cells: Sequence[Cell], rows: Mapping[str, Sequence[Cell]]) -> str:
    """What each row adds to fresh draws, the best on average first: the mean over the sets, and every set."""
    places = list(dict.fromkeys(cell.place for cell in cells))
    held = {name: of for name, of in rows.items() if over_sets(of, "fresh") is not None}
    lines = []
    for name, of in sorted(held.items(), key=lambda item: -_mean(over_sets(item[1], "fresh"))):
        at = {cell.place: cell for cell in of if cell.fresh}
        rivals = " and ".join(dict.fromkeys(cell.rival for cell in at.values()))
        verdicts = (tally(of, verdict, "fresh") for verdict in (Verdict.ABOVE, Verdict.BELOW))
        of_sets = (_marked(at[place], "fresh") if place in at else "–" for place in places)
        price = share([cell.cost for cell in of])
        lines.append([f"**{name}**", rivals, price, told(over_sets(of, "fresh")), *verdicts, *of_sets])
    return table(["row", "against", "cost", "mean", "better", "worse", *places], lines)


def claimed(rows: Mapping[str, Sequence[Cell]]) -> str:
    """What papers say, beside what was found."""
    lines = []
    for name, cells in rows.items():
        claim = CLAIMS.get(name, Claim(""))
        if claim.claim:
            lines.append([name, f"{claim.claim} ({claim.source})", here(cells), claim.ours or "–"])
    return table(["row", "published", "here", "what differs here"], lines)


def here(cells: Sequence[Cell]) -> str:
    """In words what a row came to."""
    gain, loss = over_sets(cells, "random"), over_sets(cells, "full")
    price, visited = share([cell.cost for cell in cells]), share([cell.kept for cell in cells])
    return f"{told(gain)} from random, {told(loss)} from all the data, at {price} of its cost; visits {visited}"


def short(cells: Sequence[Cell], rows: Mapping[str, Sequence[Cell]]) -> str:
    """What the tables come to, in sentences."""
    above = [name for name, of in rows.items() if (e := over_sets(of, "random")) and e.low > 0]
    below = [name for name, of in rows.items() if (e := over_sets(of, "random")) and e.high < 0]
    ruin = [
        f"{name} ({signed(worst.versus('random').mean)} on {worst.place})"
        for name, of in rows.items()
        if (worst := min(of, key=lambda cell: cell.versus("random").mean)).versus("random").mean < -0.03
    ]
    fresh = [name for name, of in rows.items() if (e := over_sets(of, "fresh")) and e.low > 0]
    somewhere = [
        f"{name} ({signed(cell.versus('fresh').mean)} on {cell.place})"
        for name, of in rows.items()
        for cell in of
        if "fresh" in cell.firm and cell.versus("fresh").verdict is Verdict.ABOVE
    ]
    cheap = [
        name
        for name, of in rows.items()
        if (e := over_sets(of, "full"))
        and e.low > -0.005
        and float(np.mean([cell.cost for cell in of])) < 1 - SAME_COST
    ]
    said = [
        f"Better than random of their size on average, with the whole interval: {', '.join(above) or 'none'}.",
        f"Worse: {', '.join(below) or 'none'}.",
        f"Better than fresh random draws of about their size (RS2) on average, with the whole interval: "
        f"{', '.join(fresh) or 'none'}. On a set, after Holm's correction over its rows: "
        f"{', '.join(somewhere) or 'none'}.",
        f"More than 3 points below random on at least one set: {', '.join(ruin) or 'none'}.",
        f"Within half a point of all the data on average, by the whole interval, for less than its cost, everything "
        f"counted: {', '.join(cheap) or 'none'}.",
    ]
    return "\n".join(f"- {one}" for one in said)


def page(folder: Path) -> str:
    """The whole of docs/leaderboard.md."""
    cells = cells_of(folder)
    rows = by_row(cells)
    places = list(dict.fromkeys(cell.place for cell in cells))
    counts = sorted({len(cell.values) for cell in cells})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"""# Leaderboard: published ways to train on less

Made by `docs/leaderboard.py` from a run of `experiments/leaderboard.yaml`, whose head says what it takes:

```
trainmap run experiments/leaderboard.yaml --set data.root=DATA --out leaderboard
python docs/leaderboard.py leaderboard
```

{counted(len(places), "development set")}: {", ".join(places)}. Test macro F1 in points, n = {n} seeds. Every row is
held against random of the size that its epochs visit, trained for as many epochs, paired by seed.

## In short

{short(cells, rows)}

## The board

`from random`: the mean over the sets of the differences, with the 95 % Student t interval over the seeds (it says how
sure the mean over these sets is, nothing of other sets). `better`, `worse`: sets whose own interval lies above or below
0, and in brackets those that stay after Holm's correction over all rows of the set. `cost`: FLOPs of one run with all
that was made before it (the training that makes a map, features), as a share of training on all the data; a map serves
many runs, and here one run pays for it alone. `visited`: the examples of an epoch, as a share.

{board(rows)}

## Does anything beat fresh draws?

A schedule shows other examples in every epoch, and random of its size does not: most of what it gains over random is
that. RS2 shows another part in every epoch and needs to know nothing. Here every row is held against the RS2 nearest to
it in size; what visits more than two thirds takes more steps than its opponent. Differences and marks as below, Holm's
correction over all rows of the set.

{beyond_fresh(cells, rows)}

## Set by set

Difference from random of its size; ✓ the interval lies above 0, ✗ below, twice where that stays after Holm's
correction. The first two lines are test macro F1.

{sets(cells, rows)}

## Published claims beside what was found

{claimed(rows)}

## What is not here

{LEFT_OUT}

{ADD}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="--out of the run")
    parser.add_argument("--out", type=Path, default=HERE / "leaderboard.md", help="the page")
    given = parser.parse_args()
    given.out.write_text(page(given.folder))


if __name__ == "__main__":
    main()
