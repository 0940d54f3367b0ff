"""The clients of federations on one map: a dot for each, at the means of its examples."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainmap.files import writing
from trainmap.views.result_plots import COLUMNS, PANEL, TITLE
from trainmap.views.style import FAINT, INK, METADATA, PALETTE, SIZES, STYLE, lettering

SMALLEST, LARGEST = 14.0, 90.0  # areas of dots, in points squared


@dataclass(frozen=True)
class Dot:
    """A client: the means over its examples, how many they are, whether some of its labels were made wrong."""

    variability: float
    confidence: float
    examples: int
    noisy: bool


@dataclass(frozen=True)
class DotPanel:
    """The clients of one row."""

    title: str
    dots: tuple[Dot, ...]


def plot_clients(panels: Sequence[DotPanel], path: str | Path) -> Path:
    """Mean confidence against mean variability of each client's map; areas go with its examples, noisy clients are
    crosses."""
    target, columns = Path(path), min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    with matplotlib.style.context(["default", STYLE, SIZES]):
        figure = Figure(figsize=(PANEL * columns, 3.1 * lines + 0.35), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(lines, columns, squeeze=False)
        handles = {}
        for at, axis in enumerate(axes.flat):
            if at >= len(panels):
                axis.set_axis_off()
                continue
            most = max(dot.examples for dot in panels[at].dots)
            for noisy, name, marker, colour in (
                (False, "client", "o", PALETTE(0.25)),
                (True, "client with wrong labels", "X", PALETTE(0.85)),
            ):
                dots = [dot for dot in panels[at].dots if dot.noisy == noisy]
                if dots:
                    handles[name] = axis.scatter(
                        [dot.variability for dot in dots],
                        [dot.confidence for dot in dots],
                        s=[max(SMALLEST, LARGEST * dot.examples / most) for dot in dots],
                        marker=marker,
                        color=colour,
                        alpha=0.75,
                        linewidth=0.4,
                        edgecolor="white",
                    )
            axis.set_title(lettering(panels[at].title, TITLE - 8, 3), fontsize=9.5, color=INK, parse_math=False)
            axis.set_xlabel("mean variability", fontsize=9)
            axis.set_ylabel("mean confidence", fontsize=9)
            axis.margins(0.12)
            axis.grid(color=FAINT, linewidth=0.4)
            axis.set_axisbelow(True)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
        figure.legend([*handles.values()], [*handles], ncols=2, loc="outside lower center", frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=target.suffix[1:] or "png", metadata=METADATA.get(target.suffix))
    with writing(target) as handle:
        handle.write(buffer.getvalue())
    return target
