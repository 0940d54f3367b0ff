"""Would the rule of ``auto`` hold on a dataset that it was not fitted on? One development set is left out in turn.

    python benchmarks/map_choices.py --data-root DATA --out choices
    python benchmarks/leave_one_out_rule.py --out choices --page docs/leave-one-out.md

The rule prefers ambiguous examples, with a tilt of 4, where the map shows at least a ``share`` of the network's errors
on other data. Where what is contradicted is not being learned it cuts; elsewhere it is random. ``share`` is fitted on
the **validation** parts of all sets but one: of the values by which none of them loses more than 0.3 points in the mean
over its sizes, those with the best mean over the sets; of means within 0.15 the most cautious one. What it does on the
**test** part of the set that was left out is the report. Where the rule is random of the same seed the difference is 0,
by construction.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from map_choices import SIZES, Cell, read_cells, read_maps
from trainmap.experiments.results.statistics import Difference, Verdict, paired_difference
from trainmap.selection.auto_rule import KEEPS_UP, LEARNED, WEAK

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, math.inf)
LOSS, SAME = -0.3, 0.15
Maps = Mapping[str, Mapping[str, Any]]
Cells = Mapping[Cell, Mapping[str, float]]


@dataclass(frozen=True)
class Family:
    """Choices of a kind: what they are held against, and the names of a tilt and of the cut."""

    title: str
    against: str
    before: str

    @property
    def tilted(self) -> str:
        return f"{self.before}tilt 4"

    @property
    def cut(self) -> str:
        return f"{self.before}cut"


FAMILIES = (
    Family("A subset, chosen once, against random", "random", ""),
    Family("Another part in every epoch, against repeated random", "repeated random", "fresh "),
)


@dataclass(frozen=True)
class Rule:
    share: float

    def choice(self, one: Mapping[str, Any], family: Family) -> str | None:
        """What it chooses by such a map; None for random."""
        keeps_up = one["gain"] >= KEEPS_UP * one["gain of the others"]
        if not keeps_up and one["gain"] < LEARNED:
            return family.cut
        if one["contradicted"] >= WEAK or seen(one) < self.share:
            return None
        return family.tilted


def seen(one: Mapping[str, Any]) -> float:
    """Share of the errors on other data that the map shows."""
    return one["contradicted"] / one["wrong on other data"]


def differences(cells: Cells, data: str, choice: str, family: Family, part: str) -> list[Difference]:
    """One for each size, in points; of n = 0 where it was not run."""

    def values(name: str, size: float) -> dict[int, float]:
        return {cell[3]: found[part] for cell, found in cells.items() if cell[:3] == (data, name, size)}

    return [paired_difference(values(choice, size), values(family.against, size)) for size in SIZES]


def over_sizes(cells: Cells, data: str, choice: str | None, family: Family, part: str) -> float:
    return 0.0 if choice is None else overall(differences(cells, data, choice, family, part))


def overall(found: list[Difference]) -> float:
    """The mean over the sizes that were run."""
    run = [one.mean for one in found if one.n]
    return mean(run) if run else math.nan


def fitted(cells: Cells, maps: Maps, sets: Iterable[str], family: Family) -> tuple[Rule, float]:
    """The rule that is best on the validation parts of these sets, and its mean there."""
    sets, found = list(sets), []
    for share in SHARES:
        rule = Rule(share)
        means = [over_sizes(cells, data, rule.choice(maps[data], family), family, "validation") for data in sets]
        if all(one >= LOSS for one in means) or share == math.inf:  # NaN, what was not run, is refused
            found.append((mean(means), rule))
    best = max(value for value, _ in found)
    value, rule = max((one for one in found if one[0] >= best - SAME), key=lambda one: one[1].share)
    return rule, value


def told(one: Difference, most: int) -> str:
    """The mean, its interval where there is one, and n where it is below ``most``."""
    if not one.n:
        return "–"
    mark = {Verdict.ABOVE: " ✓", Verdict.BELOW: " ✗", Verdict.NONE: ""}[one.verdict]
    ends = "" if math.isnan(one.low) else f" [{signed(one.low)}, {signed(one.high)}]{mark}"
    return f"{signed(one.mean)}{ends}" + (f" (n = {one.n})" if one.n < most else "")


def most_seeds(cells: Cells) -> int:
    return len({cell[3] for cell in cells})


def signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def left_out(cells: Cells, maps: Maps, family: Family) -> list[str]:
    """The table of one family: each set with the rule that was fitted without it."""
    lines = [
        "| left out | map shows | fitted on the others | so it takes | 10 % | 20 % | 33 % | 50 % | mean |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    below = measured = 0
    means = []
    for data in maps:
        rule, _ = fitted(cells, maps, [other for other in maps if other != data], family)
        choice = rule.choice(maps[data], family)
        found = [] if choice is None else differences(cells, data, choice, family, "test")
        below += sum(one.verdict is Verdict.BELOW for one in found)
        measured += sum(one.n > 0 for one in found)
        means.append(overall(found) if found else 0.0)
        columns = [told(one, most_seeds(cells)) for one in found] or ["0"] * len(SIZES)
        lines.append(
            f"| {data} | {seen(maps[data]):.2f} | {_told_rule(rule)} | {choice or family.against} | "
            f"{' | '.join(columns)} | {signed(means[-1])} |"
        )
    lines += [
        "",
        f"Of {measured} cells that were trained {below} lie below 0 with their whole interval; the others are 0 by "
        f"construction. Lowest mean over the sizes {signed(min(means))}, mean of all {signed(mean(means))} points.",
    ]
    rule, value = fitted(cells, maps, maps, family)
    lines.append(f"Fitted on all of them: {_told_rule(rule)} (mean on the validation parts {signed(value)}).")
    return lines


def _told_rule(rule: Rule) -> str:
    return "never" if rule.share == math.inf else f"from {rule.share:.1f} on"


def every_choice(cells: Cells, maps: Maps, family: Family) -> list[str]:
    """The table of all that was measured, on the test parts."""
    lines = ["| data | choice | 10 % | 20 % | 33 % | 50 % |", "|---|---|---|---|---|---|"]
    for data in maps:
        for choice in (family.tilted, family.cut):
            if any(cell[:2] == (data, choice) for cell in cells):
                found = differences(cells, data, choice, family, "test")
                lines.append(f"| {data} | {choice} | {' | '.join(told(one, most_seeds(cells)) for one in found)} |")
    return lines


def map_table(maps: Maps) -> list[str]:
    lines = [
        "| data | examples | classes | contradicted | wrong on other data | map shows | p(label) of the contradicted "
        "gains | of the others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, one in maps.items():
        shares = f"{one['contradicted']:.1%} | {one['wrong on other data']:.1%} | {seen(one):.2f}"
        gains = f"{one['gain']:.2f} | {one['gain of the others']:.2f}"
        lines.append(f"| {data} ({one['kind']}) | {one['examples']:,} | {one['classes']} | {shares} | {gains} |")
    return [line.replace("%", " %") for line in lines]


def page(cells: Cells, maps: Maps) -> str:
    seeds = most_seeds(cells)
    lines = [HEAD.format(seeds=seeds), "## The maps", "", *map_table(maps), ""]
    run = {data: one for data, one in maps.items() if any(cell[0] == data for cell in cells)}
    for family in FAMILIES:
        lines += [f"## {family.title}", "", *left_out(cells, run, family), ""]
        lines += [f"### Every choice, on the test part: {family.against}", "", *every_choice(cells, maps, family), ""]
    return "\n".join(lines)


HEAD = """# One dataset left out in turn

Made by `python benchmarks/leave_one_out_rule.py --out DIR --page PAGE` from what `benchmarks/map_choices.py` measured
into DIR; not by hand. Each row
is a development set that one number of the rule of `auto` (from which share of its errors on a map may prefer) was
fitted without, on the validation parts of the others; the figures are of its test part: macro F1 in points, paired by
seed, n = {seeds} unless they say less, 95 % Student t intervals, ✓ above 0, ✗ below. The tilt is 4 at every size. The
form of the rule and its other constants were chosen in sight of these sets and of a first look at ten, so this says how
far the number travels, and stands for no data that was held out. Where the rule takes random, the difference is 0
because it takes the same examples; what was not run is a dash.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of map_choices.py")
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    text = page(read_cells(arguments.out), read_maps(arguments.out))
    if arguments.page is None:
        print(text)
    else:
        arguments.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
