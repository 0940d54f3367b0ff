"""What a recording, a map and a selection show of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from trainmap.audits.audit import audit
from trainmap.dynamics.exchange.whole_folder import write_dynamics
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.maps.datamap import DataMap
from trainmap.selection.select import select
from trainmap.views.side_by_side import of_audit
from trainmap.views.summary import summary

MARKUP = ["[/a]", "[red]cat.png", ":cat:", "[bold]x", "\\[dim]"]


def text(view: object) -> str:
    console = Console(width=160, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def record(folder: Path) -> Dynamics:
    rng = np.random.default_rng(0)
    with Recorder(folder, 2, MARKUP, [0, 1, 0, 1, 0]) as recorder:
        for _ in range(3):
            recorder.update(MARKUP, rng.normal(size=(5, 2)), [0, 1, 0, 1, 0])
            recorder.end_epoch()
    return Dynamics.open(folder)


def test_ids_and_paths_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "[red]d")
    assert f"dynamics{dynamics.path}" in "".join(text(summary(dynamics.path)).split())
    assert f"{min(MARKUP)} to {max(MARKUP)}" in text(summary(dynamics.path))
    datamap = DataMap.from_dynamics(dynamics)
    assert "map" in text(summary(datamap.save(tmp_path / "m.parquet")))
    card = select(datamap, "100% random").save(tmp_path / "card.json")
    shown = text(summary(card))
    found = text(of_audit(audit(dynamics, threshold=-2)))
    for name in MARKUP:
        assert name in shown
        assert name in found


@pytest.mark.parametrize(
    ("held", "columns"),
    [
        (["p_gold"], "epoch  seen  mean p(gold)"),
        (["p_gold", "loss"], "epoch  seen  mean p(gold)  mean loss"),
        (["predicted"], "epoch  seen  accuracy"),
        (["entropy"], "epoch  seen"),
    ],
)
def test_an_import_shows_the_figures_of_the_columns_that_it_has(held: list[str], columns: str, tmp_path: Path) -> None:
    every: dict[str, Any] = {name: np.array([0.25, 0.75, np.nan], np.float32) for name in ("p_gold", "loss", "entropy")}
    every["predicted"] = np.array([1, 0, -1], np.int16)
    given = {name: every[name] for name in held}
    made = write_dynamics(tmp_path / "d", np.arange(3), np.array([1, 1, 0]), 2, "sweep", [(given, 2)], {})
    lines = [line.strip() for line in text(summary(made.path)).splitlines()]
    assert columns in lines
    figures = {"p_gold": "0.5000", "loss": "0.5000", "predicted": "50.00%"}
    assert lines[-1].split() == ["0", "2", *(figures[name] for name in held if name in figures)]
