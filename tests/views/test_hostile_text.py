"""Text of users in every view: shown as it is, never markup, a format, mathtext or a control sequence."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.text
import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.table import Table
from rich.text import Text

import trainmap as tm
from hostile import HOSTILE
from trainmap import terminal
from trainmap.audits.audit import audit
from trainmap.errors import printable
from trainmap.evaluation.flips import flips
from trainmap.evaluation.predictions import Predictions
from trainmap.machine import bars
from trainmap.maps.agreement import compare
from trainmap.views import forgets, plot, result_plots, side_by_side, summary

IDS = np.array(sorted(HOSTILE.values()))
N = len(IDS)


def shown(view: object) -> str:
    """What a terminal gets, without Rich's own colours."""
    screen = terminal.Terminal()
    screen.file, screen._force_terminal, screen.width = io.StringIO(), True, 900
    screen.print(view)
    return re.sub(r"\x1b\[[\d;]*m", "", screen.file.getvalue())


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tm.Dynamics:
    folder = tmp_path_factory.mktemp("hostile") / "[bold]{b} $x$"
    draws = np.random.default_rng(0)
    with tm.Recorder(folder, classes=2) as recorder:
        for _ in range(3):
            recorder.update(IDS, draws.normal(0, 1, (N, 2)), np.arange(N) % 2)
            recorder.end_epoch()
    return tm.Dynamics.open(folder)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_terminal_shows_text_as_it_is(text: str) -> None:
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(Text(text))
    for view in (text, table):
        told = shown(view)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u202e]", told)
        for line in printable(text.expandtabs(), "").split("\n"):
            assert line.strip() in re.sub(r"\s+", " ", told) or len(line) > 100 or "\t" in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_bar_shows_text_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with bars(detail=True) as lines:
        task = lines.add_task(text, total=2, detail=text)
        lines.update(task, completed=1, detail=text)
        lines.console.print(f"failed: {text}")
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert printable(text.split("\n")[0], "")[:12].rstrip() in told


def views(recording: tm.Dynamics, folder: Path) -> Iterator[object]:
    datamap = tm.DataMap.from_dynamics(recording)
    yield summary.of_dynamics(recording)
    yield summary.of_map(datamap)
    selection = tm.Selection.of(datamap, IDS[:5], HOSTILE["markup that ends"])
    yield summary.of_selection(selection)
    yield summary.summary(selection.save(folder / "[bold]{b}.json"))
    yield side_by_side.of_comparison(compare(datamap, datamap))
    yield side_by_side.of_audit(audit(recording, threshold=-1.0))
    labels = np.arange(N) % 2
    sides = [Predictions.of(IDS, labels, labels[::step]) for step in (1, -1)]
    yield forgets.of_flips(flips(*sides, groups={HOSTILE["markup that ends"]: {one: one for one in IDS.tolist()}}))


def test_every_view_of_hostile_names_is_drawn_without_a_control_sequence(
    recording: tm.Dynamics, tmp_path: Path
) -> None:
    told = [shown(view) for view in views(recording, tmp_path)]
    for text in told:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert HOSTILE["markup that ends"] in "".join(told)
    assert HOSTILE["format"] in "".join(told)


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.text.Text]:
    """Every text that a picture draws from now on."""
    found: list[matplotlib.text.Text] = []
    draw = matplotlib.text.Text.draw

    def noted(text: matplotlib.text.Text, *how: Any) -> None:
        if text.get_visible():
            found.append(text)
        draw(text, *how)

    monkeypatch.setattr(matplotlib.text.Text, "draw", noted)
    return found


PICTURED = ("markup that ends", "emoji code", "format", "mathtext", "latex", "escape", "lines", "long", "wide")


@pytest.mark.parametrize("text", [HOSTILE[name] for name in PICTURED], ids=PICTURED)
def test_every_picture_of_hostile_names_is_drawn_as_it_is_and_whole(
    text: str, recording: tm.Dynamics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = drawn(monkeypatch)
    datamap = tm.DataMap.from_dynamics(recording)
    table = datamap.table.with_columns(pl.col("confidence").alias(text), region=pl.lit(text))
    labels = np.arange(N) % 2
    sides = [Predictions.of(IDS, labels, labels[::step]) for step in (1, -1)]
    point = result_plots.Point(1e9, 0.5, 0.4, 0.6)
    panel = result_plots.Panel(
        text, (result_plots.Series(text, (point,)), result_plots.Series("random", (point,), True))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.plot_map(replace(datamap, table=datamap.table), tmp_path / "map.png", title=text)
        plot.plot_map(_Map(table), tmp_path / "axis.png", y=text)
        found = flips(*sides, groups={"named": dict.fromkeys(IDS.tolist(), text)})
        forgets.plot_flips(found, tmp_path / "flips.png", "named")
        result_plots.plot_costs([panel] * 4, tmp_path / "costs.png")
        result_plots.plot_sizes([panel], tmp_path / "sizes.png")
    for one in texts:
        if one.get_text().strip() and any(letter in one.get_text() for letter in "$\\^"):
            assert not one.get_parse_math(), one.get_text()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", one.get_text())
    for name in ("costs", "sizes"):
        with Image.open(tmp_path / f"{name}.png") as image:
            edge = np.asarray(image.convert("L"))
            assert (edge[:, :3] == 255).all()  # nothing is cut off
            assert (edge[:, -3:] == 255).all()


class _Map:
    epochs, rule = 3, "$\\frac$ [bold]{b}"

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_legend_of_many_long_names_is_drawn_whole(count: int, tmp_path: Path) -> None:
    series = tuple(
        result_plots.Series(
            f"class-balanced ambiguous = high variability {at} %", (result_plots.Point(1, 0.5, 0.4, 0.6),)
        )
        for at in range(18)
    )
    path = result_plots.plot_costs([result_plots.Panel("mlp-256", series)] * count, tmp_path / "costs.png")
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    for edge in (pixels[:, :3], pixels[:, -3:], pixels[-3:]):
        assert (edge == 255).all()
