"""A page as one HTML file: its style and its pictures inside, no script, nothing fetched."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from trainmap.errors import TrainmapError
from trainmap.experiments.report.answer import Answer
from trainmap.experiments.report.cost_scatter import NARROW, WIDE, Scatter, scatter_of
from trainmap.experiments.report.forest import forest_of
from trainmap.experiments.report.glossary import TERMS, explained
from trainmap.experiments.report.page import Page
from trainmap.experiments.report.verdict_words import LEGEND, symbol_of
from trainmap.findings.example_cards import TEMPLATES
from trainmap.page_templates import page_templates


def html(page: Page) -> str:
    """The page, by ``page.html.j2``."""
    made = page_templates(Path(__file__).parent, TEMPLATES)
    made.filters |= {"unbroken": _unbroken, "picture": _picture, "explained": explained}
    made.filters |= {"forest": forest_of, "scatters": _scatters}
    return made.get_template("page.html.j2").render(page=page, legend=LEGEND, symbol_of=symbol_of, terms=TERMS)


def _scatters(answer: Answer) -> tuple[tuple[str, Scatter], ...]:
    """Accuracy against cost for wide and for narrow pages; the style shows one of them."""
    return ("wide", scatter_of(answer, WIDE)), ("narrow", scatter_of(answer, NARROW))


def _picture(path: Path) -> str:
    if not path.is_file():
        raise TrainmapError(f"picture must be a PNG file, got {path}, which is not there")
    return base64.b64encode(path.read_bytes()).decode()


def _unbroken(text: str) -> str:
    """A cell that may be broken where it is narrow, but no number from its unit, nor an interval."""
    within = r"(?<=\d) (?=[%±]|\w*FLOPs|k?B\b|s\b|min\b|h\b)|(?<=[±%]) (?![(])|(?<=\d,) (?=[+−\d])"
    return re.sub(within, "\u00a0", text)
