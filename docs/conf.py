"""Sphinx: `make docs`."""

from trainmap import __version__

project = "trainmap"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trainmap {version}"
html_static_path = ["static"]
html_css_files = ["tables.css"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True}
nitpicky = False
suppress_warnings = ["myst.xref_missing"]
napoleon_use_ivar = True

PARAGRAPHS = ("Source:", "Differs:", "Measured:")


def paragraphs(app, what, name, obj, options, lines):
    """Each of "Source: ..." and "Differs: ..." with its indented lines is a paragraph."""
    out, inside = [], False
    for line in lines:
        starts = line.startswith(PARAGRAPHS)
        inside = starts or (inside and line.startswith(" "))
        out += ["", line] if starts else [line.lstrip() if inside else line]
    lines[:] = out


def setup(app):
    app.connect("autodoc-process-docstring", paragraphs, priority=400)  # before napoleon
