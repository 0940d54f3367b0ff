"""What the pages show: python snippets and command lines, each with its line and the section that it stands in."""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HISTORY = ("log.md", "decisions.md")  # they say what was, under the names of then
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.name not in HISTORY
]
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PLACEHOLDER = re.compile(r"[A-Z]+(\.[a-z]+)?(/[A-Z]+)?")
"""What the reader puts something of theirs for: DIR, FILE.yaml, DATA."""


@dataclass(frozen=True)
class Shown:
    """A snippet or a command, as it stands on a page."""

    page: str
    line: int  # of its first line, from 1
    section: str  # the heading above it
    text: str
    fenced: bool = True

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    @property
    def words(self) -> list[str]:
        """As a shell hands them on; a comment is none of them."""
        return shlex.split(self.text, comments=True)


def blank(text: str) -> str:
    """Spaces in the place of all but the ends of lines, so that what stands elsewhere keeps its line."""
    return re.sub(r"[^\n]", " ", text)


def _places(text: str) -> tuple[list[int], list[tuple[int, str]], str]:
    """Where lines begin, (where, what) of the headings, and the text without its fences."""
    prose = FENCE.sub(lambda found: blank(found.group()), text)
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    heads = [(found.start(), found.group(1)) for found in re.finditer(r"^#+ (.*)$", prose, re.MULTILINE)]
    return starts, heads, prose


def _shown(page: Path, at: int, text: str, fenced: bool, starts: list[int], heads: list[tuple[int, str]]) -> Shown:
    above = bisect_right([where for where, _ in heads], at) - 1
    return Shown(page.name, bisect_right(starts, at), heads[above][1] if above >= 0 else "", text, fenced)


def snippets(page: Path) -> list[Shown]:
    """The fences of python, in their order."""
    text = page.read_text()
    starts, heads, _ = _places(text)
    return [
        _shown(page, found.start(3), found.group(3), True, starts, heads)
        for found in FENCE.finditer(text)
        if found.group(2) == "python"
    ]


def spans(page: Path) -> list[Shown]:
    """What stands between backticks in the prose, in one line each."""
    starts, heads, prose = _places(page.read_text())
    return [
        _shown(page, found.start(), " ".join(found.group(1).split()), False, starts, heads)
        for found in INLINE.finditer(prose)
    ]


def _fenced_lines(page: Path) -> Iterator[Shown]:
    text = page.read_text()
    starts, heads, _ = _places(text)
    for found in FENCE.finditer(text):
        if found.group(2) in ("", "bash", "console"):
            for line in re.finditer(r"^ *(?:\$ )?((?:.*\\\n)*.*)$", found.group(3), re.MULTILINE):
                said = line.group(1).replace("\\\n", " ").rstrip()
                yield _shown(page, found.start(3) + line.start(), said, True, starts, heads)


def commands(page: Path, program: str) -> list[Shown]:
    """The lines that begin with the program's name, in fences and between backticks, in their order."""
    found = [one for one in (*_fenced_lines(page), *spans(page)) if one.text.startswith(f"{program} ")]
    return sorted(found, key=lambda one: one.line)


def is_for_the_reader(words: list[str]) -> bool:
    """Is something of the reader's own to stand in it?"""
    return any(PLACEHOLDER.fullmatch(part) for word in words for part in re.split("[=:]", word))
