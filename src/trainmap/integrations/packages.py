"""Of which package a model is, told by the names of its classes: nothing is imported for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def of_package(package: str, *names: str) -> Callable[[Any], bool]:
    """Whether a model is of one of these classes of a package, or derives from one."""

    def fits(model: Any) -> bool:
        return any(
            base.__module__.partition(".")[0] == package and base.__name__ in names for base in type(model).__mro__
        )

    return fits
