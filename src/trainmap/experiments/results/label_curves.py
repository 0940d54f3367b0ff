"""What labels buy: the curves of active learning, accuracy by number of labels, held against random by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainmap.experiments.results.statistics import Difference, Estimate, interval, paired_difference
from trainmap.experiments.results.titles import active_titles
from trainmap.experiments.runs.folder import Study

Done = Mapping[str, Mapping[str, Any]]

RANDOM, ENTROPY = "random", "entropy"


@dataclass(frozen=True)
class Needed:
    """The labels that a strategy takes to random's last accuracy.

    Attributes:
        labels: mean over the seeds; a seed that does not get there counts with its last number, so that the mean is a
            bound from below.
        reached: seeds that get there.
    """

    labels: Estimate
    reached: int


@dataclass(frozen=True)
class Curves:
    """Every finished run of one network on one dataset.

    Attributes:
        title: "cnn-8 on digits".
        labels: how many each round has.
        runs: strategy -> seed -> result, random first.
    """

    title: str
    labels: tuple[int, ...]
    runs: Mapping[str, Mapping[int, Mapping[str, Any]]]

    def accuracy(self, strategy: str, place: int) -> dict[int, float]:
        """Of a round, by seed."""
        return {seed: run["rounds"][place]["test_accuracy"] for seed, run in self.runs[strategy].items()}

    def areas(self, strategy: str) -> dict[int, float]:
        """The area under each seed's curve over its width: the mean accuracy between the first and the last round, by
        the trapezoidal rule."""
        curves = {seed: _accuracies(run) for seed, run in self.runs[strategy].items()}
        width = self.labels[-1] - self.labels[0]
        return {seed: float(np.trapezoid(curve, self.labels) / width) for seed, curve in curves.items()}

    def against(self, other: str, strategy: str, level: float, place: int | None = None) -> Difference:
        """A strategy minus another, paired by seed: of a round, or for None of the areas."""
        if other not in self.runs:
            return paired_difference({}, {}, level)
        a, b = (self.areas(one) if place is None else self.accuracy(one, place) for one in (strategy, other))
        return paired_difference(a, b, level)

    @property
    def target(self) -> float | None:
        """Random's mean accuracy with all the labels; None without a finished one."""
        return float(np.mean([*self.accuracy(RANDOM, -1).values()])) if RANDOM in self.runs else None

    def needed(self, strategy: str, level: float) -> Needed | None:
        """The labels to random's last accuracy, along the straight lines between the rounds."""
        if self.target is None:
            return None
        crossed = [crossing(self.labels, _accuracies(run), self.target) for run in self.runs[strategy].values()]
        counted = [self.labels[-1] if one is None else one for one in crossed]
        return Needed(interval(counted, level), sum(one is not None for one in crossed))


def crossing(labels: Sequence[float], accuracy: Sequence[float], target: float) -> float | None:
    """Where a curve first reaches a target, between two rounds along a straight line; None where it never does."""
    for place, value in enumerate(accuracy):
        if value >= target:
            if place == 0:
                return float(labels[0])
            before = accuracy[place - 1]
            share = (target - before) / (value - before)
            return labels[place - 1] + share * (labels[place] - labels[place - 1])
    return None


def curves_of(study: Study, done: Done) -> list[Curves]:
    """The curves of a study, in the order of the plan."""
    entries = {entry.hash: entry for entry in study.entries}
    found: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for digest, title in active_titles(study).items():
        if digest in done:
            config = entries[digest].config
            sizes[str(title)] = tuple(config["sizes"])
            strategies = found.setdefault(str(title), {})
            strategies.setdefault(config["strategy"], {})[config["seed"]] = done[digest]
    return [Curves(title, sizes[title], runs) for title, runs in found.items()]


def _accuracies(run: Mapping[str, Any]) -> list[float]:
    return [row["test_accuracy"] for row in run["rounds"]]
