"""The picture of a map: every example at its variability and confidence, coloured by how often it was right.

Up to ``POINTS`` examples each one is a point; above it the plane is cut into bins, the colour is the mean of the bin
and the opacity the logarithm of its count. The margins show how the examples spread along each axis, and the panel on
the right is the distribution of the colour and its legend in one.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any, Protocol

import matplotlib.style
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.files import writing
from trainmap.kinds import as_path, check_kind
from trainmap.maps.datamap import DataMap
from trainmap.views.labels import Region, draw_regions, regions_of
from trainmap.views.map_words import colour_of, labels_of
from trainmap.views.scale import Scale, column_of, scale_of
from trainmap.views.style import (
    FAINT,
    HEIGHT,
    INK,
    METADATA,
    OUTSIDE,
    PALETTE,
    SIZES,
    SOFT,
    STYLE,
    WIDTH,
    count_of,
    lettering,
    share,
    zoom_of,
)

Array = NDArray[Any]

POINTS = 20_000  # examples that are drawn one by one; above it, points only cover each other
VECTOR_POINTS = 2_000  # above it the points of an svg or pdf become one image: such files stay below a megabyte
LABELLED_STEPS = 16  # epochs up to which each bar of the legend carries its share

# The layout, in inches of a picture that is WIDTH by HEIGHT.
LEFT, BOTTOM, MAIN_WIDTH, MAIN_HEIGHT, MARGIN, GAP = 0.82, 1.28, 5.75, 4.75, 0.85, 0.07
LEGEND_LEFT, LEGEND_WIDTH = 8.15, 1.1


class Map(Protocol):
    """What is drawn: a DataMap, or anything with these three."""

    @property
    def table(self) -> pl.DataFrame: ...
    @property
    def epochs(self) -> int: ...
    @property
    def rule(self) -> str: ...


def plot_map(
    datamap: Map,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    x: str = "variability",
    y: str = "confidence",
    colour: str | None = None,
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
        x, y, colour: any columns of numbers; by default the colour is correctness, and of a map of plain numbers, which
            has none, the last value of what it is of. Variability and confidence get their whole possible range,
            0..0.5 and 0..1, so that two maps can be laid side by side; correctness (0..E) gets a colour per count.
            Other columns get the range of their values.
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
    if not all(hasattr(datamap, name) for name in ("table", "epochs", "rule")):
        check_kind(datamap, DataMap)
    target = check_picture(path)
    kind = target.suffix.lower()
    _within("width_inches", width_inches, 3, 40)
    _within("dpi", dpi, 40, 600)
    table, labels = datamap.table, labels_of(datamap)
    colour = colour or colour_of(datamap)
    columns = [column_of(table, name) for name in (x, y, colour)]
    drawn = np.isfinite(columns[0]) & np.isfinite(columns[1]) & np.isfinite(columns[2])
    if not drawn.any():
        raise TrainmapError(f"a map needs an example with {x}, {y} and {colour}; none of {table.height} has all three")
    scales = [
        scale_of(name, values[drawn], datamap.epochs, labels.get(name))
        for name, values in zip((x, y, colour), columns, strict=True)
    ]
    regions = regions_of(table, drawn, scales[0], scales[1])

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
        if (x, y) == ("variability", "confidence") and getattr(datamap, "bounded", True):
            _draw_limit(main)
            reading += " The curve is the most variability that a confidence c allows, √(c(1 − c))."
        draw_regions(main, regions, table.height, scales[0], scales[1])
        _draw_words(
            figure, datamap, title, _said_of_regions(datamap, regions), [drawing, reading, _rest(table, drawn, regions)]
        )
        figure.savefig(content, format=kind[1:], dpi=dpi, metadata=METADATA[kind])
    with writing(target) as handle:
        handle.write(content.getvalue())
    return target


def check_picture(path: str | os.PathLike[str]) -> Path:
    """Refuse a file name that no picture can be written to."""
    target = as_path(path)
    if target.suffix.lower() not in METADATA:
        raise TrainmapError(f"a picture must be {', '.join(METADATA)}, got '{target.name}'; give it one of these ends")
    return target


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise TrainmapError(f"{name} must be {low} to {high}, got {value}")


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_examples(axes: Axes, x: Scale, y: Scale, colour: Scale) -> str:
    """The examples as points or as bins; returns the sentence that says which."""
    axes.set(xlim=x.limits(), ylim=y.limits())
    axes.set_xlabel(x.label, parse_math=False)
    axes.set_ylabel(y.label, parse_math=False)
    n = x.values.size
    if n <= POINTS:
        order = np.lexsort((colour.values, y.values, x.values))  # the order of the rows must not show
        order = order[np.random.default_rng(0).permutation(n)]  # and no colour lies on top of the others
        zoom = zoom_of(axes)
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
    axes.barh(middle, np.full(bars, 0.11), left=-0.14, height=thick, color=shades, linewidth=0)
    axes.barh(middle, length, height=thick, color=shades, linewidth=0)
    axes.set(xlim=(-0.14, 1), ylim=(middle[0] - step / 2, middle[-1] + step / 2), xticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    if counted and epochs <= LABELLED_STEPS:
        axes.set_yticks(middle)
        for place, end, number in zip(middle, length, count, strict=True):
            _beside(axes, share(number, colour.values.size), (end, place), (4, 0), va="center")
    elif counted:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    if colour.name == "correctness":
        told = (
            f"right in … of {count_of(epochs, 'epoch')}" if whole else f"accuracy, sum of {count_of(epochs, 'epoch')}"
        )
        _beside(axes, told, (-0.14, middle[-1] + step / 2), (0, 9))
    _beside(axes, colour.label, (-0.14, middle[-1] + step / 2), (0, 22), fontsize=10.5, color=INK)


def _beside(
    axes: Axes, words: str, point: tuple[float, float], offset: tuple[float, float], fontsize: float = 8.5, **how: Any
) -> None:
    """Write at a point of the data, ``offset`` (in points) away from it."""
    zoom = zoom_of(axes)
    how = {"color": SOFT, "parse_math": False, "annotation_clip": False, "fontsize": fontsize * zoom, **how}
    axes.annotate(words, point, (offset[0] * zoom, offset[1] * zoom), textcoords="offset points", **how)


def _draw_limit(axes: Axes) -> None:
    c = np.linspace(0, 1, 401)
    limit = np.sqrt(c * (1 - c))
    axes.set_facecolor(OUTSIDE)
    axes.fill_betweenx(c, 0, limit, color="white", linewidth=0, zorder=1)
    axes.plot(limit, c, color=FAINT, zorder=2)


def _rest(table: pl.DataFrame, drawn: Array, regions: list[Region]) -> str:
    """What the picture does not show, in words."""
    said = []
    n = drawn.size
    if missing := int((~drawn).sum()):
        said.append(f"Not drawn: {count_of(missing, 'example')} ({share(missing, n)}) never seen (no finite value).")
    if empty := [region.name for region in regions if not region.examples]:
        said.append(lettering(f"Empty: {', '.join(empty)}.", 120))
    if regions and (outside := int((table["region"].is_null().to_numpy() & drawn).sum())):
        said.append(f"In no region: {count_of(outside, 'example')} ({share(outside, n)}).")
    return " ".join(said)


def _said_of_regions(datamap: Map, regions: list[Region]) -> str:
    """By which rule they are, or why there are none."""
    if regions:
        return f"regions by the {lettering(datamap.rule)} rule"
    why = getattr(datamap, "unclear", "")
    return f"no regions: {why}" if why else "no regions"


def _draw_words(figure: Figure, datamap: Map, title: str | None, regions: str, lines: list[str]) -> None:
    """Title and facts above the map, ``lines`` below it."""
    zoom = figure.get_figwidth() / WIDTH
    left = LEFT / WIDTH
    headline = "Data map" if title is None else lettering(title, 120)
    size = 16 * min(1.0, 60 / max(len(headline), 1))
    figure.text(left, 1 - 0.42 / HEIGHT, headline, fontsize=size * zoom, fontweight="bold", parse_math=False)
    facts = f"{count_of(datamap.table.height, 'example')}  ·  {count_of(datamap.epochs, 'epoch')}  ·  "
    figure.text(left, 1 - 0.70 / HEIGHT, facts + regions, fontsize=10.5 * zoom, color=SOFT, parse_math=False)
    for line, words in enumerate(lines):
        place = (0.56 - 0.19 * line) / HEIGHT
        figure.text(left, place, words, fontsize=8.5 * zoom, color=SOFT, parse_math=False)
