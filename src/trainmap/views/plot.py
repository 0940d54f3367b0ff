"""The picture of a map: every example at its variability and confidence, coloured by how often it was right.

Up to ``POINTS`` examples each one is a point; above it the plane is cut into bins, the colour is the mean of the bin
and the opacity the logarithm of its count. The margins show how the examples spread along each axis, and the panel on
the right is the distribution of the colour and its legend in one.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import matplotlib
import matplotlib.style
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown
from trainmap.files import write_atomically

Array = NDArray[Any]

POINTS = 20_000  # examples that are drawn one by one; above it, points only cover each other
VECTOR_POINTS = 2_000  # above it the points of an svg or pdf become one image: such files stay below a megabyte
LABELLED_STEPS = 16  # epochs up to which each bar of the legend carries its share

INK, SOFT, FAINT, OUTSIDE = "#1f2430", "#6b7280", "#c9ced6", "#f5f6f8"
WIDTH, HEIGHT = 10.0, 7.85  # inches of the layout below; another width scales all of it, text as well
LEFT, BOTTOM, MAIN_WIDTH, MAIN_HEIGHT, MARGIN, GAP = 0.82, 1.28, 5.75, 4.75, 0.85, 0.07
LEGEND_LEFT, LEGEND_WIDTH = 8.15, 1.1
PAD = 0.012  # of an axis, on both sides: a point on the edge is a whole point

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is never missing
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.unicode_minus": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "svg.hashsalt": "trainmap",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
SIZES = {  # points, for a picture of WIDTH
    "font.size": 10,
    "axes.labelsize": 10.5,
    "axes.labelpad": 5,
    "axes.linewidth": 0.7,
    "lines.linewidth": 0.9,
    "patch.linewidth": 0.7,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
}


class Map(Protocol):
    """What is drawn: a DataMap, or anything with these three."""

    @property
    def table(self) -> pl.DataFrame: ...
    @property
    def epochs(self) -> int: ...
    @property
    def rule(self) -> str: ...


Box = tuple[float, float, float, float]  # left, bottom, right, top as fractions of the axes
LEADER = np.linspace(0.05, 1, 16)  # where the line from a region to its label is looked at
LABEL = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": FAINT, "alpha": 0.92}


@dataclass(frozen=True)
class Scale:
    """One score: its finite values, the range of its axis, and what is written beside it."""

    name: str
    label: str
    values: Array
    low: float
    high: float

    def fraction(self, values: Array | float) -> Array:
        """Where values lie between the two ends of the axis, 0..1."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)

    def limits(self) -> tuple[float, float]:
        """The ends of the axis with its pads."""
        pad = PAD * (self.high - self.low)
        return self.low - pad, self.high + pad

    def bins(self, count: int) -> Array:
        """(n,) the bin, 0..count - 1, of every value."""
        return np.clip((self.fraction(self.values) * count).astype(np.int64), 0, count - 1)


@dataclass(frozen=True)
class Region:
    """A region and where it is: the median of its drawn members, as a fraction of each axis with its pads."""

    name: str
    examples: int
    x: float
    y: float


def plot_map(
    datamap: Map,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    x: str = "variability",
    y: str = "confidence",
    colour: str = "correctness",
    width_inches: float = 10.0,
    dpi: int = 150,
) -> Path:
    """Draw a map of N examples to a file.

    Args:
        datamap: ``table`` with one row per example and the columns named by ``x``, ``y`` and ``colour`` (numbers), and
            ``region`` (text or null; may be missing); ``epochs`` E >= 1; ``rule``, the name of the rule of regions.
        path: the file; its suffix says the kind: .png, .svg or .pdf. Its folder is made; a file that is there is
            replaced, whole or not at all.
        title: the headline; default "Data map".
        x, y, colour: any columns of numbers. Variability and confidence get their whole possible range, 0..0.5 and
            0..1, so that two maps can be laid side by side; correctness (0..E) gets a colour per count. Other columns
            get the range of their values.
        width_inches: 3 to 40; the height follows, and text grows with it.
        dpi: 40 to 600, for png and for the images inside an svg or pdf.

    Returns:
        The path of the file. Equal input gives equal bytes (with one version of matplotlib), and the order of the rows
        does not show.

    Raises:
        TrainmapError: another suffix, a column that is not there or has no numbers, a correctness above E, a size out
            of range, or no example with all three values.

    An example without a finite value in one of the three columns (never seen) has no place on the map; the picture
    says how many there are. The thin curve is the most variability that a confidence c allows, sqrt(c (1 - c)): the
    standard deviation of probabilities that are all 0 or 1.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, figure 1.
    Differs: draws all examples (theirs: a random 55,000 without a seed), colours by correctness / E (theirs: by the
    largest count that was seen), and puts the name of a region where its members are (theirs: at fixed places).
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in METADATA:
        raise TrainmapError(f"a picture must be {', '.join(METADATA)}, got '{target.name}'; give it one of these ends")
    _within("width_inches", width_inches, 3, 40)
    _within("dpi", dpi, 40, 600)
    table = datamap.table
    columns = [_column(table, name) for name in (x, y, colour)]
    drawn = np.isfinite(columns[0]) & np.isfinite(columns[1]) & np.isfinite(columns[2])
    if not drawn.any():
        raise TrainmapError(f"a map needs an example with {x}, {y} and {colour}; none of {table.height} has all three")
    scales = [_scale(name, values[drawn], datamap.epochs) for name, values in zip((x, y, colour), columns, strict=True)]
    regions = _regions(table, drawn, scales[0], scales[1])

    content = io.BytesIO()
    with matplotlib.style.context(
        ["default", {**STYLE, **{name: size * width_inches / WIDTH for name, size in SIZES.items()}}]
    ):
        figure = Figure(figsize=(width_inches, width_inches * HEIGHT / WIDTH), dpi=dpi, facecolor="white")
        FigureCanvasAgg(figure)  # measures text; another canvas only writes
        main = _axes(figure, LEFT, BOTTOM, MAIN_WIDTH, MAIN_HEIGHT)
        drawing = _draw_examples(main, *scales)
        _draw_margin(_axes(figure, LEFT, BOTTOM + MAIN_HEIGHT + GAP, MAIN_WIDTH, MARGIN), scales[0], upright=True)
        _draw_margin(_axes(figure, LEFT + MAIN_WIDTH + GAP, BOTTOM, MARGIN, MAIN_HEIGHT), scales[1], upright=False)
        _draw_legend(_axes(figure, LEGEND_LEFT, BOTTOM, LEGEND_WIDTH, MAIN_HEIGHT), scales[2], datamap.epochs)
        reading = "The histograms are on a square-root scale."
        if (x, y) == ("variability", "confidence"):
            _draw_limit(main)
            reading += " The curve is the most variability that a confidence c allows, √(c(1 − c))."
        _draw_regions(main, regions, table.height, scales[0], scales[1])
        _draw_words(figure, datamap, title, bool(regions), [drawing, reading, _rest(table, drawn, regions)])
        figure.savefig(content, format=kind[1:], dpi=dpi, metadata=METADATA[kind])
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as handle:
        handle.write(content.getvalue())
    return target


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise TrainmapError(f"{name} must be {low} to {high}, got {value}")


def _column(table: pl.DataFrame, name: str) -> Array:
    """(N,) float64; null is NaN."""
    numbers = [column for column, dtype in table.schema.items() if dtype.is_numeric()]
    if name not in numbers:
        raise unknown("column of numbers", name, numbers)
    return table[name].cast(pl.Float64).to_numpy()


def _scale(name: str, values: Array, epochs: int) -> Scale:
    if name == "correctness":
        if values.min() < 0 or values.max() > epochs:
            raise TrainmapError(f"correctness must be 0 to {epochs} (epochs), got {values.min():g} to {values.max():g}")
        return Scale(name, "correctness", values, 0.0, float(epochs))
    low, high, label = RANGES.get(name, (math.inf, -math.inf, name.replace("_", " ")))
    if values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
        pad = 0.02 * (high - low) or max(1.0, abs(high)) * 0.5  # all the same: the value in the middle of its axis
        low, high = low - pad, high + pad
    return Scale(name, label, values, low, high)


def _regions(table: pl.DataFrame, drawn: Array, x: Scale, y: Scale) -> list[Region]:
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
            place = [(float(s.fraction(np.median(s.values[inside]))) + PAD) / (1 + 2 * PAD) for s in (x, y)]
        regions.append(Region(name, int(members.sum()), place[0], place[1]))
    return regions


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _zoom(axes: Axes) -> float:
    """How much larger than the layout this picture is."""
    return cast(Figure, axes.figure).get_figwidth() / WIDTH


def _draw_examples(axes: Axes, x: Scale, y: Scale, colour: Scale) -> str:
    """The examples as points or as bins; returns the sentence that says which."""
    axes.set(xlim=x.limits(), ylim=y.limits())
    axes.set_xlabel(x.label, parse_math=False)
    axes.set_ylabel(y.label, parse_math=False)
    n = x.values.size
    if n <= POINTS:
        order = np.lexsort((colour.values, y.values, x.values))  # the order of the rows must not show
        order = order[np.random.default_rng(0).permutation(n)]  # and no colour lies on top of the others
        zoom = _zoom(axes)
        size = float(np.clip(900 / math.sqrt(n), 5, 46)) * zoom**2
        alpha = float(np.clip(2.4 * n**-0.18, 0.3, 0.9))
        edge = 0.25 * zoom if n <= VECTOR_POINTS else 0
        shades = PALETTE(colour.fraction(colour.values[order]))
        points = axes.scatter(x.values[order], y.values[order], size, shades, alpha=alpha, linewidths=edge, zorder=3)
        points.set(edgecolor="white", rasterized=n > VECTOR_POINTS)
        return "Each point is an example."
    per_inch = min(10 * math.log10(n) - 9, 50)  # 34 at 20,000 examples, 50 at 1,000,000: few examples, larger cells
    across, up = int(MAIN_WIDTH * per_inch), int(MAIN_HEIGHT * per_inch)
    cell = y.bins(up) * across + x.bins(across)
    count = np.bincount(cell, minlength=up * across)
    total = np.bincount(cell, weights=colour.values, minlength=up * across)
    filled = count > 0
    image = np.zeros((up * across, 4))
    image[filled] = PALETTE(colour.fraction(total[filled] / count[filled]))
    full = max(float(np.quantile(count[filled], 0.95)), 8.0)  # examples in a bin of full colour
    image[filled, 3] = 0.5 + 0.5 * np.minimum(np.log(count[filled]) / math.log(full), 1.0)
    pixels = (image.reshape(up, across, 4) * 255).round().astype(np.uint8)
    extent = (x.low, x.high, y.low, y.high)
    axes.imshow(pixels, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=3)
    return (
        f"Each cell is a bin: its colour the mean {colour.label} of its examples, its opacity the log of their count."
    )


def _draw_margin(axes: Axes, scale: Scale, upright: bool) -> None:
    """How many examples lie along one axis of the map, on a square-root scale."""
    bins = int(np.clip(2.2 * scale.values.size ** (1 / 3), 10, 64))
    height = np.sqrt(np.bincount(scale.bins(bins), minlength=bins))
    edges = np.linspace(scale.low, scale.high, bins + 1)
    orientation = "vertical" if upright else "horizontal"
    axes.stairs(height, edges, orientation=orientation, fill=True, color=FAINT)
    axes.stairs(height, edges, orientation=orientation, color=SOFT)
    along, count = scale.limits(), (0, height.max() * 1.04)
    axes.set(xlim=along if upright else count, ylim=count if upright else along, xticks=[], yticks=[])
    axes.spines["left" if upright else "bottom"].set_visible(False)


def _draw_legend(axes: Axes, colour: Scale, epochs: int) -> None:
    """The distribution of the colour: a strip of all colours, and a bar for each, on a square-root scale."""
    counted = colour.name == "correctness" and epochs <= 100
    bars = epochs + 1 if counted else 60
    step = 1.0 if counted else (colour.high - colour.low) / bars
    middle = np.arange(bars) * 1.0 if counted else colour.low + step * (np.arange(bars) + 0.5)
    cell = colour.values.round().astype(np.int64) if counted else colour.bins(bars)
    count = np.bincount(cell, minlength=bars)
    length = np.sqrt(count / count.max())
    shades = PALETTE(colour.fraction(middle))
    thick = step if bars > 40 else 0.84 * step
    axes.barh(middle, np.full(bars, 0.11), left=-0.14, height=thick, color=shades, linewidth=0)
    axes.barh(middle, length, height=thick, color=shades, linewidth=0)
    axes.set(xlim=(-0.14, 1), ylim=(middle[0] - step / 2, middle[-1] + step / 2), xticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    if counted and epochs <= LABELLED_STEPS:
        axes.set_yticks(middle)
        for place, end, number in zip(middle, length, count, strict=True):
            _beside(axes, _share(number, colour.values.size), (end, place), (4, 0), va="center")
    elif counted:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    if colour.name == "correctness":
        _beside(axes, f"right in … of {_count(epochs, 'epoch')}", (-0.14, middle[-1] + step / 2), (0, 9))
    _beside(axes, colour.label, (-0.14, middle[-1] + step / 2), (0, 22), fontsize=10.5, color=INK)


def _beside(
    axes: Axes, words: str, point: tuple[float, float], offset: tuple[float, float], fontsize: float = 8.5, **how: Any
) -> None:
    """Write at a point of the data, ``offset`` (in points) away from it."""
    zoom = _zoom(axes)
    how = {"color": SOFT, "parse_math": False, "annotation_clip": False, "fontsize": fontsize * zoom, **how}
    axes.annotate(words, point, (offset[0] * zoom, offset[1] * zoom), textcoords="offset points", **how)


def _draw_limit(axes: Axes) -> None:
    c = np.linspace(0, 1, 401)
    limit = np.sqrt(c * (1 - c))
    axes.set_facecolor(OUTSIDE)
    axes.fill_betweenx(c, 0, limit, color="white", linewidth=0, zorder=1)
    axes.plot(limit, c, color=FAINT, zorder=2)


def _draw_regions(axes: Axes, regions: list[Region], n: int, x: Scale, y: Scale) -> None:
    """A ring at the median of each region, and its name, count and share beside it where it hides the least.

    The smallest region chooses first: it has the least choice.
    """
    zoom = _zoom(axes)
    cells = 60
    grid = np.bincount(y.bins(cells) * cells + x.bins(cells), minlength=cells * cells).reshape(cells, cells)
    # Bad to hide: a cell with anything in it, a dense cell, many examples (a label covers about 60 cells).
    ink = 0.5 * (grid > 0) + 0.5 * np.log1p(grid) / math.log1p(grid.max()) + 60 * grid / grid.sum()
    summed = np.zeros((cells + 1, cells + 1))
    summed[1:, 1:] = ink.cumsum(axis=0).cumsum(axis=1)
    seen = sorted((region for region in regions if math.isfinite(region.x)), key=lambda region: region.examples)
    taken = [_around(region.x, region.y, 0.022) for region in seen]
    renderer = cast(FigureCanvasAgg, cast(Figure, axes.figure).canvas).get_renderer()
    frame = axes.get_window_extent(renderer)
    pad = 0.35 * 10 * zoom * renderer.dpi / 72  # what LABEL adds around its text, in pixels
    for region in seen:
        words = f"{region.name}\n{region.examples:,} · {_share(region.examples, n)}"
        text = axes.text(0, 0, words, transform=axes.transAxes, linespacing=1.3, zorder=8, bbox=LABEL, parse_math=False)
        size = text.get_window_extent(renderer)
        width, height = (size.width + 2 * pad) / frame.width, (size.height + 2 * pad) / frame.height
        left, bottom, right, top = _place(region, width, height, summed, taken)
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


def _place(region: Region, width: float, height: float, summed: Array, taken: list[Box]) -> Box:
    """The box of a label: near its region, over few examples, clear of other labels, rings and their lines.

    ``summed`` (g + 1, g + 1) holds the running sums of the ink in g by g cells, so that the ink under any box is four
    look-ups.
    """
    cells = summed.shape[0] - 1
    left, bottom = np.meshgrid(np.linspace(0.012, 0.988 - width, 70), np.linspace(0.012, 0.988 - height, 70))
    right, top = left + width, bottom + height
    end_x, end_y = np.clip(region.x, left, right), np.clip(region.y, bottom, top)
    a, c = (left * cells).astype(np.int64), (bottom * cells).astype(np.int64)
    b, d = (np.ceil(edge * cells).astype(np.int64).clip(max=cells) for edge in (right, top))
    hidden = (summed[d, b] - summed[c, b] - summed[d, a] + summed[c, a]) / ((b - a) * (d - c))
    cost = np.hypot(region.x - end_x, region.y - end_y) + 1.3 * hidden
    line_x = region.x + LEADER[:, None, None] * (end_x - region.x)
    line_y = region.y + LEADER[:, None, None] * (end_y - region.y)
    for l0, b0, r0, t0 in taken:
        cost += 10.0 * ((left < r0) & (right > l0) & (bottom < t0) & (top > b0))
        if not (l0 <= region.x <= r0 and b0 <= region.y <= t0):
            cost += 2.0 * ((line_x > l0) & (line_x < r0) & (line_y > b0) & (line_y < t0)).any(axis=0)
    best = np.unravel_index(int(cost.argmin()), cost.shape)
    return float(left[best]), float(bottom[best]), float(right[best]), float(top[best])


def _rest(table: pl.DataFrame, drawn: Array, regions: list[Region]) -> str:
    """What the picture does not show, in words."""
    said = []
    n = drawn.size
    if missing := int((~drawn).sum()):
        said.append(f"Not drawn: {_count(missing, 'example')} ({_share(missing, n)}) never seen (no finite value).")
    if empty := [region.name for region in regions if not region.examples]:
        said.append(f"Empty: {', '.join(empty)}.")
    if regions and (outside := int((table["region"].is_null().to_numpy() & drawn).sum())):
        said.append(f"In no region: {_count(outside, 'example')} ({_share(outside, n)}).")
    return " ".join(said)


def _draw_words(figure: Figure, datamap: Map, title: str | None, regions: bool, lines: list[str]) -> None:
    """Title and facts above the map, ``lines`` below it."""
    zoom = figure.get_figwidth() / WIDTH
    left = LEFT / WIDTH
    headline = "Data map" if title is None else title
    size = 16 * min(1.0, 60 / max(len(headline), 1))
    figure.text(left, 1 - 0.42 / HEIGHT, headline, fontsize=size * zoom, fontweight="bold", parse_math=False)
    facts = f"{_count(datamap.table.height, 'example')}  ·  {_count(datamap.epochs, 'epoch')}  ·  "
    facts += f"regions by the {datamap.rule} rule" if regions else "no regions"
    figure.text(left, 1 - 0.70 / HEIGHT, facts, fontsize=10.5 * zoom, color=SOFT, parse_math=False)
    for line, words in enumerate(lines):
        place = (0.56 - 0.19 * line) / HEIGHT
        figure.text(left, place, words, fontsize=8.5 * zoom, color=SOFT, parse_math=False)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(part: float, whole: float) -> str:
    percent = 100 * part / whole
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def _palette() -> Colormap:
    """Viridis (even steps of lightness, safe for the colour-blind) without its yellow end, which is lost on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.86, 256)), name="trainmap")


PALETTE = _palette()
REGIONS = ("easy-to-learn", "ambiguous", "hard-to-learn")
RANGES = {
    "variability": (0.0, 0.5, "variability  (standard deviation of p(gold) over the epochs)"),
    "confidence": (0.0, 1.0, "confidence  (mean of p(gold) over the epochs)"),
}
METADATA: dict[str, dict[str, Any]] = {  # no dates, so that equal pictures are equal files
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
