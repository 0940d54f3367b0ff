"""How the pictures look: colours, fonts, measures, and the ways in which numbers are written."""

from __future__ import annotations

import textwrap
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from trainmap.errors import one_line
from trainmap.views.map_layout import layout_of

INK, SOFT, FAINT, OUTSIDE = "#1f2430", "#6b7280", "#c9ced6", "#f5f6f8"

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
SIZES = {  # points, for a picture as wide as its layout
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


METADATA: dict[str, dict[str, Any]] = {  # no dates, so that equal pictures are equal files; and whose they are
    ".png": {"Software": "trainmap"},
    ".svg": {"Date": None, "Creator": "trainmap"},
    ".pdf": {"CreationDate": None, "Creator": "trainmap"},
}


def zoom_of(axes: Axes) -> float:
    """How much larger than the layout this picture is."""
    width = cast(Figure, axes.figure).get_figwidth()
    return layout_of(width).zoom(width)


def lettering(text: str, width: int = 60, lines: int = 1) -> str:
    """Text of users for a picture: at most so many lines of so many characters, "□" for what the font does not have.

    It must be drawn with ``parse_math=False``: a dollar is a dollar.
    """
    font = get_font(findfont(STYLE["font.family"]))
    known = "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in one_line(text))
    return textwrap.fill(known, width, max_lines=lines, placeholder=" …") or " "


def count_of(number: int, noun: str) -> str:
    """``1 epoch``, ``2,000 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """``12.5 %``."""
    percent = 100 * part / whole
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def _palette() -> Colormap:
    """Viridis (even steps of lightness, safe for the colour-blind) without its yellow end, which is lost on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.86, 256)), name="trainmap")


PALETTE = _palette()

CLASS_COLOURS = (  # of classes that are named: those of the explorer, told apart by the colour-blind
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    *("#b8a800", "#8c6bb1", "#8a5a2b", "#9fd3b8", "#a3195b", "#c9b2de"),
)
