"""The page's script in one text: the engine, and our modules one after the other.

The same text is served, stands in the offline file, and is the notebook's module. Our modules are ES modules that a
type checker and a reader take by themselves; here their imports of each other are left out and all share one scope, so
a top-level name stands in one of them only (``tests/explorer`` looks). Nobody needs a build step.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files

MODULES = (
    "values.js",
    "sources.js",
    "palette.js",
    "elements.js",
    "engine_view.js",
    "margins.js",
    "state.js",
    "map_panel.js",
    "controls.js",
    "example_card.js",
    "lists.js",
    "review.js",
    "exports.js",
    "main.js",
)
"""In the order in which they are joined: each imports from those before it only."""
IMPORT = re.compile(r'^import\s+(?:\{[^}]*\}|\w+)\s+from\s+"\./[\w.]+";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


@cache
def page_file(name: str) -> str:
    """A file of the page as text."""
    return (files("trainmap.explorer") / "page" / name).read_text("utf-8")


def joined() -> str:
    """Our modules as one text, without a line that leaves it."""
    return "".join(EXPORT.sub("", IMPORT.sub("", page_file(name))) for name in MODULES)


@cache
def script(start: bool = True) -> str:
    """The whole script.

    Args:
        start: mount the page where it is loaded; a notebook mounts it by itself.
    """
    engine = f"{page_file('engine.js')}\n"
    end = "startPage();\n" if start else "export default { render: renderWidget };\n"
    return f"{engine}{joined()}{end}"


@cache
def style() -> str:
    """The style sheet."""
    return page_file("explorer.css")


def page_html(title: str) -> str:
    """The served page: it has no script and no style in it."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · trainmap</title>\n"
        '<link rel="icon" href="data:,">\n'
        '<link rel="stylesheet" href="explorer.css">\n</head>\n'
        '<body><div id="trainmap-explorer" class="tm-explorer" data-source="served"></div>\n'
        '<script type="module" src="explorer.js"></script>\n</body>\n</html>\n'
    )
