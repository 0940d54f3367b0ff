"""Pictures of the results of an experiment: what accuracy costs, how it grows with a subset's size, with labels or with
the rounds of a federation, how many recordings a ranking needs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainmap.files import writing
from trainmap.views.style import FAINT, INK, METADATA, PALETTE, SIZES, SOFT, STYLE, lettering

COLUMNS = 3  # panels side by side
PANEL = 3.4  # inches
TITLE = 44  # characters that fit over a panel
BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
UNITS = ((1e15, "PFLOPs"), (1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1.0, "FLOPs"))
MEMBERS = "members of each of two ensembles"
MARKERS = "osD^vPX*<>hp"
DASHES: Mapping[str, Any] = {"o": "--", "s": ":", "D": "-.", "^": (0, (1, 3))}
"""Of opponents, which are all grey."""
DOTS = 12  # on a line, about


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


Draw = Callable[[Axes, Series, object, str, float], object]


def plot_costs(panels: Sequence[Panel], path: str | Path, what: str = "one run") -> Path:
    """Test macro F1 (percent) against the FLOPs of ``what``, one line for each subset over its sizes."""
    units = [_unit(panel) for panel in panels]
    scaled = [_scaled(panel, size) for panel, (size, _) in zip(panels, units, strict=True)]
    return _plot(scaled, path, [f"{what}, {unit}" for _, unit in units])


def plot_sizes(panels: Sequence[Panel], path: str | Path) -> Path:
    """Test macro F1 (percent) against the size of the subset (percent of the training data), one line for each."""
    return _plot(panels, path, ["training data kept, percent"] * len(panels))


def plot_labels(panels: Sequence[Panel], path: str | Path) -> Path:
    """Test accuracy (percent) against the number of labels, one line for each strategy with its interval as a band."""
    return _plot(panels, path, ["labels"] * len(panels), ("test accuracy, percent", 100.0), _draw_band)


def plot_rounds(panels: Sequence[Panel], path: str | Path, across: Literal["rounds", "bytes", "flops"]) -> Path:
    """Test accuracy (percent) against the rounds of a federation, or against what they took until then: bytes of all
    messages, or FLOPs of the clients. One line for each row with its interval as a band, from 0 to 100."""
    upward = ("test accuracy, percent", 100.0)

    def draw(axis: Axes, *told: Any) -> object:
        line = _draw_band(axis, *told)
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, -2.0), min(high, 102.0))
        return line

    if across == "rounds":
        return _plot(panels, path, ["rounds"] * len(panels), upward, draw)
    what, known = ("clients' compute", UNITS) if across == "flops" else ("messages", BYTES)
    units = [_unit(panel, known) for panel in panels]
    scaled = [_scaled(panel, size) for panel, (size, _) in zip(panels, units, strict=True)]
    return _plot(scaled, path, [f"{what}, {unit}" for _, unit in units], upward, draw)


def plot_members(panels: Sequence[Panel], path: str | Path) -> Path:
    """Spearman's correlation of two ensembles without a common member against the number of members of each."""
    return _plot(panels, path, [MEMBERS] * len(panels), ("Spearman's correlation", 1.0))


def _unit(panel: Panel, units: Sequence[tuple[float, str]] = UNITS) -> tuple[float, str]:
    """How many FLOPs (or bytes) a unit is that suits what costs most in a panel, and its name."""
    most = max((point.x for series in panel.series for point in series.points), default=1.0)
    return next((size, unit) for size, unit in units if most >= size)


def _scaled(panel: Panel, size: float) -> Panel:
    return replace(
        panel,
        series=tuple(
            replace(series, points=tuple(replace(point, x=point.x / size) for point in series.points))
            for series in panel.series
        ),
    )


def _plot(
    panels: Sequence[Panel],
    path: str | Path,
    labels: Sequence[str],
    upward: tuple[str, float] = ("test macro F1, percent", 100.0),
    draw: Draw | None = None,
) -> Path:
    """``labels`` are of the axes across; ``upward`` is the other axis' label and what values are multiplied by."""
    target = Path(path)
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(series.name for panel in panels for series in panel.series if not series.opponent))
    others = list(dict.fromkeys(series.name for panel in panels for series in panel.series if series.opponent))
    with matplotlib.style.context(["default", STYLE, SIZES]):
        width = PANEL * columns + (1.6 if columns == 1 else 0)
        figure = Figure(figsize=(width, 3.1 * lines), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(lines, columns, squeeze=False)
        handles: dict[str, Any] = {}
        for at, axis in enumerate(axes.flat):
            if at >= len(panels):
                axis.set_axis_off()
                continue
            _dress(axis, panels[at].title, labels[at], upward[0])
            for series in panels[at].series:
                place = (others if series.opponent else names).index(series.name)
                colour = SOFT if series.opponent else PALETTE(place / max(1, len(names) - 1))
                told = (colour, MARKERS[place % len(MARKERS)], upward[1])
                handles[series.name] = (draw or _draw)(axis, series, *told)
        figure.set_figheight(3.1 * lines + _add_legend(figure, {name: handles[name] for name in (*others, *names)}))
        buffer = io.BytesIO()
        figure.savefig(buffer, format=target.suffix[1:] or "png", metadata=METADATA.get(target.suffix))
    with writing(target) as handle:
        handle.write(buffer.getvalue())
    return target


def _add_legend(figure: Figure, handles: Mapping[str, Any]) -> float:
    """A legend below the panels in as many columns as fit; its height in inches."""
    width, renderer = figure.get_figwidth(), cast(FigureCanvasAgg, figure.canvas).get_renderer()
    trials = [*((columns, int(11 * width)) for columns in (3, 2, 1)), *((1, int(n * width)) for n in (9, 7, 5))]
    for columns, letters in trials:
        labels = [lettering(name, letters, 2) for name in handles]
        how: dict[str, Any] = {"ncols": columns, "loc": "outside lower center", "frameon": False, "fontsize": 8}
        legend = figure.legend(list(handles.values()), labels, **how)
        for text in legend.get_texts():
            text.set_parse_math(False)
        size = legend.get_window_extent(renderer)
        if size.width <= figure.dpi * width or (columns, letters) == trials[-1]:
            return size.height / figure.dpi + 0.1
        legend.remove()
    return 0.0


def _dress(axis: Axes, title: str, label: str, upward: str) -> None:
    figure = cast(Figure, axis.figure)
    for letters in (TITLE, 36, 30, 24, 18):  # of wide ones fewer fit
        axis.set_title(lettering(title, letters, 3), fontsize=9.5, color=INK, parse_math=False)
        size = axis.title.get_window_extent(cast(FigureCanvasAgg, figure.canvas).get_renderer())
        if size.width <= 0.84 * PANEL * figure.dpi:  # as wide as the axes
            break
    axis.set_xlabel(label, fontsize=9)
    axis.set_ylabel(upward, fontsize=9)
    if label == MEMBERS:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(color=FAINT, linewidth=0.4)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw(axis: Axes, series: Series, colour: object, marker: str, scale: float) -> object:
    points = sorted(series.points, key=lambda point: point.x)
    x, y = [point.x for point in points], [scale * point.y for point in points]
    below = [0.0 if math.isnan(point.low) else scale * (point.y - point.low) for point in points]
    above = [0.0 if math.isnan(point.high) else scale * (point.high - point.y) for point in points]
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


def _draw_band(axis: Axes, series: Series, colour: object, marker: str, scale: float) -> object:
    points = sorted(series.points, key=lambda point: point.x)
    there = [point for point in points if not math.isnan(point.low)]
    axis.fill_between(
        [point.x for point in there],
        [scale * point.low for point in there],
        [scale * point.high for point in there],
        color=colour,  # type: ignore[arg-type]
        alpha=0.13,
        linewidth=0,
    )
    (line,) = axis.plot(
        [point.x for point in points],
        [scale * point.y for point in points],
        color=colour,  # type: ignore[arg-type]
        marker=marker,
        markersize=4,
        linewidth=1.3,
        markevery=max(1, len(points) // DOTS),
        linestyle=DASHES.get(marker, "--") if series.opponent else "-",
        zorder=4 if series.opponent else 2,
    )
    return line
