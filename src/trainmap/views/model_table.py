"""The catalogue of networks for people (terminal, Markdown) and for programs (CSV, JSON)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainmap.errors import counted, unknown

if TYPE_CHECKING:
    from rich.table import Table

    from trainmap.models.catalogue import Catalogue

HEADS = ("model", "parameters", "MFLOPs", "activations", "MB")


def show(found: Catalogue, form: str) -> str | Table:
    """The catalogue as ``form``: "table", "md", "csv" or "json".

    Raises:
        TrainmapError: another form.
    """
    if form not in FORMS:
        raise unknown("format", form, FORMS)
    return FORMS[form](found)


def lines(found: Catalogue) -> list[tuple[str, ...]]:
    """The cells as people read them; MFLOPs are 10^6 FLOPs of one forward pass, MB 10^6 bytes."""
    return [
        (model, f"{count:,}", f"{flops / 1e6:,.1f}", f"{activations:,}", f"{size / 1e6:,.2f}")
        for model, _, count, flops, activations, size in found.table.iter_rows()
    ]


def of_table(found: Catalogue) -> Table:
    """For a terminal."""
    from rich.table import Table

    table = Table(title=f"{found.inputs}, {counted(found.classes, 'class', 'classes')}")
    for head in HEADS:
        table.add_column(head, justify="left" if head == "model" else "right", no_wrap=True)
    for line in lines(found):
        table.add_row(*line)
    return table


def of_markdown(found: Catalogue) -> str:
    """As GitHub Markdown that reads well raw, too."""
    rows = [HEADS, *lines(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    padded = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))] for row in rows
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def of_csv(found: Catalogue) -> str:
    """Plain numbers, one line for each network."""
    return found.table.write_csv().rstrip("\n")


def of_json(found: Catalogue) -> str:
    """Plain numbers, with what they hold for and what was left out."""
    return json.dumps(
        {
            "form": found.inputs.form,
            "shape": list(found.inputs.shape),
            "classes": found.classes,
            "models": found.table.to_dicts(),
            "left_out": dict(found.left_out),
        },
        indent=2,
    )


FORMS: dict[str, Callable[[Catalogue], str | Table]] = {
    "table": of_table,
    "md": of_markdown,
    "csv": of_csv,
    "json": of_json,
}
