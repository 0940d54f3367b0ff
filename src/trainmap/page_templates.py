"""Templates of HTML pages: what they are given is text, and an unknown name in one is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainmap.errors import printable

if TYPE_CHECKING:
    import jinja2


def page_templates(*folders: Path) -> jinja2.Environment:
    """The templates of some folders, with every value escaped and without what no page may hold."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
