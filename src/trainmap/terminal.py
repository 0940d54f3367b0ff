"""The terminal, for text that users wrote: titles, names of files and classes, errors of libraries.

Such text is never markup, never a format, and no control character of it reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.segment import Segment

from trainmap.errors import printable


class Terminal(Console):
    """Rich's console without markup, emoji codes and highlighting; style is said with ``Text(..., style)``.

    Args:
        err: the error stream, which a pipe never sees.
    """

    def __init__(self, err: bool = False) -> None:
        super().__init__(stderr=err, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What Rich renders, each piece of text without control characters; those of Rich itself stay."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text, ""), piece.style)


def bars(*clocks: ProgressColumn, detail: bool = False, transient: bool = False, disable: bool = False) -> Progress:
    """Progress bars on the error stream: what, how much, how many, ``clocks``, and with ``detail`` what it is at."""
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), *clocks]
    if detail:
        columns.append(TextColumn("{task.fields[detail]}", style="dim", markup=False))
    return Progress(*columns, console=Terminal(err=True), transient=transient, disable=disable)
