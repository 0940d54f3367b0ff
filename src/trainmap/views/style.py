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

INK, SOFT, FAINT, OUTSIDE = "#1f2430", "#6b7280", "#c9ced6", "#f5f6f8"
WIDTH, HEIGHT = 10.0, 7.85  # inches of the layout; another width scales all of it, text as well

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


METADATA: dict[str, dict[str, Any]] = {  # no dates, so that equal pictures are equal files; and whose they are
    ".png": {"Software": "trainmap"},
    ".svg": {"Date": None, "Creator": "trainmap"},
    ".pdf": {"CreationDate": None, "Creator": "trainmap"},
}


def zoom_of(axes: Axes) -> float:
    """How much larger than the layout this picture is."""
    return cast(Figure, axes.figure).get_figwidth() / WIDTH


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
