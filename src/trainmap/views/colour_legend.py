"""What the colours of a map's picture mean: a panel that is the distribution of the colour and its legend in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from trainmap.views.map_layout import ROW, Layout
from trainmap.views.scale import Scale
from trainmap.views.style import CLASS_COLOURS, INK, PALETTE, SOFT, count_of, lettering, share, zoom_of

LABELLED_STEPS = 16  # epochs up to which each bar of the legend carries its share
LETTER = 0.075  # inches of a letter of 8.5 points, a wide one


def shades_of(colour: Scale, values: NDArray, names: Sequence[str]) -> NDArray:
    """(n, 4) the colours of values; by their class where the classes have ``names``."""
    if not names:
        return PALETTE(colour.fraction(values))
    return to_rgba_array(CLASS_COLOURS)[values.astype(np.int64)]


def draw_legend(axes: Axes, layout: Layout, colour: Scale, epochs: int, names: Sequence[str]) -> None:
    if names:
        _names(axes, layout, colour, names)
    else:
        _distribution(axes, not layout.beneath, colour, epochs)


def _distribution(axes: Axes, upright: bool, colour: Scale, epochs: int) -> None:
    """A strip of all colours, and a bar for each, on a square-root scale."""
    whole = bool((colour.values == colour.values.round()).all())  # shares of labels or tokens add up to others
    counted = colour.name == "correctness" and whole and epochs <= 100
    bars = epochs + 1 if counted else 60
    step = 1.0 if counted else (colour.high - colour.low) / bars
    middle = np.arange(bars) * 1.0 if counted else colour.low + step * (np.arange(bars) + 0.5)
    cell = colour.values.round().astype(np.int64) if counted else colour.bins(bars)
    count = np.bincount(cell, minlength=bars)
    length = np.sqrt(count / count.max())
    shades = PALETTE(colour.fraction(middle))
    thick = step if bars > 40 else 0.84 * step
    along, ends = (-0.14, 1), (middle[0] - step / 2, middle[-1] + step / 2)
    if upright:
        axes.barh(middle, np.full(bars, 0.11), left=-0.14, height=thick, color=shades, linewidth=0)
        axes.barh(middle, length, height=thick, color=shades, linewidth=0)
        axes.set(xlim=along, ylim=ends, xticks=[])
    else:
        axes.bar(middle, np.full(bars, 0.11), bottom=-0.14, width=thick, color=shades, linewidth=0)
        axes.bar(middle, length, width=thick, color=shades, linewidth=0)
        axes.set(ylim=along, xlim=ends, yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y" if upright else "x", length=0)
    axis = axes.yaxis if upright else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    if counted and epochs <= LABELLED_STEPS:
        axis.set_ticks(middle)
        if upright:
            for place, end, number in zip(middle, length, count, strict=True):
                beside(axes, share(number, colour.values.size), (end, place), (4, 0), va="center")
    elif counted:
        axis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    title, told = colour.label.split("  (")[0], ""
    if colour.name == "correctness":
        told = (
            f"right in … of {count_of(epochs, 'epoch')}" if whole else f"accuracy, sum of {count_of(epochs, 'epoch')}"
        )
    if upright:
        beside(axes, told, (-0.14, ends[1]), (0, 9))
        beside(axes, lettering(title, 22), (-0.14, ends[1]), (0, 22), fontsize=10.5, color=INK)
    else:
        beside(axes, f"{title}{told and ': '}{told}", (ends[0], 1), (0, 5), color=INK)


def _names(axes: Axes, layout: Layout, colour: Scale, names: Sequence[str]) -> None:
    """A line for each class: its colour, its name, its share; in two columns beneath a map."""
    columns, line = (2, ROW) if layout.beneath else (1, 0.3)
    rows = -(-len(names) // columns)
    _, _, width, height = layout.legend
    room = width / columns if layout.beneath else layout.width - layout.legend[0]
    letters = int((room - 0.25) / LETTER) - len(" · 99.9 %")
    count = np.bincount(colour.values.astype(np.int64), minlength=len(names))
    axes.set(xlim=(0, columns), ylim=(max(rows, height / line), 0), xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    wide = 0.16 / width * columns  # inches of a swatch
    for place, (name, number) in enumerate(zip(names, count, strict=True)):
        across, down = divmod(place, rows)
        axes.add_patch(Rectangle((across, down + 0.14), wide, 0.72, color=CLASS_COLOURS[place], linewidth=0))
        words = f"{lettering(name, letters)} · {share(number, colour.values.size)}"
        beside(axes, words, (across + wide, down + 0.5), (4, 0), va="center", color=INK)
    beside(axes, "class", (0, 0), (0, 6), fontsize=8.5 if layout.beneath else 10.5, color=INK)


def beside(
    axes: Axes,
    words: str,
    point: tuple[float, float],
    offset: tuple[float, float],
    fontsize: float = 8.5,
    **how: object,
) -> None:
    """Write at a point of the data, ``offset`` (in points) away from it."""
    zoom = zoom_of(axes)
    given = {"color": SOFT, "parse_math": False, "annotation_clip": False, "fontsize": fontsize * zoom, **how}
    axes.annotate(words, point, (offset[0] * zoom, offset[1] * zoom), textcoords="offset points", **given)
