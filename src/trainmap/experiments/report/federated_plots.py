"""Pictures of federations: accuracy by rounds and by what they took, and the clients on one map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainmap.experiments.results.round_curves import Across, Rounds, Row, rounds_of
from trainmap.experiments.results.run_rows import mean_of
from trainmap.experiments.results.statistics import interval
from trainmap.experiments.runs.folder import Study
from trainmap.views.client_dots import Dot, DotPanel, plot_clients
from trainmap.views.result_plots import Panel, Point, Series, plot_rounds

Done = Mapping[str, Mapping[str, Any]]


def federated_pictures(study: Study, done: Done, folder: Path) -> list[tuple[str, Path]]:
    """Caption and file of each picture, drawn into ``folder``."""
    found = rounds_of(study, done)
    if not found:
        return []
    named: Mapping[Across, str] = {
        "rounds": "rounds",
        "flops": "what the clients computed, their looks included",
        "bytes": "bytes of all messages",
    }
    pictures = []
    for across, words in named.items():
        panels = [
            Panel(one.title, tuple(_series(row, across, study.level) for row in one.rows.values())) for one in found
        ]
        path = plot_rounds(panels, folder / f"federated-{across}.png", across)
        pictures.append((f"Federated learning: accuracy by {words}", path))
    if dots := [panel for one in found for panel in _dots(one)]:
        path = plot_clients(dots, folder / "clients.png")
        pictures.append(("Clients of all seeds by the means of their last maps; noisy ones are crosses", path))
    return pictures


def _series(row: Row, across: Across, level: float) -> Series:
    """The mean over the seeds after each round, at the mean of what it took."""
    points: list[Point] = []
    curves = [row.curve(seed, across) for seed in row.runs]
    for place in range(len(curves[0][0])):
        found = interval([y[place] for _, y in curves], level)
        points.append(Point(mean_of([x[place] for x, _ in curves]), found.mean, found.low, found.high))
    return Series(row.label, tuple(points), not row.judged)


def _dots(one: Rounds) -> Iterator[DotPanel]:
    """Of the first row that has maps."""
    for row in one.rows.values():
        clients = [client for run in row.runs.values() for client in run["clients"]]
        dots = [
            Dot(client["variability"], client["confidence"], client["examples"], client["noisy"])
            for client in clients
            if client["confidence"] is not None and client["variability"] is not None
        ]
        if dots:
            yield DotPanel(f"{row.name}, {one.title}", tuple(dots))
            return
