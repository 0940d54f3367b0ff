"""The scripts that make pages of the documentation, as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def page_script(name: str) -> Any:
    """docs/NAME.py; the scripts beside it can be imported by it, as when it is run."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    return importlib.import_module(name)
