"""A recipe as the field of a task: its numbers stay as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf

from trainmap.training.recipes import Recipe


def _recipe(value: Any) -> Any:
    return Recipe(**value) if isinstance(value, Mapping) else value


RecipeValue = Annotated[InstanceOf[Recipe], BeforeValidator(_recipe)]
