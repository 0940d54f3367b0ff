"""Which score finds which kind? The tables of teachers on data that know what each example is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.errors import counted
from trainmap.experiments.report.grid import NOTHING, Cell, Grid, GridLine
from trainmap.experiments.report.verdict_words import Words
from trainmap.experiments.results.kind_groups import KindGroup, grouped_kinds
from trainmap.experiments.results.statistics import Difference, Verdict, firm_of, interval, paired_difference
from trainmap.experiments.runs.folder import Study
from trainmap.maps.found_kinds import GUESSING
from trainmap.maps.regions import REGIONS
from trainmap.views.kind_plot import plot_kinds

Done = Mapping[str, Mapping[str, Any]]
Key = tuple[str, str]  # score, kind

CHANCE = 0.5
ENDS = Words("at the hard end", "at the easy end", "not told apart")


def kinds_tables(
    study: Study, done: Done, folder: Path
) -> tuple[list[Grid], list[str], list[dict[str, Any]], list[tuple[str, Path]]]:
    """The tables of each network and dataset, what they say in a sentence, a row for each run, score and kind, and the
    pictures with their captions, drawn into ``folder``; empty where no data know their kinds."""
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    pictures: list[tuple[str, Path]] = []
    for at, group in enumerate(grouped_kinds(study, done), 1):
        found = _differences(group, "auroc", study.level)
        grids += [
            _scores_grid(group, found, study.level),
            _clean_grid(group, study.level),
            _regions_grid(group, study.level),
        ]
        said.append(_sentence(group, found, study.level))
        rows += _rows(group)
        pictures.append((f"Which score finds which kind, {group.title}", _picture(group, found, folder, at)))
    return grids, said, rows, pictures


def _names(group: KindGroup) -> tuple[list[str], list[str]]:
    """Scores, random first; kinds."""
    its = [one for run in group.runs for one in run.result["found"]]
    scores = dict.fromkeys(one["score"] for one in its)
    return sorted(scores, key=lambda name: name != GUESSING), list(dict.fromkeys(one["kind"] for one in its))


def _differences(group: KindGroup, field: str, level: float) -> dict[Key, tuple[Difference, bool]]:
    """Of each score and kind the AUROC less one half, and whether its verdict stays beside all the others (Holm)."""
    found: dict[Key, Difference] = {}
    scores, kinds = _names(group)
    for score in scores:
        for kind in kinds:
            if values := group.values(score, kind, field):
                found[score, kind] = paired_difference(values, dict.fromkeys(values, CHANCE), level)
    firm = firm_of(found, level)
    return {key: (difference, firm[key]) for key, difference in found.items()}


def _scores_grid(group: KindGroup, found: Mapping[Key, tuple[Difference, bool]], level: float) -> Grid:
    scores, kinds = _names(group)

    def cell(score: str, kind: str) -> Cell:
        if (score, kind) not in found:
            return NOTHING
        difference, firm = found[score, kind]
        end = "easy_precision" if difference.verdict is Verdict.BELOW else "hard_precision"
        precision = interval(list(group.values(score, kind, end).values()), level).mean
        told = Cell(_estimate(list(group.values(score, kind, "auroc").values()), level), f"AP {precision:.2f}")
        return _judged(told, difference, firm)

    first = {one["kind"]: one for one in group.runs[0].result["found"]}
    heads = tuple(
        f"{kind} ({100 * one['examples'] / (one['examples'] + one['others']):.3g} %)" for kind, one in first.items()
    )
    best = interval(list(group.over([run.result["best_accuracy"] for run in group.runs]).values()), level).mean
    lead = (
        f"AUROC of each score for each kind against all other examples: mean over {_over(group)} ± half of Student's "
        f"{100 * level:g} % interval. The hard end of a score counts as high: above 0.5 the kind stands at the hard "
        "end, below 0.5 at the easy end, which finds it as well. AP: average precision from the end that the verdict "
        "names (the hard one without); guessing gives the kind's share, in brackets above. The line 'random' is a "
        f"score that knows nothing. The best that any network can do on the test data is {100 * best:.1f} %."
    )
    return Grid(f"Which score finds which kind, {group.title}", lead, "score", heads, _lines(scores, kinds, cell))


def _clean_grid(group: KindGroup, level: float) -> Grid:
    found = _differences(group, "clean_auroc", level)
    scores, kinds = _names(group)

    def cell(score: str, kind: str) -> Cell:
        if (score, kind) not in found:
            return NOTHING
        told = Cell(_estimate(list(group.values(score, kind, "clean_auroc").values()), level))
        return _judged(told, *found[score, kind])

    lead = (
        "AUROC of each score for each kind against the clean examples alone: what is told apart where no other kind "
        f"stands in the way. Mean over {_over(group)}, as above."
    )
    return Grid(
        f"Against clean examples, {group.title}", lead, "score", tuple(kinds), _lines(scores, kinds, cell), aside=True
    )


def _judged(cell: Cell, difference: Difference, firm: bool) -> Cell:
    return cell.judged(difference.verdict, ENDS, firm)


def _lines(scores: Sequence[str], kinds: Sequence[str], cell: Callable[[str, str], Cell]) -> tuple[GridLine, ...]:
    return tuple(GridLine(name, tuple(cell(name, kind) for kind in kinds), name == GUESSING) for name in scores)


def _regions_grid(group: KindGroup, level: float) -> Grid:
    regions = [name for name in (*REGIONS, "none") if any(name in run.result["regions"] for run in group.runs)]
    kinds = list(dict.fromkeys(kind for run in group.runs for its in run.result["regions"].values() for kind in its))

    def share(names: Sequence[str], kind: str) -> Cell:
        values: list[float | None] = []
        for run in group.runs:
            its = [counts for name, counts in run.result["regions"].items() if name in names]
            total = sum(sum(counts.values()) for counts in its)
            values.append(100 * sum(counts.get(kind, 0) for counts in its) / total if total else None)
        told = list(group.over(values).values())
        return Cell(_estimate(told, level, 1)) if told else NOTHING

    lines = [GridLine("all examples", tuple(share(regions, kind) for kind in kinds), reference=True)]
    lines += [GridLine(name, tuple(share([name], kind) for kind in kinds)) for name in regions]
    lead = f"Percent of the examples of a region that are of each kind, mean over {_over(group)}."
    return Grid(f"What the regions hold, {group.title}", lead, "region", tuple(kinds), tuple(lines))


def _sentence(group: KindGroup, found: Mapping[Key, tuple[Difference, bool]], level: float) -> str:
    """For each kind the score that lies furthest from chance, of those whose verdict stays beside all the others."""
    scores, kinds = _names(group)
    told: list[str] = []
    for kind in kinds:
        its = {score: found[score, kind] for score in scores if score != GUESSING and (score, kind) in found}
        firm = {score: difference for score, (difference, one) in its.items() if one}
        if not firm:
            told.append(f"{kind} by none")
            continue
        best = max(firm, key=lambda score: abs(firm[score].mean))
        end = "" if firm[best].mean > 0 else ", at its easy end"
        auroc = _estimate(list(group.values(best, kind, "auroc").values()), level)
        clean = interval(list(group.values(best, kind, "clean_auroc").values()), level).mean
        told.append(f"{kind} by {best} (AUROC {auroc}{end}; {clean:.3f} against clean examples)")
    n = len(scores) - (GUESSING in scores)
    return f"{group.title}: of {counted(n, 'score')}, found best over {_over(group)}: {'; '.join(told)}."


def _picture(group: KindGroup, found: Mapping[Key, tuple[Difference, bool]], folder: Path, at: int) -> Path:
    scores, kinds = _names(group)
    there = np.full((len(scores), len(kinds)), np.nan)
    shown = np.zeros(there.shape, bool)
    for (score, kind), (difference, firm) in found.items():
        place = scores.index(score), kinds.index(kind)
        there[place], shown[place] = CHANCE + difference.mean, firm
    return plot_kinds(scores, kinds, there, folder / f"kinds-{at}.png", title=group.title, shown=shown)


def _rows(group: KindGroup) -> list[dict[str, Any]]:
    return [
        {"table": group.title, "data": group.settings, "data_seed": run.data_seed, "seed": run.seed, **one}
        | {"base": one["examples"] / max(1, one["examples"] + one["others"])}
        for run in group.runs
        for one in run.result["found"]
    ]


def _over(group: KindGroup) -> str:
    n = len(group.over([0.0] * len(group.runs)))
    return counted(n, "draw") + " of the data" if group.draws else counted(n, "training") + " on one draw of the data"


def _estimate(values: Sequence[float], level: float, digits: int = 3) -> str:
    found = interval(list(values), level)
    half = "" if np.isnan(found.low) else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"
