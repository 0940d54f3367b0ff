"""What a value says of itself: a title and a few lines, in a terminal and in a notebook."""

from __future__ import annotations

from html import escape

from trainmap.errors import one_line

Lines = tuple[str, dict[str, object]]
"""A title, and name -> what there is to say."""


class Told:
    """A value that says what it is in about five lines: ``print`` and a notebook show them."""

    def told(self) -> Lines:
        """The title and the lines."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, rows = self.told()
        width = max(map(len, rows), default=0)
        return "\n".join([title, *(f"  {name:{width}}  {one_line(str(value))}" for name, value in rows.items())])

    def _repr_html_(self) -> str:
        title, rows = self.told()
        cells = "".join(
            f"<tr><td style='text-align:left;opacity:.65'>{escape(name)}</td>"
            f"<td style='text-align:left'>{escape(one_line(str(value)))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<strong>{escape(title)}</strong><table>{cells}</table>"
