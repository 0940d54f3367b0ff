"""The picture of a map: every example at its variability and confidence, coloured by how often it was right.

Up to ``POINTS`` examples each one is a point; above it the plane is cut into bins, the colour is the mean of the bin
and the opacity the logarithm of its count. The margins show how the examples spread along each axis, and the panel on
the right is the distribution of the colour and its legend in one.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib.style
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.files import writing
from trainmap.kinds import as_path, check_kind
from trainmap.maps.datamap import DataMap
from trainmap.views.colour_legend import draw_legend, shades_of
from trainmap.views.labels import Region, draw_regions, regions_of
from trainmap.views.map_layout import PAGE, Box, Layout, layout_of
from trainmap.views.map_words import colour_of, labels_of, names_of
from trainmap.views.scale import Scale, column_of, scale_of
from trainmap.views.style import (
    FAINT,
    METADATA,
    OUTSIDE,
    SIZES,
    SOFT,
    STYLE,
    count_of,
    lettering,
    share,
    zoom_of,
)

Array = NDArray[Any]

POINTS = 20_000  # examples that are drawn one by one; above it, points only cover each other
VECTOR_POINTS = 2_000  # above it the points of an svg or pdf become one image: such files stay below a megabyte


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
            has none, the last value of what it is of; "label" gives each of up to 12 classes a colour and its name.
            Variability and confidence get their whole possible range,
            0..0.5 and 0..1, so that two maps can be laid side by side; correctness (0..E) gets a colour per count.
            Other columns get the range of their values.
        width_inches: 3 to 40; the height follows. From 8 on the picture is that of a page, from 5 that of two columns
            of a paper (6.9), below that of one (3.35), with the legend beneath and without the words that a caption
            has; within each the text grows with the width.
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
    names = names_of(datamap) if colour == "label" else ()
    layout = layout_of(width_inches, len(names))
    zoom = layout.zoom(width_inches)

    content = io.BytesIO()
    with matplotlib.style.context(
        ["default", {**STYLE, **{name: size * zoom for name, size in {**SIZES, "font.size": layout.callout}.items()}}]
    ):
        figure = Figure(figsize=(width_inches, layout.height * zoom), dpi=dpi, facecolor="white")
        FigureCanvasAgg(figure)  # measures text; another canvas only writes
        left, bottom, width, height = layout.main
        main = _axes(figure, layout, layout.main)
        drawing = _draw_examples(main, layout, scales[0], scales[1], scales[2], names)
        above = (left, bottom + height + layout.gap, width, layout.margin)
        _draw_margin(_axes(figure, layout, above), scales[0], upright=True)
        aside = (left + width + layout.gap, bottom, layout.margin, height)
        _draw_margin(_axes(figure, layout, aside), scales[1], upright=False)
        draw_legend(_axes(figure, layout, layout.legend), layout, scales[2], datamap.epochs, names)
        reading = "The histograms are on a square-root scale."
        if (x, y) == ("variability", "confidence") and getattr(datamap, "bounded", True):
            _draw_limit(main)
            reading += " The curve is the most variability that a confidence c allows, √(c(1 − c))."
        draw_regions(main, regions, table.height, scales[0], scales[1])
        lines = [] if layout.brief else [drawing, reading]
        lines += [_rest(table, drawn, regions)]
        _draw_words(figure, layout, datamap, title, _said_of_regions(datamap, regions), lines)
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


def _axes(figure: Figure, layout: Layout, box: Box) -> Axes:
    left, bottom, width, height = box
    axes = figure.add_axes((left / layout.width, bottom / layout.height, width / layout.width, height / layout.height))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_examples(axes: Axes, layout: Layout, x: Scale, y: Scale, colour: Scale, names: Sequence[str]) -> str:
    """The examples as points or as bins; returns the sentence that says which."""
    axes.set(xlim=x.limits(), ylim=y.limits())
    for write, scale in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
        write(scale.label.replace("  (", "\n(") if layout.split else scale.label, parse_math=False)
    n = x.values.size
    if n <= POINTS:
        order = np.lexsort((colour.values, y.values, x.values))  # the order of the rows must not show
        order = order[np.random.default_rng(0).permutation(n)]  # and no colour lies on top of the others
        zoom = zoom_of(axes) * math.sqrt(layout.main[2] / PAGE.main[2])
        size = float(np.clip(900 / math.sqrt(n), 5, 46)) * zoom**2
        alpha = float(np.clip(2.4 * n**-0.18, 0.3, 0.9))
        edge = 0.25 * zoom if n <= VECTOR_POINTS else 0
        shades = shades_of(colour, colour.values[order], names)
        points = axes.scatter(x.values[order], y.values[order], size, shades, alpha=alpha, linewidths=edge, zorder=3)
        points.set(edgecolor="white", rasterized=n > VECTOR_POINTS)
        return "Each point is an example."
    per_inch = min(10 * math.log10(n) - 9, 50)  # 34 at 20,000 examples, 50 at 1,000,000: few examples, larger cells
    across, up = (int(side * per_inch) for side in layout.main[2:])
    cell = y.bins(up) * across + x.bins(across)
    count = np.bincount(cell, minlength=up * across)
    filled = count > 0
    image = np.zeros((up * across, 4))
    if names:
        held = np.bincount(cell * len(names) + colour.values.astype(np.int64), minlength=len(count) * len(names))
        middle, said = held.reshape(len(count), len(names)).argmax(axis=1), "the most frequent class"
    else:
        total = np.bincount(cell, weights=colour.values, minlength=up * across)
        middle, said = total / np.maximum(count, 1), f"the mean {colour.label}"
    image[filled] = shades_of(colour, middle[filled], names)
    full = max(float(np.quantile(count[filled], 0.95)), 8.0)  # examples in a bin of full colour
    image[filled, 3] = 0.5 + 0.5 * np.minimum(np.log(count[filled]) / math.log(full), 1.0)
    pixels = (image.reshape(up, across, 4) * 255).round().astype(np.uint8)
    extent = (x.low, x.high, y.low, y.high)
    axes.imshow(pixels, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=3)
    return f"Each cell is a bin: its colour {said} of its examples, its opacity the log of their count."


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


def _draw_words(
    figure: Figure, layout: Layout, datamap: Map, title: str | None, regions: str, lines: list[str]
) -> None:
    """Title and facts above the map, ``lines`` below it."""
    zoom = layout.zoom(figure.get_figwidth())
    left = layout.left / layout.width
    room = (layout.width - layout.left) / (PAGE.width - PAGE.left)
    headline = "Data map" if title is None else lettering(title, 120)
    size = 16 * min(1.0, 60 * room / max(len(headline), 1))
    figure.text(left, 1 - 0.42 / layout.height, headline, fontsize=size * zoom, fontweight="bold", parse_math=False)
    facts = f"{count_of(datamap.table.height, 'example')}  ·  {count_of(datamap.epochs, 'epoch')}  ·  {regions}"
    size = 10.5 * min(1.0, 120 * room / len(facts))
    figure.text(left, 1 - 0.70 / layout.height, facts, fontsize=size * zoom, color=SOFT, parse_math=False)
    wrapped = [part for line in lines for part in textwrap.wrap(line, layout.letters)]
    for line, words in enumerate(wrapped):
        place = (0.56 + 0.17 * max(0, len(wrapped) - 3) - 0.19 * line) / layout.height
        figure.text(left, place, words, fontsize=8.5 * zoom, color=SOFT, parse_math=False)
