"""A page as one HTML file: its style and its pictures inside, no script, nothing fetched."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import jinja2

from trainmap.errors import TrainmapError, printable
from trainmap.experiments.report.page import Page
from trainmap.experiments.report.verdict_words import SYMBOLS


def html(page: Page) -> str:
    """The page, by ``page.html.j2``."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"unbroken": _unbroken, "picture": _picture}
    return made.get_template("page.html.j2").render(page=page, symbols=SYMBOLS)


def _picture(path: Path) -> str:
    if not path.is_file():
        raise TrainmapError(f"picture must be a PNG file, got {path}, which is not there")
    return base64.b64encode(path.read_bytes()).decode()


def _unbroken(text: str) -> str:
    """A cell that may be broken where it is narrow, but no number from its unit, nor an interval."""
    within = r"(?<=\d) (?=[%±]|\w*FLOPs|k?B\b|s\b|min\b|h\b)|(?<=[±%]) (?![(])|(?<=\d,) (?=[+−\d])"
    return re.sub(within, "\u00a0", text)
