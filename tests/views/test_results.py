"""Pictures of results: a file of the right kind, the same each time, whatever is in it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

from trainmap.views.result_plots import Panel, Point, Series, plot_costs, plot_sizes


def panels(count: int) -> list[Panel]:
    points = tuple(Point(x, 0.5 + x / 100, 0.4 + x / 100, 0.7 + x / 100) for x in (1.0, 5.0, 33.0))
    alone = (Point(100.0, 0.9, math.nan, math.nan),)
    series = (
        Series("ambiguous", points),
        Series("random", points[:2], opponent=True),
        Series("full data", alone, True),
    )
    return [Panel(f"student {at}", series) for at in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_picture_has_a_panel_for_each_student_and_is_the_same_each_time(tmp_path: Path, count: int) -> None:
    first = plot_sizes(panels(count), tmp_path / "a.png").read_bytes()
    assert plot_sizes(panels(count), tmp_path / "b.png").read_bytes() == first
    with Image.open(tmp_path / "a.png") as image:
        width, _ = image.size
    assert width == {1: 5.0, 2: 6.8, 4: 10.2}[count] * 150
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_a_long_title_is_broken_where_its_panel_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr(Axes, "set_title", lambda self, title, **how: titles.append(title))
    long = replace(panels(1)[0], title="fashion-mnist, noise, label_noise 0.2, batch 64: mlp-256 (loss dkd)")
    plot_costs([long] * 2, tmp_path / "a.png")
    assert titles == ["fashion-mnist, noise, label_noise 0.2, batch\n64: mlp-256 (loss dkd)"] * 2


def test_costs_are_drawn_from_points_without_an_interval(tmp_path: Path) -> None:
    alone = Panel("only", (Series("full data", (Point(1e9, 0.9, math.nan, math.nan),), True),))
    assert plot_costs([alone], tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
