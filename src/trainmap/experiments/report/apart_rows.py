"""What is judged outside the tables of subsets, for CSV and LaTeX: federations, active learning, searches.

A line for each row and opponent, with the same words for the same verdicts as the tables for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainmap.experiments.report.federated_sentences import OPPONENTS, PHRASES, family_of
from trainmap.experiments.report.judged_cells import Judged, judged_of
from trainmap.experiments.report.verdict_words import versus
from trainmap.experiments.results.label_curves import ENTROPY, RANDOM, Curves
from trainmap.experiments.results.round_curves import Rounds
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.searched import Arm
from trainmap.experiments.results.statistics import Difference, Estimate, interval


@dataclass(frozen=True)
class Apart:
    """A row, its score in 0..1 and FLOPs; beside an opponent with the difference and whether its verdict stays under
    Holm's correction, or without one (``opponent`` is "" and ``found`` None)."""

    table: str
    row: str
    measure: str
    score: Estimate
    flops: float
    opponent: str = ""
    found: tuple[Difference, bool] | None = None

    def flat(self) -> dict[str, Any]:
        """For a CSV file; what cannot be had is NaN."""
        told = {
            "table": self.table,
            "subset": self.row,
            "measure": self.measure,
            "n": self.score.n,
            "score": self.score.mean,
            "low": self.score.low,
            "high": self.score.high,
            "flops": self.flops,
            "opponent": self.opponent,
        }
        if self.found is None:
            return told
        one, firm = self.found
        ends = {"difference": one.mean, "difference_low": one.low, "difference_high": one.high}
        return {**told, **ends, "verdict": versus(self.opponent).of(one.verdict, firm), "firm": firm}


def federated_rows(found: Sequence[Rounds], level: float) -> Iterator[Apart]:
    """Each row of each federation by its accuracy at the end, beside each of its opponents."""
    held = [(PHRASES[one], family_of(found, one, level)) for one in OPPONENTS]
    for at, one in enumerate(found):
        for name, row in one.rows.items():
            score = interval([*row.accuracy().values()], level)
            flops = mean_of([run["train_flops"] for run in row.runs.values()])
            plain = (one.title, row.label, "test accuracy at the end", score, flops)
            its = [(words, part[at, name]) for words, part in held if (at, name) in part]
            yield from (Apart(*plain, words, found) for words, found in its)
            if not its:
                yield Apart(*plain)


def label_rows(found: Sequence[Curves], level: float) -> Iterator[Apart]:
    """Each way to ask for labels by the area under its curve, beside random and entropy."""
    for curves in found:
        held: dict[str, Judged] = {
            other: judged_of(
                {one: curves.against(other, one, level) for one in curves.runs if one not in (other, RANDOM)}, level
            )
            for other in (RANDOM, ENTROPY)
        }
        for strategy, runs in curves.runs.items():
            score = interval([*curves.areas(strategy).values()], level)
            flops = mean_of([run["train_flops"] for run in runs.values()])
            plain = (curves.title, strategy, "mean test accuracy over the rounds", score, flops)
            its = {other: part[strategy] for other, part in held.items() if strategy in part and part[strategy][0].n}
            yield from (Apart(*plain, other, found) for other, found in its.items())
            if not its:
                yield Apart(*plain)


def search_rows(arms: Sequence[Arm], gains: Mapping[str, tuple[Difference, bool]], level: float) -> Iterator[Apart]:
    """What each search found by its test macro F1, beside what the network had."""
    for arm in arms:
        if scores := [*arm.scores("found").values()]:
            plain = ("Searches", arm.name, "test macro F1", interval(scores, level), arm.spent("train_flops"))
            yield Apart(*plain, "the start", gains[arm.name]) if gains[arm.name][0].n else Apart(*plain)


def federated_runs(found: Sequence[Rounds]) -> Iterator[dict[str, Any]]:
    """A line for each run of a federation, as it is at its end."""
    fields = ("train_flops", "sweep_flops", "train_cpu_seconds", "bytes_down", "bytes_up")
    for one in found:
        for name, row in one.rows.items():
            for seed, run in row.runs.items():
                last = run["rounds"][-1]
                scores = {key: last[key] for key in ("test_accuracy", "test_macro_f1")}
                yield {
                    "table": one.title,
                    "subset": name,
                    "seed": seed,
                    **scores,
                    "rounds": last["round"],
                    **{key: run[key] for key in fields},
                }


def label_runs(found: Sequence[Curves]) -> Iterator[dict[str, Any]]:
    """A line for each run of active learning, as it is at its end."""
    fields = ("train_flops", "pool_flops", "train_cpu_seconds")
    for curves in found:
        for strategy, runs in curves.runs.items():
            for seed, run in runs.items():
                last = run["rounds"][-1]
                told = {key: last[key] for key in ("test_accuracy", "test_macro_f1", "labels")}
                spent = {key: run[key] for key in fields}
                yield {"table": curves.title, "subset": strategy, "seed": seed, **told, **spent}


def search_runs(arms: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    """A line for each run that judges a search: with what the network had, and with what was found."""
    for arm in arms:
        for search, one in arm.searches.items():
            for values, scores in (("start", one.start), ("found", one.found)):
                for seed, score in scores.items():
                    told = {"table": "Searches", "subset": arm.name, "search": search, "values": values}
                    yield {**told, "seed": seed, "test_macro_f1": score}
