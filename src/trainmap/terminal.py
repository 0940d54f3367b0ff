"""The terminal, for text that users wrote: titles, names of files and classes, errors of libraries.

Such text is never markup, never a format, and no control character of it reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
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
