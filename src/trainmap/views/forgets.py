"""What compression forgets, as a table for the terminal and as a picture."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainmap.errors import TrainmapError, unknown
from trainmap.evaluation.flips import KINDS, Flips
from trainmap.files import writing
from trainmap.views.style import METADATA

if TYPE_CHECKING:
    from trainmap.compression.measure import Measured

COLOURS = {
    "easy-to-learn": "#2a788e",
    "ambiguous": "#7ad151",
    "hard-to-learn": "#9467bd",
}
OTHER = "#6b7280"


def of_flips(found: Flips, groupings: Sequence[str] | None = None) -> Group:
    """One table for each grouping (all of them unless told): shares with the ends of their intervals."""
    parts: list[object] = []
    baseline = found.table["baseline_churn"].is_not_null().any()
    for grouping in groupings or found.table["grouping"].unique(maintain_order=True).to_list():
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column(Text("" if grouping == "all" else grouping))
        more = ["by another seed", "beyond it", "verdict"] if baseline else []
        for name in ["examples", "before", "after", "right → wrong", "wrong → right", "changed", *more]:
            table.add_column(name, justify="left" if name == "verdict" else "right")
        for row in _rows(found.table, grouping):
            cells = [f"{row['examples']:,}", _percent(row["accuracy_before"]), _percent(row["accuracy_after"])]
            cells += [_share(row, "forgotten"), _percent(row[KINDS[2]] / row["examples"]), _share(row, "churn")]
            if baseline:
                cells += [_percent(row["baseline_churn"]), _share(row, "excess"), row["verdict"]]
            table.add_row(Text(row["group"]), *cells)
        parts += [table, ""]
    return Group(*parts[:-1])  # type: ignore[arg-type]


def of_measured(rows: Sequence[Measured]) -> Table:
    """The compressed networks side by side, a line for each measure: ten of them would not fit beside each other."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for row in rows:
        table.add_column(Text(row.method), justify="right")
    measures: dict[str, Callable[[Measured], str]] = {
        "parameters": lambda row: f"{row.parameters:,}",
        "not zero": lambda row: f"{row.nonzero:,}",
        "MFLOPs": lambda row: f"{row.flops / 1e6:.2f}",
        "kB": lambda row: f"{row.bytes / 1000:.1f}",
        "kB zipped": lambda row: f"{row.zipped_bytes / 1000:.1f}",
        "CPU us an example": lambda row: f"{row.cpu_seconds * 1e6:.1f}",
        "speed-up": lambda row: f"{row.speed_up:.2f}",
        "accuracy": lambda row: _percent(row.accuracy),
        "agrees": lambda row: _percent(row.agreement),
    }
    for name, measure in measures.items():
        table.add_row(name, *map(measure, rows))
    return table


def plot_flips(found: Flips, path: str | os.PathLike[str], grouping: str = "region", dpi: int = 150) -> Path:
    """Draw the share of each group that goes from right to wrong and that changes at all, with intervals.

    Args:
        found: from ``flips``.
        path: .png, .svg or .pdf.
        grouping: "region" (in the regions' colours), "class", or another one of the table.
        dpi: of a png.

    Returns:
        The path. A tick is the churn of another seed of the original, where there is one.

    Raises:
        TrainmapError: another suffix, or a grouping that is not in the table.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from trainmap.views.style import FAINT, INK, SOFT, STYLE, lettering

    target = Path(path)
    if target.suffix.lower() not in METADATA:
        raise TrainmapError(f"a picture must be {', '.join(METADATA)}, got '{target.name}'; give it one of these ends")
    known = found.table["grouping"].unique(maintain_order=True).to_list()
    if grouping not in known:
        raise unknown("grouping", grouping, known)
    rows = _rows(found.table, "all") + ([] if grouping == "all" else _rows(found.table, grouping))
    content = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(7.5, 1.5 + 0.42 * len(rows)), dpi=dpi, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name, title in zip(panels, ("forgotten", "churn"), ("right → wrong", "any change"), strict=True):
            for place, row in enumerate(rows):
                colour = COLOURS.get(row["group"], OTHER)
                share, low, high = (100 * row[key] for key in (name, f"{name}_low", f"{name}_high"))
                axes.barh(place, share, height=0.62, color=colour, alpha=0.9)
                axes.plot([low, high], [place, place], color=INK, linewidth=1)
                if name == "churn" and row["baseline_churn"] is not None:
                    at = 100 * row["baseline_churn"]
                    label = "another seed of the original" if place == 0 else None
                    axes.plot([at, at], [place - 0.42, place + 0.42], color=INK, linewidth=2, label=label)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xlabel("% of the group's examples", color=SOFT, fontsize=9)
            axes.set_xlim(left=0)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="x", color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
        names = [f"{lettering(row['group'], 40)}  (n = {row['examples']:,})" for row in rows]
        panels[0].set_yticks(range(len(rows)), names, parse_math=False)
        panels[0].invert_yaxis()
        if rows[0]["baseline_churn"] is not None:
            figure.legend(loc="outside lower right", frameon=False, fontsize=8.5)
        figure.savefig(content, format=target.suffix.lower()[1:], dpi=dpi, metadata=METADATA[target.suffix.lower()])
    with writing(target) as handle:
        handle.write(content.getvalue())
    return target


def _rows(table: pl.DataFrame, grouping: str) -> list[dict[str, Any]]:
    return [row for row in table.iter_rows(named=True) if row["grouping"] == grouping]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _share(row: dict[str, Any], name: str) -> str:
    return f"{100 * row[name]:.2f} [{100 * row[f'{name}_low']:.2f}, {100 * row[f'{name}_high']:.2f}] %"
