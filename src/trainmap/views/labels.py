"""Where the names of the regions stand: over no example where there is room, near their members, clear of each other.

Each region has a ring at the member that lies nearest to the median of all, and a line from there to its label, so that
the label may go where the picture is empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainmap.views.scale import PAD, Scale
from trainmap.views.style import FAINT, INK, lettering, share, zoom_of

Array = NDArray[Any]

Box = tuple[float, float, float, float]  # left, bottom, right, top as fractions of the axes
LEADER = np.linspace(0.05, 1, 16)  # where the line from a region to its label is looked at
LABEL = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": FAINT, "alpha": 0.92}


@dataclass(frozen=True)
class Region:
    """A region and where it is: at its drawn member nearest to their median, in fractions of each axis with its pads.

    The median itself may lie where no member is: between two clusters, or outside a bent one.
    """

    name: str
    examples: int
    x: float
    y: float


def regions_of(table: pl.DataFrame, drawn: Array, x: Scale, y: Scale) -> list[Region]:
    """The regions of the map in the order of REGIONS, then by name; those of REGIONS also when they are empty."""
    if "region" not in table.columns or table["region"].null_count() == table.height:
        return []
    column = table["region"].cast(pl.String)
    known = [*REGIONS, *sorted(set(column.drop_nulls().unique()) - set(REGIONS))]
    regions = []
    for name in known:
        members = column.eq(name).fill_null(False).to_numpy()
        inside = members[drawn]
        place = [math.nan, math.nan]
        if inside.any():
            across, up = ((s.fraction(s.values[inside]) + PAD) / (1 + 2 * PAD) for s in (x, y))
            away = np.hypot(across - np.median(across), up - np.median(up))
            middle = np.lexsort((up, across, away))[0]  # the order of the rows must not show
            place = [float(across[middle]), float(up[middle])]
        regions.append(Region(name, int(members.sum()), place[0], place[1]))
    return regions


def draw_regions(axes: Axes, regions: list[Region], n: int, x: Scale, y: Scale) -> None:
    """A ring in the middle of each region, and its name, count and share beside it where it hides the least.

    The smallest region chooses first: it has the least choice.
    """
    zoom = zoom_of(axes)
    cells = 60
    grid = np.bincount(y.bins(cells) * cells + x.bins(cells), minlength=cells * cells).reshape(cells, cells)
    # Bad to hide: a cell with anything in it, a dense cell, many examples (a label covers about 60 cells).
    ink = 0.5 * (grid > 0) + 0.5 * np.log1p(grid) / math.log1p(grid.max()) + 60 * grid / grid.sum()
    summed, counts = _running(ink), _running(grid)
    seen = sorted((region for region in regions if math.isfinite(region.x)), key=lambda region: region.examples)
    taken = [_around(region.x, region.y, 0.022) for region in seen]
    renderer = cast(FigureCanvasAgg, cast(Figure, axes.figure).canvas).get_renderer()
    frame = axes.get_window_extent(renderer)
    pad = 0.35 * matplotlib.rcParams["font.size"] * renderer.dpi / 72  # what LABEL adds around its text, in pixels
    for region in seen:
        words = f"{lettering(region.name, 30)}\n{region.examples:,} · {share(region.examples, n)}"
        text = axes.text(0, 0, words, transform=axes.transAxes, linespacing=1.3, zorder=8, bbox=LABEL, parse_math=False)
        size = text.get_window_extent(renderer)
        width, height = (size.width + 2 * pad) / frame.width, (size.height + 2 * pad) / frame.height
        left, bottom, right, top = _place(region, width, height, summed, counts, taken)
        text.set_position((left + pad / frame.width, bottom + pad / frame.height))
        end = (min(max(region.x, left), right), min(max(region.y, bottom), top))
        for colour, weight in (("white", 3.2 * zoom), (INK, 1.2 * zoom)):
            line = {"arrowstyle": "-", "shrinkA": 4 * zoom, "shrinkB": 0, "color": colour, "linewidth": weight}
            axes.annotate("", end, (region.x, region.y), xycoords="axes fraction", arrowprops=line, zorder=6)
            ring = axes.plot(region.x, region.y, "o", transform=axes.transAxes, color="none", zorder=7)[0]
            ring.set(markersize=8 * zoom, markeredgecolor=colour, markeredgewidth=weight, clip_on=False)
        taken.append((left - 0.01, bottom - 0.014, right + 0.01, top + 0.014))
        steps = zip(region.x + LEADER * (end[0] - region.x), region.y + LEADER * (end[1] - region.y), strict=True)
        taken += [_around(float(across), float(up), 0.008) for across, up in steps]


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _running(grid: Array) -> Array:
    """(g + 1, g + 1) running sums of g by g cells, so that the sum under any box is four look-ups."""
    summed = np.zeros((grid.shape[0] + 1, grid.shape[1] + 1))
    summed[1:, 1:] = grid.cumsum(axis=0).cumsum(axis=1)
    return summed


def _place(region: Region, width: float, height: float, summed: Array, counts: Array, taken: list[Box]) -> Box:
    """The box of a label: over no example where the picture has room for it, and then near its region; clear of other
    labels, rings and their lines.

    ``summed`` and ``counts`` are the running sums of the ink and of the examples in g by g cells.
    """
    cells = summed.shape[0] - 1
    left, bottom = np.meshgrid(np.linspace(0.012, 0.988 - width, 70), np.linspace(0.012, 0.988 - height, 70))
    right, top = left + width, bottom + height
    end_x, end_y = np.clip(region.x, left, right), np.clip(region.y, bottom, top)
    a, c = (left * cells).astype(np.int64), (bottom * cells).astype(np.int64)
    b, d = (np.ceil(edge * cells).astype(np.int64).clip(max=cells) for edge in (right, top))
    hidden = (summed[d, b] - summed[c, b] - summed[d, a] + summed[c, a]) / ((b - a) * (d - c))
    cost = np.hypot(region.x - end_x, region.y - end_y) + 1.3 * hidden
    # A cell more on each side: a point is drawn around its place, and a box's edge lies within a cell.
    a, c, b, d = (a - 1).clip(0), (c - 1).clip(0), (b + 1).clip(max=cells), (d + 1).clip(max=cells)
    cost += 50.0 * ((counts[d, b] - counts[c, b] - counts[d, a] + counts[c, a]) > 0)
    line_x = region.x + LEADER[:, None, None] * (end_x - region.x)
    line_y = region.y + LEADER[:, None, None] * (end_y - region.y)
    for l0, b0, r0, t0 in taken:
        cost += 200.0 * ((left < r0) & (right > l0) & (bottom < t0) & (top > b0))
        if not (l0 <= region.x <= r0 and b0 <= region.y <= t0):
            cost += 2.0 * ((line_x > l0) & (line_x < r0) & (line_y > b0) & (line_y < t0)).any(axis=0)
    best = np.unravel_index(int(cost.argmin()), cost.shape)
    return float(left[best]), float(bottom[best]), float(right[best]), float(top[best])


REGIONS = ("easy-to-learn", "ambiguous", "hard-to-learn")
