"""The picture of which score finds which kind: a line for each score, a column for each kind, AUROC as colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.files import writing
from trainmap.views.plot import check_picture
from trainmap.views.style import INK, METADATA, SIZES, SOFT, STYLE, lettering


def plot_kinds(
    scores: Sequence[str],
    kinds: Sequence[str],
    auroc: NDArray[np.floating],
    path: str | Path,
    *,
    title: str = "",
    shown: NDArray[np.bool_] | None = None,
) -> Path:
    """Draw AUROC as a heat map: 0.5 (guessing) is white, the hard end one colour, the easy end another.

    Args:
        scores: S names, from above.
        kinds: K names, from the left.
        auroc: (S, K) in 0 to 1; NaN where there is none.
        path: .png, .svg or .pdf.
        title: above it.
        shown: (S, K) whether a difference from guessing is shown; others are written in grey. All by default.

    Raises:
        TrainmapError: another ending, shapes that do not fit, numbers outside 0 to 1.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    target, shape = check_picture(path), (len(scores), len(kinds))
    values = np.asarray(auroc, dtype=np.float64)
    clear = np.ones(shape, bool) if shown is None else np.asarray(shown)
    if values.shape != shape or clear.shape != shape or not all(shape):
        raise TrainmapError(
            f"auroc and shown must be {shape}, a line for each score, got {values.shape}, {clear.shape}"
        )
    there = ~np.isnan(values)
    if (values[there] < 0).any() or (values[there] > 1).any():
        raise TrainmapError(f"auroc must be 0 to 1, got {values[there].min():g} to {values[there].max():g}")
    content = io.BytesIO()
    with matplotlib.style.context(["default", STYLE, SIZES]):
        figure = Figure(figsize=(2.6 + 0.95 * shape[1], 1.4 + 0.27 * shape[0]), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes: Any = figure.subplots()
        image = axes.imshow(np.ma.masked_invalid(values), cmap="PuOr_r", vmin=0, vmax=1, aspect="auto")
        for row, column in np.argwhere(there):
            value = values[row, column]
            colour = "white" if abs(value - 0.5) > 0.33 else INK
            colour = colour if clear[row, column] else SOFT
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(shape[1]), [lettering(name, 12, 2) for name in kinds], fontsize=8, parse_math=False)
        axes.set_yticks(range(shape[0]), [lettering(name, 30) for name in scores], fontsize=8, parse_math=False)
        axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, ticks=[0, 0.5, 1])
        bar.ax.set_yticklabels(["easy end", "guessing", "hard end"], fontsize=8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        if title:
            figure.suptitle(lettering(title, 70, 2), fontsize=10, color=INK, parse_math=False)
        figure.savefig(content, format=target.suffix.lower()[1:], metadata=METADATA[target.suffix.lower()])
    with writing(target) as handle:
        handle.write(content.getvalue())
    return target
