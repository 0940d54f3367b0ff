"""A recipe as the field of a task: its numbers stay as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf

from trainmap.errors import counted
from trainmap.experiments.file.fields import short
from trainmap.training.recipes import Recipe


def _recipe(value: Any) -> Any:
    return Recipe(**value) if isinstance(value, Mapping) else value


def recipe_told(recipe: Recipe) -> str:
    """The settings for a reader: "6 epochs, batch 32, optimizer sgd, peak_lr 0.05, ..."; not what is switched off."""
    settings = {key: value for key, value in asdict(recipe).items() if key != "epochs"}
    told = [key if value is True else f"{key} {short(value)}" for key, value in settings.items() if value]
    return ", ".join([counted(recipe.epochs, "epoch"), *told])


RecipeValue = Annotated[InstanceOf[Recipe], BeforeValidator(_recipe)]
