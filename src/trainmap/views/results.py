"""Pictures of the results of an experiment: what accuracy costs, and how it grows with the size of the subset."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainmap.files import writing
from trainmap.views.style import FAINT, INK, PALETTE, SIZES, SOFT, STYLE

COLUMNS = 3  # panels side by side
TITLE = 44  # characters that fit over a panel
UNITS = ((1e15, "PFLOPs"), (1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1.0, "FLOPs"))
MARKERS = "osD^vPX*<>hp"


@dataclass(frozen=True)
class Point:
    """One mean with its interval, in fractions; ``low`` and ``high`` are NaN without one."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """The points of one subset; ``opponent`` for full data and random, which are drawn in grey."""

    name: str
    points: tuple[Point, ...]
    opponent: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a dataset, map and student."""

    title: str
    series: tuple[Series, ...]


def plot_costs(panels: Sequence[Panel], path: str | Path) -> Path:
    """Test macro F1 (percent) against the FLOPs of the training, one line for each subset over its sizes."""
    units = [_unit(panel) for panel in panels]
    scaled = [_scaled(panel, size) for panel, (size, _) in zip(panels, units, strict=True)]
    return _plot(scaled, path, [f"training, {unit}" for _, unit in units])


def plot_sizes(panels: Sequence[Panel], path: str | Path) -> Path:
    """Test macro F1 (percent) against the size of the subset (percent of the training data), one line for each."""
    return _plot(panels, path, ["training data kept, percent"] * len(panels))


def _unit(panel: Panel) -> tuple[float, str]:
    """FLOPs of a unit that suits the most costly training of a panel, and its name."""
    most = max((point.x for series in panel.series for point in series.points), default=1.0)
    return next((size, unit) for size, unit in UNITS if most >= size)


def _scaled(panel: Panel, size: float) -> Panel:
    return replace(
        panel,
        series=tuple(
            replace(series, points=tuple(replace(point, x=point.x / size) for point in series.points))
            for series in panel.series
        ),
    )


def _plot(panels: Sequence[Panel], path: str | Path, labels: Sequence[str]) -> Path:
    target = Path(path)
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(series.name for panel in panels for series in panel.series if not series.opponent))
    others = list(dict.fromkeys(series.name for panel in panels for series in panel.series if series.opponent))
    with matplotlib.style.context([STYLE, SIZES]):
        legend_height = 0.24 * math.ceil((len(names) + len(others)) / 3) + 0.3
        height = 3.1 * lines + legend_height
        figure = Figure(figsize=(3.4 * columns + (1.6 if columns == 1 else 0), height), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(lines, columns, squeeze=False)
        handles: dict[str, object] = {}
        for at, axis in enumerate(axes.flat):
            if at >= len(panels):
                axis.set_axis_off()
                continue
            _dress(axis, panels[at].title, labels[at])
            for series in panels[at].series:
                place = (others if series.opponent else names).index(series.name)
                colour = SOFT if series.opponent else PALETTE(place / max(1, len(names) - 1))
                handles[series.name] = _draw(axis, series, colour, MARKERS[place % len(MARKERS)])
        figure.legend(
            [handles[name] for name in (*others, *names)],  # type: ignore[arg-type]
            [*others, *names],
            loc="outside lower center",
            ncols=min(3, len(handles)),
            frameon=False,
            fontsize=8,
        )
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=target.suffix[1:] or "png", metadata={"Software": None} if target.suffix == ".png" else None
        )
    with writing(target) as handle:
        handle.write(buffer.getvalue())
    return target


def _dress(axis: Axes, title: str, label: str) -> None:
    axis.set_title(textwrap.fill(title, TITLE), fontsize=9.5, color=INK)
    axis.set_xlabel(label, fontsize=9)
    axis.set_ylabel("test macro F1, percent", fontsize=9)
    axis.grid(color=FAINT, linewidth=0.4)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw(axis: Axes, series: Series, colour: object, marker: str) -> object:
    points = sorted(series.points, key=lambda point: point.x)
    x, y = [point.x for point in points], [100 * point.y for point in points]
    below = [0.0 if math.isnan(point.low) else 100 * (point.y - point.low) for point in points]
    above = [0.0 if math.isnan(point.high) else 100 * (point.high - point.y) for point in points]
    return axis.errorbar(
        x,
        y,
        yerr=[below, above],
        color=colour,  # type: ignore[arg-type]
        marker=marker,
        markersize=4.5,
        linestyle="-" if len(points) > 1 else "none",
        linewidth=1.1,
        elinewidth=0.7,
        capsize=1.5,
    )
